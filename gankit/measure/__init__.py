"""Scores: feature spaces, metrics, and the record of a score with its protocol."""
