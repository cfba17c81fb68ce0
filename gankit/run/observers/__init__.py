"""Core's own observers of a run: statistics, sample grids, scores, checkpoints."""
