"""The addresses of `gankit ui` and what is answered there. Work is done in threads, never in the loop."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gankit.base.text import printable
from gankit.errors import GankitError, InputError
from gankit.page.html import stylesheet
from gankit.web import generator_pages, pages
from gankit.web.charts import Series, chart
from gankit.web.control import Control
from gankit.web.generator_pages import quoted
from gankit.web.generators import SLIDERS, Generators, View
from gankit.web.photos import Photo, Photos
from gankit.web.report import static
from gankit.web.shelf import GeneratorEntry, Shelf, generators_of
from gankit.web.watched import WatchedRun, digest

STATIC = {
    "ui.css": "text/css",
    **dict.fromkeys(("page.js", "live.js", "charts.js", "hover.js", "frames.js", "explore.js"), "text/javascript"),
}
POINTS = 300, 120  # of a curve, and of each of several runs
MOMENT_S = 0.7  # seconds of reading before an answer
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


class Site:
    """The addresses, and what they share: the shelf of what is shown, generators in memory, control of runs."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.generators = Generators()
        self.photos = Photos(self.generators)
        self.control = Control()

    def routes(self) -> list[Route]:
        """Address -> method. A plain function is called in a thread."""
        found: dict[str, Callable[[Request], Response]] = {
            "/": self.runs,
            "/parts/runs": self.runs_parts,
            "/run/{id}": self.run,
            "/parts/run/{id}": self.run_parts,
            "/run/{id}/samples/real.png": self.real,
            "/run/{id}/samples/{images:int}.png": self.sample,
            "/overlay": self.overlay,
            "/parts/overlay": self.overlay_parts,
            "/chart": self.chart,
            "/explore": self.explore_list,
            "/explore/{id}": self.explore,
            "/generator/{id}/grid.png": self.grid,
            "/generator/{id}/blend.png": self.blend,
            "/generator/{id}/mix.png": self.mix,
            "/generator/{id}/photos/{photo}/target.png": self.target,
            "/generator/{id}/photos/{photo}/sample.png": self.moved,
            "/generator/{id}/photos/{photo}/latents.npz": self.latents,
            "/compare": self.compare,
            "/studies": self.studies,
            "/study/{id}": self.study,
            "/static/{name}": self.static,
        }
        routes = [Route(address, answer, methods=["GET"]) for address, answer in found.items()]
        changes = {
            "/run/{id}/stop": self.stop,
            "/explore/{id}/directions": self.find_directions,
            "/generator/{id}/photos": self.project,
        }
        return [*routes, *(Route(address, answer, methods=["POST"]) for address, answer in changes.items())]

    # -- watch ---------------------------------------------------------------------------------------------------------

    def runs(self, request: Request) -> Response:
        return HTMLResponse(pages.runs_page(self.shelf))

    def runs_parts(self, request: Request) -> Response:
        table = pages.runs_table(self.shelf.runs())
        return _news(request, digest(table), lambda: {"runs": table})

    def run(self, request: Request) -> Response:
        run = self._run(request)
        run.refresh()
        return HTMLResponse(pages.run_page(run, list(generators_of(run))))

    def run_parts(self, request: Request) -> Response:
        """What is new of a run: nothing if the asker knows the version."""
        run = self._run(request)
        run.refresh()
        return _news(request, run.version(), lambda: pages.run_parts(run))

    def sample(self, request: Request) -> Response:
        return self._picture(request, int(request.path_params["images"]))

    def real(self, request: Request) -> Response:
        return self._picture(request, None)

    def overlay(self, request: Request) -> Response:
        return HTMLResponse(pages.overlay_page(self._chosen(request)))

    def overlay_parts(self, request: Request) -> Response:
        """No part changes, but the version says when charts are to be drawn again."""
        runs = self._chosen(request)
        _refresh(runs)
        return _news(request, digest(*(str(len(run.statistics)) for run in runs)), dict)

    def chart(self, request: Request) -> Response:
        """Statistics of some runs as SVG: a line for each run, or for each statistic of one run."""
        runs, query = self._chosen(request), request.query_params
        keys = query.getlist("key")[:12]
        smoothing = min(max(_number(query.get("smoothing", "0"), 0.0), 0.0), 0.99)
        several = len(runs) > 1
        series, ends = [], [0]
        _refresh(runs)
        for run in runs:
            ends.append(run.total or 0 if not several else 0)
            for key in keys:
                curve = run.statistics.curve(key, POINTS[several], smoothing)
                series.append(Series(Path(run.name).name if several else key.rpartition("/")[2] or key, curve))
        drawing = chart(query.get("title", "")[:200], series, end=max(ends))
        return Response(drawing.svg(standalone=True), media_type="image/svg+xml")

    def stop(self, request: Request) -> Response:
        run = self._run(request)
        self.control.stop(run)
        return RedirectResponse(f"/run/{run.id}", 303)

    # -- explore and compare -------------------------------------------------------------------------------------------

    def explore_list(self, request: Request) -> Response:
        return HTMLResponse(generator_pages.list_page(self.shelf.generators()))

    def explore(self, request: Request) -> Response:
        entry = self._generator(request)
        return HTMLResponse(generator_pages.explore_page(entry, self.generators.facts(entry.path)))

    def grid(self, request: Request) -> Response:
        """Samples of n seeds from `seed` on."""
        entry = self._generator(request)
        query, view = request.query_params, _view(request)
        first, n = _whole(query.get("seed", "0")), _whole(query.get("n", "25"))
        png = self.generators.grid(entry.path, range(first, first + min(n, 1_000)), view)
        command = f"gankit sample {quoted(entry)} --seeds {first}-{first + n - 1}{view.flags()} -o samples.png"
        return _png(png, command)

    def blend(self, request: Request) -> Response:
        """The sample between four seeds."""
        entry = self._generator(request)
        query, view = request.query_params, _view(request)
        corners = [_whole(part) for part in query.get("corners", "").split(",")]
        png = self.generators.blend(entry.path, corners, _number(query.get("x", "")), _number(query.get("y", "")), view)
        walk = ",".join(str(corners[i]) for i in (0, 1, 3, 2, 0))
        return _png(png, f"gankit interpolate {quoted(entry)} --seeds {walk}{view.flags()} -o walk.webp")

    def mix(self, request: Request) -> Response:
        """A table of mixed styles."""
        entry = self._generator(request)
        query, view = request.query_params, _view(request)
        coarse, fine = (_range(query.get(name, "")) for name in ("coarse", "fine"))
        first = _whole(query.get("from", ""))
        png = self.generators.mix(entry.path, coarse, fine, first, view)
        seeds = f"--coarse {coarse[0]}-{coarse[-1]} --fine {fine[0]}-{fine[-1]} --from {first}"
        edits = View(psi=view.psi).edits()
        return _png(png, f"gankit mix {quoted(entry)} {seeds}{edits} -o mixing.png")

    def find_directions(self, request: Request) -> Response:
        entry = self._generator(request)
        self.generators.find_directions(entry.path)
        return RedirectResponse(f"/explore/{entry.id}", 303)

    async def project(self, request: Request) -> Response:
        """The body is a picture, and `name` that of its file."""
        data = await request.body()
        return await run_in_threadpool(self._projected, request, data)

    def _projected(self, request: Request, data: bytes) -> Response:
        entry = self._generator(request)
        photo = self.photos.project(entry.path, request.query_params.get("name", ""), data)
        notes = [printable(note) for note in photo.notes]
        return JSONResponse({"photo": photo.id, "error": round(photo.error, 4), "notes": notes})

    def target(self, request: Request) -> Response:
        return Response(self._photo(request).target, media_type="image/png")

    def moved(self, request: Request) -> Response:
        """The sample that is nearest to a photo, moved."""
        photo, view = self._photo(request), _view(request)
        command = f"gankit sample {quoted(self._generator(request))} --latents latents.npz{view.edits()} -o me.png"
        return _png(self.photos.sample(photo, view), command)

    def latents(self, request: Request) -> Response:
        data = self.photos.latents_file(self._photo(request))
        headers = {"content-disposition": 'attachment; filename="latents.npz"'}
        return Response(data, media_type="application/octet-stream", headers=headers)

    def compare(self, request: Request) -> Response:
        query, entries = request.query_params, self.shelf.generators()
        by_id = {entry.id: entry for entry in entries}
        chosen = [by_id[id] for name in ("a", "b") if (id := query.get(name, "")) in by_id]
        if len(chosen) < 2 and entries:
            of_another_run = [entry for entry in entries if entry.path.parent != entries[0].path.parent]
            chosen = [entries[0], *(of_another_run or entries[1:])][:2]
        problem, facts = "", []
        if len(chosen) == 2:
            try:
                facts = [self.generators.facts(entry.path) for entry in chosen]
            except GankitError as error:
                problem = error.message
        return HTMLResponse(generator_pages.compare_page(entries, chosen, facts, problem))

    def studies(self, request: Request) -> Response:
        return HTMLResponse(pages.studies_list(self.shelf.studies()))

    def study(self, request: Request) -> Response:
        """The report of a study, as `gankit study report` writes it, without samples."""
        from gankit.study.report import html
        from gankit.study.table import read_table

        entry = self.shelf.study(request.path_params["id"]) or _nothing("study")
        return HTMLResponse(html(read_table(entry.path), {}), headers={"content-security-policy": REPORT_POLICY})

    # -- files ---------------------------------------------------------------------------------------------------------

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "page.css":
            return Response(stylesheet(), media_type="text/css")
        if name not in STATIC:
            raise HTTPException(404)
        return Response(static(name), media_type=STATIC[name])

    def _run(self, request: Request) -> WatchedRun:
        return self.shelf.run(request.path_params["id"]) or _nothing("run")

    def _generator(self, request: Request) -> GeneratorEntry:
        return self.shelf.generator(request.path_params["id"]) or _nothing("generator")

    def _photo(self, request: Request) -> Photo:
        entry = self._generator(request)
        return self.photos.get(entry.path, request.path_params["photo"]) or _nothing("photo")

    def _chosen(self, request: Request) -> list[WatchedRun]:
        ids = dict.fromkeys(request.query_params.getlist("run"))
        found = [self.shelf.run(id) for id in ids]
        return [run for run in found if run is not None][: pages.MOST_OVERLAID]

    def _picture(self, request: Request, images: int | None) -> Response:
        data = self._run(request).picture(images)
        if data is None:
            raise HTTPException(404)
        return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=60"})


def _refresh(runs: Sequence[WatchedRun]) -> None:
    """Read on in runs, those not read yet first, for a moment; the page asks again."""
    started = time.monotonic()
    for run in sorted(runs, key=lambda run: len(run.statistics)):
        run.refresh()
        if time.monotonic() - started > MOMENT_S:
            return


def _news(request: Request, version: str, parts: Callable[[], dict[str, str]]) -> Response:
    """The parts of a page, or none where the asker has this version."""
    known = request.query_params.get("version") == version
    return JSONResponse({"version": version, "parts": {} if known else parts()})


def _view(request: Request) -> View:
    query = request.query_params
    moves = [move for move in query.getlist("move") if not re.search(r"=-?0(\.0*)?$", move)]
    return View(query.get("label") or None, _number(query.get("psi", "1")), tuple(moves[:SLIDERS]))


def _number(word: str, otherwise: float | None = None) -> float:
    try:
        found = float(word)
    except ValueError:
        found = math.nan
    if math.isfinite(found):
        return found
    if otherwise is None:
        raise InputError(f"'{word[:40]}' is not a number")
    return otherwise


def _whole(word: str) -> int:
    if not word.isdecimal() or len(word) > 18:
        raise InputError(f"'{word[:40]}' is not a seed", hint="a whole number from 0 on")
    return int(word)


def _range(word: str) -> range:
    """'3-6' -> 3, 4, 5, 6."""
    first, dash, last = word.partition("-")
    return range(_whole(first), _whole(last if dash else first) + 1)


def _png(data: bytes, command: str) -> Response:
    return Response(data, media_type="image/png", headers={"x-command": quote(printable(command))})


def _nothing(what: str) -> NoReturn:
    raise HTTPException(404, f"no such {what}, or it is gone")
