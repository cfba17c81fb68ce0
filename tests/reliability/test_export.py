"""Every variant of this repository and of its examples, in every format that runs, from the file alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support_export import TOYS, Toy

import gankit
from gankit.sample.export import export
from gankit.sample.export.formats import FORMATS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.name)
def test_every_variant_becomes_a_file_that_makes_its_samples(place: Path, toy: Toy, to: str) -> None:
    file = toy.write(place / "toy.safetensors")
    variant = toy.variant if toy.found_by else None
    done, trained = export(file, to=to, variant=variant), gankit.load(file, variant=variant)
    run = FORMATS[to].runner(done.file.read_bytes())
    for seeds in (range(1), range(20, 31)):
        made = run((*trained.space.inputs(list(seeds)), torch.tensor(1.0))).numpy()
        expected = trained.sample(seeds=seeds)
        assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
        assert np.abs(made.astype(float) - expected).max() <= (1 if made.dtype == np.uint8 else 1e-4)
