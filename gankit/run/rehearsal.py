"""Checks before the first step that what plugins built fits together; each failure is one line."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.contracts import CriticOutput, DataSpec
from gankit.errors import GankitError, InputError, PluginError
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import overrides
from gankit.host.composition import BuiltBy, Composition
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


class DoesNotFitError(PluginError):
    """A network that fails on this data, or gives something else than the game needs; `builder` is the hook of it."""

    def __init__(self, builder: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.builder = builder


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


@dataclass(frozen=True)
class Rehearsal:
    """Plays each network before the first step: a few inputs in eval mode as sampling does, then a batch in training.

    PluginError names who built a network that does not fit, InputError a batch norm that gets one value a channel. The
    networks and the random streams stay as they are. All processes rehearse together: batch norm may be synchronised.
    """

    composition: Composition
    by: Mapping[str, BuiltBy]
    """Who answered each builder."""
    config: TrainConfig
    data_for_g: DataSpec
    data_for_d: DataSpec
    """The data as each network was built for it."""

    def generator(self, generator: nn.Module) -> None:
        """z gives samples of the data's shape."""
        builder, whole = "gankit_generator", (SAMPLES, *self.data_for_g.shape)
        with _unnoticed(generator):
            z = self._z(SAMPLES, generator)
            fake = self._play(builder, generator, z, self.data_for_g)
            if fake.shape != whole:
                raise DoesNotFitError(
                    builder,
                    f"{builder} of '{self.by[builder]}': z {list(z.shape)} gave {list(fake.shape)}, "
                    f"and samples of this data are {list(whole)}",
                    hint="it is given the shape of a sample as data.shape",
                )
            self._play(builder, generator, self._z(self._share(), generator), self.data_for_g, training=True)

    def discriminator(self, networks: Networks, reads: CriticOutput) -> None:
        """Fake samples give what the loss reads."""
        builder, whole = "gankit_discriminator", (SAMPLES, *self.data_for_g.shape)
        with _unnoticed(networks.generator):
            few, batch = (
                self._play("gankit_generator", networks.generator, self._z(n, networks.generator), self.data_for_g)
                for n in (SAMPLES, self._share())
            )
            output = self._play(builder, networks.discriminator, few.float(), self.data_for_d)
            wanted, hint = fitting(output, whole, reads)
            if wanted:
                raise DoesNotFitError(
                    builder,
                    f"{builder} of '{self.by[builder]}': {SAMPLES} samples gave {list(output.shape)}, "
                    f"and the loss reads {wanted}",
                    hint=hint,
                )
            self._play(builder, networks.discriminator, batch.float(), self.data_for_d, training=True)

    def _share(self) -> int:
        """The samples of a batch that this process works on."""
        return len(range(self.config.batch)[processes.share(self.config.batch)])

    def _z(self, n: int, network: nn.Module) -> Tensor:
        return torch.zeros(n, self.config.z_dim, device=next(network.parameters()).device)

    def _play(
        self, builder: str, network: nn.Module, inputs: Tensor, data: DataSpec, *, training: bool = False
    ) -> Tensor:
        who = f"{builder} of '{self.by[builder]}'"
        y = (torch.zeros(len(inputs), data.condition, device=inputs.device),) if data.condition else ()
        network.train(training)
        try:
            with _buffers_kept(network), _single_values_refused(network, who):
                output = network(inputs, *y)
        except GankitError:
            raise
        except Exception as error:
            builders = [
                p for p in self.composition.plugins if p.name in (self.by[builder].name, *self.by[builder].wrappers)
            ]
            guilty = [p for p in builders if p.place_of(error) or p.name == self.by[builder].name]
            plugin = guilty[-1] if guilty else None
            if plugin is None or not _is_theirs(plugin, error):
                raise
            shapes = " and ".join(str(list(tensor.shape)) for tensor in (inputs, *y))
            raise DoesNotFitError(
                builder,
                f"{who} built a network that fails on {shapes}: {one_line(error)}{plugin.place_of(error)}",
                hint="GANKIT_DEBUG=1 shows its traceback; raise InputError in the builder for data that it is not "
                "made for",
            ) from error
        finally:
            network.train()
        if not isinstance(output, Tensor):
            gave = type(output).__name__
            raise DoesNotFitError(builder, f"{who} built a network that returns {gave}", hint="return one tensor")
        return output


@contextmanager
def _unnoticed(network: nn.Module) -> Iterator[None]:
    """Within the block nothing is differentiated, and the random streams come back as they were."""
    device = next(network.parameters()).device
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


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


def has_own_game(loop: TrainingLoop) -> bool:
    """Whether a variant has phases of its own, or a part wraps the critic: D may then be shown something else."""
    standard = list(loop.phases) == ["discriminator", "generator"] and type(loop) is TrainingLoop
    objectives = [phase.objective for phase in loop.phases.values()]
    own = objectives != [loop.loss.discriminator, loop.loss.generator]
    return not standard or own or any(overrides(part, "critic") for part in loop.parts.values())


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
