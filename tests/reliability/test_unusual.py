"""The campaign of valid but unusual files, and readers that are wrong, which it must notice.

By hand: `PYTHONPATH=tests python -m reliability.unusual`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gankit.data.formats import images, pictures, pixels
from reliability.unusual import campaign as unusual
from reliability.unusual.campaign import cases
from reliability.unusual.case import Case, saved, smooth

CASES = cases()


def test_valid_files_of_every_kind_give_the_pixels_that_were_written(tmp_path: Path) -> None:
    tally = unusual.campaign(CASES, tmp_path)
    assert tally.broken == []
    assert tally.files == tally.exact + tally.within_tolerance >= 200
    assert tally.exact >= 150
    read = [kind for kind in pictures.KINDS if not kind.missing()]
    assert [kind.name for kind in read if not any(suffix[1:] in tally.kinds for suffix in kind.suffixes)] == []


def only(*words: str) -> list[Case]:
    return [case for case in CASES if all(word in case.name for word in words)]


def test_a_reader_that_forgets_to_turn_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_TURNS", {})
    broken = unusual.campaign(only("png turned"), tmp_path).broken
    assert [line.split(":")[0] for line in broken] == [f"png turned {number}" for number in range(2, 9)]


def test_a_reader_that_clips_what_it_should_scale_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = images.read_pixels
    monkeypatch.setattr(images, "read_pixels", lambda *given: np.minimum(real(*given), 254))
    assert len(unusual.campaign(only("tiff grey 16"), tmp_path).broken) == len(only("tiff grey 16"))


def test_a_file_that_is_refused_or_has_another_form_is_noticed(tmp_path: Path) -> None:
    soft = smooth()
    refused = Case("refused", {"set/a.png": b"x"}, soft[None])
    another = Case("another form", {"set/a.png": saved(soft, "PNG")}, soft[None, :-1])
    broken = unusual.campaign([refused, another], tmp_path).broken
    assert broken[0].startswith("refused: ")
    assert broken[1] == "another form: [1, 48, 64, 3] in place of [1, 47, 64, 3]"


def test_a_tolerance_is_a_tolerance_and_no_more(tmp_path: Path) -> None:
    soft: Any = smooth()
    moved = np.clip(soft.astype(int) + 3, 0, 255)
    content = saved(soft, "PNG")
    close = Case("close", {"set/a.png": content}, moved[None], 3)
    far = Case("far", {"set/a.png": content}, moved[None], 2)
    tally = unusual.campaign([close, far], tmp_path)
    assert (tally.within_tolerance, tally.broken) == (1, ["far: pixels differ by 3, 2 are allowed"])


def test_what_is_expected_of_lossy_files_is_what_was_drawn() -> None:
    """A tolerance so wide that another picture passes would prove nothing."""
    for case in (case for case in CASES if case.tolerance > 4):
        shifted = np.roll(case.expected.astype(int), 2, axis=2)
        assert np.abs(shifted - case.expected).max() > 2 * case.tolerance, case.name
