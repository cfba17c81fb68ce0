"""Data sets as their authors publish them, made small: CIFAR, EMNIST, Kuzushiji, MedMNIST."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import gankit, idx

from gankit.data import Dataset, load_dataset
from gankit.data.formats.plain_pickle import read_plain_pickle
from gankit.errors import InputError

RNG = np.random.default_rng(0)
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def load(path: Path, split: str = "train") -> Dataset:
    return load_dataset(str(path), {}, split=split)


def info(folder: Path, data: str) -> dict[str, Any]:
    result = gankit("data", "info", data, "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


# -- CIFAR -------------------------------------------------------------------------------------------------------------


def python2(value: Any) -> bytes:
    """A pickle as Python 2 and its NumPy wrote: texts are bytes, modules have their old names."""
    data = pickle.dumps(value, protocol=2)
    return data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def cifar_files(kind: str, protocol: int | None = None) -> dict[str, bytes]:
    """The files of one edition with three images a batch; the red value of the first pixel is its number."""
    write = python2 if protocol is None else (lambda value: pickle.dumps(value, protocol=protocol))
    pixels = RNG.integers(0, 256, (18, 3072), np.uint8)
    pixels[:, 0] = np.arange(18)
    batches = [pixels[start : start + 3] for start in range(0, 18, 3)]
    if kind == "cifar-10-batches-py":
        files = {f"data_batch_{n + 1}": {b"data": part, b"labels": [n, n, 9], b"filenames": [b"a.png"] * 3} for n, part in enumerate(batches[:5])}  # fmt: skip
        files["test_batch"] = {b"data": batches[5], b"labels": [7, 8, 9], b"batch_label": b"testing"}
        files["batches.meta"] = {b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
        return {name: write(value) for name, value in files.items()}
    if kind == "cifar-100-python":
        fine = [b"apple", b"bear", b"whale"]
        files = {"train": {b"data": batches[0], b"fine_labels": [0, 2, 1], b"coarse_labels": [5, 5, 5]}}
        files |= {"test": {b"data": batches[5], b"fine_labels": [1, 1, 1], b"coarse_labels": [5, 5, 5]}}
        files |= {"meta": {b"fine_label_names": fine, b"coarse_label_names": [b"x"]}}
        return {name: write(value) for name, value in files.items()}
    if kind == "cifar-10-batches-bin":
        made = {f"data_batch_{n + 1}.bin": b"".join(bytes([label]) + row.tobytes() for label, row in zip((n, n, 9), part, strict=True)) for n, part in enumerate(batches[:5])}  # fmt: skip
        made["test_batch.bin"] = b"".join(bytes([label]) + row.tobytes() for label, row in zip((7, 8, 9), batches[5], strict=True))  # fmt: skip
        return {**made, "batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n"}
    made = {"train.bin": b"".join(bytes([5, label]) + row.tobytes() for label, row in zip((0, 2, 1), batches[0], strict=True))}  # fmt: skip
    made["test.bin"] = b"".join(bytes([5, 1]) + row.tobytes() for row in batches[5])
    return {**made, "fine_label_names.txt": b"apple\nbear\nwhale\n"}


def put(base: Path, form: str, folder: str, files: Mapping[str, bytes]) -> Path:
    """The files as their folder, in a folder above it, in a tar.gz or in a zip."""
    path = base / {"folder": folder, "root": "root", "tar.gz": f"{folder}.tar.gz", "zip": f"{folder}.zip"}[form]
    if form in ("folder", "root"):
        home = path if form == "folder" else path / folder
        home.mkdir(parents=True)
        for name, data in files.items():
            (home / name).write_bytes(data)
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(f"{folder}/{name}", data)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


EDITIONS = ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary")


@pytest.mark.parametrize("form", ["folder", "root", "tar.gz", "zip"])
@pytest.mark.parametrize("edition", EDITIONS)
def test_every_edition_of_cifar_is_read_in_every_form(tmp_path: Path, edition: str, form: str) -> None:
    path = put(tmp_path, form, edition, cifar_files(edition))
    train, test = load(path), load(path, "test")
    ten = "10-" in edition
    assert train.samples.shape == (15 if ten else 3, 3, 32, 32)
    assert train.samples[:, 0, 0, 0].tolist() == list(range(15 if ten else 3))
    assert test.samples[:, 0, 0, 0].tolist() == [15, 16, 17]
    assert train.labels is not None
    named = [train.spec.classes[label] for label in train.labels.tolist()]
    assert named[:6] == (["airplane", "airplane", "truck", "automobile", "automobile", "truck"] if ten else ["apple", "whale", "bear"])  # fmt: skip
    assert f"the training images of CIFAR-{'10' if ten else '100'}" in train.notes
    assert train.spec.classes == test.spec.classes
    with pytest.raises(InputError, match="has no split 'val'"):
        load(path, "val")


@pytest.mark.parametrize("protocol", range(6))
def test_batches_may_be_pickled_again_by_any_python(tmp_path: Path, protocol: int) -> None:
    files = cifar_files("cifar-10-batches-py", protocol)
    assert len(load(put(tmp_path, "folder", "cifar-10-batches-py", files))) == 15


def test_batches_of_cifar_are_described_and_trained_on(tmp_path: Path) -> None:
    put(tmp_path, "folder", "cifar-10-batches-py", cifar_files("cifar-10-batches-py"))
    facts = info(tmp_path, "cifar-10-batches-py")
    assert (facts["shape"], facts["count"], facts["classes"]["truck"]) == ([3, 32, 32], 15, 5)
    tiny = ("--variant", "gan", "--conditional", "--steps", 1, "--batch", 4, "--size", 8, "--out", "run")
    result = gankit("train", "--data", "cifar-10-batches-py", *tiny, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "15 images, RGB 8x8, 10 classes" in result.stderr


def test_a_batch_that_is_missing_is_said_and_one_alone_is_a_damage(tmp_path: Path) -> None:
    files = cifar_files("cifar-10-batches-py")
    del files["data_batch_2"], files["data_batch_4"]
    path = put(tmp_path, "folder", "cifar-10-batches-py", files)
    assert "of 5 batches only data_batch_1, data_batch_3, data_batch_5" in load(path).notes
    for name in list(path.glob("data_batch_*")):
        name.unlink()
    with pytest.raises(InputError, match="the train images of CIFAR-10 are missing"):
        load(path)


def test_pictures_beside_the_folder_of_cifar_are_not_passed_over(tmp_path: Path) -> None:
    root = put(tmp_path, "root", "cifar-10-batches-py", cifar_files("cifar-10-batches-py"))
    from PIL import Image

    Image.new("RGB", (8, 8)).save(root / "a.png")
    assert load(root).spec.shape == (3, 8, 8)


class Evil:
    """Would run a program when it is unpickled."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch pwned",)


def nested(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({b"data": Evil(), b"labels": []}, 2), "which is not plain data"),
        (pickle.dumps(Evil(), 4), "which is not plain data"),
        (pickle.dumps({b"data": np.array([{}], object), b"labels": []}, 2), "not plain data"),
        (pickle.dumps({b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}, 2), "no array of bytes [N, 3,072]"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, 2), "no list of 2 numbers"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": nested(60)}, 2), "no list of 2 numbers"),
        (b"\x80\x02}" + pickle.dumps(nested(60), 2)[2:-1] + b"K\x01s.", "a damaged pickle"),  # takes ages to hash
        (pickle.dumps([1], 2), "holds no dict"),
        (b"\x80\x02}q\x00.", "no array of bytes"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "damaged pickle"),  # would make the memo of pickle take gigabytes
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "not a file of CIFAR-10"),  # so many bytes
        (b"c__builtin__\neval\n(S'1'\ntR.", "names __builtin__.eval"),
        (b"", "not a file of CIFAR-10"),
    ],
)
def test_a_pickle_that_is_not_plain_data_is_refused_and_nothing_runs(
    place: Path, refusal: Callable[..., str], content: bytes, said: str
) -> None:
    files = {**cifar_files("cifar-10-batches-py"), "data_batch_3": content}
    put(place, "folder", "cifar-10-batches-py", files)
    line = refusal("train --data cifar-10-batches-py", place)
    assert said in line
    assert "data_batch_3: not a file of CIFAR-10" in line
    assert not (place / "pwned").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol_is_read_as_pickle_reads_it(protocol: int) -> None:
    value = {"a": [1, -2, 2**70, 0.5, None, True], "b": ("x", b"y\xff", "é"), "c": {"d": {1: []}}, "e": "", "f": ()}
    assert read_plain_pickle(pickle.dumps(value, protocol)) == value
    for array in (
        np.arange(6).reshape(2, 3),
        np.asfortranarray(RNG.random((3, 4)).astype(">f4")),
        np.zeros((2, 0), np.int8),
    ):
        again = read_plain_pickle(pickle.dumps(array, protocol))
        np.testing.assert_array_equal(again, array)
        assert again.dtype == array.dtype


# -- EMNIST ------------------------------------------------------------------------------------------------------------

LETTER = np.zeros((3, 8, 6), np.uint8)  # upright
LETTER[:, 0] = 255  # the bar at the top of a T
LETTER[:, :, 2] = 255


def emnist(folder: Path, name: str = "letters") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, labels in (("train", [1, 26, 1]), ("test", [2, 2, 26])):
        files = {f"{part}-images-idx3": LETTER.transpose(0, 2, 1), f"{part}-labels-idx1": np.array(labels)}
        for stem, array in files.items():
            (folder / f"emnist-{name}-{stem}-ubyte.gz").write_bytes(gzip.compress(idx(np.ascontiguousarray(array))))
    (folder / f"emnist-{name}-mapping.txt").write_text("".join(f"{n} {64 + n} {96 + n}\n" for n in range(1, 27)))
    return folder


@pytest.mark.parametrize("root", ["", "gzip", "EMNIST/raw"])
def test_emnist_is_shown_upright_with_the_names_of_its_letters(tmp_path: Path, root: str) -> None:
    emnist(tmp_path / "set" / root)
    train, test = load(tmp_path / "set"), load(tmp_path / "set", "test")
    np.testing.assert_array_equal(train.samples[:, 0].numpy(), LETTER)
    assert train.spec.classes == ("A", "Z")
    assert test.spec.classes == ("B", "Z")
    assert "stored transposed, as all of EMNIST is; shown upright" in info(tmp_path, "set")["notes"]


def test_one_file_of_emnist_is_enough_and_finds_its_test_images(tmp_path: Path) -> None:
    images = emnist(tmp_path) / "emnist-letters-train-images-idx3-ubyte.gz"
    assert load(images).spec.classes == ("A", "Z")
    assert load(images, "test").spec.classes == ("B", "Z")
    (tmp_path / "emnist-letters-mapping.txt").unlink()
    assert load(images).spec.classes == ("1", "26")
    (tmp_path / "emnist-letters-test-images-idx3-ubyte.gz").unlink()
    with pytest.raises(InputError, match="has no split 'test' beside it"):
        load(images, "test")


def test_a_folder_of_several_sets_is_refused_with_the_file_of_one(tmp_path: Path, refusal: Callable[..., str]) -> None:
    emnist(emnist(tmp_path / "all"), "digits")
    line = refusal("train --data all", tmp_path)
    assert "all holds 2 sets: emnist-digits, emnist-letters" in line
    assert "--data all/emnist-digits-test-images-idx3-ubyte.gz" in line


def test_a_mapping_that_is_none_is_refused(tmp_path: Path) -> None:
    (emnist(tmp_path) / "emnist-letters-mapping.txt").write_text("1 A\n")
    with pytest.raises(InputError, match="no table of labels and characters"):
        load(tmp_path)


# -- Kuzushiji, MedMNIST -----------------------------------------------------------------------------------------------


def kuzushiji(folder: Path, name: str = "k49") -> Path:
    folder.mkdir(exist_ok=True)
    for part, count in (("train", 4), ("test", 2)):
        np.savez_compressed(folder / f"{name}-{part}-imgs.npz", RNG.integers(0, 256, (count, 8, 8), np.uint8))
        np.savez_compressed(folder / f"{name}-{part}-labels.npz", np.arange(count, dtype=np.uint8) + 40)
    return folder


@pytest.mark.parametrize("data", ["set", "set/k49-train-imgs.npz"])
def test_kuzushiji_has_its_labels_in_a_file_beside_the_images(tmp_path: Path, data: str) -> None:
    kuzushiji(tmp_path / "set")
    assert load(tmp_path / data).spec.classes == ("40", "41", "42", "43")
    assert load(tmp_path / data, "test").spec.classes == ("40", "41")
    assert info(tmp_path, data)["notes"][0] == "k49-train-imgs.npz"
    with pytest.raises(InputError, match="has no split 'val'"):
        load(tmp_path / data, "val")


def test_kuzushiji_without_labels_and_beside_another_set(tmp_path: Path) -> None:
    kuzushiji(tmp_path / "set")
    (tmp_path / "set" / "k49-train-labels.npz").unlink()
    assert "no label file beside it" in load(tmp_path / "set").notes
    kuzushiji(tmp_path / "set", "kmnist")
    with pytest.raises(InputError, match="holds 2 sets: k49, kmnist"):
        load(tmp_path / "set")
    assert len(load(tmp_path / "set" / "kmnist-test-imgs.npz")) == 2


def test_the_splits_of_medmnist_and_labels_of_several_classes_at_once(tmp_path: Path) -> None:
    arrays = {}
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        arrays[f"{part}_images"] = RNG.integers(0, 256, (count, 8, 8, 3), np.uint8)
        arrays[f"{part}_labels"] = RNG.integers(0, 2, (count, 1), np.uint8)
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        dataset = load(tmp_path / "bloodmnist.npz", part)
        assert len(dataset) == count
        assert (dataset.samples.permute(0, 2, 3, 1).numpy() == arrays[f"{part}_images"]).all()
        assert dataset.labels is not None
    several = {**arrays, "train_labels": RNG.integers(0, 2, (4, 14), np.uint8)}
    np.savez(tmp_path / "chestmnist.npz", **several)
    dataset = load(tmp_path / "chestmnist.npz")
    assert dataset.labels is None
    assert dataset.conditions is not None
    assert dataset.conditions.tolist() == several["train_labels"].tolist()
    assert "labels of several classes at once became condition vectors" in dataset.notes


@pytest.mark.parametrize("kind", [np.uint8, bool, np.float32])
def test_one_hot_labels_are_classes(tmp_path: Path, kind: type) -> None:
    labels = np.eye(5)[[4, 2, 2]]
    np.savez(tmp_path / "x.npz", images=RNG.integers(0, 256, (3, 8, 8), np.uint8), labels=labels.astype(kind))
    dataset = load(tmp_path / "x.npz")
    assert dataset.spec.classes == ("2", "4")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 0]
    assert "one-hot labels became classes" in dataset.notes
