"""`gankit figure1d`: both densities and D(x) while a GAN learns a known distribution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.cli import console
from gankit.cli.flags import Json, picture_path
from gankit.cli.settings import OPTIONS, merged, takes_settings
from gankit.errors import InputError
from gankit.settings.layers import Layer

if TYPE_CHECKING:
    from gankit.look.figure import Figure

PANELS, FRAMES = 6, 24
SETTINGS = ("variant", OPTIONS, "extensions", "data", "images", "z_dim", "seed")
OF_A_RUN = ("variant", "extensions")
"""Settings that apply to the figure of a run; the others are for training."""


@takes_settings(SETTINGS)
def figure1d(
    layers: list[Layer],
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run on gaussian1d, ring8 or grid25 (else train one).")
    ] = None,
    moments: Annotated[int | None, typer.Option(min=2, max=200, help="Panels (6), or frames of a film (24).")] = None,
    out: Annotated[str, typer.Option("-o", "--out", help="x.png: panels; x.webp or x.gif: a film.")] = "figure1d.png",
    json: Json = False,
) -> None:
    """Draw the figure of GAN articles: real density, generator's density, D(x) and arrows from z to x.

    D is compared with the optimum D*(x) = p / (p + p_g) if its scores are logits. Data in 2-D get a map of D and the
    number of covered modes. A run is drawn at its start and at the checkpoints it keeps.

    gankit figure1d --data ring8 -o ring8.webp
    """
    from gankit.look.figure import describe
    from gankit.look.figure_panels import film, strip
    from gankit.sample.montage import FORMATS
    from gankit.sample.writers import write_bytes, write_image

    path, suffix = picture_path(out, "--out", FORMATS)
    with console.log_to_stderr(), console.progress_bar():
        if run is not None:
            figure = _of_run(run, layers, moments)
        else:
            figure = _of_training(layers, moments or (PANELS if suffix == ".png" else FRAMES))
    rows = describe(figure)
    if suffix == ".png":
        write_image(strip(figure), path, {"data": figure.data, "moments": rows})
    else:
        write_bytes(film(figure, suffix), path)
    if json:
        console.print_json({"out": str(path), "data": figure.data, "scores": figure.meaning, "moments": rows})
        return
    for row in rows:
        facts = ", ".join(f"{name} {value:.3g}" for name, value in row.items() if name != "images_seen")
        console.data.print(f"{row['images_seen']:>10,} samples  {facts}".rstrip(), markup=False)
    console.data.print(str(path), markup=False)


def _of_run(run: Path, layers: list[Layer], moments: int | None) -> Figure:
    from gankit.look.figure import figure_of_run

    settings = merged(layers)
    unused = [f"--{name.replace('_', '-')}" for name in settings if name not in OF_A_RUN]
    if unused or moments is not None:
        flags = ", ".join([*unused, *(["--moments"] if moments is not None else [])]).replace("--options", "--set")
        raise InputError(f"{flags}: the run has been trained", hint="leave them out, or RUN")
    return figure_of_run(run, variant=settings.get("variant"), extensions=settings.get("extensions", ()))


def _of_training(layers: list[Layer], moments: int) -> Figure:
    from gankit.cli.live import LiveLine
    from gankit.look.figure import figure_of_training, with_defaults

    live = LiveLine()
    return figure_of_training(with_defaults(layers), moments=moments, observers=[live], on_step=live.after_step)
