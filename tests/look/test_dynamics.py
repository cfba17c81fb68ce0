"""Games on the Dirac-GAN against what theory says of them, and the command that shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import TINY_VARIANT, gankit, install

from gankit.look.dynamics import Dynamics, Local, Unplayed, dynamics, local


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
    shown = gankit("verify", "--dynamics", "gan", cwd=tmp_path, COLUMNS="80")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "circles around it" in shown.stdout
    assert "±0.5i" in shown.stdout
    assert "is an auto-encoder" in refusal("verify --dynamics began", tmp_path)
    assert "leave the other flags out" in refusal("verify --dynamics gan --precision bf16", tmp_path)


def test_without_steps_the_answer_is_the_same_and_extensions_take_part() -> None:
    plain, penalised, none = [*local(["gan"]), *local(["gan"], ["r1"]), *local(["began"])]
    assert isinstance(plain, Local)
    assert isinstance(penalised, Local)
    assert (plain.verdict, plain.values) == ("circles", "±0.5i")
    assert (penalised.verdict, penalised.values) == ("converges", "-0.5, -0.5")  # gamma 1: (-1 ± sqrt(1 - 4/4)) / 2
    assert isinstance(none, Unplayed)


def test_the_list_has_a_column_in_which_a_plugin_that_fails_has_no_answer(site: Path, tmp_path: Path) -> None:
    install(site, "wasserstein", TINY_VARIANT, variants=("wasserstein",))
    failing = TINY_VARIANT.replace("    return Loss()", "    print('loud')\n    raise ValueError('oops')")
    install(site, "failing", failing, variants=("failing",))
    listed = gankit("variants", "--dynamics", "--json", cwd=tmp_path, site=site)
    assert listed.returncode == 0, listed.stderr
    found = {row["name"]: row.get("locally_convergent", "no key") for row in json.loads(listed.stdout)}
    expected = {
        "wasserstein": "circles",
        "failing": None,
        "r3gan": "yes",
        "wgan-gp": "kink",
        "began": None,
        "r1": "no key",
    }
    assert {name: found[name] for name in expected} == expected
    shown = gankit("variants", "--dynamics", cwd=tmp_path, site=site, COLUMNS="80").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "convergent" in shown


def test_a_variant_that_is_shown_says_whether_it_converges(tmp_path: Path) -> None:
    assert "converges   kink (near the equilibrium" in gankit("variants", "show", "wgan-gp", cwd=tmp_path).stdout
    assert "converges   – (the discriminator of BEGAN is an" in gankit("variants", "show", "began", cwd=tmp_path).stdout
