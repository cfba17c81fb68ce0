"""The engine of one machine: worker processes that train, and a head that gives them trials."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gankit.base.files import cannot_write, json_text
from gankit.base.signals import StopRequest, stop_requests
from gankit.base.text import printable
from gankit.errors import ResourceError
from gankit.settings.option import to_json
from gankit.study.agenda import Agenda
from gankit.study.definition import Definition, Trial
from gankit.study.folder import StudyFolder
from gankit.study.head import Head, Watch, as_error
from gankit.study.plans import evaluation_seeds

TICK_S = 0.2
PATIENCE_S = 300.0  # seconds that a worker has to write its last checkpoint
CLOSING_S = 10.0  # seconds after which a worker without a head is killed

LOG = "workers.log"

Message = dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """How a study uses this machine."""

    jobs: int = 1
    device: str = "auto"

    def environment(self, number: int) -> dict[str, str]:
        """The variables of worker `number`: its GPU, or its share of the threads unless OMP_NUM_THREADS is set."""
        gpus = self._gpus()
        if gpus:
            return {**os.environ, "CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return {"OMP_NUM_THREADS": str(max(1, cores // self.jobs)), **os.environ}

    def _gpus(self) -> list[str]:
        if self.device not in ("auto", "cuda"):
            return []
        import torch

        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        count = torch.cuda.device_count()
        return visible.split(",")[:count] if visible else [str(index) for index in range(count)]


class Worker:
    """A worker process as its head sees it."""

    def __init__(self, definition: Definition, machine: Machine, number: int, log: int) -> None:
        self.number = number
        self.trial: Trial | None = None
        self.ready = False
        self.pid = 0
        self._unread = b""
        command = [sys.executable, "-m", "gankit.study.worker"]
        # A session of its own: Ctrl-C in the terminal reaches the head alone, which tells the workers.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=machine.environment(number),
            start_new_session=True,
            bufsize=0,
        )
        self.send(scoring=to_json(definition.score), device=machine.device)

    @property
    def name(self) -> str:
        """host:pid."""
        return f"{socket.gethostname()}:{self.pid or self.process.pid}"

    def send(self, **message: Any) -> None:
        """Send a message; a worker that is gone is noticed when it is read from."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write((json_text(message) + "\n").encode())

    def receive(self) -> list[Message] | None:
        """The messages that have arrived; None when the process has ended."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def why(self) -> str:
        """How the process ended."""
        code = self.process.wait()
        if code < 0:
            return f"worker killed by signal {-code} ({signal.Signals(-code).name})"
        return f"worker ended with exit code {code}"

    def close(self) -> None:
        """End the process: it ends with its input."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class LocalHead(Head):
    """A head whose workers are processes of this machine."""

    def __init__(
        self,
        agenda: Agenda,
        folder: StudyFolder,
        machine: Machine,
        kinds: Iterable[Sequence[Mapping[str, Any]]],
        watch: Watch | None = None,
    ) -> None:
        """`kinds` are settings whose data and scores are checked before the first trial."""
        super().__init__(agenda, folder, watch)
        self.machine = machine
        self.prunes = agenda.definition.search is not None and agenda.definition.search.prune
        self.workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()
        self._unprepared = list(kinds)

    def run(self) -> None:
        """Run the whole agenda. On a signal the workers stop at a checkpoint, and Stopped is raised."""
        self.write_choices()
        if not self.agenda.waiting:
            return
        self.doing = "starting"
        try:
            log = os.open(self.folder.path / LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
        except OSError as error:
            raise cannot_write(self.folder.path / LOG, error) from error
        with stop_requests() as request:
            request.polite = True
            try:
                self._start(0, log)
                while self.workers or self._start_more(log):
                    self._start_more(log)
                    self._listen()
                    self.show()
                    if request.signal_number is not None:
                        self._stop(request)
            finally:
                self._end_workers()
                os.close(log)

    # -- workers -------------------------------------------------------------------------------------------------------

    def _start(self, number: int, log: int) -> None:
        worker = Worker(self.agenda.definition, self.machine, number, log)
        self.workers.append(worker)
        self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]

    def _start_more(self, log: int) -> bool:
        """Start workers while there are trials for them; whether one was started."""
        numbers = {worker.number for worker in self.workers}
        free = [number for number in range(self.machine.jobs) if number not in numbers]
        idle = sum(worker.trial is None for worker in self.workers)
        missing = min(len(free), self.agenda.waiting - idle)
        for number in free[: max(0, missing)]:
            self._start(number, log)
        return missing > 0

    def _forget(self, worker: Worker) -> None:
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        self.workers.remove(worker)
        worker.close()

    def _listen(self) -> None:
        for key, _ in self._selector.select(TICK_S):
            worker: Worker = key.data
            messages = worker.receive()
            for message in messages or ():
                self._hear(worker, message)
            if messages is None and worker in self.workers:
                self._lose(worker)
        for worker in list(self.workers):
            if worker.ready and worker.trial is None and not self._unprepared:
                self._give(worker)

    def _hear(self, worker: Worker, message: Message) -> None:
        event = message["event"]
        if event == "ready":
            worker.ready, worker.pid = True, message["pid"]
            self.doing = "reading the data" if self._unprepared else ""
            if self._unprepared and worker is self.workers[0]:
                self._prepare(worker)
        elif event == "prepared":
            self._unprepared.pop(0)
            if self._unprepared:
                self._prepare(worker)
            else:
                self.doing = ""
        elif event == "score":
            assert worker.trial is not None
            assert self.agenda.sampler is not None
            worker.send(prune=self.agenda.sampler.prune(worker.trial, message["images"], message["cost"]))
        elif event == "end":
            trial, worker.trial = worker.trial, None
            assert trial is not None
            self.end(trial, message["record"])
        elif event == "error":
            raise as_error(message)

    def _prepare(self, worker: Worker) -> None:
        """Let a worker check the next data set, with the evaluation seeds that the study uses."""
        seeds = evaluation_seeds(self.agenda.definition)
        worker.send(do="prepare", games=self._unprepared[0], seeds=seeds)

    def _give(self, worker: Worker) -> None:
        """Give the next trial to an idle worker, or send it home when none will come."""
        trial = worker.trial = self.begin(worker.name)
        if trial is None:
            if not self.running:
                self._forget(worker)
            return
        report = self.prunes and trial.phase == "search"
        worker.send(do="trial", trial=trial.to_json(), folder=str(self.folder.run(trial.id)), report=report)

    def _lose(self, worker: Worker) -> None:
        """A worker has died: its trial is put back, or has failed when that happened too often."""
        self._forget(worker)
        why = worker.why()
        if not worker.ready or (self._unprepared and worker.trial is None):
            # A new folder without a trial is removed with its log, so the message says what the log ends with.
            last = _last_line(self.folder.path / LOG)
            raise ResourceError(
                f"a {why} at its start" + (f": {last}" if last else ""), hint="gankit doctor checks the installation"
            )
        if worker.trial is not None:
            self.lose(worker.trial, why)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _stop(self, request: StopRequest) -> None:
        """Let all workers save their state; what they finish until then is written."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while self.workers and time.monotonic() < deadline:
            for key, _ in self._selector.select(TICK_S):
                stopping: Worker = key.data
                messages = stopping.receive()
                for message in messages or ():
                    if message["event"] in ("end", "score"):  # a worker waits for the answer to a score
                        self._hear(stopping, message)
                if messages is None or stopping.trial is None:  # gone, or done before it heard the signal
                    self._forget(stopping)
        assert request.signal_number is not None
        raise self.stopped(request.signal_number)

    def _end_workers(self) -> None:
        for worker in list(self.workers):
            worker.process.kill()
            self._forget(worker)
        self._selector.close()


def _last_line(log: Path) -> str:
    """What the workers wrote last, as far as a message has room for it."""
    with suppress(OSError):
        lines = log.read_bytes()[-4096:].decode(errors="replace").split("\n")
        return printable(next((line.strip() for line in reversed(lines) if line.strip()), ""))[:200]
    return ""
