"""Targets of the fuzz campaign: files of labels with several columns, names in arrays, Parquet, named conditions."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import gankit
from gankit.data import Dataset, Preparation, load_dataset
from reliability.mutate import Mutator, json_lines, json_values, raw

CELEBA = b"2\nsmiling male young\na.png  1 -1  1\nb.png -1 -1  1\n"
TABLE = b"file_name,smiling,hair,age,caption\na.png,1,red,20,one\nb.png,0,black,35.5,two\n"
FIELDS = {"a.png": {"smiling": 1, "age": 20, "tags": ["x"]}, "b.png": {"smiling": 0, "age": 30, "tags": []}}
LINES = [{"file_name": name, **fields} for name, fields in FIELDS.items()]
ATTRIBUTE_FILES: dict[str, tuple[bytes, Mutator]] = {
    "list_attr_celeba.txt": (CELEBA, raw),
    "attributes.csv": (TABLE, raw),
    "attributes.tsv": (TABLE.replace(b",", b"\t"), raw),
    "attributes.txt": (b"file_name smiling age\na.png 1 20\nb.png 0 30\n", raw),
    "labels.json": (json.dumps(FIELDS).encode(), json_values),
    "labels.jsonl": (b"\n".join(json.dumps(line).encode() for line in LINES), json_lines),
    "dataset.json": (b'{"labels": [["a.png", [0.5, -1]], ["b.png", [1, 2.5]]]}', json_values),
}
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def opened(dataset: Dataset) -> Dataset:
    """The data set, once everything in it has been looked at."""
    assert dataset.real(torch.arange(min(4, len(dataset)))).isfinite().all()
    assert dataset.conditions is None or dataset.conditions.isfinite().all()
    dataset.describe().encode()
    return dataset


def load(name: str, **how: object) -> Callable[[Path], object]:
    """A call that opens a data set in a folder."""
    return lambda folder: opened(load_dataset(str(folder / name), {}, how=Preparation(**how)))  # type: ignore[arg-type]


def parquet(png: bytes, features: object = FEATURES, **options: object) -> bytes:
    """Six images with labels."""
    image = pa.array([{"bytes": png, "path": "a.png"}] * 6, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    columns = {"image": image, "label": pa.array([0, 1] * 3), "text": ["x", "y", "z"] * 2, "tags": [["a"], ["b"]] * 3}
    data = pa.table(columns)
    if features is not None:
        data = data.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    pq.write_table(data, stream, row_group_size=2, **options)
    return stream.getvalue()


def footer(data: bytes, rng: random.Random) -> bytes:
    """A Parquet file whose footer is damaged: what it says of columns, types, groups of rows and places."""
    length = int.from_bytes(data[-8:-4], "little")
    changed = raw(data[-8 - length : -8], rng)
    length = len(changed) if rng.random() < 0.9 else rng.choice((0, 1, 1 << 31, 0xFFFFFFFF))
    return data[: -8 - int.from_bytes(data[-8:-4], "little")] + changed + length.to_bytes(4, "little") + b"PAR1"


def body(data: bytes, rng: random.Random) -> bytes:
    """A Parquet file whose footer is as it was: pages and their headers are damaged in place."""
    length = int.from_bytes(data[-8:-4], "little") + 8
    changed = raw(data[4:-length], rng)[: len(data) - length - 4]
    return data[:4] + changed.ljust(len(data) - length - 4, b"\0") + data[-length:]


def named_arrays(npy: Callable[[object], bytes]) -> dict[str, bytes]:
    """The members of an .npz with names for everything."""
    random_ = np.random.RandomState(0)
    return {
        "images.npy": npy(random_.randint(0, 256, (4, 6, 6)).astype(np.uint8)),
        "conditions.npy": npy(random_.randn(4, 2).astype(np.float32)),
        "names.npy": npy(np.array(["smiling", "age"])),
        "scales.npy": npy(np.array([[0, 35.0], [1, 12.5]])),
        "labels.npy": npy(np.array([0, 1, 1, 0])),
        "classes.npy": npy(np.array(["cat", "dog"])),
    }


def attributes_generator(folder: Path) -> bytes:
    """A generator of points over two attributes."""
    random_ = np.random.RandomState(0)
    points, vectors = random_.randn(40, 2).astype(np.float32), random_.randint(0, 2, (40, 2)).astype(np.float32)
    np.savez(folder / "named.npz", x=points, conditions=vectors, names=["smiling", "age"], scales=[[0, 3.0], [1, 2.0]])
    settings = {"batch": 8, "z_dim": 4, "steps": 1, "device": "cpu", "conditional": True}
    made = gankit.train("gan", data=folder / "named.npz", out=folder / "named", **settings)
    return made.generator.read_bytes()


def sample(path: Path) -> object:
    """Samples as they come, and for each attribute."""
    generator = gankit.load(path / "g.safetensors")
    labels = [a.name if a.kind == "binary" else f"{a.name}=1" for a in generator.data.attributes[:4]]
    plain = [name for name in labels if not set(name) & set(',"') and name == name.strip() and "=" not in name[:-2]]
    return [generator.sample(2), *(generator.sample(2, label=label) for label in plain)]


def sealed(
    name: str, members: Mapping[str, bytes], pack: Callable[[Mapping[str, bytes]], bytes]
) -> Callable[[bytes], Mapping[str, bytes]]:
    """What makes an .npz anew when one of its members is damaged."""
    return lambda content: {"x.npz": pack({**members, name: content})}
