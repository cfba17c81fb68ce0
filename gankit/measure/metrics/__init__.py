"""Scores between two sets of feature vectors, each a `torchmetrics.Metric`."""

from gankit.measure.metrics.catalogue import MetricFactory, View, builtin_metrics, reads

__all__ = ["MetricFactory", "View", "builtin_metrics", "reads"]
