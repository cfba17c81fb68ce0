"""Discriminators for other people's loops: patches, several scales, U-Net, sound, frozen features. Scores are raw.

None couples the samples of a batch unless batch norm is asked for, so that every penalty can be used. Each has
`features(samples)`, the activations after every layer, for `feature_matching`.
"""

from gankit.discriminators.patches import MultiScale, Patch, UNet
from gankit.discriminators.projected import Projected
from gankit.discriminators.sound import MultiPeriod, MultiResolution
from gankit.discriminators.together import Several, feature_matching

__all__ = ["MultiPeriod", "MultiResolution", "MultiScale", "Patch", "Projected", "Several", "UNet", "feature_matching"]
