"""FID, KID and Inception Score of torchmetrics on precomputed features.

The behaviour of torchmetrics with a custom network follows from its source, and each pitfall has a test in
test_metrics.py. States are float64 sums on the CPU. Results have the type of the input, so the input is float64.
Nothing is rescaled unless `normalize` is set. Random subsets use the global stream, so it is forked.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as TorchmetricsInceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from gankit.base.seeds import derive_seed
from gankit.machine import streams

KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000
IS_SPLITS = 10


class Precomputed(nn.Module):
    """The 'network' of a metric on precomputed features; with `num_features` torchmetrics makes no trial run."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_features = dim

    def forward(self, features: Tensor) -> Tensor:
        return features


class FrechetDistance(FrechetInceptionDistance):
    """||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two Gaussians (Heusel et al. 2017, eq. 6); >= 0, float64."""

    higher_is_better = False
    reads = "features"

    def __init__(self, dim: int) -> None:
        super().__init__(feature=Precomputed(dim), normalize=False)

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n, dim]."""
        super().update(values.double(), real=real)

    def compute(self) -> Tensor:
        """The distance; equal sets give 0 instead of a rounding error like -1e-13."""
        return super().compute().clamp(min=0)


class KernelDistance(KernelInceptionDistance):
    """Unbiased MMD^2 with the kernel (x.y / dim + 1)^3 (Binkowski et al. 2018, section 4): mean and std over subsets.

    The kernel depends on origin and scale of the features. `standardise` moves the mean of the reference to 0 and
    divides by the mean standard deviation of its dimensions, which makes values in any space similar in size. Published
    KIDs do not use it.
    """

    higher_is_better = False
    reads = "features"

    def __init__(self, dim: int, *, standardise: bool, subset_size: int = KID_SUBSET_SIZE, seed: int = 0) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*will save all extracted features", UserWarning)
            super().__init__(feature=Precomputed(dim), subsets=KID_SUBSETS, subset_size=subset_size, normalize=False)
        self.standardise = standardise
        self.largest_subset = subset_size
        self.seed = seed
        self.protocol = {"subset_size": subset_size, "subsets": KID_SUBSETS, "standardised": standardise}

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n, dim]."""
        super().update(values.double(), real=real)

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over 100 random subsets of min(1000, n/2) samples."""
        real, fake = torch.cat(list(self.real_features)), torch.cat(list(self.fake_features))
        origin, scale = (real.mean(dim=0), real.std(dim=0).mean()) if self.standardise else (0, 1)
        self.real_features, self.fake_features = [(real - origin) / scale], [(fake - origin) / scale]
        self.subset_size = max(1, min(self.largest_subset, len(real) // 2, len(fake) // 2))
        with torch.random.fork_rng(devices=[]):
            streams.seed_all(derive_seed(self.seed, "kid"))
            mean, spread = super().compute()
        self.real_features, self.fake_features = [real], [fake]
        return mean, spread


class InceptionScore(TorchmetricsInceptionScore):
    """exp E KL(p(y|x) || p(y)) (Salimans et al. 2016), mean and std over 10 splits; 1 up to the number of classes."""

    higher_is_better = True
    reads = "logits"

    def __init__(self, *, seed: int = 0) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*will save all extracted features", UserWarning)
            super().__init__(feature=Precomputed(0), splits=IS_SPLITS, normalize=False)
        self.seed = seed
        self.protocol = {"splits": IS_SPLITS}

    def update(self, values: Tensor, real: bool) -> None:  # type: ignore[override]  # one signature for all metrics
        """Class logits [n, K]; those of the reference are not used."""
        if not real:
            super().update(values.double())

    def compute(self) -> Any:
        """Mean and standard deviation over the splits of a random order."""
        with torch.random.fork_rng(devices=[]):
            streams.seed_all(derive_seed(self.seed, "is"))
            return super().compute()
