"""What the user chooses of a data set in memory: channels by number, clips of signals; then size and colours."""

from __future__ import annotations

from dataclasses import replace

import torch

from gankit.base.text import plural, printable
from gankit.data.dataset import Dataset
from gankit.data.formats.resize import dataset_rows
from gankit.data.formats.rows import load_rows
from gankit.data.preparation import Preparation
from gankit.errors import InputError


def prepared(dataset: Dataset, how: Preparation) -> Dataset:
    """The data set as the user wants it; InputError for what its kind of samples does not have."""
    dataset = selected(dataset, how)
    if (how.size, how.value_range, how.channels, how.background) == (None, None, None, None):
        return dataset
    rows = dataset_rows(dataset, how)
    if rows.shape == dataset.spec.shape and rows.levels.unchanged:
        return dataset if how.background is None else rows.dataset(dataset.samples, {})
    return load_rows(rows)


def selected(dataset: Dataset, how: Preparation) -> Dataset:
    """The chosen channels and clips of a data set, without the rest of its preparation."""
    if how.kind is not None and how.kind != dataset.spec.kind:
        raise InputError(
            f"'{printable(dataset.name)}' holds {dataset.spec.kind}, not {how.kind}", hint="leave --kind out"
        )
    if how.bands is not None:
        dataset = _with_channels(dataset, how.bands)
    if how.length is not None:
        dataset = _clips(dataset, how.length)
    return dataset


def _with_channels(dataset: Dataset, numbers: tuple[int, ...]) -> Dataset:
    kind, channels = dataset.spec.kind, dataset.spec.shape[0]
    if kind == "points":
        raise InputError(
            f"'{printable(dataset.name)}' holds points, which have no channels", hint="leave --channels out"
        )
    missing = [number for number in numbers if number >= channels]
    if missing:
        raise InputError(
            f"'{printable(dataset.name)}' has {plural(channels, 'channel')}, not number {missing[0]}",
            hint=f"--channels takes numbers 0 to {channels - 1}",
        )
    if numbers == tuple(range(channels)):
        return dataset
    samples = dataset.samples[:, list(numbers)].contiguous()
    note = f"channels {','.join(map(str, numbers))} of {channels}"
    spec = replace(dataset.spec, shape=tuple(samples.shape[1:]))
    return replace(dataset, samples=samples, spec=spec, notes=(*dataset.notes, note))


def _clips(dataset: Dataset, length: int) -> Dataset:
    """Signals cut into clips, one after the other; each has the label of its signal."""
    if dataset.spec.kind != "signals":
        raise InputError(
            f"'{printable(dataset.name)}' holds {dataset.spec.kind}, which have no length", hint="leave --length out"
        )
    channels, steps = dataset.spec.shape
    count = steps // length
    if count == 0:
        raise InputError(
            f"'{printable(dataset.name)}': its signals have {steps:,} steps, fewer than {length:,}",
            hint=f"--length {steps}",
        )
    if steps == length:
        return dataset
    used = dataset.samples[:, :, : count * length].reshape(len(dataset), channels, count, length)
    samples = used.transpose(1, 2).reshape(-1, channels, length).contiguous()
    rest = f"; {steps - count * length:,} at the end not used" if steps % length else ""
    note = f"signals of {steps:,} steps cut into clips of {length:,}{rest}"
    labels, conditions = (
        None if tensor is None else torch.repeat_interleave(tensor, count, dim=0)
        for tensor in (dataset.labels, dataset.conditions)
    )
    return replace(
        dataset,
        samples=samples,
        spec=replace(dataset.spec, shape=(channels, length)),
        labels=labels,
        conditions=conditions,
        notes=(*dataset.notes, note),
    )
