"""The named data sets of the core."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from gankit.base.text import printable
from gankit.data.dataset import Dataset, DatasetFactory, Splits
from gankit.data.formats.idx import find_idx, load_idx_pair
from gankit.data.formats.images import image_rows
from gankit.data.formats.rows import load_rows
from gankit.data.formats.sources import zip_files
from gankit.data.preparation import AS_THEY_ARE
from gankit.data.sets import synthetic
from gankit.data.sets.downloads import CIFAR10, FASHION_MNIST, MNIST
from gankit.data.sets.polygons import FAMILIES, SPLITS, PolygonFamily, polygons
from gankit.data.sets.stacked import stackedmnist
from gankit.errors import InputError


def digits() -> Dataset:
    """The 10,000 test images of MNIST, which are part of the package."""
    folder = Path(__file__).parent / "digits"
    idx = find_idx(folder)
    if idx is None:
        raise InputError(f"{printable(folder)}: the digits are missing", hint="install gankit again")
    return load_idx_pair(idx[0], idx[1], "digits", notes=("the test images of MNIST, shipped with gankit",))


def hands() -> Dataset:
    """2,062 photographs [3, 64, 64] of hands that show 0 to 9, which are part of the package."""
    packed = Path(__file__).parent / "hands" / "hands.zip"
    if not packed.is_file():
        raise InputError(f"{printable(packed)}: the photographs are missing", hint="install gankit again")
    with zip_files(packed) as files:
        photographs = load_rows(image_rows(files, "hands", AS_THEY_ARE))
    return dataclasses.replace(
        photographs, notes=("photographs of the Sign Language Digits Dataset, shipped with gankit",)
    )


def builtin_datasets() -> dict[str, DatasetFactory]:
    """The catalogue of the core: name -> factory."""
    return {
        "digits": digits,
        "hands": hands,
        "mnist": MNIST,
        "fashion-mnist": FASHION_MNIST,
        "cifar10": CIFAR10,
        "stackedmnist": lambda: stackedmnist(digits()),
        "gaussian1d": synthetic.gaussian1d,
        "ring8": synthetic.ring8,
        "grid25": synthetic.grid25,
        **{name: _polygons(family) for name, family in FAMILIES.items()},
    }


def _polygons(family: PolygonFamily) -> Splits:
    return Splits(
        lambda: polygons(family), {split: partial(polygons, family, split) for split in SPLITS if split != "train"}
    )
