"""Preparation of images for networks that were trained on colour photographs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gankit.base.text import printable
from gankit.data import Dataset
from gankit.data.formats.colour import MODES, on_background
from gankit.errors import InputError

CHUNK = 50  # images in a network at a time: at 299x299, one activation of 250 of them takes 1.4 GB
_COLOURS = {1: "grey repeated", 4: "alpha on white"}


def require_images(data: Dataset, space: str) -> None:
    """InputError when the data are no images, or have channels that are no colours."""
    if data.spec.is_image and data.spec.shape[0] in MODES:
        return
    kind = f"images of {data.spec.shape[0]} channels" if data.spec.is_image else data.spec.kind
    other = "points" if kind == "points" else "statistics"
    raise InputError(
        f"features '{space}' need grey or colour images; '{printable(data.name)}' holds {kind}",
        hint=f"use --features {other}",
    )


def colour_protocol(data: Dataset) -> dict[str, str]:
    """The conversion by `as_rgb` as a part of a protocol; empty for RGB."""
    note = _COLOURS.get(data.spec.shape[0])
    return {} if note is None else {"colour": note}


def as_rgb(images: Tensor) -> Tensor:
    """uint8 [N, 1 or 3 or 4, H, W] -> uint8 [N, 3, H, W]: grey is repeated, RGBA composed with white."""
    channels = images.shape[1]
    if channels == 1:
        return images.expand(-1, 3, -1, -1)
    if channels == 4:
        return on_background(images)
    return images


def in_chunks(network: Callable[[Tensor], tuple[Tensor, Tensor]], images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits of a batch of any length."""
    pairs = [network(part) for part in torch.split(images, CHUNK)]
    return torch.cat([features for features, _ in pairs]), torch.cat([logits for _, logits in pairs])
