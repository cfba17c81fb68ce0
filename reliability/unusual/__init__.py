"""Valid files as few programs write them, each with the pixels that it must give.

What is expected follows from the numbers that were written and from the specification of the format, never from what a
reader made of the file. Lossless kinds must give exactly these pixels; a tolerance is the largest difference, in levels
of 255, that a lossy kind, or a conversion whose formula leaves the last digit open, may have.
"""
