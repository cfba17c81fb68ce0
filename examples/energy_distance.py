"""A metric of its own: the energy distance between the features of two sets (Székely and Rizzo, 2013).

gankit eval RUN --with ./examples/energy_distance.py --metrics fid,energy
"""

import torch
from torch import Tensor

from gankit.plugin import FeatureSpace, TwoSets, hookimpl

MOST = 2_000  # vectors of each set: the distance looks at all pairs


class EnergyDistance(TwoSets):
    """2 E|x - y| - E|x - x'| - E|y - y'|: 0 for equal distributions; lower is better."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.protocol = {"most": MOST}  # stored with the score, so that unlike ones are not compared

    def compute(self) -> Tensor:
        """A 0-d tensor."""
        x, y = (features[:MOST].double() for features in self.sets())
        between = torch.cdist(x, y).mean()
        within = [torch.pdist(part).sum() * 2 / (len(part) * (len(part) - 1)) for part in (x, y)]
        return 2 * between - within[0] - within[1]


@hookimpl
def gankit_metrics() -> dict[str, object]:
    def energy(space: FeatureSpace) -> TwoSets:
        return EnergyDistance()

    return {"energy": energy}
