"""Kinds of data: what a sample is, in one object for each kind, found by the shape of a sample."""

from __future__ import annotations

from gankit.modality.images import Images
from gankit.modality.modality import Modality
from gankit.modality.points import Points
from gankit.modality.signals import Signals
from gankit.modality.volumes import Volumes

MODALITIES: tuple[Modality, ...] = (Points(), Signals(), Images(), Volumes())
BY_NAME = {modality.name: modality for modality in MODALITIES}
_BY_RANK = {modality.rank: modality for modality in MODALITIES}


def modality_of(shape: tuple[int, ...]) -> Modality:
    """The kind of samples of a shape: (D,) points, (C, T) signals, (C, H, W) images, (C, D, H, W) volumes."""
    return _BY_RANK[len(shape)]


__all__ = ["BY_NAME", "MODALITIES", "Images", "Modality", "Points", "Signals", "Volumes", "modality_of"]
