"""`gankit bench`: speed of a configuration, and where the time of a step goes."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import typer

from gankit.cli import console
from gankit.cli.flags import Device, Json, complete_extension, complete_variant, key_values
from gankit.settings.layers import Layer


def bench(
    variant: Annotated[
        str | None, typer.Option(autocompletion=complete_variant, help="NAME or ./file.py (else the default one).")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("-o", "--option", metavar="KEY=VALUE", help="Option of the variant.")
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", autocompletion=complete_extension, help="Extension; may be repeated.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="As for `gankit train`.")] = None,
    size: Annotated[str | None, typer.Option(help="Side of the images, e.g. 64.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images per step (default: the variant's).")] = None,
    d_steps: Annotated[int | None, typer.Option(help="D steps for each G step.")] = None,
    penalty_every: Annotated[int | None, typer.Option(help="Gradient penalties in every k-th D step only.")] = None,
    conditional: Annotated[bool | None, typer.Option("--conditional", help="Tell both players the class.")] = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "tf32", "bf16", "fp16"], typer.Option(help="Arithmetic of the networks.")
    ] = "auto",
    steps: Annotated[int, typer.Option(min=1, help="Steps in each of five blocks.")] = 20,
    json: Json = False,
) -> None:
    """Measure training: images/s, time by phase, FLOP/s beside the device's matrix rate, peak memory. Writes nothing.

    gankit bench --data cifar10 --precision bf16
    """
    from gankit.look.bench import bench as measure

    chosen = {
        "variant": variant,
        "options": key_values(option) if option else None,
        "extensions": with_,
        "data": data,
        "size": size,
        "batch": batch,
        "d_steps": d_steps,
        "penalty_every": penalty_every,
        "conditional": conditional,
        "device": device,
        "precision": precision,
    }
    settings: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    with console.log_to_stderr(), console.progress_bar():
        found = measure([Layer("flag", settings)], steps)
    if json:
        console.print_json({**dataclasses.asdict(found), "of_matmul": found.of_matmul})
        return
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
