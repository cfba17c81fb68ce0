"""Checks of the networks a plugin brings, or leaves to core."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gankit.contracts import DataSpec
from gankit.errors import InputError
from gankit.game.conditions import one_hot
from gankit.game.critic import coupling
from gankit.game.latent import draw_z
from gankit.game.loop import TrainingLoop
from gankit.host.importing import one_line
from gankit.run.rehearsal import fitting, has_own_game
from gankit.sample.latents import is_styled
from gankit.testing.subject import CLASSES, POINTS, REFUSALS, CheckFailed, Subject, require

SHAPES = ((1, 16, 16), (3, 16, 16), (1, 28, 28), (3, 32, 32))
EXTREME = 1e3  # pixels so large that only a squashed score stays small
MAX_PIXEL = 20.0  # pixels are clamped to [-1, 1] where they are written, and a linear last layer may begin beyond it


def generator_shapes(subject: Subject) -> None:
    """For several sizes and channels, z [N, z_dim] gives finite samples [N, *shape], images about [-1, 1]."""
    for shape, loop in _games(subject):
        for n in (1, 5):
            with _made_for(subject, shape):
                samples = _samples(loop, n)
            require(
                tuple(samples.shape) == (n, *shape) and samples.is_floating_point(),
                f"for {n} z and data of {list(shape)} the generator gave {samples.dtype} {list(samples.shape)}",
                "gankit_generator is given the shape as data.shape",
            )
            require(bool(samples.isfinite().all()), f"{list(shape)}: samples are not finite", "look at its last layer")
            low, high = samples.min().item(), samples.max().item()
            require(
                len(shape) != 3 or (max(-low, high) <= MAX_PIXEL and (low < 0 or high <= 0)),
                f"images of {list(shape)} lie in [{low:.3g}, {high:.3g}]",
                "black is -1 and white 1, not 0 and 1 or 255; a tanh at the end keeps them there",
            )


def independent_samples(subject: Subject) -> None:
    """In eval mode a sample depends on its own z alone: not on its neighbours, not on chance."""
    loop = subject.loop()
    generator = loop.networks.generator.eval()
    inputs = _inputs(loop, 4)
    with torch.no_grad():
        together, again = generator(*inputs), generator(*inputs)
        alone = torch.cat([generator(*(tensor[i : i + 1] for tensor in inputs)) for i in range(4)])
    require(torch.equal(together, again), "the same z gave two samples", "noise in a generator is part of z")
    require(
        bool(torch.allclose(together, alone, atol=1e-4)),
        f"a sample differs by {(together - alone).abs().max().item():.2g} when its neighbours do",
        "in eval mode no layer may look at the batch",
    )


def styles(subject: Subject) -> None:
    """A generator that has styles makes its samples of them: G(z, y) is synthesise(map(z, y)) in eval mode."""
    loop = subject.loop()
    generator, inputs = loop.networks.generator.eval(), _inputs(loop, 3)
    with torch.no_grad():
        samples = generator(*inputs)
        if not is_styled(generator):
            return
        ws = generator.map(*inputs)
        require(
            ws.dim() == 3 and ws.shape[:2] == (3, generator.styles),
            f"for 3 z and {generator.styles} styles map gave {list(ws.shape)}",
            "[N, styles, W]: a w for each layer, the same one where they share it",
        )
        gap = float((generator.synthesise(ws) - samples).abs().max())
    require(gap <= 1e-4, f"synthesise(map(z)) differs from G(z) by {gap:.2g}", "chance belongs into training")


def discriminator_output(subject: Subject) -> None:
    """For several sizes and channels, samples [N, *shape] give what the loss reads, finite: scores are [N]."""
    for shape, loop in _games(subject):
        if has_own_game(loop):
            continue  # it may show its discriminator something else than samples
        real = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)).to(subject.device)
        conditions = _inputs(loop, 5)[1:] if loop.loss.output.condition != "none" else ()
        with torch.no_grad(), _made_for(subject, shape):
            output = loop.networks.discriminator(real, *conditions)
        gave = f"for 5 samples of {list(shape)} the discriminator gave "
        require(isinstance(output, Tensor), gave + type(output).__name__, "return one tensor")
        wanted, hint = fitting(output, tuple(real.shape), loop.loss.output)
        require(not wanted, f"{gave}{list(output.shape)}, and the loss reads {wanted}", hint)
        require(bool(output.isfinite().all()), f"scores of {list(shape)} are not finite", "look at its layers")
        if not loop.loss.output.code:
            extreme = torch.randn(32, *shape, generator=torch.Generator().manual_seed(0)).to(subject.device) * EXTREME
            with torch.no_grad():
                scores = loop.networks.discriminator(extreme, *(y[:1].expand(32, -1) for y in conditions))
            require(
                not bool(((scores >= 0) & (scores <= 1)).all()),
                "whatever it is shown, its scores lie in [0, 1]",
                "scores are raw: leave out the sigmoid at its end, losses have theirs (softplus, binary cross-entropy)",
            )


def independent_scores(subject: Subject) -> None:
    """A score depends on its own sample alone, or a layer of the discriminator says what couples a batch."""
    loop = subject.loop()
    if has_own_game(loop):
        return
    network, real = loop.networks.discriminator.train(), subject.batch(loop, 0).real
    conditions = _inputs(loop, len(real))[1:] if loop.loss.output.condition != "none" else ()

    def score(samples: Tensor) -> Tensor:
        """With the same chance (dropout) and the same state (power iteration) each time."""
        torch.manual_seed(0)
        with torch.no_grad():
            output: Tensor = copy.deepcopy(network)(samples, *conditions)
        return output

    scores, others = score(real), score(torch.cat([real[:1], -2 * real[1:]]))
    coupled, named = not torch.allclose(scores[0], others[0], atol=1e-4), coupling(network)
    require(
        not coupled or named is not None,
        "the score of a sample is another when its neighbours are",
        'gradient penalties are per sample; if it is meant, name it in the layer: couples_samples = "batch statistics"',
    )
    require(
        coupled or named is None,
        f"its samples are said to be coupled by {named}, and no score depends on another sample",
        "leave out couples_samples, or the layer that has it",
    )


def conditional(subject: Subject) -> None:
    """The condition changes what both players give; a variant that takes none is refused in words."""
    if subject.info.conditional != "optional":
        impossible = subject.info.conditional == "no"
        try:
            subject.plan(conditional=impossible)
        except InputError:
            pass
        else:
            raise CheckFailed("it says so and is not refused", "this is a bug of gankit")
        if impossible:
            return
    try:
        loop = subject.loop(conditional=True)
    except InputError as refusal:
        require(
            subject.info.conditional == "optional",
            f"conditions are required and refused: {refusal.message}",
            "say conditional='no', or build networks that take y [N, K]",
        )
        return
    subject.play(loop, subject.enough(loop))
    for player, network, first in (
        ("generator", loop.networks.generator, _inputs(loop, 1)[0]),
        ("discriminator", loop.networks.discriminator, subject.batch(loop, 0).real[:1]),
    ):
        if player == "generator" or loop.loss.output.condition != "none":
            require(
                _hears(network, first),
                f"the {player} gives the same for every condition",
                "y [N, K] is the second argument of its forward: use it, or leave the argument out",
            )


def _hears(network: nn.Module, first: Tensor) -> bool:
    y = one_hot(torch.arange(len(CLASSES)), len(CLASSES)).to(first.device)
    with torch.no_grad():
        output = network.eval()(first.expand(len(CLASSES), *first.shape[1:]), y)
    return not torch.equal(output[0], output[1])


def _games(subject: Subject) -> Iterator[tuple[tuple[int, ...], TrainingLoop]]:
    """A loop for each shape that is not refused: images of several sizes and channels, points in the plane."""
    refusal: Exception | None = None
    played = False
    for shape in (*SHAPES, POINTS.shape):
        try:
            loop = subject.loop(data=DataSpec(shape, CLASSES))
        except REFUSALS as error:
            refusal = refusal or error
            continue
        played = True
        yield shape, loop
    if refusal is not None and not played:
        raise refusal


@contextmanager
def _made_for(subject: Subject, shape: tuple[int, ...]) -> Iterator[None]:
    """A network that fails on data is to be mended, or not to be built for it."""
    try:
        yield
    except REFUSALS:
        raise
    except Exception as error:
        raise CheckFailed(
            f"it fails on data of {list(shape)}: {one_line(error)}{subject.plugin.place_of(error)}",
            "mend it; or raise InputError in the builder for data that it is not made for (data.shape, data.is_image)",
        ) from error


def _inputs(loop: TrainingLoop, n: int) -> tuple[Tensor, ...]:
    """z [n, z_dim], and y [n, K] in a conditional run."""
    z = draw_z(n, loop.config.z_dim, loop.config.z_prior, generator=torch.Generator().manual_seed(0))
    y = (one_hot(torch.arange(n) % len(CLASSES), len(CLASSES)),) if loop.config.conditional else ()
    return tuple(tensor.to(loop.device) for tensor in (z, *y))


def _samples(loop: TrainingLoop, n: int) -> Tensor:
    with torch.no_grad():
        samples: Tensor = loop.networks.generator.eval()(*_inputs(loop, n))
    return samples
