"""Scores sets of samples against real data: features are extracted once and shared by all metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gankit.cache import cached_file
from gankit.data import Dataset
from gankit.errors import DivergedError, InputError, PluginError
from gankit.features import FeatureSpace
from gankit.metrics import MetricFactory, View, reads
from gankit.metrics.duplicates import as_pixels
from gankit.scores import Protocol, Score
from gankit.storage import canonical_json, pack_tensors, sha256, tensors_digest, unpack_tensors
from gankit.streams import derive_seed

log = logging.getLogger("gankit")

Progress = Callable[[str, int, int], None]
# (start, stop) -> samples of these numbers: uint8 images [n, C, H, W] or float32 points [n, D], on the CPU.
Source = Callable[[int, int], Tensor]

BATCH = 250  # samples at a time. The same cut everywhere: a sum of floats depends on its shape.
MINIMUM = 50  # samples or real images below which no score means anything
MOST = 10_000  # samples by default
TELL_AFTER_S = 10.0  # a longer extraction is announced


@dataclass(frozen=True)
class Views:
    """What metrics read: features [n, dim], class logits [n, K] (None: the space has none), pixels [n, P] of images."""

    features: Tensor
    logits: Tensor | None
    pixels: Tensor | None

    def tensors(self) -> dict[str, Tensor]:
        """What the network computed, by name."""
        return {"features": self.features} | ({} if self.logits is None else {"logits": self.logits})

    def __getitem__(self, rows: slice) -> Views:
        cut = [None if view is None else view[rows] for view in (self.features, self.logits, self.pixels)]
        assert cut[0] is not None
        return Views(cut[0], cut[1], cut[2])


class Evaluator:
    """Real data, a feature space and metrics, ready to score any number of sets of samples.

    The real data is cut at random (by the seed) into a reference and other real images, which stand for a perfect
    generator: their score is the floor. Near-duplicates are looked for among all images of `train`.
    """

    def __init__(
        self,
        real: Dataset,
        train: Dataset,
        space: FeatureSpace,
        metrics: Mapping[str, MetricFactory],
        *,
        n: int | None = None,
        n_real: int | None = None,
        split: str = "train",
        seed: int = 0,
        device: torch.device | None = None,
        progress: Progress | None = None,
    ) -> None:
        half = len(real) // 2
        self.n = n or min(MOST, half)
        self.n_real = n_real or min(self.n, half)
        self.n_floor = max(0, min(self.n, len(real) - self.n_real))  # 0: everything is in the reference
        least = min(self.n, self.n_real, self.n_floor or MINIMUM)
        if least < MINIMUM or self.n_real > len(real):
            raise InputError(
                f"{self.n:,} samples against {self.n_real:,} real ones, {self.n_floor:,} others for the floor: too few",
                hint=f"each must be {MINIMUM} or more; '{real.name}' has {len(real):,}",
            )
        self.real, self.train, self.space, self.split, self.seed = real, train, space, split, seed
        self.device = device or torch.device("cpu")
        self.progress = progress or _silent
        self.space.to(self.device)
        self.metrics = self._usable(metrics)
        if min(self.n, self.n_real) <= space.dim and "fid" in self.metrics:
            log.warning(
                "%s samples in %s dimensions: FID is mostly bias, compare it with its floor and read KID",
                f"{min(self.n, self.n_real):,}", f"{space.dim:,}",
            )  # fmt: skip

    @cached_property
    def protocol(self) -> Protocol:
        """What decides the scores besides the samples."""
        built = {name: factory(self.space) for name, factory in self.metrics.items()}
        return Protocol(
            data_fingerprint=self.real.fingerprint,
            split=self.split,
            shape=self.real.spec.shape,
            features=self.space.name,
            features_sha256=self.space.sha256,
            preparation=self.space.protocol,
            quantisation="uint8" if self.real.spec.is_image else "float32",
            n=self.n,
            n_real=self.n_real,
            n_floor=self.n_floor,
            n_train=len(self.train) if self.real.spec.is_image else 0,
            seed=self.seed,
            metrics={name: dict(getattr(metric, "protocol", {})) for name, metric in built.items()},
        )

    def score(self, source: Source) -> dict[str, Score]:
        """Scores of `n` samples; DivergedError when they are not finite or all the same in this space."""
        samples = self._extract(source, self.n, "features of the samples")
        check(samples.features, "the samples")
        results = self._compute(samples, self._train_pixels)
        scores = {}
        for name, (value, spread, metric, better) in results.items():
            floor, floor_spread = self.floor.get(name, (None, None))
            scores[name] = Score(value, floor, floor_spread, spread, metric, better)
        return scores

    def estimate(self, source: Source) -> float:
        """Seconds that a call of `score` will take, from one batch and the scores of the floor."""
        started = time.monotonic()
        self._extract(source, BATCH, "")
        per_sample = (time.monotonic() - started) / BATCH
        started = time.monotonic()
        self._compute(self._real_views[-self.n_floor :], self._train_pixels)
        return per_sample * self.n + (time.monotonic() - started)

    @cached_property
    def floor(self) -> dict[str, tuple[float, float | None]]:
        """Value and spread of each score for real images that are not in the reference; nothing when there are none."""
        if not self.n_floor:
            return {}
        pixels = self._train_pixels
        if pixels is not None and self.split == "train":  # an image is its own duplicate: leave those out
            kept = torch.ones(len(pixels), dtype=torch.bool)
            kept[self._others] = False
            pixels = pixels[kept]
        results = self._compute(self._real_views[self.n_real :], pixels)
        return {name: (value, spread) for name, (value, spread, _, _) in results.items()}

    # -- the real side -------------------------------------------------------------------------------------------------

    @cached_property
    def _order(self) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "reference"))
        return torch.randperm(len(self.real), generator=generator)

    @property
    def _others(self) -> Tensor:
        return self._order[self.n_real : self.n_real + self.n_floor]

    @cached_property
    def _real_views(self) -> Views:
        """The reference, then the others; features are kept in the cache by the fingerprint of the data."""
        space, chosen = self.space, self._order[: self.n_real + self.n_floor]
        key = sha256(
            canonical_json(
                [space.protocol, space.name, space.sha256, self.real.fingerprint, chosen.tolist(), BATCH]
            ).encode()
        )

        def source(start: int, stop: int) -> Tensor:
            return self.real.samples[chosen[start:stop]]

        def make() -> bytes:
            views = self._extract(source, len(chosen), "features of the real data", pixels=False)
            tensors = views.tensors()
            return pack_tensors(tensors, canonical_json({"key": key, "digest": tensors_digest(tensors)}))

        def read(path: Path) -> dict[str, Tensor]:
            tensors, found = unpack_tensors(path.read_bytes(), path)
            if found != canonical_json({"key": key, "digest": tensors_digest(tensors)}):
                raise InputError(f"{path} is damaged")
            return tensors

        if dist_size() > 1:  # every process must take part in the extraction, or none
            views = self._extract(source, len(chosen), "features of the real data", pixels=False)
            tensors = views.tensors()
        else:
            tensors = cached_file(f"features-{key[:24]}.safetensors", make=make, read=read)
        check(tensors["features"], f"data set '{self.real.name}'")
        pixels = as_pixels(self.real.samples[chosen]) if self.real.spec.is_image else None
        return Views(tensors["features"], tensors.get("logits"), pixels)

    @cached_property
    def _train_pixels(self) -> Tensor | None:
        if not self.train.spec.is_image:
            return None
        return torch.cat([as_pixels(part) for part in torch.split(self.train.samples, 4 * BATCH)])

    # -- both sides ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _extract(self, source: Source, n: int, what: str, *, pixels: bool = True) -> Views:
        """Views of samples 0…n-1. Processes of a group share the batches; each of them gets all rows."""
        rank, size = (dist.get_rank(), dist.get_world_size()) if dist_size() > 1 else (0, 1)
        parts: dict[View, Tensor | None] = {"features": None, "logits": None, "pixels": None}
        starts = list(range(0, n, BATCH))
        mine = starts[rank::size]
        begun = time.monotonic()
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for number, start in enumerate(mine or starts[:1]):  # a process without work still needs to know the widths
                stop = min(n, start + BATCH)
                samples = source(start, stop)
                features, logits = self.space(samples.to(self.device))
                small = as_pixels(samples) if pixels and self.real.spec.is_image else None
                for name, values in (("features", features), ("logits", logits), ("pixels", small)):
                    if values is not None:
                        _fill(parts, name, values.cpu() if mine else torch.zeros_like(values.cpu()), start, n)
                self.progress(what, stop, n)
                estimate = (time.monotonic() - begun) / (number + 1) * len(mine)
                if number == 1 and estimate > TELL_AFTER_S:
                    log.info("%s: about %.0f s for %s in '%s'", what, estimate, f"{n:,}", self.space.name)
        views = [None if part is None else _gathered(part, size) for part in parts.values()]
        assert views[0] is not None
        if views[0].shape != (n, self.space.dim):
            raise PluginError(
                f"features '{self.space.name}' have the shape {list(views[0].shape)}, not {[n, self.space.dim]}"
            )
        return Views(views[0], views[1], views[2])

    def _compute(
        self, samples: Views, train_pixels: Tensor | None
    ) -> dict[str, tuple[float, float | None, str, bool | None]]:
        """Every metric of the samples against the reference: value, spread, metric, whether higher is better."""
        results: dict[str, tuple[float, float | None, str, bool | None]] = {}
        reference = self._real_views[: self.n_real]
        for number, (name, factory) in enumerate(self.metrics.items()):
            self.progress("computing the scores", number, len(self.metrics))
            metric = factory(self.space)
            metric.distributed_available_fn = lambda: False  # every process has all rows already
            view = reads(metric)
            for values, real in ((train_pixels if view == "pixels" else getattr(reference, view), True),
                                 (getattr(samples, view), False)):  # fmt: skip
                metric.update(values, real=real)
            for score, (value, spread) in _named(name, metric.compute()).items():
                results[score] = (value, spread, name, metric.higher_is_better)
        self.progress("computing the scores", len(self.metrics), len(self.metrics))
        return results

    def _usable(self, metrics: Mapping[str, MetricFactory]) -> dict[str, MetricFactory]:
        """The metrics whose view exists here."""
        missing = set() if self.real.spec.is_image else {"pixels"}
        probe = self.space(self.real.samples[:2].to(self.device))[1]
        missing |= {"logits"} if probe is None else set()
        return {name: factory for name, factory in metrics.items() if reads(factory(self.space)) not in missing}


def select_metrics(catalogue: Mapping[str, MetricFactory], names: Sequence[str] | None) -> dict[str, MetricFactory]:
    """The metrics asked for, all by default; InputError for an unknown name."""
    from gankit.text import did_you_mean

    for name in names or ():
        if name not in catalogue:
            hint = f"{did_you_mean(name, catalogue)}known are {', '.join(catalogue)}"
            raise InputError(f"unknown metric '{name}'", hint=hint)
    return {name: factory for name, factory in catalogue.items() if names is None or name in names}


def check(features: Tensor, what: str) -> None:
    """Never hand torchmetrics what is not finite: with one NaN its FID crashes the process instead of raising."""
    bad = int((~torch.isfinite(features).all(dim=1)).sum())
    if bad:
        raise DivergedError(
            f"{what}: {bad:,} of {len(features):,} are not finite in the feature space",
            hint="the generator has diverged: evaluate an earlier checkpoint",
        )
    if bool((features == features[0]).all()):
        raise DivergedError(
            f"{what}: all {len(features):,} are the same in the feature space",
            hint="the generator has collapsed to one picture: evaluate an earlier checkpoint",
        )


def _silent(what: str, done: int, total: int) -> None:
    """No progress is shown."""


def dist_size() -> int:
    """Processes that evaluate together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _fill(parts: dict[View, Tensor | None], name: Any, values: Tensor, start: int, n: int) -> None:
    part = parts[name]
    if part is None:
        part = parts[name] = torch.zeros(n, values.shape[1], dtype=values.dtype)
    part[start : start + len(values)] = values


def _gathered(rows: Tensor, size: int) -> Tensor:
    """The rows of all processes: each has zeros where others worked, and x + 0 is exact."""
    if size > 1:
        device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
        moved = rows.to(device)
        dist.all_reduce(moved)
        return moved.cpu()
    return rows


def _named(name: str, result: Any) -> dict[str, tuple[float, float | None]]:
    """What a metric computed -> name -> (value, spread)."""
    results = result if isinstance(result, Mapping) else {name: result}
    named = {}
    for key, value in results.items():
        pair = value if isinstance(value, tuple) else (value, None)
        numbers = tuple(None if part is None else float(part) for part in pair)
        if len(numbers) != 2 or numbers[0] is None or not all(x is None or abs(x) < float("inf") for x in numbers):
            raise DivergedError(f"metric '{name}': {key} is {value}, not a finite number")
        named[str(key)] = (numbers[0], numbers[1])
    return named
