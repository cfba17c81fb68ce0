"""The formats: how each is made from a program, written and run. A format is one class with four methods."""

from __future__ import annotations

import importlib
import io
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from gankit.errors import InputError, ResourceError
from gankit.sample.export.capture import captured, refusals
from gankit.sample.export.program import Inputs, Program

Precision = Literal["fp32", "fp16", "int8"]
Run = Callable[[Inputs], Tensor]

KEY = "gankit"  # of the description in a file
MAX_ONNX = 2_000_000_000  # bytes; a protobuf holds less than 2 GiB


@dataclass(frozen=True)
class Making:
    """How a file is made."""

    program: Program
    example: Inputs
    """Inputs of a small batch."""
    precision: Precision = "fp32"
    opset: int | None = None


class Format(ABC):
    """A generator in one format, in memory."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    """That the extra `export` installs for it."""
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16")

    @classmethod
    @abstractmethod
    def make(cls, making: Making) -> tuple[Self, Self]:
        """The generator, and the same with the floats that are rounded in it, for the report: [N, *shape]."""

    @abstractmethod
    def data(self, description: str) -> bytes:
        """The content of the file, with a description of it."""

    @staticmethod
    @abstractmethod
    def runner(data: bytes) -> Run:
        """A file, ready to run on the CPU."""

    @property
    def facts(self) -> dict[str, Any]:
        """What it says of itself in the report."""
        return {}


class Pt2(Format):
    """A graph of torch.export: PyTorch runs it without the network's code."""

    name, suffix = "pt2", ".pt2"

    def __init__(self, graph: torch.export.ExportedProgram) -> None:
        self.graph = graph

    @classmethod
    def make(cls, making: Making) -> tuple[Self, Self]:
        made = cls(captured(making.program, making.example))
        return made, cls(
            captured(making.program.giving("floats"), making.example)
        ) if making.program.form.rounded else made

    def data(self, description: str) -> bytes:
        buffer = io.BytesIO()
        torch.export.save(self.graph, buffer, extra_files={f"{KEY}.json": description})
        return buffer.getvalue()

    @staticmethod
    def runner(data: bytes) -> Run:
        return _of_torch(torch.export.load(io.BytesIO(data)).module(), Pt2.name)


class TorchScript(Format):
    """A traced module for libtorch, in the format that PyTorch no longer develops."""

    name, suffix = "torchscript", ".pt"

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self.module = module

    @classmethod
    def make(cls, making: Making) -> tuple[Self, Self]:
        captured(making.program, making.example)  # a trace would keep one branch of what depends on values
        made = cls._traced(making.program, making.example)
        return made, cls._traced(
            making.program.giving("floats"), making.example
        ) if making.program.form.rounded else made

    @classmethod
    def _traced(cls, program: Program, example: Inputs) -> Self:
        with torch.no_grad(), refusals(cls.name):
            return cls(torch.jit.trace(program, example, check_trace=False))  # type: ignore[no-untyped-call]

    def data(self, description: str) -> bytes:
        buffer = io.BytesIO()
        with refusals(self.name):
            torch.jit.save(self.module, buffer, _extra_files={f"{KEY}.json": description})
        return _without_paths(buffer.getvalue())

    @staticmethod
    def runner(data: bytes) -> Run:
        module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
        return _of_torch(module, TorchScript.name)


class Onnx(Format):
    """An ONNX graph, for onnxruntime in every language."""

    name, suffix = "onnx", ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    precisions = ("fp32", "fp16", "int8")

    def __init__(self, model: Any) -> None:
        self.model = model

    @classmethod
    def make(cls, making: Making) -> tuple[Self, Self]:
        program = making.program
        if sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict().values()) > MAX_ONNX:
            raise InputError("an ONNX file holds less than 2 GB of weights", hint="--to pt2")
        both = program.giving("both") if program.form.rounded else program
        names = ["samples", "floats"] if program.form.rounded else ["samples"]
        graph = captured(both, making.example)
        with refusals(cls.name):
            exported = torch.onnx.export(
                graph,
                dynamo=True,
                verbose=False,
                opset_version=making.opset,
                input_names=program.names,
                output_names=names,
            )
            assert exported is not None
            model = exported.model_proto
        if making.opset is not None and _opset(model) != making.opset:
            raise InputError(
                f"opset {making.opset}: the generator has operators of opset {_opset(model)}",
                hint=f"--opset {_opset(model)}, which is the default",
            )
        _tidy(model)
        if making.precision == "int8":
            model = _quantised(model)
        made = cls(_with_output(model, "samples"))
        return made, cls(_with_output(model, "floats")) if program.form.rounded else made

    def data(self, description: str) -> bytes:
        import onnx

        self.model.producer_name = KEY
        onnx.helper.set_model_props(self.model, {KEY: description})
        data: bytes = self.model.SerializeToString()
        return data

    @staticmethod
    def runner(data: bytes) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        with refusals(Onnx.name):
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]

        def run(inputs: Inputs) -> Tensor:
            feeds = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
            with refusals(Onnx.name):
                (samples,) = session.run(None, feeds)
            return torch.from_numpy(samples)

        return run

    @property
    def facts(self) -> dict[str, Any]:
        return {"opset": _opset(self.model)}


def _of_torch(module: Callable[..., Tensor], name: str) -> Run:
    def run(inputs: Inputs) -> Tensor:
        with torch.no_grad(), refusals(name):
            return module(*inputs)

    return run


def _without_paths(data: bytes) -> bytes:
    """A TorchScript file without its traces, which name files of this machine."""
    reader, buffer = torch._C.PyTorchFileReader(io.BytesIO(data)), io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and name not in ("version", ".data/serialization_id"):  # it writes those
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return buffer.getvalue()


FORMATS: dict[str, type[Format]] = {each.name: each for each in (Onnx, Pt2, TorchScript)}


def require_packages(form: type[Format]) -> None:
    """ResourceError unless the packages of a format are installed."""
    for package in form.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ResourceError(
                f"{form.name} is written by {package}, which is not installed", hint="pip install 'gankit[export]'"
            ) from error


# -- graphs of ONNX ----------------------------------------------------------------------------------------------------


def _opset(model: Any) -> int:
    return next(int(used.version) for used in model.opset_import if used.domain in ("", "ai.onnx"))


def _tidy(model: Any) -> None:
    """Call the first axis of inputs and outputs N, and leave out what names files of this machine."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        axes = value.type.tensor_type.shape.dim
        if axes:
            axes[0].dim_param = "N"
    functions = [node for function in model.functions for node in function.node]
    for part in (
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
        *functions,
    ):
        del part.metadata_props[:]


def _with_output(model: Any, name: str) -> Any:
    """The same graph with one of its outputs."""
    import onnx

    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    (output,) = [value for value in model.graph.output if value.name == name]
    del twin.graph.output[:]
    twin.graph.output.append(output)
    return twin


def _quantised(model: Any) -> Any:
    """Weights as int8, and activations too, by scales that are found while it runs."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        with refusals("int8"):
            quantize_dynamic(model, path, weight_type=QuantType.QInt8)
        return onnx.load(path)
