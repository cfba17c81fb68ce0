"""Spectral normalisation of every layer of the discriminator (Miyato et al., 2018); SNGAN with the variant hinge."""

from collections.abc import Generator

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gankit.plugin import hookimpl

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@hookimpl(wrapper=True)
def gankit_discriminator() -> Generator[None, nn.Module, nn.Module]:
    """W / sigma(W): one power iteration per forward pass in training, whose vectors are part of the state."""
    discriminator = yield
    for layer in list(discriminator.modules()):
        if isinstance(layer, LAYERS):
            spectral_norm(layer)
    return discriminator
