"""Run folders, checkpoints and sampleable files on disk."""
