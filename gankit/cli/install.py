"""`gankit install` and `gankit uninstall`: plugins from the package index, a wheel or a folder."""

from __future__ import annotations

import importlib
import shlex
import subprocess
from typing import Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import complete_plugin
from gankit.errors import ResourceError

DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="Print the command and do nothing.")]


def install(
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE...", help="Names, wheels, folders or git+ URLs.")],
    dry_run: DryRun = False,
) -> None:
    """Install plugins into gankit's environment with the tool that made it; PyTorch and gankit do not change.

    A plugin is code that you trust: it runs when it is chosen.

    gankit install gankit-mygan
    """
    from gankit.host import install

    with install.constraints() as file:
        before = install.plugins_now()
        _run(install.install_command(packages, file), dry_run)
    if dry_run:
        return
    importlib.invalidate_caches()
    added = sorted(install.plugins_now() - before)
    for kind, name, origin in added:
        print(f"{kind} {name} from {origin}: gankit plugin check {name}")
    if not added:
        hint = "a package of the same version is not replaced: raise its version, or gankit uninstall it first"
        console.talk.print(f"no new plugin was installed; {hint}", style="yellow")


def uninstall(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=complete_plugin, help="A plugin, or its package.")
    ],
    dry_run: DryRun = False,
) -> None:
    """Remove the package of a plugin from gankit's environment. Runs and checkpoints remain, and name what they need.

    gankit uninstall mygan
    """
    from gankit.host import install

    _run(install.uninstall_command(name), dry_run)


def _run(command: list[str], dry_run: bool) -> None:
    console.talk.print(shlex.join(command), style="dim", markup=False)
    if dry_run:
        return
    try:
        # The messages of the installer go to stderr, because stdout is for data.
        code = subprocess.run(command, stdout=2, check=False).returncode
    except OSError as error:
        raise ResourceError(f"{command[0]} cannot be run: {error.strerror}", hint="is it on the PATH?") from error
    if code:
        raise ResourceError(f"{command[0]} ended with {code}", hint="its messages above say why")
