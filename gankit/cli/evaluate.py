"""`gankit eval` and `gankit manifold`: scores of one set of samples, with their floor and their protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gankit.cli import console
from gankit.cli.flags import Background, Channels, Device, File, ImageColumn, Json, Kind, Labels, Length, Range
from gankit.cli.scores import store_and_show, store_path
from gankit.errors import InputError


def evaluate(
    target: Annotated[
        Path, typer.Argument(metavar="CKPT|DIR|ZIP|NPZ", help="A .safetensors file, a run, or a set of images.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="DATA", help="The real data (default: that of the checkpoint).")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Crop and resize to HEIGHTxWIDTH, or 64.")] = None,
    range_: Range = None,
    channels: Channels = None,
    kind: Kind = None,
    length: Length = None,
    background: Background = None,
    frames: Annotated[
        Literal["first", "all"] | None, typer.Option(help="Of files with several frames or pages: the first, or each.")
    ] = None,
    labels: Labels = None,
    image_column: ImageColumn = None,
    split: Annotated[str, typer.Option(help="Split of the real data: train or test.")] = "train",
    features: Annotated[
        str | None,
        typer.Option(
            help="classifier, lite0, lite0@SIDE, inception, inception@FILE (default: the best one available)."
        ),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Some of fid, kid, is, pr, dc, duplicates (default: all), or recovery.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, max=10_000_000, help="Samples (default: 10,000 or half of the data).")
    ] = None,
    real: Annotated[
        str | None, typer.Option(help="Real images in the reference: a number, or all (default: as -n).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples and of the choice of real images.")] = 0,
    on_bad_image: Annotated[
        Literal["error", "skip"] | None, typer.Option(help="Whether an unreadable image is an error or is skipped.")
    ] = None,
    device: Device = "auto",
    variant: File = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extensions with data, features, metrics.")] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File for the line of JSON (default: the run's metrics.jsonl).")
    ] = None,
    json: Json = False,
) -> None:
    """Score a checkpoint, or a set of images, against real data.

    gankit eval generator.safetensors
    gankit eval fakes/ --against photos/ --size 64
    """
    save = store_path(out)
    with console.log_to_stderr(), console.progress_bar():
        from gankit.score.evaluate import EvalSettings, score, store_of

        settings = EvalSettings(
            against=against,
            size=size,
            value_range=range_,
            channels=channels,
            kind=kind,
            length=length,
            background=background,
            frames=frames,
            split=split,
            features=features,
            metrics=None if metrics is None else _names(metrics),
            n=n,
            n_real=None if real is None else _count(real),
            seed=seed,
            on_bad_image=on_bad_image,
            labels=labels,
            image_column=image_column,
            device=device,
            variant=variant,
            extensions=with_ or (),
        )
        evaluation = score(target, settings)
    store_and_show(target, evaluation, store_of(target, save), as_json=json)


def manifold(
    checkpoint: Annotated[Path, typer.Argument(metavar="CKPT", help="A .safetensors file, or a run.")],
    n: Annotated[int, typer.Option("-n", min=1, max=10_000, help="Samples, and test polygons.")] = 1024,
    delta: Annotated[float, typer.Option(min=0, help="Squared distance below which images are near.")] = 0.75,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples and of the searches.")] = 0,
    device: Device = "auto",
    variant: File = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="The extensions, when one is a file.")] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File for the line of JSON (default: the run's metrics.jsonl).")
    ] = None,
    json: Json = False,
) -> None:
    """Precision, recall and F1 on the manifold of polygons ("Are GANs Created Equal?").

    gankit manifold runs/gan-triangles-0001
    """
    save = store_path(out)
    with console.log_to_stderr(), console.progress_bar():
        from gankit.sample.generator import LoadOptions
        from gankit.score.evaluate import store_of
        from gankit.score.manifold import evaluate_manifold

        evaluation = evaluate_manifold(
            checkpoint,
            LoadOptions(device=device, variant=variant, extensions=with_ or ()),
            n=n,
            delta=delta,
            seed=seed,
        )
    store_and_show(checkpoint, evaluation, store_of(checkpoint, save), as_json=json)


def _count(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    if not text.isdecimal() or not 0 < int(text[:10]) < 10_000_000:
        raise InputError(f"--real {text}: not a number of images", hint="for example --real 5000, or --real all")
    return int(text)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("--metrics is empty", hint="for example --metrics fid,pr")
    return names
