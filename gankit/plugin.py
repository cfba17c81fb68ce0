"""The whole plugin API. A plugin imports from here and from nowhere else in gankit."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from gankit.base.files import write_durably
from gankit.contracts import (
    API_VERSION,
    Attribute,
    Batch,
    CriticOutput,
    DataSpec,
    ExtensionInfo,
    SampleGrid,
    VariantInfo,
)
from gankit.data import Dataset, DatasetFactory, Splits
from gankit.errors import GankitError, InputError, PluginError, ResourceError
from gankit.game.critic import Critic, CriticWrapper, Pair, scores_of
from gankit.game.ema import Ema
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss, Terms
from gankit.game.networks import (
    AutoEncoder,
    Discriminator,
    Generator,
    PixelNorm,
    PointAutoEncoder,
    PointDiscriminator,
    PointGenerator,
)
from gankit.game.parts import Part, Phase, Step
from gankit.game.penalties import (
    between,
    finite_differences,
    gradient_norms,
    gradient_penalty,
    input_gradients,
    leaf,
    squared_gradients,
)
from gankit.game.players import Player
from gankit.game.power_average import PowerEma
from gankit.game.state import State
from gankit.game.vectors import LinearCritic, Vector
from gankit.game.whole_batch import gather
from gankit.game.whole_batch import mean as batch_mean
from gankit.game.whole_batch import std as batch_std
from gankit.hookspecs import Record, Run, hookimpl
from gankit.measure.features import FeatureFactory, FeatureSpace, FrozenLite0
from gankit.measure.metrics import MetricFactory
from gankit.settings.config import TrainConfig
from gankit.settings.option import Choice, LogUniform, NoOptions, SameAs, Search, Uniform, option
from gankit.settings.schedule import Number, Schedule

if _TYPE_CHECKING:
    from gankit.measure.metrics.two_sets import TwoSets

__all__ = [
    "API_VERSION",
    "AdversarialLoss",
    "Attribute",
    "AutoEncoder",
    "Batch",
    "Choice",
    "Critic",
    "CriticOutput",
    "CriticWrapper",
    "DataSpec",
    "Dataset",
    "DatasetFactory",
    "Discriminator",
    "Ema",
    "ExtensionInfo",
    "FeatureFactory",
    "FeatureSpace",
    "FrozenLite0",
    "GankitError",
    "Generator",
    "InputError",
    "LinearCritic",
    "LogUniform",
    "MetricFactory",
    "Networks",
    "NoOptions",
    "Number",
    "Pair",
    "Part",
    "Phase",
    "PixelNorm",
    "Player",
    "PluginError",
    "PointAutoEncoder",
    "PointDiscriminator",
    "PointGenerator",
    "PowerEma",
    "Record",
    "ResourceError",
    "Run",
    "SameAs",
    "SampleGrid",
    "Schedule",
    "Search",
    "Splits",
    "State",
    "Step",
    "Terms",
    "TrainConfig",
    "TrainingLoop",
    "TwoSets",
    "Uniform",
    "VariantInfo",
    "Vector",
    "batch_mean",
    "batch_std",
    "between",
    "finite_differences",
    "gather",
    "gradient_norms",
    "gradient_penalty",
    "hookimpl",
    "input_gradients",
    "leaf",
    "option",
    "scores_of",
    "squared_gradients",
    "write_durably",
]


def __getattr__(name: str) -> _Any:
    """`TwoSets` on request, because it imports torchmetrics, which most plugins never need."""
    if name == "TwoSets":
        from gankit.measure.metrics.two_sets import TwoSets

        return TwoSets
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
