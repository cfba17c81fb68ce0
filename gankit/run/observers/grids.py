"""samples/: the same latent vectors again and again, as pictures that can be compared."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gankit.base.files import write_durably
from gankit.base.seeds import derive_seed
from gankit.contracts import SampleGrid
from gankit.data import spaced
from gankit.hookspecs import Record
from gankit.run.observers.common import due, ends_well
from gankit.run.run import Run
from gankit.sample.pictures import picture, png

GRID_CANDIDATES = 256  # latent vectors from which gankit_sample_grid chooses


POINTS_IN_PLOT = 2_000  # samples in a plot of points
EARLY_IMAGES = 2_000  # after which there is a first picture, however long the run
LATEST = "latest.png"


class SampleGrids:
    """The same z every time, so that the pictures in samples/ can be compared; the name is images seen."""

    def start(self, run: Run) -> None:
        z, condition = run.space.draw(
            POINTS_IN_PLOT if run.data.kind == "points" else GRID_CANDIDATES, derive_seed(run.config.seed, "grid")
        )
        self.grid = SampleGrid(z, condition)
        if run.data.kind != "points":
            plan = run.plan
            self.grid = plan.composition.hook.gankit_sample_grid(
                data=run.data, z=z, condition=condition, options=plan.live.options
            )
        n = len(self.grid.z)
        self.real = run.dataset.real(spaced(len(run.dataset), n))
        run.folder.make_samples()
        write_durably(run.folder.samples / "real.png", png(picture(self.real, columns=self.grid.columns)))
        self.written_at = -1
        if run.step == 0:
            self.write(run)

    def after_step(self, run: Run, stats: Mapping[str, Tensor]) -> None:
        early = run.images_seen >= EARLY_IMAGES > run.images_seen - run.config.batch
        if early or due(run, run.sample_every):
            self.write(run)

    def end(self, run: Run, error: BaseException | None) -> None:
        if ends_well(error) and self.written_at != run.step:
            self.write(run)

    def write(self, run: Run) -> None:
        """samples/<images seen>.png, and the same picture as samples/latest.png."""
        path = run.folder.samples / f"{run.images_seen:09d}.png"
        samples = run.sample(self.grid.z, self.grid.condition)
        data = png(picture(samples, self.real, self.grid.columns))
        for name in (path, run.folder.samples / LATEST):
            write_durably(name, data)
        self.written_at = run.step
        run.plan.composition.hook.gankit_record(run=run, record=Record("picture", path=path))
