"""Generators kept in memory, each loaded once, and the pictures that pages ask of them."""

from __future__ import annotations

import os
import shlex
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.errors import GankitError, InputError

if TYPE_CHECKING:
    from torch import Tensor

    from gankit.sample.directions import Direction, Edit
    from gankit.sample.generator import TrainedGenerator
    from gankit.sample.latents import Latents

KEPT = 4  # generators in memory
MOST_SEEDS = 256  # in one picture
POINTS = 1_000  # samples in a plot of points
SLIDERS = 24  # directions, the first ones of the file
FOUND = 8  # directions that are looked for, as `gankit directions` does


@dataclass(frozen=True)
class View:
    """How samples are drawn: the class or attributes, the truncation, and moves, as commands take them."""

    label: str | None = None
    psi: float = 1.0
    moves: tuple[str, ...] = ()
    """'sefa0=1.5', …"""

    def flags(self) -> str:
        """The same as flags of a command."""
        label = f" --class {shlex.quote(self.label)}" if self.label is not None else ""
        return label + self.edits()

    def edits(self) -> str:
        """The flags without the class."""
        psi = f" --truncation {self.psi:g}" if self.psi != 1 else ""
        return psi + "".join(f" --move {shlex.quote(move)}" for move in self.moves)


@dataclass
class Loaded:
    """A generator in memory. One picture is drawn at a time, with all threads."""

    path: Path
    stamp: tuple[int, int]  # of the file
    trained: TrainedGenerator
    lock: threading.Lock = field(default_factory=threading.Lock)

    def directions(self) -> dict[str, Direction]:
        """The directions that are kept beside the file; none where there is no such file."""
        from gankit.sample.directions import directions_file, read_directions

        file = directions_file(self.path)
        return read_directions(file, self.trained) if file.is_file() else {}

    def edit(self, view: View) -> Edit:
        """Truncation and moves; InputError for an unknown direction."""
        from gankit.sample.directions import Edit, parse_moves

        return Edit(view.psi, parse_moves(view.moves, self.directions(), self.trained) if view.moves else ())

    def latents(self, seeds: Sequence[int], label: str | None) -> Latents:
        """z and y of seeds."""
        from gankit.sample.latents import Latents

        y = None if label is None else self.trained.condition(label)
        return Latents(self.trained.space.z(seeds), self.trained.conditions(seeds, y))

    def drawn(self, latents: Latents, view: View, columns: int | None = None) -> bytes:
        """The samples of latents in one picture, as PNG."""
        from gankit.sample.pictures import png

        edit = self.edit(view)
        with self.lock:
            samples = self.trained.render(edit(latents, self.trained))
        return png(self.trained.modality.picture(samples, columns=columns))


class Generators:
    """Loads generators when they are first asked for, and anew when their file changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, Loaded] = OrderedDict()

    def facts(self, path: Path) -> dict[str, Any]:
        """What a page needs to know of a generator; InputError or PluginError where it cannot be built."""
        loaded = self.get(path)
        trained = loaded.trained
        data, header = trained.data, trained.header
        try:
            directions, problem = list(loaded.directions())[:SLIDERS], ""
        except GankitError as error:
            directions, problem = [], error.message
        return {
            "variant": header.variant.name,
            "data": header.data,
            "kind": data.kind,
            "what": trained.modality.describe(data),
            "images_seen": header.images_seen,
            "classes": list(data.classes) if header.conditions is not None and not data.attributes else [],
            "attributes": [attribute.name for attribute in data.attributes],
            "is_image": data.is_image,
            "layers": next(iter(trained.style_shape), 0),
            "directions": directions,
            "problem": problem,
        }

    def grid(self, path: Path, seeds: Sequence[int], view: View) -> bytes:
        """The samples of some seeds in one picture, as PNG."""
        _check(seeds, 1, MOST_SEEDS)
        loaded = self.get(path)
        if loaded.trained.data.kind == "points":
            seeds = range(seeds[0], seeds[0] + POINTS)
        return loaded.drawn(loaded.latents(seeds, view.label), view)

    def blend(self, path: Path, corners: Sequence[int], x: float, y: float, view: View) -> bytes:
        """The sample between four seeds, at x from left to right and y from top to bottom, as PNG.

        Arcs for z ~ N(0, I), lines for a uniform z; a generator with conditions keeps that of the first seed.
        """
        import torch

        from gankit.sample.walks import slerp

        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise InputError(f"{x:g}, {y:g} is no place between four seeds", hint="both lie between 0 and 1")
        _check(corners, 4, 4)
        loaded = self.get(path)
        z = loaded.trained.space.z(corners)

        def between(a: Tensor, b: Tensor, t: float) -> Tensor:
            arc = loaded.trained.space.prior == "normal"
            return slerp(a, b, torch.tensor([t]))[0] if arc else torch.lerp(a, b, t)

        point = between(between(z[0], z[1], x), between(z[2], z[3], x), y)
        return loaded.drawn(loaded.latents(corners[:1], view.label).at(point[None]), view, columns=1)

    def mix(self, path: Path, coarse: Sequence[int], fine: Sequence[int], first: int, view: View) -> bytes:
        """A table of mixed styles, as `gankit mix` draws it, as PNG; InputError for a generator without styles."""
        from gankit.modality.images import pixels_of
        from gankit.sample.montage import mixing_table
        from gankit.sample.pictures import png
        from gankit.sample.walks import mixed, stops_of

        for seeds in (coarse, fine):
            _check(seeds, 1, 16)
        loaded = self.get(path)
        trained, edit = loaded.trained, loaded.edit(View(psi=view.psi))
        rows, columns = stops_of(trained, coarse), stops_of(trained, fine)
        with loaded.lock:
            tables = mixed(trained, rows, columns, first, edit=edit)
            left, above = (pixels_of(trained.render(edit(part, trained))) for part in (rows, columns))
        return png(mixing_table(left, above, tables))

    def find_directions(self, path: Path) -> None:
        """What `gankit directions` does: the strongest directions of the weights, kept beside the generator."""
        from gankit.sample.directions import directions_file, write_directions
        from gankit.sample.search import sefa

        loaded = self.get(path)
        with loaded.lock:
            found = {direction.name: direction for direction in sefa(loaded.trained, FOUND)}
        write_directions([*{**loaded.directions(), **found}.values()], directions_file(path), loaded.trained)

    def get(self, path: Path) -> Loaded:
        """A generator of a file, from memory where the file is as it was."""
        from gankit.sample.generator import load

        _leave_room()
        try:
            facts = path.stat()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", hint="the file is gone") from error
        stamp = facts.st_mtime_ns, facts.st_size
        with self._lock:
            found = self._loaded.get(path)
            if found is None or found.stamp != stamp:
                found = self._loaded[path] = Loaded(path, stamp, load(path))
            self._loaded.move_to_end(path)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return found


def _leave_room() -> None:
    """Let PyTorch have half of the processors, four at most, unless the user said how many: a run may be going on."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(4, (os.cpu_count() or 1) // 2)))


def _check(seeds: Sequence[int], least: int, most: int) -> None:
    if not least <= len(seeds) <= most or min(seeds) < 0 or max(seeds) >= 1 << 63:
        count = f"{least}" if least == most else f"{least} to {most}"
        raise InputError(f"{len(seeds)} seeds", hint=f"{count} of them, from 0 on")
