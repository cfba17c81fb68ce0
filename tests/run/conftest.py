"""Data for the tests of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def tiny_data(place: Path) -> None:
    """Forty 8×8 images of four classes in ./tiny.npz."""
    rng = np.random.default_rng(0)
    np.savez("tiny.npz", images=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), labels=np.arange(40) % 4)
