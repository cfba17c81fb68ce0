"""Data sets: read from anywhere into one tensor, or packed into one mapped file; drawn in a seeded endless order."""

from gankit.data.dataset import Dataset, DatasetFactory, Splits
from gankit.data.formats.resize import parse_size
from gankit.data.loading import load_dataset
from gankit.data.sampler import Sampler
from gankit.data.sets.catalogue import builtin_datasets

__all__ = [
    "Dataset",
    "DatasetFactory",
    "Sampler",
    "Splits",
    "builtin_datasets",
    "load_dataset",
    "parse_size",
]
