"""Files of sound as signals: WAV, FLAC, Ogg and AIFF, read by soundfile (the extra `audio`)."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from gankit.base.text import plural, printable
from gankit.data.dataset import Dataset
from gankit.data.formats import Array
from gankit.data.formats.limits import allocate
from gankit.data.formats.pixels import BROKEN
from gankit.data.formats.sources import ImageFiles, labels_of
from gankit.data.preparation import Preparation
from gankit.errors import InputError, ResourceError

if TYPE_CHECKING:
    from types import ModuleType

FULL_SCALE = (-1.0, 1.0)


def soundfile() -> ModuleType:
    """The package that reads and writes sound; ResourceError where it is not installed."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: its library is missing
        raise ResourceError(
            f"sound is read and written by soundfile, which is not installed ({error})",
            hint="pip install 'gankit[audio]'",
        ) from error
    module: ModuleType = soundfile
    return module


def load_sounds(files: ImageFiles, name: str, how: Preparation) -> Dataset:
    """Sound files of one rate and one number of channels as signals in [-1, 1]; sub-folders are classes.

    With `how.length` each file is cut into clips of so many steps, and what is left at its end is not used; without it
    all files must have one length. InputError names two files that differ, and the first that cannot be read.
    """
    library = soundfile()
    labels_of(files)  # files beside sub-folders are refused before anything is read
    infos: dict[str, Any] = {}
    bad: dict[str, str] = {}
    for path in files.names:
        try:
            with files.open(path) as stream:
                infos[path] = library.info(io.BytesIO(stream.read()))
        except (*BROKEN, library.LibsndfileError) as error:
            bad[path] = printable(str(error))
    _check_readable(files, bad, infos, how)
    first = next(iter(infos))
    for what, unit in (("samplerate", "Hz"), ("channels", "channels")):
        other = next((path for path in infos if getattr(infos[path], what) != getattr(infos[first], what)), None)
        if other is not None:
            raise InputError(
                f"{files.where}: '{printable(first)}' has {getattr(infos[first], what):,} {unit}, "
                f"'{printable(other)}' {getattr(infos[other], what):,}",
                hint="make them alike: sox IN.wav -r 16000 -c 1 OUT.wav",
            )
    length = how.length or _one_length(files, {path: info.frames for path, info in infos.items()})
    clips = {path: info.frames // length for path, info in infos.items()}
    if not sum(clips.values()):
        longest = max(info.frames for info in infos.values())
        raise InputError(
            f"{files.where}: no file has {length:,} steps, the longest has {longest:,}", hint=f"--length {longest}"
        )
    shape = (sum(clips.values()), length, infos[first].channels)
    samples = allocate(4 * math.prod(shape), files.where).view(np.float32).reshape(shape)
    place = 0
    for path, count in clips.items():
        samples[place : place + count] = _read(library, files, path)[: count * length].reshape(count, *shape[1:])
        place += count
    used = {path: count for path, count in clips.items() if count}
    labels = labels_of(files).of([place for place, path in enumerate(files.names) if path in used])
    numbers, vectors = (
        None if array is None else np.repeat(array, list(used.values()), axis=0)
        for array in (labels.numbers, labels.vectors)
    )
    said = (*files.notes, *labels.notes, *_cut(infos, clips, length), *_left_out(bad))
    return Dataset.from_arrays(
        name,
        samples,
        numbers,
        classes=labels.classes,
        notes=said,
        conditions=vectors,
        attributes=labels.attributes,
        kind="signals",
        value_range=how.value_range or FULL_SCALE,
        rate=infos[first].samplerate,
        copy=False,
    )


def wav(signal: Array, rate: int) -> bytes:
    """[T, C] in [-1, 1] -> a WAV file of 16 bits."""
    buffer = io.BytesIO()
    soundfile().write(buffer, signal, rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _read(library: ModuleType, files: ImageFiles, path: str) -> Array:
    """float32 [T, C]."""
    try:
        with files.open(path) as stream:
            values, _ = library.read(io.BytesIO(stream.read()), dtype="float32", always_2d=True)
    except (*BROKEN, library.LibsndfileError) as error:
        raise InputError(
            f"{files.where}, {printable(path)}: cannot be read: {printable(str(error))}", hint="remove the file"
        ) from error
    array: Array = values
    return array


def _check_readable(files: ImageFiles, bad: dict[str, str], infos: dict[str, Any], how: Preparation) -> None:
    if bad and (how.on_bad_image == "error" or not infos):
        path, why = next(iter(bad.items()))
        more = f" (and {len(bad) - 1:,} more)" if len(bad) > 1 else ""
        raise InputError(
            f"{files.where}, {printable(path)}: not a sound file that is read: {why}{more}",
            hint="remove it, or leave such files out with --on-bad-image skip",
        )


def _one_length(files: ImageFiles, frames: dict[str, int]) -> int:
    short, long = min(frames, key=frames.__getitem__), max(frames, key=frames.__getitem__)
    if frames[short] != frames[long]:
        raise InputError(
            f"{files.where}: '{printable(short)}' has {frames[short]:,} steps, '{printable(long)}' {frames[long]:,}",
            hint=f"--length {frames[short]} cuts clips of that length",
        )
    if not frames[short]:
        raise InputError(f"{files.where}: '{printable(short)}' is empty", hint="remove the file")
    return frames[short]


def _cut(infos: dict[str, Any], clips: dict[str, int], length: int) -> tuple[str, ...]:
    rest = sum(info.frames - clips[path] * length for path, info in infos.items())
    if not rest and all(count == 1 for count in clips.values()):
        return ()
    total = sum(info.frames for info in infos.values())
    note = f"{plural(len(infos), 'file')} cut into clips of {length:,} steps"
    return (f"{note}; {rest / total:.1%} at the ends of files not used" if rest else note,)


def _left_out(bad: dict[str, str]) -> tuple[str, ...]:
    return (f"{plural(len(bad), 'unreadable file')} skipped ({printable(next(iter(bad)))})",) if bad else ()
