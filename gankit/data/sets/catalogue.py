"""The named data sets of the core."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gankit.base.text import printable
from gankit.data.dataset import Dataset, DatasetFactory, Splits
from gankit.data.formats.idx import find_idx, load_idx_pair
from gankit.data.sets import synthetic
from gankit.data.sets.downloads import CIFAR10, FASHION_MNIST, MNIST
from gankit.data.sets.polygons import FAMILIES, SPLITS, PolygonFamily, polygons
from gankit.errors import InputError


def digits() -> Dataset:
    """The 10,000 test images of MNIST, which are part of the package."""
    folder = Path(__file__).parent / "digits"
    idx = find_idx(folder)
    if idx is None:
        raise InputError(f"{printable(folder)}: the digits are missing", hint="install gankit again")
    return load_idx_pair(idx[0], idx[1], "digits", notes=("the test images of MNIST, shipped with gankit",))


def builtin_datasets() -> dict[str, DatasetFactory]:
    """The catalogue of the core: name -> factory."""
    return {
        "digits": digits,
        "mnist": MNIST,
        "fashion-mnist": FASHION_MNIST,
        "cifar10": CIFAR10,
        "gaussian1d": synthetic.gaussian1d,
        "ring8": synthetic.ring8,
        "grid25": synthetic.grid25,
        **{name: _polygons(family) for name, family in FAMILIES.items()},
    }


def _polygons(family: PolygonFamily) -> Splits:
    return Splits(
        lambda: polygons(family), {split: partial(polygons, family, split) for split in SPLITS if split != "train"}
    )
