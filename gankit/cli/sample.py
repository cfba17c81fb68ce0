"""`gankit sample`: pictures from one file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from gankit.cli import console
from gankit.cli.edits import DirectionsFile, LatentsFile, Moves, Truncation, edit_of, latents_of
from gankit.cli.flags import (
    MAX_SEEDS,
    Checkpoint,
    Device,
    File,
    Json,
    With,
    keep_inputs,
    parse_seeds,
    parse_vector,
    path_of,
)
from gankit.errors import InputError

if TYPE_CHECKING:
    from gankit.sample.generator import TrainedGenerator


def _labels(generator: TrainedGenerator, names: list[str]) -> list[str]:
    """The named classes or attributes, or 'all' of them; InputError for one that is named twice."""
    data = generator.data
    if names == ["all"] and data.attributes and "all" not in {attribute.name for attribute in data.attributes}:
        named = [attribute.name for attribute in data.attributes if attribute.kind == "binary"]
        if not named:
            raise InputError("the generator takes numbers only: there is no row for 'all'", hint="--label age=35")
        return named
    if names == ["all"] and "all" not in data.classes:
        generator.label_of(0)  # raises the error for a generator without classes
        return list(data.classes)
    labels = names if data.attributes else [generator.label_of(name) for name in names]
    if len(set(labels)) < len(labels):
        raise InputError(f"--class: {', '.join(names)} name a class twice", hint="name each class once")
    return names


def sample(
    checkpoint: Checkpoint,
    seeds: Annotated[str | None, typer.Option(help="One sample per seed, e.g. 0,1,4-6 (default: 0-63).")] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, max=MAX_SEEDS, help="Number of samples: seeds 0 to n-1.")
    ] = None,
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            "--label",
            help="Class by name or index, or attributes (smiling,male=0), or 'all': a row each; may be repeated.",
        ),
    ] = None,
    condition: Annotated[
        str | None, typer.Option(help="Condition vector of all samples, e.g. 0.5,-1, if the network takes vectors.")
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "-o",
            "--out",
            help="x.png: a contact sheet; a folder or x.zip: PNGs with their labels; x.npz: arrays.",
        ),
    ] = "samples.png",
    batch: Annotated[
        int, typer.Option(min=1, max=1 << 20, help="Samples made at a time; it does not change them.")
    ] = 64,
    captions: Annotated[bool, typer.Option("--captions", help="The seed below each picture of a sheet.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the samples of another generator in the folder.")
    ] = False,
    latents: LatentsFile = None,
    truncation: Truncation = 1.0,
    move: Moves = None,
    directions: DirectionsFile = None,
    device: Device = "auto",
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Sample a trained generator; one file is enough.

    gankit sample generator.safetensors --seeds 0,1,4-6 -o out/
    """
    if sum(value is not None for value in (seeds, n, latents)) > 1:
        raise InputError("--seeds, -n and --latents exclude each other", hint="-n 100 means --seeds 0-99")
    count = n if n is not None else 8 if class_ and (len(class_) > 1 or class_ == ["all"]) else 64
    numbers = parse_seeds(seeds) if seeds is not None else list(range(count))
    if directions is not None and not move:
        raise InputError("--directions names the file of --move", hint="--move NAME=2, or leave it out")
    keep_inputs(path_of(out, "-o"), checkpoint, latents)
    from gankit.sample.generator import load
    from gankit.sample.request import Request
    from gankit.sample.writers import write_samples

    generator = load(checkpoint, device=device, variant=variant, extensions=with_ or ())
    with console.log_to_stderr():
        edit = edit_of(generator, checkpoint, truncation, move, directions)
        given = latents_of(latents, generator)
    if given is not None:
        numbers = list(range(len(given)))
    if class_ and condition is not None:
        raise InputError("--class and --condition exclude each other")
    vector = None if condition is None else generator.condition(vector=parse_vector(condition))
    request = Request(generator, numbers, _labels(generator, class_ or []), vector, batch, captions, given, edit)
    if len(request) > MAX_SEEDS:
        raise InputError(f"{len(request):,} samples are more than {MAX_SEEDS:,}", hint="sample them in several parts")
    started = time.monotonic()
    with console.progress_bar():
        write_samples(request, path_of(out, "-o"), replace=replace)
    seconds = time.monotonic() - started
    if json:
        facts = {"variant": generator.header.variant.name, "images_seen": generator.header.images_seen}
        facts |= {"labels": [vars(asked) for asked in request.asked]} if request.asked else {}
        console.print_json({"out": str(out), "samples": len(request), "seconds": round(seconds, 3), **facts})
    else:
        console.data.print(f"{out}  {len(request):,} samples in {seconds:.1f} s", markup=False)
        for asked in request.asked:
            console.say(
                f"{asked.label}: {asked.share:.1%} of the training data"
                + ("" if asked.share else ", so the rest is as in all of them")
            )
        name = console.quoted(checkpoint)
        pictures = (f"gankit interpolate {name}", f"gankit neighbours {name}") if generator.data.is_image else ()
        console.next_steps(f"gankit eval {name}", *pictures)
