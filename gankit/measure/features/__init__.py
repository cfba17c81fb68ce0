"""Feature spaces: the fixed networks in which sets of samples are compared."""

from gankit.measure.features.catalogue import builtin_features, choose_space
from gankit.measure.features.frozen import FrozenLite0
from gankit.measure.features.space import FeatureFactory, FeatureSpace

__all__ = ["FeatureFactory", "FeatureSpace", "FrozenLite0", "builtin_features", "choose_space"]
