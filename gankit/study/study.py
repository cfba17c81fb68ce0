"""A study from its definition to its results: what is checked first, what it costs, and how it is run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.base.text import plural, printable
from gankit.errors import ResourceError
from gankit.study import journal
from gankit.study.agenda import Agenda, RandomSampler, Sampler
from gankit.study.definition import Definition
from gankit.study.folder import StudyFolder
from gankit.study.head import Watch
from gankit.study.lease import settle, without_head
from gankit.study.local import LocalHead, Machine
from gankit.study.plans import kinds_of_data, plans_of, spaces_of
from gankit.study.ray_engine import RayCluster, RayHead, connected
from gankit.study.space import Space
from gankit.study.tables import toml_text

if TYPE_CHECKING:
    from gankit.run.plan import Plan

# Settings that change neither the data nor the speed of a cell.
CHEAP = ("g_lr", "d_lr", "betas", "momentum", "weight_decay", "images", "steps", "time_s", "ema_halflife_images")


@dataclass(frozen=True)
class CellCost:
    """What one cell takes on this machine."""

    cell: str
    trials: int
    images_per_s: float
    train_s: float | None
    """Seconds of training of one trial; None without a budget."""
    score_s: float
    """Seconds of its scores."""
    bytes: int
    """Disk of one trial: checkpoints and generators."""


@dataclass(frozen=True)
class Cost:
    """What a study takes on this machine, measured by some steps and one evaluation of each kind of cell."""

    cells: tuple[CellCost, ...]
    jobs: int
    device: str

    @property
    def trials(self) -> int:
        """Trials in all."""
        return sum(cell.trials for cell in self.cells)

    @property
    def seconds(self) -> float:
        """Wall clock of all trials, `jobs` at a time."""
        return sum(cell.trials * ((cell.train_s or 0.0) + cell.score_s) for cell in self.cells) / self.jobs

    @property
    def bytes(self) -> int:
        """Disk of all trials."""
        return sum(cell.trials * cell.bytes for cell in self.cells)


def run_study(
    definition: Definition,
    out: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    device: str = "auto",
    storage: str | None = None,
    ray: RayCluster | None = None,
    watch: Watch | None = None,
) -> StudyFolder:
    """Run what is left of a study; the same call goes on after a stop or a crash, and a larger definition adds to it.

    `jobs` workers of this machine (1) have `device`, or the tasks of a cluster do the work, which says these itself.
    `watch` is called several times a second and after each trial. Raises GankitError for everything a user can mend,
    Stopped when a signal came and all workers have saved their state. Results are in the journal of the folder.
    """
    folder = StudyFolder(Path(out))
    folder.check(definition)
    with connected(ray) if ray is not None else nullcontext():
        plans = plans_of(definition, device)
        with folder.opened(definition), agenda_of(definition, folder, storage) as agenda:
            head: LocalHead | RayHead
            if ray is not None:
                head = RayHead(agenda, folder, ray, watch)
            else:
                kinds = kinds_of_data(definition, plans)
                head = LocalHead(agenda, folder, Machine(jobs or 1, device), kinds, watch)
            if running := settle(head):
                raise ResourceError(
                    f"{plural(running, 'trial')} of {printable(folder.path)} run in submitted jobs",
                    hint="wait for the jobs, or cancel them; what they finished is in the table",
                )
            head.run()
    return folder


@contextmanager
def agenda_of(definition: Definition, folder: StudyFolder, storage: str | None) -> Iterator[Agenda]:
    """What is left to do in a study that is open. What processes without a head have is left out."""
    spaces = spaces_of(definition, plans_of(definition)) if definition.search is not None else {}
    with _sampler(definition, spaces, storage, folder) as sampler:
        agenda = Agenda(definition, journal.read(folder.journal), sampler, without_head(folder))
        if sampler is not None:
            sampler.catch_up(agenda.planned.values(), agenda.ends)
        yield agenda


def cost_of(definition: Definition, *, jobs: int | None = None, device: str = "auto") -> Cost:
    """The cost on this machine. Nothing is trained or written, but real features are computed and cached."""
    import torch

    from gankit.look.cost import device_name
    from gankit.study.trial import Bench

    jobs = jobs or 1
    plans = plans_of(definition, device)
    spaces_of(definition, plans)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // jobs))
    try:
        bench = Bench(definition.score, device)
        measured: dict[str, dict[str, Any]] = {}
        cells = []
        count = len(definition.seeds) + (definition.search.trials if definition.search is not None else 0)
        for cell in definition.cells:
            kind = repr(sorted((k, str(v)) for k, v in cell.settings.items() if k not in CHEAP))
            if kind not in measured:
                measured[kind] = bench.cost(cell.settings)
            cells.append(_cell_cost(cell.name, count, plans[cell.name], measured[kind]))
        return Cost(tuple(cells), jobs, device_name(device))
    finally:
        torch.set_num_threads(threads)


def write_best(folder: StudyFolder, cell: str) -> Path | None:
    """Write best.toml, the settings that the search chose for `train --config`, and confirm.toml, a study of them.

    The study repeats them on seeds that were not used. None when no trial had a score.
    """
    from gankit.base.files import write_durably

    choice = journal.chosen(journal.read(folder.journal)).get(cell)
    if choice is None:
        return None
    definition = folder.definition()
    fresh = max(definition.seeds) + 1
    confirm: dict[str, Any] = {
        "title": f"{cell}: the best settings of a search, on fresh seeds",
        "settings": choice["settings"],
        "repeat": {"seeds": list(range(fresh, fresh + max(5, len(definition.seeds))))},
        "score": definition.to_json()["score"],
    }
    path = folder.path / "best.toml"
    head = f"# Chosen by {definition.score.metric} among the trials of a search: {choice['from']}\n"
    write_durably(path, (head + toml_text(choice["settings"])).encode())
    write_durably(folder.path / "confirm.toml", toml_text(confirm).encode())
    return path


@contextmanager
def _sampler(
    definition: Definition, spaces: Mapping[str, Space], storage: str | None, folder: StudyFolder
) -> Iterator[Sampler | None]:
    search = definition.search
    if search is None:
        yield None
    elif search.sampler == "random":
        yield RandomSampler(spaces, search.seed)
    else:
        from gankit.study.tpe import TpeSampler

        sampler = TpeSampler(spaces, search, definition.score.metric, storage, folder.optuna)
        try:
            yield sampler
        finally:
            sampler.close()


def _cell_cost(name: str, trials: int, plan: Plan, measured: Mapping[str, Any]) -> CellCost:
    total, rate = plan.config.total_images, measured["images_per_s"]
    limits = [total / rate] if total else []
    limits += [plan.config.time_s] if plan.config.time_s else []
    return CellCost(name, trials, rate, min(limits, default=None), measured["score_s"], measured["bytes"])
