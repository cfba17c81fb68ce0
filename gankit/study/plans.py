"""What the cells of a definition are on this machine: plans, ranges, and the facts in which machines must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gankit.base.text import printable
from gankit.errors import GankitError, ResourceError
from gankit.study.definition import Definition
from gankit.study.space import Space, space_of

if TYPE_CHECKING:
    from typing import Any

    from gankit.run.plan import Plan
    from gankit.study.trial import Bench

SAME = "install the same versions, plugins and data on every node"

Facts = dict[str, str]
"""'torch' -> '2.13.0': what must be the same on all machines of a study."""


def plans_of(definition: Definition, device: str = "auto") -> dict[str, Plan]:
    """Cell -> its plan; InputError or PluginError for what cannot be trained, which names the cell."""
    from gankit.run.plan import plan_run
    from gankit.settings.layers import Layer

    plans = {}
    for cell in definition.cells:
        try:
            plans[cell.name] = plan_run([Layer("study", {**cell.settings, "device": device})])
        except GankitError as error:
            if len(definition.cells) == 1:
                raise
            raise type(error)(f"cell '{cell.name}': {error.message}", hint=error.hint) from error
    return plans


def spaces_of(definition: Definition, plans: Mapping[str, Plan]) -> dict[str, Space]:
    """Cell -> what is searched in it."""
    if definition.search is None:
        return {}
    ranges = definition.search.ranges
    assert ranges is not None
    return {cell.name: space_of(plans[cell.name], cell, ranges) for cell in definition.cells}


def kinds_of_data(definition: Definition, plans: Mapping[str, Plan]) -> list[list[Mapping[str, Any]]]:
    """For each combination of data and extensions, which decide how runs are scored: a cell's settings per variant."""
    from gankit.data import Preparation

    kinds: dict[tuple[object, ...], dict[str, Mapping[str, Any]]] = {}
    for cell in definition.cells:
        config = plans[cell.name].config
        kind = (config.data, repr(Preparation.of(vars(config))), config.extensions)
        kinds.setdefault(kind, {}).setdefault(config.variant, cell.settings)
    return [list(games.values()) for games in kinds.values()]


def evaluation_seeds(definition: Definition) -> list[int]:
    """The evaluation seeds by which the trials of a study are scored."""
    score = definition.score
    return [score.report_seed, *([score.choose_seed] if definition.search is not None else [])]


def facts_of(definition: Definition, device: str, bench: Bench | None = None) -> Facts:
    """The versions of the software and the code of the plugins on this machine; with a bench, the data as well.

    Raises what `plans_of` does, and InputError for data that is missing or cannot be scored.
    """
    from gankit.measure.record import versions

    plans = plans_of(definition, device)
    found = versions()
    for plan in plans.values():
        found |= plan.code
    for games in kinds_of_data(definition, plans) if bench is not None else ():
        assert bench is not None
        found[f"the data {games[0].get('data')}"] = bench.prepare(games, evaluation_seeds(definition))
    return found


def same_facts(here: str, found: Facts, where: str, expected: Facts) -> None:
    """ResourceError when two machines differ in a fact that both have."""
    for name, value in found.items():
        other = expected.get(name, value)
        if value != other:
            raise ResourceError(
                f"{printable(here)} has another {printable(name)} than {printable(where)}: {value}, not {other}",
                hint=SAME,
            )
