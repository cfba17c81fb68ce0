"""File formats of data, from bytes to rows of pixels."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
