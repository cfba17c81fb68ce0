"""gankit trains generative adversarial networks; every variant is a plugin.

`gankit.train(images=100_000)` trains, `gankit.resume("runs/…")` goes on,
`gankit.load("generator.safetensors").sample(16, seed=0)` draws uint8 images [16, H, W, C].
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gankit.errors import GankitError as GankitError
    from gankit.evaluation import evaluate as evaluate
    from gankit.run import RunResult as RunResult
    from gankit.sample import TrainedGenerator as TrainedGenerator
    from gankit.sample import load as load
    from gankit.training import resume as resume
    from gankit.training import train as train

__version__ = "0.1.0"

# Loaded at first use, so that `gankit --help` need not import torch.
_EXPORTS = {
    "GankitError": "gankit.errors",
    "evaluate": "gankit.evaluation",
    "RunResult": "gankit.run",
    "TrainedGenerator": "gankit.sample",
    "load": "gankit.sample",
    "resume": "gankit.training",
    "train": "gankit.training",
}
__all__ = ["GankitError", "RunResult", "TrainedGenerator", "__version__", "evaluate", "load", "resume", "train"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'gankit' has no attribute '{name}'")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
