"""What gankit opens, as sound files with the call that opens them: the targets of the fuzz campaign."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from support import OWN_NETWORKS

import gankit
from gankit.base.files import canonical_json, pack_tensors, sha256, tensors_digest
from gankit.base.text import printable
from gankit.data import Preparation, load_dataset
from gankit.data.formats import Array
from gankit.data.formats.pictures import AVIF, HEIC
from gankit.data.formats.plain_pickle import read_plain_pickle
from gankit.errors import InputError
from gankit.measure.features.classifier import KIND, RECIPE, Classifier, classifier
from gankit.run.observers.common import drop_later_lines
from gankit.run.plan import plan_run, stored_settings
from gankit.score import compare
from gankit.settings.layers import Layer, read_toml
from gankit.store import checkpoint, run_folder
from reliability import encoders as enc
from reliability import label_targets
from reliability.mutate import Mutator, header_values, json_lines, json_values, raw

NEWEST = "run/checkpoints/step-000000004"
TOML = (Path(__file__).parents[1] / "examples" / "run.toml").read_bytes()


@dataclass(frozen=True)
class Target:
    """One kind of file: its sound content, how it is damaged, and what opens it in a folder."""

    name: str
    file: str  # where the damaged content lies
    whole: bytes
    open: Callable[[Path], object]
    mutate: Mutator = raw
    seal: Callable[[bytes], Mapping[str, bytes]] | None = None  # damaged content -> files, checksums made anew
    base: Mapping[str, bytes] = field(default_factory=dict)  # what else lies in the folder

    def files(self, content: bytes) -> dict[str, bytes]:
        """Every file of a case."""
        return {**self.base, **(self.seal(content) if self.seal else {self.file: content})}


def targets(folder: Path) -> list[Target]:
    """All of them; `folder` is where a small run is trained for those that need one."""
    return [*data_targets(), *run_targets(folder), *generator_targets(folder)]


# -- data --------------------------------------------------------------------------------------------------------------


def _load(name: str, **how: Any) -> Callable[[Path], object]:
    def load(folder: Path) -> object:
        dataset = load_dataset(str(folder / name), {}, how=Preparation(**how))
        if (
            dataset.samples[0].numel() < 1 << 24
        ):  # as floats a larger one would be over the limit of the campaign itself
            assert dataset.real(torch.arange(min(4, len(dataset)))).isfinite().all()
        assert len(dataset) >= 1
        return dataset

    return load


def data_targets() -> list[Target]:
    """Images in folders and zips, arrays, IDX."""
    grey, colour = (np.random.RandomState(0).randint(0, 256, (2, 12, 12, c)).astype(np.uint8) for c in (1, 3))
    png, npy = _image(colour[0], "png"), _npy(grey[..., 0])
    found = [
        Target(f"{kind} in a folder", f"d/a.{kind}", _image(colour[0], kind), _load("d"))
        for kind in FORMATS
        if kind != "avif" or not AVIF.missing()
    ]
    found += [
        Target("png, palette", "d/a.png", _image(colour[0], "png", "P"), _load("d")),
        Target("png, 16 bits", "d/a.png", _image(colour[0], "png", "I;16"), _load("d")),
        Target("png, checksums right", "d/a.png", png, _load("d"), seal=lambda data: {"d/a.png": _checked(data)}),
        Target("zip", "x.zip", _zip({"a/1.png": png, "b/1.png": png}), _load("x.zip")),
        Target("zip, its member", "x.zip", png, _load("x.zip"), seal=lambda data: {"x.zip": _zip({"a/1.png": data})}),
        Target("zip, labels", "x.zip", _zip({"a.png": png, "labels.csv": b"a.png,cat\n"}), _load("x.zip")),
        Target("tar", "x.tar", _tar({"a/1.png": png, "b/1.png": png}), _load("x.tar")),
        Target("tar.gz", "x.tar.gz", gzip.compress(_tar({"a/1.png": png})), _load("x.tar.gz")),
        Target(
            "tar.gz, inside",
            "x.tar.gz",
            _tar({"1.png": png, "1.cls": b"3", "2.png": png, "2.cls": b"4"}),
            _load("x.tar.gz"),
            seal=lambda data: {"x.tar.gz": gzip.compress(data)},
        ),
        *(
            Target(f"labels, {name}", f"d/{name}", text, _load("d"), base={"d/a.png": png, "d/b.png": png})
            for name, text in LABEL_FILES.items()
        ),
        Target("npz, splits", "x.npz", _zip({"x_train.npy": npy, "y_train.npy": LABELS}), _load("x.npz")),
        Target("npy, floats", "x.npy", _npy(grey[..., 0] / np.float32(255)), _load("x.npy")),
        Target("npy, 16 bits", "x.npy", _npy(grey[..., 0].astype(np.uint16) * 16), _load("x.npy")),
        Target("npy", "x.npy", npy, _load("x.npy")),
        Target("npy, points", "x.npy", _npy(np.eye(9)), _load("x.npy")),
        Target("npz", "x.npz", _zip({"x.npy": npy, "y.npy": _npy(np.arange(2))}), _load("x.npz")),
        Target(
            "npz, its member",
            "x.npz",
            npy,
            _load("x.npz"),
            seal=lambda d: {"x.npz": _zip({"x.npy": d, "y.npy": LABELS})},
        ),
        Target("idx", IDX, _idx(grey[..., 0]), _load("."), base={IDX_LABELS: _idx(np.arange(2))}),
        Target("idx, labels", IDX_LABELS, _idx(np.arange(2)), _load("."), base={IDX: _idx(grey[..., 0])}),
        Target("idx.gz", f"{IDX}.gz", gzip.compress(_idx(grey[..., 0])), _load(".")),
        Target(
            "idx.gz, inside",
            f"{IDX}.gz",
            _idx(grey[..., 0]),
            _load("."),
            seal=lambda d: {f"{IDX}.gz": gzip.compress(d)},
        ),
        *_picture_targets(colour[0], grey[0, ..., 0]),
        *_published_targets(),
    ]
    return [*found, *_label_targets(png)]


def _label_targets(png: bytes) -> list[Target]:
    """Several columns, names in arrays, Parquet."""
    beside = {"d/a.png": png, "d/b.png": png}
    chosen = label_targets.load("d", labels=("smiling", "age:number"))
    found = [
        Target(f"attributes, {name}", f"d/{name}", text, label_targets.load("d"), mutate, base=beside)
        for name, (text, mutate) in label_targets.ATTRIBUTE_FILES.items()
    ]
    found += [
        Target("attributes, chosen", "d/attributes.csv", label_targets.TABLE, chosen, base=beside),
        Target(
            "attributes in a zip",
            "x.zip",
            _zip({"a.png": png, "b.png": png, "list_attr_celeba.txt": label_targets.CELEBA}),
            label_targets.load("x.zip"),
        ),
    ]
    members = label_targets.named_arrays(_npy)
    found += [
        Target(
            f"npz, {name}", "x.npz", data, label_targets.load("x.npz"), seal=label_targets.sealed(name, members, _zip)
        )
        for name, data in members.items()
        if name not in ("images.npy", "labels.npy")
    ]
    whole, packed = label_targets.parquet(png), label_targets.parquet(png, write_page_checksum=True, compression="zstd")
    opens = label_targets.load("x.parquet")
    found += [
        Target("parquet", "x.parquet", whole, opens),
        Target("parquet, footer", "x.parquet", whole, opens, label_targets.footer),
        Target("parquet, pages", "x.parquet", whole, opens, label_targets.body),
        Target(
            "parquet, plain pages",
            "x.parquet",
            label_targets.parquet(png, compression="none", use_dictionary=False),
            opens,
            label_targets.body,
        ),
        Target("parquet, checksums", "x.parquet", packed, opens, label_targets.body),
        Target(
            "parquet, its images", "x.parquet", png, opens, seal=lambda data: {"x.parquet": label_targets.parquet(data)}
        ),
        Target(
            "parquet, features",
            "x.parquet",
            json.dumps(label_targets.FEATURES).encode(),
            opens,
            json_values,
            seal=_features(png),
        ),
        Target(
            "parquet, skipped",
            "x.parquet",
            whole,
            label_targets.load("x.parquet", on_bad_image="skip"),
            label_targets.body,
        ),
    ]
    return found


def _features(png: bytes) -> Callable[[bytes], Mapping[str, bytes]]:
    """Parquet files of which Hugging Face says something else."""

    def seal(content: bytes) -> Mapping[str, bytes]:
        try:
            features = json.loads(content)
        except ValueError:
            features = None
        return {"x.parquet": label_targets.parquet(png, features)}

    return seal


FORMATS = ("png", "jpeg", "webp", "bmp", "ppm", "gif", "tga", "ico", "jp2", "qoi", "tiff", "avif")


def _picture_targets(colour: Array, grey: Array) -> list[Target]:
    """Forms of pictures that other code reads: several frames, other depths and packings."""
    page, deep = enc.tiff_page, grey.astype(np.uint16) * 257
    more = [Image.fromarray(np.rot90(colour, turn)) for turn in (1, 2)]
    frames = {kind: _image(colour, kind, save_all=True, append_images=more) for kind in ("gif", "webp", "png", "tiff")}
    tiffs = {
        "LZW": _image(colour, "tiff", compression="tiff_lzw"),
        "deflate": enc.tiff([page(colour, 2, compression=enc.DEFLATE, predictor=True)]),
        "tiles": enc.tiff([page(colour, 2, tile=16)]),
        "planes": enc.tiff([page(colour, 2, planar=True, rows=5)]),
        "16 bits": enc.tiff([page(deep, 1, ">")], ">"),
        "32 bits": enc.tiff([page(deep.astype(np.int32), 1)]),
        "floats": enc.tiff([page(grey / np.float32(255), 1)]),
        "palette": _image(colour, "tiff", "P"),
        "LAB": enc.tiff([page(colour, 8)]),
        "BigTIFF": enc.tiff([page(colour, 2)], big=True),
        "turned": enc.tiff([page(colour[:7], 2, tags={enc.ORIENTATION: 6})]),
        "jpeg": _image(colour, "tiff", compression="jpeg"),
        "fax": _image(grey, "tiff", "1", compression="group4"),
    }
    found = [Target(f"tiff, {name}", "d/a.tif", data, _load("d")) for name, data in tiffs.items()]
    found += [
        Target(f"{kind}, each frame", f"d/a.{kind}", data, _load("d", frames="all")) for kind, data in frames.items()
    ]
    icon = enc.ico([(12, 12, _image(colour, "png")), (12, 12, _image(colour, "png"))])
    found += [
        Target("tiff, alone", "a.tif", frames["tiff"], _load("a.tif", frames="all")),
        Target("ico, PNG", "d/a.ico", icon, _load("d")),
        Target("tga, in runs", "d/a.tga", enc.tga(10, 12, 12, 24, enc.tga_runs(colour.reshape(-1, 3))), _load("d")),
        Target(
            "jpeg, large",
            "d/a.jpg",
            _image(np.kron(colour, np.ones((16, 16, 1), np.uint8)), "jpeg"),
            _load("d", size=(8, 8)),
        ),
        Target(
            "jpeg, several pictures", "d/a.jpg", _image(colour, "mpo", save_all=True, append_images=more), _load("d")
        ),
        Target("png, 16 bits per colour", "d/a.png", enc.png(colour.astype(int) * 257, 16, 2), _load("d")),
        Target("png, interlaced", "d/a.png", enc.png(colour, 8, 2, interlaced=True), _load("d")),
        Target("j2k", "d/a.j2k", _image(colour, "jpeg2000", no_jp2=True), _load("d")),
    ]
    if not HEIC.missing():
        found.append(Target("heic", "d/a.heic", _image(np.kron(colour, np.ones((6, 6, 1), np.uint8)), "heif"), _load("d")))  # fmt: skip
    return found


def _published_targets() -> list[Target]:
    """CIFAR in each of its forms, EMNIST and Kuzushiji."""
    pixels = np.random.RandomState(0).randint(0, 256, (2, 3072)).astype(np.uint8)
    batch = {b"data": pixels, b"labels": [3, 7], b"filenames": [b"a.png", b"b.png"]}
    names = pickle.dumps({b"label_names": [b"x"] * 10}, 2)
    records = b"".join(bytes([3]) + row.tobytes() for row in pixels)
    found = [
        Target(f"cifar, protocol {protocol}", "c/data_batch_1", pickle.dumps(batch, protocol), _load("c"))
        for protocol in (0, 2, 4, 5)
    ]
    head = pickle.dumps({b"labels": [3, 7], b"x": (1, 2.5, None, True, {}), b"data": pixels[:, :1]}, 2)
    packed = _tar(
        {"cifar-10-batches-py/data_batch_1": pickle.dumps(batch, 2), "cifar-10-batches-py/batches.meta": names}
    )
    letters, mapping = "emnist-letters-train-images-idx3-ubyte", b"1 65 97\n2 66 98\n"
    label_file = {"emnist-letters-train-labels-idx1-ubyte": _idx(np.array([1, 2]))}
    small = np.random.RandomState(1).randint(0, 256, (2, 6, 5)).astype(np.uint8)
    k49 = {"k49-train-labels.npz": _zip({"arr_0.npy": LABELS})}
    return [
        *found,
        Target("cifar, names", "c/batches.meta", names, _load("c"), base={"c/data_batch_1": pickle.dumps(batch, 2)}),
        Target(
            "cifar, its pickle",
            "x",
            head,
            lambda folder: _refused(lambda: read_plain_pickle((folder / "x").read_bytes())),
        ),
        Target("cifar, tar.gz", "x.tar.gz", gzip.compress(packed), _load("x.tar.gz")),
        Target("cifar, tar", "x.tar", packed, _load("x.tar")),
        Target("cifar, bytes", "c/data_batch_1.bin", records, _load("c")),
        Target("emnist", letters, _idx(small), _load("."), base={**label_file, "emnist-letters-mapping.txt": mapping}),
        Target(
            "emnist, mapping",
            "emnist-letters-mapping.txt",
            mapping,
            _load("."),
            base={**label_file, letters: _idx(small)},
        ),
        Target("k49", "k49-train-imgs.npz", _zip({"arr_0.npy": _npy(small)}), _load("."), base=k49),
        Target(
            "k49, labels",
            "k49-train-labels.npz",
            k49["k49-train-labels.npz"],
            _load("."),
            base={"k49-train-imgs.npz": _zip({"arr_0.npy": _npy(small)})},
        ),
    ]


def _refused(read: Callable[[], object]) -> object:
    """A ValueError is how this function refuses; its callers make an InputError of it."""
    try:
        return read()
    except ValueError as error:
        raise InputError(printable(str(error))[:200], hint="copy it again") from error


IDX, IDX_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def _image(pixels: Array, kind: str, mode: str | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode:
        image = image.convert(mode)
    image.save(stream, {"jp2": "jpeg2000"}.get(kind, kind), **options)
    return stream.getvalue()


def _npy(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


LABELS = _npy(np.arange(2))
LABEL_FILES = {
    "dataset.json": b'{"labels": [["a.png", 0], ["b.png", 1]]}',
    "labels.csv": b"file_name,label\na.png,cat\nb.png,dog\n",
    "labels.tsv": b"id\tclass\na\t0\nb\t1\n",
    "labels.json": b'{"a.png": "cat", "b.png": "dog"}',
    "metadata.jsonl": b'{"file_name": "a.png", "label": 3}\n{"file_name": "b.png", "label": 5}\n',
}


def _tar(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _zip(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def _idx(array: Array) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def _checked(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they hold now, as far as it still has chunks."""
    out, place = data[:8], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        body = data[place + 4 : place + 8 + length]
        out += data[place : place + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        place += 12 + length
    return out


# -- runs --------------------------------------------------------------------------------------------------------------


def run_targets(folder: Path) -> list[Target]:
    """The files of a run folder: as they lie, and with checksums that fit the damage."""
    (folder / "tiny.py").write_text(OWN_NETWORKS)
    np.save(folder / "four.npy", np.arange(480, dtype=np.float64).reshape(40, 2, 2, 3) / 480)
    settings = {"batch": 4, "z_dim": 5, "device": "cpu"}
    gankit.train(
        folder / "tiny.py", data=folder / "four.npy", steps=4, checkpoint_every=8, out=folder / "run", **settings
    )
    tree = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made = _Made(folder, tree)
    found = [made.target(f"{NEWEST}/{name}", _verify) for name in ("MANIFEST.json", "state.json")]
    found += [made.target(f"{NEWEST}/{name}", _verify) for name in ("state.safetensors", "generator.safetensors")]
    found += [
        made.sealed("state.json", json_values),
        made.sealed("state.safetensors", header_values),
        made.sealed("MANIFEST.json", json_values),
        made.target("run/run.json", made.resume, json_values),
        made.target("run/status.json", made.resume, json_values),
        made.target("run/config.json", _configuration, json_values),
        made.target("run/stats.jsonl", lambda f: drop_later_lines(f / "run" / "stats.jsonl", 2), json_lines),
    ]
    return found


@dataclass(frozen=True)
class _Made:
    """A small finished run, and targets in it."""

    origin: Path
    tree: Mapping[str, bytes]

    def target(self, file: str, open_: Callable[[Path], object], mutate: Mutator = raw) -> Target:
        return Target(file.removeprefix("run/"), file, self.tree[file], open_, mutate, base=self.tree)

    def sealed(self, name: str, mutate: Mutator) -> Target:
        """A file of the newest checkpoint whose manifest agrees with the damage: only its meaning can be wrong."""
        file = f"{NEWEST}/{name}"
        return Target(f"{name}, sealed", file, self.tree[file], self.resume, mutate, self._seal(name), self.tree)

    def resume(self, folder: Path) -> object:
        """Go on with the run of a case: it has nothing left to do."""
        return gankit.resume(folder / "run", variant=self.origin / "tiny.py", data=self.origin / "four.npy")

    def _seal(self, name: str) -> Callable[[bytes], Mapping[str, bytes]]:
        manifest = json.loads(self.tree[f"{NEWEST}/MANIFEST.json"])

        def seal(content: bytes) -> Mapping[str, bytes]:
            try:
                new = json.loads(content) if name == "MANIFEST.json" else json.loads(json.dumps(manifest))
                if name != "MANIFEST.json":
                    new["files"][name] = {"bytes": len(content), "sha256": sha256(content)}
                new.pop("self_sha256", None)
                new["self_sha256"] = sha256(canonical_json(new).encode())
            except (ValueError, AttributeError, TypeError):
                return {f"{NEWEST}/{name}": content}
            return {f"{NEWEST}/{name}": content, f"{NEWEST}/MANIFEST.json": canonical_json(new).encode()}

        return seal


def _verify(folder: Path) -> object:
    return checkpoint.read(folder / NEWEST)


def _configuration(folder: Path) -> object:
    """As `gankit resume` reads it, without the training that an honest change would start."""
    run = run_folder.RunFolder(folder / "run")
    return plan_run([run_layer(stored_settings(run, {"variant": str(folder / "tiny.py")}))])


def run_layer(settings: Mapping[str, object]) -> Layer:
    return Layer("run", {**settings, "variant": "gan", "options": {}})


# -- files for sharing -------------------------------------------------------------------------------------------------


def generator_targets(folder: Path) -> list[Target]:
    """The sampleable file, the classifier, scores, and a run described in TOML."""
    points = gankit.train(
        "gan", data="ring8", batch=8, z_dim=4, steps=2, device="cpu", eval_every=8, eval_n=50, out=folder / "points"
    )
    scores = (points.folder / "metrics.jsonl").read_bytes()
    whole, named = points.generator.read_bytes(), label_targets.attributes_generator(folder)
    data = load_dataset(str(folder / "four.npy"), {})

    def sample(path: Path) -> object:
        return gankit.load(path / "g.safetensors").sample(2)

    def features(path: Path) -> object:
        return classifier(data, str(path / "c.safetensors"))

    def configuration(path: Path) -> object:
        return plan_run([read_toml(path / "run.toml")])

    return [
        Target("generator.safetensors", "g.safetensors", whole, sample),
        Target("generator.safetensors, header", "g.safetensors", whole, sample, header_values),
        Target("generator over attributes, header", "g.safetensors", named, label_targets.sample, header_values),
        Target("classifier.safetensors", "c.safetensors", _classifier(), features),
        Target("classifier.safetensors, header", "c.safetensors", _classifier(), features, header_values),
        Target("metrics.jsonl", "metrics.jsonl", scores, lambda path: compare.collect([path]), json_lines),
        Target("TOML", "run.toml", TOML, configuration),
    ]


def _classifier() -> bytes:
    with torch.random.fork_rng(devices=[]):
        tensors = Classifier(3, 4).state_dict()
    header = {
        "kind": KIND,
        "recipe": RECIPE,
        "shape": (3, 2, 2),
        "classes": ("a", "b", "c", "d"),
        "data": "four",
        "data_fingerprint": "x",
        "accuracy": 0.5,
        "tensors_sha256": tensors_digest(tensors),
    }
    return pack_tensors(tensors, canonical_json(header))
