"""Averages of the generator with several half-lives at once, each with a file of its own at every checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gankit.plugin import Ema, ExtensionInfo, InputError, Part, Run, TrainingLoop, hookimpl, option, write_durably


@dataclass(frozen=True)
class Options:
    halflives: str = option("1000,100000", help="half-lives in images, with commas between them")


class Averages(Part):
    """The averages in every checkpoint."""

    def __init__(self, averages: Mapping[int, Ema]) -> None:
        super().__init__()
        self.modules_by_halflife = nn.ModuleDict({str(n): average.module for n, average in averages.items()})


class EmaSweep:
    """RUN/ema-<half-life>.safetensors; `gankit compare` and `gankit eval` take them like any other."""

    def __init__(self, options: Options) -> None:
        try:
            self.halflives = sorted({int(text) for text in options.halflives.split(",")})
        except ValueError:
            raise InputError(
                f"ema-sweep: '{options.halflives}' are not numbers of images", hint="halflives=1000,100000"
            ) from None
        if self.halflives[0] < 1:
            raise InputError("ema-sweep: a half-life is one image at least", hint="halflives=1000,100000")
        self.averages: dict[int, Ema] = {}

    @hookimpl
    def gankit_parts(self, loop: TrainingLoop) -> Sequence[Part]:
        self.averages = {n: Ema(loop.networks.generator, n) for n in self.halflives}
        loop.averages += self.averages.values()
        return [Averages(self.averages)]

    @hookimpl
    def gankit_checkpoint(self, run: Run, path: Path) -> None:
        for n, average in self.averages.items():
            write_durably(run.path / f"ema-{n}.safetensors", run.pack_generator(average))


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, title="EMA sweep", options=Options, make=EmaSweep)
