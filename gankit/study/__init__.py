"""Studies: many runs under one protocol, from a definition to a journal of results. `gankit.study(…)` runs one."""

from __future__ import annotations

import sys
import types
from typing import Any


class _Room(types.ModuleType):
    """This package, which is also the function that users call."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """`gankit.study.api.study`."""
        from gankit.study.api import study

        return study(*arguments, **settings)


sys.modules[__name__].__class__ = _Room
