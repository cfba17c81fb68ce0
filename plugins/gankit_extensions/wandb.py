"""Statistics, scores and sample grids in Weights & Biases, or in trackio, which has the same interface and is local."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gankit.plugin import ExtensionInfo, GankitError, Part, Record, ResourceError, Run, hookimpl, option


@dataclass(frozen=True)
class Options:
    tool: Literal["wandb", "trackio"] = option("wandb", help="trackio needs no account")
    project: str = option("gankit", help="under which the run is listed")


class Tracker:
    """Sends what has been read from the device already: it costs a run nothing.

    A resumed run goes on under its id, and a run that fails or diverges is reported as one.
    """

    def __init__(self, options: Options) -> None:
        self.options = options

    @hookimpl
    def gankit_parts(self) -> Sequence[Part]:
        try:  # now, before there is a run folder
            self.tool = importlib.import_module(self.options.tool)
        except ImportError as error:
            hint = f"pip install {self.options.tool}"
            raise ResourceError(f"--with wandb needs the package {self.options.tool}", hint=hint) from error
        return []

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        # trackio knows a run by its name, wandb by its id.
        identity: dict[str, Any] = {} if self.options.tool == "trackio" else {"id": run.id}
        self.session = self.tool.init(
            project=self.options.project,
            name=run.path.name,
            config=dict(run.configuration),
            resume="allow",
            **identity,
        )

    @hookimpl
    def gankit_record(self, run: Run, record: Record) -> None:
        """Everything new, with the images seen as a column of its own."""
        if record.kind == "picture":
            row: dict[str, Any] = {"samples": self.tool.Image(str(record.path))}
        elif record.kind == "scores":
            row = {f"score/{name}": value for name, value in record.values.items()}
        else:
            row = {**record.values, "images_per_s": run.images_per_s}
        self.tool.log({**row, "images_seen": run.images_seen})

    @hookimpl
    def gankit_run_end(self, error: BaseException | None) -> None:
        if self.options.tool == "trackio":
            self.tool.finish()
        else:
            self.tool.finish(exit_code=error.exit_code if isinstance(error, GankitError) else int(error is not None))


@hookimpl
def gankit_extension() -> ExtensionInfo:
    return ExtensionInfo(api=1, capturable=True, title="Weights & Biases", options=Options, make=Tracker)
