"""Data sets: read from anywhere into one tensor, or packed into one mapped file; drawn in a seeded endless order."""

from gankit.data.dataset import Dataset, DatasetFactory, Splits
from gankit.data.limits import Progress
from gankit.data.loading import builtin_datasets, load_dataset
from gankit.data.resize import parse_size
from gankit.data.sampler import Sampler

__all__ = [
    "Dataset",
    "DatasetFactory",
    "Progress",
    "Sampler",
    "Splits",
    "builtin_datasets",
    "load_dataset",
    "parse_size",
]
