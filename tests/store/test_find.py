"""Which file a path means."""

from __future__ import annotations

from pathlib import Path

import pytest

from gankit.errors import InputError
from gankit.store.find import generator_file, means_generator, run_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The files of a run by name only; nothing is read."""
    step = tmp_path / "run" / "checkpoints" / "step-000000004"
    step.mkdir(parents=True)
    for file in (
        tmp_path / "run" / "run.json",
        tmp_path / "run" / "generator.safetensors",
        step / "generator.safetensors",
    ):
        file.touch()
    return tmp_path / "run"


def test_a_run_and_a_checkpoint_folder_mean_the_generator_in_them(run: Path) -> None:
    step = run / "checkpoints" / "step-000000004"
    for folder in (run, step):
        assert means_generator(folder)
        assert generator_file(folder) == folder / "generator.safetensors"


def test_a_file_means_itself_and_a_set_of_images_no_generator(run: Path) -> None:
    file = run.parent / "shared.SAFETENSORS"
    assert means_generator(file)
    assert generator_file(file) == file  # whether it exists shows when it is read
    assert not means_generator(run.parent)
    assert not means_generator(run.parent / "images.npz")


def test_what_has_no_generator_is_refused_with_the_reason(run: Path) -> None:
    with pytest.raises(InputError, match="is not a checkpoint"):
        generator_file(run.parent)
    (run / "generator.safetensors").unlink()
    for path in (run, run / "generator.safetensors"):
        assert means_generator(path)
        with pytest.raises(InputError, match="run has no checkpoint yet") as caught:
            generator_file(path)
        assert str(caught.value.hint).startswith("gankit resume")


def test_the_run_of_a_file_is_found_from_its_top_and_its_checkpoints_only(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("generator.safetensors", "metrics.jsonl", "checkpoints/step-000000004/generator.safetensors"):
        found = run_of(run / file)
        assert found is not None
        assert found.path.resolve() == run
    assert run_of(run / "copies" / "of-step" / "generator.safetensors") is None
    assert run_of(run.parent / "shared.safetensors") is None
    monkeypatch.chdir(run / "checkpoints" / "step-000000004")
    assert run_of(Path("generator.safetensors")) is not None
