"""`gankit modes`: how many of the known modes of the data a generator covers, with their floor and their protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gankit.base.text import printable
from gankit.cli import console
from gankit.cli.flags import Checkpoint, Device, File, Json, With, picture_path
from gankit.cli.scores import store_and_show, store_path

if TYPE_CHECKING:
    from gankit.score.modes import ModeEvaluation

_NAMED_MODES = 8  # lost modes whose names are printed


def modes(
    checkpoint: Checkpoint,
    n: Annotated[
        int | None,
        typer.Option("-n", min=1, max=1_000_000, help="Samples (2,500 points, 26,000 of stackedmnist, else 10,000)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples and of the floor.")] = 0,
    features: Annotated[
        str | None, typer.Option(help="Of images: classifier (trained once and kept), or classifier@FILE.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="The labelled training images, if they have moved.")] = None,
    size: Annotated[str | None, typer.Option(help="Crop and resize --against to HEIGHTxWIDTH.")] = None,
    picture: Annotated[
        str | None, typer.Option(metavar="X.png", help="Draw points over the data, or an image of each mode.")
    ] = None,
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File for the line of JSON (default: the run's metrics.jsonl).")
    ] = None,
    json: Json = False,
) -> None:
    """Count the modes that a generator of ring8, grid25, stackedmnist or labelled images covers.

    The floor is what as many draws from the true distribution get.

    gankit modes runs/gan-grid25-0001
    """
    save = store_path(out)
    drawn = None if picture is None else picture_path(picture, "--picture")[0]
    with console.log_to_stderr(), console.progress_bar():
        from gankit.sample.writers import write_image
        from gankit.score.evaluate import EvalSettings, store_of
        from gankit.score.modes import evaluate_modes

        settings = EvalSettings(
            against=against, size=size, features=features, device=device, variant=variant, extensions=with_ or ()
        )
        result = evaluate_modes(checkpoint, settings, n=n, seed=seed)
    store_and_show(checkpoint, result.evaluation, store_of(checkpoint, save), as_json=json)
    if not json:
        _show_lost(result)
    if drawn is not None:
        write_image(result.picture(), drawn, {"data": result.evaluation.data, "seed": seed})
        console.talk.print(f"picture in {printable(drawn)}", markup=False)


def _show_lost(result: ModeEvaluation) -> None:
    """Print a line about the modes without a good sample, and a line if no sample is good."""
    lost, total = result.lost, len(result.names)
    if len(lost) == total:
        console.paragraph("no sample is near a mode: JSD and KL of the counts are not defined")
    elif lost:
        more = f" and {len(lost) - _NAMED_MODES:,} more" if len(lost) > _NAMED_MODES else ""
        names = ", ".join(lost[:_NAMED_MODES])
        console.paragraph(f"{len(lost):,} of {total:,} modes without a good sample: {names}{more}")
