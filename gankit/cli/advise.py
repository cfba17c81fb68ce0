"""`gankit advise DATA`: what to train on some data, as one command line with the reason for each choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gankit.base.text import plural
from gankit.cli import console
from gankit.cli.flags import (
    Background,
    Channels,
    Device,
    Frames,
    ImageColumn,
    Json,
    Kind,
    Labels,
    Length,
    Range,
    data_flags,
)
from gankit.cli.recipes import compact, duration

if TYPE_CHECKING:
    from gankit.run.advice import Advice


def advise(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Anything that `gankit train --data` reads.")],
    range_: Range = None,
    channels: Channels = None,
    kind: Kind = None,
    length: Length = None,
    background: Background = None,
    frames: Frames = "first",
    labels: Labels = None,
    image_column: ImageColumn = None,
    on_bad_image: Annotated[
        Literal["error", "skip"], typer.Option(help="Whether an unreadable image is an error or is skipped.")
    ] = "error",
    size: Annotated[str | None, typer.Option(help="The size you want: HEIGHTxWIDTH, or 64.")] = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extension with data sets; repeatable.")] = None,
    no_measure: Annotated[
        bool, typer.Option("--no-measure", help="Do not measure the hours here by a few steps.")
    ] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Read some data and say what to type: one command line, with the reason for each choice. Nothing is trained.

    gankit advise photos/
    """
    with console.log_to_stderr(), console.progress_bar():
        from gankit.look.cost import measure as measure_speed
        from gankit.run.advice import advise as advice_for
        from gankit.run.advice import near_duplicates
        from gankit.run.plan import plan_run
        from gankit.settings.layers import Layer

        given: dict[str, Any] = {"on_bad_image": on_bad_image, "extensions": with_ or ()}
        given |= {"value_range": range_, "channels": channels, "kind": kind, "length": length}
        given |= {"frames": frames, "background": background}
        given |= {"labels": labels, "image_column": image_column}
        given |= {"size": size} if size is not None else {}
        advice = advice_for(data, given)
        own = {key: value for key, value in given.items() if value and value not in ("error", "first")}
        plan = plan_run([advice.layer, Layer("flag", {"data": data, "device": device, **own})])
        share, looked_at = near_duplicates(advice)
        speed = measure_speed(plan, advice.survey.sample(256)) if not no_measure else None
        facts: dict[str, Any] = {
            "budget": plan.config.total_images,
            "duplicates": share if looked_at else None,
            "looked_at": looked_at,
            "images_per_s": speed.images_per_s if speed else None,
            "device": speed.device if speed else None,
            "hours": speed.hours(plan.config.total_images) if speed else None,
        }
        table = plan.settings_table()
    command = " ".join([advice.command, *(f"--with {name}" for name in with_ or ()), *data_flags(given)])
    if json:
        console.print_json(_document(advice, command, facts, table))
        return
    _print(advice, command, facts)


def _document(advice: Advice, command: str, facts: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    return {
        "data": {"path": advice.data, **vars(advice.facts)},
        "recipe": None if advice.recipe is None else advice.recipe.identity,
        "command": command,
        "reasons": [vars(reason) for reason in advice.reasons],
        "settings": table,
        "cost": facts,
        "quality": advice.quality,
        "watch": list(advice.watch),
    }


def _print(advice: Advice, command: str, facts: dict[str, Any]) -> None:
    from rich.table import Table

    out, data = console.data.print, advice.facts
    noun = data.kind.removesuffix("s")
    size = f", {data.colour}, trained at {data.side} pixels" if data.kind == "images" else ""
    classes = f", {data.classes:,} classes of {data.per_class:,} or more" if data.classes > 1 else ", no labels"
    classes = f", {plural(len(advice.survey.attributes), 'attribute')}" if advice.survey.attributes else classes
    console.paragraph(f"{advice.data}: {plural(data.images, noun)}{size}{classes}")
    if facts["looked_at"]:
        out(f"near-duplicates  {facts['duplicates']:.1%} of the {facts['looked_at']:,} {data.kind} looked at")
    out()
    table = Table("choice", "value", "because", box=None, pad_edge=False)
    for reason in advice.reasons:
        table.add_row(console.cell(reason.setting), console.cell(str(reason.value)), console.cell(reason.because))
    if facts["budget"]:
        time = f"about {duration(facts['hours'])} here ({facts['device']})" if facts["hours"] else "not measured here"
        table.add_row("images", compact(facts["budget"]), time)
    console.print_table(table)
    notes = Table(box=None, pad_edge=False, show_header=False)
    for heading, text in (("expect", advice.quality), *(("watch", line) for line in advice.watch)):
        if text:
            notes.add_row(heading, console.cell(text))
    out()
    console.print_table(notes)
    out()
    out(command, markup=False)
    console.next_steps("the line above, or the same with other flags behind it")
