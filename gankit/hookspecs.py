"""Every hook a plugin can implement. An implementation may take fewer arguments than its spec.

Builders are answered by the variant, else by an extension named with --with, else by core. Extensions may also wrap a
builder with `@hookimpl(wrapper=True)`. Events are sent to everybody; what they return is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gankit.contracts import CriticOutput, DataSpec, ExtensionInfo, SampleGrid, VariantInfo
    from gankit.data import DatasetFactory
    from gankit.game.loop import Networks, TrainingLoop
    from gankit.game.loss import AdversarialLoss
    from gankit.game.vectors import Vector
    from gankit.measure.features import FeatureFactory
    from gankit.measure.metrics import MetricFactory
    from gankit.run.run import Run
    from gankit.settings.config import TrainConfig

PROJECT = "gankit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as an implementation of the hook of its name; `@hookimpl(wrapper=True)` wraps what others answer."""


# -- builders ----------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def gankit_variant() -> VariantInfo:  # type: ignore[empty-body]
    """Who the variant is: API version, title, paper, options, recommended configuration. Required of a variant."""


@hookspec(firstresult=True)
def gankit_extension() -> ExtensionInfo:  # type: ignore[empty-body]
    """Who the extension is: API version, title, options. Only for extensions that have options."""


@hookspec(firstresult=True)
def gankit_generator(data: DataSpec, z_dim: int, options: object) -> nn.Module:  # type: ignore[empty-body]
    """z [N, z_dim] -> samples [N, *data.shape]; images in [-1, 1]. It must be a function of its arguments alone.

    In a conditional run (`data.condition` = K > 0) it is called with (z, y), y [N, K].
    """


@hookspec(firstresult=True)
def gankit_discriminator(  # type: ignore[empty-body]
    data: DataSpec, options: object, output: CriticOutput, z_dim: int
) -> nn.Module:
    """Samples [N, *data.shape] -> what this variant's loss reads (`output`); usually raw scores [N], no sigmoid.

    In a conditional run (`data.condition` = K > 0) it is called with (samples, y), y [N, K]. `z_dim` is for those that
    judge pairs (x, z), with a training loop that shows them.
    """


@hookspec(firstresult=True)
def gankit_loss(data: DataSpec, options: object) -> AdversarialLoss:  # type: ignore[empty-body]
    """The objectives of both players. Required of a variant."""


@hookspec(firstresult=True)
def gankit_training_loop(  # type: ignore[empty-body]
    networks: Networks, loss: AdversarialLoss, config: TrainConfig, options: object, data: DataSpec
) -> TrainingLoop:
    """One optimisation step of all players; networks and loss are on their device already.

    `data` is what the generator was built for. More networks come with `TrainingLoop.add_network`.
    """


@hookspec(firstresult=True)
def gankit_sample_grid(data: DataSpec, z: Tensor, condition: Tensor | None, options: object) -> SampleGrid:  # type: ignore[empty-body]
    """What the sample grids show: z [256, z_dim] of the prior and y [256, K], of which it takes what it wants."""


# -- catalogues --------------------------------------------------------------------------------------------------------


@hookspec
def gankit_datasets() -> Mapping[str, DatasetFactory]:  # type: ignore[empty-body]
    """Name -> factory of a data set. All answers are merged; the factory is called only for the chosen name."""


@hookspec
def gankit_features() -> Mapping[str, FeatureFactory]:  # type: ignore[empty-body]
    """Name -> factory of a feature space, in which sets of samples are compared; chosen with `--features NAME`."""


@hookspec
def gankit_metrics() -> Mapping[str, MetricFactory]:  # type: ignore[empty-body]
    """Name -> factory of a `torchmetrics.Metric` on features, logits or pixels; chosen with `--metrics NAME`."""


@hookspec
def gankit_vectors() -> Sequence[Vector]:  # type: ignore[empty-body]
    """Values of this plugin's formulas worked out by hand; `gankit verify` computes them on the user's machine."""


# -- events ------------------------------------------------------------------------------------------------------------


@hookspec
def gankit_run_start(run: Run) -> None:
    """Networks are built and a checkpoint, if any, is restored; the first step comes next."""


@hookspec
def gankit_step_end(run: Run, stats: Mapping[str, Tensor]) -> None:
    """A step was made. `stats` are 0-d tensors on the device: reading one (`.item()`) stops the pipeline."""


@hookspec
def gankit_checkpoint(run: Run, path: Path) -> None:
    """A checkpoint is on disk at `path`, durably."""


@hookspec
def gankit_run_end(run: Run, error: BaseException | None) -> None:
    """After the last step; `error` is None, or what ended the run early (Ctrl-C included)."""
