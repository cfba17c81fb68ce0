"""File formats of data, from bytes to rows of pixels."""
