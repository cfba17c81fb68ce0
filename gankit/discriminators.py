"""Discriminators for other people's loops: patches, several scales, U-Net, and two for sound. Scores are raw.

None couples the samples of a batch unless batch norm is asked for, so that every penalty can be used. Each has
`features(samples)`, the activations after every layer, for `feature_matching`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from gankit.errors import InputError
from gankit.game.critic import frozen

Norm = Literal["none", "spectral", "weight", "instance", "batch"]
SLOPE = 0.2
_CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_INSTANCE: dict[int, type[nn.Module]] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_BATCH: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOLS: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_TO_SIZE: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d
}  # fmt: skip


class Patch(nn.Module):
    """Scores of patches (PatchGAN; Isola et al. 2017, section 3.2.2): samples [N, C, …] -> [N, …].

    `axes` is 1 for signals [N, C, T], 2 for images, 3 for volumes. With 3 `layers` the maps are about an eighth as wide
    as the samples, and each score sees 70 positions along every axis; with 2 a quarter, and 34. Any size from 2 **
    layers on.
    """

    def __init__(
        self, channels: int, *, axes: int = 2, width: int = 64, layers: int = 3, norm: Norm = "none", most: int = 512
    ) -> None:
        super().__init__()
        if axes not in _CONVOLUTIONS or channels < 1 or layers < 1:
            raise InputError(
                f"Patch of {channels} channels, {axes} axes and {layers} layers", hint="axes are 1, 2 or 3"
            )
        widths = [min(most, width * 2**number) for number in range(layers + 1)]
        blocks = [_block(axes, channels, widths[0], stride=2, norm="spectral" if norm == "spectral" else "none")]
        blocks += [_block(axes, a, b, stride=2, norm=norm) for a, b in itertools.pairwise(widths[:-1])]
        blocks += [_block(axes, widths[-2], widths[-1], stride=1, norm=norm)]
        self.blocks = nn.ModuleList(blocks)
        self.score = _normed(_CONVOLUTIONS[axes](widths[-1], 1, 4, 1, 2), norm)

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations after every block."""
        found = []
        for block in self.blocks:
            samples = block(samples)
            found.append(samples)
        return found

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, C, …] -> scores [N, …] of patches."""
        scores: Tensor = self.score(self.features(samples)[-1])
        return scores.squeeze(1)


class MultiScale(nn.Module):
    """Discriminators of one kind on samples at several sizes (Wang et al. 2018, section 3.2): -> [N, scales, …].

    Each next one sees half of the size. All maps are averaged down to the smallest, so that scales count alike.
    """

    def __init__(self, make: Callable[[], nn.Module], scales: int = 3, *, axes: int = 2) -> None:
        super().__init__()
        self.axes = axes
        self.each = nn.ModuleList(make() for _ in range(scales))

    def _inputs(self, samples: Tensor) -> list[Tensor]:
        inputs = [samples]
        for _ in range(len(self.each) - 1):
            inputs.append(_POOLS[self.axes](inputs[-1], 3, 2, 1, count_include_pad=False))
        return inputs

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all scales."""
        inputs = self._inputs(samples)
        return [found for one, x in zip(self.each, inputs, strict=True) for found in one.features(x)]  # type: ignore[operator]

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, C, …] -> scores [N, scales, …]."""
        return _alike([one(x) for one, x in zip(self.each, self._inputs(samples), strict=True)])


class UNet(nn.Module):
    """A score for every pixel, from an encoder and a decoder with skips: images [N, C, H, W] -> [N, H, W].

    As in Real-ESRGAN (Wang et al. 2021, section 3.4), after Schönfeld et al. 2020. Sides are multiples of 2 ** depth.
    """

    def __init__(self, channels: int, *, width: int = 64, depth: int = 3, norm: Norm = "spectral") -> None:
        super().__init__()
        self.depth = depth
        widths = [width * 2**number for number in range(depth + 1)]
        self.first = nn.Conv2d(channels, width, 3, 1, 1)
        self.down = nn.ModuleList(_block(2, a, b, stride=2, norm=norm) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            _block(2, b, a, stride=1, norm=norm, kernel=3) for a, b in reversed(list(itertools.pairwise(widths)))
        )
        self.last = _block(2, width, width, stride=1, norm=norm, kernel=3)
        self.score = nn.Conv2d(width, 1, 3, 1, 1)

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations after every layer."""
        if any(side % 2**self.depth for side in samples.shape[2:]):
            sides = "x".join(map(str, samples.shape[2:]))
            raise InputError(
                f"UNet of depth {self.depth}: sides {sides} are no multiples of {2**self.depth}",
                hint="a smaller depth=",
            )
        x = F.leaky_relu(self.first(samples), SLOPE)
        skips = [x]
        for block in self.down:
            skips.append(block(skips[-1]))
        found, x = skips[:], skips[-1]
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = block(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)) + skip
            found.append(x)
        return [*found, self.last(x)]

    def forward(self, samples: Tensor) -> Tensor:
        """Images [N, C, H, W] -> scores [N, H, W]."""
        scores: Tensor = self.score(self.features(samples)[-1])
        return scores.squeeze(1)


class MultiPeriod(nn.Module):
    """Signals folded at several periods (HiFi-GAN; Kong et al. 2020, section 2.3): -> [N, periods, positions]."""

    def __init__(
        self, channels: int = 1, *, periods: Sequence[int] = (2, 3, 5, 7, 11), width: int = 32, norm: Norm = "weight"
    ) -> None:
        super().__init__()
        self.periods = tuple(periods)
        widths = [channels, width, width * 4, width * 16, width * 32]
        self.stacks = nn.ModuleList(
            nn.ModuleList(_normed(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)), norm) for a, b in itertools.pairwise(widths))
            for _ in self.periods
        )
        self.scores = nn.ModuleList(_normed(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0)), norm) for _ in self.periods)

    def _of_periods(self, samples: Tensor) -> list[list[Tensor]]:
        found = []
        for period, stack in zip(self.periods, self.stacks, strict=True):
            x = F.pad(samples, (0, -samples.shape[2] % period), mode="reflect")
            x = x.reshape(*samples.shape[:2], -1, period)
            found.append(_through(stack, x))
        return found

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all periods."""
        return [layer for layers in self._of_periods(samples) for layer in layers]

    def forward(self, samples: Tensor) -> Tensor:
        """Signals [N, C, T] -> scores [N, periods, positions]."""
        maps = [score(layers[-1]) for score, layers in zip(self.scores, self._of_periods(samples), strict=True)]
        return _alike([scores.flatten(1) for scores in maps])


class MultiResolution(nn.Module):
    """Spectrograms at several resolutions (UnivNet; Jang et al. 2021, section 2.2): [N, C, T] -> [N, windows, …].

    `windows` are lengths of the Fourier transform in steps, hops a quarter of them; magnitudes are compressed by a
    square root. Signals are at least as long as half of the longest window.
    """

    def __init__(
        self, channels: int = 1, *, windows: Sequence[int] = (2048, 1024, 512), width: int = 32, norm: Norm = "weight"
    ) -> None:
        super().__init__()
        self.windows = tuple(windows)
        for number, length in enumerate(self.windows):
            self.register_buffer(f"window{number}", torch.hann_window(length), persistent=False)
        sizes = [(channels, (1, 1)), (width, (1, 2)), (width, (1, 2)), (width, (1, 2)), (width, (1, 1))]
        self.stacks = nn.ModuleList(
            nn.ModuleList(_normed(nn.Conv2d(a, width, (3, 9), stride, (1, 4)), norm) for a, stride in sizes)
            for _ in self.windows
        )
        self.scores = nn.ModuleList(_normed(nn.Conv2d(width, 1, 3, 1, 1), norm) for _ in self.windows)

    def _of_windows(self, samples: Tensor) -> list[list[Tensor]]:
        found = []
        for number, (length, stack) in enumerate(zip(self.windows, self.stacks, strict=True)):
            if samples.shape[2] <= length // 2:
                raise InputError(
                    f"signals of {samples.shape[2]} steps are too short for a window of {length}",
                    hint="windows=(512, 256)",
                )
            window = getattr(self, f"window{number}")
            flat = samples.flatten(0, 1).float()
            spectrum = torch.stft(flat, length, length // 4, length, window, return_complex=True)
            magnitude = torch.view_as_real(spectrum).square().sum(-1).add(1e-9).sqrt().sqrt()
            x = magnitude.reshape(*samples.shape[:2], *magnitude.shape[1:]).transpose(2, 3)
            found.append(_through(stack, x))
        return found

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all resolutions."""
        return [layer for layers in self._of_windows(samples) for layer in layers]

    def forward(self, samples: Tensor) -> Tensor:
        """Signals [N, C, T] -> scores [N, windows, frames, frequencies]."""
        maps = [score(layers[-1]) for score, layers in zip(self.scores, self._of_windows(samples), strict=True)]
        return _alike([scores.squeeze(1) for scores in maps])


class Several(nn.Module):
    """Different discriminators of the same samples, side by side: -> [N, number, positions], all counting alike."""

    def __init__(self, *each: nn.Module) -> None:
        super().__init__()
        self.each = nn.ModuleList(each)

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all of them."""
        return [found for one in self.each for found in one.features(samples)]  # type: ignore[operator]

    def forward(self, samples: Tensor) -> Tensor:
        """Samples [N, C, …] -> scores [N, number, positions]."""
        return _alike([one(samples).flatten(1) for one in self.each])


def feature_matching(discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the activations for fake and real samples that belong together, a scalar.

    The mean over layers of means over numbers (Wang et al. 2018, eq. 4). D gets no gradient; `fake` does.
    """
    with frozen(discriminator.parameters()):
        with torch.no_grad():
            wanted = discriminator.features(real)  # type: ignore[operator]
        found = discriminator.features(fake)  # type: ignore[operator]
    return torch.stack([F.l1_loss(a, b) for a, b in zip(found, wanted, strict=True)]).mean()


def _block(axes: int, inputs: int, outputs: int, *, stride: int, norm: Norm, kernel: int = 4) -> nn.Module:
    padding = 1 if stride == 2 or kernel == 3 else 2
    layers = [_normed(_CONVOLUTIONS[axes](inputs, outputs, kernel, stride, padding), norm)]
    if norm == "instance":
        layers.append(_INSTANCE[axes](outputs, affine=True))
    elif norm == "batch":
        layers.append(_BATCH[axes](outputs))
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE))


def _normed(layer: nn.Module, norm: Norm) -> nn.Module:
    if norm == "spectral":
        return spectral_norm(layer)
    return weight_norm(layer) if norm == "weight" else layer


def _through(stack: nn.Module, x: Tensor) -> list[Tensor]:
    """The activations after every layer of a ModuleList."""
    found = []
    for layer in stack:  # type: ignore[attr-defined]
        x = F.leaky_relu(layer(x), SLOPE)
        found.append(x)
    return found


def _alike(maps: Sequence[Tensor]) -> Tensor:
    """Maps [N, …] of several sizes -> [N, number, …] of the smallest one's, so that all count alike."""
    axes = maps[0].dim() - 1
    size = [min(scores.shape[axis] for scores in maps) for axis in range(1, axes + 1)]
    return torch.stack([_TO_SIZE[axes](scores[:, None], size)[:, 0] for scores in maps], dim=1)
