"""Parquet files with images: Hugging Face's form, shards and splits, labels in the other columns, damage."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from support import gankit
from support_data import assert_same_data, load, pack, png, table

from gankit.data import Dataset, load_dataset
from gankit.errors import InputError

Refusal = Callable[..., str]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ANIMALS = ["zebra", "ant", "cat"]


def images(numbers: Sequence[int], form: str = "struct") -> pa.Array:
    """A column of images by whose first pixels they are known."""
    if form == "binary":
        return pa.array([png(number) for number in numbers], pa.binary())
    return pa.array([{"bytes": png(number), "path": f"{number}.png"} for number in numbers], STRUCT)


def write(
    path: Path, numbers: Sequence[int], form: str = "struct", features: Any = None, rows: int = 3, **columns: Any
) -> Path:
    """A Parquet file of these images, with groups of `rows` rows; `features` is what Hugging Face says of its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = pa.table({"image": images(numbers, form), **columns})
    if features is not None:
        data = data.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(data, path, row_group_size=rows)
    return path


HF = {"image": {"_type": "Image"}, "label": {"names": ANIMALS, "_type": "ClassLabel"}}


def hugging_face(folder: Path) -> Path:
    """Two shards for training and one for tests, as `datasets` writes them."""
    for split, count, numbers in (("train", 2, range(14)), ("test", 1, range(20, 25))):
        for shard in range(count):
            mine = (
                [number for number in numbers if number * count // len(numbers) == shard]
                if count > 1
                else list(numbers)
            )
            name = f"{split}-{shard:05d}-of-{count:05d}.parquet"
            write(folder / "data" / name, mine, features=HF, label=pa.array([n % 3 for n in mine], pa.int64()))
    return folder


def shown(dataset: Dataset) -> list[int]:
    """The images in their order, by their first pixels."""
    return [int(pixel) for pixel in dataset.samples[:, 0, 0, 0]]


def test_shards_and_splits_of_hugging_face(tmp_path: Path) -> None:
    path = str(hugging_face(tmp_path / "hf"))
    train, test = load_dataset(path, {}), load_dataset(path, {}, split="test")
    assert shown(train) == list(range(14))
    assert train.spec.classes == tuple(ANIMALS)  # in their order, not by their names
    assert train.labels is not None
    assert train.labels.tolist() == [number % 3 for number in range(14)]
    assert shown(test) == list(range(20, 25))
    assert "2 Parquet files of split 'train'; not used: test-00000-of-00001.parquet" in train.notes
    with pytest.raises(InputError, match="has no split 'val'") as caught:
        load_dataset(path, {}, split="val")
    assert caught.value.hint == "its splits: test, train"
    one = load_dataset(f"{path}/data/train-00001-of-00002.parquet", {})
    assert shown(one) == list(range(7, 14))
    assert "shard 2 of 2" in one.notes


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    hugging_face(tmp_path / "hf")
    (tmp_path / "hf" / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(InputError, match=r"train-00000-of-00002\.parquet is missing"):
        load(tmp_path / "hf")


@pytest.mark.parametrize(
    ("names", "train"),
    [
        (["train/0000.parquet", "validation/0000.parquet"], [0]),
        (["train.parquet", "test.parquet"], [0]),
        (["train_0.parquet", "train_1.parquet", "dev.parquet"], [0, 1]),
        (["0.parquet", "1.parquet"], [0, 1]),
        (["default/train/0000.parquet", "default/test/0000.parquet"], [0]),
        (["validation-00000-of-00001.parquet"], [0]),
        (["train_full-00000-of-00001.parquet", "train-00000-of-00001.parquet"], [1]),
    ],
)
def test_splits_are_known_by_the_names_of_files_and_folders(tmp_path: Path, names: list[str], train: list[int]) -> None:
    for number, name in enumerate(names):
        write(tmp_path / "d" / name, [number])
    assert sorted(shown(load(tmp_path / "d"))) == train


@pytest.mark.parametrize("form", ["struct", "binary"])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_images_in_groups_of_any_size(tmp_path: Path, form: str, rows: int) -> None:
    path = write(tmp_path / "x.parquet", range(90), form, rows=rows)
    assert shown(load(path)) == list(range(90))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(90):
        (folder / f"{number:02d}.png").write_bytes(png(number))
    assert load(path).fingerprint == load(folder).fingerprint


def test_other_columns_are_labels_as_in_a_file_of_them(tmp_path: Path) -> None:
    columns = {
        "smiling": pa.array([True, False, True, False]),
        "male": pa.array([1, 0, 0, 1], pa.int8()),
        "age": pa.array([20.5, 30.5, 40.5, 50.5], pa.float32()),
        "hair": pa.array(["red", "black", "red", "red"]).dictionary_encode(),
        "tags": pa.array([["a"], [], ["a", "b"], ["b"]]),
        "taken": pa.array([0, 1, 2, 3], pa.timestamp("s")),
        "box": pa.array([{"x": 1}] * 4),
    }
    dataset = load(write(tmp_path / "x.parquet", range(4), **columns))
    assert table(dataset) == {
        "smiling": [1, 0, 1, 0], "male": [1, 0, 0, 1], "age": [20.5, 30.5, 40.5, 50.5],
        "hair=black": [0, 1, 0, 0], "hair=red": [1, 0, 1, 1], "a": [1, 0, 1, 0], "b": [0, 0, 1, 1],
    }  # fmt: skip
    assert "left out of *.parquet: taken (of type timestamp[ms]), box (of type struct<x: int64>)" in dataset.notes
    assert load(tmp_path / "x.parquet", labels=("hair",)).spec.classes == ("black", "red")
    named = {"objects": {"feature": {"names": ANIMALS, "_type": "ClassLabel"}, "_type": "Sequence"}}
    tagged = load(write(tmp_path / "y.parquet", range(2), features=named, objects=pa.array([[2, 0], [0]])))
    assert table(tagged) == {"zebra": [1, 1], "cat": [1, 0]}


def test_labels_without_a_value_are_no_labels(tmp_path: Path) -> None:
    """As in the test sets of competitions, where Hugging Face writes -1."""
    dataset = load(write(tmp_path / "x.parquet", range(4), features=HF, label=pa.array([-1] * 4)))
    assert dataset.labels is None
    assert "left out of *.parquet: label (no value)" in dataset.notes
    with pytest.raises(
        InputError, match=r"\*\.parquet has no label for 1 of 4 images, for instance 'x.parquet, row 2'"
    ):
        load(write(tmp_path / "x.parquet", range(4), features=HF, label=pa.array([0, 1, -1, 2])))
    with pytest.raises(InputError, match="column 'label' has 3 classes and holds 7"):
        load(write(tmp_path / "x.parquet", range(4), features=HF, label=pa.array([0, 1, 7, 2])))


def test_the_column_of_images_is_found_or_chosen(tmp_path: Path, refusal: Refusal) -> None:
    masks = images(range(50, 54))
    write(tmp_path / "two.parquet", range(4), mask=masks)
    said = refusal("data info two.parquet", tmp_path)
    assert "two.parquet: columns image, mask hold images — choose one: --image-column image" in said
    facts = gankit("data", "info", "two.parquet", "--image-column", "mask", "--json", cwd=tmp_path)
    assert json.loads(facts.stdout)["count"] == 4
    assert shown(load(tmp_path / "two.parquet", image_column="mask")) == list(range(50, 54))
    write(tmp_path / "one.parquet", range(4), features={"image": {"_type": "Image"}}, audio=masks)
    assert shown(load(tmp_path / "one.parquet")) == list(range(4))
    pq.write_table(pa.table({"pixels": [[1, 2], [3, 4]], "label": [0, 1]}), tmp_path / "none.parquet")
    said = refusal("data info none.parquet", tmp_path)
    assert "none.parquet: none of its columns holds images: pixels, label — a column of encoded images" in said
    assert "column 'label' holds no images for --image-column" in refusal(
        "data info none.parquet --image-column label", tmp_path
    )
    assert "no such column for --image-column" in refusal("data info none.parquet --image-column x", tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((4, 4, 4), np.uint8))
    for data in ("digits", "x.npy"):
        assert "holds no column of images" in refusal(f"train --variant gan --data {data} --image-column x", tmp_path)


def test_rows_without_an_image_are_named_or_skipped(tmp_path: Path) -> None:
    rows = pa.array(
        [{"bytes": png(0)}, {"bytes": None, "path": "far.png"}, None, {"bytes": b"no image"}, {"bytes": png(4)}], STRUCT
    )
    pq.write_table(pa.table({"image": rows}), tmp_path / "x.parquet", row_group_size=2)
    with pytest.raises(InputError, match="3 of 5 images cannot be read: x.parquet, row 1: this row holds no bytes"):
        load(tmp_path / "x.parquet")
    assert shown(load(tmp_path / "x.parquet", on_bad_image="skip")) == [0, 4]


def test_a_damaged_group_of_rows_is_named_and_the_others_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", range(9), "binary")
    data = bytearray(path.read_bytes())
    offset = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(InputError, match="3 of 9 images cannot be read: x.parquet, row 3: its group of rows: "):
        load(path)
    assert shown(load(path, on_bad_image="skip")) == [0, 1, 2, 6, 7, 8]


@pytest.mark.parametrize("damage", ["short", "no footer", "noise"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str, refusal: Refusal) -> None:
    path = write(tmp_path / "x.parquet", range(9))
    data = path.read_bytes()
    changed = {"short": data[:200], "no footer": data[:-8], "noise": b"PAR1" + b"\xab" * 500 + b"PAR1"}[damage]
    path.write_bytes(changed)
    assert "x.parquet: not a sound Parquet file: " in refusal("data info x.parquet", tmp_path)


def test_a_footer_for_which_pyarrow_ends_the_process_is_one_line(tmp_path: Path) -> None:
    """Its schema says that a column is neither required, optional nor repeated; C++ throws where Python cannot catch."""
    path = write(tmp_path / "x.parquet", range(4), label=pa.array([0, 1, 0, 1]))
    optional, neither = b"\x35\x02\x18\x05image", b"\x35\x20\x18\x05image"
    data = path.read_bytes()
    assert data.count(optional) == 1
    path.write_bytes(data.replace(optional, neither))
    result = gankit("data", "info", "x.parquet", cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert "error: " in result.stderr


@pytest.mark.parametrize("form", ["file", "stream", "folder"])
def test_arrow_files_are_named_with_the_way(tmp_path: Path, form: str, refusal: Refusal) -> None:
    data = pa.table({"image": images(range(2))})
    if form == "file":
        pyarrow.feather.write_feather(data, str(tmp_path / "x.feather"))
    else:
        with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_stream(file, data.schema) as writer:
            writer.write_table(data)
    name = {"file": "x.feather", "stream": "x.arrow", "folder": "."}[form]
    said = refusal(f"data info {name}", tmp_path)
    assert "not read, for Parquet is what is read of tables" in said
    assert ".parquet')" in said


def test_without_pyarrow_the_package_is_named(
    tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x.parquet", range(2))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # importing it fails
    said = refusal("data info x.parquet", tmp_path, "4")
    assert "x.parquet: Parquet is read by pyarrow, which is not installed — pip install 'gankit[parquet]'" in said


def test_images_beside_a_parquet_file_are_the_data(tmp_path: Path) -> None:
    write(tmp_path / "d" / "metadata.parquet", range(2))
    (tmp_path / "d" / "a.png").write_bytes(png(7))
    assert shown(load(tmp_path / "d")) == [7]


PEAK = """
import sys
import pyarrow as pa
import torch
from gankit.data import load_dataset
dataset = load_dataset(sys.argv[1], {})
print(len(dataset), pa.default_memory_pool().max_memory())
"""


@pytest.mark.slow
def test_a_file_of_one_large_group_is_read_in_little_memory(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    rows = [
        png(0) + noise.integers(0, 256, 10_000, np.uint8).tobytes() for _ in range(12_000)
    ]  # images with junk behind
    pq.write_table(pa.table({"image": pa.array(rows, pa.binary())}), tmp_path / "x.parquet", row_group_size=12_000)
    assert (tmp_path / "x.parquet").stat().st_size > 120e6
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "x.parquet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, peak = map(int, done.stdout.split())
    assert count == 12_000
    assert peak < 64e6


def test_a_run_on_parquet_goes_on_with_the_packed_file(tmp_path: Path) -> None:
    hugging_face(tmp_path / "hf")
    flags = ("--variant", "acgan", "--batch", 4, "--z-dim", 4, "--device", "cpu", "--steps", 3)
    result = gankit("train", "--data", "hf", *flags, "-o", "run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert gankit("data", "pack", "hf", "-o", "hf.gkpack", cwd=tmp_path).returncode == 0
    result = gankit("resume", "run", "--data", "hf.gkpack", "--steps", 5, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "eval" in gankit("sample", "run", "--label", "zebra", "-n", 2, cwd=tmp_path).stderr


def test_packing_is_that_of_the_source(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", range(90), features=HF, label=pa.array([n % 3 for n in range(90)]))
    header = pack(tmp_path / "x.parquet", tmp_path / "x.gkpack")
    source = load(tmp_path / "x.parquet")
    assert_same_data(load(tmp_path / "x.gkpack"), source)
    assert header.fingerprint == source.fingerprint
    assert torch.bincount(source.labels).tolist() == [30, 30, 30]  # type: ignore[arg-type]
    assert re.search("3 classes", source.describe())
