"""Installs plugins into gankit's environment with the tool that made it, without changing PyTorch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gankit.errors import InputError, ResourceError
from gankit.host import discovery

NEVER_REPLACED = ("torch", "gankit")


def installer(prefix: Path = Path(sys.prefix)) -> list[str]:
    """The command that installs into this environment: pipx, uv or pip; ResourceError if none can."""
    if (prefix / "pipx_metadata.json").is_file():
        return ["pipx", "runpip", prefix.name]
    if sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
        raise ResourceError(
            "this Python belongs to the system", hint="make a virtual environment: python3 -m venv .venv"
        )
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    if shutil.which("uv"):
        return ["uv", "pip"]
    raise ResourceError("there is neither pip nor uv in this environment", hint="python -m ensurepip")


def install_command(packages: Sequence[str], constraints: Path, prefix: Path = Path(sys.prefix)) -> list[str]:
    """The command that installs packages; InputError for an empty name, or one that pip would read as a flag."""
    if not packages:
        raise InputError("no package is named", hint="gankit install NAME")
    for package in packages:
        if package.startswith("-") or not package.strip():
            raise InputError(f"'{package}' is not a package", hint="a name, a path of a wheel or folder, or a git+ URL")
    command = installer(prefix)
    target = ["--python", sys.executable] if command[0] == "uv" else []
    return [*command, "install", *target, "--constraint", str(constraints), *map(_from_anywhere, packages)]


def uninstall_command(name: str, prefix: Path = Path(sys.prefix)) -> list[str]:
    """The command that removes a plugin's package, given either name; InputError for none, and for gankit itself."""
    dist = _package_of(name)
    if discovery.normalise(dist) in NEVER_REPLACED:
        raise InputError(f"'{name}' belongs to {dist}", hint="its plugins cost nothing while they are not used")
    command = installer(prefix)
    return [*command, "uninstall", *(["--python", sys.executable] if command[0] == "uv" else ["--yes"]), dist]


def _from_anywhere(package: str) -> str:
    """The package for a tool that runs in another folder, such as pipx: './x[extra]' -> '/…/x[extra]'."""
    path, bracket, extras = package.partition("[")
    is_path = (os.sep in path or path.endswith((".whl", ".tar.gz", ".zip"))) and Path(path).exists()
    return f"{Path(path).resolve()}{bracket}{extras}" if is_path else package


@contextmanager
def constraints() -> Iterator[Path]:
    """A file that pins the installed versions of packages that a plugin must not replace."""
    with tempfile.TemporaryDirectory(prefix="gankit-") as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(f"{name}=={importlib.metadata.version(name)}\n" for name in NEVER_REPLACED))
        yield path


def plugins_now() -> set[tuple[str, str, str]]:
    """(kind, name, origin) of every installed plugin that is allowed."""
    return {
        (p.kind, p.name, p.origin)
        for group in (discovery.VARIANTS, discovery.EXTENSIONS)
        for p in discovery.discover(group)
    }


def _package_of(name: str) -> str:
    plugins = [p for group in (discovery.VARIANTS, discovery.EXTENSIONS) for p in discovery.discover(group)]
    owners = sorted({p.dist for p in plugins if p.dist and discovery.normalise(name) == p.name})
    if len(owners) > 1:
        raise InputError(f"plugin '{name}' is offered by {' and '.join(owners)}", hint="name the package")
    if owners:
        return owners[0]
    if any(discovery.normalise(p.dist or "") == discovery.normalise(name) for p in plugins):
        return next(p.dist for p in plugins if p.dist and discovery.normalise(p.dist) == discovery.normalise(name))
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name):
        raise InputError(f"'{name}' is not the name of a plugin or package", hint="`gankit plugin list` shows them")
    raise InputError(f"no installed plugin or package of plugins is called '{name}'", hint="`gankit plugin list`")
