"""`gankit data`: shows what data hold and how they are seen, packs them into one file, checks such a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gankit.cli import console
from gankit.cli.flags import (
    Background,
    Channels,
    Frames,
    ImageColumn,
    Json,
    Kind,
    Labels,
    Length,
    Range,
    data_flags,
    path_of,
    picture_path,
)
from gankit.cli.settings import OPTIONS, merged, takes_settings
from gankit.settings.layers import Layer

if TYPE_CHECKING:
    from gankit.data.formats.pack import PackHeader

app = typer.Typer(
    help="Look at data; pack them into one file, and check such a file.\n\ngankit data info ./photos",
    no_args_is_help=True,
)

PREPARATION = ("size", "value_range", "channels", "background", "frames", "labels", "image_column", "on_bad_image")
Packed = Annotated[Path, typer.Argument(metavar="FILE.gkpack", help="A packed data set.")]


@app.command()
def pack(
    source: Annotated[str, typer.Argument(metavar="DATA", help="Anything that `gankit train --data` reads.")],
    out: Annotated[str, typer.Option("-o", "--out", metavar="FILE.gkpack", help="The file to write.")],
    size: Annotated[str | None, typer.Option(help="Crop and resize to HEIGHTxWIDTH, or 64.")] = None,
    range_: Range = None,
    channels: Channels = None,
    background: Background = None,
    frames: Frames = "first",
    labels: Labels = None,
    image_column: ImageColumn = None,
    on_bad_image: Annotated[
        Literal["error", "skip"], typer.Option(help="Whether an unreadable image is an error or is skipped.")
    ] = "error",
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extension with data sets; repeatable.")] = None,
    json: Json = False,
) -> None:
    """Decode images once into one file, from which runs start at once and which may be larger than the memory.

    The same command continues an interrupted one. Training on the file equals training on the source, bit for bit.

    gankit data pack ./photos --size 64 -o photos64.gkpack
    """
    path = path_of(out, "--out")
    with console.log_to_stderr(), console.progress_bar():
        from gankit import core
        from gankit.data import Preparation
        from gankit.data.formats.packing import pack_dataset
        from gankit.host import discovery

        extensions = [discovery.find(name, discovery.EXTENSIONS) for name in with_ or ()]
        catalogue = core.compose_catalogues(extensions).catalogue("gankit_datasets")
        chosen = {"size": size, "value_range": range_, "channels": channels, "frames": frames, "background": background}
        chosen |= {"on_bad_image": on_bad_image}
        chosen |= {"labels": labels, "image_column": image_column}
        header = pack_dataset(source, path, catalogue, Preparation.of(chosen))
    _show(path, header, as_json=json)


@app.command()
def check(packed: Packed, json: Json = False) -> None:
    """Read a whole packed data set and compare it with its digests.

    gankit data check photos64.gkpack
    """
    with console.progress_bar():
        from gankit.data.formats.pack import check_pack

        header = check_pack(packed)
    _show(packed, header, as_json=json)


@app.command()
def info(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Anything that `gankit train --data` reads.")],
    size: Annotated[str | None, typer.Option(help="Crop and resize to HEIGHTxWIDTH, or 64.")] = None,
    range_: Range = None,
    channels: Channels = None,
    kind: Kind = None,
    length: Length = None,
    background: Background = None,
    frames: Frames = "first",
    labels: Labels = None,
    image_column: ImageColumn = None,
    with_: Annotated[list[str] | None, typer.Option("--with", help="Extension with data sets; repeatable.")] = None,
    json: Json = False,
) -> None:
    """Show what a data set holds: numbers, sizes, classes, values, near-duplicates, and what is left out and why.

    gankit data info ./photos
    """
    path = Path(data)
    chosen = {"size": size, "value_range": range_, "channels": channels, "kind": kind, "length": length}
    chosen |= {"background": background, "frames": frames, "labels": labels, "image_column": image_column}
    decides = (size, range_, channels, background, labels, image_column)
    if path.suffix == ".gkpack" and path.is_file() and not any(decides):
        from gankit.data.formats.pack import read_pack_header

        _show(path, read_pack_header(path), as_json=json)
        return
    with console.log_to_stderr(), console.progress_bar():
        from gankit.data import Preparation
        from gankit.look.data_sheet import data_sheet

        sheet = data_sheet(data, Preparation.of(chosen), with_ or ())
    facts = sheet.facts()
    if json:
        console.print_json(facts)
        return
    for key, value in sheet.lines().items():
        console.paragraph(value, label=key, indent=12)
    words = " ".join([console.quoted(data), *data_flags(chosen)])
    console.next_steps(f"gankit data preview {words}", f"gankit advise {words}")


@app.command()
@takes_settings((*PREPARATION, "kind", "length", "extensions", OPTIONS, "variant"))
def preview(
    layers: list[Layer],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Anything that `gankit train --data` reads.")],
    n: Annotated[int, typer.Option("-n", min=1, max=1024, help="Samples.")] = 64,
    out: Annotated[str, typer.Option("-o", "--out", metavar="PNG", help="The picture.")] = "preview.png",
    json: Json = False,
) -> None:
    """Draw samples as the discriminator sees them in the first step: cropped, resized, and augmented if asked.

    gankit data preview ./photos --size 64 --with diffaugment
    """
    path, _ = picture_path(out, "-o")
    with console.log_to_stderr(), console.progress_bar():
        from gankit.look.data_sheet import preview as draw
        from gankit.sample.writers import write_image

        settings = merged(layers)
        image = draw(data, settings, n)
    write_image(image, path, {"data": data})
    if json:
        console.print_json({"out": str(path), "data": data})
    else:
        console.data.print(str(path), markup=False)
        console.next_steps(" ".join([f"gankit train --data {console.quoted(data)}", *data_flags(settings)]))


def _show(path: Path, header: PackHeader, *, as_json: bool) -> None:
    count, channels, height, width = header.shape
    facts: dict[str, Any] = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "images": count,
        "shape": [channels, height, width],
        "classes": None if header.classes is None else list(header.classes),
        "conditions": header.conditions,
        "attributes": [attribute.name for attribute in header.attributes],
        "fingerprint": header.fingerprint,
        "source": header.source,
        "notes": list(header.notes),
        "made_by": header.made_by,
    }
    if as_json:
        console.print_json(facts)
        return
    rows = {**facts, "images": f"{count:,}", "bytes": f"{facts['bytes']:,}", "shape": f"{channels}x{height}x{width}"}
    classes = header.classes or ()
    names = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
    rows["classes"] = f"{len(classes):,} ({names})" if classes else "none"
    rows["conditions"] = f"vectors of length {header.conditions:,}" if header.conditions else "none"
    rows["attributes"] = ", ".join(facts["attributes"]) or "none"
    rows["notes"] = "; ".join(header.notes) or "none"
    for key, value in rows.items():
        console.paragraph(str(value), label=key, indent=12)
