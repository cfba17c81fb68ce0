"""The loops that people copy, written from their descriptions: what gankit is compared with in time_to_quality.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from speed import discriminator, generator
from torch import Tensor, nn
from torch.nn import functional

from gankit.data import Dataset

Marks = Iterator[tuple[float, Callable[[int], Tensor]]]
"""(seconds of training, n -> samples uint8 [n, C, H, W]) at each budget."""


@dataclass
class Loop:
    """A plain loop: networks, the tensor on which they work, and one step."""

    generator: nn.Module
    step: Callable[[int], None]
    z_dim: int
    average: nn.Module | None = None


def batches(dataset: Dataset, side: int) -> Tensor:
    """All images as floats in [-1, 1], on a black border where the networks need a larger side."""
    x = dataset.samples.float() / 127.5 - 1
    border = side - x.shape[-1]
    return functional.pad(x, (border // 2, border - border // 2) * 2, value=-1.0) if border else x


def tutorial(dataset: Dataset) -> Loop:
    """The official DCGAN tutorial, its networks cut to the size of the images."""
    shape, batch = dataset.spec.shape, 128
    netg, netd = generator(shape, 64), discriminator(shape, 64, norm=True)
    for net in (netg, netd):
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)
    optg = torch.optim.Adam(netg.parameters(), 2e-4, (0.5, 0.999))
    optd = torch.optim.Adam(netd.parameters(), 2e-4, (0.5, 0.999))
    data, criterion = batches(dataset, shape[1]), nn.BCEWithLogitsLoss()

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        netd.zero_grad()
        criterion(netd(real), torch.ones(batch)).backward()
        fake = netg(torch.randn(batch, 100))
        criterion(netd(fake.detach()), torch.zeros(batch)).backward()
        optd.step()
        netg.zero_grad()
        criterion(netd(fake), torch.ones(batch)).backward()
        optg.step()

    return Loop(netg, step, 100)


def copied_dcgan(dataset: Dataset) -> Loop:
    """Upsampling and 3x3 layers in G; four strided 3x3 layers with dropout in D; G moves first; batch 64."""
    channels, height, _ = dataset.spec.shape
    side, batch = -(-height // 16) * 16, 64

    class Start(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(100, 128 * (side // 4) ** 2)

        def forward(self, z: Tensor) -> Tensor:
            x: Tensor = self.linear(z).view(-1, 128, side // 4, side // 4)
            return x

    netg = nn.Sequential(
        Start(), nn.BatchNorm2d(128), nn.Upsample(scale_factor=2), nn.Conv2d(128, 128, 3, 1, 1),
        nn.BatchNorm2d(128, 0.8), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(128, 64, 3, 1, 1),
        nn.BatchNorm2d(64, 0.8), nn.LeakyReLU(0.2), nn.Conv2d(64, channels, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25)]
        layers += [nn.BatchNorm2d(outputs, 0.8)] if outputs > 16 else []
    netd = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * (side // 16) ** 2, 1), nn.Sigmoid())
    for layer in [*netg.modules(), *netd.modules()]:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    optg = torch.optim.Adam(netg.parameters(), 2e-4, (0.5, 0.999))
    optd = torch.optim.Adam(netd.parameters(), 2e-4, (0.5, 0.999))
    data, criterion = batches(dataset, side), nn.BCELoss()
    valid, invalid = torch.ones(batch, 1), torch.zeros(batch, 1)

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        optg.zero_grad()
        fake = netg(torch.randn(batch, 100))
        criterion(netd(fake), valid).backward()
        optg.step()
        optd.zero_grad()
        ((criterion(netd(real), valid) + criterion(netd(fake.detach()), invalid)) / 2).backward()
        optd.step()

    return Loop(netg, step, 100)


def copied_wgan_gp(dataset: Dataset) -> Loop:
    """Perceptrons; five critic steps; the penalty at random points between pairs; batch 64."""
    shape, batch = dataset.spec.shape, 64
    pixels = int(np.prod(shape))
    hidden: list[nn.Module] = []
    for inputs, outputs in ((100, 128), (128, 256), (256, 512), (512, 1024)):
        hidden += [nn.Linear(inputs, outputs)]
        hidden += [nn.BatchNorm1d(outputs, 0.8)] if outputs > 128 else []
        hidden += [nn.LeakyReLU(0.2, inplace=True)]
    netg = nn.Sequential(*hidden, nn.Linear(1024, pixels), nn.Tanh(), nn.Unflatten(1, shape))
    netd = nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )
    optg = torch.optim.Adam(netg.parameters(), 2e-4, (0.5, 0.999))
    optd = torch.optim.Adam(netd.parameters(), 2e-4, (0.5, 0.999))
    data = batches(dataset, shape[1])

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        optd.zero_grad()
        fake = netg(torch.randn(batch, 100))
        alpha = torch.rand(batch, 1, 1, 1)
        between = (alpha * real + (1 - alpha) * fake.detach()).requires_grad_(True)
        scores = netd(between)
        gradients = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)[0]
        penalty = ((gradients.view(batch, -1).norm(2, dim=1) - 1) ** 2).mean()
        (-netd(real).mean() + netd(fake).mean() + 10 * penalty).backward()
        optd.step()
        optg.zero_grad()
        if number % 5 == 0:
            (-netd(netg(torch.randn(batch, 100))).mean()).backward()
            optg.step()

    return Loop(netg, step, 100)


def tuned(dataset: Dataset) -> Loop:
    """The usual advice followed, on the networks of Lucic et al. (2018) with batch norm in both; batch 64, z 64."""
    (channels, height, width), batch = dataset.spec.shape, 64
    start = (128, height // 4, width // 4)
    netg = nn.Sequential(
        nn.Linear(64, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
        nn.Linear(1024, int(np.prod(start))), nn.BatchNorm1d(int(np.prod(start))), nn.LeakyReLU(0.2),
        nn.Unflatten(1, start), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    netd = nn.Sequential(
        nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(int(np.prod(start)), 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
        nn.Linear(1024, 1), nn.Flatten(0),
    )  # fmt: skip
    for net in (netg, netd):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in net.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                nn.init.zeros_(layer.bias)
    optg = torch.optim.Adam(netg.parameters(), 1e-3, (0.5, 0.999), fused=True)
    optd = torch.optim.Adam(netd.parameters(), 1e-3, (0.5, 0.999), fused=True)
    average = torch.optim.swa_utils.AveragedModel(
        netg, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5 ** (batch / 10_000)), use_buffers=False
    )
    data = batches(dataset, height).to(memory_format=torch.channels_last)
    loss = functional.softplus

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,))]
        with torch.no_grad():
            fake = netg(torch.randn(batch, 64))
        (loss(-netd(real)).mean() + loss(netd(fake)).mean()).backward()
        optd.step()
        optd.zero_grad()
        netd.requires_grad_(False)
        loss(-netd(netg(torch.randn(batch, 64)))).mean().backward()
        netd.requires_grad_(True)
        optg.step()
        optg.zero_grad()
        average.update_parameters(netg)
        for own, theirs in zip(average.module.buffers(), netg.buffers(), strict=True):
            own.copy_(theirs)

    return Loop(netg, step, 64, average.module)


LOOPS = {"tutorial": tutorial, "copied-dcgan": copied_dcgan, "copied-wgan-gp": copied_wgan_gp, "tuned": tuned}


def play(loop: Loop, dataset: Dataset, budgets: list[float]) -> Marks:
    """Train up to each budget; the clock stands still meanwhile."""
    spent, number = 0.0, 0
    for budget in budgets:
        before = time.perf_counter()
        while spent + time.perf_counter() - before < budget:
            loop.step(number)
            number += 1
        spent += time.perf_counter() - before
        yield spent, lambda n: drawn(loop, dataset, n)


def drawn(loop: Loop, dataset: Dataset, n: int) -> Tensor:
    """n samples, uint8 [n, C, H, W], cut to the size of the data."""
    net = loop.average or loop.generator
    streams = torch.Generator().manual_seed(0)
    net.eval()
    with torch.no_grad():
        parts = [net(torch.randn(500, loop.z_dim, generator=streams)) for _ in range(-(-n // 500))]
    net.train()
    x = torch.cat(parts)[:n]
    border = (x.shape[-1] - dataset.spec.shape[-1]) // 2
    if border:
        x = x[:, :, border:-border, border:-border]
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
