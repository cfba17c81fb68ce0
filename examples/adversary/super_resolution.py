"""Digits of 4x4 pixels -> 28x28: without an adversary they are blurred, with one they have edges.

    python examples/adversary/super_resolution.py [STEPS]

It writes super-resolution.png: small digits, large ones without and with an adversary, and the real ones.
"""

import copy
import sys

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from vae import digits

import gankit
from gankit.discriminators import Patch, feature_matching
from gankit.sample.pictures import picture

FACTOR = 7


def network() -> nn.Module:
    """[N, 1, 4, 4] -> [N, 1, 28, 28]."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, 1, 1), nn.SiLU(),
        nn.Conv2d(64, 16 * FACTOR**2, 3, 1, 1), nn.PixelShuffle(FACTOR), nn.SiLU(),
        nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU(), nn.Conv2d(16, 1, 3, 1, 1),
    )  # fmt: skip


def train(enlarge: nn.Module, images: Tensor, steps: int, *, adversarial: bool) -> nn.Module:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(enlarge.parameters(), 1e-3, (0.5, 0.9))
    d = Patch(1, width=16, layers=2)
    adversary = gankit.Adversary(d, "r3gan", shape=(1, 28, 28), lr=1e-3, betas=(0.5, 0.9))  # relativistic, R1 and R2
    # Above 1 the adversary wins where the two disagree: of 4x4 pixels the least error is a blur.
    entrance = gankit.Entrance(weight=2.0, wait=100, ramp=200, last_layer=enlarge[-1].weight)
    for step in range(1, steps + 1):
        real = images[torch.randint(len(images), (32,))]
        fake = enlarge(F.avg_pool2d(real, FACTOR))
        error = F.mse_loss(fake, real)
        loss = error
        if adversarial:
            adversary.d_step(real, fake)
            loss = loss + entrance(error, adversary.g_loss(fake, real)) + 0.1 * feature_matching(d, fake, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == steps:
            print(f"{'with' if adversarial else 'without'} an adversary, step {step}: error {error.item():.4f}")
    return enlarge


def main(steps: int) -> None:
    images = digits()
    torch.manual_seed(0)
    plain = network()
    adversarial = copy.deepcopy(plain)
    train(plain, images, steps, adversarial=False)
    train(adversarial, images, steps, adversarial=True)
    with torch.no_grad():
        small = F.avg_pool2d(images[:10], FACTOR)
        rows = [F.interpolate(small, scale_factor=FACTOR), plain(small), adversarial(small), images[:10]]
        picture(torch.cat(rows), columns=10).save("super-resolution.png")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
