"""`gankit.study`: run a study, or go on with one, and have its results as rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.base.text import printable
from gankit.errors import InputError, ResourceError
from gankit.study import journal
from gankit.study.definition import Definition
from gankit.study.folder import StudyFolder
from gankit.study.reading import from_flags, from_toml, read_table
from gankit.study.shipped import definition_file
from gankit.study.tables import flat

if TYPE_CHECKING:
    from gankit.study.ray_engine import RayCluster

Names = str | Sequence[str]


@dataclass(frozen=True)
class StudyResults:
    """The runs of a study, one row for each that has ended."""

    folder: Path
    definition: Definition
    rows: list[dict[str, Any]]
    """cell, phase, number, seed, status, message, images_seen, seconds, each score with 'NAME_floor', each setting."""

    def to_pandas(self) -> Any:
        """A pandas.DataFrame; ResourceError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ResourceError("to_pandas needs pandas, which is not installed", hint="pip install pandas") from None
        return pandas.DataFrame(self.rows)


def study(
    out: str | os.PathLike[str],
    file: str | os.PathLike[str] | None = None,
    *,
    variant: Names = (),
    data: Names = (),
    seeds: int | Sequence[int] | None = None,
    search: str | Mapping[str, Any] | None = None,
    trials: int | None = None,
    sampler: str | None = None,
    prune: bool | None = None,
    search_seed: int | None = None,
    score: Mapping[str, Any] | None = None,
    scale: float | None = None,
    jobs: int | None = None,
    device: str = "auto",
    storage: str | None = None,
    ray: RayCluster | str | None = None,
    **settings: Any,
) -> StudyResults:
    """Run the study in the folder `out`, or what is left of it, and return its results.

    It is defined by a TOML `file`, by arguments, or by both, of which the arguments win; without either the study that
    is in the folder goes on. Several variants and data sets make a grid. `search` is 'wide', 'narrow', or a table of
    ranges; `score` has the keys of [score], and `settings` are those of `gankit.train`. Seeds, cells and trials may be
    added to a study later. Each of `jobs` worker processes has a share of the threads, or a GPU; with `ray`, an
    address, the nodes of that cluster do the work. A trial that fails is a row with its status. Raises GankitError for
    everything a user can mend.
    """
    from gankit.study.ray_engine import RayCluster
    from gankit.study.study import run_study

    folder = StudyFolder(Path(out))
    table = {"ranges": search, "trials": trials, "sampler": sampler, "prune": prune, "seed": search_seed}
    own = settings or variant or data or score or scale is not None or search is not None
    definition = define(
        folder,
        None if file is None else Path(file),
        settings,
        is_new=bool(own),
        variants=_names(variant),
        data=_names(data),
        seeds=list(seeds) if isinstance(seeds, Sequence) else seeds,
        search=table,
        score=score,
        scale=scale,
    )
    cluster = RayCluster(ray, jobs=jobs, device=device) if isinstance(ray, str) else ray
    run_study(definition, folder.path, jobs=jobs, device=device, storage=storage, ray=cluster)
    return read_results(folder)


def define(
    folder: StudyFolder, file: Path | None, settings: Mapping[str, Any], *, is_new: bool, **parts: Any
) -> Definition:
    """The definition that is meant: that of a file, of `settings` and `parts` as `from_flags` takes them, or of both.

    Unless `is_new`, and without a file, it is that of the folder, to which seeds and trials may be added.
    """
    if file is not None:
        file = definition_file(file)
        given = any(parts.get(key) for key in parts) or settings
        return from_flags(settings, file=read_table(file), **parts) if given else from_toml(file)
    if not is_new and not folder.exists:
        raise InputError(
            f"{printable(folder.path)} holds no study, and none is defined",
            hint="give a FILE.toml, or --variant NAME,NAME --data NAME",
        )
    base = {} if is_new else folder.definition().to_json()
    return from_flags(settings, file=base, **parts)


def read_results(folder: StudyFolder) -> StudyResults:
    """The results so far, in the order in which their trials were planned."""
    rows = []
    for result in journal.results(folder.journal):
        trial = result.trial
        rows.append(
            {
                "cell": trial.cell,
                "phase": trial.phase,
                "number": trial.number,
                "seed": trial.seed,
                "status": result.status,
                "message": result.message,
                "images_seen": result.images_seen,
                "seconds": result.seconds,
                **result.scores,
                **{f"{name}_floor": value for name, value in result.floors.items()},
                **{key: value for key, value in flat(trial.settings).items() if key != "seed"},
            }
        )
    return StudyResults(folder.path, folder.definition(), rows)


def _names(given: Names) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
