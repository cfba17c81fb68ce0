"""`gankit diagnose --spectrum`: what it finds in a run, that it changes nothing there, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import HOOKS, LOSS, gankit
from support_runs import RING8

import gankit as api
from gankit.cli.spectrum import advice
from gankit.look.arnoldi import Eigenvalue
from gankit.look.sensitivity import Participation, Spread
from gankit.look.spectrum import Spectrum, spectrum

SMALL_NETWORKS = (
    '"""A game with few parameters, for tests."""\n'
    + LOSS
    + HOOKS
    + """
from torch import nn

@hookimpl
def gankit_generator(data, z_dim):
    return nn.Sequential(nn.Linear(z_dim, 6), nn.Tanh(), nn.Linear(6, 2))

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0))
"""
)


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two checkpoints, whose variant is a file."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.py").write_text(SMALL_NETWORKS)
    for steps in (20, 40):
        small = {**RING8, "z_dim": 3, "steps": steps, "extensions": ["r1"]}
        run = folder / "run"
        if run.exists():
            api.resume(run, variant=folder / "small.py", steps=steps)
        else:
            api.train(folder / "small.py", out=run, **small)  # type: ignore[arg-type]
    return folder


def test_a_run_is_looked_at_and_not_changed(runs: Path) -> None:
    before = files_of(runs)
    found = spectrum(runs / "run", variant=runs / "small.py", device="cpu", batch=64)
    assert files_of(runs) == before
    assert (found.variant, found.images_seen, found.batch, found.parameters) == ("small", 640, 64, 38 + 25)
    assert len(found.eigenvalues) == 20
    moduli = [abs(eigenvalue.value) for eigenvalue in found.eigenvalues]
    assert moduli == sorted(moduli, reverse=True)
    assert found.eigenvalues[0].settled()
    assert found.missing == {}
    assert list(found.slopes) == ["real", "between", "fake"]
    assert found.participation is not None
    assert found.participation.of == 2
    assert 1 <= found.participation.directions.median <= 2
    again = spectrum(runs / "run", variant=runs / "small.py", device="cpu", batch=64)
    assert again == found


def test_a_damaged_checkpoint_is_passed_over_and_left_where_it_is(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(runs / "run", tmp_path / "run")
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    (newest / "state.safetensors").write_bytes(b"damaged")
    before = files_of(tmp_path / "run")
    assert spectrum(tmp_path / "run", variant=runs / "small.py", device="cpu").images_seen == 320
    assert files_of(tmp_path / "run") == before
    assert "looking at the one before" in caplog.text


def test_the_command_tells_a_person_and_a_program(runs: Path) -> None:
    arguments = ("diagnose", "--spectrum", "run", "--variant", "small.py", "--products", 30)
    shown = gankit(*arguments, cwd=runs, COLUMNS="80")
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    text = " ".join(shown.stdout.split())
    assert "run: small at 640 images; the game on 256 real samples and as many fakes, 63 parameters" in text
    for words in ("eigenvalue of the game", "rotation 0.", "|dD/dx| at", "of 2 directions"):
        assert words in text
    document = json.loads(gankit(*arguments, "--json", "-o", "plane.png", cwd=runs).stdout)
    with Image.open(runs / "plane.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 16) or []) > 10
    (runs / "plane.png").unlink()
    assert document["slopes"].keys() == {"real", "between", "fake"}
    assert len(document["eigenvalues"]) == 20
    assert document["participation"]["of"] == 2
    assert document["missing"] == {}


def test_what_cannot_be_told_is_said_beside_what_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("tiny.npz", images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), labels=np.arange(40) % 4)
    small = {"data": "tiny.npz", "batch": 8, "z_dim": 8, "device": "cpu", "steps": 2}
    api.train("began", out="began", **small)  # type: ignore[arg-type]
    found = spectrum(Path("began"), device="cpu", products=20)
    assert found.missing == {"slopes": "this discriminator reconstructs samples and does not score them"}
    assert found.slopes == {}
    assert found.eigenvalues
    api.train("cgan", out="balanced", extensions=["balance"], **small)  # type: ignore[arg-type]
    found = spectrum(Path("balanced"), device="cpu")
    assert found.eigenvalues == ()
    assert found.missing.keys() == {"eigenvalues"}
    assert "@once_differentiable" in found.missing["eigenvalues"]
    assert found.participation is not None
    assert found.participation.of == 8


def test_it_refuses_in_one_line(runs: Path, tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "nothing is not the folder of a run" in refusal("diagnose nothing --spectrum", tmp_path)
    assert "the picture is a PNG" in refusal("diagnose run --spectrum -o x.jpg", runs)
    assert "add --spectrum, or leave them out" in refusal("diagnose run --batch 8", runs)
    assert "a file — pass it again: --variant FILE.py" in refusal("diagnose run --spectrum", runs)
    for name in ("young", "gone", "moved"):
        shutil.copytree(runs / "run", tmp_path / name)
    shutil.copy(runs / "small.py", tmp_path)
    shutil.rmtree(tmp_path / "young" / "checkpoints")
    said = refusal("diagnose young --spectrum --variant small.py", tmp_path)
    assert "young has no checkpoint yet" in said
    said = refusal("diagnose moved --spectrum --variant small.py --data grid25", tmp_path)
    assert "moved was trained on other data: 'grid25' has changed since" in said
    identity = json.loads((tmp_path / "gone" / "run.json").read_text())
    for plugin in identity["plugins"]:
        plugin["origin"] = "gankit-gone 1.0"
    identity["plugins"][0]["name"] = identity["variant"] = "gone"
    (tmp_path / "gone" / "run.json").write_text(json.dumps(identity))
    config = tmp_path / "gone" / "config.json"
    stored = json.loads(config.read_text())
    stored["config"]["variant"] = "gone"
    config.write_text(json.dumps(stored))
    assert "gankit-gone" in refusal("diagnose gone --spectrum", tmp_path, "3")


def found_with(*values: complex, directions: float = 5.0, fake: float = 1.0, unsettled: int = 0) -> Spectrum:
    one = Spread(directions, directions, directions)
    return Spectrum(
        "run", "gan", 0, 8, 100, tuple(Eigenvalue(value, 0.0) for value in values) + (Eigenvalue(-9, 1.0),) * unsettled,
        {"fake": Spread(fake, fake, fake)}, Participation(one, 64, one, 1.0), {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (found_with(-1, -2), []),
        (found_with(-0.3 + 0.4j, -0.3 - 0.4j), ["rotation 0.80"]),
        (found_with(-0.3 + 0.4j, -0.3 - 0.4j, unsettled=3), []),
        (found_with(-5, 2), ["1 of 2 eigenvalues have a positive real part, up to 2"]),
        (found_with(-5, 1e-4), []),
        (found_with(-1, fake=1e-5), ["D is flat at fakes, 1e-05"]),
        (found_with(-1, directions=1.2), ["samples move along 1.2 of 64 directions only"]),
        (found_with(-1, directions=0.0), ["G ignores z"]),
    ],
)
def test_what_is_conspicuous_has_advice(found: Spectrum, words: list[str]) -> None:
    told = list(advice(found))
    assert len(told) == len(words)
    for (figure, do), start in zip(told, words, strict=True):
        assert figure.startswith(start)
        assert do


def test_the_largest_step_is_that_of_gradient_descent() -> None:
    """|1 + h λ| < 1 for h < -2 Re λ / |λ|²: 2 · 0.3 / 0.25 and 2 · 4 / 16."""
    assert found_with(-0.3 + 0.4j, -0.3 - 0.4j).largest_step == pytest.approx(2.4)
    assert found_with(-0.3 + 0.4j, -0.3 - 0.4j, -4).largest_step == pytest.approx(0.5)
    assert found_with(-4, 0.5j, -0.5j).largest_step is None
    assert found_with().rotation is None
