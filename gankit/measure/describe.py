"""What was scored and what computed the score, for the record."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torch

from gankit import __version__
from gankit.base.files import canonical_json, sha256
from gankit.settings.config import REPETITION_CHANGES
from gankit.store.generator_file import GeneratorHeader


def describe_samples(header: GeneratorHeader) -> dict[str, Any]:
    """What a checkpoint's samples are, for the record. `settings` is equal for runs that differ only by their seed."""
    settings = {key: value for key, value in header.config.items() if key not in REPETITION_CHANGES}
    return {
        "kind": "generator",
        "variant": header.variant.name,
        "settings": sha256(canonical_json([settings, header.options, header.extension_options]).encode())[:16],
        "training_seed": header.seed,
        "tensors_sha256": header.tensors_sha256,
    }


def versions() -> dict[str, str]:
    """What computed a score; recorded, not compared."""
    return {
        "gankit": __version__,
        "torch": torch.__version__,
        "torchmetrics": importlib.metadata.version("torchmetrics"),
    }
