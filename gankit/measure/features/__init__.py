"""Feature spaces: the fixed networks in which sets of samples are compared."""

from gankit.measure.features.catalogue import builtin_features, choose_space
from gankit.measure.features.space import FeatureFactory, FeatureSpace

__all__ = ["FeatureFactory", "FeatureSpace", "builtin_features", "choose_space"]
