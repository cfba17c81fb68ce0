"""The whole plugin API. A plugin imports from here and from nowhere else in gankit."""

from gankit.contracts import (
    API_VERSION,
    Batch,
    Choice,
    CriticOutput,
    DataSpec,
    ExtensionInfo,
    LogUniform,
    NoOptions,
    SameAs,
    SampleGrid,
    Search,
    TrainConfig,
    Uniform,
    VariantInfo,
    option,
)
from gankit.data import Dataset, DatasetFactory, Splits
from gankit.ema import Ema
from gankit.errors import GankitError, InputError, PluginError, ResourceError
from gankit.features import FeatureFactory, FeatureSpace
from gankit.hookspecs import hookimpl
from gankit.loop import BoundCritic, Networks, TrainingLoop
from gankit.loss import AdversarialLoss, Critic
from gankit.metrics import MetricFactory
from gankit.networks import AutoEncoder, Discriminator, Generator, PointAutoEncoder, PointDiscriminator, PointGenerator
from gankit.penalties import between, gradient_norms, gradient_penalty, input_gradients, leaf, squared_gradients
from gankit.run import Run
from gankit.state import State
from gankit.storage import write_durably
from gankit.vectors import LinearCritic, Vector

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
    "PluginError",
    "PointAutoEncoder",
    "PointDiscriminator",
    "PointGenerator",
    "ResourceError",
    "Run",
    "SameAs",
    "SampleGrid",
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
    "write_durably",
]
