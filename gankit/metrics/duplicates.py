"""How many samples are copies of training images: what every distance between distributions rewards and none sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torchmetrics import Metric

SIDE = 16  # images are compared at this size: blind to noise and small shifts, cheap for whole training sets
RATIO = 0.5
SAME = 64  # squared distance below which two images are one: it also covers the rounding of _squared
ROWS, COLUMNS = 1024, 16_384


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images [N, C, H, W] -> uint8 [N, P]: averaged down to at most 16x16, what duplicates are looked for in."""
    height, width = images.shape[-2:]
    small = F.adaptive_avg_pool2d(images.float(), (min(height, SIDE), min(width, SIDE)))
    return small.round().to(torch.uint8).flatten(1)


class NearDuplicates(Metric):
    """Share of samples in [0, 1] that lie much nearer to a training image than that image's own neighbours do.

    A sample x with nearest training image r counts when |x - r| < 1/2 |r - r'|, where r' is the training image nearest
    to r that differs from it: a local scale, as in Carlini et al. 2023 (section 4.2), so that no threshold has to be
    chosen for the data. Images that were not trained on hardly ever come that near: the floor tells how often.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False
    reads = "pixels"
    real: list[Tensor]
    fake: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.protocol = {"side": SIDE, "ratio": RATIO}
        self.add_state("real", default=[], dist_reduce_fx="cat")
        self.add_state("fake", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor, real: bool) -> None:
        """Pixels uint8 [n, P] of all training images, and of the samples."""
        (self.real if real else self.fake).append(values.detach().cpu())

    def compute(self) -> Tensor:
        """The share of near-duplicates."""
        real, fake = (torch.cat([*part]) if isinstance(part, list) else part for part in (self.real, self.fake))
        distance, index = nearest(fake, real)
        copied, where = torch.unique(index, return_inverse=True)
        scale, _ = nearest(real[copied], real, other=True)
        return (distance < RATIO * scale[where]).double().mean()


def nearest(points: Tensor, among: Tensor, *, other: bool = False) -> tuple[Tensor, Tensor]:
    """Distance [n] float64 and index [n] of the nearest of `among` to each of `points`; `other`: that is not equal."""
    distances, indices = [], []
    for rows in torch.split(points, ROWS):
        best = torch.full((len(rows),), torch.inf)
        index = torch.zeros(len(rows), dtype=torch.int64)
        for start in range(0, len(among), COLUMNS):
            part = among[start : start + COLUMNS]
            squares = _squared(rows.float(), part.float())
            if other:
                squares[squares < SAME] = torch.inf
            smallest, at = squares.min(dim=1)
            closer = smallest < best
            best, index = torch.where(closer, smallest, best), torch.where(closer, at + start, index)
        exact = (rows.double() - among[index].double()).square().sum(dim=1).sqrt()
        distances.append(torch.where(best.isinf(), best.double(), exact))
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances [n, m]; exact to a few units for bytes, in float32."""
    return (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp_(min=0)
