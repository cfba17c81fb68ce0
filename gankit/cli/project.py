"""`gankit project`: photos as latents, so that they can be sampled, walked between and moved."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gankit.cli import console
from gankit.cli.flags import Checkpoint, Device, File, Json, With, keep_inputs, path_of
from gankit.errors import InputError

if TYPE_CHECKING:
    from gankit.score.project import Projected

SHOWN = 10  # pictures whose errors are listed, and drawn


def project(
    checkpoint: Checkpoint,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Pictures, or folders or zips of them.")],
    mask: Annotated[
        str | None, typer.Option(metavar="PICTURE", help="White is known, black is filled in (inpainting).")
    ] = None,
    factor: Annotated[int, typer.Option(min=1, help="Compare at 1/factor of the size: detail is filled in.")] = 1,
    features: Annotated[bool, typer.Option("--features", help="Features of lite0 count as much as pixels.")] = False,
    space: Annotated[
        Literal["z", "w", "w+"] | None,
        typer.Option(help="Where to search; w and w+ (one for each layer) need styles (default: w, else z)."),
    ] = None,
    class_: Annotated[
        str | None, typer.Option("--class", "--label", help="Class or attributes of all (default: the nearest).")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of Adam from each start.")] = 200,
    restarts: Annotated[int, typer.Option(min=1, help="Starts, at the nearest of 4,096 samples.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of these samples.")] = 0,
    alone: Annotated[
        bool, typer.Option("--alone", help="Leave out the errors of own samples and training data.")
    ] = False,
    against: Annotated[str | None, typer.Option(help="The training data, if they have moved.")] = None,
    out: Annotated[
        str, typer.Option("-o", "--out", help="The latents; a picture lies beside: projected-steps.png.")
    ] = "projected.npz",
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Find the latents whose samples are nearest to photos: by Adam, from the nearest samples.

    gankit project CKPT me.jpg -o me.npz
    """
    from gankit.sample.generator import load
    from gankit.sample.latent_file import write_latents
    from gankit.score.evaluate import EvalSettings
    from gankit.score.project import Projection, read_mask
    from gankit.score.project import project as compute

    path = path_of(out, "-o")
    if path.suffix.lower() != ".npz":
        raise InputError(f"{out}: latents are an .npz file", hint="-o me.npz")
    for photo in photos:
        for made in (path, picture_of(path)):
            if photo.resolve() in (made.resolve(), *made.resolve().parents):
                same = photo.resolve() == made.resolve()
                what = "is a photo, and would be overwritten" if same else f"would lie among the photos in {photo}"
                raise InputError(f"{made} {what}", hint="another -o")
    keep_inputs(path, checkpoint, mask)
    keep_inputs(picture_of(path), mask)
    settings = EvalSettings(against=against, device=device, variant=variant, extensions=with_ or ())
    generator = load(checkpoint, device=device, variant=variant, extensions=with_ or ())
    with console.log_to_stderr():
        known = None if mask is None else read_mask(path_of(mask, "--mask"), generator)
    how = Projection(
        where=space, restarts=restarts, steps=steps, features=features, factor=factor, mask=known, label=class_,
        seed=seed, compare=not alone,
    )  # fmt: skip
    with console.log_to_stderr(), console.progress_bar():
        found = compute(checkpoint, photos, how, settings)
    write_latents(found.latents, path, generator, errors=found.errors)
    picture = None
    if generator.data.is_image:
        picture = picture_of(path)
        _draw(found, picture)
    if json:
        console.print_json({
            "out": str(path), "picture": None if picture is None else str(picture),
            "errors": dict(zip(found.names, found.errors, strict=True)),
            "beside": {name: list(errors) for name, errors in found.beside.items()}, "notes": list(found.notes),
        })  # fmt: skip
        return
    _tell(found, path, picture)
    name = console.quoted(checkpoint)
    walk = len(found.names) > 1 and generator.data.is_image
    more = (f"gankit interpolate {name} --latents {console.quoted(path)}",) if walk else ()
    again = f"gankit sample {name} --latents {console.quoted(path)} -o samples.png"
    console.next_steps(again, *more, f"gankit directions {name} --latents {console.quoted(path)}")


def picture_of(latents: Path) -> Path:
    """The picture beside a file of latents; its name is none that a photo has by chance."""
    return latents.with_name(f"{latents.stem}-steps.png")


def _draw(found: Projected, picture: Path) -> None:
    """Photo, the search at its start, after 5 % and 20 % of the steps, the result, and with a mask both in one."""
    import torch

    from gankit.modality.images import pixels_of
    from gankit.sample.montage import titled_strips
    from gankit.sample.writers import write_image

    columns = [found.targets[:SHOWN], *found.steps[:SHOWN].unbind(1)]
    titles = ["photo", "start", "5 %", "20 %", "result"]
    if found.merged is not None:
        columns, titles = [*columns, found.merged[:SHOWN]], [*titles, "filled in"]
    names = list(found.names[:SHOWN])
    rows = [pixels_of(row) for row in torch.stack(columns, dim=1)]
    write_image(titled_strips(rows, titles), picture, {"photos": names})


def _tell(found: Projected, path: Path, picture: Path | None) -> None:
    from rich.table import Table

    for note in found.notes:
        console.say(note)
    table = Table("pictures", "error", box=None, pad_edge=False)
    for name, error in list(zip(found.names, found.errors, strict=True))[:SHOWN]:
        table.add_row(console.cell(name), f"{error:.4f}")
    if len(found.names) > SHOWN:
        table.add_row(f"all {len(found.names):,}", _spread(found.errors))
    for name, errors in found.beside.items():
        table.add_row(console.cell(f"{len(errors)} of {name}"), _spread(errors))
    console.print_table(table)
    what = "the compared pixels, from 0 to 1" if picture else "values as the network makes them, halved"
    console.paragraph(f"Error: root of the mean squared difference of {what}.")
    for file in (path, picture):
        if file is not None:
            console.data.print(str(file), markup=False)


def _spread(errors: tuple[float, ...]) -> str:
    return f"{statistics.median(errors):.4f} ({min(errors):.4f} to {max(errors):.4f})"
