"""Every file in examples/ does what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit, python

import gankit as api
from gankit.contracts import Batch, DataSpec
from gankit.hookspecs import Run
from gankit.host import discovery, importing
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer
from gankit.testing import Subject, run_checks

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.usefixtures("warm_processes")


def test_every_example_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == {
        "adversary",
        "bigan.py",
        "checkers.py",
        "clip_gradients.py",
        "cycle_gan.py",
        "energy_distance.py",
        "gankit-ebgan",  # by tests/wheel_test.sh
        "gankit-latent",
        "relativistic.py",
        "run.toml",
        "two_critics.py",
        "use_as_library.py",
        "vae_gan.py",
    }


def test_the_one_file_variant_trains_with_its_own_recommendation(tmp_path: Path) -> None:
    options = ("--variant", EXAMPLES / "relativistic.py", "--device", "cpu")
    shown = json.loads(gankit("train", *options, "--print-config", "--json", cwd=tmp_path).stdout)["settings"]
    assert shown["d_lr"] == {"value": 4e-4, "source": "variant"}
    result = gankit("train", *options, "--steps", 2, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "loss relativistic" in result.stderr


def test_the_one_file_variant_has_the_values_of_its_paper() -> None:
    loss = importing.load_plugin(
        discovery.find(str(EXAMPLES / "relativistic.py"), discovery.VARIANTS)
    ).RelativisticLoss()  # type: ignore[attr-defined]
    real, fake = (torch.tensor(x, dtype=torch.float64) for x in ([2.0, 0.5, -1.0], [-1.5, 0.0, 1.0]))
    batch = Batch(real, fake, z=torch.zeros(3, 1))
    totals = [
        sum(float(term.mean()) for term in player(lambda scores: scores, batch).values())
        for player in (loss.discriminator, loss.generator)
    ]
    assert totals == pytest.approx([1.0973762955102013, 2.430709628843535], rel=1e-12)


def test_the_toml_run_is_a_valid_configuration(tmp_path: Path) -> None:
    result = gankit("train", "--config", EXAMPLES / "run.toml", "--print-config", "--json", cwd=tmp_path)
    shown = json.loads(result.stdout)["settings"]
    assert shown["images"] == {"value": 20_000, "source": "run.toml"}
    assert shown["options.label_smoothing"] == {"value": 0.1, "source": "run.toml"}


def test_the_library_example_runs(tmp_path: Path) -> None:
    result = subprocess.run(
        [python(), EXAMPLES / "use_as_library.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == "2,016 images seen; drew (16, 28, 28, 1) uint8\n"


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("vae", None),
        ("super_resolution", None),
        ("distillation", None),
        ("vae_lightning", "pytorch_lightning"),
        ("vae_accelerate", "accelerate"),
    ],
)
def test_an_adversary_plays_in_other_loops(name: str, needs: str | None, tmp_path: Path) -> None:
    if needs is not None:
        pytest.importorskip(needs)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = EXAMPLES / "adversary" / f"{name}.py"
    done = subprocess.run(
        [python(), script, "4"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    if name == "distillation":
        assert done.stdout.count("of 8 modes") == 3
    elif needs is None:
        assert "step 4: error 0." in done.stdout
        assert (tmp_path / f"{name.replace('_', '-')}.png").stat().st_size > 1000
    else:
        assert "d/real" in done.stdout or "D has moved 2 times" in done.stdout


def test_the_data_set_is_trained_on_and_sampled_by_class(tmp_path: Path) -> None:
    arguments = ["--with", EXAMPLES / "checkers.py", "--data", "checkers", "--conditional", "--device", "cpu"]
    result = gankit("train", *arguments, "--steps", 2, "--out", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3,000 images, grey 16x16, 3 classes" in result.stderr
    assert gankit("sample", "run", "--class", "8x8", "-n", 2, "-o", "x.png", cwd=tmp_path).returncode == 0


def test_the_metric_is_zero_for_equal_sets_and_is_stored(tmp_path: Path) -> None:
    module = importing.load_plugin(discovery.find(str(EXAMPLES / "energy_distance.py"), discovery.EXTENSIONS))
    metric = module.EnergyDistance()  # type: ignore[attr-defined]
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    metric.update(x[:200], real=True)
    metric.update(x[200:], real=False)
    assert abs(float(metric.compute())) < 0.05
    metric.update(x[200:] + 5, real=False)
    assert float(metric.compute()) > 1
    arguments = ["--data", "ring8", "--device", "cpu", "--steps", 2, "--out", "run"]
    assert gankit("train", *arguments, cwd=tmp_path).returncode == 0
    with_ = ["--with", EXAMPLES / "energy_distance.py", "--metrics", "energy", "-n", 200, "--device", "cpu", "--json"]
    result = gankit("eval", "run", *with_, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["scores"]["energy"]["value"] > 0


def test_the_extension_bounds_gradients(tmp_path: Path) -> None:
    plan = plan_run(
        [
            Layer(
                "test",
                {
                    "variant": "gan",
                    "extensions": [str(EXAMPLES / "clip_gradients.py")],
                    "options": {"clip-gradients": {"norm": 1e-3}},
                },
            )
        ]
    )
    loop = build_loop(plan, DataSpec((2,)), torch.device("cpu"))
    loop.step(Batch(torch.ones(4, 2)))
    for player in loop.players.values():
        norm = torch.cat([p.grad.flatten() for p in player.parameters.values() if p.grad is not None]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_bigan_trains_its_encoder_with_the_generator_and_passes_every_check() -> None:
    subject = Subject.of(str(EXAMPLES / "bigan.py"))
    assert [(outcome.check.name, outcome.reason) for outcome in run_checks(subject) if outcome.reason] == []
    loop = subject.loop()
    encoder = loop.networks.extra["encoder"]
    before = [parameter.clone() for parameter in encoder.parameters()]
    loop.play("discriminator", subject.batch(loop, 0))
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))
    loop.step(subject.batch(loop, 0))
    assert not any(torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))


def test_bigan_draws_what_its_generator_makes_of_the_codes_of_real_images(tmp_path: Path) -> None:
    options = ("--variant", EXAMPLES / "bigan.py", "--device", "cpu", "--precision", "fp32")
    assert gankit("train", *options, "--steps", 2, "--out", "run", cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "run" / "reconstructions.png") as sheet:
        cell = 2 * 28 + 2  # twice as large, with a line between
        assert sheet.size == (16 * cell + 2, 2 * cell + 2)


@pytest.mark.parametrize(
    ("name", "players"),
    [
        ("vae_gan", ["generator", "discriminator", "encoder"]),
        ("cycle_gan", ["generator", "discriminator", "inverse", "inverse critic"]),
    ],
)
def test_a_game_of_several_players_keeps_the_rules_and_resumes_exactly(name: str, players: list[str]) -> None:
    subject = Subject.of(str(EXAMPLES / f"{name}.py"))
    assert list(subject.loop().players) == players
    outcomes = {outcome.check.name: outcome.reason for outcome in run_checks(subject)}
    assert {check: reason for check, reason in outcomes.items() if reason} == {}
    assert "exact_resume" in outcomes


def train_points(variant: str, folder: Path, data: str, steps: int, **settings: object) -> list[dict[str, float]]:
    """The statistics of a run, a line for about 2,000 images."""
    run = api.train(
        EXAMPLES / f"{variant}.py",
        data=data,
        steps=steps,
        device="cpu",
        precision="fp32",
        out=folder / "run",
        **settings,
    )
    return [json.loads(line) for line in (run.folder / "stats.jsonl").read_text().splitlines()]


def test_vae_gan_learns_to_reconstruct(tmp_path: Path) -> None:
    seen: list[Run] = []
    train_points("vae_gan", tmp_path, "ring8", 200, batch=64, on_step=seen.append)
    loop, real = seen[-1].loop, seen[-1].dataset.real(torch.arange(1000))
    with torch.no_grad():
        mean = loop.networks.extra["encoder"](real).chunk(2, dim=1)[0]
        error = (loop.networks.generator(mean) - real).square().mean()
    assert float(error) < 0.1 * float(real.var(0).mean())
    generator = api.load(tmp_path / "run", variant=str(EXAMPLES / "vae_gan.py"))
    assert np.isfinite(generator.sample(16)).all()


def test_cycle_gan_translates_there_and_back_and_its_rates_end_at_zero(tmp_path: Path) -> None:
    lines = train_points("cycle_gan", tmp_path, "two-domains", 200, batch=64)
    first, last = lines[0], lines[-1]
    for name in ("g/cycle_a", "g/cycle_b", "inverse/cycle_a", "inverse/cycle_b"):
        assert last[name] < 0.25 * first[name], name
    assert last["lr/generator"] == pytest.approx(1e-3 / 100)  # linear to 0 over the second half of 200 steps


def test_the_tests_of_the_transformers(tmp_path: Path) -> None:
    """All but those of the kit, which reliability/test_examples.py runs."""
    package = EXAMPLES / "gankit-latent"
    command = [python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not rules", package / "tests"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
