"""The machine: device, precision, processes, CUDA graphs, and what is fastest on it."""
