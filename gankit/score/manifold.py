"""Precision, recall and F1 on a known manifold: convex polygons ("Are GANs Created Equal?", Lucic et al. 2018)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gankit.base.text import did_you_mean, printable
from gankit.data.sets.polygons import FAMILIES, SIDE, PolygonFamily, polygons
from gankit.errors import InputError
from gankit.game.latent import LatentSpace
from gankit.measure.record import Evaluation, Protocol, Score
from gankit.modality import modality_of
from gankit.sample import invert as search
from gankit.sample.generator import LoadOptions, TrainedGenerator
from gankit.score.evaluate import open_checkpoint
from gankit.score.polygon_fit import RESTARTS, distances

PAPER_DELTA, PAPER_N = 0.75, 1024
SEARCH_STEPS = 200


@dataclass(frozen=True)
class ManifoldScore:
    """Shares in 0..1: samples near a polygon, test polygons near a sample, and their harmonic mean."""

    precision: float
    recall: float
    f1: float
    n: int  # number of samples, and of test polygons
    delta: float  # squared L2 distance (pixels in 0..1) below which images count as near


def f1(precision: float, recall: float) -> float:
    """2 P R / (P + R), and 0 when both are 0."""
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def family_of(data_name: str) -> PolygonFamily:
    """The polygons in a data set: 'triangles', 'squares', 'triangles-fixed' or 'squares-fixed'."""
    if data_name not in FAMILIES:
        known = ", ".join(FAMILIES)
        hint = f"{did_you_mean(data_name, FAMILIES)}it is known for {known}"
        raise InputError(f"the manifold of '{printable(data_name)}' is not known", hint=hint)
    return FAMILIES[data_name]


def score(
    trained: TrainedGenerator,
    family: PolygonFamily,
    *,
    n: int = PAPER_N,
    delta: float = PAPER_DELTA,
    seed: int = 0,
) -> ManifoldScore:
    """Precision of the samples of seeds seed..seed+n-1 and recall of the first n test polygons.

    The defaults of `n` and `delta` are those of the paper.
    """
    if tuple(trained.data.shape) != (1, SIDE, SIDE):
        shape = "x".join(str(side) for side in trained.data.shape)
        raise InputError(f"the generator makes {shape}, polygons are 1x{SIDE}x{SIDE}", hint="train it on polygons")
    real = polygons(family, "test").samples
    if not 1 <= n <= len(real):
        raise InputError(f"{n} polygons to score", hint=f"there are 1 to {len(real):,}")
    fakes = torch.from_numpy(trained.sample(n, seed=seed)).permute(0, 3, 1, 2)
    precise = distances(fakes, family, seed=seed) < delta
    if trained.space.conditions is not None:
        raise InputError("the generator is conditional, polygons have one class", hint="train it without --conditional")
    targets, space, device = modality_of(trained.data.shape).floats(real[:n]), trained.space, trained.device
    recalled = invert(trained.module, targets, space, seed=seed, device=device, tolerance=delta) < delta
    precision, recall = (float(hits.double().mean()) for hits in (precise, recalled))
    return ManifoldScore(precision, recall, f1(precision, recall), n, delta)


def evaluate_manifold(
    target: str | os.PathLike[str],
    options: LoadOptions | None = None,
    *,
    n: int = PAPER_N,
    delta: float = PAPER_DELTA,
    seed: int = 0,
) -> Evaluation:
    """`score` of a checkpoint that was trained on one of the polygon data sets, with its protocol.

    The floor of precision is that of real polygons from the hold-out. Recall needs a generator and has no floor.
    """
    started = time.monotonic()
    opened = open_checkpoint(Path(target), options or LoadOptions())
    header = opened.trained.header
    family = family_of(header.data)
    if polygons(family).fingerprint != header.data_fingerprint:
        raise InputError(
            f"{opened.file} was trained on other data that is named '{printable(header.data)}'",
            hint=f"train it with --data {family.name}",
        )
    result = score(opened.trained, family, n=n, delta=delta, seed=seed)
    holdout = polygons(family, "holdout").samples[:n]
    floor = float((distances(holdout, family, seed=seed, what="floor") < delta).double().mean())
    parameters = {"delta": delta, "restarts": RESTARTS, "steps": SEARCH_STEPS}
    protocol = Protocol(
        data_fingerprint=header.data_fingerprint,
        train_fingerprint=header.data_fingerprint,
        split="test",
        shape=header.shape,
        features=f"manifold of {family.name}",
        features_sha256="none",
        preparation={},
        quantisation="uint8",
        n=n,
        n_real=n,
        n_floor=len(holdout),
        n_train=0,
        seed=seed,
        metrics={"manifold": parameters},
    )
    scores = {
        "precision": Score(result.precision, floor, metric="manifold", higher_is_better=True),
        "recall": Score(result.recall, None, metric="manifold", higher_is_better=True),
        "f1": Score(result.f1, None, metric="manifold", higher_is_better=True),
    }
    return opened.evaluation(protocol, scores, header.data, started)


def invert(
    generator: nn.Module,
    images: Tensor,
    space: LatentSpace,
    *,
    restarts: int = RESTARTS,
    steps: int = SEARCH_STEPS,
    seed: int = 0,
    device: torch.device | str,
    tolerance: float = 0.0,
) -> Tensor:
    """float32 [N, C, H, W] in [-1, 1] on the CPU -> float64 [N]: squared L2 distance (pixels 0..1) to the nearest G(z).

    It is `gankit.sample.invert` in z, which ends for an image as soon as its distance is below `tolerance`.
    """
    network = search.frozen(generator, device)
    found = search.invert(
        halved(images),
        search.InZ(network, space),
        space,
        view=halved,
        restarts=restarts,
        steps=steps,
        seed=seed,
        device=device,
        tolerance=tolerance,
        what="recall",
    )
    return found.errors


def halved(images: Tensor) -> Tensor:
    """[N, C, H, W] in [-1, 1] -> vectors whose distances are those of pixels in 0..1."""
    return images.flatten(1) / 2
