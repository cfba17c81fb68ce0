"""The feature spaces of core by name, and the default one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from torch import Tensor

from gankit.base.text import did_you_mean, printable
from gankit.data import Dataset
from gankit.data.formats.colour import MODES
from gankit.errors import InputError, PluginError, ResourceError
from gankit.measure.features import inception, lite0
from gankit.measure.features.classifier import classifier
from gankit.measure.features.space import FeatureFactory, FeatureSpace
from gankit.measure.features.statistics import statistics

log = logging.getLogger("gankit")


class PointSpace(FeatureSpace):
    """The space of points, whose coordinates are the features."""

    def __init__(self, dim: int) -> None:
        super().__init__(name="points", sha256="none", dim=dim, protocol={})

    def forward(self, samples: Tensor) -> tuple[Tensor, None]:
        return samples.float(), None


def points(data: Dataset, argument: str) -> FeatureSpace:
    """The space of point data."""
    if data.spec.kind != "points" or argument:
        raise InputError("features 'points' are for data sets of points", hint="leave out --features")
    return PointSpace(data.spec.shape[0])


def builtin_features() -> dict[str, FeatureFactory]:
    """The catalogue of the core: name -> factory."""
    return {
        "classifier": classifier,
        "lite0": lite0.lite0,
        "inception": inception.inception,
        "points": points,
        "statistics": statistics,
    }


def choose_space(
    requested: str | None, data: Dataset, catalogue: Mapping[str, FeatureFactory], critic_spaces: Sequence[str] = ()
) -> FeatureSpace:
    """The space 'NAME' or 'NAME@ARGUMENT', or by default the best one available for this (training) data.

    The default is none of `critic_spaces`, on which the critic of the samples was built.
    """
    if requested is None:
        requested, reason = default_space(data, critic_spaces)
        log.info("features: %s (%s)", requested, reason)
    name, _, argument = requested.partition("@")
    factory = catalogue.get(name)
    if factory is None:
        names = ", ".join(sorted(catalogue))
        raise InputError(
            f"unknown feature space '{printable(name)}'", hint=f"{did_you_mean(name, catalogue)}known are {names}"
        )
    space = factory(data, argument)
    if not isinstance(space, FeatureSpace):
        raise PluginError(
            f"features '{name}' are {type(space).__name__}", hint="the factory must return a FeatureSpace"
        )
    return space.eval().requires_grad_(False)


def default_space(data: Dataset, critic_spaces: Sequence[str] = ()) -> tuple[str, str]:
    """Name and reason of the default. Labelled grey images get the classifier, which beats ImageNet networks there."""
    labelled = data.labels is not None and len(data.spec.classes) > 1
    if data.spec.kind == "points":
        return "points", "the data are points"
    if not data.spec.is_image or data.spec.shape[0] not in MODES:
        kind = data.spec.kind if not data.spec.is_image else f"images of {data.spec.shape[0]} channels"
        if labelled:
            return "classifier", f"the data are {kind} and have labels"
        return "statistics", f"the data are {kind} without labels"
    best = {
        "classifier": (labelled and data.spec.shape[0] == 1, "the data are grey and have labels"),
        "lite0": (lite0.available(), "its package is installed"),
        "inception": (inception.find_weights() is not None, "its weights were found"),
    }
    for name, (possible, reason) in best.items():
        if possible and name not in critic_spaces:
            return name, reason
    without = "the critic was built on lite0" if "lite0" in critic_spaces else "lite0 is not installed"
    if labelled and "classifier" not in critic_spaces:
        return "classifier", f"the data have labels; {without}, inception has no weights here"
    if critic_spaces:
        return "statistics", f"the data have no labels; {without}, inception has no weights here"
    raise ResourceError(
        f"no feature space for '{printable(data.name)}': it has no labels, lite0 is not installed, and inception has "
        "no weights here",
        hint="pip install 'gankit[lite0]'",
    )
