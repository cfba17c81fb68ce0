"""The studies of the package: each is found by its name, and says what it claims to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gankit.study import reading, shipped, statistics
from gankit.study.study import plans_of, spaces_of

LOSSES = ["mm-gan", "ns-gan", "lsgan", "wgan", "wgan-gp", "dragan", "began"]


@pytest.mark.parametrize("name", shipped.names())
def test_a_study_of_the_package_has_the_seven_losses_of_the_paper(name: str) -> None:
    study = reading.from_toml(shipped.definition_file(name))
    assert [cell.name for cell in study.cells] == LOSSES
    assert study.search is not None
    assert study.search.ranges == "wide"
    assert len(study.seeds) >= statistics.seeds_needed(len(LOSSES))


def test_the_papers_protocol_is_the_papers() -> None:
    for name in ("lucic-mnist", "lucic-triangles"):
        study = reading.from_toml(shipped.definition_file(name))
        assert study.search is not None
        assert (study.search.trials, study.seeds) == (100, tuple(range(50)))
        assert (study.score.n, study.score.split, study.score.metric) == (10_000, "test", "fid")


def test_every_loss_of_the_small_study_is_searched_in_the_papers_ranges(tmp_path: Path) -> None:
    study = reading.from_toml(shipped.definition_file("losses-small"))
    spaces = spaces_of(study, plans_of(study, "cpu"))
    common = {"g_lr", "d_lr", "betas", "d_steps"}
    norm = "options.lucic-nets.d_batch_norm"
    own = {
        "wgan": {"options.clip", norm},
        "wgan-gp": {"options.penalty"},
        "dragan": {"options.penalty"},
        "began": {"options.gamma", "options.lambda_k", norm},
    }
    for name in LOSSES:
        assert set(spaces[name].ranges) == common | own.get(name, {norm})


def test_a_file_comes_before_a_name_and_an_unknown_name_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "no study is called 'losses-smal' — did you mean 'losses-small'?" in refusal(
        "study run losses-smal -o s", tmp_path
    )
    assert "no.toml does not exist — studies of the package: losses-small" in refusal(
        "study run no.toml -o s", tmp_path
    )
    (tmp_path / "losses-small").write_text("")
    assert shipped.definition_file(tmp_path / "losses-small") == tmp_path / "losses-small"
