"""Every file in examples/ does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import gankit

from gankit.contracts import Batch, DataSpec
from gankit.host import discovery, importing
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer
from gankit.testing import Subject, run_checks

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_every_example_is_tested_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == {
        "bigan.py",
        "checkers.py",
        "clip_gradients.py",
        "energy_distance.py",
        "gankit-ebgan",  # by tests/wheel_test.sh
        "relativistic.py",
        "run.toml",
        "two_critics.py",
        "use_as_library.py",
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
        [sys.executable, EXAMPLES / "use_as_library.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == "2,048 images seen; drew (16, 28, 28, 1) uint8\n"


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


def test_two_critics_keep_the_rules_and_both_learn(tmp_path: Path) -> None:
    result = gankit("plugin", "check", EXAMPLES / "two_critics.py", "--json", cwd=tmp_path)
    failed = {check["check"]: check["reason"] for check in json.loads(result.stdout)["checks"] if not check["ok"]}
    assert failed == {}
    trained = gankit(
        "train",
        "--variant",
        EXAMPLES / "two_critics.py",
        "--steps",
        40,
        "--out",
        "run",
        "--device",
        "cpu",
        cwd=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    line = json.loads((tmp_path / "run" / "stats.jsonl").read_text().splitlines()[0])
    assert {"d/real/0", "d/real/1", "g/fake"} <= line.keys()


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
    loop.step(torch.ones(4, 2))
    for parameters in loop.players.values():
        norm = torch.cat([p.grad.flatten() for p in parameters.values() if p.grad is not None]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_bigan_trains_its_encoder_with_the_generator_and_passes_every_check() -> None:
    subject = Subject.of(str(EXAMPLES / "bigan.py"))
    assert [(outcome.check.name, outcome.reason) for outcome in run_checks(subject) if outcome.reason] == []
    loop = subject.loop()
    encoder = loop.companions["encoder"]
    before = [parameter.clone() for parameter in encoder.parameters()]
    real, labels, _ = subject.batch(loop, 0)
    loop.d_step(real, labels, None)
    assert all(torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))
    loop.step(real, labels)
    assert not any(torch.equal(old, new) for old, new in zip(before, encoder.parameters(), strict=True))


def test_bigan_draws_what_its_generator_makes_of_the_codes_of_real_images(tmp_path: Path) -> None:
    options = ("--variant", EXAMPLES / "bigan.py", "--device", "cpu", "--precision", "fp32")
    assert gankit("train", *options, "--steps", 2, "--out", "run", cwd=tmp_path).returncode == 0
    with Image.open(tmp_path / "run" / "reconstructions.png") as sheet:
        cell = 2 * 28 + 2  # twice as large, with a line between
        assert sheet.size == (16 * cell + 2, 2 * cell + 2)
