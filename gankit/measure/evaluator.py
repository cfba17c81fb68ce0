"""Scores sets of samples against real data: features are extracted once and shared by all metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gankit.base import progress
from gankit.base.cache import cached_file
from gankit.base.files import canonical_json, pack_tensors, sha256, tensors_digest, unpack_tensors
from gankit.base.seeds import derive_seed
from gankit.base.text import did_you_mean
from gankit.data import Dataset
from gankit.errors import DivergedError, InputError, PluginError
from gankit.machine import processes, streams
from gankit.measure.features import FeatureSpace
from gankit.measure.features.extract import EXTRACT_BATCH, Source, Views, extract, flaw, not_finite, pixels_of
from gankit.measure.features.space import known_to_the_critic
from gankit.measure.metrics import MetricFactory, reads
from gankit.measure.record import Protocol, Score

if TYPE_CHECKING:
    from gankit.measure.torchmetrics import Metric

log = logging.getLogger("gankit")
MIN_SAMPLES = 50  # scores of fewer samples or real images are meaningless
DEFAULT_SAMPLES = 10_000


class Evaluator:
    """Scores any number of sets of samples, with fixed real data, feature space and metrics.

    The real data is split at random (by the seed) into a reference and other real images, which represent a perfect
    generator: their score is the floor. Near-duplicates are searched among all images of `train`. Scores in one of the
    `critic_spaces`, on which the critic of the samples was built, are marked.
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
        critic_spaces: Sequence[str] = (),
    ) -> None:
        self.n, self.n_real = sizes(len(real), n, n_real)
        n_others = len(real) - self.n_real
        # A floor of far fewer images than samples would be worse than the score of a good generator.
        self.n_floor = min(self.n, n_others) if n_others >= max(MIN_SAMPLES, min(self.n, self.n_real) // 2) else 0
        if n_others and not self.n_floor:
            log.warning("no floor: only %s real ones are not in the reference", f"{n_others:,}")
        self.real, self.train, self.space, self.split, self.seed = real, train, space, split, seed
        self.device = device or torch.device("cpu")
        self.compute_s = 0.0  # seconds of the last computation of the metrics
        self.critic_space = space.feature_space in critic_spaces
        if self.critic_space:
            log.warning("%s", known_to_the_critic(space.name))
        self.space.to(self.device)
        self.metrics = self._usable(metrics)
        if min(self.n, self.n_real) <= space.dim and "fid" in self.metrics:
            log.warning(
                "%s samples in %s dimensions: FID is mostly bias, compare it with its floor and read KID",
                f"{min(self.n, self.n_real):,}", f"{space.dim:,}",
            )  # fmt: skip

    @cached_property
    def protocol(self) -> Protocol:
        """Everything that determines the scores besides the samples."""
        built = {name: _build(name, factory, self.space) for name, factory in self.metrics.items()}
        return Protocol(
            data_fingerprint=self.real.fingerprint,
            train_fingerprint=self.train.fingerprint,
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
            critic_space=self.critic_space,
        )

    def score(self, source: Source) -> dict[str, Score]:
        """Scores of `n` samples; DivergedError when they are not finite or all the same in this space."""
        _ = self._real_views  # first, so that a space that fails on real data is not blamed on the generator
        samples = self._extract(source, self.n, "features of the samples")
        self._check(samples)
        results = self._compute(samples, self._train_pixels)
        scores = {}
        for name, (value, spread, metric, better) in results.items():
            floor, floor_spread = self.floor.get(name, (None, None))
            scores[name] = Score(value, floor, floor_spread, spread, metric, better)
        return scores

    def estimate(self, source: Source) -> float:
        """Seconds that a call of `score` will take, from the times of one batch and of the floor."""
        _ = self.floor
        started = time.monotonic()
        self._extract(source, EXTRACT_BATCH, "")
        return (time.monotonic() - started) / EXTRACT_BATCH * self.n + self.compute_s

    @cached_property
    def floor(self) -> dict[str, tuple[float, float | None]]:
        """Value and spread of each score for real images outside the reference; empty without such images."""
        if not self.n_floor:
            return {}
        pixels = self._train_pixels
        if pixels is not None and self.split == "train":  # an image must not count as its own duplicate
            kept = torch.ones(len(pixels), dtype=torch.bool)
            kept[self._floor_indices] = False
            pixels = pixels[kept]
        results = self._compute(self._real_views[self.n_real :], pixels)
        return {name: (value, spread) for name, (value, spread, _, _) in results.items()}

    # -- the real side -------------------------------------------------------------------------------------------------

    @cached_property
    def _order(self) -> Tensor:
        generator = streams.generator(derive_seed(self.seed, "reference"))
        return torch.randperm(len(self.real), generator=generator)

    @property
    def _floor_indices(self) -> Tensor:
        return self._order[self.n_real : self.n_real + self.n_floor]

    @cached_property
    def _real_views(self) -> Views:
        """The reference, then the images of the floor; features are cached by the fingerprint of the data."""
        space, indices = self.space, self._order[: self.n_real + self.n_floor]
        key = sha256(
            canonical_json(
                [space.protocol, space.name, space.sha256, self.real.fingerprint, indices.tolist(), EXTRACT_BATCH]
            ).encode()
        )

        def source(start: int, stop: int) -> Tensor:
            return self.real.samples[indices[start:stop]]

        def make() -> bytes:
            tensors = self._extract(source, len(indices), "features of the real data").tensors()
            return pack_tensors(tensors, canonical_json({"key": key, "digest": tensors_digest(tensors)}))

        def read(path: Path) -> dict[str, Tensor]:
            tensors, metadata = unpack_tensors(path.read_bytes(), path)
            if metadata != canonical_json({"key": key, "digest": tensors_digest(tensors)}):
                raise InputError(f"{path} is damaged")
            return tensors

        if processes.size() > 1:  # a cached file could keep some processes out of the common extraction
            tensors = self._extract(source, len(indices), "features of the real data").tensors()
        else:
            tensors = cached_file(f"scores/features-{key[:24]}.safetensors", make=make, read=read)
        if problem := flaw(tensors["features"]):
            raise PluginError(
                f"features '{self.space.name}' of the data set '{self.real.name}' {problem}",
                hint="choose another --features",
            )
        if self.real is self.train and self._train_pixels is not None:
            pixels: Tensor | None = self._train_pixels[indices]
        else:
            pixels = pixels_of(self.real.samples[indices])
        return Views(tensors["features"], tensors.get("logits"), pixels)

    @cached_property
    def _train_pixels(self) -> Tensor | None:
        return pixels_of(self.train.samples)

    # -- both sides ----------------------------------------------------------------------------------------------------

    def _extract(self, source: Source, n: int, what: str) -> Views:
        return extract(self.space, source, n, self.device, what)

    def _check(self, samples: Views) -> None:
        """Refuse values that are not finite, because one NaN makes torchmetrics' FID crash the process."""
        for name, values in samples.tensors().items():
            if problem := flaw(values) if name == "features" else not_finite(values):
                raise DivergedError(
                    f"the samples {problem} ({name} of '{self.space.name}')",
                    hint="the generator has diverged or collapsed: evaluate an earlier checkpoint",
                )

    def _compute(
        self, samples: Views, train_pixels: Tensor | None
    ) -> dict[str, tuple[float, float | None, str, bool | None]]:
        """Every metric of the samples against the reference: value, spread, metric, whether higher is better."""
        results: dict[str, tuple[float, float | None, str, bool | None]] = {}
        reference, started = self._real_views[: self.n_real], time.monotonic()
        for number, (name, factory) in enumerate(self.metrics.items()):
            progress.tell("computing the scores", number, len(self.metrics))
            metric = _build(name, factory, self.space)
            metric.distributed_available_fn = lambda: False  # every process has all rows
            view = reads(metric)
            for values, real in ((train_pixels if view == "pixels" else getattr(reference, view), True),
                                 (getattr(samples, view), False)):  # fmt: skip
                metric.update(values, real=real)
            for score, (value, spread) in _named(name, metric.compute()).items():
                if score in results:
                    raise PluginError(f"metrics '{results[score][2]}' and '{name}' both compute '{score}'")
                results[score] = (value, spread, name, metric.higher_is_better)
        progress.tell("computing the scores", len(self.metrics), len(self.metrics))
        self.compute_s = time.monotonic() - started
        return results

    def _usable(self, metrics: Mapping[str, MetricFactory]) -> dict[str, MetricFactory]:
        """The metrics whose view of the samples exists for this data and space."""
        missing = set() if self.real.spec.is_image else {"pixels"}
        with progress.to(None):
            probe = extract(self.space, lambda start, stop: self.real.samples[start:stop], 2, self.device, "a probe")
        missing |= {"logits"} if probe.logits is None else set()
        return {n: factory for n, factory in metrics.items() if reads(_build(n, factory, self.space)) not in missing}


def sizes(available: int, n: int | None = None, n_real: int | None = None) -> tuple[int, int]:
    """The samples and the real ones of an evaluation, given how many real ones there are; InputError for too few.

    It can be asked before a feature space is made, which may take a minute.
    """
    n = n or min(DEFAULT_SAMPLES, available // 2)
    n_real = n_real or min(n, available // 2)
    if min(n, n_real) < MIN_SAMPLES or n_real > available:
        raise InputError(
            f"{n:,} samples against {n_real:,} of {available:,} real ones: too few",
            hint=f"each must be {MIN_SAMPLES} or more",
        )
    return n, n_real


def select_metrics(catalogue: Mapping[str, MetricFactory], names: Sequence[str] | None) -> dict[str, MetricFactory]:
    """The metrics with these names, by default all; InputError for an unknown name."""
    for name in names or ():
        if name not in catalogue:
            hint = f"{did_you_mean(name, catalogue)}known are {', '.join(catalogue)}"
            raise InputError(f"unknown metric '{name}'", hint=hint)
    return {name: factory for name, factory in catalogue.items() if names is None or name in names}


def _build(name: str, factory: MetricFactory, space: FeatureSpace) -> Metric:
    from gankit.measure.torchmetrics import Metric

    metric = factory(space)
    if not isinstance(metric, Metric):
        raise PluginError(f"metric '{name}' is a {type(metric).__name__}", hint="it must be a torchmetrics.Metric")
    return metric


def _named(name: str, result: Any) -> dict[str, tuple[float, float | None]]:
    """The result of a metric as name -> (value, spread)."""
    results = result if isinstance(result, Mapping) else {name: result}
    named = {}
    for key, value in results.items():
        pair = value if isinstance(value, tuple) else (value, None)
        try:
            number, spread = (None if part is None else float(part) for part in pair)
        except (TypeError, ValueError, RuntimeError) as error:
            raise PluginError(
                f"metric '{name}' computed {key}={value!r}", hint="a number, or a pair (number, spread)"
            ) from error
        if number is None or not all(x is None or abs(x) < float("inf") for x in (number, spread)):
            raise PluginError(f"metric '{name}': {key} is {value}, not finite", hint="leave it out of --metrics")
        named[str(key)] = (number, spread)
    return named
