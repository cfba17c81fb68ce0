"""Photos as latents: what `gankit project` does, for a picture that is dropped on a page."""

from __future__ import annotations

import re
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gankit.base.text import printable
from gankit.errors import InputError, ResourceError
from gankit.web.generators import Generators, View

if TYPE_CHECKING:
    from gankit.sample.latents import Latents

KEPT = 16  # photos in memory
STEPS, RESTARTS = 100, 2  # half as thorough as `gankit project`, in a third of the time


@dataclass(frozen=True)
class Photo:
    """A photo as the generator would make it, and the latents whose sample is nearest."""

    id: str
    generator: Path
    name: str
    latents: Latents
    error: float
    notes: tuple[str, ...]
    target: bytes  # PNG


class Photos:
    """The photos that were projected last, one at a time."""

    def __init__(self, generators: Generators) -> None:
        self._generators = generators
        self._busy = threading.Lock()
        self._found: OrderedDict[str, Photo] = OrderedDict()
        self._count = 0

    def project(self, generator: Path, name: str, data: bytes) -> Photo:
        """The latents of a picture; InputError for a file that is none, ResourceError while another is projected."""
        from gankit.data.formats.pictures import kind_by_suffix
        from gankit.sample.pictures import png
        from gankit.score.evaluate import EvalSettings
        from gankit.score.project import Projection, project

        suffix = Path(name).suffix.lower()
        if not re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) or kind_by_suffix(suffix) is None:
            raise InputError(f"{printable(name)[:100]} is no picture", hint="a PNG or JPEG file, for example")
        if not self._busy.acquire(blocking=False):
            raise ResourceError("another photo is being projected", hint="try again in a moment")
        try:
            loaded = self._generators.get(generator)
            with tempfile.TemporaryDirectory(prefix="gankit-") as folder:
                file = Path(folder) / f"photo{suffix}"
                file.write_bytes(data)
                how = Projection(steps=STEPS, restarts=RESTARTS, compare=False)
                try:
                    found = project(generator, [file], how, EvalSettings(device="cpu"))
                except InputError as error:
                    said = error.message.replace(f"{folder}/", "").replace(file.name, printable(name)[:100])
                    raise InputError(said, hint="take another picture") from None
            self._count += 1
            photo = Photo(
                str(self._count),
                generator,
                printable(name)[:100],
                found.latents,
                found.errors[0],
                tuple(note.removeprefix(f"photo{suffix}: ") for note in found.notes),
                png(loaded.trained.modality.picture(found.targets, columns=1)),
            )
        finally:
            self._busy.release()
        self._found[photo.id] = photo
        while len(self._found) > KEPT:
            self._found.popitem(last=False)
        return photo

    def get(self, generator: Path, id: str) -> Photo | None:
        """A photo that was projected into a generator."""
        photo = self._found.get(id)
        return photo if photo is not None and photo.generator == generator else None

    def sample(self, photo: Photo, view: View) -> bytes:
        """The sample of its latents, moved, as PNG."""
        loaded = self._generators.get(photo.generator)
        return loaded.drawn(photo.latents, View(psi=view.psi, moves=view.moves), columns=1)

    def latents_file(self, photo: Photo) -> bytes:
        """Its latents as the .npz file that commands take as --latents."""
        from gankit.sample.latent_file import write_latents

        with tempfile.TemporaryDirectory(prefix="gankit-") as folder:
            path = Path(folder) / "latents.npz"
            write_latents(photo.latents, path, self._generators.get(photo.generator).trained)
            return path.read_bytes()
