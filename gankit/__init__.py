"""gankit trains generative adversarial networks; every variant is a plugin.

`gankit.train(images=100_000)` trains, `gankit.resume("runs/…")` goes on,
`gankit.load("generator.safetensors").sample(16, seed=0)` draws uint8 images [16, H, W, C].
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gankit.errors import GankitError as GankitError
    from gankit.run.adversary import Adversary as Adversary
    from gankit.run.entrance import Entrance as Entrance
    from gankit.run.run import RunResult as RunResult
    from gankit.run.train import resume as resume
    from gankit.run.train import train as train
    from gankit.sample.generator import TrainedGenerator as TrainedGenerator
    from gankit.sample.generator import load as load
    from gankit.score.evaluate import evaluate as evaluate
    from gankit.study.api import study as study

__version__ = "0.2.0"

# Loaded at first use, so that `gankit --help` need not import torch.
_EXPORTS = {
    "Adversary": "gankit.run.adversary",
    "Entrance": "gankit.run.entrance",
    "GankitError": "gankit.errors",
    "RunResult": "gankit.run.run",
    "TrainedGenerator": "gankit.sample.generator",
    "evaluate": "gankit.score.evaluate",
    "load": "gankit.sample.generator",
    "resume": "gankit.run.train",
    "train": "gankit.run.train",
}
_ROOMS = {"study": "gankit.study"}  # a package that is called: `gankit.study(…)`
__all__ = [
    "Adversary",
    "Entrance",
    "GankitError",
    "RunResult",
    "TrainedGenerator",
    "__version__",
    "evaluate",
    "load",
    "resume",
    "study",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(_ROOMS[name])
    if name not in _EXPORTS:
        raise AttributeError(f"module 'gankit' has no attribute '{name}'")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS, *_ROOMS})
