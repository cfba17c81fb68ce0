"""From a plan to what runs: networks, loss and loop, the batches, and who built what."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gankit.base.seeds import derive_seed
from gankit.contracts import DataSpec
from gankit.data import Dataset, Sampler
from gankit.errors import GankitError, InputError, PluginError, ResourceError
from gankit.game.conditions import MAX_CONDITION, Conditions, Vectors
from gankit.game.game import Game, Networks
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import Part
from gankit.host.composition import BUILDERS, CORE, NETWORKS, BuiltBy
from gankit.machine import processes, streams
from gankit.machine.device import choose_device, is_out_of_memory
from gankit.machine.layout import channels_last
from gankit.machine.precision import Precision, faster_on_cpu, switches_kept
from gankit.machine.sync_batch_norm import share_batch_norm
from gankit.run.plan import Plan
from gankit.run.rehearsal import Rehearsal, answering, check_built, check_state, has_own_game
from gankit.settings.config import RunConfig, TrainConfig

NO_SECOND_DERIVATIVE = re.compile(r"derivative for \S+ is not implemented|trying to differentiate twice")


def latent_space(plan: Plan, dataset: Dataset) -> LatentSpace:
    """What the generator of a run is given: z, and y where the run is conditional; InputError without labels."""
    config = plan.config
    if not config.conditional:
        return LatentSpace(config.z_dim, config.z_prior)
    if dataset.conditions is not None:
        _check_length(dataset.conditions.shape[1])
        conditions = Conditions(vectors=Vectors.of(dataset.conditions))
    elif dataset.labels is not None:
        _check_length(len(dataset.spec.classes))
        counts = torch.bincount(dataset.labels, minlength=len(dataset.spec.classes))
        conditions = Conditions(counts=tuple(counts.tolist()))
    else:
        raise InputError(
            f"data set '{dataset.name}' has no labels to train conditionally on",
            hint="sub-folders are classes; a file labels.csv names labels; an .npz may hold 'labels' or 'conditions'",
        )
    return LatentSpace(config.z_dim, config.z_prior, conditions)


def data_spec(dataset: Dataset, space: LatentSpace) -> DataSpec:
    """What the networks are built for; the classes of a data set are not theirs where y is a vector."""
    if space.conditions is None:
        return replace(dataset.spec, attributes=())
    if space.conditions.vectors is None:
        return replace(dataset.spec, condition=space.conditions.length, attributes=())
    return replace(dataset.spec, condition=space.conditions.length, classes=())


def _check_length(length: int) -> None:
    if length > MAX_CONDITION:
        raise InputError(
            f"conditions of length {length:,}: the limit is {MAX_CONDITION:,}",
            hint="train on fewer classes, or on shorter condition vectors",
        )


@contextmanager
def own_streams(device: torch.device) -> Iterator[None]:
    """Within the block random streams, denormals and TF32 are gankit's; what the caller had comes back untouched."""
    flushed = bool(torch.tensor(1e-40) * 1 == 0)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), switches_kept():
        if device.type == "cpu":
            torch.set_flush_denormal(True)  # denormals make convolutions many times slower
        try:
            yield
        finally:
            torch.set_flush_denormal(flushed)


def explained(error: BaseException, config: RunConfig, shape: tuple[int, ...]) -> GankitError | None:
    """In words for the user: a machine without memory, a batch too small for batch norm. None for other exceptions."""
    if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
        return InputError(
            f"batch norm gets one value a channel with --batch {config.batch}, and cannot normalise it",
            hint="a larger --batch or --size, or networks without batch norm",
        )
    if isinstance(error, RuntimeError) and NO_SECOND_DERIVATIVE.match(str(error)):
        return InputError(
            f"a gradient penalty needs a second derivative: {str(error).splitlines()[0]}",
            hint="an option estimate=finite of the penalty, or a discriminator without that operation",
        )
    if is_out_of_memory(error):
        return ResourceError(
            f"out of memory with --batch {config.batch}, --z-dim {config.z_dim} and samples of {list(shape)}",
            hint=f"try --batch {max(1, config.batch // 2)}, or a smaller --size",
        )
    return None


def build_loop(plan: Plan, data: DataSpec, device: torch.device, *, rehearsed: bool = True) -> TrainingLoop:
    """Networks, loss and training loop, initialised from the seed alone.

    Unless `rehearsed` is False, networks that do not fit this data are a PluginError.
    """
    try:
        with ExitStack() as contexts:
            if rehearsed:
                contexts.enter_context(answering(plan.composition))
            if plan.following:
                contexts.enter_context(Untouched(plan))
            loop = _build_loop(plan, data, device, rehearsed=rehearsed)
    except RuntimeError as error:
        in_words = explained(error, plan.config, data.shape)
        if in_words is None:
            raise
        raise in_words from error
    follow_options(plan, loop)
    return loop


def follow_options(plan: Plan, game: Game) -> None:
    """Let the options of plugins that have a schedule follow it in a game."""
    for name, (schedule, value) in plan.following.items():
        value.data = value.data.to(game.device)  # in place: plugins have this tensor
        game.follow(f"options.{name}", schedule, value)


class Untouched(TorchFunctionMode):
    """Refuses arithmetic on options that follow a schedule while things are built: the result would stay as it is."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.names = {id(tensor): name for name, (_, tensor) in plan.following.items()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in (*args, *(kwargs or {}).values()):
            if id(value) in self.names and getattr(func, "__name__", "") != "__get__":
                raise PluginError(
                    f"option '{self.names[id(value)]}' follows a schedule, and is computed with before the first step",
                    hint="give it one number; its author computes with it in the step, or marks it schedule=False",
                )
        return func(*args, **(kwargs or {}))


def _build_loop(plan: Plan, data: DataSpec, device: torch.device, *, rehearsed: bool) -> TrainingLoop:
    hook, config, options = plan.composition.hook, plan.config, plan.live.options
    streams.seed_all(derive_seed(config.seed, "init"))
    by = suppliers(plan, data)  # refuses two
    generator = hook.gankit_generator(data=data, z_dim=config.z_dim, options=options)
    check_built(by, "gankit_generator", generator, nn.Module, data)
    loss = hook.gankit_loss(data=data, options=options)
    check_built(by, "gankit_loss", loss, AdversarialLoss, data)
    data_for_d = data if loss.output.condition != "none" else replace(data, condition=0)
    discriminator = hook.gankit_discriminator(data=data_for_d, options=options, output=loss.output, z_dim=config.z_dim)
    check_built(by, "gankit_discriminator", discriminator, nn.Module, data_for_d)
    networks = Networks(generator, discriminator)
    for module in (networks.generator, networks.discriminator):
        channels_last(module.to(device))
        if config.sync_bn:
            share_batch_norm(module)
    rehearsal = Rehearsal(plan.composition, by, config, data, data_for_d)
    if rehearsed:
        rehearsal.generator(networks.generator)
    loop: TrainingLoop = hook.gankit_training_loop(
        networks=networks, loss=loss.to(device), config=config, options=options, data=data
    )
    check_built(by, "gankit_training_loop", loop, TrainingLoop, data)
    loop.total_images = plan.config.total_images
    loop.logits = plan.composition.info.scores == "logits"
    for name, part in parts_of(plan, loop, data):
        loop.add_part(name, part)
    for network in loop.networks.extra.values():
        if config.sync_bn:
            share_batch_norm(network)
    if config.penalty_every > 1 and not loop.penalised:
        raise InputError("this game has no gradient penalty to leave out", hint="leave out --penalty-every")
    if loop.takes_fresh_reals and config.reuse_fakes and config.conditional:
        raise InputError(
            "the fakes that --reuse-fakes keeps have the labels of D's real samples, and G's phase has others",
            hint="leave out --reuse-fakes, or add --g-reals shared",
        )
    own_game = has_own_game(loop)
    if rehearsed:
        if not own_game:
            rehearsal.discriminator(networks, loss.output)
        check_state(loop)
    if config.precision == "auto" and device.type == "cpu":
        loop.precision = Precision(_faster_precision(networks, data, data_for_d, config, own_game), device)
    return loop


def parts_of(plan: Plan, loop: Game, data: DataSpec) -> Iterator[tuple[str, Part]]:
    """The parts of all plugins, each with a name: the variant's first, then those of extensions in their order."""
    arguments = {"loop": loop, "options": plan.live.options, "data": data}
    for supplier in reversed(plan.composition.suppliers("gankit_parts")):
        parts = supplier.answer(**arguments)
        if parts is None:
            continue
        if not isinstance(parts, Sequence) or not all(isinstance(part, Part) for part in parts):
            raise PluginError(
                f"gankit_parts of '{supplier.name}' returned {type(parts).__name__}",
                hint="it must return a list of Part",
            )
        for number, part in enumerate(parts):
            if "_modules" not in vars(part):
                raise PluginError(
                    f"gankit_parts of '{supplier.name}' returned a {type(part).__name__} that is not initialised",
                    hint=f"{type(part).__name__}.__init__ begins with super().__init__()",
                )
            yield (supplier.name if number == 0 else f"{supplier.name}-{number + 1}"), part


def _faster_precision(
    networks: Networks, data: DataSpec, data_for_d: DataSpec, config: TrainConfig, own_game: bool
) -> Literal["fp32", "bf16"]:
    """fp32 or bf16, from the time that both networks take for a share of a batch on this CPU.

    The generator alone decides in a game of its own, which may show its discriminator something else than samples.
    """
    copies = copy.deepcopy(networks)  # statistics of batch norm must not notice
    n = len(range(config.batch)[processes.share(config.batch)])
    z = torch.zeros(n, config.z_dim)
    conditions = [(torch.zeros(n, data.condition),) if data.condition else () for data in (data, data_for_d)]

    def play(precision: Precision) -> None:
        with precision.autocast():
            fake = copies.generator(z, *conditions[0])
            output = fake if own_game else copies.discriminator(fake, *conditions[1])
        output.float().sum().backward()

    with torch.random.fork_rng(devices=[]):
        return faster_on_cpu(f"{networks.generator}\0{networks.discriminator}\0{data_for_d.shape}\0{n}", play)


def make_sampler(plan: Plan, dataset: Dataset, device: torch.device, *, fresh_reals: bool) -> Sampler:
    """The batches of a run, or of one of its processes; `fresh_reals` is what its loop says (`takes_fresh_reals`)."""
    config = plan.config
    return Sampler(
        dataset,
        batch=config.batch,
        seed=config.seed,
        device=device,
        conditional=config.conditional,
        share=processes.share(config.batch),
        fresh_reals=fresh_reals,
        mirror=config.mirror,
    )


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def suppliers(plan: Plan, data: DataSpec) -> dict[str, BuiltBy]:
    """Builder -> who builds it for this data; PluginError when a variant and an extension both bring a network."""
    composition, options = plan.composition, plan.live.options
    found = {}
    for builder in BUILDERS[1:]:
        names = [supplier.name for supplier in composition.suppliers(builder)]
        if builder in NETWORKS and len(names) > 1:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                output = composition.hook.gankit_loss(data=data, options=options).output
                given = {"data": data, "z_dim": plan.config.z_dim, "options": options, "output": output}
                candidates = [s for s in composition.suppliers(builder) if s.name != CORE]
                names = [s.name for s in candidates if s.answer(**given) is not None] + [CORE]
            composition.refuse_two(builder, names)
        found[builder] = BuiltBy(names[0], tuple(composition.wrappers(builder)))
    return found


def built_by(plan: Plan, data: DataSpec) -> dict[str, str]:
    """`suppliers` for people: 'generator' -> 'core', 'training loop' -> 'core'."""
    return {builder.removeprefix("gankit_").replace("_", " "): str(by) for builder, by in suppliers(plan, data).items()}


@dataclass(frozen=True)
class Estimate:
    """What a run would take, from a few steps on random data."""

    parameters: dict[str, int]
    images_per_s: float
    total_s: float | None


def estimate(plan: Plan, dataset: Dataset, steps: int = 5) -> Estimate:
    """Build the networks and time a few steps; nothing is written."""
    device = choose_device(plan.config.device)
    data = data_spec(dataset, latent_space(plan, dataset))
    with own_streams(device):
        loop = build_loop(plan, data, device)
        sampler = make_sampler(plan, dataset, device, fresh_reals=loop.takes_fresh_reals)
        seconds = []
        for step in range(2 + steps):  # the first ones pay for lazy initialisation
            before = time.perf_counter()
            stats = loop.step(sampler.batch(step))
            torch.stack(list(stats.values())).tolist()  # wait for the device
            seconds.append(time.perf_counter() - before)
        sampler.close()
    speed = plan.config.batch / (sum(seconds[2:]) / steps)
    total = plan.config.total_images
    limits = [total / speed] if total else []
    limits += [plan.config.time_s] if plan.config.time_s else []
    parameters = {
        "generator": count_parameters(loop.networks.generator),
        "discriminator": count_parameters(loop.networks.discriminator),
    }
    return Estimate(parameters, speed, min(limits, default=None))
