"""Packing that was stopped or killed: it goes on where it was, with what is left verified first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import filelock
import pytest
from PIL import Image
from support import python
from support_data import assert_same_data, load, pack, photos

from gankit.base import progress
from gankit.data.formats import images, packing
from gankit.data.formats.pack import START, check_pack
from gankit.errors import InputError, ResourceError, Stopped

KILLED = """
import os, signal, sys
from pathlib import Path
from gankit.data.formats import images, packing
packing.PART_ROWS, packing.PART_BYTES = 5, 1
decode, sound = images.read_pixels, iter(range(23))
def dies(*arguments):
    if next(sound, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
images.read_pixels = dies
packing.pack_dataset(sys.argv[1], Path(sys.argv[2]), {})
"""


def journal(out: Path) -> Path:
    return out.with_name(out.name + ".part.jsonl")


def part(out: Path) -> Path:
    return out.with_name(out.name + ".part")


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with each decoded image."""
    calls: list[int] = []
    decode = images.read_pixels

    def counting(*arguments: Any) -> Any:
        calls.append(1)
        return decode(*arguments)

    monkeypatch.setattr(images, "read_pixels", counting)
    return calls


def test_a_killed_process_is_continued_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies at the 24th of 60 images: four parts of five are written, and the fifth is decoded in part."""
    source, out = photos(tmp_path / "photos", 60), tmp_path / "x.gkpack"
    killed = subprocess.run([python(), "-c", KILLED, str(source), str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert journal(out).read_bytes().count(b"\n") == 1 + 4
    with part(out).open("ab") as file:  # the next part, half written
        file.write(b"\x55" * 1000)
    monkeypatch.setattr(packing, "PART_ROWS", 5)
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    calls = decoded(monkeypatch)
    pack(source, out)
    assert len(calls) == 60 - 4 * 5
    assert_same_data(load(source), load(out))
    assert check_pack(out).fingerprint == load(source).fingerprint
    assert [path.name for path in tmp_path.glob("x.gkpack*")] == ["x.gkpack"]


def stopped_in_the_middle(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what a Ctrl-C after 8 of 12 images leaves."""
    monkeypatch.setattr(packing, "PART_ROWS", 4)
    monkeypatch.setattr(packing, "PART_BYTES", 1)

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("packing", 8):
            raise Stopped("stopped at once", signal_number=2, at_once=True)

    with progress.to(stop), pytest.raises(Stopped, match="stopped at 8 of 12 images") as caught:
        pack(source, out)
    assert caught.value.exit_code == 130
    assert not out.exists()


@pytest.mark.parametrize(
    ("what", "again"), [("nothing", 4), ("pixels", 8), ("cut", 8), ("journal", 8), ("nonsense", 12), ("no journal", 12)]
)
def test_what_was_left_is_verified_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, again: int
) -> None:
    source, out = photos(tmp_path / "photos", 12), tmp_path / "x.gkpack"
    stopped_in_the_middle(source, out, monkeypatch)
    row = 3 * 8 * 8
    if what == "pixels":
        data = bytearray(part(out).read_bytes())
        data[START + 5 * row] ^= 1
        part(out).write_bytes(data)
    elif what == "cut":
        os.truncate(part(out), START + 6 * row)
    elif what == "journal":
        os.truncate(journal(out), journal(out).stat().st_size - 3)
    elif what == "nonsense":
        lines = journal(out).read_text().splitlines()
        huge = {"start": 0, "stop": 10**15, "sha256": "0" * 64, "broken": []}
        journal(out).write_text("\n".join([lines[0], json.dumps(huge), *lines[1:]]))
    elif what == "no journal":
        journal(out).unlink()
    calls = decoded(monkeypatch)
    pack(source, out)
    assert len(calls) == again
    assert_same_data(load(source), load(out))


def test_a_stop_after_the_last_image_decodes_none_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = photos(tmp_path / "photos", 12), tmp_path / "x.gkpack"

    def stop(what: str, done: int, total: int) -> None:
        if what == "sealing":
            raise Stopped("stopped at once", signal_number=15, at_once=True)

    with progress.to(stop), pytest.raises(Stopped):
        pack(source, out)
    assert not out.exists()
    with pytest.raises(InputError):
        load(part(out))
    calls = decoded(monkeypatch)
    pack(source, out)
    assert not calls
    assert_same_data(load(source), load(out))


def test_two_processes_do_not_write_the_same_file(tmp_path: Path) -> None:
    with filelock.FileLock(tmp_path / "x.gkpack.part.lock"):
        with pytest.raises(ResourceError, match="by another process"):
            pack("digits", tmp_path / "x.gkpack")


@pytest.mark.parametrize("change", ["file", "size", "name", "more"])
def test_another_source_is_packed_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    source, out = photos(tmp_path / "photos", 12), tmp_path / "x.gkpack"
    stopped_in_the_middle(source, out, monkeypatch)
    first = source / "cat" / "00000.png"
    size = (4, 4) if change == "size" else None
    if change == "file":
        Image.new("RGB", (8, 8), (1, 2, 3)).save(first)
    elif change == "name":
        first.rename(first.with_name("zzz.png"))
    elif change == "more":
        Image.new("RGB", (8, 8)).save(source / "Dog" / "0.png")
    calls = decoded(monkeypatch)
    pack(source, out, size=size)
    assert len(calls) == 12 + (change == "more")
    assert_same_data(load(source, size=size), load(out))
