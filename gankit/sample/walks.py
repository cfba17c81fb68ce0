"""Walks and arithmetic in the latent space of a generator, for `gankit interpolate`, `mix` and `arithmetic`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gankit.errors import InputError
from gankit.machine import streams
from gankit.modality.images import pixels_of
from gankit.modality.modality import Pixels
from gankit.sample.directions import AS_THEY_ARE, Direction, Edit, Move
from gankit.sample.generator import TrainedGenerator
from gankit.sample.latents import Latents, is_styled, styles_of
from gankit.sample.pictures import MAX_GRID, generate

NOISE = 0.25  # half-width of the uniform noise (DCGAN, section 6.3.2)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Great-circle interpolation (Shoemake, 1985): [D], [D], [T] in [0, 1] -> [T, D]; a line for parallel vectors.

    The mean of two draws of N(0, I) is far inside the shell of typical draws; an arc stays within the shell.
    """
    cosine = torch.dot(start, end) / (start.norm() * end.norm()).clamp_min(1e-12)
    angle = torch.acos(cosine.clamp(-1, 1))
    weights = t[:, None]
    if float(torch.sin(angle)) < 1e-4:
        return torch.lerp(start[None], end[None], weights)
    return (torch.sin((1 - weights) * angle) * start + torch.sin(weights * angle) * end) / torch.sin(angle)


def stops_of(trained: TrainedGenerator, seeds: Sequence[int], labels: Sequence[int | str] = ()) -> Latents:
    """The latents that a walk through the samples of seeds visits.

    A conditional generator keeps one class, that of `labels` or of the first seed; with two labels the stops have them
    in turn.
    """
    y = conditions_of(trained, seeds[0], labels)
    return Latents(trained.space.z(seeds), None if y is None else y[[i % len(y) for i in range(len(seeds))]])


def with_conditions(trained: TrainedGenerator, given: Latents) -> Latents:
    """Latents of a file; where z of a conditional generator has no y, that of seeds 0, 1, …, as in `gankit sample`."""
    y = None if given.ws is not None or given.y is not None else trained.conditions(range(len(given)))
    return given if y is None else given.given(y)


def interpolate(trained: TrainedGenerator, stops: Latents, steps: int, *, edit: Edit = AS_THEY_ARE) -> list[Pixels]:
    """A walk for each pair of neighbouring stops: `steps` images uint8 [T, H, W, C], both ends included.

    z ~ N(0, I) goes along arcs; a uniform z, y and styles go along lines.
    """
    drawable(trained, (len(stops) - 1) * steps, "a walk")
    if len(stops) < 2 or steps < 2:
        raise InputError(f"a walk through {len(stops)} samples in {steps} steps", hint="two or more of each")
    t = torch.linspace(0, 1, steps)
    arcs = stops.ws is None and trained.space.prior == "normal"
    walks = []
    for index in range(len(stops) - 1):
        start, end = stops.where[index], stops.where[index + 1]
        path = slerp(start, end, t) if arcs else _line(start, end, t)
        path[0], path[-1] = start, end
        y = None if stops.y is None else _line(stops.y[index], stops.y[index + 1], t)
        part = Latents(path, y) if stops.ws is None else Latents(ws=path)
        walks.append(pixels_of(trained.render(edit(part, trained))))
    return walks


def along(
    trained: TrainedGenerator,
    starts: Latents,
    direction: Direction,
    amounts: Tensor,
    *,
    layers: tuple[int, int] | None = None,
    edit: Edit = AS_THEY_ARE,
) -> list[Pixels]:
    """The samples of each start at `amounts` [T] of a direction, in standard deviations: uint8 [T, H, W, C] each.

    `layers` are the first and the last one that take part, of a generator with styles.
    """
    drawable(trained, len(starts) * len(amounts), "a strip")
    rows = []
    for index in range(len(starts)):
        moves = [replace(edit, moves=(*edit.moves, Move(direction, amount, layers))) for amount in amounts.tolist()]
        parts = [trained.render(move(starts[[index]], trained)) for move in moves]
        rows.append(pixels_of(torch.cat(parts)))
    return rows


def mixed(
    trained: TrainedGenerator, coarse: Latents, fine: Latents, first: int, *, edit: Edit = AS_THEY_ARE
) -> list[Pixels]:
    """Style mixing (Karras et al. 2019, section 3.1): for each of `coarse` uint8 [N, H, W, C].

    The j-th of them has its styles, and from layer `first` on those of the j-th of `fine` [N].
    """
    drawable(trained, len(coarse) * len(fine), "a table of mixed styles")
    if not is_styled(trained.module):
        raise InputError(
            f"the generator of '{trained.header.variant.name}' has no styles to mix", hint="gankit interpolate"
        )
    layers = trained.module.styles
    if not 0 < first < layers:
        raise InputError(f"--from {first}: the generator has layers 0 to {layers - 1}", hint=f"--from {layers // 2}")
    rows, columns = (styles_of(trained.module, edit(part, trained), trained.device) for part in (coarse, fine))
    tables = [torch.cat([row[None, :first].expand(len(columns), -1, -1), columns[:, first:]], 1) for row in rows]
    return [pixels_of(trained.render(Latents(ws=table))) for table in tables]


@dataclass(frozen=True)
class Group:
    """Some seeds of one concept: their images [N, H, W, C], and that of their mean latent vector [1, H, W, C]."""

    sign: int
    seeds: tuple[int, ...]
    images: Pixels
    mean: Pixels


@dataclass(frozen=True)
class Equation:
    """The groups, and 3x3 images [9, H, W, C]: the result in the middle, neighbours with noise of +-0.25 around it."""

    groups: tuple[Group, ...]
    results: Pixels


def arithmetic(
    trained: TrainedGenerator,
    plus: Sequence[Sequence[int]],
    minus: Sequence[Sequence[int]] = (),
    *,
    label: int | str | None = None,
    seed: int = 0,
) -> Equation:
    """Sums and differences of mean latent vectors (Radford et al. 2015, section 6.3.2, with three seeds per mean).

    Lengths are not normalised, as in the paper: a mean of three draws of N(0, I) is shorter than a draw, but its
    samples were measured to be no worse, and A - B + C of such means has the length of a draw again. A uniform z is
    clamped to [-1, 1].
    """
    drawable(trained, sum(map(len, (*plus, *minus))), "the picture of an equation")
    if not plus or any(not group for group in (*plus, *minus)):
        raise InputError("an equation needs a group of seeds to begin with", hint="--plus 1,4,7")
    signed = [(1, tuple(group)) for group in plus] + [(-1, tuple(group)) for group in minus]
    y = conditions_of(trained, signed[0][1][0], [] if label is None else [label])
    groups, total = [], torch.zeros(trained.space.z_dim)
    for sign, seeds in signed:
        z = trained.space.z(seeds)
        mean = z.mean(0, keepdim=True)
        total += sign * mean[0]
        groups.append(Group(sign, seeds, images_of(trained, z, y), images_of(trained, mean, y)))
    noise = torch.rand(9, trained.space.z_dim, generator=streams.generator(seed)).mul(2).sub(1) * NOISE
    noise[4] = 0
    return Equation(tuple(groups), images_of(trained, within(trained, total + noise), y))


def within(trained: TrainedGenerator, z: Tensor) -> Tensor:
    """z [N, z_dim] where the prior is."""
    return z.clamp(-1, 1) if trained.space.prior == "uniform" else z


def images_of(trained: TrainedGenerator, z: Tensor, y: Tensor | None) -> Pixels:
    """z [N, z_dim], y [1 or N, K] or None -> uint8 [N, H, W, C]."""
    conditions = None if y is None else (y if len(y) == len(z) else y[:1].expand(len(z), -1))
    with torch.no_grad():
        return pixels_of(trained.modality.stored(generate(trained.module, z, conditions)))


def there_and_back(walks: Sequence[Pixels]) -> Iterator[Pixels]:
    """The images [H, W, C] of an endless film: all walks, then backwards, without repeating an image at the turns."""
    frames = [image for index, walk in enumerate(walks) for image in walk[1 if index else 0 :]]
    yield from frames
    yield from frames[-2:0:-1]


def drawable(trained: TrainedGenerator, n: int, what: str) -> None:
    """Raise InputError for a generator of other things than images, and for more of them than one picture holds."""
    if not trained.data.is_image:
        kind = trained.data.kind
        raise InputError(f"{what} needs images, the generator makes {kind}", hint=f"gankit sample draws {kind}")
    if n > MAX_GRID:
        raise InputError(f"{what} of {n:,} samples: one picture holds {MAX_GRID:,}", hint="take fewer seeds or steps")


def _line(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    return torch.lerp(start[None], end[None], t.reshape(-1, *[1] * start.dim()))


def conditions_of(trained: TrainedGenerator, seed: int, labels: Sequence[int | str]) -> Tensor | None:
    """y [1 or 2, K] of the labels, else of the seed; None for an unconditional generator without labels.

    Two labels that are attributes differ in what they say, and in nothing else.
    """
    rows: list[Tensor] = []
    for label in labels:
        wanted = trained.condition(label)
        assert wanted is not None
        (row,) = trained.space.conditions.of_seeds([seed], wanted) if trained.space.conditions else (wanted,)
        rows.append(torch.where(wanted.isnan(), rows[0], wanted) if rows else row)
    return torch.stack(rows) if rows else trained.conditions([seed])
