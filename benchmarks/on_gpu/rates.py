"""How fast: against plain and tuned loops of the same networks, and against published figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import speed as matches
import torch
from numpy.lib.format import open_memmap

from gankit.errors import GankitError
from gankit.look.bench import Benchmark, bench
from gankit.settings.layers import Layer
from on_gpu.record import Figure
from on_gpu.scale import Scale

MATCHES = (  # game, precision, target against the plain loop
    ("dcgan-28", "fp32", 4.0),
    ("dcgan-28", "bf16", 4.0),
    ("dcgan-64-256", "bf16", 1.5),
    ("wgan-gp-32", "bf16", None),
    ("r3gan-32", "bf16", None),
)
R3GAN_L40 = 90.0  # images/s of one L40: 250 M images in 4 days of eight of them, as the authors say
STYLEGAN2_A100 = 147.0  # images/s of one A100 at 128x128, batch 32, in the documentation of stylegan3


def speed(scale: Scale) -> Iterator[Figure]:
    """Contenders in turns, A-B-C and C-B-A, each in a process of its own."""
    names = scale.of(("plain", "tuned", "gankit", "gankit, graphs"), ("plain", "gankit"))
    for game, precision, target in scale.of(MATCHES, MATCHES[:1]):
        rows, _ = matches.match(
            names, game, precision, str(scale.device), blocks=scale.of(4, 1), block_s=scale.of(1.0, 0.05)
        )
        best = max((row for row in rows if row.name.startswith("gankit")), key=lambda row: row.ratio)
        for row in rows:
            judged = scale.full and row is best and target is not None
            used = f"{row.peak_bytes / 2**20:,.0f} MiB, {row.of_matmul:.0%} of the matrix rate"
            yield Figure(
                f"{game}, {precision}, {row.name}",
                row.ratio,
                f"times plain, {row.images_per_s:,.0f} images/s",
                (min(row.ratios), max(row.ratios)),
                f">= {target:g}" if judged else "",
                row.ratio >= target if judged and target is not None else None,
                f"{1e3 * row.step_s:.2f} ms a step, {used}",
            )


def recipes(scale: Scale) -> Iterator[Figure]:
    """Published configurations on images of noise: images/s, share of a step outside kernels, memory."""
    small, large = noise(scale, 32, scale.of(5_000, 64)), noise(scale, 128, scale.of(2_000, 8))
    cases: list[tuple[str, dict[str, Any], float | None, float]] = [
        (
            "r3gan-cifar10, width 768",
            {"recipe": "r3gan-cifar10", "data": str(small), "conditional": False},
            R3GAN_L40,
            5,
        ),
        ("r3gan-cifar10-mini", {"recipe": "r3gan-cifar10-mini", "data": str(small), "conditional": False}, None, 0),
        (
            "stylegan2, 128x128",
            {"variant": "stylegan2", "data": str(large), "batch": 32, "options": {"networks": "paper"}},
            STYLEGAN2_A100,
            1,
        ),
        ("gan on digits, graphs", {"variant": "gan", "data": "digits", "graphs": "auto"}, None, 0),
    ]
    for name, settings, published, times in scale.of(cases, cases[:1]):
        if not scale.full:
            settings |= {"batch": 4, "options": {"width": 16}}
        try:
            found = measured(scale, settings)
        except GankitError as error:
            yield Figure(name, "not here", note=f"{error.message}; {error.hint}")
            continue
        target = f">= {times * published:g}, {times:g} times the published {published:g}" if published else ""
        judged = scale.full and published is not None
        used = f"{found.peak_bytes / 2**30:.1f} GiB, {found.of_matmul:.0%} of the matrix rate"
        note = f"{found.precision}, batch {found.batch}, {used}"
        low_high = found.images_per_s_range
        met = found.images_per_s >= times * published if judged and published is not None else None
        yield Figure(name, found.images_per_s, "images/s", low_high, target, met, note)
        few = found.outside < 0.05 if scale.full else None
        yield Figure(f"{name}, outside kernels", found.outside, "of a step", target="< 0.05", ok=few)


def measured(scale: Scale, settings: dict[str, Any]) -> Benchmark:
    """`gankit bench` of some settings."""
    return bench([Layer("gpu", {"device": str(scale.device), **settings})], steps=scale.of(5, 1))


def noise(scale: Scale, side: int, count: int) -> Path:
    """A file of `count` RGB images of noise."""
    path = scale.folder / f"noise-{side}.npy"
    images = open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
    images[:] = torch.randint(0, 256, images.shape, dtype=torch.uint8).numpy()
    images.flush()
    return path
