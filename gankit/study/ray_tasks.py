"""What runs on the nodes of a Ray cluster: the check of a node, and a trial."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.base.signals import stop_requests
from gankit.base.text import printable
from gankit.errors import GankitError, ResourceError, Stopped
from gankit.store.run_folder import RunInUse
from gankit.study.definition import Trial
from gankit.study.folder import StudyFolder
from gankit.study.head import as_message
from gankit.study.plans import Facts, facts_of, same_facts

if TYPE_CHECKING:
    from gankit.study.trial import Bench

TOKEN = ".token"


@dataclass(frozen=True)
class Order:
    """What every task of a study is told."""

    folder: str
    device: str
    threads: int
    facts: Facts
    machine: str
    token: str


_benches: dict[str, Bench] = {}  # of this process of Ray's, which runs many tasks


def check_node(order: Mapping[str, Any]) -> dict[str, Any]:
    """A task: the facts of this node, or the error that keeps it from training."""
    try:
        return {"facts": _bench_and_facts(Order(**order))[1]}
    except GankitError as error:
        return as_message(error)


def run_trial(order: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    """A task: run a trial; its record, why the attempt was lost, or an error that concerns all trials."""
    told = Order(**order)
    try:
        with stop_requests():
            bench, _ = _bench_and_facts(told)
            return {"record": bench.run(Trial(**trial), StudyFolder(Path(told.folder)).run(trial["id"]))}
    except Stopped:
        return {"lost": "stopped"}
    except RunInUse as error:
        return {"lost": error.message}
    except GankitError as error:
        return as_message(error)


def _bench_and_facts(order: Order) -> tuple[Bench, Facts]:
    """The bench of this process. A new one is made only where nothing differs from the machine of the head."""
    import torch

    from gankit.study.trial import Bench

    folder = StudyFolder(Path(order.folder))
    here = socket.gethostname()
    try:
        shared = (folder.path / TOKEN).read_text() == order.token
    except OSError:
        shared = False
    if not shared:
        raise ResourceError(
            f"{printable(order.folder)} is not the folder of the head",
            hint="put the study on a file system that all nodes share",
        )
    definition = folder.definition()
    key = json.dumps([asdict(order), definition.to_json()], sort_keys=True)
    torch.set_num_threads(order.threads)
    if key in _benches:
        return _benches[key], {}
    bench = Bench(definition.score, order.device)
    facts = facts_of(definition, order.device, bench)
    same_facts(here, facts, order.machine, order.facts)
    _benches.clear()
    _benches[key] = bench
    return bench, facts
