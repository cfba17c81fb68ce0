"""ACGAN: it is played with labels only."""

from __future__ import annotations

import pytest
from support_plugins import MNIST

from gankit.contracts import DataSpec
from gankit.errors import InputError
from gankit_variants import acgan


def test_acgan_needs_labels() -> None:
    with pytest.raises(InputError, match="needs a label"):
        acgan.gankit_loss(DataSpec(MNIST), acgan.Options())
    with pytest.raises(InputError, match="needs a label"):  # condition vectors beside the labels
        acgan.gankit_loss(DataSpec(MNIST, ("a", "b"), 7), acgan.Options())
