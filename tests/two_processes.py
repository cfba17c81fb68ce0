"""A script for test_processes: the gradients of every game, as process RANK of SIZE sees them."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gankit.contracts import Batch, DataSpec
from gankit.game.loop import TrainingLoop
from gankit.host import discovery
from gankit.machine import processes
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

BATCH = 8
SHAPE = (1, 16, 16)
CLASSES = ("a", "b", "c")
COUPLED = {"dcgan"}  # batch norm sees the samples of its own process only, unless it is synchronised

# Extensions whose part in a step is a function of the whole batch; k is at its floor from the first step.
EXTENDED: dict[str, dict[str, Any]] = {
    "gan --with top-k": {"extensions": ("top-k",), "options": {"top-k": {"images": 1, "decay": 0.1, "least": 0.25}}},
    "gan --with r1": {"extensions": ("r1",)},
    "gan --with r1, finite": {"extensions": ("r1",), "options": {"r1": {"at": "both", "estimate": "finite"}}},
    "gan --with lecam and balance": {"extensions": ("lecam", "balance")},
    "r3gan --with centre": {"extensions": ("centre",)},
    "gan --with align": {"extensions": ("align",)},
    "dragan, centred": {"options": {"noise": "centred"}},
}


def games() -> dict[str, dict[str, Any]]:
    """Name -> settings: every variant of gankit, and some with extensions or options."""
    variants = [plugin.name for plugin in discovery.discover(discovery.VARIANTS) if plugin.dist == "gankit"]
    found: dict[str, dict[str, Any]] = {name: {"variant": name} for name in variants}
    found |= {f"{name} --sync-bn": {"variant": name, "sync_bn": True} for name in COUPLED}
    return found | {name: {"variant": name.split()[0].strip(","), **more} for name, more in EXTENDED.items()}


def build(settings: dict[str, Any]) -> TrainingLoop:
    """The loop of a game, in which each player moves by next to nothing."""
    fixed = {"batch": BATCH, "z_dim": 20, "precision": "fp32", "d_steps": 1, "g_lr": 1e-9, "d_lr": 1e-9}
    plan = plan_run([Layer("test", {**fixed, **settings})])
    condition = len(CLASSES) if plan.config.conditional else 0
    return build_loop(plan, DataSpec(SHAPE, CLASSES, condition=condition), torch.device("cpu"))


def gradients(settings: dict[str, Any]) -> dict[str, Tensor]:
    """Of the first step of each player on one given batch, of which this process sees its share.

    Beside them the mean of each input of the discriminator, over all processes.
    """
    loop = build(settings)
    draws = torch.Generator().manual_seed(1)
    contrast = torch.linspace(0.01, 1, BATCH)  # so that the processes' shares differ
    real = (torch.rand(BATCH, *SHAPE, generator=draws) * 2 - 1) * contrast.reshape(-1, 1, 1, 1)
    z = [torch.randn(BATCH, 20, generator=draws) * contrast[:, None] for _ in loop.players]
    labels = torch.arange(BATCH) % len(CLASSES)
    y = torch.nn.functional.one_hot(labels, len(CLASSES)).float() if loop.config.conditional else None
    mine = processes.share(BATCH)
    loop.sample_z = lambda n: z.pop()[mine]  # type: ignore[method-assign]
    found: dict[str, Tensor] = {}
    for name, player in loop.players.items():

        def record(*_: Any, name: str = name, parameters: dict[str, Any] = player.parameters) -> None:
            found.update({f"{name}.{key}": p.grad.clone() for key, p in parameters.items() if p.grad is not None})

        player.optimizer.register_step_pre_hook(record)
    inputs: list[Tensor] = []
    loop.networks.discriminator.register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach().mean()))
    data, fresh = (
        Batch(samples[mine], labels=labels[mine], condition=None if y is None else y[mine])
        for samples in (real, real.flip(0))
    )
    loop.step(replace(data, fresh=fresh if loop.takes_fresh_reals else None))
    processes.average(inputs, "the inputs of the discriminator")
    found["inputs"] = torch.stack(inputs)
    found.update({f"loss.{name}": buffer.clone() for name, buffer in loop.loss.named_buffers()})
    parts = loop.parts.items()
    found.update({f"{part}.{key}": buffer.clone() for part, module in parts for key, buffer in module.named_buffers()})
    if loop.config.sync_bn:  # type: ignore[attr-defined]
        for name, network in (("generator", loop.networks.generator), ("discriminator", loop.networks.discriminator)):
            found.update({f"{name}.{key}": buffer.clone() for key, buffer in network.named_buffers()})
    return found


def main() -> None:
    """RANK SIZE STORE OUT."""
    rank, size, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    # What a loss draws for itself depends on the process; here it must not.
    torch.rand = lambda *shape, **_: torch.full(shape, 0.25)  # type: ignore[assignment]
    torch.randn = lambda *shape, **_: torch.full(shape, 0.5)  # type: ignore[assignment]
    torch.rand_like = torch.randn_like = lambda x, **_: torch.full_like(x, 0.75)  # type: ignore[assignment]
    torch.save({name: gradients(settings) for name, settings in games().items()}, out)
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
