"""The command line: a thin layer over the Python API. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from gankit.base.signals import stop_requests
from gankit.base.text import printable
from gankit.cli import (
    advise,
    average,
    bench,
    compare,
    console,
    data,
    diagnose,
    directions,
    doctor,
    evaluate,
    export,
    figure,
    film,
    hub,
    install,
    latent,
    modes,
    plugin,
    project,
    recipes,
    report,
    reproduce,
    sample,
    streams,
    study,
    train,
    ui,
    usage,
    variants,
    verify,
)
from gankit.cli.help import in_words
from gankit.errors import GankitError, InputError, ResourceError, Stopped

app = typer.Typer(
    name="gankit",
    help="Train generative adversarial networks; every variant is a plugin.\n\ngankit train --images 100k",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 bug, 2 input, 3 plugin, 4 environment, 5 diverged, 6 outside, 129, 130, 143 stopped.",
)
app.command(
    "train",
    context_settings={"auto_envvar_prefix": train.VARIABLES},
    epilog=f"The first of several choices is the default. Environment variables: {train.VARIABLES}_IMAGES=500k, …",
)(train.train)
app.command("resume")(train.resume)
app.command("reproduce")(reproduce.reproduce)
app.command("advise")(advise.advise)
app.command("sample")(sample.sample)
app.command("interpolate")(latent.interpolate)
app.command("mix")(latent.mix)
app.command("arithmetic")(latent.arithmetic)
app.command("project")(project.project)
app.command("directions")(directions.directions)
app.command("neighbours")(latent.neighbours)
app.command("average")(average.average)
app.command("film")(film.film)
app.command("export")(export.export)
app.command("push")(hub.push)
app.command("pull")(hub.pull)
app.command("figure1d")(figure.figure1d)
app.command("eval")(evaluate.evaluate)
app.command("manifold")(evaluate.manifold)
app.command("modes")(modes.modes)
app.command("compare")(compare.compare)
app.add_typer(study.app, name="study")
app.command("tune")(study.tune)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
app.command("report")(report.report)
app.command("ui")(ui.ui)
app.command("diagnose")(diagnose.diagnose)
app.command("doctor")(doctor.doctor)
app.add_typer(variants.app, name="variants")
app.add_typer(recipes.app, name="recipes")
app.add_typer(data.app, name="data")
app.add_typer(plugin.app, name="plugin")
app.command("install")(install.install)
app.command("uninstall")(install.uninstall)
in_words(app)


def _version(value: bool) -> None:
    if value:
        from gankit import __version__

        print(f"gankit {__version__}")
        raise typer.Exit


NEWCOMER = """\
gankit trains generative adversarial networks.

  gankit train                  a first run, on digits
  gankit train --data PHOTOS    on your own images
  gankit sample RUN -o x.png    pictures of what it learnt

The first one takes minutes and downloads nothing.
`gankit advise PHOTOS` says how to train on them, and why.

Then: gankit eval RUN (scores), gankit resume RUN (further),
gankit variants, gankit recipes, gankit --help (all).
"""


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train generative adversarial networks; every variant is a plugin."""
    if context.invoked_subcommand is None:
        print(NEWCOMER, end="")


def main() -> None:
    """The installed command. A GankitError becomes one line and its exit code; a bug keeps its traceback."""
    streams.protect()
    try:
        with stop_requests():
            code = app(prog_name="gankit", standalone_mode=False)  # the code of an early exit, else None
        lost = streams.lost_output()
        if lost is not None and not code:
            hint = "what the command stores is stored; the text is lost: free some space, or print elsewhere"
            raise ResourceError(f"stdout cannot be written: {lost.strerror}", hint=hint)
    except usage.UsageError as error:
        if usage.is_help(error):
            raise SystemExit(0) from None
        _fail(usage.refusal(error))
    except GankitError as error:
        _fail(error)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = printable(str(error.filename))
        _fail(InputError(f"{name[:60]}…: no file has so long a name", hint="check the path"))
    else:
        raise SystemExit(code or 0)


def _fail(error: GankitError) -> NoReturn:
    if os.environ.get("GANKIT_DEBUG"):
        raise error
    console.fail(error)
    if isinstance(error, Stopped):
        # Everything is written. The exit handlers of libraries could abort while their threads are working.
        sys.stdout.flush()
        os._exit(error.exit_code)
    raise SystemExit(error.exit_code) from None
