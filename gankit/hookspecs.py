"""Every hook a plugin can implement. An implementation may take fewer arguments than its spec.

Builders are answered by the variant, else by an extension named with --with, else by core. Extensions may also wrap a
builder with `@hookimpl(wrapper=True)`. Catalogues are answered by every plugin, and the answers are put together.
Events are for watching: they come in the first process of a run only, and what changes the game there would make the
processes differ, which ends the run. The game is changed by parts (`gankit_parts`), which run in every process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pluggy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gankit.contracts import CriticOutput, DataSpec, ExtensionInfo, SampleGrid, VariantInfo
    from gankit.data import Dataset, DatasetFactory
    from gankit.game.ema import Ema
    from gankit.game.game import Networks
    from gankit.game.loop import TrainingLoop
    from gankit.game.loss import AdversarialLoss
    from gankit.game.parts import Part
    from gankit.game.vectors import Vector
    from gankit.measure.features import FeatureFactory
    from gankit.measure.metrics import MetricFactory
    from gankit.measure.record import Score
    from gankit.settings.config import RunConfig, TrainConfig

PROJECT = "gankit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as an implementation of the hook of its name; `@hookimpl(wrapper=True)` wraps what others answer."""


# -- what events are given ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """Something new in a run."""

    kind: Literal["statistics", "scores", "picture"]
    """What it is."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Statistics or scores by name."""
    path: Path | None = None
    """The file it is in: the picture, or metrics.jsonl."""


class Run(Protocol):
    """A training run, as events see it in its first process. It is to be read: the game is changed by parts."""

    step: int
    """Batches shown to the discriminator so far, over all attempts."""
    train_s: float
    """Seconds of training, over all attempts."""
    stats: dict[str, float]
    """The last statistics that were read from the device, by name."""
    scores: dict[str, Score]
    """The scores of the last evaluation, by name."""
    dataset: Dataset
    """The real samples."""
    loop: TrainingLoop
    """The game."""

    @property
    def id(self) -> str:
        """The identity of the run, the same after a resume."""
        ...

    @property
    def path(self) -> Path:
        """The run folder."""
        ...

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        ...

    @property
    def configuration(self) -> dict[str, Any]:
        """Settings and options as JSON values."""
        ...

    @property
    def data(self) -> DataSpec:
        """What the networks are built for."""
        ...

    @property
    def images_seen(self) -> int:
        """Real samples shown to the discriminator so far."""
        ...

    @property
    def images_per_s(self) -> float:
        """Mean speed since the run was started or resumed."""
        ...

    @property
    def share_done(self) -> float:
        """0 at the start, 1 when the first of the budgets is used up."""
        ...

    def sample(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim] (and y [N, K]) -> samples [N, *shape] of the averaged generator, on the CPU."""
        ...

    def pack_generator(self, average: Ema | None = None) -> bytes:
        """The sampleable file of the averaged generator as it is now, or of another average of it."""
        ...

    def save_picture(self, name: str, samples: Tensor, columns: int | None = None) -> Path:
        """Samples [N, *shape] as `name` (.png) into the run folder: images as a sheet, points as a plot."""
        ...


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

    In a conditional run (`data.condition` = K > 0) it is called with (z, y), y [N, K]. A generator that maps z to
    styles has `styles` (L), `map(z, y) -> [N, L, W]` and `synthesise(styles) -> samples`, and in eval mode it is the
    one after the other; then truncation, directions and projection work on styles instead of z. It may keep the mean w
    [W] in a buffer `w_average`; else the mean of 4,096 draws is taken.
    """


@hookspec(firstresult=True)
def gankit_discriminator(  # type: ignore[empty-body]
    data: DataSpec, options: object, output: CriticOutput, z_dim: int
) -> nn.Module:
    """Samples [N, *data.shape] -> what this variant's loss reads (`output`); usually raw scores [N], no sigmoid.

    In a conditional run (`data.condition` = K > 0) it is called with (samples, y), y [N, K]. `z_dim` is for those that
    judge pairs (x, z), with a training loop that shows them. A layer through which the samples of a batch change each
    other's scores says so in its attribute `couples_samples`: "minibatch standard deviation".
    """


@hookspec(firstresult=True)
def gankit_loss(data: DataSpec, options: object) -> AdversarialLoss:  # type: ignore[empty-body]
    """The objectives of both players. Required of a variant."""


@hookspec(firstresult=True)
def gankit_training_loop(  # type: ignore[empty-body]
    networks: Networks, loss: AdversarialLoss, config: TrainConfig, options: object, data: DataSpec
) -> TrainingLoop:
    """The players, their phases and the step; networks and loss are on their device already.

    `data` is what the generator was built for. More players and networks come with `TrainingLoop.add_player` and
    `add_network`, more phases with `TrainingLoop.phases`.
    """


@hookspec(firstresult=True)
def gankit_sample_grid(data: DataSpec, z: Tensor, condition: Tensor | None, options: object) -> SampleGrid:  # type: ignore[empty-body]
    """What the sample grids show, chosen from candidates: z [256, z_dim] of the prior and y [256, K], or None."""


# -- catalogues --------------------------------------------------------------------------------------------------------


@hookspec
def gankit_parts(loop: TrainingLoop, options: object, data: DataSpec) -> Sequence[Part]:  # type: ignore[empty-body]
    """Parts that take part in every step, in every process: augmentation, regularisers, clipping, controllers.

    They are asked for once, when the loop is built: the variant first, then extensions in the order of `--with`.
    `options` are the variant's. In a `gankit.Adversary` the loop has no generator: `networks`, `players`, `phases`,
    `parts`, `loss`, `config`, `precision`, `device` and `steps` are there, what samples, averages or plays is not.
    """


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
    """Networks are built and a checkpoint, if any, is restored; the first step comes next. First process only.

    It comes again after each return to a checkpoint (`--on-diverge rollback`), which `gankit_run_end` precedes.
    """


@hookspec
def gankit_record(run: Run, record: Record) -> None:
    """There is something new: statistics were read from the device, scores were made, or a picture was saved.

    First process only.
    """


@hookspec
def gankit_checkpoint(run: Run, path: Path) -> None:
    """A checkpoint is on disk at `path`, durably. First process only."""


@hookspec
def gankit_run_end(run: Run, error: BaseException | None) -> None:
    """After the last step; `error` is None, or what ended the run early (Ctrl-C included). First process only."""
