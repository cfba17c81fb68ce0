"""The whole plugin API. A plugin imports from here and from nowhere else in gankit."""

from gankit.contracts import API_VERSION, Batch, DataSpec, NoOptions, TrainConfig, VariantInfo, option
from gankit.data import Dataset, DatasetFactory
from gankit.errors import GankitError, InputError, PluginError
from gankit.hookspecs import hookimpl
from gankit.loop import BoundCritic, Networks, TrainingLoop
from gankit.loss import AdversarialLoss, Critic
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
    "GankitError",
    "Generator",
    "InputError",
    "Networks",
    "NoOptions",
    "PluginError",
    "PointDiscriminator",
    "PointGenerator",
    "TrainConfig",
    "TrainingLoop",
    "VariantInfo",
    "hookimpl",
    "option",
]
