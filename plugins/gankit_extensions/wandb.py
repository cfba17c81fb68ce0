"""Statistics, scores and sample grids in Weights & Biases, or in trackio, which has the same interface and is local."""

import importlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gankit.plugin import ExtensionInfo, ResourceError, Run, TrainingLoop, hookimpl, option


@dataclass(frozen=True)
class Options:
    tool: Literal["wandb", "trackio"] = option("wandb", help="trackio needs no account")
    project: str = option("gankit", help="under which the run is listed")


class Tracker:
    """Sends what has been read from the device already: it costs a run nothing."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.stats: dict[str, float] | None = None
        self.scores: Any = None
        self.picture: Path | None = None

    @hookimpl(wrapper=True)
    def gankit_training_loop(self) -> Generator[None, TrainingLoop, TrainingLoop]:
        try:  # now, before there is a run folder
            self.tool = importlib.import_module(self.options.tool)
        except ImportError as error:
            hint = f"pip install {self.options.tool}"
            raise ResourceError(f"--with wandb needs the package {self.options.tool}", hint=hint) from error
        return (yield)

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        self.session = self.tool.init(
            project=self.options.project, name=run.folder.path.name, config=dict(run.plan.configuration)
        )
        self.write(run)

    @hookimpl
    def gankit_step_end(self, run: Run) -> None:
        self.write(run)

    @hookimpl
    def gankit_run_end(self, run: Run) -> None:
        self.write(run)
        self.tool.finish()

    def write(self, run: Run) -> None:
        """What is new since the last call, with the images seen as a column of its own."""
        row: dict[str, Any] = {}
        if run.stats is not self.stats:
            self.stats = run.stats
            row |= {**run.stats, "images_per_s": run.images_per_s}
        if run.scores is not self.scores:
            self.scores = run.scores
            row |= {f"score/{name}": score.value for name, score in run.scores.items()}
        newest = run.folder.samples / f"{run.images_seen:09d}.png"
        if newest != self.picture and newest.exists():
            self.picture = newest
            row["samples"] = self.tool.Image(str(newest))
        if row:
            self.tool.log({**row, "images_seen": run.images_seen})


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Weights & Biases", options=Options, make=Tracker)
