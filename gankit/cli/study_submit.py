"""`gankit study submit`: the trials of a study as jobs of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gankit.base.text import plural, printable
from gankit.cli import console
from gankit.cli.flags import Device, Json, path_of
from gankit.errors import InputError


def submit(
    study: Annotated[str, typer.Argument(metavar="STUDY|FILE", help="Folder of a study, or its FILE.toml.")],
    jobs: Annotated[int, typer.Option(min=1, max=10_000, help="Jobs; each runs one trial after the other.")] = 1,
    partition: Annotated[str | None, typer.Option(help="Partition of Slurm.")] = None,
    cpus_per_task: Annotated[int, typer.Option(min=1, help="CPUs of a job.")] = 1,
    gpus_per_task: Annotated[int, typer.Option(min=0, help="GPUs of a job.")] = 0,
    time: Annotated[int, typer.Option(min=1, metavar="MINUTES", help="Limit of a job, which then goes on.")] = 1440,
    cluster: Annotated[Literal["slurm", "local"], typer.Option(help="local: processes of this machine.")] = "slurm",
    storage: Annotated[str | None, typer.Option(metavar="URL", help="Database for Optuna (a file in STUDY).")] = None,
    device: Device = "auto",
    out: Annotated[
        str | None, typer.Option("-o", "--out", metavar="STUDY", help="Folder for a FILE (studies/FILE).")
    ] = None,
    json: Json = False,
) -> None:
    """Run what is left of a study in jobs of Slurm, and collect what earlier jobs
    finished. The folder must be on a file system that all nodes share.

    gankit study submit losses.toml -o STUDY --jobs 20 --gpus-per-task 1
    """
    from gankit.study.api import define
    from gankit.study.folder import StudyFolder
    from gankit.study.slurm import JOB_LOGS, submit_study

    if cluster == "local" and partition is not None:
        raise InputError(f"--partition {printable(partition)}: --partition is for Slurm", hint="leave it out")
    given = path_of(study, "STUDY")
    is_folder = StudyFolder(given).exists
    if is_folder and out is not None:
        raise InputError(f"{printable(given)} is a study already: -o {printable(out)}", hint="leave out -o")
    path = given if is_folder else path_of(out, "-o") if out is not None else Path("studies") / given.stem
    definition = define(StudyFolder(path), None if is_folder else given, {}, is_new=False)
    with console.log_to_stderr():
        done = submit_study(
            definition,
            path,
            cluster=cluster,
            jobs=jobs,
            cpus=cpus_per_task,
            gpus=gpus_per_task,
            minutes=time,
            partition=partition,
            device=device,
            storage=storage,
        )
    if json:
        console.print_json(
            {"folder": str(path), "jobs": list(done.jobs), "waiting": done.waiting, "running": done.running}
        )
        return
    if done.jobs:
        console.data.print(f"jobs        {', '.join(done.jobs)}", markup=False)
    running = f", {plural(done.running, 'trial')} running in earlier jobs" if done.running else ""
    console.data.print(f"to do       {plural(done.waiting, 'trial')}{running}", markup=False)
    if done.jobs:
        console.data.print(f"logs        {path / JOB_LOGS}", markup=False)
    console.next_steps(f"gankit study show {console.quoted(path)}")
