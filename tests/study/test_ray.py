"""What `gankit study run --ray` refuses without a cluster, where Ray is installed; tests/reliability/test_ray.py has one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest


def test_without_ray(tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refusal("study run --variant gan --data ring8 -o x --ray auto", tmp_path, "4")
    assert "pip install 'gankit[ray]'" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ("--ray 127.0.0.1:1", "4", "no Ray cluster at 127.0.0.1:1: "),
        ("--ray local", "2", "--ray local is not an address"),
        ("--cpus-per-task 2", "2", "--cpus-per-task is for a cluster"),
    ],
)
def test_what_is_no_cluster(flags: str, code: str, said: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    pytest.importorskip("ray")
    assert said in refusal(f"study run --variant gan --data ring8 -o x {flags}", tmp_path, code)
    assert list(tmp_path.iterdir()) == []
