"""Statistics, scores and sample grids in TensorBoard, below the run folder. Needs the package tensorboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gankit.plugin import ExtensionInfo, Part, Record, ResourceError, Run, hookimpl, option


@dataclass(frozen=True)
class Options:
    folder: str = option("tensorboard", help="below the run folder; absolute, a folder for many runs")


class TensorBoard:
    """Writes what has been read from the device already: it costs a run nothing."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self) -> Sequence[Part]:
        try:  # now, before there is a run folder
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ResourceError("--with tensorboard needs the package", hint="pip install tensorboard") from error
        self.writer_type = SummaryWriter
        return []

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        # Steps after the checkpoint that is resumed will be made again: what was written of them is hidden.
        folder = run.path / self.options.folder
        if Path(self.options.folder).is_absolute():
            folder = folder / run.path.name
        self.writer = self.writer_type(str(folder), purge_step=run.images_seen + 1 if run.images_seen else None)
        self.writer.add_text("configuration", f"```\n{run.configuration}\n```", run.images_seen)

    @hookimpl
    def gankit_record(self, run: Run, record: Record) -> None:
        """Everything new against images seen."""
        values = dict(record.values)
        if record.kind == "statistics":
            values["images_per_s"] = run.images_per_s
        prefix = "score/" if record.kind == "scores" else ""
        for name, value in values.items():
            self.writer.add_scalar(prefix + name, value, run.images_seen)
        if record.kind == "picture" and record.path is not None:
            with Image.open(record.path) as image:
                self.writer.add_image("samples", np.asarray(image.convert("RGB")), run.images_seen, dataformats="HWC")

    @hookimpl
    def gankit_run_end(self) -> None:
        self.writer.close()


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="TensorBoard", options=Options, make=TensorBoard)
