"""A worker process: `python -m gankit.study.worker` runs trials that it reads from its standard input.

One JSON object a line in both directions. It ends at once when its input ends, because then its head has gone: every
trial goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from gankit.base.files import json_text
from gankit.base.signals import stop_requests
from gankit.errors import GankitError, Stopped
from gankit.study.definition import Scoring, Trial
from gankit.study.head import as_message


class Channel:
    """The messages from and to the head."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        os.dup2(2, 1)  # what libraries print must not get among the messages
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def receive(self) -> dict[str, Any]:
        """The next message."""
        return self._messages.get()

    def send(self, **message: Any) -> None:
        """Send a message; without a head this process ends."""
        data = (json_text(message) + "\n").encode()
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError:
            os._exit(1)

    def _read(self) -> None:
        try:
            for line in sys.stdin:
                self._messages.put(json.loads(line))
        finally:
            os._exit(0)


def main() -> None:
    """Take orders until the input ends or a signal comes."""
    channel = Channel()
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    logging.getLogger("gankit").addHandler(handler)
    code = 0
    try:
        with stop_requests():
            _work(channel)
    except Stopped as stopped:
        channel.send(event="stopped", signal=stopped.signal_number)
    except GankitError as error:
        channel.send(event="error", **as_message(error))
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def _work(channel: Channel) -> None:
    from gankit.study.trial import Bench

    start = channel.receive()
    scoring = {**start["scoring"], "metrics": start["scoring"]["metrics"] and tuple(start["scoring"]["metrics"])}
    bench = Bench(Scoring(**scoring), start["device"])
    channel.send(event="ready", pid=os.getpid())

    def report(images: int, cost: float) -> bool:
        channel.send(event="score", images=images, cost=cost)
        return bool(channel.receive()["prune"])

    while True:
        order = channel.receive()
        if order["do"] == "prepare":
            bench.prepare(order["games"], order["seeds"])
            channel.send(event="prepared")
        else:
            record = bench.run(Trial(**order["trial"]), Path(order["folder"]), report if order["report"] else None)
            channel.send(event="end", record=record)


if __name__ == "__main__":
    main()
