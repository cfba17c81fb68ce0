"""Names of files and folders that are not UTF-8, as old disks and zips have them: every command takes and writes them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image
from support import gankit, python

CAFE = os.fsdecode(b"caf\xe9")
# A classifier of a few steps: nothing here depends on its accuracy.
QUICKLY = "from gankit.cli import main; from gankit.measure.features import classifier; classifier.STEPS = 20; main()"


def test_every_command_takes_paths_that_are_not_utf8(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 8, 8), np.uint8)
    for number, image in enumerate(pixels):
        folder = tmp_path / CAFE / os.fsdecode(b"\xff%d" % (number % 2))
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}{CAFE}.png")
    train = ("train", "--variant", "gan", "--data", CAFE, "--batch", 8, "--steps")
    run = os.fsdecode(b"r\xfcn")
    for command in (
        (*train, 2, "-o", run),
        ("resume", run, "--steps", 4),
        ("sample", run, "-n", 2, "-o", CAFE + "-samples"),
        ("interpolate", run, "-o", CAFE + ".png"),
        ("advise", CAFE),
        ("data", "pack", CAFE, "-o", CAFE + ".gkpack"),
    ):
        result = gankit(*command, cwd=tmp_path)
        assert result.returncode == 0, (command, result.stderr)
    score = ("eval", run, "-n", "60", "--metrics", "duplicates", "--features", "classifier")
    shown = subprocess.run([python(), "-c", QUICKLY, *score], cwd=tmp_path, capture_output=True, check=False)
    assert shown.returncode == 0, shown.stderr
    config = json.loads((tmp_path / run / "config.json").read_bytes())
    assert Path(config["config"]["data"]).name == CAFE
    told = json.loads(gankit(*score, "--json", cwd=tmp_path).stdout)
    assert told["what"]["file"].startswith(run)
