"""A data set of its own: grey chequered boards of three sizes, drawn when they are asked for.

gankit train --with ./examples/checkers.py --data checkers --conditional
"""

import numpy as np

from gankit.plugin import Dataset, hookimpl

SIDE, COUNT = 16, 3_000


def draw() -> Dataset:
    """COUNT boards uint8 [N, H, W, C]; the label is the number of squares in a row."""
    random = np.random.RandomState(0)  # NumPy promises never to change its numbers
    squares = random.choice([2, 4, 8], COUNT)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    light, dark = random.randint(128, 256, COUNT), random.randint(0, 128, COUNT)
    size = (SIDE // squares)[:, None, None]
    board = (rows // size + columns // size) % 2
    images = np.where(board, light[:, None, None], dark[:, None, None]).astype(np.uint8)
    labels = np.searchsorted([2, 4, 8], squares)
    return Dataset.from_arrays("checkers", images[..., None], labels, classes=("2x2", "4x4", "8x8"))


@hookimpl
def gankit_datasets() -> dict[str, object]:
    return {"checkers": draw}
