"""Packed data sets: the same data as unpacked, made part by part, resumed after a kill, and read with suspicion."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import torch
from PIL import Image

from gankit.base import progress
from gankit.data import Dataset, builtin_datasets, load_dataset
from gankit.data.formats import images, limits, packing
from gankit.data.formats.pack import MAGIC, START, PackHeader, check_pack, read_pack_header
from gankit.data.formats.packing import pack_dataset
from gankit.errors import InputError, ResourceError, Stopped

from support import GANKIT  # isort: skip


def photos(root: Path, count: int = 12, side: int = 8) -> Path:
    """A folder of noise in three classes."""
    noise = np.random.default_rng(0)
    for number in range(count):
        folder = root / ("cat", "Dog", "été")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (side, side, 3), np.uint8)).save(folder / f"{number:05d}.png")
    return root


def npz(path: Path) -> Path:
    noise = np.random.default_rng(1)
    pixels = noise.random((9, 5, 6, 3), np.float32)
    np.savez_compressed(path, images=pixels, labels=np.arange(9) % 4, conditions=noise.random((9, 2)))
    return path


def idx(folder: Path) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(2).integers(0, 256, (7, 4, 5), np.uint8)
    with gzip.open(folder / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes())
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 7) + bytes([3, 1, 4, 1, 5, 9, 2]))
    return folder


def pack(source: Path | str, out: Path, **how: Any) -> PackHeader:
    return pack_dataset(str(source), out, builtin_datasets(), **how)


def load(path: Path | str, **how: Any) -> Dataset:
    return load_dataset(str(path), builtin_datasets(), **how)


def assert_same(a: Dataset, b: Dataset) -> None:
    assert a.spec == b.spec
    assert a.notes == b.notes
    for name in ("samples", "labels", "conditions"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs), name


SOURCES: dict[str, Callable[[Path], Path]] = {
    "folder": lambda tmp: photos(tmp / "photos"),
    "flat folder": lambda tmp: photos(tmp / "photos") / "cat",
    "npz": lambda tmp: npz(tmp / "x.npz"),
    "idx": lambda tmp: idx(tmp / "mnist"),
}


@pytest.mark.parametrize("size", [None, (4, 6)])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_packed_set_is_the_set_itself(tmp_path: Path, kind: str, size: tuple[int, int] | None) -> None:
    source, out = SOURCES[kind](tmp_path), tmp_path / "x.gkpack"
    header = pack(source, out, size=size)
    direct, packed = load(source, size=size), load(out)
    assert_same(direct, packed)
    assert packed.fingerprint == direct.fingerprint == header.fingerprint
    assert check_pack(out) == header == read_pack_header(out)
    assert [path.name for path in tmp_path.glob("x.gkpack*")] == ["x.gkpack"]


def test_a_packed_set_can_be_resized_and_packed_again(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    pack(source, tmp_path / "a.gkpack")
    pack(tmp_path / "a.gkpack", tmp_path / "b.gkpack", size=(4, 4))
    small = load(tmp_path / "a.gkpack", size=(4, 4))
    assert_same(small, load(tmp_path / "b.gkpack"))
    assert torch.equal(small.samples, load(source, size=(4, 4)).samples)
    assert small.fingerprint == load(source, size=(4, 4)).fingerprint


def test_unreadable_images_end_it_or_are_left_out_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that is sound says nothing of the pixels: such files are found part by part."""
    monkeypatch.setattr(packing, "PART_ROWS", 2)
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    source, out = photos(tmp_path / "photos", 9), tmp_path / "x.gkpack"
    for name in ("cat/00000", "cat/00003", "cat/00006", "été/00005"):
        file = source / f"{name}.png"
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
        data = file.with_suffix(".jpg").read_bytes()
        file.with_suffix(".jpg").write_bytes(data[: data.index(b"\xff\xda") + 14])
    with pytest.raises(InputError, match=r"cannot be read: cat/00000\.jpg"):
        pack(source, out)
    assert not out.exists()
    header = pack(source, out, on_bad_image="skip")
    assert header.classes == ("Dog", "été")  # one class has lost all its images
    assert_same(load(source, on_bad_image="skip"), load(out))
    assert read_pack_header(out).fingerprint == load(source, on_bad_image="skip").fingerprint


def test_points_other_names_and_existing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds points"):
        pack("ring8", tmp_path / "x.gkpack")
    with pytest.raises(InputError, match=r"named \*\.gkpack"):
        pack("digits", tmp_path / "x.bin")
    (tmp_path / "x.gkpack").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        pack("digits", tmp_path / "x.gkpack")
    assert (tmp_path / "x.gkpack").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x.gkpack"]


def test_a_full_disk_is_noticed_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 100})
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match="100 are free"):
        pack("digits", tmp_path / "x.gkpack")


@pytest.mark.parametrize("room", [500, 1200, 2400])  # bytes: within the first part, a later one, the header
def test_a_disk_that_fills_up_ends_it_in_one_line_and_it_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(packing, "PART_ROWS", 4)
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    source, out = photos(tmp_path / "photos", 12), tmp_path / "x.gkpack"
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(ResourceError, match="cannot write"):
            pack(source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not out.exists()
    pack(source, out)
    assert_same(load(source), load(out))


# -- stopped and continued -------------------------------------------------------------------------------------------------

SLOW = """
import sys, time
from pathlib import Path
from gankit.data.formats import images, packing
packing.PART_ROWS, packing.PART_BYTES = 5, 1
decode = images.read_pixels
def slow(*arguments):
    time.sleep(0.02)
    return decode(*arguments)
images.read_pixels = slow
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
    source, out = photos(tmp_path / "photos", 200), tmp_path / "x.gkpack"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(source), str(out)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal(out).exists() and journal(out).read_bytes().count(b"\n") > 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    kept = sum(json.loads(line)["stop"] > 0 for line in journal(out).read_text().splitlines()[1:-1]) * 5
    with part(out).open("ab") as file:  # the next part, half written
        file.write(b"\x55" * 1000)
    monkeypatch.setattr(packing, "PART_ROWS", 5)
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    calls = decoded(monkeypatch)
    pack(source, out)
    assert len(calls) <= 200 - kept
    assert_same(load(source), load(out))
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
    assert_same(load(source), load(out))


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
    assert_same(load(source), load(out))


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
    assert_same(load(source, size=size), load(out))


def test_memory_does_not_grow_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 MB of pixels in parts of 3 MB, then in the file's map: no more than a part is ever held."""
    monkeypatch.setattr(packing, "PART_BYTES", 1 << 20)
    (tmp_path / "photos").mkdir()
    for number in range(128):
        Image.new("RGB", (256, 256), (number, 0, 0)).save(tmp_path / "photos" / f"{number:03d}.png")
    out = tmp_path / "x.gkpack"
    pack("digits", tmp_path / "warm.gkpack")
    tracemalloc.start()
    try:
        pack(tmp_path / "photos", out)
        packed = load(out)
        assert packed.samples[torch.tensor([7, 127]), 0, 0, 0].tolist() == [7, 127]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert out.stat().st_size > 25_000_000
    assert peak < 6_000_000  # a part has 16 images at least: 3.1 MB


@pytest.mark.parametrize("form", ["uint8 [N, H, W, C]", "uint8 [N, C, H, W]", "int64", "float32"])
def test_large_arrays_are_put_on_the_disk_while_they_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(limits, "SMALL_BYTES", 1000)
    monkeypatch.setattr(packing, "PART_BYTES", 1 << 20)
    source, out = tmp_path / "x.npz", tmp_path / "x.gkpack"
    pixels = np.random.default_rng(3).integers(0, 256, (512, 128, 128, 1), np.uint8)
    images = {"int64": pixels.astype(np.int64), "float32": pixels.astype(np.float32) / 255}.get(form, pixels)
    np.savez(source, images=images.transpose(0, 3, 1, 2).copy() if "[N, C" in form else images)
    pack("digits", tmp_path / "warm.gkpack", size=(2, 2))
    del images
    tracemalloc.start()
    try:
        pack(source, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000  # of 8 MiB of pixels, in parts of 1 MiB
    assert sorted(path.name for path in tmp_path.iterdir()) == ["warm.gkpack", "x.gkpack", "x.npz"]
    assert torch.equal(load(out).samples, torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
    assert_same(load(source), load(out))


def test_too_little_disk_for_large_arrays_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(limits, "SMALL_BYTES", 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match="No space left"):
        pack(npz(tmp_path / "x.npz"), tmp_path / "x.gkpack")


# -- hostile files ---------------------------------------------------------------------------------------------------------


def forged(out: Path, header: bytes, samples: bytes = bytes(192), rest: bytes = b"") -> Path:
    """A packed file with a right digest around any header."""
    start = struct.pack("<7sBQ32s16x", MAGIC, 1, len(header), hashlib.sha256(header).digest())
    out.write_bytes(start + samples + rest + header)
    return out


def fingerprint(labels: list[int] | None = None, classes: tuple[str, ...] = ()) -> str:
    """That of 12 black images."""
    numbers = None if labels is None else np.array(labels)
    return Dataset.from_arrays("x", np.zeros((12, 4, 4), np.uint8), numbers, classes).fingerprint


def header_of(**changes: Any) -> bytes:
    values = {
        "shape": [12, 1, 4, 4],
        "classes": None,
        "conditions": None,
        "notes": [],
        "fingerprint": fingerprint(),
        "blocks": [hashlib.sha256(bytes(192)).hexdigest()],
        "rest": hashlib.sha256(b"").hexdigest(),
        "source": "0" * 64,
        "made_by": "me",
    }
    return json.dumps({key: value for key, value in (values | changes).items() if value != "absent"}).encode()


def with_labels(values: list[int]) -> dict[str, Any]:
    rest = struct.pack(f"<{len(values)}q", *values)
    sound = fingerprint(values, ("a", "b")) if set(values) == {0, 1} else "0" * 64
    header = header_of(classes=["a", "b"], rest=hashlib.sha256(rest).hexdigest(), fingerprint=sound)
    return {"header": header, "rest": rest}


NAN = struct.pack("<12f", *[float("nan")] * 12)

FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "empty header": ({"header": b""}, "header"),
    "no JSON": ({"header": b"\xff\xfe{"}, "JSON"),
    "deep JSON": ({"header": b"[" * 100_000}, "JSON"),
    "not an object": ({"header": b"[1]"}, "header"),
    "missing key": ({"header": header_of(blocks="absent")}, "blocks"),
    "unknown key": ({"header": header_of(code="import os")}, "code"),
    "text for a number": ({"header": header_of(shape=["12", 1, 4, 4])}, "shape"),
    "a bool for a number": ({"header": header_of(shape=[12, True, 4, 4])}, "shape"),
    "negative shape": ({"header": header_of(shape=[-12, 1, 4, 4])}, "shape"),
    "two channels": ({"header": header_of(shape=[6, 2, 4, 4])}, "shape"),
    "huge count": ({"header": header_of(shape=[2**70, 1, 4, 4])}, "shape"),
    "more images than there are": ({"header": header_of(shape=[2**39, 1, 4, 4])}, "declares"),
    "fewer images than there are": ({"header": header_of(shape=[11, 1, 4, 4])}, "declares"),
    "trailing bytes": ({"header": header_of(), "rest": b"x"}, "declares"),
    "missing labels": ({"header": header_of(classes=["a"])}, "declares"),
    "huge conditions": ({"header": header_of(conditions=2**60)}, "conditions"),
    "wrong pixels": ({"header": header_of(), "samples": b"\1" + bytes(191)}, "images 0 to 11 do not match"),
    "another's fingerprint": ({"header": header_of(fingerprint="1" * 64)}, "does not have the fingerprint"),
    "no blocks": ({"header": header_of(blocks=[])}, "0 digests for 1 blocks"),
    "too many blocks": ({"header": header_of(blocks=["0" * 64] * 9)}, "9 digests for 1 blocks"),
    "no digest": ({"header": header_of(blocks=["../etc/passwd"])}, "blocks"),
    "labels out of range": (with_labels([0, 1, 2] * 4), "labels must lie in 0..1"),
    "negative labels": (with_labels([0, 1, -1] * 4), "labels must lie in 0..1"),
    "wrong labels": ({"header": header_of(classes=["a"]), "rest": bytes(96)}, "labels do not match"),
    "conditions of NaN": (
        {"header": header_of(conditions=1, rest=hashlib.sha256(NAN).hexdigest()), "rest": NAN},
        "NaN or infinite",
    ),
    "a lone surrogate": ({"header": header_of().replace(b'"me"', b'"\\ud800"')}, "JSON"),
    "a very long name": ({"header": header_of(classes=["x" * 5000])}, "classes"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_file_is_refused(tmp_path: Path, case: str) -> None:
    how, expected = FORGED[case]
    with pytest.raises(InputError, match=expected) as caught:
        load(forged(tmp_path / "x.gkpack", **how))
    assert caught.value.message.isprintable()
    assert caught.value.hint


def test_the_forged_files_differ_from_a_sound_one_by_their_fault_alone(tmp_path: Path) -> None:
    assert len(load(forged(tmp_path / "x.gkpack", header_of()))) == 12
    sound = with_labels([0, 1] * 6)
    assert load(forged(tmp_path / "y.gkpack", **sound)).spec.classes == ("a", "b")


@pytest.mark.parametrize("length", [0, 7, 8, 63, 64, 65, 300, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    out = tmp_path / "x.gkpack"
    pack(photos(tmp_path / "photos"), out)
    os.truncate(out, length if length >= 0 else out.stat().st_size - 1)
    with pytest.raises(InputError):
        load(out)


def test_every_byte_counts_for_the_check(tmp_path: Path) -> None:
    """Flip a bit anywhere: the check always says so. In a small file, loading it does, too."""
    out = tmp_path / "x.gkpack"
    pack(photos(tmp_path / "photos", 3, side=2), out)
    sound = out.read_bytes()
    for position in [*range(48), *range(START, len(sound), 5)]:
        data = bytearray(sound)
        data[position] ^= 4
        out.write_bytes(data)
        with pytest.raises(InputError):
            check_pack(out)
        with pytest.raises(InputError):
            load(out)


def test_of_many_blocks_some_are_checked_at_once_and_all_by_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gankit.data.dataset._BLOCK_BYTES", 8 * 8 * 3)
    out = tmp_path / "x.gkpack"
    header = pack(photos(tmp_path / "photos", 100), out)
    assert len(header.blocks) == 100
    sound = out.read_bytes()

    def damaged(image: int) -> None:
        data = bytearray(sound)
        data[START + image * 192] ^= 1
        out.write_bytes(data)

    for image in (0, 99):
        damaged(image)
        with pytest.raises(InputError, match=f"images {image} to {image} do not match"):
            load(out)
    damaged(50)
    monkeypatch.setattr("gankit.data.formats.pack._dice.sample", lambda blocks, count: blocks[:count])
    assert len(load(out)) == 100
    with pytest.raises(InputError, match="images 50 to 50 do not match"):
        check_pack(out)


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    out = forged(tmp_path / "x.gkpack", header_of())
    data = bytearray(out.read_bytes())
    data[7] = 2
    out.write_bytes(data)
    with pytest.raises(InputError, match="format 2; this gankit reads 1"):
        load(out)


# -- the commands ----------------------------------------------------------------------------------------------------------


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GANKIT, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_training_on_packed_data_is_training_on_the_data(tmp_path: Path) -> None:
    """The same bits, and one may go on with the other."""
    photos(tmp_path / "photos", 24, side=16)
    packed = run("data", "pack", "photos", "-o", "p.gkpack", "--json", cwd=tmp_path)
    assert packed.returncode == 0, packed.stderr
    assert json.loads(packed.stdout)["images"] == 24
    common = ["train", "--steps", "3", "--batch", "8", "--device", "cpu", "--precision", "fp32"]
    for data, out in (("photos", "a"), ("p.gkpack", "b")):
        result = run(*common, "--data", data, "--out", out, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    a, b = (tmp_path / name for name in "ab")
    state = "checkpoints/step-000000003/state.safetensors"
    assert (a / state).read_bytes() == (b / state).read_bytes()
    identity = [json.loads((folder / "run.json").read_text())["data"]["fingerprint"] for folder in (a, b)]
    assert identity[0] == identity[1]
    resumed = run("resume", "a", "--data", "p.gkpack", "--steps", "4", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr


def test_a_set_packed_with_hostile_names_is_shown_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gankit.cli.data import info

    rest = bytes(96)
    name, digest = "\x1b[2J\u202e[red]x", hashlib.sha256(rest).hexdigest()
    header = header_of(classes=[name], rest=digest, notes=["\x07\n"], fingerprint=fingerprint([0] * 12, (name,)))
    out = forged(tmp_path / "x.gkpack", header, rest=rest)
    assert "\x1b" not in load(out).describe()
    info(out)
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\u202e")
    assert "[red]x" in shown
