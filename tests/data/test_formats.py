"""Arrays, IDX files and names: what is inferred from them, down to single pixels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from support import PIXELS, idx

from gankit.base.text import printable
from gankit.data import Dataset, Preparation, builtin_datasets, load_dataset, parse_size, spaced
from gankit.errors import InputError


def load(path: Path, size: tuple[int, int] | None = None) -> Dataset:
    return load_dataset(str(path), {}, how=Preparation(size=size))


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def test_digits_are_the_mnist_test_images_and_need_no_download() -> None:
    dataset = load_dataset("digits", builtin_datasets())
    assert dataset.name == "digits"
    assert dataset.samples.shape == (10_000, 1, 28, 28)
    assert dataset.spec.classes == tuple("0123456789")
    assert dataset.labels is not None
    assert dataset.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert dataset.samples[0, 0, 7, 6:10].tolist() == [84, 185, 159, 151]
    assert dataset.describe().splitlines()[0] == "digits: 10,000 images, grey 28x28, 10 classes of 892 to 1,135"


@pytest.mark.parametrize("root", [".", "raw", "MNIST/raw"])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_folders_are_found_in_every_layout(tmp_path: Path, root: str, dot: str, zipped: bool) -> None:
    folder = tmp_path / "mine" / root
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"train-images{dot}idx3-ubyte", PIXELS), (f"train-labels{dot}idx1-ubyte", np.array([9, 4]))):
        content = idx(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    dataset = load(tmp_path / "mine")
    assert dataset.name == "mine"
    assert torch.equal(dataset.samples, torch.from_numpy(PIXELS[:, None].copy()))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.spec.classes == ("4", "9")


def test_idx_prefers_the_training_images_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(PIXELS[:1]))
    dataset = load(tmp_path)
    assert len(dataset) == 2
    assert dataset.labels is None
    assert "train-images-idx3-ubyte: the training images; no label file beside it" in dataset.describe()
    (tmp_path / "train-images-idx3-ubyte").unlink()
    assert "the test images" in load(tmp_path).describe()


def test_a_single_idx_file_takes_the_labels_beside_it(tmp_path: Path) -> None:
    (tmp_path / "my-images-idx3-ubyte").write_bytes(idx(PIXELS))
    assert load(tmp_path / "my-images-idx3-ubyte").labels is None
    (tmp_path / "my-labels-idx1-ubyte").write_bytes(idx(np.array([1, 0])))
    labels = load(tmp_path / "my-images-idx3-ubyte").labels
    assert labels is not None
    assert labels.tolist() == [1, 0]


def test_npz_arrays_are_found_by_name_and_labels_are_numbered(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", x_train=PIXELS, y_train=np.array([[30], [10]]), x_test=PIXELS)
    dataset = load(path)
    assert dataset.name == "set"
    assert dataset.samples[:, 0].tolist() == PIXELS.tolist()
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.spec.classes == ("10", "30")
    assert dataset.describe() == (
        "set: 2 images, grey 3x2, 2 classes (10 1 · 30 1)\n'x_train' with labels 'y_train'; not used: x_test"
    )


def test_npz_with_one_array_of_image_rank_needs_no_name_and_arr_1_is_labels(tmp_path: Path) -> None:
    assert len(load(save(tmp_path / "a.npz", faces=PIXELS, other=np.zeros(3)))) == 2
    np.savez(tmp_path / "b.npz", PIXELS, np.array([0, 1]))
    assert load(tmp_path / "b.npz").spec.classes == ("0", "1")
    with pytest.raises(InputError, match="no array is known"):
        load(save(tmp_path / "c.npz", one=PIXELS, two=PIXELS))


@pytest.mark.parametrize(
    "array",
    [
        PIXELS.astype(">i2"),
        np.asfortranarray(PIXELS.astype(np.int64)),
        PIXELS.astype(np.float32),
        (PIXELS / 255).astype(np.float64),
        (PIXELS / 127.5 - 1).astype(">f4"),
        PIXELS[..., None],
        PIXELS[:, None],
    ],
    ids=["big-endian", "fortran", "0..255", "0..1", "-1..1", "NHWC", "NCHW"],
)
def test_npy_layouts_and_ranges_give_the_same_bytes(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array)
    dataset = load(tmp_path / "x.npy")
    assert dataset.samples.dtype == torch.uint8
    assert dataset.samples.tolist() == PIXELS[:, None].tolist()
    assert ("floats in" in dataset.describe()) == (array.dtype.kind == "f")


def test_an_ambiguous_layout_is_read_as_channels_last_and_said(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 5, 4), np.uint8))
    dataset = load(tmp_path / "x.npy")
    assert dataset.spec.shape == (4, 3, 5)
    assert "though it could be [N, C, H, W]" in dataset.describe()


@pytest.mark.parametrize("channels", [3, 4])
def test_one_image_is_no_set(tmp_path: Path, channels: int) -> None:
    """Read as [N, H, W] it would be 480 grey images of 640x3."""
    np.save(tmp_path / "x.npy", np.zeros((480, 640, channels), np.uint8))
    with pytest.raises(InputError, match=f"one image of 480x640 with {channels} channels, not a set") as caught:
        load(tmp_path / "x.npy")
    assert "np.stack" in (caught.value.hint or "")


def test_two_dimensional_floats_are_points(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1.5, -300.0], [2.0, 7.0]]))
    dataset = load(tmp_path / "x.npy")
    assert dataset.spec.shape == (2,)
    assert dataset.samples.tolist() == [[1.5, -300.0], [2.0, 7.0]]
    with pytest.raises(InputError, match="points"):
        load(tmp_path / "x.npy", size=(8, 8))


def test_from_arrays_copies_and_accepts_read_only_arrays() -> None:
    array = PIXELS.copy()
    array.flags.writeable = False
    dataset = Dataset.from_arrays("x", array)
    dataset.samples[0] = 7
    assert array[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (np.zeros(2), "shape (2,)"),
        (np.zeros((2, 0)), "shape (2, 0)"),
        (np.array([["a"], ["b"]]), "conditions of type <U1"),
        (np.zeros((3, 4)), "3 conditions for 2 samples"),
        (np.array([[0.0], [np.nan]]), "finite"),
        (np.array([[0.0], [1e300]]), "finite"),  # not in float32
    ],
)
def test_condition_vectors_that_cannot_be_told_are_refused(
    tmp_path: Path, conditions: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(save(tmp_path / "set.npz", images=PIXELS, conditions=conditions))
    assert message in str(caught.value)


def test_from_arrays_checks_labels_against_given_classes() -> None:
    with pytest.raises(InputError, match="2 classes"):
        Dataset.from_arrays("x", PIXELS, np.array([0, 2]), classes=("a", "b"))
    assert Dataset.from_arrays("x", PIXELS, np.array([1, 1]), classes=("a", "b")).spec.classes == ("a", "b")


def test_the_fingerprint_sees_samples_labels_and_class_names_but_not_the_name() -> None:
    labels, names = np.array([0, 1]), ("a", "b")
    prints = {
        Dataset.from_arrays("x", PIXELS, labels, names).fingerprint,
        Dataset.from_arrays("x", PIXELS + 1, labels, names).fingerprint,
        Dataset.from_arrays("x", PIXELS.transpose(0, 2, 1), labels, names).fingerprint,
        Dataset.from_arrays("x", PIXELS, 1 - labels, names).fingerprint,
        Dataset.from_arrays("x", PIXELS, labels, ("a", "c")).fingerprint,
        Dataset.from_arrays("x", PIXELS).fingerprint,
    }
    assert len(prints) == 6
    assert Dataset.from_arrays("other", PIXELS).fingerprint in prints


def test_decoded_images_are_cropped_and_resized_on_request(tmp_path: Path) -> None:
    image = np.array([[[10, 20, 30, 40], [50, 60, 70, 80]]], np.uint8)
    np.save(tmp_path / "x.npy", image)
    dataset = load(tmp_path / "x.npy", size=(2, 2))
    assert dataset.samples.tolist() == [[[[20, 30], [60, 70]]]]  # the crop alone has the size
    assert "2x4 -> 2x2 centre crop, Lanczos" in dataset.describe()
    constant = Dataset.from_arrays("c", np.full((1, 8, 8, 3), 9, np.uint8))
    resized = load_dataset("c", {"c": lambda: constant}, how=Preparation(size=(3, 5)))
    assert resized.samples.shape == (1, 3, 3, 5)
    assert resized.samples.unique().tolist() == [9]


@pytest.mark.parametrize(("text", "size"), [("64", (64, 64)), ("64x48", (64, 48)), (" 1X4096 ", (1, 4096))])
def test_sizes_are_height_by_width(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "4097", "64x", "x64", "64x64x64", "-1", "6.4", "٦٤", "64x0"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="not an image size"):
        parse_size(text)


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="neither a data set nor a path") as caught:
        load_dataset("fashon-mnist", builtin_datasets())
    assert "did you mean 'fashion-mnist'?" in str(caught.value.hint)
    assert "path" in str(caught.value.hint)


def test_shown_paths_cannot_move_the_cursor_or_turn_the_text() -> None:
    assert printable("a\x1b[2J\u202egpj.\n\udcff é 猫") == "a\\x1b[2J\\u202egpj.\\n\\udcff é 猫"


@pytest.mark.parametrize("count", [1, 2, 7, 1024, 20_000_000, 100_000_003, 3_000_000_001])
def test_indices_at_equal_distances_are_within_a_set_of_any_size(count: int) -> None:
    found = spaced(count, 1024)
    assert len(found) == min(count, 1024)
    assert (int(found[0]), int(found[-1])) == (0, count - 1)
    assert (found.diff() > 0).all()
