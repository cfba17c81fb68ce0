"""The whole plugin API. A plugin imports from here and from nowhere else in gankit."""

from gankit.base.files import write_durably
from gankit.contracts import API_VERSION, Batch, CriticOutput, DataSpec, ExtensionInfo, SampleGrid, VariantInfo
from gankit.data import Dataset, DatasetFactory, Splits
from gankit.errors import GankitError, InputError, PluginError, ResourceError
from gankit.game.ema import Ema
from gankit.game.loop import BoundCritic, Networks, TrainingLoop
from gankit.game.loss import AdversarialLoss, Critic
from gankit.game.networks import (
    AutoEncoder,
    Discriminator,
    Generator,
    PointAutoEncoder,
    PointDiscriminator,
    PointGenerator,
)
from gankit.game.penalties import between, gradient_norms, gradient_penalty, input_gradients, leaf, squared_gradients
from gankit.game.state import State
from gankit.game.vectors import LinearCritic, Vector
from gankit.hookspecs import hookimpl
from gankit.measure.features import FeatureFactory, FeatureSpace
from gankit.measure.metrics import MetricFactory
from gankit.run.run import Run
from gankit.settings.config import TrainConfig
from gankit.settings.option import Choice, LogUniform, NoOptions, SameAs, Search, Uniform, option
from gankit.settings.schedule import Number, Schedule, value_at

__all__ = [
    "API_VERSION",
    "AdversarialLoss",
    "AutoEncoder",
    "Batch",
    "BoundCritic",
    "Choice",
    "Critic",
    "CriticOutput",
    "DataSpec",
    "Dataset",
    "DatasetFactory",
    "Discriminator",
    "Ema",
    "ExtensionInfo",
    "FeatureFactory",
    "FeatureSpace",
    "GankitError",
    "Generator",
    "InputError",
    "LinearCritic",
    "LogUniform",
    "MetricFactory",
    "Networks",
    "NoOptions",
    "Number",
    "PluginError",
    "PointAutoEncoder",
    "PointDiscriminator",
    "PointGenerator",
    "ResourceError",
    "Run",
    "SameAs",
    "SampleGrid",
    "Schedule",
    "Search",
    "Splits",
    "State",
    "TrainConfig",
    "TrainingLoop",
    "Uniform",
    "VariantInfo",
    "Vector",
    "between",
    "gradient_norms",
    "gradient_penalty",
    "hookimpl",
    "input_gradients",
    "leaf",
    "option",
    "squared_gradients",
    "value_at",
    "write_durably",
]
