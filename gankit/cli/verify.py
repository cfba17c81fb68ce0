"""`gankit verify`: values of the formulas worked out by hand, beside the results of this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gankit.cli import console
from gankit.cli.flags import Device, Json, complete_variant
from gankit.errors import InputError, PluginError


def verify(
    variant: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VARIANT]...", autocompletion=complete_variant, help="NAME or ./file.py (else all)."),
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["auto", "fp64", "fp32", "tf32", "bf16", "fp16"],
        typer.Option(help="Arithmetic of the critic; auto is the default of training."),
    ] = "auto",
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extension whose vectors are checked too.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Instead check that this run's configuration resumes exactly.")
    ] = None,
    dynamics: Annotated[
        bool, typer.Option("--dynamics", help="Instead show what each game does on the smallest GAN there is.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare the formulas of plugins with values worked out by hand, on this device and in this precision.

    With --resume RUN: train the first steps of a run in a temporary folder, without and with a stop, and compare.

    With --dynamics: eigenvalues of the game at its equilibrium, and where 2,000 steps lead (Mescheder et al. 2018).

    gankit verify ./mine.py --precision bf16
    """
    if resume is not None:
        _verify_resume(resume, variant or [], with_, device, precision, as_json=json)
        return
    if dynamics:
        if with_ or device != "auto" or precision != "auto":
            raise InputError("--dynamics is about formulas of variants in float64", hint="leave the other flags out")
        _show_dynamics(variant or [], as_json=json)
        return
    from gankit.look.verify import verify as compute

    result = compute(variant or (), extensions=with_ or (), device=device, precision=precision)
    if json:
        rows = [
            {
                "plugin": name,
                "vector": value.vector,
                "value": value.value,
                "expected": value.expected,
                "got": console.number(value.got),
                "ok": value.ok,
            }
            for name, value in result.checked
        ]
        console.print_json({"device": result.device, "precision": result.precision, "values": rows})
    else:
        from rich.table import Table

        table = Table("plugin", "vector", "value", "expected", "got", "", box=None, pad_edge=False)
        for name, value in result.checked:
            verdict = "ok" if value.ok else "WRONG"
            cells = (name, value.vector, value.value, f"{value.expected:.9g}", f"{value.got:.9g}", verdict)
            table.add_row(*map(console.cell, cells), style="" if value.ok else "bold red")
        if result.checked:
            console.print_table(table)
            bound = result.checked[0][1].tolerance
            count = f"{len(result.checked)} values on {result.device} in {result.precision}"
            console.paragraph(f"{count}, each to {bound:g}")
    for name in result.without:
        console.talk.print(f"{name} offers no vectors: values worked out by hand, from gankit_vectors", markup=False)
    if result.wrong:
        raise PluginError(f"{result.wrong} of {len(result.checked)} values disagree", hint="see the rows marked WRONG")


def _show_dynamics(variants: list[str], *, as_json: bool) -> None:
    """The table of `gankit verify --dynamics`, or its JSON."""
    from rich.table import Table

    from gankit.look.dynamics import MEANS, Unplayed, dynamics

    results = dynamics(variants)
    if as_json:
        console.print_json([
            {"variant": r.variant, "reason": r.reason} if isinstance(r, Unplayed) else
            {"variant": r.variant, "verdict": r.verdict, "distance": r.distance,
             "eigenvalues": None if r.eigenvalues is None else [[v.real, v.imag] for v in r.eigenvalues]}
            for r in results
        ])  # fmt: skip
        return
    table = Table("variant", "eigenvalues", "distance", "near its equilibrium it", box=None, pad_edge=False)
    for result in results:
        if isinstance(result, Unplayed):
            table.add_row(console.cell(result.variant), "–", "–", console.cell(result.reason))
            continue
        table.add_row(console.cell(result.variant), result.values, f"{result.distance:.2g}", MEANS[result.verdict])
    console.print_table(table)
    console.paragraph(
        "Real data are 0, fakes are theta, D(x) = psi x; defaults of each variant. Eigenvalues are those of the "
        "Jacobian of the players' pulls at (0, 0); distance is that from there after 2,000 alternating steps of 0.1 "
        "from (1, 0). Games that circle need a penalty at the data (--with r1), or an average of G, to settle."
    )


def _verify_resume(
    run: Path, variants: list[str], extensions: list[str] | None, device: str, precision: str, *, as_json: bool
) -> None:
    from gankit.look.resume_check import verify_resume

    if len(variants) > 1 or precision == "fp64":
        raise InputError("--resume checks one run in its own precision", hint="gankit verify --resume RUN")
    changes: dict[str, Any] = {"variant": variants[0]} if variants else {}
    changes |= {"extensions": extensions} if extensions else {}
    changes |= {"device": device} if device != "auto" else {}
    changes |= {"precision": precision} if precision != "auto" else {}
    result = verify_resume(run, **changes)
    if as_json:
        console.print_json(dataclasses.asdict(result))
    else:
        for difference in result.differences:
            amount = "in type or shape" if difference.largest is None else f"by up to {difference.largest:.3g}"
            console.data.print(f"{difference.name} differs {amount}", markup=False)
        same = result.compared - len(result.differences)
        numbers = f"{same} of {result.compared} tensors and numbers"
        console.paragraph(f"{numbers} are equal after {result.steps} steps with a resume")
    if result.differences:
        raise PluginError(f"{run} does not resume bit for bit here", hint="the lines above say what differs")
