"""From checkpoints to scores, and scores side by side."""
