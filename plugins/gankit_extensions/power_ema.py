"""Averages of the generator by power functions, from which one of any width is put together afterwards (EDM2, 2024).

`gankit average RUN` does that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from gankit.plugin import (
    ExtensionInfo,
    InputError,
    Part,
    PowerEma,
    Record,
    Run,
    Step,
    TrainingLoop,
    hookimpl,
    option,
    write_durably,
)


@dataclass(frozen=True)
class Options:
    stds: str = option("0.05,0.1", help="standard deviations of the profiles, as shares of the images seen")
    snapshots: int = option(8, ge=1, le=1000, schedule=False, help="moments of the run at which the averages are kept")


class PowerAverages(Part):
    """Averages that move whenever the generator has moved; they are part of every checkpoint."""

    def __init__(self, generator: nn.Module, stds: Sequence[float]) -> None:
        super().__init__()
        self.generator = [generator]  # in a list, for it is no module of this part
        self.averages = [PowerEma(generator, std) for std in stds]
        self.copies = nn.ModuleList(average.module for average in self.averages)

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        if step.phase.player == "generator":
            for average in self.averages:
                average.update(self.generator[0], images=step.images_since, images_seen=step.images)
        return {}


class PowerEmaFiles:
    """RUN/averages/<moment>-<std>.safetensors: written when a moment comes, and at every checkpoint until the next."""

    def __init__(self, options: Options) -> None:
        self.options = options
        try:
            self.stds = sorted({float(text) for text in options.stds.split(",")})
        except ValueError:
            raise InputError(f"power-ema: '{options.stds}' are not numbers", hint="stds=0.05,0.1") from None
        if len(self.stds) < 2:
            raise InputError("power-ema: another average is made of two at least", hint="stds=0.05,0.1")
        self.part: PowerAverages | None = None
        self.moment = 0

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        self.part = PowerAverages(loop.networks.generator, self.stds)
        return [self.part]

    @hookimpl
    def gankit_record(self, run: Run, record: Record) -> None:
        if record.kind == "statistics" and self.moment_of(run) != self.moment:
            self.write(run)

    @hookimpl
    def gankit_checkpoint(self, run: Run, path: Path) -> None:
        self.write(run)

    def moment_of(self, run: Run) -> int:
        """How many of the moments have come."""
        return int(min(1.0, run.share_done) * self.options.snapshots)

    def write(self, run: Run) -> None:
        """The averages as they are now, in the place of earlier ones of the same moment."""
        assert self.part is not None
        self.moment = self.moment_of(run)
        folder = run.path / "averages"
        folder.mkdir(exist_ok=True)
        for average in self.part.averages:
            write_durably(folder / f"{self.moment:04d}-{average.std:g}.safetensors", run.pack_generator(average))


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Power-function averages", options=Options, make=PowerEmaFiles)
