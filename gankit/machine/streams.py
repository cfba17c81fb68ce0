"""Random streams: every seed in [0, 2**63) starts a different stream, on every device.

The CPU generator of PyTorch is a Mersenne twister whose `manual_seed` keeps the low 32 bits of a seed, so that 0 and
2**32 would be one stream. Here NumPy's SeedSequence spreads all bits of the seed over the whole state of the twister.
The generators of CUDA and MPS take 64 bits as they are.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from gankit.errors import InputError

SEEDS = 2**63  # number of seeds: 0 to 2**63 - 1
TWISTER_WORDS = 624  # 32-bit words in the state of a Mersenne twister

# `torch.Generator.get_state` as 64-bit words: the seed, counters, the words of the twister, the next normal number.
STATE_WORDS = 632
TWISTER = slice(3, 3 + TWISTER_WORDS)


def seed_all(seed: int) -> None:
    """Start the stream of `seed` in the default generators of the CPU, CUDA and MPS, instead of `torch.manual_seed`.

    InputError for a seed outside [0, 2**63).
    """
    _start(torch.default_generator, seed)
    if torch.cuda.is_available():  # otherwise `torch.cuda` would keep every seed for a later initialisation
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def generator(seed: int) -> torch.Generator:
    """A new CPU generator at the start of the stream of `seed`; InputError for a seed outside [0, 2**63)."""
    return _start(torch.Generator(), seed)


def _start(target: torch.Generator, seed: int) -> torch.Generator:
    """Seed as `manual_seed` does, `initial_seed` included, but let the twister depend on all bits of the seed."""
    if not 0 <= seed < SEEDS:
        raise InputError(f"seed {seed} is out of range", hint="seeds are 0 to 2**63 - 1")
    _require_known_layout()
    state = target.manual_seed(seed).get_state()
    _words(state)[TWISTER] = np.random.SeedSequence(seed).generate_state(TWISTER_WORDS)
    target.set_state(state)
    return target


def _words(state: torch.Tensor) -> NDArray[np.uint64]:
    return state.numpy().view(np.uint64)


@cache
def _require_known_layout() -> None:
    """RuntimeError unless the words of the twister are where this module writes them (PyTorch 2.8 to 2.13)."""
    seed = 5489
    words = _words(torch.Generator().manual_seed(seed).get_state())
    expected = [seed]  # the initialisation of the reference code (Matsumoto and Nishimura 2002)
    for index in range(1, TWISTER_WORDS):
        expected.append((1812433253 * (expected[-1] ^ (expected[-1] >> 30)) + index) % 2**32)
    if len(words) != STATE_WORDS or words[0] != seed or words[TWISTER].tolist() != expected:
        raise RuntimeError(f"PyTorch {torch.__version__} lays out the state of its CPU generator in an unknown way")
