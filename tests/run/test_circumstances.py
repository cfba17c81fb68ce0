"""A resume under other circumstances: moved files, changed data, changed code, another number of threads."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import TINY_VARIANT, install
from support_runs import RING8, train

import gankit
from gankit.errors import InputError

pytestmark = pytest.mark.usefixtures("tiny_data")


def test_a_run_goes_on_from_any_folder_and_after_its_data_moved(monkeypatch: Any) -> None:
    train(steps=2, out="a")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert gankit.resume("../a", steps=3).step == 3
    Path("../tiny.npz").rename("moved.npz")
    with pytest.raises(InputError, match="tiny.npz"):
        gankit.resume("../a", steps=4)
    assert gankit.resume("../a", steps=4, data=Path("moved.npz")).step == 4


def test_changed_data_is_refused() -> None:
    train(steps=2, out="a")
    np.savez("tiny.npz", images=np.zeros((40, 8, 8), np.uint8))
    with pytest.raises(InputError, match="has changed since"):
        gankit.resume("a", steps=4)


def test_a_run_of_a_file_is_resumed_only_with_that_file() -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    with pytest.raises(InputError, match="a file"):
        gankit.resume("a", steps=4)
    assert gankit.resume("a", steps=4, variant="./mine.py").step == 4


def test_a_run_of_a_file_goes_on_after_the_file_moved() -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    Path("elsewhere").mkdir()
    Path("mine.py").rename("elsewhere/mine.py")
    assert gankit.resume("a", steps=4, variant="elsewhere/mine.py").step == 4
    assert train("elsewhere/mine.py", steps=5, out="a").step == 5
    Path("elsewhere/mine.py").rename("other.py")
    with pytest.raises(InputError, match="trained with variant 'mine', not 'other'"):
        gankit.resume("a", steps=6, variant="other.py")
    with pytest.raises(InputError, match="is another run: variant"):
        train("other.py", steps=6, out="a")


def test_a_run_of_a_file_goes_on_when_the_file_has_become_a_package(site: Path) -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    install(site, "gankit-mine", TINY_VARIANT, variants=("mine",))
    assert gankit.resume("a", steps=4, variant="mine").step == 4
    Path("gankit_mine.py").write_text(TINY_VARIANT)
    assert gankit.resume("a", steps=6, variant="./gankit_mine.py").step == 6


def test_a_run_says_that_the_code_of_its_variant_has_changed(caplog: pytest.LogCaptureFixture) -> None:
    Path("mine.py").write_text(TINY_VARIANT)
    train("./mine.py", steps=2, out="a")
    with caplog.at_level("INFO", "gankit"):
        gankit.resume("a", steps=3, variant="./mine.py")
    assert "not bit for bit" not in caplog.text
    Path("mine.py").write_text(TINY_VARIANT.replace("-critic(batch.fake)}", "-2 * critic(batch.fake)}"))
    with caplog.at_level("INFO", "gankit"):
        gankit.resume("a", steps=4, variant="./mine.py")
    assert "goes on, but not bit for bit: the code of mine " in caplog.text


def test_resume_names_what_is_no_longer_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = gankit.train("gan", steps=3, out=tmp_path / "run", **RING8)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        with caplog.at_level(logging.INFO, logger="gankit"):
            gankit.resume(result.folder, steps=5)
    finally:
        torch.set_num_threads(threads)
    (line,) = [record.message for record in caplog.records if "not bit for bit" in record.message]
    assert line.endswith(f"threads {threads} is now {threads + 1}")
