"""What earlier versions wrote is read for ever: tests/frozen/gankit-VERSION.zip, made by tests/frozen/make.py."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gankit
from gankit.score import compare
from gankit.store import checkpoint

ARCHIVES = sorted((Path(__file__).parent / "frozen").glob("gankit-*.zip"))


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with what one version left."""
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def expected(old: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((old / "expected.json").read_text())
    return values


def test_there_is_an_archive_of_the_first_version_and_all_are_small() -> None:
    assert ARCHIVES[0].stem == "gankit-0.2.0"
    assert sum(path.stat().st_size for path in ARCHIVES) < 100_000


def test_an_old_generator_gives_the_samples_it_gave(old: Path) -> None:
    """Up to one grey level: sums of floats may be taken in another order."""
    generator = gankit.load(old / "conditional.safetensors")
    assert (generator.header.variant.name, generator.data.classes) == ("lsgan", ("0", "1", "2"))
    samples = generator.sample(4, label=1).astype(int)
    assert np.abs(samples - np.array(expected(old)["samples"])).max() <= 1
    assert np.abs(generator.sample(4, label=2).astype(int) - samples).max() > 1  # it listens to its class


def test_an_old_run_goes_on_to_the_weights_it_would_have_had(old: Path) -> None:
    result = gankit.resume(old / "run", variant=old / "tiny.py", data=old / "four.npz")
    assert (result.step, result.images_seen) == (16, 64)
    assert "resumed at 48 images" in (old / "run" / "log.txt").read_text()
    found = checkpoint.read_latest(old / "run" / "checkpoints")
    assert found is not None
    tensors = {name: value for name, value in found.state.items() if isinstance(value, torch.Tensor)}
    wanted = expected(old)["resumed"]
    assert wanted.keys() <= tensors.keys()  # later versions keep more statistics
    for name, values in wanted.items():
        torch.testing.assert_close(
            tensors[name].flatten().double(), torch.tensor(values).double(), rtol=1e-4, atol=1e-6, msg=name
        )


def test_old_scores_are_read(old: Path) -> None:
    (row,), others = compare.collect([old / "metrics.jsonl"])
    assert others == 0
    assert {name: score.value for name, score in row.evaluation.scores.items()} == expected(old)["scores"]
