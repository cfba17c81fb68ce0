"""`gankit ui`: runs, generators and studies as pages in the browser of this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from gankit.cli import console
from gankit.errors import ResourceError, Stopped

PORT = 8642


def ui(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Runs, checkpoints, studies, folders (runs).")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = PORT,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")] = False,
) -> None:
    """Watch runs, explore generators and compare them in a local page.

    gankit ui runs
    """
    try:
        from gankit.web import server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "anyio", "h11", "click"):
            raise
        hint = "pip install 'gankit[web]'; `gankit report RUN` needs neither"
        raise ResourceError("gankit ui needs Starlette and uvicorn, which are not installed", hint=hint) from None
    from gankit.web.shelf import Shelf

    given = paths or []
    shelf = Shelf(given)
    listening = server.bound(port)
    token = server.new_token()
    begin = server.start_address(shelf, given)
    address = f"http://{server.HOST}:{listening.getsockname()[1]}{begin}?token={token}"
    print(address, flush=True)
    console.say("The address holds a token: whoever has it can stop your runs. Ctrl-C ends the server.")
    if not no_browser and _has_screen():
        webbrowser.open(address)
    try:
        server.serve(shelf, listening, token)
    except Stopped as stopped:
        raise Stopped("the page has ended", signal_number=stopped.signal_number) from None


def _has_screen() -> bool:
    """Whether a browser would open a window; without one it might take the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
