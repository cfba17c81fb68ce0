"""`gankit train` and `gankit resume`: turn flags into settings, call the API and print the result."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import complete_recipe, path_of
from gankit.cli.launch import relaunch
from gankit.cli.settings import FIELDS, OPTIONS, merged, takes_settings
from gankit.settings.config import RESUMABLE_CHANGES
from gankit.settings.layers import RUN, Layer, read_toml
from gankit.settings.option import Panel
from gankit.settings.schedule import SHARES

if TYPE_CHECKING:
    from gankit.data import Dataset
    from gankit.run.plan import Plan
    from gankit.run.run import RunResult

VARIABLES = "GANKIT_TRAIN"
# The settings that users set first come first in the help.
FIRST = ("variant", OPTIONS, "extensions", "data", "images")
SETTINGS = (*FIRST, *(name for name in FIELDS if name not in FIRST))
RESUMABLE = (*(name for name in FIELDS if name in RESUMABLE_CHANGES), "variant", "extensions")

Gpus = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Processes under torchrun, one per GPU.", rich_help_panel=Panel.RUN, show_envvar=False
    ),
]
Config = Annotated[
    str | None, typer.Option(metavar="TOML", help="Settings from a file.", rich_help_panel=Panel.RUN, show_envvar=False)
]
Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Settings of a recipe: a name or ./file.toml.",
        rich_help_panel=Panel.GAME,
        show_envvar=False,
        autocompletion=complete_recipe,
    ),
]
New = Annotated[
    bool,
    typer.Option(
        "--new", metavar="", help="Start anew; continue no run.", rich_help_panel=Panel.RUN, show_envvar=False
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        "-n",
        metavar="",
        help="Build and estimate; write nothing.",
        rich_help_panel=Panel.RUN,
        show_envvar=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Run folder (runs/VARIANT-DATA-N).",
        rich_help_panel=Panel.OUTPUT,
        show_envvar=False,
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option(
        "--print-config",
        metavar="",
        help="Print settings and sources.",
        rich_help_panel=Panel.OUTPUT,
        show_envvar=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print the result as JSON.", rich_help_panel=Panel.OUTPUT, show_envvar=False
    ),
]


@takes_settings(SETTINGS, panels=True, variables=VARIABLES)
def train(
    layers: list[Layer],
    recipe: Recipe = None,
    gpus: Gpus = None,
    config: Config = None,
    new: New = False,
    dry_run: DryRun = False,
    out: Out = None,
    print_config: PrintConfig = False,
    json: Json = False,
) -> None:
    """Train a GAN. The same command again continues a run that was stopped.

    gankit train --data ./photos --size 64 --images 500k
    """
    layers = [*([read_toml(path_of(config, "--config"))] if config is not None else []), *layers]
    layers += [Layer("flag", {"recipe": recipe})] if recipe is not None else []
    folder = path_of(out, "--out") if out is not None else None
    with console.log_to_stderr(), console.progress_bar():
        from gankit.run.advice import advised
        from gankit.run.plan import load_data, plan_run

        if config is None:
            layers = advised(layers, None if new else folder)
        if dry_run or print_config:
            plan = plan_run(layers)
            if dry_run:
                _print_dry_run(plan, load_data(plan), as_json=json)
            else:
                _print_config(plan, as_json=json)
            return
        if gpus is not None:
            _relaunch(gpus, plan_run(layers))
    _train(layers, folder, new, as_json=json)


@takes_settings(RESUMABLE)
def resume(
    layers: list[Layer],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    gpus: Annotated[int | None, typer.Option(min=1, help="Processes under torchrun, one per GPU.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Continue a run exactly where it stopped, or beyond its budget. Plugins that are files must be named again.

    gankit resume RUN --images 400k
    """
    from gankit.cli.live import LiveLine
    from gankit.run.plan import plan_run, stored_settings
    from gankit.run.train import resume as resume_run
    from gankit.store.run_folder import RunFolder

    settings = merged(layers)
    if gpus is not None:
        _relaunch(gpus, plan_run([Layer(RUN, stored_settings(RunFolder(run), settings)), *layers]))
    with console.log_to_stderr():
        live = LiveLine()
        result = resume_run(run, observers=[live], on_step=live.after_step, **settings)
    _print_result(result, as_json=json)


def _relaunch(gpus: int, plan: Plan) -> None:
    relaunch(gpus, plan.config.device, plan.config.batch)


def _train(layers: list[Layer], out: Path | None, new: bool, *, as_json: bool) -> None:
    from gankit.cli.live import LiveLine
    from gankit.run.train import train_layers

    with console.log_to_stderr():
        with console.progress_bar():
            live = LiveLine()
            result = train_layers(layers, out, new, observers=[live], on_step=live.after_step)
    _print_result(result, as_json=as_json)


def _print_config(plan: Plan, *, as_json: bool) -> None:
    rows = plan.settings_table()
    if as_json:
        console.print_json({"settings": rows, "schedules": plan.schedule_table()})
        return
    from rich.table import Table

    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, row in rows.items():
        style = "" if row["source"] in ("core", "variant", "extension") else "bold"
        table.add_row(key, console.cell(str(row["value"])), row["source"], style=style)
    console.print_table(table)
    _print_schedules(plan)


def _print_schedules(plan: Plan) -> None:
    """The value of each schedule at the start and at shares of the budget."""
    from rich.table import Table

    rows = plan.schedule_table()
    if not rows:
        return
    table = Table("schedule", "at the start", box=None, pad_edge=False)
    for share in SHARES[1 : len(next(iter(rows.values())))]:
        table.add_column(f"{share:.0%}", justify="right")
    for name, values in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in values))
    console.data.print()
    console.print_table(table)


def _print_dry_run(plan: Plan, dataset: Dataset, *, as_json: bool) -> None:
    from gankit.cli.live import clock
    from gankit.run.build import built_by, data_spec, estimate, latent_space

    cost = estimate(plan, dataset)
    builders = built_by(plan, data_spec(dataset, latent_space(plan, dataset)))
    if as_json:
        document: dict[str, Any] = {"settings": plan.settings_table(), "schedules": plan.schedule_table()}
        facts = {"data": dataset.describe(), "built_by": builders, "estimate": dataclasses.asdict(cost)}
        console.print_json({**document, **facts})
        return
    _print_config(plan, as_json=False)
    out = console.data.print
    out()
    for line in dataset.describe().splitlines():
        console.paragraph(line)
    console.paragraph(", ".join(f"{what} {who}" for what, who in builders.items()), label="built by", indent=12)
    sizes = ", ".join(f"{what} {count:,}" for what, count in cost.parameters.items())
    console.paragraph(sizes, label="parameters", indent=12)
    total = f"about {clock(cost.total_s)}" if cost.total_s else "no end"
    console.paragraph(
        f"{total} at {cost.images_per_s:,.0f} images/s (from 5 steps on this machine"
        + (", without the scores); " if plan.config.eval_every else "); ")
        + "nothing was written",
        label="estimate",
        indent=12,
    )


def _print_result(result: RunResult, *, as_json: bool) -> None:
    if console.RANK:
        return
    if as_json:
        values = dataclasses.asdict(result)
        console.print_json({key: str(value) if isinstance(value, Path) else value for key, value in values.items()})
        return
    out = console.data.print
    out(f"picture     {result.picture}", markup=False)
    out(f"checkpoint  {result.generator}", markup=False)
    if result.best is not None:
        out(f"best score  {result.best}", markup=False)
    out(f"run         {result.folder} ({result.images_seen:,} images in {result.train_s:,.0f} s)", markup=False)
    folder = console.quoted(result.folder)
    console.next_steps(
        f"gankit sample {folder}", f"gankit eval {folder}", f"gankit resume {folder} --images {_more(result)}"
    )


def _more(result: RunResult) -> str:
    """Twice the images that the run has seen, as --images takes it."""
    images = 2 * result.images_seen
    return f"{images // 1000}k" if images % 1000 == 0 else str(images)
