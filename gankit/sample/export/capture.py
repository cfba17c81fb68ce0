"""The graph of a program, by torch.export, and refusals in words for what cannot be one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram

from gankit.base.text import printable
from gankit.errors import GankitError, InputError
from gankit.sample.export.program import Inputs, Program

_OPERATORS = (
    re.compile(r"No ONNX function found for <OpOverload\(op='(?P<name>[\w.:]+)'"),
    re.compile(r"No decompositions registered for .*?'(?P<name>[\w.:]+)'"),
    re.compile(r"Unsupported operator:? '?(?P<name>[\w.:]+)"),
    re.compile(r"(?:operator|op) '?(?P<name>\w+::\w+)"),
)
_VALUES = "data-dependent expression"
_BATCH = re.compile("specialized it to be a constant|failed in the TorchScript interpreter")


def captured(program: Program, inputs: Inputs) -> ExportedProgram:
    """The graph for any batch; InputError where the network decides by values, or knows one size of the batch only."""
    batch = Dim("N")
    shapes = tuple({0: batch} if tensor.ndim else {} for tensor in inputs)

    def export(strict: bool) -> ExportedProgram:
        graph = torch.export.export(program, inputs, dynamic_shapes=shapes, strict=strict)
        for node in graph.graph.nodes:
            node.meta.pop("stack_trace", None)  # it names files of this machine
        return graph

    with torch.no_grad(), refusals("a graph"):
        try:
            return export(strict=False)
        except Exception as first:
            try:  # it reads the Python code instead of running it, and so sees that len(z) is the size of the batch
                return export(strict=True)
            except Exception:
                raise first from None
            finally:
                torch._dynamo.reset()


@contextmanager
def refusals(to: str) -> Iterator[None]:
    """Errors of an exporter as one line that names the operator, or quotes what the exporter says first."""
    try:
        yield
    except (GankitError, MemoryError):
        raise
    except Exception as error:
        text = "\n".join(str(cause) for cause in _causes(error))
        operator = next((found["name"] for pattern in _OPERATORS if (found := pattern.search(text))), None)
        if operator is not None:
            raise InputError(
                f"the generator cannot become {to}: its operator {printable(operator)} has no form there",
                hint="another --to, or a network without it" if to == "onnx" else "a network without it",
            ) from error
        if _BATCH.search(text):
            raise InputError(
                f"the generator cannot become {to}: it works for one size of the batch only",
                hint="in its forward, write z.shape[0] and not len(z) or a number",
            ) from error
        if _VALUES in text:
            raise InputError(
                f"the generator cannot become {to}: it decides by the values in a tensor",
                hint="in its forward, write torch.where and not `if` or float()",
            ) from error
        says = printable(str(error).strip().split("\n")[0][:300] or type(error).__name__)
        raise InputError(
            f"the generator cannot become {to}: {type(error).__name__}: {says}",
            hint="GANKIT_DEBUG=1 shows where; see `gankit export --help`",
        ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
