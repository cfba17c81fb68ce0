"""Checks before the first step that what plugins built fits together; each failure is one line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gankit.contracts import CriticOutput, DataSpec
from gankit.errors import GankitError, InputError, PluginError
from gankit.game.loop import Networks, TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.host.composition import CORE, BuiltBy, Composition
from gankit.host.discovery import Plugin
from gankit.host.importing import one_line
from gankit.machine import processes
from gankit.machine.device import is_out_of_memory
from gankit.machine.sync_batch_norm import values_per_channel
from gankit.settings.config import TrainConfig

SAMPLES = 2  # in a rehearsal of sampling


def check_built(suppliers: Mapping[str, BuiltBy], builder: str, built: object, wanted: type, data: DataSpec) -> None:
    """PluginError if a builder returned another type; InputError if a network takes no y in a conditional run."""
    who = f"{builder} of '{suppliers[builder]}'"
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
                f"{who} built a network that takes no condition",
                hint="leave out --conditional; to support it, its forward takes a second argument, y [N, K]",
            ) from None


@contextmanager
def answering(composition: Composition) -> Iterator[None]:
    """Turn an exception of a third party's plugin into a PluginError that names its line; ours stay bugs."""
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
    suppliers: Mapping[str, BuiltBy],
    networks: Networks,
    loss: AdversarialLoss,
    config: TrainConfig,
    data_of_g: DataSpec,
    data_of_d: DataSpec,
) -> None:
    """Play z through both networks: a few in eval mode as sampling does, this process's share of a batch in training.

    PluginError names who built a network that does not fit, InputError a batch norm that gets one value a channel. The
    networks and the random streams stay as they are. `data_of_g` and `data_of_d` are what the builders of G and D were
    given. All processes have to rehearse together: batch norm may be synchronised.
    """
    device = next(networks.generator.parameters()).device
    play = partial(_play, composition, suppliers)
    share = len(range(config.batch)[processes.share(config.batch)])
    sampled, trained = (torch.zeros(n, config.z_dim, device=device) for n in (SAMPLES, share))
    whole = (SAMPLES, *data_of_g.shape)
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        fake = play("gankit_generator", networks.generator, sampled, data_of_g)
        if fake.shape != whole:
            raise PluginError(
                f"gankit_generator of '{suppliers['gankit_generator']}': z {list(sampled.shape)} gave "
                f"{list(fake.shape)}, and samples of this data are {list(whole)}",
                hint="it is given the shape of a sample as data.shape",
            )
        fakes = play("gankit_generator", networks.generator, trained, data_of_g, training=True)
        if suppliers["gankit_training_loop"].name != CORE:
            return  # a loop of its own may show its discriminator something else
        output = play("gankit_discriminator", networks.discriminator, fake.float(), data_of_d)
        wanted, hint = fitting(output, whole, loss.output)
        if wanted:
            raise PluginError(
                f"gankit_discriminator of '{suppliers['gankit_discriminator']}': {SAMPLES} samples gave "
                f"{list(output.shape)}, and the loss reads {wanted}",
                hint=hint,
            )
        play("gankit_discriminator", networks.discriminator, fakes.float(), data_of_d, training=True)


def check_state(loop: TrainingLoop) -> None:
    """PluginError unless all that a checkpoint would hold is finite, and a tensor or a JSON scalar."""
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


def fitting(output: Tensor, samples: tuple[int, ...], reads: CriticOutput) -> tuple[str, str]:
    """What the loss would read in place of this output for samples [N, *shape], and a hint; ('', '') if it fits."""
    n, heads = samples[0], reads.heads
    if reads.code:
        fits, wanted = output.shape == samples, f"a reconstruction {list(samples)}"
    elif heads:
        fits, wanted = output.shape == (n, 1 + heads), f"a score and {heads} heads, [{n}, {1 + heads}]"
    else:  # what to do with maps of scores, [N, …], is up to the loss
        fits, wanted = output.shape[:1] == (n,) and output.shape != (n, 1), f"scores [{n}]"
    if fits:
        return "", ""
    return wanted, "let it end with nn.Flatten(0)" if output.shape == (n, 1) else "see CriticOutput in gankit.plugin"


def _play(
    composition: Composition,
    suppliers: Mapping[str, BuiltBy],
    builder: str,
    network: nn.Module,
    given: Tensor,
    data: DataSpec,
    *,
    training: bool = False,
) -> Tensor:
    who = f"{builder} of '{suppliers[builder]}'"
    y = (torch.zeros(len(given), data.condition, device=given.device),) if data.condition else ()
    network.train(training)
    try:
        with _buffers_kept(network), _single_values_refused(network, who):
            output = network(given, *y)
    except GankitError:
        raise
    except Exception as error:
        builders = [p for p in composition.plugins if p.name in (suppliers[builder].name, *suppliers[builder].wrappers)]
        guilty = [p for p in builders if p.place_of(error) or p.name == suppliers[builder].name]
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


@contextmanager
def _buffers_kept(network: nn.Module) -> Iterator[None]:
    """After the block the buffers, such as the statistics of batch norm, are what they were."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for module, name, buffer, value in before:
            module._buffers[name] = buffer.copy_(value)


@contextmanager
def _single_values_refused(network: nn.Module, who: str) -> Iterator[None]:
    """Within the block a batch norm that is trained on one value a channel, its own mean, is an InputError."""

    def check(name: str, layer: nn.Module, x: Tensor) -> None:
        if not layer.training or values_per_channel(layer, x) > 1:
            return
        shared = "--sync-bn, " if processes.size() > 1 else ""
        raise InputError(
            f"{who}: batch norm '{name}' gets one value a channel, {list(x.shape)}, and cannot normalise it",
            hint=f"--batch {2 * processes.size()} or more, {shared}a larger --size, or networks without batch norm: "
            "another --variant, or without the --with that brings them",
        )

    with ExitStack() as stack:
        for name, layer in network.named_modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                hook = lambda layer, args, kwargs, name=name: check(name, layer, [*args, *kwargs.values()][0])  # noqa: E731
                stack.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield
