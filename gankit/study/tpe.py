"""Optuna's TPE as a sampler of a study. Its storage holds the state of the search; the journal stays the truth."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.base.seeds import derive_seed
from gankit.base.text import printable
from gankit.errors import InputError, ResourceError
from gankit.settings.option import Choice, LogUniform
from gankit.settings.option import Search as Range
from gankit.study.definition import Search, Trial
from gankit.study.journal import Record
from gankit.study.space import Space
from gankit.study.tables import flat

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as OptunaTrial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import TPESampler
    from optuna.storages import BaseStorage

NUMBER = "gankit_number"
"""The attribute of an Optuna trial that says which draw it is."""


class TpeSampler:
    """Each draw depends on the results so far: `ask` and `tell` of Optuna, one of its studies for each cell."""

    def __init__(
        self, spaces: Mapping[str, Space], search: Search, metric: str, storage: str | None, file: Path
    ) -> None:
        _require_optuna()
        self.spaces, self.search, self.metric = spaces, search, metric
        self._storage, self._name = _open(storage, file)
        self._studies: dict[str, Study] = {}
        self._asked: dict[tuple[str, int], OptunaTrial] = {}

    def catch_up(self, planned: Iterable[Trial], ends: Mapping[str, Record]) -> None:
        """Tell Optuna what the journal knows and it does not; what it knows alone was never started and is given up."""
        import optuna

        known = {(t.cell, t.number): t for t in planned if t.phase == "search"}
        for cell in self.spaces:
            study = self._study(cell)
            seen = set()
            for frozen in study.get_trials(deepcopy=False):
                number = frozen.user_attrs.get(NUMBER, -1)
                seen.add(number)
                if frozen.state == optuna.trial.TrialState.RUNNING and (cell, number) not in known:
                    study.tell(frozen.number, state=optuna.trial.TrialState.FAIL)
                    seen.discard(number)
                elif frozen.state == optuna.trial.TrialState.RUNNING:
                    self._asked[cell, number] = optuna.Trial(study, frozen._trial_id)
            for (name, number), trial in known.items():
                end = ends.get(trial.id)
                if name == cell and end is not None and (number not in seen or (cell, number) in self._asked):
                    self.tell(trial, end)

    def draw(self, cell: str, number: int) -> dict[str, Any]:
        """Ask for the settings of draw `number`."""
        study, space = self._study(cell), self.spaces[cell]
        # A sampler of its own for each draw: what is drawn depends on the results alone, also after a restart.
        study.sampler = self._sampler(cell, number)
        trial = study.ask({name: _distribution(r, name in space.whole) for name, r in space.free.items()})
        trial.set_user_attr(NUMBER, number)
        self._asked[cell, number] = trial
        return space.completed(trial.params)

    def tell(self, trial: Trial, end: Record) -> None:
        """A trial has ended; one that was not asked for, such as draw 0, is added if it lies in the space."""
        import optuna

        study, asked, value = self._study(trial.cell), self._asked.pop((trial.cell, trial.number), None), end["choice"]
        states = optuna.trial.TrialState
        state = states.COMPLETE if value is not None else states.PRUNED if end["status"] == "pruned" else states.FAIL
        if value is not None:
            value *= -1 if end["scores"][self.metric]["higher_is_better"] else 1  # Optuna minimises
        if asked is not None:
            study.tell(asked, value, state=state)
        elif value is not None:
            space = self.spaces[trial.cell]
            given = {**space.defaults, **flat(trial.settings)}
            params = {name: v[0] if isinstance(v := given.get(name), list) else v for name in space.free}
            distributions = {name: _distribution(r, name in space.whole) for name, r in space.free.items()}
            with suppress(ValueError, TypeError):  # outside of the space
                study.add_trial(
                    optuna.create_trial(
                        value=value, params=params, distributions=distributions, user_attrs={NUMBER: trial.number}
                    )
                )

    def prune(self, trial: Trial, images: int, cost: float) -> bool:
        """Whether the score is worse than the median of the other trials after as many images."""
        asked = self._asked.get((trial.cell, trial.number))
        if asked is None or not self.search.prune:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resumed trial reports some scores again
            asked.report(cost, images)
        return bool(asked.should_prune())

    def close(self) -> None:
        """Let go of a database."""
        engine = getattr(self._storage, "engine", None)
        if engine is not None:
            engine.dispose()

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _study(self, cell: str) -> Study:
        import optuna

        if cell not in self._studies:
            self._studies[cell] = optuna.create_study(
                storage=self._storage,
                study_name=f"{self._name}/{cell}",
                sampler=self._sampler(cell, 0),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
                load_if_exists=True,
            )
        return self._studies[cell]

    def _sampler(self, cell: str, number: int) -> TPESampler:
        import optuna

        seed = derive_seed(self.search.seed, "tpe", cell, number) % 2**32
        return optuna.samplers.TPESampler(seed=seed)


def _distribution(space: Range, whole: bool) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(space, Choice):
        return CategoricalDistribution(space.values)
    log = isinstance(space, LogUniform)
    assert isinstance(space.low, float | int)  # type: ignore[union-attr]
    if whole:
        return IntDistribution(round(space.low), round(space.high), log=log)  # type: ignore[union-attr]
    return FloatDistribution(space.low, space.high, log=log)  # type: ignore[union-attr]


def _require_optuna() -> None:
    """Quieten it; ResourceError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise ResourceError(
            "the sampler tpe needs Optuna, which is not installed",
            hint="pip install 'gankit[study]', or --sampler random",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def _open(storage: str | None, file: Path) -> tuple[BaseStorage, str]:
    """Optuna's storage, and the prefix of the names in it: a database may hold several studies of gankit."""
    import optuna

    if storage is None:
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        return JournalStorage(JournalFileBackend(str(file))), "gankit"
    try:
        return optuna.storages.RDBStorage(storage), str(file.parent.absolute())
    except ImportError as error:
        raise ResourceError(f"--storage needs a driver: {error}", hint="pip install it") from error
    except Exception as error:  # of any database
        reason = printable(" ".join(str(error).split())[:200])
        raise InputError(f"--storage {printable(storage)}: {reason}", hint="for example sqlite:///search.db") from error
