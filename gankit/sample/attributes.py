"""Words for condition vectors: 'smiling,age=35' fixes two numbers of y, and the others stay as they are in the data."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gankit.base.text import did_you_mean, printable
from gankit.contracts import Attribute
from gankit.errors import InputError

_YES_OR_NO = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "-1": 0.0, "false": 0.0, "no": 0.0}
_LISTED = 20


def parse_attributes(text: str, attributes: Sequence[Attribute]) -> Tensor:
    """y [K] from 'smiling,male=0,age=35,hair=red'; NaN where nothing is said. InputError for an unknown name.

    Numbers are in the units of the data. A name with a comma in it stands in double quotes.
    """
    wanted = torch.full((len(attributes),), torch.nan)
    for part in next(csv.reader([text], skipinitialspace=True), []):
        place, value = _assignment(part.strip(), attributes)
        group = attributes[place].name.partition("=")[0]
        if not wanted[place].isnan():
            raise InputError(f"'{printable(text)}' says '{printable(attributes[place].name)}' twice", hint="once each")
        wanted[place] = value
        if "=" in attributes[place].name and value == 1:  # a choice: it is one of them
            for other, attribute in enumerate(attributes):
                if attribute.name.startswith(f"{group}=") and wanted[other].isnan():
                    wanted[other] = 0
    return wanted


def describe(wanted: Tensor, attributes: Sequence[Attribute]) -> dict[str, float]:
    """Attribute -> its value in the units of the data, of those that y [K] fixes."""
    pairs = zip(attributes, wanted.tolist(), strict=True)
    return {a.name: round(a.mean + a.std * value, 6) for a, value in pairs if not math.isnan(value)}


def _assignment(part: str, attributes: Sequence[Attribute]) -> tuple[int, float]:
    """The number of y that 'smiling', 'smiling=0', 'age=35' or 'hair=red' means, and its value."""
    whole = _find(part, attributes)
    if whole is not None and attributes[whole].kind == "binary":
        return whole, 1.0
    name, equals, value = part.rpartition("=")
    place = _find(name, attributes) if equals else whole
    if place is None:
        raise _unknown(part, attributes)
    attribute = attributes[place]
    if attribute.kind == "binary":
        if value.strip().lower() not in _YES_OR_NO:
            raise InputError(
                f"'{printable(part)}': '{printable(attribute.name)}' holds or not",
                hint=f"{attribute.name}=1 or {attribute.name}=0",
            )
        return place, _YES_OR_NO[value.strip().lower()]
    try:
        number = (float(value) - attribute.mean) / attribute.std
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e30:
        raise InputError(
            f"'{printable(part)}': '{printable(attribute.name)}' is a number",
            hint=f"{attribute.name}={attribute.mean:.4g}",
        )
    return place, number


def _find(name: str, attributes: Sequence[Attribute]) -> int | None:
    """The attribute of a name, or of the one name that differs by case, blanks and underscores alone."""
    names = [attribute.name for attribute in attributes]
    if name in names:
        return names.index(name)
    same = [place for place, known in enumerate(names) if _folded(known) == _folded(name)]
    return same[0] if len(same) == 1 else None


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _unknown(part: str, attributes: Sequence[Attribute]) -> InputError:
    names = [printable(attribute.name) for attribute in attributes]
    name = part.partition("=")[0].strip()
    choices = [known for known in names if known.casefold().startswith(f"{name.casefold()}=")]
    if choices:
        value = part.partition("=")[2].strip()
        near = did_you_mean(value, [choice[len(name) + 1 :] for choice in choices]) if value else ""
        what = f"no value '{printable(value)}' of '{printable(name)}'" if value else f"which '{printable(name)}'?"
        return InputError(what, hint=f"{near}one of {', '.join(choices[:_LISTED])}")
    listing = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    return InputError(f"no attribute '{printable(name)}'", hint=f"{did_you_mean(name, names)}attributes: {listing}")
