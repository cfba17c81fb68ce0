"""Training within a caller's program: the seed determines the result, and the process is left as it was."""

from __future__ import annotations

import logging
import signal
import threading

import pytest
import torch
from support_runs import assert_same_state, train

import gankit
from gankit.hookspecs import Record, hookimpl

pytestmark = pytest.mark.usefixtures("tiny_data")


def test_the_seed_decides_and_the_callers_streams_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = train(steps=3, out="a")
    assert torch.equal(torch.rand(3), expected)
    second = train(steps=3, out="b")
    other = train(steps=3, out="c", seed=1)
    assert first.generator.read_bytes() == second.generator.read_bytes()
    assert first.generator.read_bytes() != other.generator.read_bytes()


def test_saving_and_sampling_more_often_changes_nothing() -> None:
    a = train(steps=20, out="a", sample_every=8, checkpoint_every=8)
    b = train(steps=20, out="b", sample_every=160, checkpoint_every=160)
    assert_same_state(a.folder, b.folder)


def test_the_process_is_left_as_it_was() -> None:
    def small() -> float:
        return (torch.tensor(1e-40) * 1).item()

    log = logging.getLogger("gankit")
    before = (small(), signal.getsignal(signal.SIGINT), log.level, log.handlers[:], torch.get_default_dtype())
    assert before[0] > 0
    train(steps=2)
    assert (small(), signal.getsignal(signal.SIGINT), log.level, log.handlers, torch.get_default_dtype()) == before


class Listening:
    """An observer that remembers what was new."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    @hookimpl
    def gankit_record(self, record: Record) -> None:
        self.kinds.append(record.kind)


def test_it_trains_in_a_thread_and_with_two_observers_of_one_class() -> None:
    results: list[gankit.RunResult] = []
    observers = [Listening(), Listening()]
    thread = threading.Thread(
        target=lambda: results.append(train(steps=2, observers=observers, options=None, size=None, sample_every=1000))
    )
    thread.start()
    thread.join()
    assert results[0].step == 2
    assert [observer.kinds for observer in observers] == [["picture", "statistics", "picture"]] * 2
