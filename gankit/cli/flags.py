"""The flags that several commands share, and the parsers of their values."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gankit.errors import InputError

Checkpoint = Annotated[
    Path, typer.Argument(metavar="CKPT", help="A .safetensors file, a run folder, or hf://owner/name.")
]
Device = Annotated[str, typer.Option(help="auto takes cuda, then mps, then cpu.")]
File = Annotated[str | None, typer.Option("--variant", help="The variant, when it is a ./file.py.")]
With = Annotated[list[str] | None, typer.Option("--with", help="The extensions, when one is a file.")]
Range = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW,HIGH", help="Values of black and white (default: what the values say)."),
]
Channels = Annotated[
    str | None, typer.Option(metavar="CHANNELS", help="grey, rgb or rgba; of an array numbers: 0,3,5.")
]
Kind = Annotated[
    Literal["points", "signals", "images", "volumes"] | None,
    typer.Option(metavar="KIND", help="points, signals, images or volumes (default: what the array says)."),
]
Length = Annotated[int | None, typer.Option(min=2, help="Steps of a signal: longer ones are cut into clips.")]
Background = Annotated[
    str | None, typer.Option(metavar="COLOUR", help="What is transparent is laid on it: gray, #ff8000.")
]
Frames = Annotated[
    Literal["first", "all"], typer.Option(help="Of files with several frames or pages: the first, or each.")
]
Labels = Annotated[
    str | None,
    typer.Option(metavar="COLUMNS", help="Columns of the file of labels: smiling,age:number (default: as inferred)."),
]
ImageColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column of the images in Parquet files (default: the only one).")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

MAX_SEEDS = 10_000_000


def complete_variant(incomplete: str) -> list[tuple[str, str]]:
    """(name, title) of installed variants, from metadata only."""
    from gankit.host import discovery

    return [(p.name, p.title) for p in discovery.discover(discovery.VARIANTS) if p.name.startswith(incomplete)]


def complete_extension(incomplete: str) -> list[tuple[str, str]]:
    """(name, title) of installed extensions, from metadata only."""
    from gankit.host import discovery

    return [(p.name, p.title) for p in discovery.discover(discovery.EXTENSIONS) if p.name.startswith(incomplete)]


def complete_plugin(incomplete: str) -> list[tuple[str, str]]:
    """(name, title) of installed variants and extensions, from metadata only."""
    return [*complete_variant(incomplete), *complete_extension(incomplete)]


def complete_recipe(incomplete: str) -> list[tuple[str, str]]:
    """(name, title) of the recipes of installed packages."""
    from gankit.host import recipes

    return [(found.name, found.recipe.title) for found in recipes.discover() if found.name.startswith(incomplete)]


def data_flags(given: Mapping[str, Any]) -> list[str]:
    """The flags that say how data are prepared, as far as they differ from the defaults."""
    names = {"size": "--size", "value_range": "--range", "channels": "--channels"}
    names |= {"kind": "--kind", "length": "--length", "labels": "--labels", "image_column": "--image-column"}
    names |= {"background": "--background", "frames": "--frames", "on_bad_image": "--on-bad-image"}
    defaults = (None, "first", "error")
    return [
        f"{flag}={shlex.quote(str(given[name]))}" for name, flag in names.items() if given.get(name) not in defaults
    ]


def path_of(text: str, flag: str) -> Path:
    """The path in a flag; InputError for an empty one, which is an unset shell variable and not the current folder."""
    if not text.strip():
        raise InputError(f"{flag} is empty", hint="give a path")
    return Path(text)


def keep_inputs(out: Path, *inputs: str | Path | None) -> None:
    """InputError for an output that is, or lies in the place of, something that is read."""
    for given in inputs:
        if given is not None and out.resolve() == Path(given).resolve():
            raise InputError(f"-o {out} is what is read", hint="another -o")


def picture_path(text: str, flag: str, films: Collection[str] = ()) -> tuple[Path, str]:
    """A path and its suffix, which is .png or one of `films`."""
    path = path_of(text, flag)
    suffix = path.suffix.lower()
    if suffix == ".png" or suffix in films:
        return path, suffix
    if not films:
        raise InputError(f"{text}: the picture is a PNG", hint=f"{flag} x.png")
    raise InputError(f"{text}: unknown kind of output '{suffix}'", hint=" or ".join(f"x{s}" for s in (".png", *films)))


def key_values(pairs: list[str]) -> dict[str, Any]:
    """['smoothing=0.1', 'ada.target=0.6'] -> {'smoothing': '0.1', 'ada': {'target': '0.6'}}."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        extension, dot, name = key.strip().rpartition(".")
        if not separator or not name or (dot and not extension):
            raise InputError(f"-s {pair}: not KEY=VALUE", hint="for example -s label_smoothing=0.1 -s ada.target=0.5")
        table = values.setdefault(extension, {}) if extension else values
        table[name.replace("-", "_")] = value.strip()
    return values


def parse_seeds(text: str, flag: str = "--seeds") -> list[int]:
    """'0,1,4-6' -> [0, 1, 4, 5, 6], each once."""
    seeds = parse_path(text, flag)
    distinct: set[int] = set()
    for seed in seeds:
        if seed in distinct:
            raise InputError(f"{flag} {text}: {seed} is named twice", hint="name each seed once")
        distinct.add(seed)
    return seeds


def parse_path(text: str, flag: str = "--seeds") -> list[int]:
    """'0,4-6,0' -> [0, 4, 5, 6, 0]; seeds may be repeated."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        if match is None:
            raise InputError(f"{flag} {text}: '{part}' is not a seed or a range", hint=f"for example {flag} 0,1,4-6")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= MAX_SEEDS:
            raise InputError(f"{flag} {text}: '{part}' is not a range", hint=f"for example {flag} 0,1,4-6")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise InputError(f"{flag} {text}: more than {MAX_SEEDS:,} samples", hint="sample them in several parts")
        seeds.extend(range(first, last + 1))
    return seeds


def parse_vector(text: str) -> list[float]:
    """'0.5,-1' -> [0.5, -1.0]."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"'{text}' is not a vector", hint="numbers with commas between them: 0.5,-1,0") from None
    if not all(math.isfinite(value) for value in values):
        raise InputError(f"'{text}' is not a vector of finite numbers", hint="for example 0.5,-1,0")
    return values
