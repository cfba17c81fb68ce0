"""Averages of the generator by power functions, from which one of any width is put together afterwards (EDM2, 2024).

`gankit average RUN` does that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gankit.plugin import (
    ExtensionInfo,
    InputError,
    Part,
    PowerEma,
    Record,
    Run,
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
    """The averages in every checkpoint."""

    def __init__(self, averages: Sequence[PowerEma]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(average.module for average in averages)


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
        self.averages: list[PowerEma] = []
        self.moment = 0

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        self.averages = [PowerEma(loop.networks.generator, std) for std in self.stds]
        loop.averages += self.averages
        return [PowerAverages(self.averages)]

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
        self.moment = self.moment_of(run)
        folder = run.path / "averages"
        folder.mkdir(exist_ok=True)
        for average in self.averages:
            write_durably(folder / f"{self.moment:04d}-{average.std:g}.safetensors", run.pack_generator(average))


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="Power-function averages", options=Options, make=PowerEmaFiles)
