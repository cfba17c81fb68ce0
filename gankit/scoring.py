"""What it takes to score a generator: its samples by number, what they are, and the evaluator of a training run."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torch
from torch import Tensor, nn

from gankit import __version__
from gankit.config import REPETITION_CHANGES
from gankit.data import Dataset, Progress
from gankit.evaluator import Evaluator
from gankit.features import choose_space
from gankit.features.extract import Source
from gankit.generator_file import GeneratorHeader
from gankit.latent import LatentSpace
from gankit.plan import Plan
from gankit.sample import draw
from gankit.storage import canonical_json, sha256


def latent_source(module: nn.Module, space: LatentSpace, first: int, device: torch.device) -> Source:
    """Samples of a generator by number: sample i is that of latent seed `first + i`, as `gankit sample` makes it."""

    def source(start: int, stop: int) -> Tensor:
        samples = torch.from_numpy(draw(module, space.inputs(range(first + start, first + stop)), device))
        return samples.permute(0, 3, 1, 2) if samples.ndim == 4 else samples

    return source


def describe_samples(header: GeneratorHeader) -> dict[str, Any]:
    """What a checkpoint's samples are, for the record. `settings` is equal for runs that differ only by their seed."""
    settings = {key: value for key, value in header.config.items() if key not in REPETITION_CHANGES}
    return {
        "kind": "generator",
        "variant": header.variant.name,
        "settings": sha256(canonical_json([settings, header.options]).encode())[:16],
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


def training_evaluator(
    plan: Plan, dataset: Dataset, device: torch.device, progress: Progress | None = None
) -> Evaluator:
    """The evaluator of `eval_every`, with the real data's features and the floor computed already."""
    composition, config = plan.composition, plan.config
    space = choose_space(config.eval_features, dataset, composition.catalogue("gankit_features"), progress)
    metrics = composition.catalogue("gankit_metrics")
    n = min(config.eval_n, len(dataset) // 2)
    evaluator = Evaluator(dataset, dataset, space, metrics, n=n, device=device, progress=progress)
    _ = evaluator.floor
    evaluator.progress = None  # from here on the run has a display of its own
    return evaluator
