"""Modulation by class: y sets scale and shift behind every normalisation layer of G (Dumoulin et al., 2017).

With batch norm that is conditional batch norm, as the conditional SNGAN and BigGAN have it (Miyato and Koyama, 2018,
section 4). The condition still enters where the generator takes it.
"""

from collections.abc import Generator as Wrapper

import torch
from torch import Tensor, nn

from gankit.plugin import DataSpec, InputError, PixelNorm, hookimpl

NORMALISATIONS = (
    PixelNorm,
    nn.GroupNorm,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
)


class Told:
    """What a network has been told for the present batch, for layers within it."""

    condition: Tensor


class Modulated(nn.Module):
    """norm(x) (1 + s(y)) + t(y) for x [N, C, …]; s and t are linear in y and begin at zero."""

    def __init__(self, norm: nn.Module, channels: int, condition: int, told: Told) -> None:
        super().__init__()
        self.norm, self.told = norm, told
        self.by_condition = nn.Linear(condition, 2 * channels, bias=False)
        nn.init.zeros_(self.by_condition.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, …] -> same shape."""
        normalised: Tensor = self.norm(x)
        scale, shift = (
            self.by_condition(self.told.condition).reshape(x.shape[0], -1, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        )
        modulated: Tensor = normalised * (1 + scale) + shift
        return modulated


class ModulatedGenerator(nn.Module):
    """z [N, z_dim] and y [N, K] -> samples [N, *shape], by a generator whose normalisation layers are modulated."""

    def __init__(self, network: nn.Module, z_dim: int, condition: int) -> None:
        super().__init__()
        self.network, self.told = network, Told()
        for name, channels in channels_of(network, z_dim, condition).items():
            *path, last = name.split(".")
            parent = network.get_submodule(".".join(path))
            setattr(parent, last, Modulated(getattr(parent, last), channels, condition, self.told))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """z [N, z_dim] and y [N, K] -> samples [N, *shape]."""
        self.told.condition = condition
        samples: Tensor = self.network(z, condition)
        return samples


def channels_of(network: nn.Module, z_dim: int, condition: int) -> dict[str, int]:
    """Name of a normalisation layer -> channels of its input, as a forward pass shows them."""
    found: dict[str, int] = {}
    layers: dict[nn.Module, str] = {
        layer: name for name, layer in network.named_modules() if isinstance(layer, NORMALISATIONS)
    }

    def note(layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        found[layers[layer]] = given[0].shape[1]

    handles = [layer.register_forward_hook(note) for layer in layers]
    first = next(network.parameters())
    training = network.training
    with torch.no_grad():
        network.eval()(first.new_zeros(1, z_dim), first.new_zeros(1, condition))
    network.train(training)
    for handle in handles:
        handle.remove()
    return found


@hookimpl(wrapper=True)
def gankit_generator(data: DataSpec, z_dim: int) -> Wrapper[None, nn.Module, nn.Module]:
    network = yield
    if not data.condition:
        raise InputError(
            "modulation needs conditions to modulate by", hint="--conditional, or leave out --with modulation"
        )
    modulated = ModulatedGenerator(network, z_dim, data.condition)
    if not any(isinstance(layer, Modulated) for layer in modulated.modules()):
        raise InputError(
            "modulation follows normalisation layers, and this generator has none", hint="leave out --with modulation"
        )
    return modulated
