"""The conformance kit on the slower examples, and first steps of them."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

from support import ROOT, gankit

EXAMPLES = ROOT / "examples"


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
    assert {"d0/real", "d1/real", "g/fake"} <= line.keys()


def test_transformers_keep_the_rules_and_train_by_their_recipe(tmp_path: Path) -> None:
    package = EXAMPLES / "gankit-latent"
    result = gankit("plugin", "check", package / "gankit_latent.py", "--json", cwd=tmp_path)
    failed = {check["check"]: check["reason"] for check in json.loads(result.stdout)["checks"] if not check["ok"]}
    assert failed == {}
    assert gankit("verify", package / "gankit_latent.py", cwd=tmp_path).returncode == 0
    shutil.copy(package / "gankit_latent.py", tmp_path / "latent.py")
    recipe = tomllib.loads((package / "gankit_latent_recipes" / "latent-digits.toml").read_text())["settings"]
    (given,) = recipe["options"].items()
    chosen = ("--data", recipe["data"], "--z-dim", recipe["z_dim"], "-s", "=".join(given))
    trained = gankit(
        "train", "--variant", "./latent.py", *chosen, "--steps", 2, "--device", "cpu", "--out", "run", cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    drawn = gankit("sample", "run", "--variant", "./latent.py", "-n", 2, "-o", "x.png", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
