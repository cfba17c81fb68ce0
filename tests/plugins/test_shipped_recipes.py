"""Every recipe of this repository: its first ten steps, or the arithmetic of networks that are too large for a test."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from gankit.game.loop import TrainingLoop
from gankit.host import discovery, recipes
from gankit.host.recipes import RecipeFile
from gankit.look.cost import stand_in
from gankit.run.build import build_loop, count_parameters, data_spec, latent_space, make_sampler, own_streams
from gankit.run.plan import Plan, plan_run
from gankit.settings.layers import Layer

FOUND = {found.name: found for found in recipes.discover() if found.dist == "gankit"}
CPU = torch.device("cpu")
STEPS = 10

# Millions of parameters (G, D) of networks that are only built: one step of them takes seconds or minutes. DCGAN's are
# counted from the authors' code. StyleGAN2's are those that its authors' logs show; those for CIFAR-10 are worked out in
# test_stylegan2.py. A block of R3GAN with C channels has 4 C^2 + 2 C * 16 * 9 + 4 C.
LARGE = {
    "paper-dcgan": (18.855, 17.233),
    "paper-r3gan": (23.06, 23.01),
    "r3gan-cifar10": (20.78, 21.28),
    "r3gan-ffhq64": (22.43, 22.38),
    "r3gan-imagenet64": (103.57, 107.21),
    "paper-stylegan2": (30.370060, 29.012513),
    "stylegan2-ada-cifar10": (20.215315, 23.089664),
}
# Those of which one step of two images is played: it takes half a second or more.
SLOW = {"r3gan-cifar10-mini", "dcgan-celeba64", "paper-lsgan", "paper-projected", "photos-128"}


def planned(found: RecipeFile, batch: int) -> Plan:
    given = {"recipe": found.name, "batch": batch, "precision": "fp32", "device": "cpu"}
    if "data" not in found.recipe.settings:
        given["data"] = "to-be-given"
    return plan_run([Layer("argument", given)])


def built(plan: Plan, found: RecipeFile, device: torch.device, *, rehearsed: bool) -> TrainingLoop:
    data = stand_in(found.recipe.data, samples=16)
    assert data is not None, "a recipe says what shape its data have"
    return build_loop(plan, data_spec(data, latent_space(plan, data)), device, rehearsed=rehearsed)


def test_the_lists_name_recipes_that_exist() -> None:
    assert {*LARGE, *SLOW} <= FOUND.keys()


def test_every_variant_has_the_recipe_of_its_paper() -> None:
    variants = [plugin.name for plugin in discovery.installed(discovery.VARIANTS) if plugin.dist == "gankit"]
    assert {f"paper-{name}" for name in variants} <= FOUND.keys()
    for name in variants:
        assert FOUND[f"paper-{name}"].recipe.settings["variant"] == name


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_recipe_says_what_it_is_and_where_its_numbers_are_from(name: str) -> None:
    recipe = FOUND[name].recipe
    assert recipe.title
    assert len(recipe.title) <= 40
    assert recipe.about
    assert recipe.data.about
    assert recipe.data.shape
    assert recipe.images is not None
    assert all(part.score and part.value and part.protocol and part.source for part in recipe.published)
    assert "size" in recipe.settings or "data" in recipe.settings or recipe.advise is not None


@pytest.mark.parametrize("name", sorted(FOUND.keys() - LARGE.keys()))
def test_the_first_steps_of_a_recipe(name: str) -> None:
    found = FOUND[name]
    plan = planned(found, 2 if name in SLOW else 4)
    with own_streams(CPU):
        loop = built(plan, found, CPU, rehearsed=name not in SLOW)
        data = stand_in(found.recipe.data, samples=16)
        assert data is not None
        sampler = make_sampler(plan, data, CPU, fresh_reals=loop.takes_fresh_reals)
        for step in range(1 if name in SLOW else STEPS):
            stats = loop.step(sampler.batch(step))
            assert all(bool(value.isfinite()) for value in stats.values()), (step, stats)
        sampler.close()


@pytest.mark.parametrize("name", sorted(LARGE))
def test_large_networks_have_the_size_of_the_authors(name: str) -> None:
    found = FOUND[name]
    plan = planned(found, 2)
    data = stand_in(found.recipe.data, samples=16)
    assert data is not None
    spec = data_spec(data, latent_space(plan, data))
    hook, options = plan.composition.hook, plan.live.options
    with torch.device("meta"):
        output = hook.gankit_loss(data=spec, options=options).output
        z_dim = plan.config.z_dim
        generator = hook.gankit_generator(data=spec, z_dim=z_dim, options=options)
        discriminator = hook.gankit_discriminator(data=spec, options=options, output=output, z_dim=z_dim)
    counts = [count_parameters(network) / 1e6 for network in (generator, discriminator)]
    assert counts == pytest.approx(LARGE[name], rel=0.002)


def test_the_schedules_of_r3gan_are_those_of_its_authors() -> None:
    """v(n) = base + (1 - (1 + cos(pi n / N)) / 2) (final - base), N = 20 million images."""
    plan = planned(FOUND["r3gan-cifar10"], 512)
    ends = {
        "g_lr": (2e-4, 5e-5),
        "d_lr": (2e-4, 5e-5),
        "betas.1": (0.9, 0.99),
        "options.gamma": (0.05, 0.005),
        "options.ada.p": (0.0, 0.55),
        "ema_halflife_images": (0.0, 5e6),
    }
    assert plan.schedules.keys() == ends.keys()
    n = 2e7
    for name, (base, final) in ends.items():
        for images in (0.0, n / 4, n / 2, n, 2.5e8):
            share = 1 - (1 + math.cos(math.pi * min(images / n, 1))) / 2
            expected = base + share * (final - base)
            assert plan.schedules[name].at(images, plan.config.total_images) == pytest.approx(expected), name


@pytest.mark.parametrize("name", [name for name in sorted(FOUND) if name.startswith("lucic-")])
def test_the_cells_of_the_study_share_everything_but_loss_and_rates(name: str) -> None:
    config = planned(FOUND[name], 64).config
    assert (config.steps, config.z_dim, config.z_prior, config.optimizer) == (15_625, 64, "uniform", "adam")
    assert (config.g_lr, config.betas[1], config.ema_halflife_images) == (config.d_lr, 0.999, 0)
    assert dataclasses.replace(config, batch=64).total_images == 1_000_000
