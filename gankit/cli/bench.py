"""`gankit bench`: speed of a configuration, and where the time of a step goes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Json
from gankit.cli.settings import OPTIONS, takes_settings
from gankit.settings.config import TrainConfig
from gankit.settings.layers import Layer
from gankit.settings.option import values_of

if TYPE_CHECKING:
    from gankit.look.bench import Benchmark

SETTINGS = ("variant", OPTIONS, "extensions", "data", "size", "device", *values_of(TrainConfig()))


@takes_settings(SETTINGS)
def bench(
    layers: list[Layer],
    steps: Annotated[int, typer.Option(min=1, help="Steps in each of five blocks.")] = 20,
    json: Json = False,
) -> None:
    """Measure training: images/s, time by phase, FLOP/s beside the device's matrix rate, peak memory. Writes nothing.

    gankit bench --data cifar10 --precision bf16
    """
    from gankit.look.bench import bench as measure

    with console.log_to_stderr(), console.progress_bar():
        found = measure(layers, steps)
    if json:
        console.print_json({**dataclasses.asdict(found), "of_matmul": found.of_matmul})
    else:
        _print(found)


def _print(found: Benchmark) -> None:
    out = console.data.print
    threads = f", {found.threads} threads" if found.device == "cpu" else ""
    out(f"{found.variant} on {found.device}{threads} in {found.precision}, batch {found.batch}, torch {found.torch}")
    low, high = found.images_per_s_range
    out(f"images/s     {found.images_per_s:,.0f} ({low:,.0f}–{high:,.0f}), {found.step_ms:,.2f} ms a step")
    reached, most = f"{_si(found.flop_per_s)}FLOP/s", f"{_si(found.matmul_flop_per_s)}FLOP/s"
    out(f"arithmetic   {_si(found.flop_per_image)}FLOP an image")
    out(f"rate         {reached}: {found.of_matmul:.0%} of the {most} of a matrix product here")
    out(f"outside      {found.outside:.0%} of a step in which no operator computes")
    out(f"peak memory  {found.peak_bytes / 2**20:,.0f} MiB")
    total = sum(found.phases_ms.values())
    for name, ms in found.phases_ms.items():
        out(f"  {name:15} {ms:9.2f} ms {ms / total:6.1%}")


def _si(value: float) -> str:
    """12_300_000_000 -> '12.3 G'."""
    for unit in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} P"
