"""What is done with a trained generator works for every variant that is here, from its file alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, gankit

import gankit as api
from gankit.host import discovery

VARIANTS = sorted(plugin.name for plugin in discovery.discover(discovery.VARIANTS))
EXAMPLES = ["examples/gankit-ebgan/gankit_ebgan.py", "examples/gankit-latent/gankit_latent.py"]


def train(variant: str | Path, place: Path) -> None:
    rng = np.random.default_rng(0)
    side = 32 if variant == "projected" else 16
    images = rng.integers(0, 256, (40, side, side, 3), dtype=np.uint8)
    np.savez(place / "noise.npz", images=images, labels=np.arange(40) % 3)
    small = {"stylegan2": {"width": 8}}.get(str(variant), {})
    api.train(
        variant, data=place / "noise.npz", out=place / "run", steps=2, batch=8, z_dim=12, device="cpu", options=small
    )


@pytest.mark.parametrize("variant", [*VARIANTS, *EXAMPLES], ids=lambda name: Path(name).stem)
def test_a_generator_is_steered_inverted_and_walked_through(variant: str, tmp_path: Path) -> None:
    file = ROOT / variant
    train(file if file.exists() else variant, tmp_path)
    extra = ["--variant", file] if file.exists() else []

    def run(*words: object) -> dict[str, object]:
        done = gankit(*words, *extra, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    assert len(run("directions", "run", "-n", 3)["directions"]) == 3
    assert len(run("directions", "run", "-n", 3, "--method", "ganspace")["directions"]) == 3
    assert run("sample", "run", "-n", 4, "--move", "sefa0=2", "--truncation", 0.5, "-o", "moved.npz")
    assert run("interpolate", "run", "--along", "pca0=-1:1", "--steps", 3)["walks"] == 1
    run("sample", "run", "-n", 2, "-o", "two")
    found = run("project", "run", "two", "--steps", 20, "--restarts", 1, "--alone", "-o", "two.npz")
    assert len(found["errors"]) == 2
    assert run("sample", "run", "--latents", "two.npz", "-o", "again.npz")["samples"] == 2
    assert run("interpolate", "run", "--latents", "two.npz", "--steps", 3)["walks"] == 1


def test_a_conditional_sibling_names_the_directions_of_another_generator(tmp_path: Path) -> None:
    for name, conditional in (("run", False), ("told", True)):
        api.train("gan", out=tmp_path / name, z_dim=6, steps=1, batch=4, device="cpu", conditional=conditional)
    done = gankit("directions", "run", "--method", "labels", "--labels-from", "told", "--json", cwd=tmp_path)
    assert [d["name"] for d in json.loads(done.stdout)["directions"]] == [str(digit) for digit in range(10)]
