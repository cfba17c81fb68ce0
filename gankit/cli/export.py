"""`gankit export`: a generator as a file that runs without gankit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gankit.base.text import printable
from gankit.cli import console
from gankit.cli.flags import Checkpoint, File, Json, With, parse_seeds, path_of

if TYPE_CHECKING:
    from gankit.sample.export import Exported


def export(
    checkpoint: Checkpoint,
    to: Annotated[
        Literal["onnx", "pt2", "torchscript", "safetensors-hf"] | None,
        typer.Option(metavar="FORMAT", help="onnx, pt2 (torch.export), torchscript, or safetensors-hf: a folder."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="The file (generator.onnx; its suffix is a --to).")
    ] = None,
    pixels: Annotated[
        Literal["uint8", "float"] | None,
        typer.Option(metavar="TYPE", help="uint8 [N, H, W, C] as gankit sample, or float: the network's [N, C, H, W]."),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(metavar="TYPE", help="fp32, fp16, or int8 (of onnx).")
    ] = "fp32",
    opset: Annotated[
        int | None, typer.Option(min=18, max=30, help="Operator set of ONNX (that of the exporter).")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Also write the inputs of seeds, e.g. 0-63: those of gankit sample.")
    ] = None,
    latents: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where to: x.npz or x.json (NAME.seeds.npz).")
    ] = None,
    variant: File = None,
    with_: With = None,
    json: Json = False,
) -> None:
    """Write a generator as a file that runs without gankit: z (and y) and psi go in, samples come out.

    It is run and compared with the generator first, and only written if it is within the bound of its precision.

    gankit export runs/a --to onnx -o faces.onnx
    """
    from gankit.sample.export import export as write

    with console.log_to_stderr():
        done = write(
            checkpoint,
            None if out is None else path_of(out, "-o"),
            to=to,
            pixels=pixels,
            precision=precision,
            opset=opset,
            seeds=() if seeds is None else parse_seeds(seeds),
            latents=None if latents is None else path_of(latents, "--latents"),
            variant=variant,
            extensions=with_ or (),
        )
    if json:
        console.print_json(done.record())
        return
    console.data.print(str(done.file), markup=False, highlight=False, soft_wrap=True)
    for label, text in _lines(done):
        console.paragraph(text, label=label, indent=10)
    name, file = console.quoted(checkpoint), console.quoted(done.file)
    if done.description["format"] == "safetensors-hf":
        console.next_steps(f"gankit sample {file}/model.safetensors -o samples.png")
    else:
        console.next_steps(f"gankit sample {name} -o samples.png", "docs/export.md: Python, JavaScript, C++")


def _lines(done: Exported) -> list[tuple[str, str]]:
    """The report: a label and a text each."""
    says = done.description
    inputs = ", ".join(f"{name} {_axes(given['shape'])}" for name, given in says["inputs"].items())
    (name, made), *_ = says["output"].items()
    lines = [
        ("size", _size(done.bytes)),
        ("inputs", inputs),
        ("output", f"{name} {_axes(made['shape'])} {made['dtype']}"),
    ]
    if "parity" in says:
        lines += [("parity", _parity(says)), ("latency", _latency(says))]
    if done.latents is not None:
        lines.append(("seeds", printable(done.latents)))
    return lines


def _axes(shape: list[Any]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _parity(says: dict[str, Any]) -> str:
    found = says["parity"]
    text = f"differs from PyTorch by {found['max']:.2g} at most ({found['bound']['max']:g} is allowed)"
    text += f", {found['mean']:.2g} on average"
    if found["levels"] is not None:
        levels = found["levels"]
        text += f"; {levels['differ']:,} of {levels['values']:,} values are another grey level"
        text += f", by {levels['max']} at most" if levels["differ"] else ""
    return text


def _latency(says: dict[str, Any]) -> str:
    parts = (f"{n} in {took['file']:.3g} ms (PyTorch {took['pytorch']:.3g})" for n, took in says["latency_ms"].items())
    return f"samples: {', '.join(parts)}; CPU, threads: {says['threads']}"
