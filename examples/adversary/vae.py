"""A VAE that also plays against a discriminator: plain PyTorch, and ten lines of gankit, which are marked with a +.

    python examples/adversary/vae.py [STEPS]

It writes vae.png: digits above, what is made of them below.
"""

import sys

import torch
from torch import Tensor, nn

import gankit
from gankit.data import builtin_datasets, load_dataset
from gankit.discriminators import Patch
from gankit.sample.pictures import picture


class Vae(nn.Module):
    """Images [N, 1, 28, 28] in [-1, 1] -> what is made of them, and the KL divergence of 32 numbers each, [N]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(1568, 64),
        )
        self.decoder = nn.Sequential(
            nn.Linear(32, 1568), nn.SiLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.SiLU(),
        )  # fmt: skip
        self.last = nn.Conv2d(16, 1, 3, 1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
        return self.last(self.decoder(z)).tanh(), kl


def digits() -> Tensor:
    """The digits of the package, [10000, 1, 28, 28] in [-1, 1]."""
    return load_dataset("digits", builtin_datasets()).samples.float() / 127.5 - 1


def discriminator() -> nn.Module:
    """Scores for patches of 34 pixels."""
    return Patch(1, width=16, layers=2)


def main(steps: int) -> None:
    torch.manual_seed(0)
    images, vae = digits(), Vae()
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    adversary = gankit.Adversary(  # +
        discriminator(), "hinge", shape=(1, 28, 28), parts=["r1"], lr=1e-3, betas=(0.5, 0.9), penalty_every=4  # +
    )  # +  # fmt: skip
    entrance = gankit.Entrance(wait=100, ramp=200, last_layer=vae.last.weight)  # +
    for step in range(1, steps + 1):
        real = images[torch.randint(len(images), (32,))]
        fake, kl = vae(real)
        error = (fake - real).abs().mean()
        loss = error + 1e-4 * kl.mean()
        adversary.d_step(real, fake)  # +
        loss = loss + entrance(error, adversary.g_loss(fake, real))  # +
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == steps:
            scores = {name: round(float(value), 3) for name, value in adversary.stats.items()}  # +
            print(f"step {step}: error {error.item():.4f}, its weight {entrance.share * entrance.ratio:.2f}, {scores}")
    with torch.no_grad():
        picture(torch.cat([images[:10], vae(images[:10])[0]]), columns=10).save("vae.png")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
