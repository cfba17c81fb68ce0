"""Scores: feature spaces, metrics, and the record that says how a number was made."""
