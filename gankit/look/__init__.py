"""Inspection of trained models and of this machine: figures, neighbours, speed, formulas, diagnosis."""
