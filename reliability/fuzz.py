"""Damaged files of every kind that gankit opens: `PYTHONPATH=tests python -m reliability.fuzz --inputs 20000`.

Each input either loads or is refused by one GankitError with a documented exit code. A traceback, a crash of the
interpreter, ten seconds, 512 MiB more memory, a write outside the folder, an unpickling, a new process or a connection
breaks the promise. Every input is a function of (seed, target, number): `--only TARGET --first N --inputs 1` repeats it.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch

from gankit.errors import GankitError
from reliability.targets import Target, targets

LIMIT_S, LIMIT_BYTES = 10, 512 << 20
EXIT_CODES = (2, 3, 4)  # bad input; a plugin that is not installed; the machine
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
WRITING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod")
LONGEST = 2_000  # characters of a message


class TooLong(BaseException):
    """Ten seconds are over."""


@dataclass
class Tally:
    """What became of the inputs of one target."""

    inputs: int = 0
    loaded: int = 0
    refused: collections.Counter[int] = field(default_factory=collections.Counter)  # by exit code
    slowest_s: float = 0.0
    broken: list[str] = field(default_factory=list)


def fuzz(target: Target, numbers: range, seed: int, folder: Path, keep: Path | None = None) -> Tally:
    """Open damaged files in a forked process, which is replaced when it dies."""
    tally, following = Tally(), numbers.start
    while following < numbers.stop:
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reader)
            _work(target, range(following, numbers.stop), seed, folder, writer)
        os.close(writer)
        for number, outcome in _outcomes(reader):
            following = number + 1
            _count(tally, target, number, outcome, keep, seed)
        os.close(reader)
        os.kill(pid, signal.SIGKILL)  # it has ended, or hangs where no signal reaches it
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if following < numbers.stop:
            _count(tally, target, following, {"broken": f"the process died ({status}) or hung", "s": 0}, keep, seed)
            following += 1
    return tally


def _outcomes(reader: int) -> Any:
    """(number, outcome) for each input, until the worker ends or is silent for too long."""
    text = b""
    while select.select([reader], [], [], 3 * LIMIT_S)[0] and (piece := os.read(reader, 1 << 16)):
        *lines, text = (text + piece).split(b"\n")
        yield from map(json.loads, lines)


def _count(tally: Tally, target: Target, number: int, outcome: dict[str, Any], keep: Path | None, seed: int) -> None:
    tally.inputs += 1
    tally.slowest_s = max(tally.slowest_s, outcome["s"])
    if "broken" in outcome:
        tally.broken.append(f"{target.name} {number}: {outcome['broken']}")
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{target.name.replace('/', '_')} {number}").write_bytes(damaged(target, number, seed))
    elif outcome["code"] is None:
        tally.loaded += 1
    else:
        tally.refused[outcome["code"]] += 1


def damaged(target: Target, number: int, seed: int) -> bytes:
    """The input of this number."""
    return target.mutate(target.whole, random.Random(f"{seed} {target.name} {number}"))


def _work(target: Target, numbers: range, seed: int, folder: Path, writer: int) -> NoReturn:
    """In the forked process: every input, one line each about what it did."""
    case = folder / "case"
    violations = _guard(folder)
    signal.signal(signal.SIGALRM, _too_long)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT_BYTES, resource.RLIM_INFINITY))
    for number in numbers:
        shutil.rmtree(case, ignore_errors=True)
        for name, content in target.files(damaged(target, number, seed)).items():
            (case / name).parent.mkdir(parents=True, exist_ok=True)
            (case / name).write_bytes(content)
        before = time.monotonic()
        outcome = _open(target, case)
        if violations:
            outcome = {"broken": f"forbidden: {', '.join(violations)}"}
            violations.clear()
        os.write(writer, json.dumps([number, {**outcome, "s": round(time.monotonic() - before, 3)}]).encode() + b"\n")
    os._exit(0)


def _open(target: Target, case: Path) -> dict[str, Any]:
    """{"code": None or an exit code}, or {"broken": why}."""
    signal.alarm(LIMIT_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.open(case)
        return {"code": None}
    except GankitError as error:
        line = f"{error.message} — {error.hint}"
        if error.exit_code not in EXIT_CODES or not error.message or "\n" in line or len(line) > LONGEST:
            return {"broken": f"exit code {error.exit_code}: {line[:300]!r} ({len(line)} characters)"}
        return {"code": error.exit_code}
    except BaseException as bug:
        last = traceback.extract_tb(bug.__traceback__)[-1]
        return {"broken": f"{type(bug).__name__}: {str(bug)[:200]} ({Path(last.filename).name}:{last.lineno})"}
    finally:
        signal.alarm(0)


def _too_long(number: int, frame: object) -> None:
    raise TooLong(f"more than {LIMIT_S} s")


def _guard(folder: Path) -> list[str]:
    """The list to which this process's forbidden acts are added from now on."""
    violations: list[str] = []
    inside = (str(folder), os.devnull)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            violations.append(f"{event} {arguments[:1]!r}")
        elif event in WRITING or (event == "open" and _writes(arguments)):
            path = arguments[0]
            if isinstance(path, str | os.PathLike) and os.path.isabs(path) and not os.fspath(path).startswith(inside):  # noqa: PTH117
                violations.append(f"{event} {path}")

    sys.addaudithook(watch)
    return violations


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def campaign(
    chosen: Sequence[Target], inputs: int, seed: int, folder: Path, first: int = 0, keep: Path | None = None
) -> dict[str, Any]:
    """About so many inputs, shared evenly; the figures of each target."""
    each, found = -(-inputs // len(chosen)), {}
    for target in chosen:
        _sound(target, folder / "sound")
        tally = fuzz(target, range(first, first + each), seed, folder, keep)
        found[target.name] = tally
        print(
            f"{target.name}: {tally.loaded} loaded, {dict(tally.refused)} refused, {len(tally.broken)} broken",
            file=sys.stderr,
        )
    return {
        "seed": seed,
        "inputs": sum(tally.inputs for tally in found.values()),
        "loaded": sum(tally.loaded for tally in found.values()),
        "refused": sum(tally.refused.total() for tally in found.values()),
        "slowest_s": max(tally.slowest_s for tally in found.values()),
        "broken": [line for tally in found.values() for line in tally.broken],
        "targets": {
            name: {"loaded": tally.loaded, "refused": tally.refused, "slowest_s": tally.slowest_s}
            for name, tally in found.items()
        },
    }


def _sound(target: Target, case: Path) -> None:
    """What is not damaged must load; this also imports everything before memory is limited."""
    for name, content in target.files(target.whole).items():
        (case / name).parent.mkdir(parents=True, exist_ok=True)
        (case / name).write_bytes(content)
    target.open(case)
    shutil.rmtree(case)


def main() -> None:
    """Inputs as asked for, then the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each target")
    parser.add_argument("--only", default="", help="targets whose name matches this regular expression")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the inputs that broke a promise")
    parser.add_argument("--folder", type=Path, help="where to work (else the system's temporary folder)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("gankit").addHandler(logging.NullHandler())
    logging.lastResort = None
    before = time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="fuzz-") as name:
        os.environ["GANKIT_HOME"] = f"{name}/home"
        folder = Path(name)
        (folder / "made").mkdir()
        chosen = [target for target in targets(folder / "made") if re.search(given.only, target.name)]
        figures = campaign(chosen, given.inputs, given.seed, folder, given.first, given.keep)
    print(json.dumps({**figures, "wall_s": round(time.monotonic() - before, 1)}, indent=2))
    raise SystemExit(bool(figures["broken"]))


if __name__ == "__main__":
    main()
