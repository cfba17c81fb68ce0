"""Looking at what was trained: figures, neighbours, speed, formulas, diagnosis."""
