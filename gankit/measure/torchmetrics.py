"""torchmetrics, also beside packages that it would use but that are broken here.

It imports what it finds installed, such as torchvision and torch-fidelity, and fails with them if they are incomplete
or made for another torch. gankit needs neither, so stand-ins take their place while torchmetrics is imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gankit.errors import ResourceError

if TYPE_CHECKING:
    from torchmetrics import Metric

NEEDED = {"torch", "numpy", "lightning_utilities", "packaging", "torchmetrics"}
BROKEN: dict[str, str] = {}
"""Package that was replaced -> the error of its import."""

__all__ = ["BROKEN", "Metric"]


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the packages in BROKEN, and all that is asked of them, as empty modules and classes."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in BROKEN:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _import() -> Any:
    """The module; the packages that make its import fail are put into BROKEN one after the other."""
    finder = _StandIn()
    sys.meta_path.insert(0, finder)
    try:
        while True:
            try:
                return importlib.import_module("torchmetrics")
            except Exception as error:
                culprit = _culprit(error)
                if culprit in NEEDED or culprit in BROKEN:
                    raise ResourceError(
                        f"torchmetrics cannot be imported: {type(error).__name__}: {error}",
                        hint="pip install --force-reinstall torchmetrics",
                    ) from error
                BROKEN[culprit] = f"{type(error).__name__}: {error}"
                _forget({"torchmetrics", culprit})
    finally:
        sys.meta_path.remove(finder)
        _forget(set(BROKEN))


def _culprit(error: BaseException) -> str:
    """The package whose import failed: the first one beyond torchmetrics on the way, or that the error names."""
    trace = error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("gankit", "importlib", "torchmetrics", "lightning_utilities"):
            return package
        trace = trace.tb_next
    return str(getattr(error, "name", None) or "torchmetrics").partition(".")[0]


def _forget(packages: set[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


if not TYPE_CHECKING:
    Metric = _import().Metric
