"""VAE-GAN: a variational auto-encoder whose decoder is the generator, and whose error is one of D's features.

Larsen et al., 2016 (https://arxiv.org/abs/1512.09300), algorithm 1: three networks with an optimiser each. The
generator decodes, D judges real images, samples and reconstructions, the encoder makes codes like z ~ N(0, I).
`reconstructions.png` in the run folder has real images, and below them what the decoder makes of their codes.

gankit train --variant ./examples/vae_gan.py
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gankit.plugin import (
    AdversarialLoss,
    Batch,
    Critic,
    CriticOutput,
    DataSpec,
    Discriminator,
    Networks,
    Phase,
    PointDiscriminator,
    Run,
    TrainConfig,
    TrainingLoop,
    VariantInfo,
    hookimpl,
    option,
)

FEATURES = 128  # in which reconstructions are compared


@dataclass(frozen=True)
class Options:
    reconstruction: float = option(1.0, ge=0, help="weight of the error in D's features, for decoder and encoder")
    prior: float = option(0.01, ge=0, help="weight of the divergence of codes from z, for the encoder")


def network(data: DataSpec, numbers: int) -> nn.Module:
    """Samples [N, *shape] -> [N, numbers], numbers > 1: the core's discriminator with heads beside the score."""
    output = CriticOutput(heads=numbers - 1)
    return Discriminator(data.shape, output=output) if data.is_image else PointDiscriminator(*data.shape, output=output)


class Judge(nn.Module):
    """Samples [N, *shape] -> scores [N]; `features` are what reconstructions are compared in."""

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.features = nn.Sequential(network(data, FEATURES), nn.LeakyReLU(0.2))
        self.score = nn.Sequential(nn.Linear(FEATURES, 1), nn.Flatten(0))

    def forward(self, samples: Tensor) -> Tensor:
        scores: Tensor = self.score(self.features(samples))
        return scores


class SampleLoss(AdversarialLoss):
    """The non-saturating game on real samples and samples of the prior."""

    boundary = 0.0

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"real": softplus(-critic(batch.real)), "fake": softplus(critic(batch.fake))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": softplus(-critic(batch.fake))}


class Game:
    """The objectives of the three players."""

    def __init__(self, loop: TrainingLoop, options: Options) -> None:
        self.loop, self.options = loop, options

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        """Reconstructions are fakes too."""
        with torch.no_grad():
            again = self.loop.generate(self.codes(batch.real)[0])
        return {**self.loop.loss.discriminator(critic, batch), "reconstruction": softplus(critic(again))}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        with torch.no_grad():
            z = self.codes(batch.real)[0]
        again = self.loop.generate(z)
        terms = {**self.loop.loss.generator(critic, batch), "reconstruction": softplus(-critic(again))}
        return {**terms, "error": self.options.reconstruction * self.error(again, batch.real)}

    def encoder(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        z, mean, log_variance = self.codes(batch.real)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        error = self.error(self.loop.generate(z), batch.real)
        return {"error": self.options.reconstruction * error, "prior": self.options.prior * divergence}

    def codes(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Samples [N, *shape] -> codes [N, z_dim] drawn around their means; means and logarithms of variances."""
        mean, log_variance = self.loop.call(self.loop.networks.extra["encoder"], samples).chunk(2, dim=1)
        log_variance = log_variance.clamp(-10, 10)
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean), mean, log_variance

    def error(self, samples: Tensor, real: Tensor) -> Tensor:
        """Mean squared difference [N] in D's features, equation 7."""
        one, other = (self.loop.call(self.loop.networks.discriminator.features, x) for x in (samples, real))
        return (one - other).square().mean(1)


@hookimpl
def gankit_variant() -> VariantInfo:
    return VariantInfo(
        api=1,
        title="VAE-GAN",
        paper="https://arxiv.org/abs/1512.09300",
        options=Options,
        config=TrainConfig(z_dim=16, g_lr=3e-4, d_lr=3e-4),
        scores="logits",
        conditional="no",
        conditional_note="its codes are found without labels",
    )


@hookimpl
def gankit_discriminator(data: DataSpec) -> nn.Module:
    return Judge(data)


@hookimpl
def gankit_loss() -> AdversarialLoss:
    return SampleLoss()


@hookimpl
def gankit_training_loop(
    networks: Networks, loss: AdversarialLoss, config: TrainConfig, options: Options, data: DataSpec
) -> TrainingLoop:
    loop = TrainingLoop(networks, loss, config)
    loop.add_player("encoder", {"encoder": network(data, 2 * config.z_dim)})
    game = Game(loop, options)
    loop.phases["discriminator"].objective = game.discriminator
    loop.phases["generator"].objective = game.generator
    loop.phases["encoder"] = Phase("encoder", game.encoder)
    return loop


@hookimpl
def gankit_checkpoint(run: Run) -> None:
    """The picture of real images and their reconstructions, beside each checkpoint."""
    if not run.data.is_image:
        return
    real = run.dataset.real(torch.arange(min(16, len(run.dataset)))).to(run.loop.device)
    with torch.no_grad():
        mean = run.loop.networks.extra["encoder"](real).chunk(2, dim=1)[0]
        again = run.loop.generator(mean)
    run.save_picture("reconstructions.png", torch.cat([real, again]), columns=len(real))
