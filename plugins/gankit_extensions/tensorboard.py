"""Statistics, scores and sample grids in TensorBoard, below the run folder. Needs the package tensorboard."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gankit.plugin import ExtensionInfo, ResourceError, Run, TrainingLoop, hookimpl, option


@dataclass(frozen=True)
class Options:
    folder: str = option("tensorboard", help="below the run folder; absolute, a folder for many runs")


class TensorBoard:
    """Writes what has been read from the device already: it costs a run nothing."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stats: dict[str, float] | None = None
        self.scores: Any = None
        self.picture: Path | None = None

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        try:  # now, before there is a run folder
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ResourceError("--with tensorboard needs the package", hint="pip install tensorboard") from error
        self.writer_type = SummaryWriter
        return (yield)

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        # Steps after the checkpoint that is resumed will be made again: what was written of them is hidden.
        folder = run.folder.path / self.options.folder
        if Path(self.options.folder).is_absolute():
            folder = folder / run.folder.path.name
        self.writer = self.writer_type(str(folder), purge_step=run.images_seen + 1 if run.images_seen else None)
        self.writer.add_text("configuration", f"```\n{run.plan.configuration}\n```", run.images_seen)
        self.write(run)

    @hookimpl
    def gankit_step_end(self, run: Run) -> None:
        self.write(run)

    @hookimpl
    def gankit_run_end(self, run: Run) -> None:
        self.write(run)
        self.writer.close()

    def write(self, run: Run) -> None:
        """What is new since the last call, against images seen."""
        if run.stats is not self.stats:
            self.stats = run.stats
            for name, value in {**run.stats, "images_per_s": run.images_per_s}.items():
                self.writer.add_scalar(name, value, run.images_seen)
        if run.scores is not self.scores:
            self.scores = run.scores
            for name, score in run.scores.items():
                self.writer.add_scalar(f"score/{name}", score.value, run.images_seen)
        newest = run.folder.samples / f"{run.images_seen:09d}.png"
        if newest != self.picture and newest.exists():
            self.picture = newest
            with Image.open(newest) as image:
                self.writer.add_image("samples", np.asarray(image.convert("RGB")), run.images_seen, dataformats="HWC")


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="TensorBoard", options=Options, make=TensorBoard)
