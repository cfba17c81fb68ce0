"""From samples to the views that metrics read: features, class logits and small pixels, batch by batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.base import progress
from gankit.errors import PluginError
from gankit.machine import processes
from gankit.measure.features.space import FeatureSpace
from gankit.modality import modality_of

log = logging.getLogger("gankit")

# (start, stop) -> the samples with these numbers, as data sets store them, on the CPU: uint8 images [n, C, H, W].
Source = Callable[[int, int], Tensor]

EXTRACT_BATCH = 250  # fixed, because the rounding of a sum depends on the shape of the batch
ANNOUNCE_AFTER_S = 10.0  # expected duration above which an extraction is announced


@dataclass(frozen=True)
class Views:
    """The views of samples: features [n, dim], class logits [n, K] if the space has them, small pixels [n, P]."""

    features: Tensor
    logits: Tensor | None
    pixels: Tensor | None

    def tensors(self) -> dict[str, Tensor]:
        """The outputs of the network by name."""
        return {"features": self.features} | ({} if self.logits is None else {"logits": self.logits})

    def __getitem__(self, rows: slice) -> Views:
        logits, pixels = (None if view is None else view[rows] for view in (self.logits, self.pixels))
        return Views(self.features[rows], logits, pixels)


@torch.no_grad()
def extract(space: FeatureSpace, source: Source, n: int, device: torch.device, what: str) -> Views:
    """Views of samples 0…n-1. The processes of a run share the batches, and each gets all rows, bit for bit."""
    parts: dict[str, Tensor] = {}
    starts = list(range(0, n, EXTRACT_BATCH))
    mine = starts[processes.rank() :: processes.size()]
    begun = time.monotonic()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for number, start in enumerate(mine or starts[:1]):  # a process without work still needs the widths
            samples = source(start, min(n, start + EXTRACT_BATCH))
            features, logits = _checked(space, space(samples.to(device)), len(samples))
            views = {
                "features": features,
                "logits": logits,
                "pixels": modality_of(tuple(samples.shape[1:])).thumbnails(samples),
            }
            for name, values in views.items():
                if values is not None:
                    rows = parts.setdefault(name, torch.zeros(n, values.shape[1], dtype=values.dtype))
                    rows[start : start + len(values)] = values.cpu() if mine else 0
            progress.tell(what, min(n, start + EXTRACT_BATCH), n)
            estimate = (time.monotonic() - begun) / (number + 1) * len(mine)
            if number == 1 and estimate > ANNOUNCE_AFTER_S:
                log.info("%s: about %.0f s for %s in '%s'", what, estimate, f"{n:,}", space.name)
    # Each process has zeros in the rows of the others, and x + 0 is exact.
    gathered = {name: processes.total(rows, f"the {name} of the other processes") for name, rows in parts.items()}
    return Views(gathered["features"], gathered.get("logits"), gathered.get("pixels"))


def pixels_of(samples: Tensor) -> Tensor | None:
    """Stored samples [N, *shape] -> small pixels uint8 [N, P]; None for points."""
    modality = modality_of(tuple(samples.shape[1:]))
    parts = [modality.thumbnails(part) for part in torch.split(samples, EXTRACT_BATCH)]
    return None if parts[0] is None else torch.cat([part for part in parts if part is not None])


def flaw(features: Tensor) -> str | None:
    """Why features [n, d] are unusable: 'are not finite …', 'are all the same …'; None for usable ones."""
    if bool((features == features[0]).all()):
        return f"are all the same: {len(features):,} times one point of the feature space"
    return not_finite(features)


def not_finite(values: Tensor) -> str | None:
    """The number of rows of values [n, d] that are not finite, in words; None when all are."""
    bad = int((~torch.isfinite(values).all(dim=1)).sum())
    return f"are not finite: {bad:,} of {len(values):,}" if bad else None


def _checked(space: FeatureSpace, result: object, n: int) -> tuple[Tensor, Tensor | None]:
    """Features [n, dim] and logits [n, K] or None; PluginError for anything else."""
    if isinstance(result, tuple) and len(result) == 2:
        features, logits = result
        fits = isinstance(features, Tensor) and tuple(features.shape) == (n, space.dim)
        if fits and (logits is None or (isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == n)):
            return features.float(), None if logits is None else logits.float()
    parts = result if isinstance(result, tuple) else (result,)
    got = ", ".join(str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in parts)
    raise PluginError(
        f"features '{space.name}' of {n} samples are {got}",
        hint=f"it must return tensors [{n}, {space.dim}] and [{n}, K], or None for the second",
    )
