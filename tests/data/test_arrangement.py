"""Folders, zips and tars as other tools leave them: splits, shards, and labels in a file beside the images."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gankit.data import Dataset, load_dataset
from gankit.errors import InputError

FORMS = ("folder", "zip", "tar", "tar.gz")


def png(value: int) -> bytes:
    """An image by whose first pixel it is known."""
    pixels = np.full((4, 4), 200, np.uint8)
    pixels[0, 0] = value
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def made(base: Path, form: str, files: Mapping[str, bytes]) -> str:
    """The files as a folder, a zip or a tar."""
    path = base / ("data" if form == "folder" else f"data.{form}")
    if form == "folder":
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if form == "tar.gz" else "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(f"./{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return str(path)


def load(path: str, split: str = "train") -> Dataset:
    return load_dataset(path, {}, split=split)


def labelled(dataset: Dataset) -> dict[int, str]:
    """First pixel -> name of the class."""
    assert dataset.labels is not None
    names = [dataset.spec.classes[label] for label in dataset.labels.tolist()]
    return dict(zip(dataset.samples[:, 0, 0, 0].tolist(), names, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_train_and_test_folders_are_splits(tmp_path: Path, form: str) -> None:
    files = {f"{top}/{kind}/{n}.png": png(n + 10 * (top == "test")) for top in ("train", "test") for kind in "ab" for n in (1, 2)}  # fmt: skip
    path = made(tmp_path, form, files)
    dataset = load(path)
    assert dataset.spec.classes == ("a", "b")
    assert sorted(dataset.samples[:, 0, 0, 0].tolist()) == [1, 1, 2, 2]
    assert "train/ is the split 'train'; 4 images of test not used" in dataset.describe()
    assert sorted(load(path, "test").samples[:, 0, 0, 0].tolist()) == [11, 11, 12, 12]
    with pytest.raises(InputError, match="has no split 'val'") as caught:
        load(path, "val")
    assert caught.value.hint == "its splits: test, train"


def test_a_class_called_train_is_a_class_beside_others(tmp_path: Path) -> None:
    path = made(tmp_path, "folder", {"train/1.png": png(1), "bus/2.png": png(2)})
    assert labelled(load(path)) == {1: "train", 2: "bus"}
    with pytest.raises(InputError, match="has no split 'test'"):
        load(path, "test")


@pytest.mark.parametrize("form", FORMS)
def test_labels_of_stylegan_make_the_classes_and_its_folders_do_not(tmp_path: Path, form: str) -> None:
    files = {"00000/img0.png": png(1), "00000/img1.png": png(2), "00001/img2.png": png(3)}
    labels = {"labels": [["00000/img0.png", 10], ["00000/img1.png", 9], ["00001/img2.png", 10]]}
    path = made(tmp_path, form, {**files, "dataset.json": json.dumps(labels).encode()})
    dataset = load(path)
    assert dataset.spec.classes == ("9", "10")
    assert labelled(dataset) == {1: "10", 2: "9", 3: "10"}
    assert "labels from dataset.json" in dataset.describe()
    none = made(tmp_path / "none", "folder", {**files, "dataset.json": b'{"labels": null}'})
    assert load(none).labels is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "file_name,label\na.png,cat\nb.png,dog\n"),
        ("labels.csv", "a.png,cat\nb.png,dog\n"),
        ("labels.csv", "\ufeffid,split,target\na,train,cat\nb,train,dog\n"),
        ("labels.tsv", "image_id\tclass\na.png\tcat\nb.png\tdog\n"),
        ("metadata.csv", "file_name,text\na.png,cat\nb.png,dog\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "cat"}\n{"file_name": "b.png", "label": "dog"}\n'),
        ("metadata.csv", "id,file_name,label\nb,a.png,cat\na,b.png,dog\n"),
        (
            "metadata.jsonl",
            '{"id": "b", "file_name": "a.png", "label": "cat"}\n{"id": "a", "file_name": "b.png", "label": "dog"}\n',
        ),
        ("labels.json", '{"a.png": "cat", "b.png": "dog"}'),
        ("labels.json", '[["a.png", "cat"], ["b.png", "dog"]]'),
    ],
)
def test_a_file_of_labels_beside_the_images_is_read(tmp_path: Path, name: str, text: str) -> None:
    path = made(tmp_path, "folder", {"a.png": png(1), "b.png": png(2), name: text.encode()})
    assert labelled(load(path)) == {1: "cat", 2: "dog"}


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_a_shard_of_webdataset_has_its_labels_beside_each_image(tmp_path: Path, form: str) -> None:
    files = {"0001.png": png(1), "0001.cls": b"7\n", "0002.png": png(2), "0002.cls": b"3", "0001.json": b"{}"}
    assert labelled(load(made(tmp_path, form, files))) == {1: "7", 2: "3"}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("labels.csv", "a.png,cat\n", "labels.csv has no label for 1 of 2 images, for instance 'b.png'"),
        ("labels.csv", "a.png,cat\na.png,dog\nb.png,cat\n", "labels.csv has two labels for 'a.png'"),
        ("labels.csv", "height,width\n3,4\n", "has no label for 2 of 2 images"),
        ("labels.csv", "file_name,height,width\na.png,3,4\n", "has no label for 1 of 2 images"),
        ("labels.csv", "file_name,label\na.png,cat\nb.png,\n", "has no label for 1 of 2 images, for instance 'b.png'"),
        ("labels.csv", "file_name,label\na.png,big, black\nb.png,dog\n", "row 2 has 3 cells, the header 2"),
        ("labels.csv", "file_name,label,label\na.png,cat,1\nb.png,dog,2\n", "two columns are called 'label'"),
        ("labels.csv", "a.png,1,0,0\nb.png,0,1,1\n", "no header line above its files"),
        ("labels.csv", "species,age,kind\ncat,3,x\ndog,4,y\n", "none is known to hold the files"),
        ("labels.json", "{", "labels.json cannot be read"),
        ("labels.json", "3", "no list of [file, label]"),
        ("dataset.json", '{"labels": [["a.png", [0.5, 1]], ["b.png", [1]]]}', "cannot be a label: lists that are neither tags nor"),
        ("labels.json", '{"a.png": {"age": 3}, "b.png": 4}', "some files have fields and some do not"),
        ("labels.json", '{"a.png": {"label": {"x": 1}}, "b.png": {"label": 2}}', "cannot be a label: neither texts nor numbers"),
        ("metadata.jsonl", "[1]\n", "no records of files and labels"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused_and_never_guessed(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    path = made(tmp_path, "folder", {"a.png": png(1), "b.png": png(2), name: text.encode()})
    with pytest.raises(InputError) as caught:
        load(path)
    assert reason in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b"x" * 2000])
def test_a_damaged_tar_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "data.tar"
    path.write_bytes(damage)
    with pytest.raises(InputError):
        load(str(path))


def test_links_and_devices_in_a_tar_are_no_images(tmp_path: Path) -> None:
    path = tmp_path / "data.tar"
    with tarfile.open(path, "w") as tar:
        info: Any = tarfile.TarInfo("a.png")
        info.size = len(png(1))
        tar.addfile(info, io.BytesIO(png(1)))
        for name, kind in (("b.png", tarfile.SYMTYPE), ("c.png", tarfile.LNKTYPE), ("d.png", tarfile.FIFOTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
    assert len(load(str(path))) == 1


def test_a_file_of_labels_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = Path(made(tmp_path, "zip", {"a.png": png(1), "labels.csv": b"a.png,cat\n"}))
    path.write_bytes(path.read_bytes().replace(b"a.png,cat", b"a.png,dog"))  # stored: its checksum is wrong now
    with pytest.raises(InputError, match=r"labels.csv cannot be read: Bad CRC-32"):
        load(str(path))


def test_names_with_dots_keep_their_own_labels(tmp_path: Path) -> None:
    """An id without a suffix is not cut at its dot, or both images would get the last label."""
    files = {"img.v1.png": png(1), "sub/img.v2.png": png(2), "labels.csv": b"img.v1,cat\nimg.v2,dog\n"}
    assert labelled(load(made(tmp_path, "folder", files))) == {1: "cat", 2: "dog"}


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_lone_train_folder_is_a_split_and_its_folders_are_the_classes(tmp_path: Path, form: str) -> None:
    path = made(tmp_path, form, {"train/cat/1.png": png(1), "train/dog/2.png": png(2)})
    assert labelled(load(path)) == {1: "cat", 2: "dog"}


def test_a_dot_before_the_names_of_a_zip_hides_nothing(tmp_path: Path) -> None:
    assert labelled(load(made(tmp_path, "zip", {"./cat/1.png": png(1), "./dog/2.png": png(2)}))) == {1: "cat", 2: "dog"}


def test_backslashes_in_a_zip_are_folders(tmp_path: Path) -> None:
    path = made(tmp_path, "zip", {"top\\cat\\1.png": png(1), "top\\dog\\2.png": png(2)})
    assert labelled(load(path)) == {1: "cat", 2: "dog"}


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")])  # fmt: skip
def test_splits_in_one_npz(tmp_path: Path, names: tuple[str, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), np.uint8)
    arrays = (images[:4], np.array([[0], [1], [0], [1]]), images[4:], np.array([[1], [0]]))
    np.savez(tmp_path / "x.npz", **dict(zip(names, arrays, strict=True)))
    train, test = load(str(tmp_path / "x.npz")), load(str(tmp_path / "x.npz"), "test")
    assert (train.samples[:, 0].numpy() == images[:4]).all()
    assert (test.samples[:, 0].numpy() == images[4:]).all()
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(InputError, match="has no split 'val'"):
        load(str(tmp_path / "x.npz"), "val")
