"""The parts of `benchmarks/gpu.py`: each yields figures, and none knows of the others."""
