"""Seeds for arithmetic: those whose samples a classifier is sure of, and what sums of their means look like."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gankit.base.text import printable
from gankit.errors import InputError
from gankit.measure.features import choose_space
from gankit.measure.features.classifier import ClassifierSpace
from gankit.measure.features.extract import EXTRACT_BATCH, extract
from gankit.sample.generator import TrainedGenerator, latent_source
from gankit.sample.walks import drawable, images_of, within
from gankit.score.evaluate import EvalSettings, open_checkpoint, training_data

SEEDS = 1_000  # samples that the classifier looks at: seeds 0 to 999
SURE = 0.99  # probability of a class from which a sample is taken for one of it
PER_MEAN = 3  # latent vectors of a mean (Radford et al. 2015, section 6.3.2)
MAX_CLASSES = 10  # classes whose sums are tried, those with most samples; n of them have n (n - 1) (n - 2) / 2


@dataclass(frozen=True)
class Sum:
    """The sum A - B + C of three classes, and what the classifier takes its sample for."""

    plus: tuple[str, str]
    minus: str
    result: str
    probability: float  # of the result, 0 to 1

    @property
    def kind(self) -> Literal["added", "subtracted", "another"]:
        """Whether it looks like A or C, like B, or like another class."""
        if self.result in self.plus:
            return "added"
        return "subtracted" if self.result == self.minus else "another"


@dataclass(frozen=True)
class Concepts:
    """What the classifier knows about the samples of a generator."""

    accuracy: float  # of the classifier on real images that it was not trained on
    seeds: Mapping[str, tuple[int, ...]]  # class -> the first seeds whose samples are surely of it
    counts: Mapping[str, int]  # class -> how many of the SEEDS samples are
    means: Mapping[str, str]  # class -> the class of the mean of its seeds
    sums: tuple[Sum, ...]  # all that were tried, the surest first


def concepts(target: str | Path, settings: EvalSettings | None = None) -> Concepts:
    """Seeds by class and the sums of three classes, for an unconditional generator of labelled images.

    The training set is found as in `gankit eval`; its classifier is that of the feature space `classifier`, which is
    trained at first use. InputError where labels say nothing about seeds: data without labels, a conditional generator.
    """
    settings = settings or EvalSettings()
    opened = open_checkpoint(Path(target), settings)
    trained = opened.trained
    drawable(trained, 1, "arithmetic")
    look = f"gankit sample {shlex.quote(os.fspath(target))}"
    if trained.space.conditions is not None:
        names = [attribute.name for attribute in trained.data.attributes]
        names = [*trained.data.classes] if trained.space.conditions.counts else names
        chosen = f" --class {shlex.quote(names[0])}" if names else ""
        raise InputError(
            "no seeds to propose: the class is an input of this generator, so no seed belongs to one",
            hint=f"choose by eye: {look}{chosen} --seeds 0-63 -o seeds.png, then arithmetic{chosen} --plus 1,4,7",
        )
    data, catalogue = training_data(opened, settings)
    if data.labels is None or len(data.spec.classes) < 2:
        raise InputError(
            f"no seeds to propose: '{printable(data.name)}' has no labels, from which a classifier could learn",
            hint=f"choose by eye: {look} --seeds 0-63 -o seeds.png, then --plus 1,4,7",
        )
    space = choose_space("classifier", data, catalogue).to(trained.device)
    assert isinstance(space, ClassifierSpace)
    return _concepts(trained, space, data.spec.classes)


def _concepts(trained: TrainedGenerator, space: ClassifierSpace, classes: Sequence[str]) -> Concepts:
    source = latent_source(trained.module, trained.space, 0, trained.device)
    logits = extract(space, source, SEEDS, trained.device, "samples").logits
    assert logits is not None
    certainty, label = logits.softmax(1).max(1)
    sure = {name: torch.nonzero((label == k) & (certainty >= SURE))[:, 0].tolist() for k, name in enumerate(classes)}
    known = [name for name in classes if len(sure[name]) >= PER_MEAN]
    seeds = {name: tuple(sure[name][:PER_MEAN]) for name in known}

    def recognise(z: Sequence[Tensor]) -> list[tuple[str, float]]:
        """The class of each latent vector [z_dim], and its probability."""
        found: list[tuple[str, float]] = []
        for part in torch.split(torch.stack([*z]), EXTRACT_BATCH):
            images = torch.from_numpy(images_of(trained, within(trained, part), None)).permute(0, 3, 1, 2)
            with torch.no_grad():
                _, scores = space(images.to(trained.device))
            values, labels = scores.softmax(1).max(1)
            found += [(classes[k], p) for k, p in zip(labels.tolist(), values.tolist(), strict=True)]
        return found

    most = sorted(known, key=lambda name: -len(sure[name]))[:MAX_CLASSES]
    mean = {name: trained.space.z(seeds[name]).mean(0) for name in most}
    triples = [(a, b, c) for a, c in itertools.combinations(most, 2) for b in most if b not in (a, c)]
    results = recognise([mean[a] - mean[b] + mean[c] for a, b, c in triples]) if triples else []
    sums = [Sum((a, c), b, name, p) for (a, b, c), (name, p) in zip(triples, results, strict=True)]
    of_means = recognise([mean[name] for name in most]) if most else []
    return Concepts(
        space.header.accuracy,
        seeds,
        {name: len(sure[name]) for name in known},
        {name: found for name, (found, _) in zip(most, of_means, strict=True)},
        tuple(sorted(sums, key=lambda found: -found.probability)),
    )
