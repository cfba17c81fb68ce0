"""Results that are kept in the repository, a line for each run: the hours of several sessions add up.

A line does not know the defaults of its day: whoever changes those of a variant deletes its lines.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).with_name("results")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of results, by whatever process they were written; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def short(data: str) -> str:
    """A name of data, or the last two parts of a path: 'cifar10/train.zip'."""
    return "/".join(Path(data).parts[-2:])


def processor() -> str:
    """The kind of processor."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()


def machine() -> str:
    """The kind of processor, and torch."""
    return f"{processor()}, torch {torch.__version__}"
