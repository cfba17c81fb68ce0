"""The server of `gankit ui`, on this machine alone."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from gankit.base.text import printable
from gankit.errors import GankitError, ResourceError
from gankit.web import pages
from gankit.web.guard import Guard
from gankit.web.shelf import Shelf
from gankit.web.site import Site

HOST = "127.0.0.1"


def application(shelf: Shelf, *, token: str, port: int) -> Starlette:
    """The application behind its guard."""
    handlers = {GankitError: _refused, HTTPException: _missing}
    guard = Middleware(Guard, token=token, port=port)
    return Starlette(routes=Site(shelf).routes(), middleware=[guard], exception_handlers=handlers)


def bound(port: int) -> socket.socket:
    """A socket of this machine alone; ResourceError for a port that is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise ResourceError(
            f"port {port} cannot be used: {error.strerror}", hint="--port 0 takes a free one"
        ) from error
    return listening


def serve(shelf: Shelf, listening: socket.socket, token: str) -> None:
    """Answer until a signal ends it."""
    app = application(shelf, token=token, port=listening.getsockname()[1])
    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1, server_header=False
    )
    asyncio.run(_Server(config).serve(sockets=[listening]))


class _Server(uvicorn.Server):
    """A server that ends without a word about the requests that it leaves unanswered."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def start_address(shelf: Shelf, paths: Sequence[Path]) -> str:
    """The page to begin with: that of the one thing that was given, else the list."""
    if len(paths) == 1:
        if paths[0].is_file():
            return f"/explore/{shelf.generators()[0].id}"
        if len(runs := shelf.runs()) == 1 and runs[0].path == paths[0]:
            return f"/run/{runs[0].id}"
        if len(studies := shelf.studies()) == 1 and studies[0].path == paths[0]:
            return f"/study/{studies[0].id}"
    return "/"


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GankitError)
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(pages.error_page(error.message, error.hint), 400)
    return JSONResponse({"error": printable(error.message), "hint": error.hint and printable(error.hint)}, 400)


async def _missing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(pages.error_page(error.detail, "The list of runs says what there is."), error.status_code)
    return JSONResponse({"error": error.detail, "hint": None}, error.status_code)
