"""Development-only check: FID, precision, recall, density and coverage against other packages' numbers.

    pip install pytorch-ignite prdc scikit-learn scipy
    python benchmarks/agreement.py

Both sides get the same features; the largest relative difference is printed for each package.
"""

from __future__ import annotations

import numpy as np
import torch
from ignite.metrics.gan.fid import fid_score
from prdc import compute_prdc
from scipy import linalg

from gankit.measure.metrics.distances import FrechetDistance
from gankit.measure.metrics.neighbours import DensityCoverage, PrecisionRecall


def main() -> None:
    """Three sizes; the second has fewer samples than dimensions, where FID's covariances are singular."""
    for n, dim in ((2000, 64), (200, 256), (3000, 512)):
        random = np.random.RandomState(n)
        mixing = random.standard_normal((dim, dim)) / dim**0.5
        real = np.maximum(random.standard_normal((n, dim)) @ mixing, 0)
        fake = np.maximum(0.9 * random.standard_normal((n, dim)) @ mixing + 0.05, 0)

        ours = {"fid": _ours(FrechetDistance(dim), real, fake)}
        ours |= _ours(PrecisionRecall(5), real, fake) | _ours(DensityCoverage(5), real, fake)
        moments = [(torch.tensor(x.mean(0)), torch.tensor(np.cov(x, rowvar=False))) for x in (real, fake)]
        (m1, c1), (m2, c2) = moments
        theirs = {"fid": float(fid_score(m1, m2, c1, c2)), **compute_prdc(real, fake, nearest_k=5)}
        root = np.real(np.trace(linalg.sqrtm(c1.numpy() @ c2.numpy())))
        reference = float((m1 - m2).square().sum() + c1.trace() + c2.trace()) - 2 * root

        print(f"n {n} dim {dim}: FID ours {ours['fid']:.8f} ignite {theirs['fid']:.8f} scipy {reference:.8f}")
        gaps = {name: abs(float(ours[name]) - float(theirs[name])) for name in ours if name != "fid"}
        print("  " + " ".join(f"{name} {float(ours[name]):.4f} (differs by {gap:.1e})" for name, gap in gaps.items()))


def _ours(metric: torch.nn.Module, real: np.ndarray, fake: np.ndarray) -> dict[str, float] | float:
    metric.update(torch.tensor(real), real=True)
    metric.update(torch.tensor(fake), real=False)
    return metric.compute()


if __name__ == "__main__":
    main()
