"""Pickles of plain data, read without unpickling: numbers, texts, lists, dicts and arrays, and nothing that is called.

`pickle` runs what a file names. Here its instructions are read as data by a machine that knows only those below, so a
file that asks for anything else is refused.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gankit.data.formats import Array

_TYPES = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"}
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class _Type:
    """A type of numbers, without the order of its bytes until its state is known."""

    code: str
    order: str = "|"


@dataclass
class _Stored:
    """An array whose content comes after it."""

    array: Array | None = None


@dataclass(frozen=True)
class _Name:
    """Something that the file would call."""

    name: str


def read_plain_pickle(data: bytes) -> Any:
    """What a pickle holds, with texts of Python 2 as str; ValueError if it is damaged or asks for more."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in texts of Python 2
            return _plain(_run(data))
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        raise ValueError(f"a damaged pickle ({type(error).__name__})") from error


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []  # where several values start on the stack
    memo: dict[int, Any] = {}
    instructions: Iterator[tuple[Any, Any, Any]] = pickletools.genops(data)
    for op, argument, _ in instructions:
        name = op.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif name in ("TUPLE", "LIST", "DICT"):
            items = _from_mark(stack, marks)
            stack.append(tuple(items) if name == "TUPLE" else items if name == "LIST" else _added({}, items))
        elif name in ("APPEND", "APPENDS"):
            items = _from_mark(stack, marks) if name == "APPENDS" else [stack.pop()]
            _list(stack[-1]).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = _from_mark(stack, marks) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _added(stack[-1], items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = argument.split(" ") if name == "GLOBAL" else [stack.pop(-2), stack.pop()]
            stack.append(_named(*parts))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_called(called, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"the pickle has the instruction {name}, which is not plain data")
    raise ValueError("the pickle ends within its data")


def _from_mark(stack: list[Any], marks: list[int]) -> list[Any]:
    place = marks.pop()
    items = stack[place:]
    del stack[place:]
    return items


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _added(table: Any, items: list[Any]) -> Any:
    if not isinstance(table, dict) or not all(isinstance(key, str | bytes | int) for key in items[::2]):
        raise TypeError("not a dict")  # a key of nested tuples could take for ever to hash
    table.update(zip(items[::2], items[1::2], strict=True))
    return table


def _named(module: Any, name: Any) -> _Name:
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("not a name")
    if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
        return _Name(name)
    if module in ("__builtin__", "builtins") and name == "bytes":  # which is how b"" is written
        return _Name(name)
    if module in _MODULES and name in ("_reconstruct", "_frombuffer"):
        return _Name(name)
    raise ValueError(f"the pickle names {module[:40]}.{name[:40]}, which is not plain data")


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise TypeError("not a text")
    return value if isinstance(value, str) else value.decode("latin1")


def _called(called: Any, arguments: Any) -> Any:
    name = called.name
    if name == "dtype":
        return _Type(_text(arguments[0]))
    if name == "_reconstruct":
        return _Stored()
    if name == "bytes" and arguments == ():
        return b""
    if name == "encode":
        return _text(arguments[0]).encode("latin1")
    if name == "_frombuffer":
        data, kind, shape, order = arguments
        return _Stored(_array(shape, kind, order == "F", data))
    raise ValueError(f"the pickle calls {name}, which is not plain data")


def _build(made: Any, state: Any) -> None:
    if isinstance(made, _Type):
        made.order = state[1]
    elif isinstance(made, _Stored):
        _, shape, kind, fortran, data = state
        made.array = _array(shape, kind, fortran, data)
    else:
        raise ValueError("the pickle fills an object that is not plain data")


def _array(shape: Any, kind: _Type, fortran: Any, data: Any) -> Array:
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and 0 <= side < 2**40 for side in shape):
        raise TypeError("not a shape")
    if kind.code not in _TYPES or kind.order not in ("|", "<", ">", "="):
        raise ValueError(f"the pickle has an array of {kind.code[:20]}, which is not plain data")
    raw = data if isinstance(data, bytes | bytearray) else _text(data).encode("latin1")
    dtype = np.dtype(kind.order + kind.code)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"an array of shape {shape} does not fit into its {len(raw):,} bytes")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _plain(value: Any) -> Any:
    """The value; in a dict with keys of Python 2 as str, and with arrays in place of what stood for them."""
    if isinstance(value, dict):
        arrays = {key: item.array if isinstance(item, _Stored) else item for key, item in value.items()}
        return {key if isinstance(key, int) else _text(key): item for key, item in arrays.items()}
    return value.array if isinstance(value, _Stored) else value
