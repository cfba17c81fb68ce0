"""Silence for the libraries that export: what they log, print and warn of on the way is about their own insides."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

_TALKATIVE = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime")


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block these libraries log and print nothing, and no warning is shown. Exceptions are untouched."""
    root = logging.getLogger()
    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _TALKATIVE]
    loggers = [root, *map(logging.getLogger, {*known, *_TALKATIVE})]
    levels = [logger.level for logger in loggers]
    placeholder = logging.NullHandler()  # without one `logging.warning` would set up a handler for good
    root.addHandler(placeholder)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)  # what they log as an error they also raise
    try:
        nowhere = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(placeholder)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
