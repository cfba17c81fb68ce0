"""The data sets inside the package: photographs of hands, and stacked digits."""

from __future__ import annotations

import hashlib
import importlib.resources
import zipfile

import numpy as np
import pytest
import torch
from support_data import load, pack

from gankit.data import Dataset
from gankit.data.formats.pack import load_pack
from gankit.data.sets.catalogue import digits
from gankit.data.sets.stacked import choose_digits, stackedmnist

HANDS = importlib.resources.files("gankit.data.sets") / "hands"


@pytest.fixture(scope="module")
def hands() -> Dataset:
    return load("hands")


@pytest.fixture(scope="module")
def stacked() -> Dataset:
    return stackedmnist(digits())


def test_hands_are_colour_photographs_of_ten_classes(hands: Dataset) -> None:
    assert hands.describe().startswith("hands: 2,062 images, RGB 64x64, 10 classes of 204 to 208\n")
    assert hands.spec.classes == tuple("0123456789")
    assert hands.labels is not None
    assert torch.bincount(hands.labels).tolist() == [205, 206, 206, 206, 207, 207, 207, 206, 208, 204]
    background = hands.samples[:, :, :4, :4].float().mean(dim=(2, 3))
    assert (background.mean(dim=1) > 90).float().mean() > 0.99  # hands are in the middle of a bright wall
    assert (hands.samples[:, 0, 24:40, 24:40].float().mean() - hands.samples[:, 2, 24:40, 24:40].float().mean()) > 20


def test_hands_have_their_origin_licence_and_recipe_beside_them() -> None:
    origin = (HANDS / "ORIGIN.md").read_text()
    packed = (HANDS / "hands.zip").read_bytes()
    for word in ("Apache-2.0", "Zeynep Dikle", "Arda Mavi", "arXiv:2011.08927", "quality=97", f"{len(packed):,} bytes"):
        assert word in origin
    assert hashlib.sha256(packed).hexdigest() in origin
    assert "Copyright 2017 Arda Mavi" in (HANDS / "LICENSE").read_text()
    with zipfile.ZipFile(str(HANDS / "hands.zip")) as files:
        assert not any(b"Exif" in files.read(name)[:64] for name in files.namelist())  # no place, no camera


def test_hands_take_a_size_and_are_packed(hands: Dataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("packed") / "hands.gkpack"
    header = pack("hands", file, size=(32, 32))
    packed = load_pack(file, "hands")
    assert tuple(packed.samples.shape) == tuple(header.shape) == (2062, 3, 32, 32)
    assert packed.spec.classes == hands.spec.classes
    small = hands.samples[::100].float()
    halves = torch.nn.functional.avg_pool2d(small, 2)
    assert (packed.samples[::100].float() - halves).abs().mean() < 4


def test_each_label_spells_the_digits_of_the_channels(stacked: Dataset) -> None:
    source = digits()
    assert source.labels is not None
    assert stacked.labels is not None
    assert stacked.samples.shape == (50_000, 3, 28, 28)
    assert (stacked.spec.classes[7], stacked.spec.classes[-1]) == ("007", "999")
    assert torch.bincount(stacked.labels).unique().tolist() == [50]
    by_pixels = {
        image.numpy().tobytes(): int(label) for image, label in zip(source.samples[:, 0], source.labels, strict=True)
    }
    for row in range(0, 50_000, 997):
        spelt = "".join(str(by_pixels[channel.numpy().tobytes()]) for channel in stacked.samples[row])
        assert spelt == stacked.spec.classes[int(stacked.labels[row])]


def test_stacked_digits_are_the_same_everywhere(stacked: Dataset) -> None:
    assert stacked.fingerprint == "4012f653c954d500034d80eb94a068cb6b36c18640324f23cc5b01168d5a86a0"


def test_digits_of_a_class_are_drawn_evenly() -> None:
    source = digits()
    assert source.labels is not None
    rows = choose_digits(source, np.full(60_000, 555), np.random.RandomState(0))
    fives = torch.nonzero(source.labels == 5)[:, 0]
    assert set(rows.ravel()) == set(fives.tolist())
    counts = np.bincount(rows.ravel(), minlength=len(source))[fives.numpy()]
    assert counts.mean() == pytest.approx(180_000 / 892)
    assert counts.std() == pytest.approx(counts.mean() ** 0.5, rel=0.1)
