"""What goes into a generator, as data: z and the condition y, or styles.

Generators that map z to styles of their own (see the hook `gankit_generator`) are steered there; all others in z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeGuard

import torch
from torch import Tensor, nn

from gankit.errors import InputError
from gankit.game.latent import LatentSpace

MEAN_DRAWS = 4096  # z over which the mean of w is taken, where a generator does not keep one


class Styled(Protocol):
    """A generator that maps z to styles and makes samples of them: in eval mode G(z, y) is synthesise(map(z, y))."""

    @property
    def styles(self) -> int:
        """L, how many layers take a w."""
        ...

    def map(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """z [N, z_dim], y [N, K] or None -> styles [N, L, W]."""
        ...

    def synthesise(self, ws: Tensor) -> Tensor:
        """Styles [N, L, W] -> samples [N, *shape]."""
        ...


def is_styled(module: nn.Module | Styled) -> TypeGuard[Styled]:
    """Whether a generator has styles: `styles`, `map` and `synthesise`."""
    return all(hasattr(module, name) for name in ("styles", "map", "synthesise"))


@dataclass(frozen=True)
class Latents:
    """Inputs of a generator, on the CPU: either z (and y, if it is conditional), or styles, which hold both."""

    z: Tensor | None = None
    """float32 [N, z_dim]."""
    y: Tensor | None = None
    """float32 [N, K]; None for an unconditional generator, and where styles hold it."""
    ws: Tensor | None = None
    """float32 [N, L, W]."""
    names: tuple[str, ...] = ()
    """What each stands for, such as the file of a photo; empty, or N."""

    def __post_init__(self) -> None:
        if (self.z is None) == (self.ws is None):
            raise ValueError("latents are either z or styles")

    @property
    def where(self) -> Tensor:
        """The tensor in which they are moved: styles where there are any, else z."""
        tensor = self.z if self.ws is None else self.ws
        assert tensor is not None
        return tensor

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, rows: slice | Sequence[int]) -> Latents:
        """Some of them."""
        names = self.names[rows] if isinstance(rows, slice) else tuple(self.names[row] for row in rows if self.names)
        z, y, ws = (None if part is None else part[rows] for part in (self.z, self.y, self.ws))
        return Latents(z, y, ws, names)

    def at(self, where: Tensor) -> Latents:
        """The same with other styles, or another z."""
        return replace(self, z=where) if self.ws is None else replace(self, ws=where)

    def given(self, y: Tensor) -> Latents:
        """The same under another condition y [N, K]; InputError for styles."""
        if self.ws is not None:
            raise InputError("these latents are styles, which hold the class already", hint="leave the class out")
        return replace(self, y=y)


@torch.no_grad()
def styles_of(module: Styled, latents: Latents, device: torch.device, batch: int = 256) -> Tensor:
    """The styles [N, L, W] of latents, on the CPU."""
    if latents.ws is not None:
        return latents.ws
    inputs = [part for part in (latents.z, latents.y) if part is not None]
    parts = zip(*(torch.split(tensor, batch) for tensor in inputs), strict=True)
    return torch.cat([module.map(*(tensor.to(device) for tensor in part)).float().cpu() for part in parts])


def mean_style(module: Styled, space: LatentSpace, device: torch.device) -> Tensor:
    """The mean w [W] that a generator keeps in `w_average`, else that of 4,096 z: float32 on the CPU."""
    kept = getattr(module, "w_average", None)
    if isinstance(kept, Tensor):
        return kept.detach().float().cpu()
    return styles_of(module, Latents(*space.draw(MEAN_DRAWS, 0)), device).mean((0, 1))
