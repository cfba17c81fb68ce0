"""StackedMNIST: three digits as the channels of one image, whose 1,000 modes can be counted."""

from __future__ import annotations

import math

import numpy as np
import torch

from gankit.contracts import DataSpec
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.limits import allocate

CHANNELS = 3
LABELS = 10**CHANNELS
SET_SIZE = 50_000  # 118 MB; the 128,000 images of PacGAN's code would take 301 MB
_SEED = 20161107  # the date of "Unrolled GANs", which introduced the set; any fixed number would do


def stackedmnist(digits: Dataset) -> Dataset:
    """50,000 RGB images [3, 28, 28] of three random digits each, labels '000' to '999' (Metz et al. 2017, section 3.3).

    Red has the first digit of the label, blue the last. Each label has 50 images, and a digit is drawn with replacement
    from those of its class, so that the true distribution over the labels is uniform. PacGAN's code makes 128,000
    images.
    """
    labels = np.arange(SET_SIZE) % LABELS
    # RandomState, because NumPy guarantees that its numbers never change.
    rows = choose_digits(digits, labels, np.random.RandomState(_SEED))
    side = digits.spec.shape[1:]
    images = allocate(SET_SIZE * CHANNELS * math.prod(side), "stackedmnist").reshape(SET_SIZE, CHANNELS, *side)
    np.take(digits.samples[:, 0].numpy(), rows, axis=0, out=images, mode="clip")  # 'raise' would copy all of it
    return Dataset(
        name="stackedmnist",
        spec=DataSpec(shape=(CHANNELS, *side), classes=tuple(f"{label:03d}" for label in range(LABELS))),
        samples=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        notes=(f"three of the {len(digits):,} embedded digits in each image",),
    )


def choose_digits(digits: Dataset, labels: Array, stream: np.random.RandomState) -> Array:
    """Labels [N] in 0..999 -> rows [N, 3] of random digits of the classes that the label spells."""
    assert digits.labels is not None
    of_class = digits.labels.numpy()
    by_class, counts = np.argsort(of_class, kind="stable"), np.bincount(of_class, minlength=10)
    classes = np.stack([labels // 100, labels // 10 % 10, labels % 10], axis=1)
    place = (stream.random_sample(classes.shape) * counts[classes]).astype(np.int64)
    rows: Array = by_class[(np.cumsum(counts) - counts)[classes] + place]
    return rows
