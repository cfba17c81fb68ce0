"""Finds directions: SeFa and GANSpace without labels, and named ones from labels. Each works for any generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from gankit.base import progress
from gankit.errors import InputError
from gankit.sample.directions import Direction
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents, is_styled, styles_of

DRAWS = 10_000  # latents of statistics
STEP = 1e-2  # by which an input of an affine layer is moved
BATCH = 256
MAX_VALUES = 1 << 27  # of the activations in memory at a time


def sefa(trained: TrainedGenerator, count: int) -> list[Direction]:
    """Closed-form factorisation (Shen and Zhou 2021, eq. 6): eigenvectors of AᵀA, the strongest first.

    A is the affine layer that takes z, or all those that take styles, one above the other; how it takes them (beside a
    condition, in a convolution, scaled) does not matter, for A is measured: its answer to a small step of each number.
    `strength` is the share of the squared change.
    """
    response = (_style_response if is_styled(trained.module) else _z_response)(trained)
    values, vectors = torch.linalg.eigh(response.double().T @ response.double())
    shares = values.clamp_min(0) / values.clamp_min(0).sum().clamp_min(1e-30)
    order = range(len(values) - 1, max(-1, len(values) - 1 - count), -1)
    latents = _draw(trained)
    return [
        _direction(f"sefa{number}", vectors[:, index].float(), latents, "sefa", float(shares[index]))
        for number, index in enumerate(order)
    ]


def ganspace(trained: TrainedGenerator, count: int) -> list[Direction]:
    """Principal components (Härkönen et al. 2020): of w itself, or of early activations, carried back to z.

    Without styles the activations are what the second affine layer is given; z is regressed on their coordinates (eq. 2
    there). `strength` is the share of the variance.
    """
    latents = _draw(trained)
    seen = latents if is_styled(trained.module) else _activations(trained, latents)
    centred = seen - seen.mean(0)
    total = float(centred.square().sum())
    count = min(count, *centred.shape, latents.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, spread, components = torch.svd_lowrank(centred, q=min(count + 8, *centred.shape), niter=4)
    coordinates = centred @ components[:, :count]
    carried = torch.linalg.lstsq(coordinates.double(), (latents[: len(seen)] - latents.mean(0)).double()).solution
    vectors = components[:, :count].T if is_styled(trained.module) else carried.float()
    shares = (spread[:count].square() / max(total, 1e-30)).tolist()
    return [
        _direction(f"pca{number}", vector, latents, "ganspace", share)
        for number, (vector, share) in enumerate(zip(vectors, shares, strict=True))
    ]


def from_scores(trained: TrainedGenerator, scores: Tensor, names: Sequence[str]) -> list[Direction]:
    """The direction along which each score of samples grows fastest: linear regression of scores [N, K] on latents.

    Scores belong to the first latents of `gankit.sample.search.sampled`. `strength` is the multiple correlation.
    """
    latents = _draw(trained, len(scores))
    x = (latents - latents.mean(0)).double()
    y = (scores - scores.mean(0)).double()
    ridge = 1e-3 * x.square().sum() / x.shape[1] * torch.eye(x.shape[1], dtype=x.dtype)
    slopes = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
    found = x @ slopes
    fit = (found * y).sum(0) / (found.norm(dim=0) * y.norm(dim=0)).clamp_min(1e-30)
    return [
        _direction(name, slopes[:, k].float(), latents, "labels", float(fit[k].clamp(0, 1)), signed=True)
        for k, name in enumerate(names)
    ]


def sampled(trained: TrainedGenerator, n: int) -> Iterator[Tensor]:
    """Samples for `from_scores`, as data sets store them, in batches."""
    z, y = trained.space.draw(DRAWS, 0)
    for start in range(0, n, BATCH):
        rows = slice(start, min(n, start + BATCH))
        yield trained.render(Latents(z[rows], None if y is None else y[rows]), batch=BATCH)
        progress.tell("samples", rows.stop, n)


def _draw(trained: TrainedGenerator, n: int = DRAWS) -> Tensor:
    """Latents [n, D] of the prior, in the space where they are moved: z, or w of the first layer."""
    z, y = trained.space.draw(DRAWS, 0)
    z, y = z[:n], None if y is None else y[:n]
    return styles_of(trained.module, Latents(z, y), trained.device)[:, 0] if is_styled(trained.module) else z


def _direction(
    name: str, vector: Tensor, latents: Tensor, method: Any, strength: float, *, signed: bool = False
) -> Direction:
    """A vector as long as the standard deviation of the latents along it; its sign is told, or its largest number's."""
    unit = vector / vector.norm().clamp_min(1e-12)
    if not signed and unit[unit.abs().argmax()] < 0:
        unit = -unit
    return Direction(name, (unit * float((latents @ unit).std())).contiguous(), method, strength)


# -- looking into a network --------------------------------------------------------------------------------------------


class _Seen(Exception):  # noqa: N818 - no error: what was looked for has been seen
    """Ends a forward pass."""


@contextmanager
def _watched(module: nn.Module, look: Any) -> Iterator[None]:
    """Calls `look(layer, input, output)` after every layer with a weight matrix, in the order in which they work."""

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            look(layer, inputs[0], output)

    handles = [
        layer.register_forward_hook(hook)
        for layer in module.modules()
        if isinstance(weight := getattr(layer, "weight", None), Tensor) and weight.dim() >= 2
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _run(trained: TrainedGenerator, z: Tensor, y: Tensor | None, look: Any) -> None:
    inputs = [part.to(trained.device) for part in (z, y) if part is not None]
    with _watched(trained.module, look):
        with suppress(_Seen):
            trained.module(*inputs)


def _affine_layers(trained: TrainedGenerator) -> list[nn.Module]:
    """The layers with a matrix whose answer depends on z, in the order in which they work."""
    layers: list[nn.Module] = []

    def look(layer: nn.Module, given: Tensor, output: Tensor) -> None:
        if len(output) == 2 and layer not in layers and not torch.equal(output[0], output[1]):
            layers.append(layer)

    z, y = trained.space.draw(2, 0)
    _run(trained, z, None if y is None else y[:1].expand(2, -1), look)
    return layers


def _z_response(trained: TrainedGenerator) -> Tensor:
    """What a unit step of each number of z does to the first affine layer: [outputs, z_dim]."""
    layers = _affine_layers(trained)
    if not layers:
        raise InputError("sefa: no layer with a matrix takes z in this generator", hint="--method ganspace, or labels")
    z, y = trained.space.draw(1, 0)
    steps = torch.cat([torch.zeros_like(z), STEP * torch.eye(z.shape[1])])
    answers: list[Tensor] = []

    def look(layer: nn.Module, given: Tensor, output: Tensor) -> None:
        if layer is layers[0]:
            answers.append(output.float().flatten(1).cpu())
            raise _Seen

    for part in torch.split(z + steps, BATCH):
        _run(trained, part, None if y is None else y.expand(len(part), -1), look)
    moved = torch.cat(answers)
    return ((moved[1:] - moved[:1]) / STEP).T


def _style_response(trained: TrainedGenerator) -> Tensor:
    """What a unit step of each number of w does to the affine layers that take styles: [outputs, W]."""
    assert is_styled(trained.module)
    ws = styles_of(trained.module, Latents(*trained.space.draw(1, 0)), trained.device)
    width = ws.shape[2]
    distinct = ws * torch.linspace(0.9, 1.1, ws.shape[1])[:, None]  # so that a layer's own w is recognised
    takes: list[nn.Module] = []

    def find(layer: nn.Module, given: Tensor, output: Tensor) -> None:
        own = given.dim() == 2 and given.shape[1] == width and (distinct[0] == given[0].float().cpu()).all(1).any()
        if own and layer not in takes:
            takes.append(layer)

    answers: dict[nn.Module, list[Tensor]] = {}

    def look(layer: nn.Module, given: Tensor, output: Tensor) -> None:
        if layer in takes:
            answers.setdefault(layer, []).append(output.float().flatten(1).cpu())

    with torch.no_grad():
        with _watched(trained.module, find):  # type: ignore[arg-type]
            trained.module.synthesise(distinct.to(trained.device))
        if not takes:
            raise InputError("sefa: no layer with a matrix takes the styles", hint="--method ganspace, or labels")
        steps = torch.cat([torch.zeros(1, width), STEP * torch.eye(width)])
        with _watched(trained.module, look):  # type: ignore[arg-type]
            for part in torch.split(steps, 32):
                trained.module.synthesise((distinct + part[:, None]).to(trained.device))
    moved = [torch.cat(parts) for parts in answers.values()]
    return torch.cat([(rows[1:] - rows[:1]) / STEP for rows in moved], dim=1).T


def _activations(trained: TrainedGenerator, latents: Tensor) -> Tensor:
    """What the second affine layer is given for each latent, or the samples where there is none: [N, D]."""
    layers = _affine_layers(trained)
    y = trained.space.draw(DRAWS, 0)[1]
    found: list[Tensor] = []
    room = DRAWS

    def look(layer: nn.Module, given: Tensor, output: Tensor) -> None:
        if layer is layers[1]:
            found.append(given.float().flatten(1).cpu())
            raise _Seen

    for start in range(0, DRAWS, BATCH):
        part = latents[start : start + BATCH]
        conditions = None if y is None else y[start : start + len(part)]
        if len(layers) > 1:
            _run(trained, part, conditions, look)
        else:
            found.append(trained.render(Latents(part, conditions)).float().flatten(1))
        room = min(DRAWS, MAX_VALUES // found[0].shape[1])
        progress.tell("activations", min(start + BATCH, room), room)
        if start + BATCH >= room:
            break
    return torch.cat(found)[:room]
