"""`gankit eval`: scores of a checkpoint or a set of images with their protocol, stored in the run folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from gankit import core
from gankit.base.files import append_line
from gankit.base.seeds import derive_seed
from gankit.base.text import printable
from gankit.contracts import DataSpec, Kind
from gankit.data import Dataset, Preparation, load_dataset
from gankit.errors import GankitError, InputError, ResourceError
from gankit.host import discovery
from gankit.host.composition import Catalogues
from gankit.machine import streams
from gankit.machine.device import choose_device
from gankit.measure.evaluator import DEFAULT_SAMPLES, Evaluator, select_metrics, sizes
from gankit.measure.features import choose_space
from gankit.measure.record import FILE, Evaluation, Protocol, Score, versions
from gankit.sample.generator import LoadOptions, TrainedGenerator, latent_source, rebuild
from gankit.score import recovery
from gankit.store.find import generator_file, means_generator, run_of
from gankit.store.generator_file import PluginRef, read

log = logging.getLogger("gankit")


@dataclass(frozen=True, kw_only=True)
class EvalSettings(LoadOptions):
    """Settings of an evaluation; None means a default that depends on data and checkpoint."""

    against: str | None = None  # the real data; by default the training data of a checkpoint
    size: str | None = None
    value_range: str | None = None
    channels: str | None = None
    kind: Kind | None = None
    length: int | None = None
    split: str = "train"
    features: str | None = None  # NAME or NAME@ARGUMENT
    metrics: Sequence[str] | None = None
    n: int | None = None  # number of samples; by default 10,000, or half of the data if that is less
    n_real: int | Literal["all"] | None = (
        None  # number of real images in the reference; 'all' leaves none for the floor
    )
    seed: int = 0
    labels: str | None = None  # the columns of the file of labels of the real data that count
    image_column: str | None = None  # the column of the images, where the real data are Parquet files
    on_bad_image: Literal["error", "skip"] | None = None
    background: str | None = None
    frames: Literal["first", "all"] | None = None


def evaluate(
    target: str | os.PathLike[str],
    *,
    save: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> Evaluation:
    """Score a checkpoint (a .safetensors file or a run) or a set of images (folder, zip, .npz) against real data.

    `settings` are the fields of `gankit.score.evaluate.EvalSettings`. The line is appended to `save`, else to
    metrics.jsonl in the run folder of the checkpoint, else to metrics.jsonl in the working folder. DivergedError when
    the samples are not finite or all the same; InputError, ResourceError and PluginError as everywhere.
    """
    for name in ("metrics", "extensions"):  # 'fid,pr' as on the command line, not a sequence of letters
        if isinstance(settings.get(name), str):
            settings[name] = [part.strip() for part in settings[name].split(",")]
    evaluation = score(Path(target), EvalSettings(**settings))
    append_line(store_of(target, save), evaluation.record())
    return evaluation


def score(target: Path, settings: EvalSettings) -> Evaluation:
    """`evaluate` without storing the scores."""
    return _score_checkpoint(target, settings) if means_generator(target) else _score_set(target, settings)


def store_of(target: str | os.PathLike[str], save: str | os.PathLike[str] | None = None) -> Path:
    """The file to which `evaluate` appends its line."""
    if save:
        return Path(save)
    run = run_of(generator_file(Path(target))) if means_generator(Path(target)) else None
    return (run.path if run is not None else Path()) / FILE


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint to score: its file, and its generator ready to sample."""

    file: Path
    trained: TrainedGenerator

    def evaluation(self, protocol: Protocol, scores: Mapping[str, Score], data: str, started: float) -> Evaluation:
        """Its scores against the real set `data`; `started` is when the work began, by `time.monotonic`."""
        header = self.trained.header
        return Evaluation(
            what={"file": str(self.file), **header.describe()},
            protocol=protocol,
            scores=scores,
            data=data,
            step=header.step,
            images_seen=header.images_seen,
            seconds=round(time.monotonic() - started, 3),
            made_by=versions(),
        )


def open_checkpoint(path: Path, options: LoadOptions) -> OpenCheckpoint:
    """The generator that a path means; InputError when it means none."""
    file = generator_file(path)
    header, tensors = read(file)
    if all(ref.dist is not None for ref in header.extensions):
        # The file names its extensions; those of the user only add data, features and metrics.
        options = replace(options, extensions=())
    return OpenCheckpoint(file, rebuild(file, header, tensors, options))


def training_data(opened: OpenCheckpoint, settings: EvalSettings) -> tuple[Dataset, dict[str, Any]]:
    """The training set of a checkpoint, found as for its scores, and the catalogue of feature spaces."""
    composition = _composition(opened, settings)
    _, train = _real_data(opened.trained, opened.file, settings, composition)
    return train, composition.catalogue("gankit_features")


def _score_checkpoint(path: Path, settings: EvalSettings) -> Evaluation:
    started = time.monotonic()
    opened = open_checkpoint(path, settings)
    file, trained = opened.file, opened.trained
    composition = _composition(opened, settings)
    real, train = _real_data(trained, file, settings, composition)
    if recovery.NAME in (settings.metrics or ()):
        if len(settings.metrics or ()) > 1:
            raise InputError("recovery is scored by itself", hint="--metrics recovery")
        if train.fingerprint != trained.header.data_fingerprint:
            train = _own_training_data(trained, file, settings, composition)
        protocol, found = recovery.recovery(
            trained, train, real, split=settings.split, n=settings.n, seed=settings.seed
        )
        return opened.evaluation(protocol, found, real.name, started)
    known = trained.header.critic_spaces
    evaluator = evaluator_of(real, train, settings, composition, trained.device, critic_spaces=known)
    first = settings.seed * evaluator.n  # different seeds score disjoint sets of samples
    # Condition vectors are those of the training data, all of them, where these are here.
    of_data = train.conditions if train.fingerprint == trained.header.data_fingerprint else None
    scores = evaluator.score(latent_source(trained.module, trained.space, first, trained.device, of_data))
    return opened.evaluation(evaluator.protocol, scores, real.name, started)


def score_run(run: Path, evaluator: Evaluator, options: LoadOptions) -> Evaluation:
    """The scores of a run by an evaluator that is used for several runs: as `score`, but the real side is made once."""
    started = time.monotonic()
    opened = open_checkpoint(run, options)
    trained = opened.trained
    if evaluator.train.fingerprint != trained.header.data_fingerprint:
        raise InputError(f"{opened.file} was trained on other data than it is scored with", hint="bring them back")
    first = evaluator.seed * evaluator.n  # as in `score`
    source = latent_source(trained.module, trained.space, first, trained.device, evaluator.train.conditions)
    known = evaluator.space.feature_space in trained.header.critic_spaces
    protocol = replace(evaluator.protocol, critic_space=known)
    return opened.evaluation(protocol, evaluator.score(source), evaluator.real.name, started)


def _score_set(path: Path, settings: EvalSettings) -> Evaluation:
    started = time.monotonic()
    composition = core.compose_catalogues([discovery.find(name, discovery.EXTENSIONS) for name in settings.extensions])
    if settings.against is None:
        if not path.exists() and str(path) not in composition.catalogue("gankit_datasets"):
            raise InputError(
                f"{printable(path)}: there is no such file or folder",
                hint="give a run folder, a .safetensors file, or images with --against DATA",
            )
        raise InputError(
            f"{printable(path)}: a set of images is scored against real data, and none is named",
            hint="--against DATA (only a checkpoint, a .safetensors file or a run folder, has its own)",
        )
    how = Preparation.of(vars(settings))
    if settings.variant is not None:
        raise InputError(f"{printable(path)} holds images, no generator of variant '{settings.variant}'")
    real, train = real_data_of(settings.against, settings.split, how, composition)
    of_samples = replace(how, labels=None, image_column=None)
    if real.spec.kind != "images":  # samples are read as what they are compared with
        of_samples = replace(of_samples, kind=real.spec.kind)
    if real.spec.kind == "signals":
        of_samples = replace(of_samples, value_range=real.spec.units)
    samples = load_dataset(str(path), {}, how=of_samples)
    for line in samples.describe().splitlines():  # also what was inferred: it changes the scores
        log.info("%s", line)
    if samples.spec.shape != real.spec.shape:
        raise InputError(
            f"{printable(path)} holds {list(samples.spec.shape)}, '{real.name}' {list(real.spec.shape)}",
            hint="bring both to one form: --size HEIGHTxWIDTH, --channels grey, rgb or rgba",
        )
    device = choose_device(settings.device)
    if settings.n is not None and settings.n > len(samples):
        raise InputError(f"-n {settings.n:,}: {printable(path)} holds {len(samples):,}", hint="leave out -n")
    n = min(len(samples), settings.n or min(DEFAULT_SAMPLES, len(real) // 2))
    order = torch.randperm(len(samples), generator=streams.generator(derive_seed(settings.seed, "samples")))
    evaluator = evaluator_of(real, train, settings, composition, device, n=n)
    scores = evaluator.score(lambda start, stop: samples.samples[order[start:stop]])
    return Evaluation(
        what={"kind": "images", "file": str(path), "fingerprint": samples.fingerprint},
        protocol=evaluator.protocol,
        scores=scores,
        data=real.name,
        seconds=round(time.monotonic() - started, 3),
        made_by=versions(),
    )


def evaluator_of(
    real: Dataset,
    train: Dataset,
    settings: EvalSettings,
    composition: Catalogues,
    device: torch.device,
    n: int | None = None,
    critic_spaces: Sequence[str] = (),
) -> Evaluator:
    """The evaluator that `score` uses, without what belongs to the samples."""
    metrics = select_metrics(composition.catalogue("gankit_metrics"), settings.metrics)
    n, n_real = sizes(len(real), n or settings.n, len(real) if settings.n_real == "all" else settings.n_real)
    space = choose_space(settings.features, train, composition.catalogue("gankit_features"), critic_spaces)
    evaluator = Evaluator(
        real,
        train,
        space,
        metrics,
        n=n,
        n_real=n_real,
        split=settings.split,
        seed=settings.seed,
        device=device,
        critic_spaces=critic_spaces,
    )
    left_out = [name for name in metrics if name not in evaluator.metrics]
    if left_out and settings.metrics is not None:
        raise InputError(
            f"{', '.join(left_out)} cannot be computed in the space '{space.name}'", hint="leave it out of --metrics"
        )
    return evaluator


def _composition(opened: OpenCheckpoint, settings: EvalSettings) -> Catalogues:
    """Core and the installed plugins of the run, which may offer data, features and metrics."""
    header = opened.trained.header
    if settings.variant is not None:
        variant: discovery.Plugin | None = discovery.find(settings.variant, discovery.VARIANTS)
    else:
        variant = _if_installed(header.variant, discovery.VARIANTS, opened.file)
    named = [discovery.find(name, discovery.EXTENSIONS) for name in settings.extensions]
    of_file = [_if_installed(ref, discovery.EXTENSIONS, opened.file) for ref in header.extensions]
    extensions = [*(plugin for plugin in of_file if plugin is not None and plugin not in named), *named]
    return core.compose_catalogues(extensions) if variant is None else core.compose(variant, extensions)


def _if_installed(ref: PluginRef, group: str, file: Path) -> discovery.Plugin | None:
    try:
        return discovery.require(ref.name, group, ref.dist, ref.version, file)
    except GankitError:
        return None


def _real_data(
    trained: TrainedGenerator,
    file: Path,
    settings: EvalSettings,
    composition: Catalogues,
) -> tuple[Dataset, Dataset]:
    """The real set and the training set of a checkpoint, named by `--against`, by its run or by its header."""
    header = trained.header
    run = run_of(file)
    stored = run.configuration()["config"] if run is not None else header.config
    data = settings.against or str(stored.get("data"))
    given = {key: value for key, value in vars(settings).items() if value is not None}
    how = Preparation.of(given if settings.against else {**stored, **given})
    if how.size is None and header.spec.is_image:
        how = replace(how, size=(header.shape[1], header.shape[2]))
    if settings.against:
        how = _in_units(how, header.spec)
    try:
        real, train = real_data_of(data, settings.split, how, composition)
    except ResourceError as error:  # a data set that cannot be downloaded
        if settings.against:
            raise
        hint = f"{error.hint}; or give the same data with --against PATH"
        raise ResourceError(error.message, hint=hint) from error
    except InputError as error:
        if settings.against or Path(data).exists() or data in composition.catalogue("gankit_datasets"):
            raise
        raise InputError(
            f"{file} was trained on '{printable(data)}', which is not here", hint="--against PATH of that data"
        ) from error
    if real.spec.shape != header.shape:
        raise InputError(
            f"{file} makes {list(header.shape)}, '{real.name}' holds {list(real.spec.shape)}",
            hint="give the data it was trained on, or --size and --channels",
        )
    if real.spec.units != header.spec.units:
        raise _other_levels(f"'{real.name}'", real.spec.units, header.spec.units)
    if settings.against:
        for line in real.describe().splitlines():  # also what was inferred: it changes the scores
            log.info("%s", line)
    if not settings.against and train.fingerprint != header.data_fingerprint:
        raise InputError(
            f"'{printable(data)}' is not the data that {file} was trained on: it has changed since",
            hint="restore the old data, or choose the new ones with --against DATA",
        )
    return real, train


def _own_training_data(
    trained: TrainedGenerator, file: Path, settings: EvalSettings, composition: Catalogues
) -> Dataset:
    """The data that a checkpoint was trained on, whatever it is scored against."""
    _, train = _real_data(trained, file, replace(settings, against=None, split="train"), composition)
    return train


def real_data_of(
    data: str,
    split: str,
    how: Preparation,
    composition: Catalogues,
) -> tuple[Dataset, Dataset]:
    """The split to score against, and the training data."""
    catalogue = composition.catalogue("gankit_datasets")
    train = load_dataset(data, catalogue, how=how)
    if split == "train":
        return train, train
    how = _in_units(replace(how, labels=None), train.spec)  # it needs no labels
    real = load_dataset(data, catalogue, split=split, how=how)
    if real.levels is not None and train.levels is not None and real.levels != train.levels:
        raise _other_levels(f"the split '{printable(split)}'", real.levels, train.levels)
    return real, train


def _in_units(how: Preparation, spec: DataSpec) -> Preparation:
    """How signals are read in the units of others, unless the user decides otherwise: their own would differ."""
    return replace(how, value_range=spec.units) if spec.kind == "signals" and how.value_range is None else how


def _other_levels(what: str, found: tuple[float, float], wanted: tuple[float, float]) -> InputError:
    """For real samples that were not brought to the numbers of a generator as its training data were."""
    low, high = wanted
    return InputError(
        f"{what} was read with {found[0]:g} and {found[1]:g} as the ends of its range, "
        f"the training data with {low:g} and {high:g}",
        hint=f"--range={low:g},{high:g} if these mean the same in both",
    )
