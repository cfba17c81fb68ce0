"""From a plan to what runs: networks, loss and loop, the batches, and who built what."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from gankit.base.seeds import derive_seed
from gankit.contracts import DataSpec
from gankit.data import Dataset, Sampler
from gankit.errors import InputError, ResourceError
from gankit.game.latent import EXAMPLES, MAX_CONDITION, Conditions, LatentSpace
from gankit.game.loop import Networks, TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.host.composition import BUILDERS, CORE, NETWORKS, BuiltBy
from gankit.machine import processes, streams
from gankit.machine.device import choose_device, is_out_of_memory
from gankit.machine.precision import Precision, faster_on_cpu
from gankit.machine.sync_batch_norm import share_batch_norm
from gankit.run.plan import Plan
from gankit.run.rehearsal import answering, check_built, check_state, rehearse
from gankit.settings.config import RunConfig, TrainConfig


def latent_space(plan: Plan, dataset: Dataset) -> LatentSpace:
    """What the generator of a run is given: z, and y where the run is conditional; InputError without labels."""
    config = plan.config
    if not config.conditional:
        return LatentSpace(config.z_dim, config.z_prior)
    if dataset.conditions is not None:
        spread = torch.linspace(0, len(dataset) - 1, min(EXAMPLES, len(dataset))).long()
        vectors = tuple(tuple(row) for row in dataset.conditions[spread].tolist())
        conditions = Conditions(examples=vectors)
    elif dataset.labels is not None:
        counts = torch.bincount(dataset.labels, minlength=len(dataset.spec.classes))
        conditions = Conditions(counts=tuple(counts.tolist()))
    else:
        raise InputError(
            f"data set '{dataset.name}' has no labels to train conditionally on",
            hint="sub-folders are classes; an .npz file may hold 'labels' [N] or 'conditions' [N, K]",
        )
    if conditions.length > MAX_CONDITION:
        raise InputError(
            f"conditions of length {conditions.length:,}: the limit is {MAX_CONDITION:,}",
            hint="train on fewer classes, or on shorter condition vectors",
        )
    return LatentSpace(config.z_dim, config.z_prior, conditions)


def data_spec(dataset: Dataset, space: LatentSpace) -> DataSpec:
    """What the networks are built for."""
    return replace(dataset.spec, condition=space.conditions.length if space.conditions else 0)


@contextmanager
def own_streams(device: torch.device) -> Iterator[None]:
    """Within the block random streams and the handling of denormals are gankit's; the caller's come back untouched."""
    flushed = bool(torch.tensor(1e-40) * 1 == 0)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if device.type == "cpu":
            torch.set_flush_denormal(True)  # denormals make convolutions many times slower
        try:
            yield
        finally:
            torch.set_flush_denormal(flushed)


def out_of_memory(error: BaseException, config: RunConfig, shape: tuple[int, ...]) -> ResourceError | None:
    """Out of memory is not a bug: what was asked for and what to do; None for any other exception."""
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
    with answering(plan.composition) if rehearsed else nullcontext():
        return _build_loop(plan, data, device, rehearsed=rehearsed)


def _build_loop(plan: Plan, data: DataSpec, device: torch.device, *, rehearsed: bool) -> TrainingLoop:
    hook, config, options = plan.composition.hook, plan.config, plan.resolved.options
    streams.seed_all(derive_seed(config.seed, "init"))
    by = suppliers(plan, data)  # refuses two
    generator = hook.gankit_generator(data=data, z_dim=config.z_dim, options=options)
    check_built(by, "gankit_generator", generator, nn.Module, data)
    loss = hook.gankit_loss(data=data, options=options)
    check_built(by, "gankit_loss", loss, AdversarialLoss, data)
    seen = data if loss.output.told_by != "nothing" else replace(data, condition=0)
    discriminator = hook.gankit_discriminator(data=seen, options=options, output=loss.output, z_dim=config.z_dim)
    check_built(by, "gankit_discriminator", discriminator, nn.Module, seen)
    networks = Networks(generator, discriminator)
    for module in (networks.generator, networks.discriminator):
        # channels_last is several times faster for convolutions, on the CPU too; tensors of other ranks do not change.
        module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.sync_bn:
            share_batch_norm(module)
    if rehearsed:
        rehearse(plan.composition, by, networks, loss, config, data, seen)
    if config.precision == "auto" and device.type == "cpu":
        config = replace(config, precision=_faster_precision(networks, data, seen, config, by))
    loop: TrainingLoop = hook.gankit_training_loop(
        networks=networks, loss=loss.to(device), config=config, options=options, data=data
    )
    check_built(by, "gankit_training_loop", loop, TrainingLoop, data)
    if config.sync_bn:
        share_batch_norm(loop.companions)
    if rehearsed:
        check_state(loop)
    return loop


def _faster_precision(
    networks: Networks, told: DataSpec, seen: DataSpec, config: TrainConfig, by: Mapping[str, BuiltBy]
) -> Literal["fp32", "bf16"]:
    """fp32 or bf16, from the time that both networks take for a share of a batch on this CPU.

    The generator decides alone where a loop of its own may show its discriminator something else than samples.
    """
    alone = by["gankit_training_loop"].name != CORE
    copies = copy.deepcopy(networks)  # statistics of batch norm must not notice
    n = len(range(config.batch)[processes.share(config.batch)])
    z = torch.zeros(n, config.z_dim)
    conditions = [(torch.zeros(n, data.condition),) if data.condition else () for data in (told, seen)]

    def play(precision: Precision) -> None:
        with precision.autocast():
            fake = copies.generator(z, *conditions[0])
            output = fake if alone else copies.discriminator(fake, *conditions[1])
        output.float().sum().backward()

    with torch.random.fork_rng(devices=[]):
        return faster_on_cpu(f"{networks.generator}\0{networks.discriminator}\0{seen.shape}\0{n}", play)


def make_sampler(plan: Plan, dataset: Dataset, device: torch.device) -> Sampler:
    """The batches of a run, or of one of its processes."""
    config = plan.config
    return Sampler(
        dataset,
        batch=config.batch,
        seed=config.seed,
        device=device,
        conditional=config.conditional,
        share=processes.share(config.batch),
    )


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def suppliers(plan: Plan, data: DataSpec) -> dict[str, BuiltBy]:
    """Builder -> who builds it for this data; PluginError when a variant and an extension both bring a network."""
    composition, options = plan.composition, plan.resolved.options
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
        sampler = make_sampler(plan, dataset, device)
        seconds = []
        for step in range(2 + steps):  # the first ones pay for lazy initialisation
            before = time.perf_counter()
            stats = loop.step(*sampler.batch(step))
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
