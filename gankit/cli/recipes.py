"""`gankit recipes`: lists what can be trained from a recipe; `show` prints one with its cost and its expectation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import Json, complete_recipe
from gankit.host import recipes
from gankit.settings.layers import Layer
from gankit.settings.option import to_json
from gankit.store import speeds

if TYPE_CHECKING:
    from gankit.host.recipes import RecipeFile
    from gankit.run.plan import Plan
    from gankit.store.speeds import Speed

app = typer.Typer(help="List recipes, or show one.\n\ngankit recipes show digits", invoke_without_command=True)

COLUMNS = ("recipe", "what it is", "data", "images", "cost here", "state")
NARROW = 72  # columns of a terminal below which the list has fewer of them
SHOWN_SHARES = (0.0, 0.5, 1.0)  # shares of the budget at which schedules are shown


@app.callback()
def listing(context: typer.Context, json: Json = False) -> None:
    """List the recipes of all installed packages. `cost` is what a run takes here, if that was measured before.

    gankit recipes
    """
    if context.invoked_subcommand is not None:
        return
    with console.log_to_stderr():
        found = recipes.discover()
    if json:
        console.print_json([_facts(recipe, speeds.recall(recipe.digest)) for recipe in found])
        return
    from rich.table import Table

    narrow = (console.fitting_width() or NARROW) < NARROW
    shown = [heading for heading in COLUMNS if not narrow or heading in ("recipe", "what it is", "images")]
    table = Table(*shown, box=None, pad_edge=False)
    names = [recipe.name for recipe in found]
    for recipe in found:
        name = f"{recipe.dist}:{recipe.name}" if names.count(recipe.name) > 1 else recipe.name
        images, data = recipe.recipe.images, recipe.recipe.settings.get("data", "yours")
        speed = speeds.recall(recipe.digest)
        cost = duration(speed.hours(images)) if speed is not None else ""
        cells = (name, recipe.recipe.title, str(data), compact(images), cost, recipe.recipe.state)
        row = dict(zip(COLUMNS, cells, strict=True))
        table.add_row(*(console.cell(row[heading]) for heading in shown))
    console.print_table(table)
    console.next_steps("gankit recipes show NAME", "gankit train --recipe NAME")


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=complete_recipe, help="NAME, DIST:NAME or ./file.toml.")
    ],
    measure: Annotated[bool, typer.Option("--measure", help="Measure the hours of a run on this machine.")] = False,
    json: Json = False,
) -> None:
    """Show a recipe: its settings and schedules, what it costs, and the scores to expect.

    gankit recipes show digits --measure
    """
    with console.log_to_stderr(), console.progress_bar():
        from gankit.run.plan import plan_run

        found = recipes.find(name)
        # Data that the user has to give are not needed to show the settings.
        open_data = [] if "data" in found.recipe.settings else [Layer("to be given", {"data": ""})]
        plan = plan_run([*open_data, Layer("flag", {"recipe": name})])
        speed = speeds.recall(found.digest)
        if measure:
            from gankit.look.cost import measure_recipe

            speed = measure_recipe(found, plan)
    if json:
        console.print_json({**_facts(found, speed), **_details(found, plan, speed)})
        return
    _print(found, plan, speed)


def _facts(found: RecipeFile, speed: Speed | None) -> dict[str, Any]:
    recipe = found.recipe
    return {
        "name": found.name,
        "title": recipe.title,
        "dist": found.dist,
        "version": found.version,
        "file": str(found.path),
        "digest": found.digest,
        "data": recipe.settings.get("data"),
        "images": recipe.images,
        "state": recipe.state,
        "not_run": recipe.not_run,
        "here": _here(recipe.images, speed),
    }


def _here(images: int | None, speed: Speed | None) -> dict[str, Any] | None:
    if speed is None:
        return None
    return {"device": speed.device, "images_per_s": speed.images_per_s, "hours": speed.hours(images)}


def _details(found: RecipeFile, plan: Plan, speed: Speed | None) -> dict[str, Any]:
    recipe = found.recipe
    return {
        "about": recipe.about,
        "data_note": to_json(recipe.data),
        "settings": plan.settings_table(),
        "schedules": plan.schedule_table(SHOWN_SHARES),
        "expect": None if recipe.expect is None else to_json(recipe.expect),
        "published": [to_json(part) for part in recipe.published],
        "cost": [to_json(part) for part in recipe.cost],
        "here": _here(plan.config.total_images, speed),  # the variant may recommend a batch, which decides it
    }


def _print(found: RecipeFile, plan: Plan, speed: Speed | None) -> None:
    from rich.table import Table

    recipe, out = found.recipe, console.data.print
    console.paragraph(f"{recipe.title}  ({found.name} from {found.origin})")
    if recipe.about:
        console.paragraph(recipe.about)
    out()
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, row in plan.settings_table().items():
        if row["source"] not in ("core", "to be given"):
            table.add_row(key, console.cell(str(row["value"])), console.cell(row["source"]))
    console.print_table(table)
    rows = plan.schedule_table(SHOWN_SHARES)
    if rows:
        table = Table("schedule", box=None, pad_edge=False)
        for heading in ("at the start", "at half", "at the end"):
            table.add_column(heading, justify="right")
        for name, values in rows.items():
            table.add_row(name, *(f"{value:.4g}" for value in values))
        out()
        console.print_table(table)
    out()
    _print_expectation(found)
    data = str(recipe.settings.get("data", "yours"))
    _fact("data", data + (f": {recipe.data.about}" if recipe.data.about else ""))
    _fact("budget", f"{compact(plan.config.total_images)} images")
    for cost in recipe.cost:
        _fact("measured", f"{duration(cost.hours)} on {cost.machine}")
    if speed is not None:
        time = duration(speed.hours(plan.config.total_images))
        _fact("here", f"about {time} at {speed.images_per_s:,.3g} images/s ({speed.device})")
    if recipe.not_run is not None:
        _fact("not run", f"{recipe.not_run}; only its first steps are tested")
    give = "" if "data" in recipe.settings else " --data DATA"
    measured = "" if speed is not None else f"gankit recipes show {found.name} --measure, or "
    console.talk.print(f"next: {measured}gankit train --recipe {found.name}{give}", markup=False)


def _print_expectation(found: RecipeFile) -> None:
    expect = found.recipe.expect
    if expect is not None:
        n = f", {expect.n:,} samples" if expect.n else ""
        features = f" in {expect.features}" if expect.features else ""
        _fact("scored by", f"gankit {expect.command}{features}, split {expect.split}{n}")
        for name, interval in expect.scores.items():
            value = f", measured {interval.value:g}" if interval.value is not None else ""
            _fact("expected", f"{name} {interval}{value} ({expect.source})")
    for part in found.recipe.published:
        _fact("published", f"{part.score} {part.value}: {part.protocol} ({part.source})")


def _fact(label: str, text: str) -> None:
    console.paragraph(text, label=label, indent=12)


def compact(count: int | None) -> str:
    """4_069_975 -> '4.07M'; '' for None."""
    if count is None:
        return ""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{float(f'{count / size:.3g}'):g}{unit}"
    return str(count)


def duration(hours: float | None) -> str:
    """0.2 -> '12 min', 30 -> '30 h', 100 -> '4.2 days'; '' for None."""
    if hours is None:
        return ""
    if hours < 2 / 60:
        return f"{3600 * hours:.0f} s"
    if hours < 2:
        return f"{60 * hours:.0f} min"
    return f"{hours:.3g} h" if hours < 72 else f"{hours / 24:,.0f} days"
