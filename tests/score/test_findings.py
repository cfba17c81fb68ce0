"""Three bad generators are told apart: one that collapsed, one that copies, one that gives noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gankit as api
from gankit.score.evaluate import evaluate

pytestmark = pytest.mark.usefixtures("place")


HEAD = """
import torch
from torch import nn
from gankit.plugin import AdversarialLoss, VariantInfo, hookimpl

class Loss(AdversarialLoss):
    def discriminator(self, critic, batch):
        return {"score": critic(batch.fake) - critic(batch.real)}
    def generator(self, critic, batch):
        return {"score": -0 * critic(batch.fake)}

@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="A generator that does not learn")

@hookimpl
def gankit_loss():
    return Loss()

class Fixed(nn.Module):
    def __init__(self, pictures):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.register_buffer("pictures", pictures)
    def forward(self, z):
        number = (z[:, 0].double().abs() * 1e6).long() % len(self.pictures)
        return self.pictures[number] + 0 * self.unused

def digits():
    from gankit.data import builtin_datasets
    return builtin_datasets()["digits"]().real(torch.arange(10_000))

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))
"""


COLLAPSED = (
    HEAD
    + """
@hookimpl
def gankit_generator(data, z_dim):
    # Five blends of digits, which are no training images.
    pictures = digits()
    return Fixed((pictures[:5] + pictures[5:10]) / 2)
"""
)


COPIER = (
    HEAD
    + """
@hookimpl
def gankit_generator(data, z_dim):
    return Fixed(digits())
"""
)


NOISE = (
    HEAD
    + """
@hookimpl
def gankit_generator(data, z_dim):
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))
            self.register_buffer("mixing", torch.randn(z_dim, 784, generator=torch.Generator().manual_seed(0)))
        def forward(self, z):
            return (torch.tanh(z @ self.mixing) + 0 * self.unused).view(-1, 1, 28, 28)
    return Noise()
"""
)


def score_of(source: str, name: str) -> Any:
    Path(f"{name}.py").write_text(source)
    api.train(f"./{name}.py", steps=2, out=name, batch=8, ema_halflife_images=0)
    return evaluate(name, variant=f"./{name}.py", n=1000)


def test_collapse_copies_and_noise_are_told_apart() -> None:
    collapsed, copier, noise = (
        score_of(COLLAPSED, "collapsed"), score_of(COPIER, "copier"), score_of(NOISE, "noise")
    )  # fmt: skip
    value = {
        name: {key: score.value for key, score in evaluation.scores.items()}
        for name, evaluation in (("collapsed", collapsed), ("copier", copier), ("noise", noise))
    }
    floor = {key: score.floor for key, score in copier.scores.items()}
    assert value["copier"]["duplicates"] == 1
    assert value["copier"]["fid"] < 2 * floor["fid"]  # it wins every other metric
    assert value["copier"]["coverage"] > 0.9 * floor["coverage"]
    assert value["collapsed"]["duplicates"] < 0.01
    assert value["collapsed"]["recall"] < 0.1
    assert value["collapsed"]["coverage"] < 0.1
    assert value["noise"]["precision"] < 0.1
    assert value["noise"]["density"] < 0.1
    assert value["noise"]["duplicates"] < 0.01
    assert floor["fid"] < value["collapsed"]["fid"] < value["noise"]["fid"]

    assert [text.split(":")[0] for text in collapsed.findings()] == ["not yet trained"]  # after 16 images
    copier, collapsed, noise = (replace(found, images_seen=100_000) for found in (copier, collapsed, noise))
    assert [text.split(":")[0] for text in copier.findings()] == ["copies the training set"]
    assert "misses much of the data" in [text.split(":")[0] for text in collapsed.findings()]
    assert "looks different from the data" in [text.split(":")[0] for text in noise.findings()]
    assert not any("copies" in text for text in (*collapsed.findings(), *noise.findings()))
