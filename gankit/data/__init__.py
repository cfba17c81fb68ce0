"""Data sets: read from anywhere into one tensor, or packed into one mapped file; drawn in a seeded endless order."""

from gankit.data.dataset import Dataset, DatasetFactory, Splits, spaced
from gankit.data.loading import load_dataset
from gankit.data.preparation import AS_THEY_ARE, Preparation, parse_size
from gankit.data.sampler import Sampler
from gankit.data.sets.catalogue import builtin_datasets

__all__ = [
    "AS_THEY_ARE",
    "Dataset",
    "DatasetFactory",
    "Preparation",
    "Sampler",
    "Splits",
    "builtin_datasets",
    "load_dataset",
    "parse_size",
    "spaced",
]
