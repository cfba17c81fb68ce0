"""Valid files as few programs write them: `PYTHONPATH=tests python -m reliability.unusual`.

Each file is read as `gankit train` reads it, and must give the pixels that were written. Prints one JSON document of
figures; exit code 1 when a file was refused or gave other pixels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL

from gankit.data import Preparation, load_dataset
from gankit.errors import GankitError
from reliability.unusual import others, own, tiffs
from reliability.unusual.case import Case


def cases() -> list[Case]:
    """All files that can be made here."""
    found = [*own.png_cases(), *own.bmp_cases(), *own.pnm_cases(), *own.tga_cases(), *own.gif_cases()]
    found += [*own.icons_cases(), *own.qoi_cases(), *tiffs.tiff_cases(), *others.jpeg_cases()]
    found += [*others.jpeg2000_cases(), *others.webp_cases(), *others.avif_cases(), *others.heic_cases()]
    found += [*others.turned_cases(), *others.packed_cases()]
    assert len({case.name for case in found}) == len(found)
    return found


@dataclass
class Tally:
    """What was read and what came of it."""

    pillow: str = PIL.__version__
    files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    exact: int = 0
    within_tolerance: int = 0
    broken: list[str] = field(default_factory=list)


def read(case: Case, folder: Path) -> tuple[int, int]:
    """The largest difference to the expected pixels, and the tolerance; ValueError for another number or shape."""
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    samples = load_dataset(str(folder / case.data), {}, how=Preparation(**case.how)).samples.numpy()
    pixels = samples.transpose(0, 2, 3, 1)
    if pixels.shape != case.expected.shape:
        raise ValueError(f"{list(pixels.shape)} in place of {list(case.expected.shape)}")
    return int(np.abs(pixels.astype(int) - case.expected.astype(int)).max()), case.tolerance


def campaign(chosen: Iterable[Case], folder: Path) -> Tally:
    """Read every file."""
    tally = Tally()
    for number, case in enumerate(chosen):
        tally.files += 1
        tally.kinds[case.name.split(" ", 1)[0]] += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                difference, tolerance = read(case, folder / str(number))
        except (GankitError, ValueError) as error:
            tally.broken.append(f"{case.name}: {error}")
            continue
        if difference > tolerance:
            tally.broken.append(f"{case.name}: pixels differ by {difference}, {tolerance} are allowed")
        elif tolerance == 0:
            tally.exact += 1
        else:
            tally.within_tolerance += 1
    return tally


def main() -> None:
    """All files, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="files whose name contains this")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unusual-") as folder:
        tally = campaign([case for case in cases() if given.only in case.name], Path(folder))
    print(json.dumps({**vars(tally), "kinds": dict(tally.kinds)}, indent=2))
    raise SystemExit(bool(tally.broken))
