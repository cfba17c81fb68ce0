"""Data sets: read from anywhere, kept in memory as one tensor, drawn in a seeded endless order."""

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
