"""`gankit directions`: what a generator can be moved along, found, named, kept and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gankit.cli import console
from gankit.cli.edits import LatentsFile, Truncation, edit_of, latents_of
from gankit.cli.flags import Checkpoint, Device, File, Json, With, parse_seeds, path_of, picture_path
from gankit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from gankit.sample.directions import Direction, Edit
    from gankit.sample.generator import TrainedGenerator
    from gankit.sample.latents import Latents

DRAWN = 16  # directions in the picture
REACH = 3.0  # standard deviations
WEAK = 0.3  # correlation of a probe with labels below which a direction is not what its name says


def directions(
    checkpoint: Checkpoint,
    method: Annotated[
        Literal["sefa", "ganspace", "labels"],
        typer.Option(help="From the weights; from activations; or named by labels of the training data."),
    ] = "sefa",
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="Directions to keep, the strongest first.")] = 8,
    seeds: Annotated[str | None, typer.Option(help="Samples that are moved in the picture (0).")] = None,
    latents: LatentsFile = None,
    list_: Annotated[bool, typer.Option("--list", help="Only show the directions that are kept already.")] = False,
    against: Annotated[str | None, typer.Option(help="For labels: the training data, if they have moved.")] = None,
    features: Annotated[str | None, typer.Option(help="For labels: the space in which they are learnt.")] = None,
    labels_from: Annotated[
        str | None, typer.Option(metavar="CKPT", help="For labels: those of a conditional generator of these data.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=100, help="Pictures in a row, from -3 to 3 deviations.")] = 7,
    truncation: Truncation = 1.0,
    out: Annotated[str, typer.Option("-o", "--out", help="The picture: a row for each direction.")] = "directions.png",
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Find directions along which samples change, and keep them beside the checkpoint by name.

    gankit directions CKPT --method labels
    """
    import torch

    from gankit.sample.directions import directions_file, read_directions, write_directions
    from gankit.sample.generator import load
    from gankit.sample.walks import stops_of, with_conditions
    from gankit.store.find import generator_file

    path, _ = picture_path(out, "-o")
    numbers = parse_seeds(seeds or "0")
    if method != "labels" and (against, features, labels_from) != (None, None, None):
        raise InputError("--against, --features and --labels-from are for --method labels", hint="leave them out")
    if latents is not None and seeds is not None:
        raise InputError("--latents takes the place of --seeds", hint="leave one of them out")
    generator = load(checkpoint, device=device, variant=variant, extensions=with_ or ())
    file = directions_file(generator_file(checkpoint))
    with console.log_to_stderr(), console.progress_bar():
        kept = read_directions(file, generator) if file.exists() or list_ else {}
        given = latents_of(latents, generator)
        found, known = ([*kept.values()], {}) if list_ else _find(
            checkpoint, generator, method, n, against=against, features=features, sibling=labels_from
        )  # fmt: skip
    if not list_:
        write_directions([*({**kept, **{d.name: d for d in found}}).values()], file, generator)
    starts = stops_of(generator, numbers) if given is None else with_conditions(generator, given)
    drawn = found[:DRAWN]
    amounts = torch.linspace(-REACH, REACH, steps)
    pictured = generator.data.is_image and bool(drawn)
    if pictured:
        edit = edit_of(generator, checkpoint, truncation, None)
        _draw(generator, starts, drawn, amounts, edit, path)
    if json:
        console.print_json({
            "file": str(file), "picture": str(path) if pictured else None,
            "directions": [
                {"name": d.name, "method": d.method, "strength": round(d.strength, 6),
                 **({"labels": round(known[d.name], 4)} if d.name in known else {})} for d in found
            ],
        })  # fmt: skip
        return
    _tell(found, known)
    console.data.print(str(file), markup=False)
    if pictured:
        console.data.print(str(path), markup=False)
    if found:
        name, strongest = console.quoted(checkpoint), console.quoted(f"{found[0].name}=2")
        walk = f"gankit interpolate {name} --along {console.quoted(f'{found[0].name}=-3:3')} -o along.webp"
        console.next_steps(
            f"gankit sample {name} --move {strongest} -o moved.png", *([walk] if generator.data.is_image else [])
        )


def _find(
    checkpoint: Path,
    generator: TrainedGenerator,
    method: str,
    n: int,
    *,
    against: str | None,
    features: str | None,
    sibling: str | None,
) -> tuple[list[Direction], dict[str, float]]:
    """The directions of a method, and for labels how well they are known."""
    if method != "labels":
        from gankit.sample.search import ganspace, sefa

        return (sefa if method == "sefa" else ganspace)(generator, n), {}
    from gankit.score.evaluate import EvalSettings
    from gankit.score.labels import named_directions

    settings = EvalSettings(against=against, features=features, device=str(generator.device))
    named = named_directions(checkpoint, settings, None if sibling is None else path_of(sibling, "--labels-from"))
    return named.directions, named.known


def _draw(
    generator: TrainedGenerator, starts: Latents, drawn: list[Direction], amounts: Tensor, edit: Edit, path: Path
) -> None:
    """A row for each direction and start, under the amounts."""
    from gankit.sample.montage import titled_strips
    from gankit.sample.walks import along
    from gankit.sample.writers import write_image

    rows = [(found.name, strip) for found in drawn for strip in along(generator, starts, found, amounts, edit=edit)]
    titles, names = [f"{amount:+.1f}" for amount in amounts.tolist()], [name for name, _ in rows]
    picture = titled_strips([strip for _, strip in rows], titles, names)
    write_image(picture, path, {"directions": names, "amounts": titles})


def _tell(found: list[Direction], known: dict[str, float]) -> None:
    from rich.table import Table

    columns = {"sefa": "share of the change", "ganspace": "share of the variance", "labels": "fit on latents"}
    methods = {direction.method for direction in found}
    strength = columns[methods.pop()] if len(methods) == 1 else "strength"
    table = Table("direction", strength, *(["labels known"] if known else []), box=None, pad_edge=False)
    for direction in found:
        knows = [f"{known[direction.name]:.2f}"] if direction.name in known else []
        table.add_row(console.cell(direction.name), f"{direction.strength:.3f}", *knows)
    console.print_table(table)
    weak = [direction.name for direction in found if known.get(direction.name, 1.0) < WEAK]
    if weak:
        console.paragraph(
            f"Little is known of {', '.join(weak)}: the probe hardly finds them in the data, so these directions are "
            "guesses. Another --features may know more."
        )
