"""Random streams: every seed is one of its own, and nothing else of a generator changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gankit.base.seeds import derive_seed
from gankit.data.sets.polygons import FAMILIES
from gankit.errors import InputError
from gankit.game.latent import LatentSpace
from gankit.machine import streams
from gankit.score.polygon_fit import distances

# Pairs that share their low 32 bits; the last one is of the steps 10,860 and 49,287 of a run with seed 0.
PAIRS = [(0, 2**32), (7, 7 + 2**62), (derive_seed(0, "step", 10_860), derive_seed(0, "step", 49_287))]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_seeds_that_differ_above_32_bits_are_different_streams(one: int, other: int) -> None:
    assert one % 2**32 == other % 2**32
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for seed in (one, other):
            streams.seed_all(seed)
            assert torch.initial_seed() == seed
            drawn.append(torch.rand(1000))
            assert torch.equal(drawn[-1], torch.rand(1000, generator=streams.generator(seed)))
    assert not bool((drawn[0] == drawn[1]).any())


def test_the_draws_are_those_of_a_mersenne_twister_that_numpy_has_started() -> None:
    seed = 2**40 + 5
    twister = np.random.MT19937()
    key = np.random.SeedSequence(seed).generate_state(624)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    expected = twister.random_raw(2000) % 2**24  # a float32 has 24 bits
    assert (torch.rand(2000, generator=streams.generator(seed)) * 2**24).tolist() == expected.tolist()


def test_a_stream_starts_anew_whatever_was_drawn_before() -> None:
    with torch.random.fork_rng(devices=[]):
        streams.seed_all(3)
        before = torch.get_rng_state()
        torch.randn(3)  # leaves a normal number for the next call
        streams.seed_all(3)
        assert torch.equal(torch.get_rng_state(), before)
        drawn = torch.randn(5)
        with torch.random.fork_rng(devices=[]):
            streams.seed_all(4)
        torch.set_rng_state(before)
        assert torch.equal(torch.randn(5), drawn)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match="out of range"):
        streams.generator(seed)
    with pytest.raises(InputError, match="out of range"):
        streams.seed_all(seed)


def test_an_unknown_layout_of_the_generator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "TWISTER", slice(4, 4 + streams.TWISTER_WORDS))
    streams._require_known_layout.cache_clear()
    with pytest.raises(RuntimeError, match="lays out the state"):
        streams.generator(0)


def test_latent_vectors_of_such_seeds_differ() -> None:
    space = LatentSpace(4)
    assert not torch.equal(space.z([0]), space.z([2**32]))
    assert not torch.equal(space.draw(1, 0)[0], space.draw(1, 2**32)[0])


def test_the_polygon_fit_takes_a_seed_of_any_size() -> None:
    images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    family = FAMILIES["triangles"]
    assert float(distances(images, family, seed=2**40)[0]) >= 0
