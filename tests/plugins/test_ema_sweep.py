"""Averages with several half-lives: what their option takes."""

from __future__ import annotations

import pytest

from gankit.errors import InputError
from gankit_extensions import ema_sweep


def test_half_lives_must_be_numbers() -> None:
    for text in ("1000,x", "0"):
        with pytest.raises(InputError, match="ema-sweep"):
            ema_sweep.EmaSweep(ema_sweep.Options(halflives=text))
