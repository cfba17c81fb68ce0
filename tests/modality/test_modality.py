"""Signals and volumes: what is read, what networks see, what comes back in the units of the source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gankit.contracts import CriticOutput, DataSpec
from gankit.data import Dataset, Preparation
from gankit.data.selection import prepared
from gankit.errors import InputError
from gankit.measure.features.statistics import BANDS, QUANTILES, statistics, statistics_of
from gankit.modality import MODALITIES, Signals, modality_of

RAMP = np.linspace(-20, 60, 5 * 32 * 2).reshape(5, 32, 2).astype(np.float32)  # [N, T, C]
VOXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 7), dtype=np.uint8)  # [N, D, H, W]


@pytest.mark.parametrize(
    ("array", "kind", "shape"),
    [
        (RAMP, None, (2, 32)),
        (RAMP.transpose(0, 2, 1), None, (2, 32)),  # channels first
        (RAMP[:, :, 0], "signals", (1, 32)),
        (np.zeros((5, 12, 32), np.float32) + RAMP[:, :1, :1], "signals", (12, 32)),
        (VOXELS[..., None], None, (1, 5, 6, 7)),
        (VOXELS[:, None], None, (1, 5, 6, 7)),
        (VOXELS, "volumes", (1, 5, 6, 7)),
        (np.zeros((3, 8, 8, 8), np.uint8) + VOXELS[:3, :1, :1, :1], None, (1, 8, 8, 8)),
        (VOXELS.repeat(4, 1), "images", (7, 20, 6)),
        (np.zeros((3, 12, 16, 16), np.uint8) + VOXELS[:3, :1, :1, :1], "images", (12, 16, 16)),
    ],
)
def test_arrays_are_read_as_the_kind_that_they_are(array: np.ndarray, kind: str | None, shape: tuple[int, ...]) -> None:
    assert Dataset.from_arrays("x", array, kind=kind).spec.shape == shape


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            np.zeros((5, 12, 16, 16), np.uint8),
            "images of 12 channels, or volumes of 12x16x16 — --kind images or --kind vol",
        ),
        (
            np.zeros((5, 80, 1000), np.float32),
            "images of 80x1000, or signals of 1,000 steps — --kind images or --kind sig",
        ),
        (
            np.zeros((100, 90, 3), np.float32),
            "one image of 100x90 with 3 channels, not a set — stack the images: np.stack(images), shape [N, H, W, C]; or are they signals: --kind signals",
        ),
        (np.zeros((5, 784), np.uint8), "--kind signals"),
        (np.zeros((5, 2, 2, 2, 2, 2), np.uint8), "is not read"),
    ],
)
def test_what_could_be_two_kinds_is_refused_in_one_line(array: np.ndarray, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Dataset.from_arrays("x", array)
    assert said in f"{caught.value.message} — {caught.value.hint}"


def test_a_kind_that_an_array_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="holds no volumes"):
        Dataset.from_arrays("x", RAMP, kind="volumes")


def test_signals_come_back_in_the_units_of_the_source() -> None:
    data = Dataset.from_arrays("x", RAMP)
    assert data.spec.units == (-60, 60)  # the largest magnitude: 0 stays 0
    assert float(data.samples.max()) == 1
    assert data.real(torch.tensor([0]))[0, 0, 0] == pytest.approx(-1 / 3)
    back = Signals().array(data.samples, data.spec)
    assert back.shape == (5, 32, 2)
    assert np.allclose(back, RAMP, atol=1e-4)
    assert torch.allclose(Signals().of_array(back, data.spec), data.samples, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "given", "units"),
    [
        (np.array([-32768, 16384, 32767], np.int16), None, (-32768, 32767)),
        (np.array([-0.5, 0.25, 1.0]), None, (-1, 1)),
        (np.array([0.0, 0.001, 0.002]), None, (-0.002, 0.002)),
        (np.array([0.0, 5.0, 10.0]), (0.0, 10.0), (0, 10)),
    ],
)
def test_the_range_of_signals(
    values: np.ndarray, given: tuple[float, float] | None, units: tuple[float, float]
) -> None:
    data = Dataset.from_arrays("x", np.tile(values, 10)[None, :, None], kind="signals", value_range=given)
    assert data.spec.units == pytest.approx(units)
    assert np.allclose(Signals().array(data.samples, data.spec)[0, :3, 0], values, atol=1e-3 * units[1])


def test_a_range_clips_signals_and_says_so() -> None:
    data = Dataset.from_arrays("x", RAMP, value_range=(-30, 30))
    assert "was clipped" in "; ".join(data.notes)
    assert float(data.samples.max()) == 1


def test_units_and_rate_are_part_of_the_identity() -> None:
    one, two = (Dataset.from_arrays("x", RAMP * scale) for scale in (1, 2))
    assert torch.equal(one.samples, two.samples)
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint != Dataset.from_arrays("x", RAMP, rate=100).fingerprint


def test_clips_keep_the_order_and_the_label_of_their_signal() -> None:
    data = Dataset.from_arrays("x", RAMP, np.arange(5))
    clips = prepared(data, Preparation(length=10))
    assert clips.spec.shape == (2, 10)
    assert len(clips) == 15
    assert torch.equal(clips.samples[4], data.samples[1, :, 10:20])
    assert clips.labels is not None
    assert clips.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert "clips of 10; 2 at the end not used" in clips.notes[-1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Preparation(length=64), "32 steps, fewer than 64"),
        (Preparation(bands=(0, 2)), "has 2 channels, not number 2"),
        (Preparation(size=(8, 8)), "--size is for images"),
        (Preparation(kind="images"), "holds signals, not images"),
    ],
)
def test_what_signals_do_not_have_is_refused(how: Preparation, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepared(Dataset.from_arrays("x", RAMP), how)


def test_channels_by_number_are_taken_in_their_order() -> None:
    data = Dataset.from_arrays(
        "x", np.random.default_rng(0).integers(0, 256, (3, 9, 8, 6), dtype=np.uint8), kind="images"
    )
    chosen = prepared(data, Preparation(bands=(4, 0, 2)))
    assert torch.equal(chosen.samples, data.samples[:, [4, 0, 2]])
    resized = prepared(data, Preparation(size=(4, 4)))
    assert resized.spec.shape == (6, 4, 4)
    assert torch.equal(
        resized.samples[:, :3], prepared(prepared(data, Preparation(bands=(0, 1, 2))), Preparation(size=(4, 4))).samples
    )


@pytest.mark.parametrize("shape", [(1, 5), (3, 64), (2, 1000), (1, 4, 9, 6), (2, 16, 16, 16), (5, 12, 20)])
def test_core_has_networks_for_every_shape(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    data = DataSpec(shape, classes=("a", "b"), condition=2)
    modality = modality_of(shape)
    y = torch.eye(2)[[0, 1, 0]]
    made = modality.generator(data, 8)(torch.randn(3, 8), y).detach()
    assert made.shape == (3, *shape)
    assert float(made.abs().max()) <= 1
    for output in (CriticOutput(), CriticOutput(condition="concatenation"), CriticOutput(heads=4)):
        critic = modality.discriminator(data, output)
        scores = critic(made, y)
        assert scores.shape == ((3, 5) if output.heads else (3,))
        assert torch.allclose(critic(made[:1], y[:1]), scores[:1], atol=1e-5)  # samples do not couple
    unconditional = DataSpec(shape)
    assert modality.discriminator(unconditional, CriticOutput(code=6))(made).shape == made.shape


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda m: m.name)
def test_every_kind_is_drawn_whatever_a_generator_makes(modality) -> None:  # type: ignore[no-untyped-def]
    shape = {1: (2,), 2: (2, 300), 3: (7, 8, 8), 4: (1, 8, 9, 10)}[modality.rank]
    wild = torch.randn(6, *shape, generator=torch.Generator().manual_seed(0)) * 3
    wild[0].view(-1)[0] = torch.nan
    stored = modality.stored(wild)
    assert stored.dtype == modality.dtype
    picture = modality.picture(stored, columns=3)
    assert len(picture.convert("L").getcolors(1 << 16)) >= 2
    floats = modality.floats(modality.stored(wild[1:].clamp(-1, 1)))
    assert torch.allclose(floats, wild[1:].clamp(-1, 1), atol=1 / 255 + 1e-6)


def test_pictures_of_signals_follow_their_values() -> None:
    """The curve of a constant lies at its height: 1 at the top, -1 at the bottom."""
    heights = []
    for value in (1.0, 0.0, -1.0):
        pixels = np.asarray(Signals().picture(torch.full((1, 1, 50), value)).convert("RGB")).astype(int)
        blue = pixels[:, :, 2] - pixels[:, :, 0] > 60
        heights.append(np.nonzero(blue)[0].mean() / pixels.shape[0])
    assert heights[0] < 0.1 < 0.4 < heights[1] < 0.6 < 0.9 < heights[2]


def test_statistics_by_hand() -> None:
    """A ramp of 0, 0.25, 0.5, 0.75: its quantiles, moments, roughness and coarse means."""
    ramp = torch.tensor([0.0, 0.25, 0.5, 0.75]).reshape(1, 1, 4)
    figures = statistics_of(ramp)[0]
    assert figures[: len(QUANTILES)].tolist() == pytest.approx([0, 0, 0.25, 0.5, 0.5, 0.75, 0.75])  # nearest ranks
    mean, std, rough = figures[len(QUANTILES) : len(QUANTILES) + 3].tolist()
    assert (mean, std, rough) == pytest.approx((0.375, 0.2795085, 0.25))
    assert figures[-4:].tolist() == ramp[0, 0].tolist()


def test_the_spectrum_of_a_sine_is_in_its_band() -> None:
    time = torch.arange(256) / 256
    low, high = (torch.sin(2 * torch.pi * cycles * time).reshape(1, 1, -1) for cycles in (3, 100))

    def bands(x: Tensor) -> Tensor:
        start = len(QUANTILES) + 3
        return statistics_of(x)[0, start:-16]

    assert 6 <= len(bands(low)) <= BANDS
    assert int(bands(high).argmax()) == len(bands(high)) - 1
    assert int(bands(low).argmax()) < int(bands(high).argmax())


def test_statistics_are_scaled_by_the_data_and_not_for_points() -> None:
    data = Dataset.from_arrays("x", RAMP + np.random.default_rng(1).normal(size=RAMP.shape))
    space = statistics(data, "")
    features, logits = space(data.samples)
    assert logits is None
    assert features.shape == (5, space.dim)
    assert features.mean(0).abs().max() < 1e-4
    with pytest.raises(InputError, match="not for points"):
        statistics(Dataset.from_arrays("x", RAMP[:, :, 0]), "")
