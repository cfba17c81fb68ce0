"""Kinds of files that are not read, with the reason and the way to convert them; never taken for another kind."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Unread:
    """A kind of file that is not read."""

    name: str
    suffixes: tuple[str, ...]
    reason: str
    """'they are documents': completes "not read, for …"."""
    way: str
    """The command or the Python that converts one; {file} and {stem} are its name, {files} is all of them."""
    starts: tuple[bytes, ...] = ()
    """The first bytes of such a file, where they tell it."""

    def converted(self, name: str, suffix: str = "") -> str:
        """How to convert the file of this name, or all files of a suffix."""
        path = PurePosixPath(name)
        files = f"'*{suffix}'" if suffix else shlex.quote(path.name)
        return self.way.replace("{files}", files).replace("{file}", path.name).replace("{stem}", path.stem)


_MAGICK = "magick mogrify -format png {files}"
_NPZ = "np.savez('{stem}.npz', images=…, labels=…)"

UNREAD = (
    Unread(
        "HDF5",
        (".h5", ".hdf5", ".he5", ".hdf"),
        "only their author knows which of their arrays are images",
        f"import h5py, numpy as np; f = h5py.File('{{file}}'); print(list(f)); {_NPZ}",
        (b"\x89HDF\r\n\x1a\n",),
    ),
    Unread(
        "MATLAB",
        (".mat",),
        "SciPy reads them, which gankit does without",
        "import scipy.io, numpy as np; d = scipy.io.loadmat('{file}'); "  # the names are those of SVHN
        "np.savez('{stem}.npz', images=d['X'].transpose(3, 0, 1, 2), labels=d['y'][:, 0])",
        (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"),
    ),
    Unread(
        "PyTorch",
        (".pt", ".pth", ".ckpt"),
        "they are pickles, which can run any program",
        f"import torch, numpy as np; x = torch.load('{{file}}'); {_NPZ}",
    ),
    Unread(
        "pickle",
        (".pkl", ".pickle"),
        "they can run any program",
        f"import pickle, numpy as np; x = pickle.load(open('{{file}}', 'rb')); {_NPZ}",
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    ),
    Unread(
        "Arrow",
        (".arrow",),
        "Parquet is what is read of tables",
        "import datasets; datasets.Dataset.from_file('{file}').to_parquet('{stem}.parquet')",
    ),
    Unread(
        "Feather",
        (".feather",),
        "Parquet is what is read of tables",
        "import pyarrow.feather, pyarrow.parquet; "
        "pyarrow.parquet.write_table(pyarrow.feather.read_table('{file}'), '{stem}.parquet')",
        (b"ARROW1", b"FEA1"),
    ),
    Unread("LMDB", (".mdb", ".lmdb"), "only their author knows what their entries are", "write the images to a folder"),
    Unread("TFRecord", (".tfrecord", ".tfrecords"), "TensorFlow reads them", "write the images to a folder"),
    Unread(
        "video",
        (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"),
        "they are films",
        "mkdir {stem} && ffmpeg -i {file} {stem}/%06d.png",
    ),
    Unread(
        "packed archive",
        (".7z", ".rar", ".zst", ".bz2", ".tbz2", ".xz", ".txz"),
        "only zip, tar and tar.gz are unpacked",
        "unpack it and give the folder",
        (b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00"),
    ),
    Unread(
        "JPEG XL", (".jxl",), "their decoder is not part of gankit", _MAGICK, (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
    ),
    Unread("PSD", (".psd", ".psb"), "they are documents", "magick mogrify -flatten -format png {files}", (b"8BPS",)),
    Unread(
        "document",
        (".svg", ".eps", ".ps", ".pdf", ".ai"),
        "they are documents",
        _MAGICK,
        (b"%PDF", b"%!PS", b"<svg", b"<?xml"),
    ),
    Unread(
        "camera raw",
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raw"),
        "they are raw data of a camera",
        _MAGICK,
        (b"IIRO", b"IIU\0"),
    ),
    Unread(
        "OpenEXR",
        (".exr", ".hdr"),
        "they hold light without an end, so none of it is white",
        "magick mogrify -auto-level -format png {files}",
        (b"\x76\x2f\x31\x01", b"#?RADIANCE"),
    ),
    Unread(
        "DICOM",
        (".dcm", ".dicom"),
        "which values are black and white is in their header",
        "import pydicom, numpy as np; np.save('{stem}.npy', np.stack([pydicom.dcmread(f).pixel_array for f in …]))",
    ),
    Unread(
        "web page",
        (".html", ".htm"),
        "they may be what a server answered in place of the file",
        "download it again",
        (b"<!DOCTYPE html", b"<!doctype html", b"<html"),
    ),
    Unread(
        "Git LFS pointer",
        (),
        "they only name the file",
        "git lfs pull",
        (b"version https://git-lfs",),
    ),
)
_BY_SUFFIX = {suffix: kind for kind in UNREAD for suffix in kind.suffixes}


def unread_by_suffix(suffix: str) -> Unread | None:
    """The kind of files with such a suffix, lower case and with its dot."""
    return _BY_SUFFIX.get(suffix)


def unread_by_start(start: bytes) -> Unread | None:
    """The kind of a file that begins so."""
    return next((kind for kind in UNREAD if start.startswith(kind.starts)), None)
