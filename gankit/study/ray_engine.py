"""The engine of a Ray cluster: one task for each trial. Ray decides where it runs; the head alone writes the journal.

The folder of the study must be the same on all nodes: a trial whose node died goes on from its checkpoint on another.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from gankit.base.signals import StopRequest, stop_requests
from gankit.base.text import printable
from gankit.errors import InputError, ResourceError
from gankit.study.agenda import Agenda
from gankit.study.definition import Trial
from gankit.study.folder import StudyFolder
from gankit.study.head import Head, Watch, as_error
from gankit.study.plans import SAME, Facts, facts_of, same_facts
from gankit.study.ray_tasks import TOKEN, Order, check_node, run_trial

TICK_S = 0.2
CONNECT_S = 5.0  # seconds in which the head of the cluster must answer
NODES_S = 2.0  # seconds between two looks at the nodes
PATIENCE_S = 300.0  # seconds that tasks have to write their last checkpoints


@dataclass(frozen=True)
class RayCluster:
    """How a study uses a cluster."""

    address: str
    """'auto' or 'host:port'."""
    cpus: int = 1
    """CPUs, and threads, of each trial."""
    gpus: float | None = None
    """GPUs of each trial; None is 1 where the cluster has any and the device allows it."""
    jobs: int | None = None
    """Trials at a time; None is as many as there is room for."""
    device: str = "auto"


@contextmanager
def connected(cluster: RayCluster) -> Iterator[None]:
    """Be a driver of the cluster within the block. Ray is never started. ResourceError if it is missing or away."""
    try:
        import ray
    except ImportError:
        raise ResourceError("--ray needs Ray, which is not installed", hint="pip install 'gankit[ray]'") from None
    hint = "start it with `ray start --head`, or give the address of its head: --ray HOST:PORT"
    if cluster.address != "auto":
        _must_answer(cluster.address, hint)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about the next release
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # ConnectionError, RuntimeError, AuthenticationError and others
        why = printable(next(iter(str(error).strip().splitlines()), type(error).__name__))
        raise ResourceError(f"no Ray cluster at {printable(cluster.address)}: {why}", hint=hint) from None
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in its place
    try:
        yield
    finally:
        ray.shutdown()


def _must_answer(address: str, hint: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise InputError(f"--ray {printable(address)} is not an address", hint="--ray auto, or --ray HOST:PORT")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ResourceError(f"no Ray cluster at {printable(address)}: {error}", hint=hint) from None


class RayHead(Head):
    """A head whose trials are tasks of a cluster."""

    def __init__(self, agenda: Agenda, folder: StudyFolder, cluster: RayCluster, watch: Watch | None = None) -> None:
        super().__init__(agenda, folder, watch)
        if agenda.definition.search is not None and agenda.definition.search.prune:
            raise InputError("pruning needs workers of this machine", hint="leave out --ray, or prune")
        self.cluster = cluster
        self.gpus = 0.0  # of each trial
        self._tasks: dict[Any, Trial] = {}
        self._room, self._looked_at = 0, 0.0

    def run(self) -> None:
        """Run the whole agenda, after a check of all nodes.

        On a signal the tasks stop at a checkpoint, and Stopped is raised.
        """
        self.write_choices()
        if not self.agenda.waiting:
            return
        import ray

        self.gpus = self._gpus()
        options = {"num_cpus": self.cluster.cpus, "num_gpus": self.gpus, "max_retries": 0}  # `lose` counts the retries
        self._task = ray.remote(run_trial).options(**options)
        with stop_requests() as request, self._token() as token:
            request.polite = True
            device = self.cluster.device if self.cluster.device != "auto" else "cuda" if self.gpus else "cpu"
            facts = facts_of(self.agenda.definition, "auto")
            path = str(self.folder.path.absolute())
            self._order = Order(path, device, self.cluster.cpus, facts, socket.gethostname(), token)
            try:
                self._check_nodes(request)
                while self._tasks or self.agenda.waiting:
                    self._submit()
                    self._collect()
                    self.show()
                    if request.signal_number is not None:
                        self._stop(request)
            finally:
                for task in self._tasks:
                    ray.cancel(task, force=True)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _gpus(self) -> float:
        if self.cluster.gpus is not None:
            return self.cluster.gpus
        wanted = self.cluster.device == "cuda" or any(node.get("GPU") for node in _nodes().values())
        return 1.0 if wanted and self.cluster.device in ("auto", "cuda") else 0.0

    def _places(self) -> dict[str, int]:
        """Node -> how many trials it has room for, of those that have any."""
        places = {}
        for name, resources in _nodes().items():
            room = [resources.get("CPU", 0.0) // self.cluster.cpus]
            room += [resources.get("GPU", 0.0) // self.gpus] if self.gpus else []
            places[name] = int(min(room))
        return {name: count for name, count in places.items() if count}

    def _check_nodes(self, request: StopRequest) -> None:
        """Let each node that has room for a trial say whether it can train: software, plugins, data, the folder."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        places = self._places()
        if not places:
            needs = f"{self.cluster.cpus} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
            raise ResourceError(f"no node of the cluster has {needs}", hint="--cpus-per-task N --gpus-per-task N")
        self.doing = f"checking {len(places)} nodes"
        checks = {}
        for node in places:
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            resources = {"num_cpus": self.cluster.cpus, "num_gpus": self.gpus}
            task = ray.remote(check_node).options(scheduling_strategy=there, max_retries=0, **resources)
            checks[task.remote(asdict(self._order))] = node
        answers: dict[str, Facts] = {}
        while checks:
            self.show()
            if request.signal_number is not None:
                raise self.stopped(request.signal_number)
            ready, _ = ray.wait(list(checks), timeout=TICK_S)
            for ended in ready:
                name = _name_of(checks.pop(ended))
                answers[name] = self._answer(ended, name)["facts"]
        first, *others = answers
        for name in others:
            same_facts(name, answers[name], first, answers[first])
        self.doing = ""

    def _answer(self, task: Any, node: str) -> dict[str, Any]:
        import ray

        try:
            answer: dict[str, Any] = ray.get(task)
        except ray.exceptions.RayError as error:
            if "No module named" in str(error):
                missing = str(error).rpartition("No module named")[2].split()[0]
                raise ResourceError(f"{node} has no module {missing}", hint="install gankit on every node") from None
            raise ResourceError(f"{node} could not be checked: {_first_line(error)}") from error
        if "message" in answer:
            wrong = as_error(answer)
            raise type(wrong)(f"node {node}: {wrong.message}", hint=wrong.hint or SAME)
        return answer

    @contextmanager
    def _token(self) -> Iterator[str]:
        """A file in the folder of the study by which nodes prove that they see the same one."""
        token = uuid.uuid4().hex
        path = self.folder.path / TOKEN
        path.write_text(token)
        try:
            yield token
        finally:
            path.unlink(missing_ok=True)

    # -- trials --------------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Give Ray as many tasks as there is room for, so that a search draws no earlier than it must."""
        now = time.monotonic()
        if now - self._looked_at > NODES_S:
            self._room, self._looked_at = sum(self._places().values()), now
        room = self.cluster.jobs if self.cluster.jobs is not None else self._room
        while len(self._tasks) < room and (trial := self.begin("ray")) is not None:
            self._tasks[self._task.remote(asdict(self._order), trial.to_json())] = trial

    def _collect(self) -> None:
        import ray

        if not self._tasks:
            time.sleep(TICK_S)  # all nodes are gone, and may come back
            return
        ready, _ = ray.wait(list(self._tasks), timeout=TICK_S)
        for task in ready:
            trial = self._tasks.pop(task)
            try:
                answer = ray.get(task)
            except ray.exceptions.RayTaskError:
                raise  # a bug
            except ray.exceptions.RayError as error:
                self.lose(trial, _first_line(error))
                continue
            if "record" in answer:
                self.end(trial, answer["record"])
            elif "lost" in answer:
                self.lose(trial, answer["lost"])
            elif "message" in answer:
                raise as_error(answer)

    def _stop(self, request: StopRequest) -> None:
        """Let all tasks save their state; what they finish until then is written."""
        import ray

        for task in self._tasks:
            ray.cancel(task)
        deadline = time.monotonic() + PATIENCE_S
        while self._tasks and time.monotonic() < deadline:
            ready, _ = ray.wait(list(self._tasks), timeout=TICK_S)
            for task in ready:
                trial = self._tasks.pop(task)
                with suppress(ray.exceptions.RayError):
                    answer = ray.get(task)
                    if "record" in answer:
                        self.end(trial, answer["record"])
        assert request.signal_number is not None
        raise self.stopped(request.signal_number)


def _nodes() -> dict[str, Mapping[str, float]]:
    """Id -> resources, of the nodes that live."""
    import ray

    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


def _name_of(node_id: str) -> str:
    import ray

    return next((node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == node_id), node_id)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
