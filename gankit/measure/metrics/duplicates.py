"""How many samples are copies of training images: what every distance between distributions rewards and none sees."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gankit.measure.metrics.two_sets import TwoSets

SIDE = 12  # images are compared at this size: blind to noise and fine detail, cheap for whole training sets
RATIO, NEIGHBOUR = 0.4, 3
SAME = 1e-4  # squared distance of unit vectors below which two images are one; float32 products are off by 1e-6
ROWS, COLUMNS = 1024, 16_384


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images [N, C, H, W] -> uint8 [N, P]: averaged down to at most 12x12, what duplicates are looked for in."""
    height, width = images.shape[-2:]
    small = F.adaptive_avg_pool2d(images.float(), (min(height, SIDE), min(width, SIDE)))
    return small.round().to(torch.uint8).flatten(1)


class NearDuplicates(TwoSets):
    """Share of samples in [0, 1] that lie much nearer to a training image than that image's own neighbours do.

    Images are small vectors brought to mean 0 and length 1, so that brightness and contrast do not matter. A sample x
    with nearest training image r counts when |x - r| < 0.4 |r - r'|, where r' is the third nearest to r of the training
    images that differ from it (the nearest may be a twin, as in scraped data): a local scale, as in Carlini et al. 2023
    (section 4.2), so that no threshold has to be chosen for the data. Images that were not trained on hardly ever come
    that near, unless the data have few dimensions: the floor tells how often.
    """

    higher_is_better = False
    reads = "pixels"

    def __init__(self) -> None:
        super().__init__()
        self.protocol = {"side": SIDE, "ratio": RATIO, "neighbour": NEIGHBOUR}

    def compute(self) -> Tensor:
        """The share of near-duplicates."""
        real, fake = map(normalised, self.sets())
        distance, index = nearest(fake, real)
        copied, where = torch.unique(index, return_inverse=True)
        scale = spacing(real[copied], real, NEIGHBOUR)
        return (distance < RATIO * scale[where]).double().mean()


def normalised(pixels: Tensor) -> Tensor:
    """uint8 [n, P] -> float32 [n, P] with mean 0 and length 1; 0 for an image of one grey."""
    centred = pixels.float() - pixels.float().mean(dim=1, keepdim=True)
    return F.normalize(centred, dim=1)


def nearest(points: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [n] float64 and index [n] of the nearest of `among` to each of `points`."""
    found = []
    for rows in torch.split(points, ROWS):
        best, index = torch.full((len(rows),), torch.inf), torch.zeros(len(rows), dtype=torch.int64)
        for start in range(0, len(among), COLUMNS):
            smallest, at = _squares(rows, among[start : start + COLUMNS]).min(dim=1)
            closer = smallest < best
            best, index = torch.where(closer, smallest, best), torch.where(closer, at + start, index)
        found.append(index)
    indices = torch.cat(found)
    return (points.double() - among[indices].double()).square().sum(dim=1).sqrt(), indices


def spacing(points: Tensor, among: Tensor, k: int) -> Tensor:
    """Distance [n] float64 of each of `points` to the k-th nearest of `among` that differs from it, or inf."""
    found = []
    for rows in torch.split(points, ROWS):
        best = torch.full((len(rows), k), torch.inf)
        for start in range(0, len(among), COLUMNS):
            squares = _squares(rows, among[start : start + COLUMNS])
            squares[squares < SAME] = torch.inf
            best = torch.cat([best, squares], dim=1).topk(k, dim=1, largest=False).values
        found.append(best.amax(dim=1).double().sqrt())
    return torch.cat(found)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances [n, m] float32."""
    return a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
