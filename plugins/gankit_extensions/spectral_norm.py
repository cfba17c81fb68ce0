"""Spectral normalisation of every layer of the discriminator (Miyato et al., 2018); SNGAN with the variant hinge."""

from collections.abc import Generator

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gankit.plugin import InputError, hookimpl

LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d
)  # fmt: skip


@hookimpl(wrapper=True)
def gankit_discriminator() -> Generator[None, nn.Module, nn.Module]:
    """W / sigma(W): one power iteration per forward pass in training, whose vectors are part of the state."""
    discriminator = yield
    for name, layer in list(discriminator.named_modules()):
        if isinstance(layer, LAYERS):
            if not layer.weight.is_meta and not layer.weight.any():
                raise InputError(
                    f"spectral-norm cannot divide the weights of '{name}' by their norm: they begin at zero",
                    hint="drop --with spectral-norm; networks with zero initialisation do without it",
                )
            spectral_norm(layer)
    return discriminator
