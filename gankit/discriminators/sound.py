"""Discriminators of signals: folded at several periods, and as spectrograms at several resolutions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from gankit.discriminators.layers import Norm, alike, normed, through
from gankit.errors import InputError


class MultiPeriod(nn.Module):
    """Signals folded at several periods (HiFi-GAN; Kong et al. 2020, section 2.3): -> [N, periods, positions]."""

    def __init__(
        self, channels: int = 1, *, periods: Sequence[int] = (2, 3, 5, 7, 11), width: int = 32, norm: Norm = "weight"
    ) -> None:
        super().__init__()
        self.periods = tuple(periods)
        widths = [channels, width, width * 4, width * 16, width * 32]
        self.stacks = nn.ModuleList(
            nn.ModuleList(normed(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)), norm) for a, b in itertools.pairwise(widths))
            for _ in self.periods
        )
        self.scores = nn.ModuleList(normed(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0)), norm) for _ in self.periods)

    def _of_periods(self, samples: Tensor) -> list[list[Tensor]]:
        found = []
        for period, stack in zip(self.periods, self.stacks, strict=True):
            x = F.pad(samples, (0, -samples.shape[2] % period), mode="reflect")
            x = x.reshape(*samples.shape[:2], -1, period)
            found.append(through(stack, x))
        return found

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all periods."""
        return [layer for layers in self._of_periods(samples) for layer in layers]

    def forward(self, samples: Tensor) -> Tensor:
        """Signals [N, C, T] -> scores [N, periods, positions]."""
        maps = [score(layers[-1]) for score, layers in zip(self.scores, self._of_periods(samples), strict=True)]
        return alike([scores.flatten(1) for scores in maps])


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
            nn.ModuleList(normed(nn.Conv2d(a, width, (3, 9), stride, (1, 4)), norm) for a, stride in sizes)
            for _ in self.windows
        )
        self.scores = nn.ModuleList(normed(nn.Conv2d(width, 1, 3, 1, 1), norm) for _ in self.windows)

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
            found.append(through(stack, x))
        return found

    def features(self, samples: Tensor) -> list[Tensor]:
        """The activations of all resolutions."""
        return [layer for layers in self._of_windows(samples) for layer in layers]

    def forward(self, samples: Tensor) -> Tensor:
        """Signals [N, C, T] -> scores [N, windows, frames, frequencies]."""
        maps = [score(layers[-1]) for score, layers in zip(self.scores, self._of_windows(samples), strict=True)]
        return alike([scores.squeeze(1) for scores in maps])
