"""`gankit bench`: the speed of a configuration, and the time of each phase of a step."""

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
        result = measure(layers, steps)
    if json:
        console.print_json({**dataclasses.asdict(result), "of_matmul": result.of_matmul})
    else:
        _print(result)


def _print(result: Benchmark) -> None:
    threads = f", {result.threads} threads" if result.device == "cpu" else ""
    where = f"{result.device}{threads} in {result.precision}"
    console.paragraph(f"{result.variant} on {where}, batch {result.batch}, torch {result.torch}")
    low, high = result.images_per_s_range
    facts = {"images/s": f"{result.images_per_s:,.0f} ({low:,.0f}–{high:,.0f}), {result.step_ms:,.2f} ms a step"}
    rate, limit = f"{_si(result.flop_per_s)}FLOP/s", f"{_si(result.matmul_flop_per_s)}FLOP/s"
    facts["arithmetic"] = f"{_si(result.flop_per_image)}FLOP an image"
    facts["rate"] = f"{rate}: {result.of_matmul:.0%} of the {limit} of a matrix product here"
    facts["outside"] = f"{result.outside:.0%} of a step in which no operator computes"
    facts["peak memory"] = f"{result.peak_bytes / 2**20:,.0f} MiB"
    for label, text in facts.items():
        console.paragraph(text, label=label, indent=13)
    total = sum(result.phases_ms.values())
    for name, ms in result.phases_ms.items():
        console.data.print(f"  {name:15} {ms:9.2f} ms {ms / total:6.1%}")


def _si(value: float) -> str:
    """12_300_000_000 -> '12.3 G'."""
    for unit in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} P"
