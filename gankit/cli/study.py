"""`gankit study run` and `gankit tune`: flags into a definition, a live table while it runs, the next command."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gankit.base.text import plural, printable
from gankit.cli import console, study_show, study_submit
from gankit.cli.flags import Device, Json, parse_seeds, path_of
from gankit.cli.settings import FIELDS, OPTIONS, merged, takes_settings
from gankit.cli.study_live import watching
from gankit.errors import InputError
from gankit.settings.layers import Layer
from gankit.study.cells import NOT_IN_A_STUDY
from gankit.study.definition import Definition
from gankit.study.reading import read_table

if TYPE_CHECKING:
    from gankit.study.journal import Result
    from gankit.study.ray_engine import RayCluster
    from gankit.study.study import Cost

app = typer.Typer(
    help="Many runs under one protocol: grids, searches, seeds.\n\ngankit study run FILE.toml -o STUDY",
    no_args_is_help=True,
)
app.command("show")(study_show.show)
app.command("report")(study_show.report)
app.command("submit")(study_submit.submit)

FIRST = ("variant", "data", OPTIONS, "extensions", "images", "time_s")
IN_FILES = ("init_from", "image_column", "graphs", "sync_bn", "on_diverge")  # settings without a flag here
SETTINGS = (*FIRST, *(name for name in FIELDS if name not in (*FIRST, *NOT_IN_A_STUDY, *IN_FILES)))
STUDY, SCORES, CLUSTER = "Study", "Scores of each run", "Cluster"
FAILURES = 5  # trials that did not end well and are named

Seeds = Annotated[
    str | None, typer.Option(metavar="N|LIST", help="Seeds of every cell: 5, or 0,2,4-6.", rich_help_panel=STUDY)
]
Ranges = Annotated[
    str | None, typer.Option("--search", metavar="RANGES", help="wide, narrow or ./ranges.toml.", rich_help_panel=STUDY)
]
Trials = Annotated[int | None, typer.Option(min=1, help="Trials of a search, per cell (50).", rich_help_panel=STUDY)]
Sampler = Annotated[
    Literal["random", "tpe"] | None, typer.Option(help="How settings are drawn (random).", rich_help_panel=STUDY)
]
Prune = Annotated[bool, typer.Option("--prune", help="End trials worse than the median (tpe).", rich_help_panel=STUDY)]
SearchSeed = Annotated[int | None, typer.Option(min=0, help="Seed of the draws (0).", rich_help_panel=STUDY)]
Storage = Annotated[
    str | None, typer.Option(metavar="URL", help="Database for Optuna (a file in STUDY).", rich_help_panel=STUDY)
]
Scale = Annotated[
    float | None, typer.Option(help="Multiplies every budget: 0.02.", rich_help_panel=STUDY, show_default=False)
]
Jobs = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Trials at a time (1; with --ray, all).", rich_help_panel=STUDY)
]
Ray = Annotated[
    str | None, typer.Option(metavar="auto|HOST:PORT", help="Train on a Ray cluster.", rich_help_panel=CLUSTER)
]
Cpus = Annotated[
    int | None, typer.Option("--cpus-per-task", min=1, help="CPUs of a trial (1).", rich_help_panel=CLUSTER)
]
Gpus = Annotated[
    float | None, typer.Option("--gpus-per-task", min=0, help="GPUs of a trial; 0.5: shared.", rich_help_panel=CLUSTER)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Measure what it takes; run nothing.", rich_help_panel=STUDY)]
Out = Annotated[
    str | None, typer.Option("-o", "--out", metavar="STUDY", help="Folder of the study.", rich_help_panel=STUDY)
]
Metric = Annotated[str | None, typer.Option(help="Score by which the best is chosen (fid).", rich_help_panel=SCORES)]
Metrics = Annotated[str | None, typer.Option(help="Metrics to compute (that of --metric).", rich_help_panel=SCORES)]
Features = Annotated[str | None, typer.Option(help="Feature space (the best one available).", rich_help_panel=SCORES)]
Samples = Annotated[int | None, typer.Option("-n", min=50, help="Samples of each run (2,000).", rich_help_panel=SCORES)]
Split = Annotated[str | None, typer.Option(help="Split of the real data (train).", rich_help_panel=SCORES)]


@app.command("run")
@takes_settings(SETTINGS, panels=True, several=("variant",))
def run(
    layers: list[Layer],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="FILE.toml, or losses-small; flags win.")
    ] = None,
    seeds: Seeds = None,
    search: Ranges = None,
    trials: Trials = None,
    sampler: Sampler = None,
    prune: Prune = False,
    search_seed: SearchSeed = None,
    storage: Storage = None,
    scale: Scale = None,
    metric: Metric = None,
    metrics: Metrics = None,
    features: Features = None,
    n: Samples = None,
    split: Split = None,
    jobs: Jobs = None,
    device: Device = "auto",
    ray: Ray = None,
    cpus_per_task: Cpus = None,
    gpus_per_task: Gpus = None,
    dry_run: DryRun = False,
    out: Out = None,
    json: Json = False,
) -> None:
    """Train and score variants x data x settings x seeds, or search them, and
    keep every result. The same command goes on after a stop; it may add to it.

    gankit study run --variant A,B --data digits --seeds 5 --images 100k -o STUDY
    """
    settings = merged(layers)
    path = _out(out, file)
    score = _score(metric, metrics, features, n, split)
    definition = _definition(
        path, file, settings, seeds, _search(search, trials, sampler, prune, search_seed), score, scale
    )
    if dry_run:
        _print_cost(definition, jobs, device, as_json=json)
        return
    cluster = _cluster(ray, cpus_per_task, gpus_per_task, jobs, device)
    results = _run(definition, path, jobs, device, storage, cluster)
    if json:
        failed = [result.trial.id for result in results if result.status != "ok"]
        console.print_json({"folder": str(path), "trials": len(results), "not_ok": failed})
    else:
        _print_results(path, results)
        console.next_steps(f"gankit study show {console.quoted(path)}")


@takes_settings(SETTINGS, panels=True)
def tune(
    layers: list[Layer],
    trials: Trials = None,
    search: Ranges = "wide",
    sampler: Sampler = None,
    prune: Prune = False,
    search_seed: SearchSeed = None,
    storage: Storage = None,
    seeds: Seeds = "5",
    scale: Scale = None,
    metric: Metric = None,
    metrics: Metrics = None,
    features: Features = None,
    n: Samples = None,
    split: Split = None,
    jobs: Jobs = None,
    device: Device = "auto",
    ray: Ray = None,
    cpus_per_task: Cpus = None,
    gpus_per_task: Gpus = None,
    dry_run: DryRun = False,
    out: Out = None,
    json: Json = False,
) -> None:
    """Search the settings of one variant, and repeat the best ones with seeds
    that the search did not see. They are written to best.toml.

    gankit tune --variant NAME --data digits --trials 40 --images 50k
    """
    settings = merged(layers)
    if not settings.get("variant"):
        raise InputError("--variant is missing: what shall be tuned?", hint="`gankit variants` lists them")
    settings.setdefault("data", "digits")
    for name in ("variant", "data"):
        if len(_names(str(settings[name]), f"--{name}")) > 1:
            raise InputError(
                f"--{name} {settings[name]}: one is tuned at a time", hint="`gankit study run` takes several"
            )
    path = path_of(out, "-o") if out is not None else None
    score = _score(metric, metrics, features, n, split)
    search_table = _search(search, trials, sampler, prune, search_seed)
    definition = _definition(path or Path(), None, settings, seeds, search_table, score, scale, is_new=True)
    (cell,) = definition.cells
    path = path or Path("studies") / f"tune-{cell.name}"
    if dry_run:
        _print_cost(definition, jobs, device, as_json=json)
        return
    cluster = _cluster(ray, cpus_per_task, gpus_per_task, jobs, device)
    results = _run(definition, path, jobs, device, storage, cluster)
    if not json:
        _print_results(path, results)
    _print_best(path, cell.name, as_json=json)


# -- flags -------------------------------------------------------------------------------------------------------------


def _out(out: str | None, file: Path | None) -> Path:
    if out is not None:
        return path_of(out, "-o")
    if file is None:
        raise InputError("-o is missing: where shall the study be kept?", hint="-o studies/NAME")
    return Path("studies") / file.stem


def _definition(
    path: Path,
    file: Path | None,
    settings: dict[str, Any],
    seeds: str | None,
    search: Mapping[str, Any],
    score: Mapping[str, Any],
    scale: float | None,
    is_new: bool = False,
) -> Definition:
    from gankit.study.api import define
    from gankit.study.folder import StudyFolder

    grid = {key: _names(str(settings.pop(key)), f"--{key}") for key in ("variant", "data") if key in settings}
    own = settings or grid or score or scale is not None or search.keys() - {"trials"}
    return define(
        StudyFolder(path),
        file,
        settings,
        is_new=is_new or bool(own),
        variants=grid.get("variant", ()),
        data=grid.get("data", ()),
        seeds=_seeds(seeds),
        search=search,
        score=score,
        scale=scale,
    )


def _names(text: str, flag: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"{flag} is empty", hint=f"{flag} NAME,NAME")
    return names


def _seeds(text: str | None) -> int | list[int] | None:
    if text is None:
        return None
    return int(text) if text.strip().isdecimal() and len(text) < 9 else parse_seeds(text)


def _search(
    search: str | None, trials: int | None, sampler: str | None, prune: bool, seed: int | None
) -> dict[str, Any]:
    ranges: Any = search
    if search is not None and search.endswith(".toml"):
        table = read_table(path_of(search, "--search"))
        ranges = table.get("ranges", table)
    table = {"ranges": ranges, "trials": trials, "sampler": sampler, "prune": prune or None, "seed": seed}
    return {key: value for key, value in table.items() if value is not None}


def _score(
    metric: str | None, metrics: str | None, features: str | None, n: int | None, split: str | None
) -> dict[str, Any]:
    names = None if metrics is None else _names(metrics, "--metrics")
    table = {"metric": metric, "metrics": names, "features": features, "n": n, "split": split}
    return {key: value for key, value in table.items() if value is not None}


# -- while it runs -----------------------------------------------------------------------------------------------------


def _cluster(
    address: str | None, cpus: int | None, gpus: float | None, jobs: int | None, device: str
) -> RayCluster | None:
    from gankit.study.ray_engine import RayCluster

    if address is not None:
        return RayCluster(address, cpus or 1, gpus, jobs, device)
    for flag, value in (("--cpus-per-task", cpus), ("--gpus-per-task", gpus)):
        if value is not None:
            raise InputError(f"{flag} is for a cluster", hint="add --ray auto, or leave it out")
    return None


def _run(
    definition: Definition, path: Path, jobs: int | None, device: str, storage: str | None, ray: RayCluster | None
) -> list[Result]:
    """Run the study; all of its results, those of earlier calls included."""
    from gankit.study import journal
    from gankit.study.study import run_study

    with console.log_to_stderr(), watching() as watch:
        folder = run_study(definition, path, jobs=jobs, device=device, storage=storage, ray=ray, watch=watch)
    return journal.results(folder.journal)


# -- what it prints ----------------------------------------------------------------------------------------------------


def _print_cost(definition: Definition, jobs: int | None, device: str, *, as_json: bool) -> None:
    from gankit.study.study import cost_of

    with console.log_to_stderr(), console.progress_bar():
        cost = cost_of(definition, jobs=jobs, device=device)
    if as_json:
        totals = {"trials": cost.trials, "seconds": cost.seconds, "bytes": cost.bytes}
        console.print_json({**dataclasses.asdict(cost), **totals, "definition": definition.to_json()})
        return
    _print_costs(cost)


def _print_costs(cost: Cost) -> None:
    from rich.table import Table

    from gankit.cli.live import clock

    table = Table("cell", box=None, pad_edge=False)
    for title in ("trials", "images/s", "training", "scores", "disk"):
        table.add_column(title, justify="right")
    for cell in cost.cells:
        train = "no end" if cell.train_s is None else clock(cell.train_s)
        disk = f"{cell.bytes / 2**20:,.1f} MiB"
        rate = f"{cell.images_per_s:,.0f}"
        table.add_row(console.cell(cell.cell), f"{cell.trials:,}", rate, train, clock(cell.score_s), disk)
    console.print_table(table)
    trials, gib = plural(cost.trials, "trial"), cost.bytes / 2**30
    console.paragraph(
        f"{trials}, about {clock(cost.seconds)} on {cost.device} with {plural(cost.jobs, 'worker')}, "
        f"{gib:,.2f} GiB at most; nothing was trained or written"
    )


def _print_results(path: Path, results: Sequence[Result]) -> None:
    console.data.print(f"study       {path} ({plural(len(results), 'trial')})", markup=False)
    failed = [result for result in results if result.status != "ok"]
    for result in failed[:FAILURES]:
        console.paragraph(f"{result.trial.id}: {result.message}", label=result.status, indent=12)
    if len(failed) > FAILURES:
        console.data.print(f"            and {len(failed) - FAILURES:,} more that did not end well")


def _print_best(path: Path, cell: str, *, as_json: bool) -> None:
    from gankit.study.folder import StudyFolder
    from gankit.study.journal import results
    from gankit.study.study import write_best

    folder = StudyFolder(path)
    best = write_best(folder, cell)
    if best is None:
        raise InputError(
            f"no trial of {printable(path)} has a score: nothing to choose from",
            hint=f"gankit study show {console.quoted(path)}",
        )
    metric = folder.definition().score.metric
    values = [r.scores[metric] for r in results(folder.journal) if r.trial.phase == "best" and metric in r.scores]
    if as_json:
        console.print_json({"folder": str(path), "best": str(best), "metric": metric, "values": values})
        return
    listed = ", ".join(f"{value:.4g}" for value in values)
    console.paragraph(f"{listed} with fresh seeds and fresh samples", label=metric, indent=12)
    console.data.print(f"settings    {best}", markup=False)
    confirm = path / "confirm.toml"
    console.next_steps(
        f"gankit train --config {console.quoted(best)}",
        f"gankit study run {console.quoted(confirm)} -o {console.quoted(path.with_name(path.name + '-confirm'))}",
        f"gankit study show {console.quoted(path)}",
    )
