"""`gankit interpolate`, `mix`, `arithmetic` and `neighbours`: pictures of what a generator has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.concepts import propose
from gankit.cli.edits import DirectionsFile, LatentsFile, Moves, Truncation, edit_of, latents_of, way_of
from gankit.cli.flags import Checkpoint, Device, File, Json, With, parse_path, parse_seeds, picture_path
from gankit.errors import InputError


def interpolate(
    checkpoint: Checkpoint,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds of the samples that the walk visits (0-4; with --along 0).")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=2, max=1000, help="Images of a walk, both ends included (10; in a film 30).")
    ] = None,
    class_: Annotated[
        list[str] | None,
        typer.Option("--class", "--label", help="Class, or attributes (smiling=0); a second one: the end of the walk."),
    ] = None,
    latents: LatentsFile = None,
    along: Annotated[
        str | None,
        typer.Option(metavar="NAME=LOW:HIGH", help="Along a direction instead, in standard deviations: smile=-3:3."),
    ] = None,
    truncation: Truncation = 1.0,
    move: Moves = None,
    directions: DirectionsFile = None,
    out: Annotated[str, typer.Option("-o", "--out", help="x.png: a film strip; x.webp or x.gif: a film.")] = (
        "interpolation.png"
    ),
    fps: Annotated[int, typer.Option(min=1, max=100, help="Images per second in a film.")] = 20,
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Walk from sample to sample through the latent space: along arcs for a normal z, lines for a uniform one.

    gankit interpolate CKPT --seeds 3,8,20 -o walk.webp
    """
    import torch

    from gankit.sample import walks
    from gankit.sample.generator import load
    from gankit.sample.montage import FORMATS, film, film_strip
    from gankit.sample.writers import write_picture

    path, suffix = picture_path(out, "-o", FORMATS)
    if class_ and len(class_) > 2:
        raise InputError(f"{len(class_)} classes", hint="one class, or two to go from one to the other")
    if latents is not None and (seeds is not None or class_):
        raise InputError("--latents takes the place of --seeds and --class", hint="leave these out")
    if along is not None and class_ and len(class_) > 1:
        raise InputError("two classes are a walk of their own", hint="with --along one class, or leave --along out")
    if directions is not None and not move and along is None:
        raise InputError("--directions names the file of --move and --along", hint="--move NAME=2, or leave it out")
    generator = load(checkpoint, device=device, variant=variant, extensions=with_ or ())
    with console.log_to_stderr():
        edit = edit_of(generator, checkpoint, truncation, move, directions)
        given = latents_of(latents, generator)
        way = None if along is None else way_of(along, generator, checkpoint, directions)
    numbers = list(range(len(given))) if given is not None else parse_path(seeds or ("0" if way else "0-4"))
    count = steps or (10 if suffix == ".png" else 30)
    walks.drawable(generator, (len(numbers) - (way is None)) * count, "a walk")  # before a z is drawn for each seed
    if given is None:
        stops = walks.stops_of(generator, numbers, class_ or ())
    else:
        stops = walks.with_conditions(generator, given)
    if way is None:
        rows = walks.interpolate(generator, stops, count, edit=edit)
    else:
        direction, layers, low, high = way
        amounts = torch.linspace(low, high, count)
        rows = walks.along(generator, stops, direction, amounts, layers=layers, edit=edit)
    picture = film_strip(rows) if suffix == ".png" else film(list(walks.there_and_back(rows)), suffix, fps)
    write_picture(picture, path, generator, numbers, given, edit)
    facts = {"walks": len(rows), "seeds" if given is None else "latents": numbers}
    _print_result(path, facts, f"gankit directions {console.quoted(checkpoint)}", as_json=json)


def mix(
    checkpoint: Checkpoint,
    coarse: Annotated[str, typer.Option(help="Seeds of the rows, whose styles the first layers take.")] = "0-3",
    fine: Annotated[str, typer.Option(help="Seeds of the columns, whose styles the other layers take.")] = "10-15",
    first: Annotated[
        int | None, typer.Option("--from", min=1, help="The first layer of the columns (the middle one).")
    ] = None,
    truncation: Truncation = 1.0,
    out: Annotated[str, typer.Option("-o", "--out", help="The picture.")] = "mixing.png",
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Draw a table of mixed styles: coarse ones of the rows, fine ones of the columns. For generators with styles.

    gankit mix CKPT --coarse 0-3 --fine 10-15 --from 4
    """
    from gankit.modality.images import pixels_of
    from gankit.sample.generator import load
    from gankit.sample.latents import is_styled
    from gankit.sample.montage import mixing_table
    from gankit.sample.walks import mixed, stops_of
    from gankit.sample.writers import write_picture

    path, _ = picture_path(out, "-o")
    generator = load(checkpoint, device=device, variant=variant, extensions=with_ or ())
    edit = edit_of(generator, checkpoint, truncation, None)
    seeds = parse_seeds(coarse, "--coarse"), parse_seeds(fine, "--fine")
    layer = first or (generator.module.styles // 2 if is_styled(generator.module) else 1)
    rows, columns = (stops_of(generator, part) for part in seeds)
    tables = mixed(generator, rows, columns, layer, edit=edit)
    left, above = (pixels_of(generator.render(edit(part, generator))) for part in (rows, columns))
    write_picture(mixing_table(left, above, tables), path, generator, [*seeds[0], *seeds[1]], edit=edit)
    facts = {"coarse": seeds[0], "fine": seeds[1], "from": layer}
    _print_result(path, facts, f"gankit directions {console.quoted(checkpoint)}", as_json=json)


def arithmetic(
    checkpoint: Checkpoint,
    plus: Annotated[
        list[str] | None,
        typer.Option(help="Seeds whose mean is added, e.g. 1,4,7; may be repeated. Without it seeds are proposed."),
    ] = None,
    minus: Annotated[list[str] | None, typer.Option(help="Seeds whose mean is subtracted; may be repeated.")] = None,
    class_: Annotated[
        str | None, typer.Option("--class", "--label", help="Class, or attributes (smiling,male=0), for all pictures.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise around the result.")] = 0,
    against: Annotated[str | None, typer.Option(help="To propose seeds: the training data, if it has moved.")] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="The picture of the equation (arithmetic.png).")
    ] = None,
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Add and subtract concepts: each is the mean of the latent vectors of some seeds (DCGAN, section 6.3.2).

    Without --plus it proposes seeds for a model of labelled images: samples of whose class a classifier is sure.

    gankit arithmetic CKPT --plus 1,4,7 --minus 2,5,8 --plus 3,6,9
    """
    options: dict[str, Any] = {"device": device, "variant": variant, "extensions": with_ or ()}
    if not plus:
        unused = {"--minus": minus, "--class": class_, "-o": out}
        given = [flag for flag, value in unused.items() if value is not None]
        if given:
            raise InputError(f"{', '.join(given)}: there is no equation without --plus", hint="--plus 1,4,7")
        propose(checkpoint, against, options, json=json)
        return
    if against is not None:
        raise InputError("--against is for proposing seeds", hint="leave out --against, or --plus")
    from gankit.sample.generator import load
    from gankit.sample.montage import equation
    from gankit.sample.walks import arithmetic as compute
    from gankit.sample.writers import write_picture

    path, _ = picture_path("arithmetic.png" if out is None else out, "-o")
    generator = load(checkpoint, **options)
    groups = [parse_seeds(text, "--plus") for text in plus], [parse_seeds(text, "--minus") for text in minus or []]
    result = compute(generator, *groups, label=class_, seed=seed)
    columns = [("+" if group.sign > 0 else "-", group.images, group.mean) for group in result.groups]
    seeds = [number for group in result.groups for number in group.seeds]
    write_picture(equation(columns, result.results), path, generator, seeds)
    facts = {"plus": groups[0], "minus": groups[1]}
    _print_result(path, facts, f"gankit interpolate {console.quoted(checkpoint)}", as_json=json)


def neighbours(
    checkpoint: Checkpoint,
    seeds: Annotated[str, typer.Option(help="One row per seed.")] = "0-7",
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Training images beside each sample.")] = 5,
    features: Annotated[
        str, typer.Option(help="Space of the distances: pixels, or a feature space of `gankit eval`.")
    ] = "pixels",
    against: Annotated[str | None, typer.Option(help="The training data, if it has moved.")] = None,
    size: Annotated[str | None, typer.Option(help="Crop and resize --against to HEIGHTxWIDTH.")] = None,
    out: Annotated[str, typer.Option("-o", "--out", help="The picture.")] = "neighbours.png",
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Draw the nearest training images beside samples. A near image does not prove copying: see `gankit eval`.

    gankit neighbours RUN --seeds 0-7 -k 5
    """
    from gankit.look.neighbours import neighbours as compute
    from gankit.sample.montage import beside
    from gankit.sample.writers import write_image
    from gankit.score.evaluate import EvalSettings

    path, _ = picture_path(out, "-o")
    settings = EvalSettings(against=against, size=size, device=device, variant=variant, extensions=with_ or ())
    with console.log_to_stderr(), console.progress_bar():
        near = compute(checkpoint, parse_seeds(seeds), k, features=features, settings=settings)
    notes = [[f"{distance:.2f}" for distance in row] for row in near.distances.tolist()]
    write_image(beside(near.samples, near.images, notes), path, {"seeds": list(near.seeds), "space": near.space})
    rows = [
        {"seed": seed, "indices": indices, "distances": [round(d, 6) for d in distances]}
        for seed, indices, distances in zip(near.seeds, near.indices.tolist(), near.distances.tolist(), strict=True)
    ]
    facts = {"space": near.space, "neighbours": rows}
    _print_result(path, facts, f"gankit eval {console.quoted(checkpoint)}", as_json=json)


def _print_result(path: Path, facts: dict[str, Any], next_step: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"out": str(path), **facts})
    else:
        console.data.print(str(path), markup=False)
        console.next_steps(next_step)
