"""The whole plugin API. A plugin imports from here and from nowhere else in gankit."""

from gankit.contracts import API_VERSION, Batch, DataSpec, NoOptions, TrainConfig, VariantInfo, option
from gankit.data import Dataset, DatasetFactory, Splits
from gankit.errors import GankitError, InputError, PluginError
from gankit.features import FeatureFactory, FeatureSpace
from gankit.hookspecs import hookimpl
from gankit.loop import BoundCritic, Networks, TrainingLoop
from gankit.loss import AdversarialLoss, Critic
from gankit.metrics import MetricFactory
from gankit.networks import Discriminator, Generator, PointDiscriminator, PointGenerator

__all__ = [
    "API_VERSION",
    "AdversarialLoss",
    "Batch",
    "BoundCritic",
    "Critic",
    "DataSpec",
    "Dataset",
    "DatasetFactory",
    "Discriminator",
    "FeatureFactory",
    "FeatureSpace",
    "GankitError",
    "Generator",
    "InputError",
    "MetricFactory",
    "Networks",
    "NoOptions",
    "PluginError",
    "PointDiscriminator",
    "PointGenerator",
    "Splits",
    "TrainConfig",
    "TrainingLoop",
    "VariantInfo",
    "hookimpl",
    "option",
]
