"""A script for test_processes: the gradients of every variant, as process RANK of SIZE sees them."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gankit.contracts import DataSpec
from gankit.host import discovery
from gankit.machine import processes
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

BATCH = 8
COUPLED = {"dcgan"}  # batch norm sees the samples of its own process only, unless told otherwise


def gradients(variant: str, sync_bn: bool) -> dict[str, Tensor]:
    """Of the first step of each player on one given batch, of which this process sees its share."""
    settings = {
        "batch": BATCH,
        "z_dim": 20,
        "precision": "fp32",
        "d_steps": 1,
        "g_lr": 1e-9,
        "d_lr": 1e-9,
        "sync_bn": sync_bn,
    }
    plan = plan_run([Layer("test", {"variant": variant, **settings})])
    told = 3 if plan.config.conditional else 0
    loop = build_loop(plan, DataSpec((1, 16, 16), ("a", "b", "c"), condition=told), torch.device("cpu"))
    draws = torch.Generator().manual_seed(1)
    real = torch.rand(BATCH, 1, 16, 16, generator=draws) * 2 - 1
    z = [torch.randn(BATCH, 20, generator=draws) for _ in loop.players]
    labels = torch.arange(BATCH) % 3
    y = torch.nn.functional.one_hot(labels, 3).float() if told else None
    mine = processes.share(BATCH)
    loop.sample_z = lambda n: z.pop()[mine]  # type: ignore[method-assign]
    found: dict[str, Tensor] = {}
    for player, optimizer in loop.optimizers.items():
        names = loop.players[player]

        def record(*_: Any, player: str = player, names: dict[str, Any] = names) -> None:
            found.update({f"{player}.{name}": p.grad.clone() for name, p in names.items() if p.grad is not None})

        optimizer.register_step_pre_hook(record)
    loop.step(real[mine], labels[mine], None if y is None else y[mine])
    found.update({f"loss.{name}": buffer.clone() for name, buffer in loop.loss.named_buffers()})
    if sync_bn:
        for player, network in vars(loop.networks).items():
            found.update({f"{player}.{name}": buffer.clone() for name, buffer in network.named_buffers()})
    return found


def main() -> None:
    """RANK SIZE STORE OUT."""
    rank, size, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    # What a loss draws for itself depends on the process; here it must not.
    torch.rand = lambda *shape, **_: torch.full(shape, 0.25)  # type: ignore[assignment]
    torch.randn = lambda *shape, **_: torch.full(shape, 0.5)  # type: ignore[assignment]
    torch.rand_like = torch.randn_like = lambda x, **_: torch.full_like(x, 0.5)
    variants = [plugin.name for plugin in discovery.discover(discovery.VARIANTS) if plugin.dist == "gankit"]
    found = {variant: gradients(variant, sync_bn=False) for variant in variants}
    found |= {f"{variant} --sync-bn": gradients(variant, sync_bn=True) for variant in COUPLED}
    torch.save(found, out)
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
