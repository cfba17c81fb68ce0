"""Jobs of a cluster without a head: each takes trials of a study, one after the other, until none is left.

A job is a head for as long as it holds the lock of the study: it writes what came of trials and takes the next one.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gankit.base.files import make_folder, write_json
from gankit.base.signals import stop_requests
from gankit.errors import InputError, ResourceError, Stopped
from gankit.store.run_folder import RunFolder, RunInUse
from gankit.study.definition import Definition, Trial
from gankit.study.folder import StudyFolder
from gankit.study.head import Head
from gankit.study.lease import RESULT, held, settle, take
from gankit.study.plans import Facts, facts_of, same_facts
from gankit.study.study import agenda_of

LOCK_S = 300.0  # seconds to wait for the lock of the study, which jobs hold for moments
POLL_S = 5.0  # seconds between two looks for a trial, while others run
JOB_LOGS = "jobs"
RESTARTS = 1000  # of a job whose time is over


@dataclass(frozen=True)
class Submission:
    """What was submitted."""

    jobs: tuple[str, ...]
    """Ids of the jobs."""
    waiting: int
    """Trials to run now."""
    running: int
    """Trials of jobs that were submitted before."""


def submit_study(
    definition: Definition,
    out: Path,
    *,
    cluster: Literal["slurm", "local"] = "slurm",
    jobs: int = 1,
    cpus: int = 1,
    gpus: int = 0,
    minutes: int = 24 * 60,
    partition: str | None = None,
    device: str = "auto",
    storage: str | None = None,
) -> Submission:
    """Submit jobs that run what is left of a study; results of earlier jobs are written first.

    Raises GankitError for everything a user can mend.
    """
    submitit = _submitit(cluster)
    if definition.search is not None and definition.search.prune:
        raise InputError("pruning needs workers of this machine", hint="`gankit study run`, or a search without it")
    folder = StudyFolder(out.absolute())
    folder.check(definition)
    facts = facts_of(definition, "auto" if device == "cuda" else device)
    job = Job(str(folder.path), "cuda" if gpus and device == "auto" else device, cpus, storage, facts)
    opened = _patiently(lambda: folder.opened(definition))
    with opened, agenda_of(definition, folder, storage) as agenda:
        head = Head(agenda, folder)
        running = settle(head)
        head.write_choices()
        waiting = agenda.waiting
        if not waiting:
            return Submission((), 0, running)
        make_folder(folder.path / JOB_LOGS)
        executor = submitit.AutoExecutor(
            folder=folder.path / JOB_LOGS,
            cluster=cluster,
            slurm_max_num_timeout=RESTARTS,
            local_max_num_timeout=RESTARTS,
        )
        executor.update_parameters(
            name=f"gankit-{folder.path.name}", timeout_min=minutes, tasks_per_node=1, cpus_per_task=cpus
        )
        if cluster == "local":
            executor.update_parameters(gpus_per_node=gpus)
        else:
            given: dict[str, Any] = {"slurm_partition": partition, "slurm_gpus_per_task": gpus or None}
            executor.update_parameters(**{key: value for key, value in given.items() if value is not None})
        with _detached() if cluster == "local" else nullcontext(), executor.batch():
            submitted = [executor.submit(job) for _ in range(min(jobs, waiting))]
        ids = tuple(str(one.job_id) for one in submitted)
        head.write("submitted", cluster=cluster, jobs=list(ids))
    return Submission(ids, waiting, running)


@contextmanager
def _detached() -> Iterator[None]:
    """Processes that are started within the block do not have the standard streams of this one."""
    saved = [os.dup(number) for number in range(3)]
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        for number in range(3):
            os.dup2(nothing, number)
        yield
    finally:
        for number, copy in enumerate(saved):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nothing)


def _submitit(cluster: str) -> Any:
    try:
        import submitit
    except ImportError:
        raise ResourceError(
            "gankit study submit needs submitit, which is not installed", hint="pip install 'gankit[slurm]'"
        ) from None
    if cluster == "slurm" and (shutil.which("sbatch") is None or shutil.which("srun") is None):
        raise ResourceError(
            "this machine has no Slurm: there is no sbatch", hint="submit from a login node, or with --cluster local"
        )
    return submitit


@dataclass
class Job:
    """What a job does; submitit carries it to its node."""

    folder: str
    device: str
    threads: int
    storage: str | None
    facts: Facts
    """What must be the same there as where it was submitted."""

    def __call__(self) -> str:
        """Run trials until none is left. What is no result of a trial ends the job: its log has the error."""
        import torch

        from gankit.study.trial import Bench

        torch.set_num_threads(self.threads)
        folder = StudyFolder(Path(self.folder))
        definition = folder.definition()
        bench = Bench(definition.score, self.device)
        done = 0
        try:
            with stop_requests():
                found = facts_of(definition, self.device, bench)
                same_facts(socket.gethostname(), found, "the machine that submitted this", self.facts)
                while (trial := self._next(folder)) is not None:
                    with held(folder, trial.id):
                        record = bench.run(trial, folder.run(trial.id))
                        make_folder(folder.run(trial.id))
                        write_json(folder.run(trial.id) / RESULT, record)
                    done += 1
        except Stopped as stopped:
            return f"{done} trials, stopped by signal {stopped.signal_number}"
        return f"{done} trials"

    def checkpoint(self) -> Any:
        """What submitit runs again when the time of the job is over: the same."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)

    def _next(self, folder: StudyFolder) -> Trial | None:
        """A trial with its lease; None when none is left. Waits while trials of others may yet be put back."""
        worker = f"{socket.gethostname()}:{os.getpid()}"
        while True:
            with (
                _patiently(RunFolder(folder.path).locked),
                agenda_of(folder.definition(), folder, self.storage) as agenda,
            ):
                head = Head(agenda, folder)
                running = settle(head)
                head.write_choices()
                trial = head.begin(worker)
                if trial is not None:
                    take(folder, trial.id, worker)
            if trial is not None or not running:
                return trial
            time.sleep(POLL_S)


@contextmanager
def _patiently(lock: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Within a lock that others hold for moments; RunInUse where one keeps it."""
    deadline = time.monotonic() + LOCK_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock())
                break
            except RunInUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield
