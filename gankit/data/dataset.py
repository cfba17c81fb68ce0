"""A data set: one tensor of samples from any source, in memory or in the memory map of a packed file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gankit.base.text import plural, printable
from gankit.contracts import Attribute, DataSpec, Kind
from gankit.data.formats import Array
from gankit.data.formats.layout import as_conditions, as_labels, as_samples
from gankit.errors import InputError
from gankit.modality import Modality, modality_of

_LISTED_CLASSES = 5
_BLOCK_BYTES = 8 << 20  # fixed by the format of packed files


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples on the CPU, as their kind stores them (see `Modality`), and labels int64 [N] or None.

    uint8 images [N, C, H, W], uint8 volumes [N, C, D, H, W], float32 signals [N, C, T] in [-1, 1], float32 points [N,
    D].

    Samples must not be written to: those of a packed file are mapped read-only, and a write would end the process.
    """

    name: str
    """The name in runs and messages."""
    spec: DataSpec
    """Shape of a sample and names of the classes."""
    samples: Tensor
    """[N, *shape], uint8 or float32."""
    labels: Tensor | None = None
    """int64 [N], each below the number of classes."""
    notes: tuple[str, ...] = ()
    """What was inferred from the source, for the user."""
    conditions: Tensor | None = None
    """Condition vectors y float32 [N, K], named by `spec.attributes`; None: a conditional run uses the labels."""
    levels: tuple[float, float] | None = (0, 255)
    """The values of the source that became 0 and 255 in images; None where files of several kinds have several."""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise InputError(f"data set '{printable(self.name)}': {problem}", hint="see Dataset.from_arrays")

    @classmethod
    def from_arrays(
        cls,
        name: str,
        samples: Array,
        labels: Array | None = None,
        classes: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
        conditions: Array | None = None,
        *,
        attributes: tuple[Attribute, ...] = (),
        value_range: tuple[float, float] | None = None,
        kind: Kind | None = None,
        rate: int = 0,
        copy: bool = True,
    ) -> Dataset:
        """Arrays in any accepted layout and range (see `layout`) -> a data set.

        `attributes` name the numbers of the condition vectors.

        `value_range` are the values of black and white, or those that become -1 and 1 in signals; None: what the values
        say (see `levels`). `kind` is what a sample is; None: what the shape says. `rate` is the number of steps of a
        signal in a second.

        With copy=False the data set shares the memory of the arrays where possible; the caller must not write to them.
        """
        if copy:
            samples = np.array(samples)
            labels, conditions = (None if array is None else np.array(array) for array in (labels, conditions))
        what = f"data set '{printable(name)}'"
        read = as_samples(samples, what, value_range, kind)
        count = len(read.samples)
        numbers = None
        if labels is not None:
            numbers, classes = as_labels(labels, count, classes, what)
        return cls(
            name=name,
            spec=DataSpec(
                shape=read.samples.shape[1:],
                classes=classes if labels is not None else (),
                attributes=tuple(attributes),
                units=read.units,
                rate=rate,
            ),
            samples=torch.from_numpy(read.samples),
            labels=None if numbers is None else torch.from_numpy(numbers),
            notes=(*notes, *read.notes),
            conditions=None if conditions is None else torch.from_numpy(as_conditions(conditions, count, what)),
            levels=read.levels,
        )

    def __len__(self) -> int:
        return len(self.samples)

    def real(self, indices: Tensor) -> Tensor:
        """Samples [n, *shape] at int64 indices [n] as the networks take them: float32, all but points in [-1, 1]."""
        return self.modality.floats(self.samples.index_select(0, indices))

    @property
    def modality(self) -> Modality:
        """What its samples are."""
        return modality_of(self.spec.shape)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) of everything that training uses: shape, type, samples, labels, class names, conditions.

        The names of the numbers of conditions are part of it.
        """
        return content_digest(self)

    def describe(self) -> str:
        """At most two lines for the user: the content, and what was inferred."""
        text = f"{plural(len(self), self.modality.one)}, {self.modality.describe(self.spec)}"
        vectors = "" if self.conditions is None else f", condition vectors of length {self.conditions.shape[1]:,}"
        vectors = f", {plural(len(self.spec.attributes), 'attribute')}" if self.spec.attributes else vectors
        first = f"{printable(self.name)}: {text}{self._describe_classes()}{vectors}"
        return f"{first}\n{printable('; '.join(self.notes))}" if self.notes else first

    def _describe_classes(self) -> str:
        if self.labels is None:
            return ""
        names = self.spec.classes
        counts = torch.bincount(self.labels, minlength=len(names)).tolist()
        word = "1 class" if len(names) == 1 else f"{len(names):,} classes"
        if len(names) > _LISTED_CLASSES:
            low, high = min(counts), max(counts)
            return f", {word} of {low:,}" + (f" to {high:,}" if high > low else "")
        listed = " · ".join(f"{printable(name)} {count:,}" for name, count in zip(names, counts, strict=True))
        return f", {word} ({listed})"

    def _problem(self) -> str | None:
        shape, samples, labels = self.spec.shape, self.samples, self.labels
        if not 1 <= len(shape) <= 4:
            return f"shape {shape} is none of (C, H, W) images, (D,) points, (C, T) signals, (C, D, H, W) volumes"
        problem, dtype = self.modality.problem(shape), self.modality.dtype
        if problem is not None:
            return f"shape {shape}: {problem}"
        if len(samples) == 0 or tuple(samples.shape[1:]) != tuple(shape) or samples.dtype != dtype:
            return f"samples must be {dtype} [N, *{shape}], not {samples.dtype} {list(samples.shape)}"
        if samples.device.type != "cpu" or not samples.is_contiguous():
            return "samples must be contiguous and on the CPU"
        if self.conditions is not None and (
            self.conditions.dtype != torch.float32
            or self.conditions.ndim != 2
            or self.conditions.shape[0] != len(samples)
            or not self.conditions.is_contiguous()
        ):
            return f"conditions must be contiguous float32 [{len(samples)}, K], not {list(self.conditions.shape)}"
        if self.spec.attributes and (self.conditions is None or len(self.spec.attributes) != self.conditions.shape[1]):
            return (
                f"{len(self.spec.attributes):,} attributes are named, and there are not as many numbers in conditions"
            )
        if labels is None:
            return "there are class names but no labels" if self.spec.classes else None
        if labels.dtype != torch.int64 or labels.shape != samples.shape[:1] or labels.device.type != "cpu":
            return f"labels must be int64 [{len(samples)}] on the CPU, not {labels.dtype} {list(labels.shape)}"
        if not labels.is_contiguous():
            return "labels must be contiguous"
        if int(labels.min()) < 0 or int(labels.max()) >= len(self.spec.classes):
            return f"labels must lie in 0..{len(self.spec.classes) - 1}, one name per class"
        return None


def blocks(samples: Tensor) -> tuple[Tensor, ...]:
    """Views of samples [N, *shape] in parts of at most 8 MiB, or of one larger sample."""
    return torch.split(samples, max(1, _BLOCK_BYTES // (samples[0].numel() * samples.element_size())))


def content_digest(dataset: Dataset, visit: Callable[[memoryview], None] | None = None) -> str:
    """`Dataset.fingerprint`, computed from the content; `visit` is called with the bytes of each of the `blocks`."""
    head = [list(dataset.samples.shape), str(dataset.samples.dtype), dataset.labels is not None]
    head += [list(dataset.spec.classes)]
    head += [] if dataset.spec.units == (-1, 1) else [list(dataset.spec.units)]
    head += [] if dataset.spec.rate == 0 else [dataset.spec.rate]
    head += [] if dataset.conditions is None else [list(dataset.conditions.shape)]
    head += [[asdict(attribute) for attribute in dataset.spec.attributes]] if dataset.spec.attributes else []
    digest = hashlib.sha256(json.dumps(head).encode() + b"\n")
    for block in blocks(dataset.samples):
        data = as_bytes(block)
        digest.update(data)
        if visit is not None:
            visit(data)
    for tensor in (dataset.labels, dataset.conditions):
        if tensor is not None:
            digest.update(as_bytes(tensor))
    return digest.hexdigest()


def as_bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.numpy().data.cast("B")


DatasetFactory = Callable[[], Dataset]
"""Makes a named data set of `gankit_datasets`; called only if that name is chosen."""


@dataclass(frozen=True)
class Splits:
    """A data set factory with further splits: a call returns the training set, `splits` has the others by name.

    Any factory with such an attribute `splits` works.
    """

    train: DatasetFactory
    """Makes the training set."""
    splits: Mapping[str, DatasetFactory]
    """Name of a split ('test') -> its factory."""

    def __call__(self) -> Dataset:
        """The training set."""
        return self.train()


def spaced(count: int, most: int) -> Tensor:
    """At most `most` of the indices 0..count-1 at equal distances, int64: all classes of a sorted set."""
    n = min(count, most)
    return torch.arange(n) * (count - 1) // max(1, n - 1)
