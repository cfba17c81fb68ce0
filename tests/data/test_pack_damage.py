"""Packed files that are forged, cut short or damaged are refused."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support_data import load, pack, photos

from gankit.data import Dataset
from gankit.data.formats.pack import MAGIC, START, check_pack
from gankit.errors import InputError


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
    "two channels": ({"header": header_of(shape=[6, 2, 4, 4])}, "fingerprint"),
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
