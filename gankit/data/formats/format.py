"""A format of data: how a path that holds it is recognised, and what opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gankit.data.dataset import Dataset
from gankit.data.preparation import Preparation

if TYPE_CHECKING:
    from gankit.data.formats.images import ImageRows

START_BYTES = 1024  # of a file, by which it is recognised


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    path: Path
    """A folder or a regular file."""
    start: bytes
    """The first `START_BYTES` of the file; empty for a folder."""
    name: str
    """The name of the data set in runs and messages."""
    split: str
    """'train', 'test', …"""
    how: Preparation

    @property
    def suffix(self) -> str:
        """'.npz': in lower case."""
        return self.path.suffix.lower()


Opened = tuple["Dataset | ImageRows", Preparation]
"""The images, and what of the preparation is left to do."""


@dataclass(frozen=True)
class Format:
    """One format of data; `known.FORMATS` lists all of them."""

    name: str
    looks: str
    """The file or folder, for the documentation (Markdown)."""
    gives: str
    """What is read from it, for the documentation (Markdown)."""
    claims: Callable[[Request], bool]
    """Whether a path is of this format; the first format that claims it opens it."""
    open: Callable[[Request], AbstractContextManager[Opened]]
    """Opens it; InputError for what is damaged or ambiguous, or for a split that it does not have."""
    labels: bool = False
    """Whether there may be a file of labels, or columns, from which `--labels` chooses."""
    image_column: bool = False
    """Whether `--image-column` chooses where the images are."""
    splits: bool = True
    """Whether there may be other splits than 'train'."""


def decoded(
    load: Callable[[Request], Dataset], *, applies_range: bool = True
) -> Callable[[Request], AbstractContextManager[Opened]]:
    """The `Format.open` of a format that is decoded at once; `applies_range`: it has looked at `how.value_range`."""

    @contextmanager
    def opened(request: Request) -> Iterator[Opened]:
        left = replace(request.how, on_bad_image="error", frames="first")
        yield load(request), replace(left, value_range=None) if applies_range else left

    return opened
