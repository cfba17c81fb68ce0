"""The share of samples that copy training images, which distances between distributions reward and cannot detect."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from gankit.contracts import DataSpec
from gankit.measure.metrics.two_sets import TwoSets
from gankit.modality import modality_of
from gankit.modality.images import THUMBNAIL

RATIO, NEIGHBOUR = 0.4, 3
SAME = 1e-4  # squared distance of unit vectors below which two images are equal; float32 products are off by 1e-6
ROWS, COLUMNS = 1024, 16_384


class NearDuplicates(TwoSets):
    """Share of samples in [0, 1] that are much nearer to a training image than the image's own neighbours are.

    Images are small vectors with mean 0 and length 1, so that brightness and contrast do not matter. A sample x with
    nearest training image r counts when |x - r| < 0.4 |r - r'|, where r' is the third nearest to r of the training
    images that differ from it (the nearest may be a duplicate, as in scraped data). This local scale, as in Carlini et
    al. 2023 (section 4.2), needs no threshold for the data. Images outside the training set rarely come that near
    unless the data have few dimensions; the floor is their share.
    """

    higher_is_better = False
    reads = "pixels"

    def __init__(self) -> None:
        super().__init__()
        self.protocol = {"side": THUMBNAIL, "ratio": RATIO, "neighbour": NEIGHBOUR}

    def compute(self) -> Tensor:
        """The share of near-duplicates."""
        real, fake = map(normalised, self.sets())
        distance, index = nearest(fake, real)
        copied, where = torch.unique(index, return_inverse=True)
        scale = spacing(real[copied], real, NEIGHBOUR)
        return (distance < RATIO * scale[where]).double().mean()


def repeated(data: DataSpec, samples: Tensor) -> float | None:
    """Share in [0, 1] of stored samples that are near-duplicates of another one of them, by the same rule.

    None for points, whose distances say nothing. A sample x with nearest other one r counts when |x - r| < 0.4 |r -
    r'|, where r' is the third nearest to r of those that are neither x nor equal to r. It takes N^2 comparisons.
    """
    small = modality_of(data.shape).thumbnails(samples)
    if small is None:
        return None
    points = normalised(small)
    if len(points) < NEIGHBOUR + 2:
        return 0.0
    count = 0
    squares = _squares(points, points).clamp_(min=0)
    squares.fill_diagonal_(torch.inf)
    distance, index = squares.min(dim=1)
    for x, r in enumerate(index.tolist()):
        others = squares[r].clone()
        others[x] = torch.inf
        others[others < SAME] = torch.inf
        scale = others.kthvalue(NEIGHBOUR).values
        count += bool(distance[x] < RATIO**2 * scale)
    return count / len(points)


def normalised(pixels: Tensor) -> Tensor:
    """uint8 [n, P] -> float32 [n, P] with mean 0 and length 1; 0 for an image of one grey."""
    centred = pixels.float() - pixels.float().mean(dim=1, keepdim=True)
    return F.normalize(centred, dim=1)


def nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [n] float64 from each of `points` to the nearest of `others`, and its index [n]."""
    parts = []
    for rows in torch.split(points, ROWS):
        best, index = torch.full((len(rows),), torch.inf), torch.zeros(len(rows), dtype=torch.int64)
        for start in range(0, len(others), COLUMNS):
            smallest, at = _squares(rows, others[start : start + COLUMNS]).min(dim=1)
            closer = smallest < best
            best, index = torch.where(closer, smallest, best), torch.where(closer, at + start, index)
        parts.append(index)
    indices = torch.cat(parts)
    return (points.double() - others[indices].double()).square().sum(dim=1).sqrt(), indices


def spacing(points: Tensor, others: Tensor, k: int) -> Tensor:
    """Distance [n] float64 from each of `points` to the k-th nearest of `others` that differs from it, or inf."""
    parts = []
    for rows in torch.split(points, ROWS):
        best = torch.full((len(rows), k), torch.inf)
        for start in range(0, len(others), COLUMNS):
            squares = _squares(rows, others[start : start + COLUMNS])
            squares[squares < SAME] = torch.inf
            best = torch.cat([best, squares], dim=1).topk(k, dim=1, largest=False).values
        parts.append(best.amax(dim=1).double().sqrt())
    return torch.cat(parts)


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances [n, m] float32."""
    return a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
