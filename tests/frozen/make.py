"""Write gankit-VERSION.zip beside this file: what this version leaves on disk, for later versions to read.

`PYTHONPATH=tests python tests/frozen/make.py`, once for each release; a zip that is there is never written anew.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import OWN_NETWORKS

import gankit
from gankit.base.files import canonical_json, pack_tensors, tensors_digest
from gankit.errors import Stopped
from gankit.run.run import Run
from gankit.store import checkpoint, generator_file

STOP, STEPS = 12, 16
SETTINGS: dict[str, Any] = {"batch": 4, "z_dim": 5, "device": "cpu", "precision": "fp32"}
WORK = Path("/tmp/gankit-compatibility")  # the paths that the files remember


def stop(run: Run) -> None:
    """Ends a run politely after twelve steps."""
    if run.step == STOP:
        raise Stopped("for the record", signal_number=2)


def make() -> dict[str, bytes]:
    """Every file of the archive."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    (WORK / "tiny.py").write_text(OWN_NETWORKS)
    images = np.random.RandomState(0).randint(0, 256, (40, 2, 2, 3)).astype(np.uint8)
    np.savez_compressed(WORK / "four.npz", images=images, labels=np.arange(40) % 3)
    expected = {"resumed": interrupted_run(), "samples": generator(), "scores": scores()}
    (WORK / "expected.json").write_text(json.dumps(expected))
    keep = ["tiny.py", "four.npz", "expected.json", "conditional.safetensors", "metrics.jsonl", "run"]
    files = [p for name in keep for p in ([WORK / name] if (WORK / name).is_file() else (WORK / name).rglob("*"))]
    left_out = ("LOCK", "log.txt", "environment.json")  # they say more about the machine than about the format
    return {str(p.relative_to(WORK)): p.read_bytes() for p in files if p.is_file() and p.name not in left_out}


def interrupted_run() -> dict[str, list[float]]:
    """run/ stops after 12 of 16 steps; returns the weights that it must have after the last one."""
    settings = {**SETTINGS, "data": WORK / "four.npz", "steps": STEPS, "checkpoint_every": 16, "sample_every": 64}
    try:
        gankit.train(WORK / "tiny.py", out=WORK / "run", on_step=stop, **settings)
    except Stopped:
        status = WORK / "run" / "status.json"
        status.write_text(json.dumps({**json.loads(status.read_text()), "host": "somewhere"}, indent=2))
    straight = gankit.train(WORK / "tiny.py", out=WORK / "straight", **settings)
    return weights(straight.folder)


def weights(run: Path) -> dict[str, list[float]]:
    """All tensors of the newest checkpoint, as numbers."""
    found = checkpoint.read_latest(run / "checkpoints")
    assert found is not None
    tensors = {name: value for name, value in found.state.items() if isinstance(value, torch.Tensor)}
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}


def generator() -> list[Any]:
    """conditional.safetensors on core's networks; returns what seeds 0 to 3 give for class 1."""
    settings = {**SETTINGS, "data": WORK / "four.npz", "steps": 2, "conditional": True}
    trained = gankit.train("lsgan", out=WORK / "conditional", **settings)
    header, tensors = generator_file.read(trained.generator)
    rounded = {name: (tensor * 64).round() / 64 for name, tensor in tensors.items()}  # so that the archive is small
    metadata = canonical_json(dataclasses.asdict(dataclasses.replace(header, tensors_sha256=tensors_digest(rounded))))
    (WORK / "conditional.safetensors").write_bytes(pack_tensors(rounded, metadata))
    samples: list[Any] = gankit.load(WORK / "conditional.safetensors").sample(4, label=1).tolist()
    return samples


def scores() -> dict[str, float]:
    """metrics.jsonl of a run that was scored once; returns its scores."""
    run = gankit.train("gan", data="ring8", steps=2, eval_every=8, eval_n=50, out=WORK / "scored", **SETTINGS)
    shutil.copy(run.folder / "metrics.jsonl", WORK / "metrics.jsonl")
    (line,) = [json.loads(line) for line in (WORK / "metrics.jsonl").read_text().splitlines()][-1:]
    return {name: score["value"] for name, score in line["scores"].items()}


def main() -> None:
    """Write the archive of this version."""
    target = Path(__file__).with_name(f"gankit-{gankit.__version__}.zip")
    if target.exists():
        raise SystemExit(f"{target.name} is there: what a release wrote does not change")
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in make().items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
