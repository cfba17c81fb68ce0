"""Games on the Dirac-GAN against what theory says of them, and the command that shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import gankit

from gankit.look.dynamics import Dynamics, dynamics


def of(variant: str, **options: float) -> Dynamics:
    (result,) = dynamics([variant], options or None)
    assert isinstance(result, Dynamics)
    return result


@pytest.mark.parametrize(
    ("variant", "slope", "distance"), [("gan", 0.5, 0.198), ("lsgan", 0.5, 0.101), ("hinge", 1, 1.02)]
)
def test_games_without_a_penalty_circle_at_plus_minus_i_times_their_slope(
    variant: str, slope: float, distance: float
) -> None:
    found = of(variant)
    assert found.verdict == "circles"
    assert [value.imag for value in found.eigenvalues or ()] == pytest.approx([slope, -slope], rel=1e-4)
    assert max(abs(value.real) for value in found.eigenvalues or ()) < 1e-6
    assert found.distance == pytest.approx(distance, rel=0.01)


def test_clipped_weights_stay_within_the_clip() -> None:
    found = of("wgan")
    assert found.verdict == "circles"
    assert found.distance <= 0.01 * 2**0.5


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_zero_centred_penalties_have_the_eigenvalues_of_theory(gamma: float) -> None:
    """R1 + R2 with gamma / 2 each: -gamma ± sqrt(gamma² - f'(0)²) with f'(0) = 1/2 (Mescheder et al. 2018, lemma 3.2)."""
    found = of("r3gan", gamma=gamma)
    root = complex(gamma**2 - 0.25) ** 0.5
    expected = sorted([-gamma + root, -gamma - root], key=lambda value: (value.real, value.imag))
    got = sorted(found.eigenvalues or (), key=lambda value: (value.real, value.imag))
    for one, other in zip(got, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert found.verdict == "converges"
    assert found.distance < 1e-8


def test_a_penalty_around_one_jumps_at_the_equilibrium_and_never_settles() -> None:
    found = of("wgan-gp")
    assert found.verdict == "kink"
    assert found.eigenvalues is None
    assert 1 < found.distance < 3


def test_the_command_shows_a_table_and_refuses_other_games(tmp_path: Path, refusal: Callable[..., str]) -> None:
    done = gankit("verify", "--dynamics", "gan", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in json.loads(done.stdout)] == ["circles"]
    shown = gankit("verify", "--dynamics", "gan", "wgan", cwd=tmp_path, COLUMNS="80")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "circles around it" in shown.stdout
    assert "±0.5i" in shown.stdout
    assert "is an auto-encoder" in refusal("verify --dynamics began", tmp_path)
    assert "leave the other flags out" in refusal("verify --dynamics gan --precision bf16", tmp_path)
