"""Core's own answers to the hooks: what a run uses where neither the variant nor an extension says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from gankit.contracts import DataSpec, TrainConfig
from gankit.data import DatasetFactory, builtin_datasets
from gankit.features import FeatureFactory, builtin_features
from gankit.hookspecs import hookimpl
from gankit.loop import Networks, TrainingLoop
from gankit.loss import AdversarialLoss
from gankit.metrics import MetricFactory, builtin_metrics
from gankit.networks import Discriminator, Generator, PointDiscriminator, PointGenerator


@hookimpl(trylast=True)
def gankit_generator(data: DataSpec, z_dim: int) -> nn.Module:
    """A convolutional network for images, a multilayer perceptron for points."""
    return Generator(data.shape, z_dim) if len(data.shape) == 3 else PointGenerator(data.shape[0], z_dim)


@hookimpl(trylast=True)
def gankit_discriminator(data: DataSpec) -> nn.Module:
    """The generator's counterpart; no layer of it couples the samples of a batch."""
    return Discriminator(data.shape) if len(data.shape) == 3 else PointDiscriminator(data.shape[0])


@hookimpl(trylast=True)
def gankit_training_loop(networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> TrainingLoop:
    """Alternating Adam steps."""
    return TrainingLoop(networks, loss, config)


@hookimpl
def gankit_datasets() -> Mapping[str, DatasetFactory]:
    """digits, the downloads and the synthetic sets."""
    return builtin_datasets()


@hookimpl
def gankit_features() -> Mapping[str, FeatureFactory]:
    """classifier, lite0, inception and points."""
    return builtin_features()


@hookimpl
def gankit_metrics() -> Mapping[str, MetricFactory]:
    """FID, KID, IS, precision and recall, density and coverage, near-duplicates."""
    return builtin_metrics()
