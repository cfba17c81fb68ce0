"""`gankit train` and `gankit resume`: flags become settings, the API does the work, the result is printed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gankit.base.text import did_you_mean, printable
from gankit.cli import console
from gankit.cli.flags import complete_extension, complete_variant, key_values, path_of
from gankit.cli.launch import relaunch
from gankit.errors import InputError
from gankit.settings.config import ALIASES, DEFAULT_IMAGES, RunConfig
from gankit.settings.layers import Layer, read_toml

if TYPE_CHECKING:
    from gankit.run.plan import Plan
    from gankit.run.run import RunResult

# Parameters whose setting has another name.
SETTING_OF = {**ALIASES, "with_": "extensions", "option": "options"}
NOT_SETTINGS = {"gpus", "out", "new", "config", "dry_run", "print_config", "json", "run"}
DEFAULTS = RunConfig()
DATA, GAME, RUN, EVAL, OUTPUT = "Data", "Game", "Run", "Scores during training", "Output"

Gpus = Annotated[
    int | None,
    typer.Option(min=1, help="Processes under torchrun, one a GPU; --batch is their sum.", rich_help_panel=RUN),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=OUTPUT)]


def train(
    context: typer.Context,
    variant: Annotated[
        str | None,
        typer.Option(
            help=f"Variant: a name, DIST:NAME, or ./file.py (default: {DEFAULTS.variant}).",
            autocompletion=complete_variant,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help=f"digits, mnist, cifar10, ring8, …, or a folder, zip, .npz, .npy, .gkpack (default: {DEFAULTS.data}).",
            rich_help_panel=DATA,
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Crop and resize to HEIGHTxWIDTH, or 64.", rich_help_panel=DATA)
    ] = None,
    on_bad_image: Annotated[
        Literal["error", "skip"] | None,
        typer.Option(
            help="Whether an unreadable image ends the run or is named and left out (default: error).",
            rich_help_panel=DATA,
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(help=f"Budget: images shown to D, e.g. 500k (default: {DEFAULT_IMAGES:,}).", rich_help_panel=RUN),
    ] = None,
    steps: Annotated[str | None, typer.Option(help="Budget: batches shown to D.", rich_help_panel=RUN)] = None,
    time: Annotated[str | None, typer.Option(help="Budget: training time, e.g. 2h.", rich_help_panel=RUN)] = None,
    init_from: Annotated[
        str | None,
        typer.Option(metavar="CKPT", help="Start with the networks of a run or file.", rich_help_panel=GAME),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto takes cuda, then mps, then cpu.", rich_help_panel=RUN)
    ] = None,
    gpus: Gpus = None,
    sync_bn: Annotated[
        bool | None, typer.Option("--sync-bn", help="Batch norm over the batches of all GPUs.", rich_help_panel=RUN)
    ] = None,
    graphs: Annotated[
        Literal["auto", "off"] | None,
        typer.Option(help="Steps from CUDA graphs (off; experimental).", rich_help_panel=RUN),
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "tf32", "bf16", "fp16"] | None,
        typer.Option(help="Arithmetic; auto is bf16 on CUDA, on a CPU what is faster.", rich_help_panel=RUN),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of all random streams (default: {DEFAULTS.seed}).", rich_help_panel=RUN)
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--option",
            metavar="KEY=VALUE",
            help="Option of the variant, or EXTENSION.KEY=VALUE.",
            rich_help_panel=GAME,
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="EXTENSION",
            envvar="GANKIT_TRAIN_WITH",
            help="Extension; may be repeated.",
            autocompletion=complete_extension,
            rich_help_panel=GAME,
        ),
    ] = None,
    conditional: Annotated[
        bool | None,
        typer.Option("--conditional", help="Tell both players each sample's class; G makes any.", rich_help_panel=GAME),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help=f"Images per step (default: the variant's, else {DEFAULTS.batch}).", rich_help_panel=GAME),
    ] = None,
    z_dim: Annotated[
        int | None, typer.Option(help=f"Length of the latent vector z (else {DEFAULTS.z_dim}).", rich_help_panel=GAME)
    ] = None,
    z_prior: Annotated[
        Literal["normal", "uniform"] | None,
        typer.Option(help="z ~ N(0, I), or uniform on [-1, 1].", rich_help_panel=GAME),
    ] = None,
    optimizer: Annotated[
        Literal["adam", "rmsprop"] | None, typer.Option(help="Of both players.", rich_help_panel=GAME)
    ] = None,
    g_lr: Annotated[
        float | None, typer.Option(help=f"Learning rate of G (else {DEFAULTS.g_lr:g}).", rich_help_panel=GAME)
    ] = None,
    d_lr: Annotated[
        float | None, typer.Option(help=f"Learning rate of D (else {DEFAULTS.d_lr:g}).", rich_help_panel=GAME)
    ] = None,
    betas: Annotated[str | None, typer.Option(help="Adam's decay rates, e.g. 0.5,0.999.", rich_help_panel=GAME)] = None,
    d_steps: Annotated[int | None, typer.Option(help="D steps for each G step.", rich_help_panel=GAME)] = None,
    reuse_fakes: Annotated[
        bool | None,
        typer.Option("--reuse-fakes", help="G learns from the fakes D has just seen: faster.", rich_help_panel=GAME),
    ] = None,
    penalty_every: Annotated[
        int | None,
        typer.Option(help="Gradient penalties in every k-th D step only, k times as heavy.", rich_help_panel=GAME),
    ] = None,
    ema_halflife: Annotated[
        str | None, typer.Option(help="Half-life of G's average, in images; 0: none.", rich_help_panel=GAME)
    ] = None,
    config: Annotated[str | None, typer.Option(help="Settings from a TOML file.", rich_help_panel=RUN)] = None,
    out: Annotated[
        str | None, typer.Option(help="Run folder (default: runs/VARIANT-DATA-NNNN).", rich_help_panel=OUTPUT)
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Do not continue an unfinished run of the same settings.", rich_help_panel=RUN)
    ] = False,
    sample_every: Annotated[
        str | None, typer.Option(help="Images between two sample grids.", rich_help_panel=OUTPUT)
    ] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(help="Images between two checkpoints.", rich_help_panel=OUTPUT)
    ] = None,
    on_diverge: Annotated[
        Literal["stop", "rollback"] | None,
        typer.Option(help="At numbers that are not finite: stop, or go back.", rich_help_panel=RUN),
    ] = None,
    eval_every: Annotated[
        str | None, typer.Option(help="Images between two evaluations, e.g. 100k (else none).", rich_help_panel=EVAL)
    ] = None,
    eval_n: Annotated[
        str | None, typer.Option(help=f"Samples of an evaluation (default: {DEFAULTS.eval_n:,}).", rich_help_panel=EVAL)
    ] = None,
    eval_features: Annotated[
        str | None, typer.Option(help="Feature space of the scores.", rich_help_panel=EVAL)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Resolve, build and estimate; write nothing.", rich_help_panel=RUN)
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print each setting and where it comes from.", rich_help_panel=OUTPUT)
    ] = False,
    json: Json = False,
) -> None:
    """Train a GAN. The same command again continues a run that was stopped.

    gankit train --data ./photos --size 64 --images 500k
    """
    _refuse_unknown_variables(context)
    layers = [read_toml(path_of(config, "--config"))] if config is not None else []
    layers += _flag_layers(context)
    folder = path_of(out, "--out") if out is not None else None
    with console.log_to_stderr(), console.progress_bar():
        from gankit.run.plan import load_data, plan_run

        if dry_run or print_config:
            plan = plan_run(layers)
            if dry_run:
                _print_dry_run(plan, load_data(plan), as_json=json)
            else:
                _print_config(plan, as_json=json)
            return
        if gpus is not None:
            relaunch(gpus, *_where(plan_run(layers)))
    _train(layers, folder, new, as_json=json)


def _where(plan: Plan) -> tuple[str, int]:
    return plan.config.device, plan.config.batch


def resume(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
    images: Annotated[str | None, typer.Option(help="New budget in images.")] = None,
    steps: Annotated[str | None, typer.Option(help="New budget in steps.")] = None,
    time: Annotated[str | None, typer.Option(help="New budget in training time, e.g. 2h.")] = None,
    device: Annotated[str | None, typer.Option(help="Another device than before.")] = None,
    gpus: Gpus = None,
    data: Annotated[str | None, typer.Option(help="Where the same data lies now, if it was moved.")] = None,
    variant: Annotated[str | None, typer.Option(help="The ./file.py of the variant, if it was one.")] = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="The extensions, if one was a file.")] = None,
    json: Json = False,
) -> None:
    """Continue a run exactly where it stopped, or beyond its budget.

    gankit resume RUN --images 400k
    """
    settings: dict[str, Any] = {}
    for layer in _flag_layers(context):
        settings.update(layer.settings)
    from gankit.cli.live import LiveLine
    from gankit.run.plan import plan_run, stored_settings
    from gankit.run.train import resume as resume_run
    from gankit.store.run_folder import RunFolder

    if gpus is not None:
        stored = stored_settings(RunFolder(run), settings)
        relaunch(gpus, *_where(plan_run([Layer("run", stored), Layer("flag", settings)])))
    with console.log_to_stderr():
        live = LiveLine()
        result = resume_run(run, observers=[live], on_step=live.after_step, **settings)
    _print_result(result, as_json=json)


def _train(layers: list[Layer], out: Path | None, new: bool, *, as_json: bool) -> None:
    from gankit.cli.live import LiveLine
    from gankit.run.train import train_layers

    with console.log_to_stderr():
        with console.progress_bar():
            live = LiveLine()
            start = train_layers(layers, out, new, observers=[live], on_step=live.after_step)
    _print_result(start, as_json=as_json)


def _flag_layers(context: typer.Context) -> list[Layer]:
    """The environment and the flags as two layers; what was not given is in neither."""
    settings: dict[str, dict[str, Any]] = {"environment": {}, "flag": {}}
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name in NOT_SETTINGS or source is None or source.name not in ("COMMANDLINE", "ENVIRONMENT"):
            continue
        layer = settings["flag" if source.name == "COMMANDLINE" else "environment"]
        layer[SETTING_OF.get(name, name)] = key_values(value) if name == "option" else value
    return [Layer(source, values) for source, values in settings.items() if values]


def _refuse_unknown_variables(context: typer.Context) -> None:
    """A misspelt GANKIT_TRAIN_… must not be ignored in silence."""
    known = {f"GANKIT_TRAIN_{name.upper().rstrip('_')}" for name in context.params}
    for name in os.environ:
        if name.startswith("GANKIT_TRAIN_") and name not in known:
            hint = f"{did_you_mean(name, known) or 'unset it; '}`gankit train --help` lists them"
            raise InputError(f"unknown environment variable {name}", hint=hint)


def _settings_table(plan: Plan) -> dict[str, dict[str, Any]]:
    """Setting -> value and source, options included."""
    sources = plan.resolved.sources
    rows = {key: {"value": value, "source": sources[key]} for key, value in plan.configuration["config"].items()}
    for key, value in plan.configuration["options"].items():
        rows[f"options.{key}"] = {"value": value, "source": sources[f"options.{key}"]}
    return rows


def _print_config(plan: Plan, *, as_json: bool) -> None:
    rows = _settings_table(plan)
    if as_json:
        console.print_json(rows)
        return
    from rich.table import Table

    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, row in rows.items():
        style = "" if row["source"] in ("core", "variant") else "bold"
        table.add_row(key, console.cell(str(row["value"])), row["source"], style=style)
    console.data.print(table)


def _print_dry_run(plan: Plan, dataset: Any, *, as_json: bool) -> None:
    from gankit.cli.live import clock
    from gankit.run.build import built_by, data_spec, estimate, latent_space

    guess = estimate(plan, dataset)
    builders = built_by(plan, data_spec(dataset, latent_space(plan, dataset)))
    if as_json:
        document = {"settings": _settings_table(plan), "data": dataset.describe(), "built_by": builders}
        console.print_json({**document, "estimate": dataclasses.asdict(guess)})
        return
    _print_config(plan, as_json=False)
    out = console.data.print
    out()
    for line in dataset.describe().splitlines():
        out(printable(line), markup=False)
    out("built by    " + ", ".join(f"{what} {who}" for what, who in builders.items()), markup=False)
    out("parameters  " + ", ".join(f"{what} {count:,}" for what, count in guess.parameters.items()))
    total = f"about {clock(guess.total_s)}" if guess.total_s else "no end"
    out(
        f"estimate    {total} at {guess.images_per_s:,.0f} images/s (from 5 steps on this machine"
        + (", without the scores); " if plan.config.eval_every else "); ")
        + "nothing was written"
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
