"""A variant for plugin API 1 as of gankit 0.2.0: every builder a variant may answer, every catalogue, every event."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import nn

from gankit.plugin import (
    AdversarialLoss,
    Choice,
    CriticOutput,
    CriticWrapper,
    Dataset,
    FeatureSpace,
    LinearCritic,
    LogUniform,
    Part,
    Phase,
    Player,
    SameAs,
    SampleGrid,
    Schedule,
    TrainConfig,
    TrainingLoop,
    TwoSets,
    Uniform,
    VariantInfo,
    Vector,
    batch_mean,
    batch_std,
    between,
    gather,
    gradient_norms,
    gradient_penalty,
    hookimpl,
    input_gradients,
    leaf,
    option,
    squared_gradients,
)


@dataclass(frozen=True)
class Options:
    weight: float = option(1.0, gt=0, le=10, help="weight of the penalty", search={"wide": LogUniform(0.1, 10)})
    power: float = option(0.5, ge=0, lt=1, help="not used", search={"wide": Uniform(0, 1), "narrow": SameAs("weight")})
    kind: Literal["a", "b"] = option("a", help="not used", search={"wide": Choice(("a", "b"))})


class Loss(AdversarialLoss):
    boundary = 0.0
    output = CriticOutput(condition="concatenation")

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight
        self.register_buffer("seen", torch.zeros(()))

    def discriminator(self, critic, batch):
        real, fake = critic(batch.real), critic(batch.fake)
        self.seen.add_(1)
        self.log("seen", self.seen)
        self.log("mean", self.mean(real))
        return {"real": -real, "fake": fake}

    def penalties(self, critic, batch):
        one = gradient_penalty(critic, between(batch.real, batch.fake), 1.0, one_sided=True)
        two = gradient_norms(critic, leaf(batch.real)).square()
        points = leaf(batch.real)
        scores = critic(points)
        three = squared_gradients(scores, points) + 0 * input_gradients(scores, points).sum(1)
        return {"penalty": self.weight * (one + 0.1 * two + 0.1 * three)}

    def generator(self, critic, batch):
        return {"fake": -critic(batch.fake)}


class Perceptron(nn.Module):
    """Inputs and y, if there is one, side by side through a perceptron."""

    def __init__(self, inputs, condition, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs + condition, 32), nn.LeakyReLU(0.2), nn.Linear(32, outputs))

    def forward(self, x, y=None):
        x = x.flatten(1)
        return self.layers(x if y is None else torch.cat([x, y], 1))


class Generator(Perceptron):
    def __init__(self, shape, z_dim, condition):
        super().__init__(z_dim, condition, prod(shape))
        self.shape = shape

    def forward(self, x, y=None):
        return super().forward(x, y).tanh().unflatten(1, self.shape)


class Discriminator(Perceptron):
    def forward(self, x, y=None):
        return super().forward(x, y).squeeze(1)


class Counter(Part):
    """Remembers a number of its own in every checkpoint, and takes part everywhere."""

    def __init__(self, loop):
        super().__init__()
        self.loop = loop
        self.register_buffer("calls", torch.zeros(()))

    def shown(self, samples, step):
        return samples * 1.0

    def critic(self, critic, step):
        return Doubled(critic)

    def terms(self, critic, batch, step):
        assert step.name in self.loop.phases
        assert step.terms
        return {}

    def before_update(self, step):
        assert step.player is self.loop.players[step.phase.player]

    def after_update(self, step):
        self.calls += 1
        if step.name == "discriminator":
            everywhere, own = gather(step.critic.real)
            assert len(everywhere[own]) == len(step.critic.real)
            return {
                "calls": self.calls.clone(),
                "std": batch_std(step.critic.real),
                "mean": batch_mean(step.critic.fake),
            }
        return {}


class Doubled(CriticWrapper):
    def __call__(self, samples, condition=None):
        return self.inner(samples, condition)


@hookimpl
def gankit_variant():
    return VariantInfo(
        api=1,
        title="Everything",
        paper="https://example.org/paper",
        options=Options,
        config=TrainConfig(
            batch=8, z_dim=4, g_lr=1e-3, d_lr=1e-3, betas=(0.0, Schedule.parse("linear(0.9, 0.99, 50%)")), d_steps=2
        ),
        conditional="optional",
        scores="raw",
    )


@hookimpl
def gankit_generator(data, z_dim, options):
    assert isinstance(options, Options)
    return Generator(data.shape, z_dim, data.condition)


@hookimpl
def gankit_discriminator(data, options, output):
    assert output.condition == "concatenation"
    assert data.is_image == (len(data.shape) == 3)
    return Discriminator(prod(data.shape), data.condition, 1)


@hookimpl
def gankit_loss(data, options):
    return Loss(options.weight)


@hookimpl
def gankit_training_loop(networks, loss, config, options, data):
    loop = TrainingLoop(networks, loss, config)
    player = loop.add_player("reader", {"reader": nn.Sequential(nn.Flatten(), nn.Linear(prod(data.shape), 3))}, lr=1e-3)
    assert isinstance(player, Player)
    loop.add_network("generator", "bias", nn.Linear(1, 1), lr_scale=0.5)

    def read(critic, batch):
        assert batch.z is not None
        codes = loop.call(loop.networks.extra["reader"], batch.fake)
        return {"codes": codes.square().mean(1)}

    def generate(critic, batch):
        one = loop.networks.extra["bias"](batch.real.new_ones(1, 1)).sum()
        return {**loss.generator(critic, batch), "bias": one.square()}

    loop.phases["generator"].objective = generate
    loop.phases["reader"] = Phase("reader", read, fakes="detached", due=lambda: loop.due_every(2, "reader"))
    return loop


@hookimpl
def gankit_parts(loop, options, data):
    return [Counter(loop)]


@hookimpl
def gankit_sample_grid(data, z, condition, options):
    return SampleGrid(z[:6], None if condition is None else condition[:6], columns=3)


@hookimpl
def gankit_datasets():
    def draw():
        images = (torch.arange(240 * 64) % 251).to(torch.uint8).reshape(240, 8, 8, 1).numpy()
        return Dataset.from_arrays("ramps", images, torch.arange(240).numpy() % 2, classes=("even", "odd"))

    return {"ramps": draw}


class Pixels(FeatureSpace):
    def __init__(self, dim):
        super().__init__(name="small-pixels", sha256="0" * 64, dim=dim, protocol={"scale": 255})

    def forward(self, samples):
        return samples.flatten(1).float() / 255, None


@hookimpl
def gankit_features():
    return {"small-pixels": lambda data, argument: Pixels(prod(data.spec.shape))}


@hookimpl
def gankit_metrics():
    return {"mean-feature": lambda space: Mean()}


class Mean(TwoSets):
    def compute(self):
        return self.sets()[1].double().mean()


@hookimpl
def gankit_vectors():
    return [
        Vector(
            name="by hand",
            loss=lambda: Loss(1.0),
            critic=lambda: LinearCritic(3.0, 4.0),
            real=[[1.0, 0.0]],
            fake=[[0.0, 1.0]],
            expected={"d/real": -3.0, "d/fake": 4.0, "d/penalty": 16.0 + 2.5 + 2.5, "g": -4.0},
            source="D(x) = (3, 4) x",
        )
    ]
