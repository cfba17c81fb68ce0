"""Generators kept in memory, each loaded once, and the pictures that pages ask of them."""

from __future__ import annotations

import shlex
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gankit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from gankit.sample.generator import TrainedGenerator

KEPT = 4  # generators in memory
MOST_SEEDS = 256  # in one picture
POINTS = 1_000  # samples in a plot of points


@dataclass(frozen=True)
class View:
    """How samples are drawn: the class or attributes as `gankit sample --class` takes them, and the truncation."""

    label: str | None = None
    psi: float = 1.0

    def flags(self) -> str:
        """The same as flags of `gankit sample`."""
        label = f" --class {shlex.quote(self.label)}" if self.label is not None else ""
        return label + (f" --truncation {self.psi:g}" if self.psi != 1 else "")


@dataclass
class _Loaded:
    stamp: tuple[int, int]  # of the file
    trained: TrainedGenerator
    lock: threading.Lock = field(default_factory=threading.Lock)  # one picture at a time


class Generators:
    """Loads generators when they are first asked for, and anew when their file changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, _Loaded] = OrderedDict()

    def facts(self, path: Path) -> dict[str, Any]:
        """What a page needs to know of a generator; InputError or PluginError where it cannot be built."""
        trained = self._get(path).trained
        data, header = trained.data, trained.header
        return {
            "variant": header.variant.name,
            "data": header.data,
            "kind": data.kind,
            "what": trained.modality.describe(data),
            "z_dim": header.z_dim,
            "images_seen": header.images_seen,
            "classes": list(data.classes) if header.conditions is not None and not data.attributes else [],
            "attributes": [attribute.name for attribute in data.attributes],
            "truncates": hasattr(trained.module, "truncation"),
            "is_image": data.is_image,
        }

    def grid(self, path: Path, seeds: Sequence[int], view: View, columns: int | None = None) -> bytes:
        """The samples of some seeds in one picture, as PNG."""
        if not 1 <= len(seeds) <= MOST_SEEDS or min(seeds) < 0 or max(seeds) >= 1 << 63:
            raise InputError(f"{len(seeds)} seeds", hint=f"1 to {MOST_SEEDS} of them, from 0 on")
        loaded = self._get(path)
        trained = loaded.trained
        if trained.data.kind == "points":
            seeds = range(seeds[0], seeds[0] + POINTS)
        return self._drawn(loaded, trained.space.z(seeds), seeds, view, columns)

    def blend(self, path: Path, corners: Sequence[int], x: float, y: float, view: View) -> bytes:
        """The sample between four seeds, at x from left to right and y from top to bottom, as PNG.

        Arcs for z ~ N(0, I), lines for a uniform z; a generator with conditions keeps that of the first seed.
        """
        import torch

        from gankit.sample.walks import slerp

        if len(corners) != 4 or not (0 <= x <= 1 and 0 <= y <= 1) or min(corners) < 0 or max(corners) >= 1 << 63:
            raise InputError("a blend needs four seeds, and x and y between 0 and 1")
        loaded = self._get(path)
        space = loaded.trained.space
        z = space.z(corners)

        def between(a: Tensor, b: Tensor, t: float) -> Tensor:
            share = torch.tensor([t])
            return slerp(a, b, share)[0] if space.prior == "normal" else torch.lerp(a, b, t)

        point = between(between(z[0], z[1], x), between(z[2], z[3], x), y)
        return self._drawn(loaded, point[None], corners[:1], view, 1)

    def _drawn(self, loaded: _Loaded, z: Tensor, seeds: Sequence[int], view: View, columns: int | None) -> bytes:
        from gankit.sample.generator import draw
        from gankit.sample.pictures import png

        trained = loaded.trained
        y = trained.conditions(seeds, trained.condition(view.label) if view.label is not None else None)
        inputs = (z,) if y is None else (z, y)
        with loaded.lock:
            if hasattr(trained.module, "truncation") or view.psi != 1:
                trained.truncate(view.psi)
            samples = draw(trained.module, inputs, trained.device)
        return png(trained.modality.picture(samples, columns=columns))

    def _get(self, path: Path) -> _Loaded:
        from gankit.sample.generator import load

        try:
            facts = path.stat()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", hint="the file is gone") from error
        stamp = facts.st_mtime_ns, facts.st_size
        with self._lock:
            found = self._loaded.get(path)
            if found is None or found.stamp != stamp:
                found = self._loaded[path] = _Loaded(stamp, load(path))
            self._loaded.move_to_end(path)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return found
