"""Checks of what a stopped run needs to go on, and of what a file needs to be sampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

import gankit
from gankit.errors import Stopped
from gankit.hookspecs import hookimpl
from gankit.modality import modality_of
from gankit.run.run import Run
from gankit.store import checkpoint
from gankit.testing.subject import BATCH, CLASSES, Subject, copy_of, require, same_state

STEPS = 7  # one generator step for five of the critic, and some more


def flat_state(subject: Subject) -> None:
    """The state is flat: names to tensors and finite JSON scalars, nothing that would have to be pickled."""
    loop = subject.loop()
    subject.play(loop, range(1))
    for name, value in loop.state_dict().items():
        require(
            isinstance(name, str) and isinstance(value, Tensor | bool | int | float | str),
            f"'{name}' is a {type(value).__name__}",
            "give each value a name of its own; None and lists need another form",
        )
        require(
            not isinstance(value, float) or math.isfinite(value),
            f"'{name}' is {value}",
            "JSON knows finite numbers only",
        )


def state_round_trip(subject: Subject) -> None:
    """A state that is loaded into a fresh loop comes out again bit for bit."""
    loop = subject.loop()
    subject.play(loop, subject.enough(loop))
    state = copy_of(loop.state_dict())
    fresh = subject.loop(seed=1)
    fresh.load_state_dict(state)
    different = same_state(state, fresh.state_dict())
    require(
        different is None,
        f"'{different}' is not what was loaded",
        "state_dict and load_state_dict must name the same things",
    )


def exact_resume(subject: Subject) -> None:
    """A run that is stopped and resumed ends in the same state, bit for bit, as one that was not."""
    with TemporaryDirectory() as folder:
        straight = train(subject, Path(folder) / "straight", steps=STEPS)
        with suppress(Stopped):
            train(subject, Path(folder) / "broken", steps=STEPS, on_step=_stop_half_way)
        given = {"variant": subject.variant, "extensions": subject.extensions}
        resumed = gankit.resume(Path(folder) / "broken", **given)  # type: ignore[arg-type]
        states = []
        for run in (straight, resumed):
            found = checkpoint.read_latest(run.folder / "checkpoints")
            assert found is not None
            states.append(found.state)
    different = same_state(*states)
    require(
        different is None,
        f"'{different}' differs after {STEPS} steps",
        "what a later step depends on belongs in a buffer, or in the loop's state_dict; chance comes from torch alone",
    )


def _stop_half_way(run: Run) -> None:
    if run.step == STEPS // 2:
        raise Stopped("stopped, to be resumed", signal_number=2)


def one_file(subject: Subject) -> None:
    """The file of a trained generator alone gives the samples that the run itself would draw."""
    end = _SamplesAtTheEnd()
    with TemporaryDirectory() as folder:
        run = train(subject, Path(folder) / "run", steps=2, observers=[end])
        alone = Path(folder) / "alone.safetensors"
        alone.write_bytes(run.generator.read_bytes())
        generator = gankit.load(alone, device=str(subject.device), **_files(subject))
    loaded = generator.sample(seeds=range(4)).astype(float)
    difference = float(np.abs(loaded - end.samples).max())
    require(
        difference <= (1 if end.samples.ndim == 4 else 1e-4),  # a grey level of rounding
        f"samples of the file differ by up to {difference:g}",
        "what the generator needs must be in its state dict, or follow from its arguments",
    )


class _SamplesAtTheEnd:
    """An observer that draws from the run before it is over."""

    samples: npt.NDArray[Any]

    @hookimpl
    def gankit_run_end(self, run: Run) -> None:
        samples, modality = run.sample(*run.space.inputs(range(4))), modality_of(run.data.shape)
        self.samples = modality.array(modality.stored(samples), run.data).astype(float)


def write_data(subject: Subject, folder: Path) -> Path:
    """A small data set of the subject's kind, with labels, in `folder`; the same one if it is there already."""
    path = folder / "data.npz"
    if not path.exists():
        draws, labels = np.random.RandomState(0), np.arange(60) % len(CLASSES)
        if subject.data.is_image:
            channels, height, width = subject.data.shape
            samples = draws.randint(0, 256, (60, height, width, channels)).astype(np.uint8)
        else:
            samples = draws.rand(60, *subject.data.shape).astype(np.float32)
        np.savez(path, images=samples, labels=labels)
    return path


def train(
    subject: Subject,
    out: Path,
    *,
    steps: int,
    observers: Sequence[object] = (),
    on_step: Callable[[Run], None] | None = None,
) -> gankit.RunResult:
    """A short run of the subject in the folder `out`, on data beside it."""
    return gankit.train(
        subject.variant,
        extensions=subject.extensions,
        data=write_data(subject, out.parent),
        device=str(subject.device),
        batch=BATCH,
        precision="fp32",
        steps=steps,
        sample_every=1 << 30,  # no pictures but the first and the last
        out=out,
        observers=observers,
        on_step=on_step,
    )


def _files(subject: Subject) -> Mapping[str, Any]:
    """What a file cannot name: plugins that are files themselves."""
    given: dict[str, Any] = {}
    if subject.variant.endswith(".py"):
        given["variant"] = subject.variant
    if any(name.endswith(".py") for name in subject.extensions):
        given["extensions"] = subject.extensions
    return given
