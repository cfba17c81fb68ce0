"""`gankit figure1d`: both densities and D(x) while a GAN learns a distribution that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import Json, complete_variant, key_values, picture_path
from gankit.errors import InputError
from gankit.settings.layers import Layer

FRAMES = 24
# On the line a discriminator near its optimum and a slow generator, as the argument of the articles has it; in the
# plane the variant's own settings.
LINE = {"z_dim": 1, "images": "1M", "batch": 512, "d_steps": 5, "d_lr": 2e-3, "g_lr": 5e-4}
PLANE = {"z_dim": 2, "images": "200k"}


def figure1d(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run on gaussian1d, ring8 or grid25 (else train one).")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(autocompletion=complete_variant, help="The variant to train, or the run's ./file.py.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("-o", "--option", metavar="KEY=VALUE", help="Option of the variant.")
    ] = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extension; may be repeated.")] = None,
    data: Annotated[
        str | None, typer.Option(help="gaussian1d (default), or ring8 or grid25 for a map of the plane.")
    ] = None,
    images: Annotated[str | None, typer.Option(help="Budget in samples shown to D (1M; in the plane 200k).")] = None,
    z_dim: Annotated[int | None, typer.Option(help="Length of z (1, for the arrows; 2 in the plane).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the training (default: 0).")] = None,
    moments: Annotated[int | None, typer.Option(min=2, max=200, help="Panels (6), or frames of a film (24).")] = None,
    out: Annotated[str, typer.Option("--out", help="x.png: panels; x.webp or x.gif: a film.")] = "figure1d.png",
    json: Json = False,
) -> None:
    """Draw the figure of the articles: real density, generator's density, D(x) and the way from z to x.

    D is compared with the best one, D*(x) = p / (p + p_g), where its scores are logits. Data of the plane get a map of
    D and the count of modes covered. A run is drawn at its start and at the checkpoints it keeps.

    gankit figure1d --data ring8 --out ring8.webp
    """
    from gankit.cli.live import LiveLine
    from gankit.look.figure import describe, figure_of_run, figure_of_training
    from gankit.look.figure_panels import film, strip
    from gankit.sample.montage import FORMATS
    from gankit.sample.writers import write_bytes, write_image

    path, suffix = picture_path(out, "--out", FORMATS)
    with console.log_to_stderr(), console.progress_bar():
        if run is not None:
            training = {"-o": option, "--data": data, "--images": images, "--z-dim": z_dim, "--seed": seed}
            useless = [flag for flag, value in {**training, "--moments": moments}.items() if value is not None]
            if useless:
                raise InputError(f"{', '.join(useless)}: the run has been trained", hint="leave them out, or RUN")
            found = figure_of_run(run, variant=variant, extensions=with_ or ())
        else:
            chosen = {"variant": variant, "data": data, "images": images, "z_dim": z_dim, "seed": seed}
            settings: dict[str, Any] = {"data": "gaussian1d", "device": "cpu", "extensions": with_ or []}
            settings |= LINE if data in (None, "gaussian1d") else PLANE
            settings |= {key: value for key, value in chosen.items() if value is not None}
            settings |= {"options": key_values(option)} if option else {}
            count = moments or (6 if suffix == ".png" else FRAMES)
            layers = [Layer("flag", settings)]
            live = LiveLine()
            found = figure_of_training(layers, moments=count, observers=[live], on_step=live.after_step)
    rows = describe(found)
    if suffix == ".png":
        write_image(strip(found), path, {"data": found.data, "moments": rows})
    else:
        write_bytes(film(found, suffix), path)
    if json:
        console.print_json({"out": str(path), "data": found.data, "scores": found.meaning, "moments": rows})
        return
    for row in rows:
        facts = ", ".join(f"{name} {value:.3g}" for name, value in row.items() if name != "images_seen")
        console.data.print(f"{row['images_seen']:>10,} samples  {facts}".rstrip(), markup=False)
    console.data.print(str(path), markup=False)
