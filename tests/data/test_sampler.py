"""Batches: a pure function of (seed, step) that shows every sample once per epoch."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from gankit.data import Dataset, Sampler, builtin_datasets, load_dataset
from gankit.data.prefetch import Prefetch
from gankit.data.sampler import fits
from gankit.errors import InputError

CPU = torch.device("cpu")


def numbered(count: int) -> Dataset:
    """Images 1x1 whose grey value and label are their own index."""
    values = np.arange(count)
    return Dataset.from_arrays("numbered", values.astype(np.uint8).reshape(-1, 1, 1), values)


def drawn(sampler: Sampler, steps: range) -> list[int]:
    labels = [sampler.batch(step).labels for step in steps]
    return torch.cat([label for label in labels if label is not None]).tolist()


@pytest.mark.parametrize(("count", "batch"), [(12, 4), (10, 4), (3, 8), (7, 7), (1, 3)])
def test_every_epoch_shows_every_sample_once(count: int, batch: int) -> None:
    sampler = Sampler(numbered(count), batch=batch, seed=1, device=CPU)
    shown = drawn(sampler, range(4 * count))  # 4 * batch epochs
    for epoch in range(4 * batch):
        assert sorted(shown[epoch * count : (epoch + 1) * count]) == list(range(count))


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (3, 8), (50, 16)])
def test_a_batch_depends_on_seed_and_step_alone(count: int, batch: int) -> None:
    dataset = numbered(count)
    warm = Sampler(dataset, batch=batch, seed=5, device=CPU)
    in_order = [warm.batch(step) for step in range(9)]
    for step in (8, 0, 5, 5):
        cold = Sampler(dataset, batch=batch, seed=5, device=CPU).batch(step)
        again = warm.batch(step)  # also backwards
        for batch_again in (cold, again):
            assert torch.equal(batch_again.real, in_order[step].real)
            assert torch.equal(batch_again.labels, in_order[step].labels)


@pytest.mark.parametrize(
    ("count", "batch", "share"), [(10, 4, slice(None)), (3, 8, slice(None)), (50, 16, slice(4, 9))]
)
def test_batches_gathered_ahead_are_the_resident_ones(count: int, batch: int, share: slice) -> None:
    """In order, backwards, repeated, and over the ends of epochs."""
    dataset = numbered(count)
    here = Sampler(dataset, batch=batch, seed=5, device=CPU, conditional=True, share=share)
    ahead = Sampler(dataset, batch=batch, seed=5, device=CPU, conditional=True, share=share, resident=False)
    for step in (*range(9), 3, 3, 8, 0, 1, 2):
        wanted, found = here.batch(step), ahead.batch(step)
        assert torch.equal(wanted.real, found.real)
        assert torch.equal(wanted.labels, found.labels)
        assert torch.equal(wanted.condition, found.condition)
    ahead.close()


def test_a_batch_stays_as_it_is_while_the_next_ones_are_gathered() -> None:
    sampler = Sampler(numbered(40), batch=8, seed=0, device=CPU, resident=False)
    kept = [sampler.batch(step).real for step in range(6)]
    cold = [Sampler(numbered(40), batch=8, seed=0, device=CPU).batch(step).real for step in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(kept, cold, strict=True))
    sampler.close()


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(("count", "batch"), [(12, 4), (10, 4), (3, 8)])
def test_fresh_samples_have_an_order_of_their_own_and_take_nothing_from_the_first(
    count: int, batch: int, resident: bool
) -> None:
    dataset, steps = numbered(count), range(3 * count)
    sampler = Sampler(dataset, batch=batch, seed=1, device=CPU, resident=resident, fresh_reals=True)
    batches = [sampler.batch(step) for step in steps]
    sampler.close()
    assert not prefetching()
    shown, fresh = ([int(label) for b in side for label in b.labels] for side in (batches, [b.fresh for b in batches]))
    assert shown == drawn(Sampler(dataset, batch=batch, seed=1, device=CPU), steps)
    assert fresh != shown
    for epoch in range(3 * batch):
        assert sorted(fresh[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert all(b.fresh.fresh is None for b in batches)
    assert Sampler(dataset, batch=batch, seed=1, device=CPU).batch(0).fresh is None


def test_fresh_samples_depend_on_seed_and_step_alone_and_are_shared_among_processes() -> None:
    dataset, settings = numbered(10), {"batch": 4, "seed": 5, "device": CPU, "conditional": True, "fresh_reals": True}
    whole = Sampler(dataset, **settings)
    in_order = [whole.batch(step).fresh for step in range(6)]
    for step in (5, 0, 3):
        parts = [Sampler(dataset, **settings, share=share).batch(step).fresh for share in (slice(0, 2), slice(2, 4))]
        for field in ("real", "labels", "condition"):
            assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(in_order[step], field))


def prefetching() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("gankit-prefetch")}


def test_an_error_in_the_thread_reaches_the_batch_it_belongs_to() -> None:
    samples = torch.arange(10, dtype=torch.uint8).reshape(10, 1)
    prefetch = Prefetch(samples, CPU, 2, lambda step: torch.tensor([step, 99 if step == 2 else 0]))
    for step in (0, 1):
        assert prefetch.batch(step)[1].flatten().tolist() == [step, 0]
    with pytest.raises(IndexError):
        prefetch.batch(2)
    assert prefetch.batch(3)[1].flatten().tolist() == [3, 0]
    prefetch.close()
    assert not prefetching()


def test_the_thread_ends_with_its_sampler() -> None:
    sampler = Sampler(numbered(10), batch=2, seed=0, device=CPU, resident=False)
    sampler.batch(0)
    assert prefetching()
    sampler.close()
    assert not prefetching()


def test_samples_are_resident_on_a_gpu_if_they_take_half_of_its_free_memory_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (200, 1000))
    samples = torch.zeros(101, dtype=torch.uint8)
    assert fits(samples[:100], torch.device("cuda"))
    assert not fits(samples, torch.device("cuda"))
    assert fits(samples, CPU)


def test_seeds_and_epochs_have_different_orders() -> None:
    dataset = numbered(50)
    first = drawn(Sampler(dataset, batch=50, seed=1, device=CPU), range(2))
    other = drawn(Sampler(dataset, batch=50, seed=2, device=CPU), range(2))
    assert first[:50] != other[:50]
    assert first[:50] != first[50:]


def test_images_are_scaled_to_minus_one_to_one_and_keep_their_labels() -> None:
    pixels = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1)
    sampler = Sampler(Dataset.from_arrays("x", pixels, np.array([0, 1, 2])), batch=3, seed=0, device=CPU)
    batch = sampler.batch(0)
    real, labels = batch.real, batch.labels
    assert real.dtype == torch.float32
    assert real.shape == (3, 1, 1, 1)
    assert labels is not None
    torch.testing.assert_close(real.flatten(), torch.tensor([-1.0, -0.6, 1.0])[labels])


def test_points_are_not_scaled_and_the_data_set_is_not_changed_by_drawing() -> None:
    points = np.array([[300.0, -2.0]], np.float32)
    dataset = Dataset.from_arrays("p", points)
    batch = Sampler(dataset, batch=2, seed=0, device=CPU).batch(3)
    real, labels = batch.real, batch.labels
    assert real.tolist() == [[300.0, -2.0]] * 2
    assert labels is None
    real.zero_()
    assert dataset.samples.tolist() == [[300.0, -2.0]]


@pytest.mark.parametrize("resident", [True, False])
def test_images_are_mirrored_half_of_the_time(resident: bool) -> None:
    """Whatever the batch is: a function of seed and step, the same in the parts that several processes draw."""
    rows = np.stack([np.arange(40), np.arange(40) + 100], axis=1).astype(np.uint8).reshape(40, 1, 2)
    dataset = Dataset.from_arrays("pairs", rows, np.arange(40))
    settings = {"batch": 8, "seed": 3, "device": CPU, "resident": resident, "fresh_reals": True}
    plain, mirrored = Sampler(dataset, **settings), Sampler(dataset, **settings, mirror=True)
    parts = [Sampler(dataset, **settings, mirror=True, share=share) for share in (slice(0, 3), slice(3, 8))]
    flipped = []
    for step in (*range(50), 3, 0):
        before, after = plain.batch(step), mirrored.batch(step)
        assert torch.equal(torch.cat([part.batch(step).real for part in parts]), after.real)
        for one, other in ((before, after), (before.fresh, after.fresh)):
            assert one is not None
            assert other is not None
            assert torch.equal(one.labels, other.labels)
            turned = (one.real != other.real).flatten(1).any(1)
            assert torch.equal(torch.where(turned[:, None, None, None], one.real.flip(3), one.real), other.real)
            flipped.append(turned)
    assert 0.4 < torch.cat(flipped).float().mean() < 0.6
    assert not torch.equal(flipped[0], flipped[1])
    assert torch.equal(flipped[0], flipped[-2])  # the step is the same
    for sampler in (plain, mirrored, *parts):
        sampler.close()


def test_points_are_not_mirrored() -> None:
    points = Dataset.from_arrays("p", np.zeros((3, 2), np.float32))
    with pytest.raises(InputError, match="--mirror is for images, and the data are points"):
        Sampler(points, batch=2, seed=0, device=CPU, mirror=True)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(InputError, match="batch of 0"):
        Sampler(numbered(3), batch=0, seed=0, device=CPU)


@pytest.mark.parametrize(
    ("name", "shape", "modes", "sigma"),
    [("gaussian1d", (1,), 1, 0.5), ("ring8", (2,), 8, 0.02), ("grid25", (2,), 25, 0.05)],
)
def test_synthetic_points_follow_their_distribution(
    name: str, shape: tuple[int, ...], modes: int, sigma: float
) -> None:
    dataset = load_dataset(name, builtin_datasets())
    assert dataset.spec.shape == shape
    assert len(dataset) == 50_000
    assert dataset.spec.classes == (tuple(str(mode) for mode in range(modes)) if modes > 1 else ())
    labels = torch.zeros(50_000, dtype=torch.int64) if dataset.labels is None else dataset.labels
    centres = torch.stack([dataset.samples[labels == mode].mean(0) for mode in range(modes)])
    spread = (dataset.samples - centres[labels]).std().item()
    assert spread == pytest.approx(sigma, rel=0.02)
    if name == "gaussian1d":
        assert centres.item() == pytest.approx(4.0, abs=0.01)
    if name == "ring8":
        torch.testing.assert_close(centres.norm(dim=1), torch.full((8,), 2.0), atol=0.002, rtol=0)
        assert torch.cdist(centres, centres).add(torch.eye(8) * 9).min() == pytest.approx(1.5307, abs=0.005)
    if name == "grid25":
        expected = torch.cartesian_prod(*[torch.tensor([-4.0, -2, 0, 2, 4])] * 2)
        torch.testing.assert_close(centres, expected, atol=0.006, rtol=0)
