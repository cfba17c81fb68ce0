"""Files, text, seeds, signals and progress: helpers for every room, independent of networks."""
