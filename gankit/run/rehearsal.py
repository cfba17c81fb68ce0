"""Whether what plugins built fits together: what does not is one line, before the first step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gankit.contracts import CriticOutput, DataSpec
from gankit.errors import GankitError, InputError, PluginError
from gankit.game.loop import Networks, TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import overrides
from gankit.host.composition import CORE, BuiltBy, Composition
from gankit.host.discovery import Plugin
from gankit.host.importing import one_line
from gankit.machine.device import is_out_of_memory

N = 2  # samples


def check_built(by: Mapping[str, BuiltBy], builder: str, built: object, wanted: type, data: DataSpec) -> None:
    """What a builder returned is of the wanted kind, and a network is able to hear y in a conditional run."""
    who = f"{builder} of '{by[builder]}'"
    if not isinstance(built, wanted):
        article = "an" if wanted.__name__[0] in "AEIOU" else "a"
        raise PluginError(
            f"{who} returned {type(built).__name__}",
            hint=f"it must return {article} {wanted.__name__}; so must whatever wraps it",
        )
    if isinstance(built, TrainingLoop):
        return
    assert isinstance(built, nn.Module)
    if "_modules" not in vars(built) or (isinstance(built, AdversarialLoss) and "logged" not in vars(built)):
        raise PluginError(
            f"{who} returned a {type(built).__name__} that is not initialised",
            hint=f"{type(built).__name__}.__init__ begins with super().__init__()",
        )
    if wanted is not AdversarialLoss and next(built.parameters(), None) is None:
        raise PluginError(f"{who} built a network without parameters", hint="there is nothing to train in it")
    if data.condition and wanted is not AdversarialLoss:
        try:
            inspect.signature(built.forward).bind(object(), object())
        except TypeError:
            raise InputError(
                f"{who} built a network that cannot be told a condition",
                hint="leave out --conditional; to support it, its forward takes a second argument, y [N, K]",
            ) from None


@contextmanager
def answering(composition: Composition) -> Iterator[None]:
    """Within the block an exception from somebody's plugin is a PluginError that names the line; ours stay bugs."""
    try:
        yield
    except GankitError:
        raise
    except Exception as error:
        for plugin in composition.plugins:
            place = plugin.place_of(error)
            if place and _is_theirs(plugin, error):
                raise PluginError(
                    f"{plugin.kind} '{plugin.name}' from {plugin.origin} failed: {one_line(error)}{place}",
                    hint="GANKIT_DEBUG=1 shows its traceback",
                ) from error
        raise


def _is_theirs(plugin: Plugin, error: Exception) -> bool:
    return plugin.dist != "gankit" and not is_out_of_memory(error)


def rehearse(
    composition: Composition,
    by: Mapping[str, BuiltBy],
    networks: Networks,
    loss: AdversarialLoss,
    z_dim: int,
    told: DataSpec,
    seen: DataSpec,
) -> None:
    """Play a few z through both networks, in eval mode as sampling does; PluginError names who built the wrong one.

    `by` names who answered each builder; `told` and `seen` are the data as G and D were built for it.
    """
    device = next(networks.generator.parameters()).device
    whole = (N, *told.shape)
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        z = torch.zeros(N, z_dim, device=device)
        fake = _play(composition, by, "gankit_generator", networks.generator, z, told)
        if fake.shape != whole:
            raise PluginError(
                f"gankit_generator of '{by['gankit_generator']}': z [{N}, {z_dim}] gave {list(fake.shape)}, "
                f"and samples of this data are {list(whole)}",
                hint="it is given the shape of a sample as data.shape",
            )
        if by["gankit_training_loop"].name != CORE:
            return  # a game of its own may show its discriminator something else
        output = _play(composition, by, "gankit_discriminator", networks.discriminator, fake.float(), seen)
    wanted, hint = fitting(output, whole, loss.output)
    if wanted:
        raise PluginError(
            f"gankit_discriminator of '{by['gankit_discriminator']}': {N} samples gave {list(output.shape)}, "
            f"and the loss reads {wanted}",
            hint=hint,
        )


def check_state(loop: TrainingLoop) -> None:
    """What a checkpoint would hold is finite, and tensors or JSON scalars: found before the first step."""
    for name, value in loop.state_dict().items():
        if isinstance(value, Tensor):
            if not bool(value.isfinite().all()):
                raise PluginError(
                    f"'{name}' is not finite before the first step",
                    hint="a constant with infinities (a mask, say) is no state: register_buffer(…, persistent=False)",
                )
        elif not isinstance(value, int | float | str | bool) or (isinstance(value, float) and not math.isfinite(value)):
            raise PluginError(
                f"the training loop's state has '{name}', {type(value).__name__} {str(value)[:50]}",
                hint="a state is flat: names -> tensors, or finite int, float, str, bool",
            )


def has_own_game(loop: TrainingLoop) -> bool:
    """Whether a variant has phases of its own, or a part wraps the critic: D may then be shown something else."""
    standard = list(loop.phases) == ["discriminator", "generator"] and type(loop) is TrainingLoop
    objectives = [phase.objective for phase in loop.phases.values()]
    own = objectives != [loop.loss.discriminator, loop.loss.generator]
    return not standard or own or any(overrides(part, "critic") for part in loop.parts.values())


def fitting(output: Tensor, samples: tuple[int, ...], reads: CriticOutput) -> tuple[str, str]:
    """What the loss reads instead of this output for samples [N, *shape], and what to do; ('', '') when it fits."""
    n, heads = samples[0], reads.heads
    if reads.code:
        fits, wanted = output.shape == samples, f"a reconstruction {list(samples)}"
    elif heads:
        fits, wanted = output.shape == (n, 1 + heads), f"a score and {heads} heads, [{n}, {1 + heads}]"
    else:  # maps of scores, [N, …], are the loss's affair
        fits, wanted = output.shape[:1] == (n,) and output.shape != (n, 1), f"scores [{n}]"
    if fits:
        return "", ""
    return wanted, "let it end with nn.Flatten(0)" if output.shape == (n, 1) else "see CriticOutput in gankit.plugin"


def _play(
    composition: Composition, by: Mapping[str, BuiltBy], builder: str, network: nn.Module, given: Tensor, data: DataSpec
) -> Tensor:
    who = f"{builder} of '{by[builder]}'"
    y = (torch.zeros(N, data.condition, device=given.device),) if data.condition else ()
    network.eval()
    try:
        output = network(given, *y)
    except GankitError:
        raise
    except Exception as error:
        builders = [p for p in composition.plugins if p.name in (by[builder].name, *by[builder].wrappers)]
        guilty = [p for p in builders if p.place_of(error) or p.name == by[builder].name]
        plugin = guilty[-1] if guilty else None
        if plugin is None or not _is_theirs(plugin, error):
            raise
        shapes = " and ".join(str(list(tensor.shape)) for tensor in (given, *y))
        raise PluginError(
            f"{who} built a network that fails on {shapes}: {one_line(error)}{plugin.place_of(error)}",
            hint="GANKIT_DEBUG=1 shows its traceback; raise InputError in the builder for data that it is not made for",
        ) from error
    finally:
        network.train()
    if not isinstance(output, Tensor):
        raise PluginError(f"{who} built a network that returns {type(output).__name__}", hint="return one tensor")
    return output
