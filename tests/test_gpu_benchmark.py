"""`benchmarks/gpu.py` works: without CUDA it runs in miniature, so that it is right on the day when there is a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = "memory,graphs"


def gpu(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--out", str(out), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_parts_in_miniature(tmp_path: Path) -> None:
    done = gpu(tmp_path, "--parts", PARTS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    document = json.loads((tmp_path / "gpu.json").read_text())
    assert document["failed"] == []
    figures = {part: [line for line in lines if "name" in line] for part, lines in document["parts"].items()}
    assert list(figures) == PARTS.split(",")
    assert all(figures.values())
    # They were measured here, not only gone through.
    assert {line["name"]: line["value"] for line in figures["memory"]} == {"out of memory": 2}  # 256, 128, 64
    assert "no CUDA graphs, the steps go on without them" in figures["graphs"][-1]["note"]

    page = (tmp_path / "gpu.md").read_text()
    assert page.splitlines()[0] == "# Miniature on a CPU (x86_64): nothing measured" or "aarch64" in page
    assert page.rstrip().endswith("## What failed\n\n* nothing")
    kept = {path: path.read_bytes() for path in (tmp_path / "parts").glob("*.jsonl")}
    assert gpu(tmp_path, "--parts", PARTS).returncode == 0
    assert {path: path.read_bytes() for path in (tmp_path / "parts").glob("*.jsonl")} == kept  # nothing is done twice


def test_what_fails_is_listed_and_is_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from on_gpu.record import Figure, Record

    record = Record(tmp_path)
    record.add("speed", Figure("gan", 0.5, "times plain", (0.4, 0.6), ">= 4", ok=False, note="a note."))
    record.end("speed", "done", 1.0)
    record.end("graphs", "cut off", 100.0)
    record.end("kill", "broken", 2.0, "RuntimeError: no")
    page, failed = record.write({"device": "a GPU"}, {part: part for part in ("speed", "graphs", "kill", "fp16")})
    assert failed == [
        "speed: gan: 0.5 times plain; wanted >= 4. a note",
        "graphs: cut off after 100.0 s",
        "kill: broken after 2.0 s. RuntimeError: no",
        "fp16: not run",
    ]
    assert "| gan | 0.5 times plain | 0.4 to 0.6 | >= 4 | **not met**; a note. |" in page.read_text()
    failing = {"name": "gan", "value": 1, "unit": "", "range": None, "target": "0", "ok": False, "note": ""}
    (tmp_path / "parts" / "memory.jsonl").write_text(f'{json.dumps(failing)}\n{{"ended": "done", "seconds": 1}}\n')
    assert gpu(tmp_path, "--parts", "memory").returncode == 1


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    done = gpu(tmp_path, "--parts", "speeds")
    assert done.returncode == 2
    assert "no part is called speeds; there are check, arithmetic" in done.stderr
