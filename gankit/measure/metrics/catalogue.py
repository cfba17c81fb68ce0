"""The metrics of core by name. torchmetrics is imported when one is built, because that takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from gankit.errors import PluginError

if TYPE_CHECKING:
    from gankit.measure.features import FeatureSpace
    from gankit.measure.torchmetrics import Metric

View = Literal["features", "logits", "pixels"]
VIEWS: tuple[View, ...] = ("features", "logits", "pixels")

MetricFactory = Callable[["FeatureSpace"], "Metric"]
"""The feature space -> a new metric, which gets samples by `update(values, real=…)`.

`compute()` returns a number, a pair (number, spread), or a mapping of names to them. A metric may set `reads` to the
view of the samples that it needs ('features' [n, dim] by default, 'logits' [n, K], 'pixels' [n, P] uint8) and
`protocol` to its parameters.
"""


def builtin_metrics() -> dict[str, MetricFactory]:
    """The catalogue of the core: name -> factory, in the order of the table."""

    def fid(space: FeatureSpace) -> Metric:
        from gankit.measure.metrics.distances import FrechetDistance

        return FrechetDistance(space.dim)

    def kid(space: FeatureSpace) -> Metric:
        from gankit.measure.metrics.distances import KernelDistance

        return KernelDistance(space.dim, standardise=not space.published)

    def inception_score(space: FeatureSpace) -> Metric:
        from gankit.measure.metrics.distances import InceptionScore

        return InceptionScore()

    def precision_recall(space: FeatureSpace) -> Metric:
        from gankit.measure.metrics.neighbours import PrecisionRecall

        return PrecisionRecall()

    def density_coverage(space: FeatureSpace) -> Metric:
        from gankit.measure.metrics.neighbours import DensityCoverage

        return DensityCoverage()

    def duplicates(space: FeatureSpace) -> Metric:
        from gankit.measure.metrics.duplicates import NearDuplicates

        return NearDuplicates()

    factories = {
        "fid": fid,
        "kid": kid,
        "is": inception_score,
        "pr": precision_recall,
        "dc": density_coverage,
        "duplicates": duplicates,
    }
    return {name: _guarded(factory) for name, factory in factories.items()}


def reads(metric: Metric) -> View:
    """The view of the samples that a metric needs."""
    view = getattr(metric, "reads", "features")
    if view not in VIEWS:
        raise PluginError(f"{type(metric).__name__}.reads is {view!r}", hint=f"one of {', '.join(VIEWS)}")
    return view


def _guarded(factory: MetricFactory) -> MetricFactory:
    """Import torchmetrics in the way that gankit does, before a factory imports it."""

    def build(space: FeatureSpace) -> Metric:
        import gankit.measure.torchmetrics  # noqa: F401

        return factory(space)

    return build
