"""`gankit figure1d`: both densities and D(x) while GANs learn a known distribution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gankit.cli import console
from gankit.cli.flags import Json, picture_path
from gankit.cli.settings import OPTIONS, merged, takes_settings
from gankit.errors import InputError
from gankit.settings.layers import Layer

if TYPE_CHECKING:
    from gankit.look.figure import Figure

PANELS, PANELS_OF_SEVERAL, FRAMES = 6, 4, 24
SETTINGS = ("variant", OPTIONS, "extensions", "data", "images", "z_dim", "seed")
OF_A_RUN = ("variant", "extensions")
"""Settings that apply to the figure of a run; the others are for training."""


@takes_settings(SETTINGS, several=("variant",))
def figure1d(
    layers: list[Layer],
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run on gaussian1d, ring8 or grid25 (else train one).")
    ] = None,
    moments: Annotated[
        int | None,
        typer.Option(min=2, max=200, help="Panels of a variant (6; of several 4), or frames of a film (24)."),
    ] = None,
    out: Annotated[str, typer.Option("-o", "--out", help="x.png: panels; x.webp or x.gif: a film.")] = "figure1d.png",
    json: Json = False,
) -> None:
    """Draw the figure of GAN articles: real density, generator's density, D(x) and arrows from z to x.

    D is compared with the optimum D*(x) = p / (p + p_g) if its scores are logits. 2-D data get a map of D and modes.

    A run is drawn at its start and at the checkpoints it keeps.

    Several variants, with commas between them, are a row each; -s NAME.KEY=VALUE is an option of one of them.

    gankit figure1d --data ring8 -o ring8.webp
    """
    from gankit.base.files import write_file
    from gankit.look.figure import describe
    from gankit.look.figure_panels import film, strip
    from gankit.sample.montage import FORMATS
    from gankit.sample.writers import write_image

    path, suffix = picture_path(out, "--out", FORMATS)
    with console.log_to_stderr(), console.progress_bar():
        if run is not None:
            _refuse_a_variant(run)
            figures = [_of_run(run, layers, moments)]
        else:
            variants = _variants(merged(layers))
            panels = PANELS if len(variants) == 1 else PANELS_OF_SEVERAL
            figures = _of_training(layers, variants, moments or (panels if suffix == ".png" else FRAMES))
    facts: dict[str, object] = {
        "data": figures[0].data,
        "figures": [{"variant": f.title, "scores": f.meaning, "moments": describe(f)} for f in figures],
    }
    if suffix == ".png":
        write_image(strip(figures), path, facts)
    else:
        write_file(path, film(figures, suffix))
    if json:
        console.print_json({"out": str(path), **facts})
        return
    for figure in figures:
        _print_moments(figure)
    console.data.print(str(path), markup=False)


def _refuse_a_variant(run: Path) -> None:
    """InputError for `gankit figure1d NAME`."""
    from gankit.host import discovery

    names = {plugin.name for plugin in discovery.discover(discovery.VARIANTS)}
    if not run.exists() and names & set(str(run).split(",")):
        raise InputError(f"{run} is not the folder of a run", hint=f"--variant {run}: trains it, and draws")


def _print_moments(figure: Figure) -> None:
    from gankit.look.figure import describe

    console.paragraph(figure.title)
    for row in describe(figure):
        facts = [f"{name} {'–' if value is None else f'{value:.3g}'}" for name, value in row.items()]
        console.data.print(f"{row['images_seen']:>10,} samples  {', '.join(facts[1:])}", markup=False)


def _of_run(run: Path, layers: list[Layer], moments: int | None) -> Figure:
    from gankit.look.figure import figure_of_run

    settings = merged(layers)
    unused = [f"--{name.replace('_', '-')}" for name in settings if name not in OF_A_RUN]
    if unused or moments is not None:
        flags = ", ".join([*unused, *(["--moments"] if moments is not None else [])]).replace("--options", "--set")
        raise InputError(f"{flags}: the run has been trained", hint="leave them out, or RUN")
    return figure_of_run(run, variant=settings.get("variant"), extensions=settings.get("extensions", ()))


def _of_training(layers: list[Layer], variants: Mapping[str, str], moments: int) -> list[Figure]:
    from gankit.cli.live import LiveLine
    from gankit.look.figure import figures_of_training, with_defaults

    runs = [with_defaults(_of_variant(layers, name, variants) if variants else layers) for name in variants or [""]]
    live = LiveLine()
    return figures_of_training(runs, moments=moments, observers=[live], on_step=live.after_step)


def _variants(settings: Mapping[str, Any]) -> dict[str, str]:
    """The chosen variants: name -> what was typed, such as ./mine.py; empty without --variant."""
    from gankit.host import discovery

    typed = settings.get("variant", "")
    words = [typed] if Path(typed).is_file() else [word.strip() for word in typed.split(",")]
    found: dict[str, str] = {}
    for word in words if "variant" in settings else []:
        name = discovery.find(word, discovery.VARIANTS).name
        if name in found:
            raise InputError(f"--variant {typed}: '{name}' is named twice", hint="a row of the figure is one variant")
        found[name] = word
    return found


def _of_variant(layers: list[Layer], name: str, variants: Mapping[str, str]) -> list[Layer]:
    """The layers with this variant alone: -s NAME.KEY=VALUE is its option, and not one of the others."""

    def settings(layer: Layer) -> dict[str, Any]:
        options = {key: value for key, value in layer.settings.get(OPTIONS, {}).items() if key not in variants}
        own = layer.settings.get(OPTIONS, {}).get(name, {})
        return {**layer.settings, "variant": variants[name], OPTIONS: {**options, **own}}

    return layers if len(variants) == 1 else [Layer(layer.source, settings(layer)) for layer in layers]
