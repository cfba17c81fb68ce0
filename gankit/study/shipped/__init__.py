"""Studies that come with the package, known by their names: 'losses-small'."""

from __future__ import annotations

from pathlib import Path

from gankit.base.text import did_you_mean, printable
from gankit.errors import InputError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Their names, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def definition_file(given: str | Path) -> Path:
    """The file that is meant: one that exists, or that of a study of the package; InputError for anything else."""
    path = Path(given)
    if path.exists():
        return path
    if str(given) in names():
        return FOLDER / f"{given}.toml"
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise InputError(f"{printable(path)} does not exist", hint=f"studies of the package: {', '.join(names())}")
    hint = f"{did_you_mean(str(given), names())}give a FILE.toml, or one of {', '.join(names())}"
    raise InputError(f"no study is called '{printable(path)}'", hint=hint)
