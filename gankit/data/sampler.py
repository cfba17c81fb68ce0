"""Endless seeded batches as a pure function of (seed, step): a resume needs only the number of the step."""

from __future__ import annotations

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.contracts import Batch
from gankit.data.dataset import Dataset
from gankit.data.prefetch import Prefetch
from gankit.errors import InputError
from gankit.game.conditions import one_hot
from gankit.machine import streams

MAX_SHARE_OF_FREE_MEMORY = 0.5  # share of a GPU's free memory that the samples may take


class Sampler:
    """Batches of real samples. Every sample is shown once per epoch, and a batch may cross the end of an epoch.

    With `fresh_reals` each batch has another one in `fresh`: samples in an order of their own, which takes nothing from
    the first, and of which every one comes once per epoch too. With `mirror` each image is mirrored from left to right
    with probability 1/2 whenever it is drawn.

    With `resident` all samples are on the device: the default on a CPU, where those of a packed file stay in its memory
    map, and on a GPU if they take at most half of its free memory. Otherwise they are gathered one batch ahead (see
    `Prefetch`). The batches are the same.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        conditional: bool = False,
        share: slice = slice(None),
        resident: bool | None = None,
        fresh_reals: bool = False,
        mirror: bool = False,
    ) -> None:
        if batch < 1:
            raise InputError(f"a batch of {batch} samples cannot be drawn", hint="use a batch of 1 or more")
        if mirror and not dataset.spec.is_image:
            raise InputError(f"--mirror is for images, and the data are {dataset.modality.name}", hint="leave it out")
        self._mirror = mirror
        resident = fits(dataset.samples, device) if resident is None else resident
        # Images stay bytes on the device, which takes a quarter of the memory; converting a batch is cheap.
        self._samples = dataset.samples.to(device) if resident else dataset.samples
        self._labels = None if dataset.labels is None else dataset.labels.to(device)
        self._conditions = None if dataset.conditions is None else dataset.conditions.to(device)
        self._conditional = conditional
        self._classes = len(dataset.spec.classes)
        self._modality = dataset.modality
        self._device = device
        # `share` is the part of each batch that this process draws.
        self._streams = [
            _Stream(name, seed, self._samples, batch, share, None if resident else device)
            for name in ("data", "fresh data")[: 1 + fresh_reals]
        ]

    def batch(self, step: int) -> Batch:
        """Batch number `step` (from 0): real samples [N, *shape] float32, images in [-1, 1], labels and conditions.

        In a conditional run y [N, K] holds the condition vectors, or else the labels as one-hot rows.
        """
        first, *others = (self._draw(stream, step) for stream in self._streams)
        first.fresh = others[0] if others else None
        return first

    def close(self) -> None:
        """End the threads that gather batches, if there are any."""
        for stream in self._streams:
            stream.close()

    def _draw(self, stream: _Stream, step: int) -> Batch:
        indices, rows = stream.rows(step)
        indices = indices.to(self._device, non_blocking=True)
        rows = stream.mirrored(step, rows) if self._mirror else rows
        labels = None if self._labels is None else self._labels.index_select(0, indices)
        return Batch(self._modality.floats(rows), labels=labels, condition=self._condition(indices, labels))

    def _condition(self, indices: Tensor, labels: Tensor | None) -> Tensor | None:
        if not self._conditional:
            return None
        if self._conditions is not None:
            return self._conditions.index_select(0, indices)
        assert labels is not None
        return one_hot(labels, self._classes)


class _Stream:
    """An endless order of the samples, a new permutation in each epoch; its name is part of the seed."""

    def __init__(
        self, name: str, seed: int, samples: Tensor, batch: int, share: slice, ahead_for: torch.device | None
    ) -> None:
        """`ahead_for` is the device for which rows are gathered one batch ahead; None: the samples are there."""
        self._name, self._seed, self._samples = name, seed, samples
        self._batch, self._share = batch, share
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        rows = len(range(batch)[share])
        self._prefetch = None if ahead_for is None else Prefetch(samples, ahead_for, rows, self._indices)

    def rows(self, step: int) -> tuple[Tensor, Tensor]:
        """The indices [N] of the samples of batch `step`, and these samples [N, *shape] on the device."""
        if self._prefetch is not None:
            return self._prefetch.batch(step)
        indices = self._indices(step)
        return indices, self._samples.index_select(0, indices)

    def mirrored(self, step: int, rows: Tensor) -> Tensor:
        """The samples [N, C, H, W] of batch `step`, each from left to right with probability 1/2."""
        generator = streams.generator(derive_seed(self._seed, self._name, "mirror", step))
        chosen = torch.rand(self._batch, generator=generator)[self._share] < 0.5
        return torch.where(chosen.to(rows.device, non_blocking=True)[:, None, None, None], rows.flip(3), rows)

    def close(self) -> None:
        """End the thread that gathers batches, if there is one."""
        if self._prefetch is not None:
            self._prefetch.close()

    def _indices(self, step: int) -> Tensor:
        """The indices [N] of the samples of batch `step`, on the device of the samples."""
        position, end = step * self._batch, (step + 1) * self._batch
        pieces = []
        while position < end:
            epoch, start = divmod(position, len(self._samples))
            stop = min(len(self._samples), start + end - position)
            pieces.append(self._order_of(epoch)[start:stop])
            position += stop - start
        return (pieces[0] if len(pieces) == 1 else torch.cat(pieces))[self._share]

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = streams.generator(derive_seed(self._seed, self._name, epoch))
            # Drawn on the CPU, so that the order does not depend on the device, and copied once per epoch.
            order = torch.randperm(len(self._samples), generator=generator)
            self._order, self._epoch = order.to(self._samples.device, non_blocking=True), epoch
        return self._order


def fits(samples: Tensor, device: torch.device) -> bool:
    """Whether samples on the CPU should all be copied to the device; True on a CPU, where nothing is copied."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return samples.numel() * samples.element_size() <= MAX_SHARE_OF_FREE_MEMORY * free
