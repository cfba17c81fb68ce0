"""Core's hook implementations: the defaults of a run, used where no plugin has its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gankit.contracts import CriticOutput, DataSpec, SampleGrid
from gankit.data import DatasetFactory, builtin_datasets
from gankit.game.conditions import one_hot
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss
from gankit.hookspecs import hookimpl
from gankit.host import composition
from gankit.host.composition import Catalogues, Composition
from gankit.host.discovery import VARIANTS, Plugin
from gankit.measure.features import FeatureFactory, builtin_features
from gankit.measure.metrics import MetricFactory, builtin_metrics
from gankit.modality import modality_of
from gankit.settings.config import TrainConfig

GRID_SAMPLES = 64
GRID_ROWS, GRID_COLUMNS = 16, 8  # limits of a conditional grid, which has one row per class


@hookimpl(trylast=True)
def gankit_generator(data: DataSpec, z_dim: int) -> nn.Module:
    """A multilayer perceptron for points, a convolutional network for all else."""
    return modality_of(data.shape).generator(data, z_dim)


@hookimpl(trylast=True)
def gankit_discriminator(data: DataSpec, output: CriticOutput) -> nn.Module:
    """The generator's counterpart; no layer of it couples the samples of a batch."""
    return modality_of(data.shape).discriminator(data, output)


@hookimpl(trylast=True)
def gankit_training_loop(networks: Networks, loss: AdversarialLoss, config: TrainConfig) -> TrainingLoop:
    """Alternating Adam steps."""
    return TrainingLoop(networks, loss, config)


@hookimpl(trylast=True)
def gankit_sample_grid(data: DataSpec, z: Tensor, condition: Tensor | None) -> SampleGrid:
    """64 samples, or one row per class in a run conditioned on labels."""
    if condition is None or data.condition != len(data.classes):
        return SampleGrid(z[:GRID_SAMPLES], None if condition is None else condition[:GRID_SAMPLES])
    rows = min(len(data.classes), GRID_ROWS)
    labels = torch.arange(rows).repeat_interleave(GRID_COLUMNS)
    return SampleGrid(z[: len(labels)], one_hot(labels, len(data.classes)), GRID_COLUMNS)


@hookimpl
def gankit_datasets() -> Mapping[str, DatasetFactory]:
    """The shipped digits, the downloads and the synthetic sets."""
    return builtin_datasets()


@hookimpl
def gankit_features() -> Mapping[str, FeatureFactory]:
    """The spaces classifier, lite0, inception, points and statistics."""
    return builtin_features()


@hookimpl
def gankit_metrics() -> Mapping[str, MetricFactory]:
    """FID, KID, IS, precision and recall, density and coverage, near-duplicates."""
    return builtin_metrics()


def compose(
    variant: Plugin, extensions: Sequence[Plugin] = (), options: Mapping[str, Mapping[str, Any]] | None = None
) -> Composition:
    """Import the plugins of a run, check them and put them into one plugin manager with core's hooks.

    `options` maps the names of extensions to their options; absent options have their defaults. Raises
    PluginError for a plugin that is broken or incompatible, InputError for an unknown option.
    """
    return composition.compose(sys.modules[__name__], variant, extensions, options or {})


def compose_catalogues(extensions: Sequence[Plugin] = ()) -> Catalogues:
    """Core and extensions without a variant, for their data sets, feature spaces and metrics.

    Raises PluginError for an extension that is broken or incompatible.
    """
    return composition.compose_catalogues(sys.modules[__name__], extensions)


def compose_single(plugin: Plugin) -> Catalogues:
    """Core with one variant or extension and nothing else; PluginError if the plugin is broken."""
    return compose(plugin) if plugin.group == VARIANTS else compose_catalogues([plugin])
