"""The server of `gankit ui` as the installed command starts it, and run folders that look as gankit writes them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from support import GANKIT

from gankit.settings.config import RunConfig
from gankit.settings.option import to_json

XSS = "<script>fetch('http://evil.example/')</script>\"'><img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        def refuse(constant: str) -> None:
            raise ValueError(constant)

        return json.loads(self.body, parse_constant=refuse)


@dataclass(frozen=True)
class Site:
    """A running server."""

    address: str  # as it was printed
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.address).query)["token"][0]

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, with_token: bool = True, **headers: str
    ) -> Answer:
        """One request; underscores in the names of headers stand for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {"Cookie": f"gankit-{self.port}={self.token}"} if with_token else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def id_of(self, name: str, page: str = "/") -> str:
        """The id in the first link of a page whose text ends with `name`."""
        before = self.ask(page).text.partition(f"{name}</a>")[0]
        return before.rpartition('href="')[2].partition('"')[0].rpartition("/")[2]


@contextmanager
def site(*arguments: object, cwd: Path, **environment: str) -> Iterator[Site]:
    """`gankit ui ARGUMENTS --no-browser --port 0`, until the block ends; then it must end by itself."""
    command = [str(GANKIT), "ui", *map(str, arguments), "--no-browser", "--port", "0"]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}  # as in `support.gankit`
    with subprocess.Popen(
        command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, process.communicate()[1]
            yield Site(address, process)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=20)[1]
            assert process.returncode == 130, said
            assert "Traceback" not in said
        finally:
            process.kill()


def write_run(
    path: Path,
    *,
    lines: int = 10,
    state: str = "finished",
    variant: str = "gan",
    data: str = "digits",
    statistics: Mapping[str, float] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """The files of a run, without one having been trained; `statistics` are in each of its lines."""
    (path / "samples").mkdir(parents=True)
    write_json(path / "run.json", {"schema": 1, "variant": variant, "data": {"name": data, "shape": [1, 28, 28]}})
    settings = {**to_json(RunConfig()), "images": 20_000, **(config or {})}
    write_json(path / "config.json", {"config": settings, "options": {}, "extension_options": {}})
    write_json(path / "environment.json", {"gankit": "0.2.0", "packages": {"torch": "2"}})
    (path / "command.txt").write_text("/usr/bin/gankit train --images 20k\n")
    (path / "log.txt").write_text("2026-01-01 00:00:00,000 INFO it begins\n")
    with (path / "stats.jsonl").open("w") as file:
        file.writelines(line(i, statistics) for i in range(1, lines + 1))
    write_json(path / "status.json", {"state": state, "images_seen": 2_000 * lines, "train_s": 10.0 * lines})
    for images in (0, 2_000):
        grid(path, images)
    return path


def line(number: int, statistics: Mapping[str, float] | None = None) -> str:
    """A line of stats.jsonl."""
    values = statistics or {"d/real": 1 / number, "d/fake": 2 / number, "g/fake": 0.7, "diversity": 0.9}
    return json.dumps({"step": number, "images_seen": 2_000 * number, "images_per_s": 200.0, **values}) + "\n"


def grid(run: Path, images: int) -> None:
    """A sample grid of one colour, which tells the number of images."""
    Image.new("L", (64, 64), images // 2_000 % 256).save(run / "samples" / f"{images:09d}.png")


def write_json(path: Path, value: object) -> None:
    """A JSON file, also of what JSON does not allow."""
    path.write_text(json.dumps(value))
