"""What several test files use: the installed command, fake distributions, and sources of small plugins."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import textwrap
import venv
from pathlib import Path

import numpy as np
import warm

GANKIT = Path(sys.executable).parent / "gankit"
ROOT = Path(__file__).resolve().parents[1]

LOSS = """
from gankit.plugin import AdversarialLoss, VariantInfo, hookimpl

class Loss(AdversarialLoss):
    def discriminator(self, critic, batch):
        return {"score": critic(batch.fake) - critic(batch.real)}
    def generator(self, critic, batch):
        return {"score": -critic(batch.fake)}
"""

HOOKS = """
@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="Tiny")

@hookimpl
def gankit_loss():
    return Loss()
"""

TINY_VARIANT = '"""A tiny variant, for tests."""\n' + LOSS + HOOKS

OWN_NETWORKS = (
    TINY_VARIANT
    + """
from torch import nn

@hookimpl
def gankit_generator(data, z_dim):
    return nn.Sequential(nn.Linear(z_dim, 12), nn.Tanh(), nn.Unflatten(1, data.shape))

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0))
"""
)


def gankit(
    *arguments: object,
    cwd: Path,
    site: Path | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, with `site` as an extra folder of installed packages.

    `stdout` and `stderr` are descriptors for it in place of files that are read afterwards.

    It is not started but forked, if there is a server for that (see warm.py), and so are the processes that it starts;
    tests/wheel_test.sh and what calls GANKIT itself run the script.
    """
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GANKIT")}
    variables |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "GANKIT_HOME": os.environ["GANKIT_HOME"], **environment}
    if site is not None:
        variables["PYTHONPATH"] = str(site)
    command = [str(GANKIT), *map(str, arguments)]
    if "GANKIT_WARM_SERVER" not in os.environ:
        streams = {"stdout": stdout or subprocess.PIPE, "stderr": stderr or subprocess.PIPE}
        return subprocess.run(command, cwd=cwd, env=variables, **streams, text=True, timeout=300, check=False)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, open(os.devnull) as nothing:  # noqa: PTH123
        streams = [nothing.fileno(), stdout or out.fileno(), stderr or err.fileno()]
        interpreters = {"python": python(), "real": sys.executable}
        code = warm.ask(
            os.environ["GANKIT_WARM_SERVER"], streams, cwd=str(cwd), env=variables, argv=command, **interpreters
        )
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


def python() -> str:
    """An interpreter that takes its programs to a process in which torch is imported already (see warm.py)."""
    return str(Path(os.environ["GANKIT_WARM_SERVER"]).with_name("python"))


def unlaunched() -> dict[str, str]:
    """This environment without what torchrun sets, for one thread."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    return {**{k: v for k, v in os.environ.items() if k not in names}, "OMP_NUM_THREADS": "1"}


def environment_in(place: Path) -> Path:
    """A new virtual environment in `place` that sees the packages of this one, gankit included; its Python, as `python()`."""
    venv.create(place, with_pip=False, symlinks=True)
    (packages,) = (place / "lib").glob("python*/site-packages")
    seen = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "outer.pth").write_text("\n".join([*seen, str(ROOT), str(ROOT / "plugins")]) + "\n")
    program, cold = place / "bin" / "python", place / "bin" / "cold-python"
    cold.symlink_to(program.resolve())
    warm.write_python(program, Path(os.environ["GANKIT_WARM_SERVER"]), cold)
    return program


def install(
    site: Path,
    dist: str,
    source: str,
    *,
    variants: tuple[str, ...] = (),
    extensions: tuple[str, ...] = (),
    version: str = "1.2.3",
) -> None:
    """Put a distribution with one module into `site`, as pip would leave it; its entry points name that module."""
    module = dist.replace("-", "_")
    (site / f"{module}.py").write_text(textwrap.dedent(source))
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
    groups = {"gankit.variants": variants, "gankit.extensions": extensions}
    lines = [
        line for group, names in groups.items() if names for line in (f"[{group}]", *(f"{n} = {module}" for n in names))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


PIXELS = np.arange(2 * 3 * 2, dtype=np.uint8).reshape(2, 3, 2) * 20


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )
