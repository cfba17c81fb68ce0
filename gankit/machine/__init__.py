"""The machine: devices, precision, processes, random streams, and the fastest implementation of an operation."""
