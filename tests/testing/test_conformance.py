"""What every variant of this repository must do: the conformance kit, and what the kit does not ask of strangers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.loop import TrainingLoop
from gankit.host import discovery
from gankit.run.build import build_loop
from gankit.run.plan import Plan, plan_run
from gankit.settings.layers import Layer
from gankit.testing import CHECKS, parametrize_checks

VARIANTS = [plugin.name for plugin in discovery.discover(discovery.VARIANTS) if plugin.dist == "gankit"]
CPU = torch.device("cpu")
IMAGES = DataSpec((1, 16, 16), ("a", "b", "c"))
POINTS = DataSpec((2,), ("a", "b", "c"))
IMAGES_ALONE = {"projected"}  # which judge features of images
# What lets a variant play with points: gankit's networks in place of its own for images.
FOR_POINTS: dict[str, dict[str, object]] = {"stylegan2": {"networks": "core"}}
SMALL = {"batch": 6, "z_dim": 20, "precision": "fp32"}


# test_processes.py plays all variants in two processes at once; reliability/test_projected.py has the slow one.
@parametrize_checks(
    *sorted({*VARIANTS} - {"projected"}),
    "spectral-norm",
    checks=[check for check in CHECKS if check.name != "two_processes"],
)
def test_conformance(check: Callable[[], None]) -> None:
    check()


def plan_of(name: str, **settings: object) -> Plan:
    return plan_run([Layer("test", {"variant": name, **SMALL, **settings})])


def loop_of(plan: Plan, data: DataSpec) -> TrainingLoop:
    told = len(data.classes) if plan.config.conditional else 0
    return build_loop(plan, dataclasses.replace(data, condition=told), CPU)


def play(loop: TrainingLoop, data: DataSpec, steps: int) -> list[dict[str, float]]:
    """Statistics of some steps on noise that knows three classes."""
    stats = []
    for step in range(steps):
        torch.manual_seed(step)
        labels = torch.arange(6) % 3
        condition = torch.nn.functional.one_hot(labels, 3).float() if loop.config.conditional else None
        real, other = (
            torch.rand(6, *data.shape) * 0.5 + labels.reshape(-1, *[1] * len(data.shape)) * 0.2 - 0.5 for _ in range(2)
        )
        fresh = Batch(other, labels=labels, condition=condition) if loop.takes_fresh_reals else None
        values = loop.step(Batch(real, labels=labels, condition=condition, fresh=fresh))
        stats.append({name: float(value) for name, value in values.items()})
    return stats


def test_all_the_games_of_the_article_are_here() -> None:
    article = {"gan", "cgan", "dcgan", "wgan", "wgan-gp", "lsgan", "dragan", "began"}
    assert article | {"hinge", "r3gan", "stylegan2", "acgan", "infogan", "projected"} <= set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_it_names_its_paper_and_brings_values_worked_out_by_hand(name: str) -> None:
    composition = plan_of(name).composition
    assert composition.info.paper.startswith("https://arxiv.org/abs/")
    assert any(composition.hook.gankit_vectors())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("data", [IMAGES, POINTS], ids=["images", "points"])
@pytest.mark.parametrize("name", VARIANTS)
def test_both_players_learn_and_stay_finite(name: str, data: DataSpec, precision: str) -> None:
    if name in IMAGES_ALONE and data == POINTS:
        with pytest.raises(InputError, match="the data are points"):
            loop_of(plan_of(name, precision=precision), data)
        return
    options = FOR_POINTS.get(name, {}) if data is POINTS else {}
    loop = loop_of(plan_of(name, precision=precision, options=options), data)
    before = {name: [p.clone() for p in player.parameters.values()] for name, player in loop.players.items()}
    stats = play(loop, data, 6)  # one generator step for five of the critic
    assert all(np.isfinite(list(step.values())).all() for step in stats)
    assert any(key.startswith("g/") for step in stats for key in step)
    for name, player in loop.players.items():
        assert all(bool(torch.isfinite(parameter).all()) for parameter in player.parameters.values())
        pairs = zip(player.parameters.items(), before[name], strict=True)
        # A constant added to all scores changes nothing in some games: the last bias may rest.
        still = [n for (n, p), old in pairs if torch.equal(p, old) and not (n.endswith("bias") and p.numel() == 1)]
        assert still == [], name


@pytest.mark.parametrize("name", sorted({*VARIANTS} - IMAGES_ALONE))
def test_it_plays_with_the_neutral_networks(name: str) -> None:
    # Which bring networks of their own, or a head of their own on those of core.
    own = {name: {"networks": "core"} for name in ("dcgan", "r3gan", "stylegan2")}
    options = (own | {"infogan": {"q": "linear"}}).get(name, {})
    plan = plan_of(name, extensions=["lucic-nets"], options=options)
    stats = play(loop_of(plan, IMAGES), IMAGES, 6)
    assert all(np.isfinite(list(step.values())).all() for step in stats)


def test_a_discriminator_is_told_the_label_that_the_generator_was_given() -> None:
    """Whatever D sees in a phase, real or fake, comes with the labels of the batch from which G was asked."""
    loop = loop_of(plan_of("cgan"), IMAGES)
    told: list[tuple[str, Tensor]] = []
    for player in ("generator", "discriminator"):
        network = getattr(loop.networks, player)
        network.register_forward_pre_hook(lambda _, inputs, player=player: told.append((player, inputs[1].argmax(1))))
    labels = torch.tensor([2, 2, 0, 1, 2, 1])
    y = torch.nn.functional.one_hot(labels, 3).float()
    loop.step(Batch(torch.rand(6, 1, 16, 16), labels=labels, condition=y))
    assert [player for player, _ in told].count("discriminator") == 3  # real and fake for D, fake for G
    assert all(torch.equal(seen, labels) for _, seen in told)


@pytest.mark.parametrize("name", VARIANTS)
def test_lazy_penalties_keep_their_mean_weight_or_are_refused(name: str) -> None:
    if name not in ("wgan-gp", "dragan", "r3gan", "stylegan2"):
        with pytest.raises(InputError, match="no gradient penalty to leave out"):
            loop_of(plan_of(name, penalty_every=2), IMAGES if name in IMAGES_ALONE else POINTS)
        return
    options = FOR_POINTS.get(name, {})
    plans = (plan_of(name, penalty_every=k, options=options) for k in (1, 2))
    every, lazy = (play(loop_of(plan, POINTS), POINTS, 2) for plan in plans)
    penalties = every[0].keys() & {"d/penalty", "d/r1", "d/r2"}
    assert penalties
    for penalty in penalties:
        assert lazy[0][penalty] == pytest.approx(2 * every[0][penalty])
        assert penalty not in lazy[1]
