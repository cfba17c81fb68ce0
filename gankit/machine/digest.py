"""Fingerprints of tensors, computed on their device: equal tensors have equal ones, on the CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

CHUNK = 1 << 23  # bytes hashed at a time

# The finaliser of SplitMix64 (Steele, Lea and Flood 2014); int64 holds its unsigned 64-bit words.
GOLDEN, FIRST, SECOND = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))

Digest = tuple[str, tuple[int, ...], int]
"""dtype, shape, and a number that depends on every bit and its position."""


def digests(tensors: Mapping[str, Tensor]) -> dict[str, Digest]:
    """A fingerprint of each tensor, by name. Only these numbers leave the device, in one transfer."""
    if not tensors:
        return {}
    sums = [_sum_of_hashes(tensor.detach()) for tensor in tensors.values()]
    device = sums[0].device
    numbers = torch.stack([number.to(device) for number in sums]).tolist()
    return {
        name: (str(tensor.dtype), tuple(tensor.shape), number)
        for (name, tensor), number in zip(tensors.items(), numbers, strict=True)
    }


def _sum_of_hashes(tensor: Tensor) -> Tensor:
    """The sum of the hashed words, 0-d int64. It wraps around and, unlike a sum of floats, ignores the order."""
    raw = tensor.contiguous().reshape(-1).view(torch.uint8)
    total = torch.zeros((), dtype=torch.int64, device=raw.device)
    for number, chunk in enumerate(torch.split(raw, CHUNK)):
        padded = torch.zeros(-(-len(chunk) // 8) * 8, dtype=torch.uint8, device=raw.device)
        padded[: len(chunk)] = chunk
        words = padded.view(torch.int64)
        position = torch.arange(1, 1 + len(words), device=raw.device) + number * (CHUNK // 8)
        total += _mixed(words + position * GOLDEN).sum()
    return total


def _mixed(x: Tensor) -> Tensor:
    """A bijection of 64-bit words in which every output bit depends on all input bits."""
    x = (x ^ _shifted(x, 30)) * FIRST
    x = (x ^ _shifted(x, 27)) * SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """A logical right shift, which fills with zeros instead of the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
