"""R3GAN's game (Huang et al. 2024, arXiv 2501.05441) as plain loops, on the networks of gankit's variant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gankit.contracts import DataSpec
from gankit.machine.precision import Precision
from gankit_variants import r3gan
from gankit_variants.r3gan import R3ganLoss as R3ganLoss

Z_DIM = 64
GAMMA = 0.05
RATE, BETAS = 2e-4, (0.0, 0.9)


def networks(shape: tuple[int, ...], width: int) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator of the CIFAR-10 configuration, `width` channels wide."""
    options = r3gan.Options(networks="cifar", width=width)
    generator = r3gan.gankit_generator(DataSpec(shape), Z_DIM, options)
    discriminator = r3gan.gankit_discriminator(DataSpec(shape), options)
    assert generator is not None
    assert discriminator is not None
    return generator, discriminator


def plain(
    shape: tuple[int, ...], batch: int, width: int, data: Tensor, precision: str, device: torch.device
) -> Callable[[int], Any]:
    """A step as the formulas read: two inner gradients, D's gradients in G's step too, `.item()` every time."""
    netg, netd = (network.to(device) for network in networks(shape, width))
    optg, optd = (torch.optim.Adam(network.parameters(), RATE, BETAS) for network in (netg, netd))
    data, cast = data.to(device), Precision(precision, device)

    def penalty(samples: Tensor) -> tuple[Tensor, Tensor]:
        points = samples.detach().float().requires_grad_(True)
        with cast.full():
            scores = netd(points)
        (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
        return scores, gradient.square().sum((1, 2, 3))

    def step(number: int) -> tuple[float, ...]:
        real = data[torch.randint(len(data), (batch,), device=device)]
        with cast.autocast():
            fake = netg(torch.randn(batch, Z_DIM, device=device))
        (of_real, r1), (of_fake, r2) = penalty(real), penalty(fake)
        d_loss = (functional.softplus(of_fake - of_real) + GAMMA / 2 * (r1 + r2)).mean()
        optd.zero_grad()
        d_loss.backward()
        optd.step()
        with cast.autocast():
            of_real, of_fake = netd(real), netd(netg(torch.randn(batch, Z_DIM, device=device)))
        g_loss = functional.softplus(of_real.float() - of_fake.float()).mean()
        optg.zero_grad()
        g_loss.backward()
        optg.step()
        return d_loss.item(), g_loss.item()

    return step


def tuned(
    shape: tuple[int, ...], batch: int, width: int, data: Tensor, precision: str, device: torch.device
) -> Callable[[int], Any]:
    """The same with the usual advice followed: one pass for both penalties, D frozen in G's step, fused Adam."""
    netg, netd = (network.to(device, memory_format=torch.channels_last) for network in networks(shape, width))  # type: ignore[call-overload]
    optg, optd = (torch.optim.Adam(network.parameters(), RATE, BETAS, fused=True) for network in (netg, netd))
    data, cast = data.to(device, memory_format=torch.channels_last), Precision(precision, device)  # type: ignore[call-overload]

    def step(number: int) -> None:
        real = data[torch.randint(len(data), (batch,), device=device)]
        with torch.no_grad(), cast.autocast():
            fake = netg(torch.randn(batch, Z_DIM, device=device)).float()
        points = torch.cat([real, fake]).requires_grad_(True)
        scores = netd(points)
        (gradient,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
        penalty = gradient.square().sum() / batch
        of_real, of_fake = scores.chunk(2)
        (functional.softplus(of_fake - of_real).mean() + GAMMA / 2 * penalty).backward()
        optd.step()
        optd.zero_grad()
        netd.requires_grad_(False)
        with cast.autocast():
            of_fake = netd(netg(torch.randn(batch, Z_DIM, device=device)))
            with torch.no_grad():
                of_real = netd(real)
        functional.softplus(of_real.float() - of_fake.float()).mean().backward()
        netd.requires_grad_(True)
        optg.step()
        optg.zero_grad()

    return step
