"""`gankit plugin new`: a distribution with one working plugin, written from the files in templates/."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from gankit import __version__
from gankit.errors import InputError, ResourceError
from gankit.host import discovery

MAX_NAME = 64  # characters, as in the header of a sampleable file
RESERVED = ("core", "gankit")


@dataclass(frozen=True)
class Made:
    """What was written, and what to type next."""

    folder: Path
    files: tuple[str, ...]
    commands: tuple[str, ...]


def create(name: str, *, extension: bool = False, licence: str = "MIT", folder: Path | None = None) -> Made:
    """Write the distribution gankit-NAME into a new folder (default: of that name); InputError for a bad name.

    `name` may be spelt like a title (`MyGAN`); the name of the plugin is in lower case, with hyphens.
    """
    kind = "extension" if extension else "variant"
    plugin = checked_name(name, kind)
    chosen_by = f"--with {plugin}" if extension else f"--variant {plugin}"
    templates = resources.files("gankit.host") / "templates"
    licences = sorted(file.name for file in (templates / "licences").iterdir())
    chosen = next((known for known in licences if known.lower() == licence.lower()), None)
    if chosen is None:
        raise InputError(f"--licence {licence}: gankit has no text of this licence", hint=", ".join(licences))
    module = f"gankit_{plugin.replace('-', '_')}"
    values = {
        "name": plugin,
        "title": name.strip(),
        "dist": f"gankit-{plugin}",
        "module": module,
        "group": discovery.EXTENSIONS if extension else discovery.VARIANTS,
        "kind": kind,
        "article": "an" if extension else "a",
        "chosen": chosen_by,
        "gankit": compatible(__version__),
        "licence": chosen,
        "year": str(datetime.now(UTC).year),
    }
    sources = {
        "pyproject.toml": templates / "pyproject.txt",
        f"{module}.py": templates / kind / "module.txt",
        f"tests/test_{module.removeprefix('gankit_')}.py": templates / "test_module.txt",
        "README.md": templates / "README.txt",
        "LICENSE": templates / "licences" / chosen,
        ".github/workflows/test.yml": templates / "test_workflow.txt",
        ".github/workflows/release.yml": templates / "release_workflow.txt",
    }
    target = folder or Path(values["dist"])
    _write(target, {path: _fill(source, values) for path, source in sources.items()})
    return Made(target, tuple(sources), _next(target, plugin, chosen_by))


def checked_name(name: str, kind: str) -> str:
    """'My_GAN' -> 'my-gan'; InputError for what cannot name a package and a module, or is taken already."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name.strip()) or len(name) > MAX_NAME:
        hint = f"letters, digits and single hyphens between them, at most {MAX_NAME}: my-gan"
        raise InputError(f"'{name}' cannot be the name of a package", hint=hint)
    plugin = discovery.normalise(name)
    if plugin in RESERVED or plugin.startswith("gankit-"):
        raise InputError(f"the name '{plugin}' is gankit's own", hint="leave out 'gankit': the package is gankit-NAME")
    for group in (discovery.VARIANTS, discovery.EXTENSIONS):
        for other in discovery.installed(group):
            if other.name == plugin:
                hint = "choose another name: users would have to write PACKAGE:NAME for both"
                raise InputError(f"{other.kind} '{plugin}' is there already, from {other.origin}", hint=hint)
    module = f"gankit_{plugin.replace('-', '_')}"
    if importlib.util.find_spec(module) is not None:
        raise InputError(f"there is a module '{module}' already", hint=f"choose another name for your {kind}")
    return plugin


def compatible(version: str) -> str:
    """The versions of gankit that a plugin written today depends on: '0.2.0' -> '>=0.2.0,<0.3'."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={version},<{f'{major}.{minor + 1}' if major == 0 else major + 1}"


def _fill(source: Traversable, values: dict[str, str]) -> str:
    return Template(source.read_text(encoding="utf-8")).substitute(values)


def _write(folder: Path, files: dict[str, str]) -> None:
    """All files, into a folder that is new or empty."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is there already and is not empty", hint="choose another folder with -o")
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise ResourceError(f"cannot write {folder}: {error.strerror}", hint="choose another folder with -o") from error


def _next(folder: Path, plugin: str, chosen_by: str) -> tuple[str, ...]:
    return (
        f"cd {shlex.quote(os.fspath(folder))}",
        "pip install --editable '.[test]'",
        f"gankit plugin check {plugin}",
        f"gankit train {chosen_by} --images 20k",
        "pytest",
    )
