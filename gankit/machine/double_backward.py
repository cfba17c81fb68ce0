"""Convolutions whose second derivatives use PyTorch's tuned kernels.

A gradient penalty needs the weight gradient of gx = dC(x, w)/dx . gy. PyTorch computes it as a forward convolution
with batch and channels swapped and a filter as large as the feature map, for which no kernel is tuned. A convolution,
its input gradient and its weight gradient are closed under differentiation, so the ordinary kernels are enough:

    gx = I(gy, w)    d<gx, v>/dgy = C(v, w)    d<gx, v>/dw = W(gy, v)
    gw = W(gy, x)    d<gw, u>/dgy = C(x, u)    d<gw, u>/dx = I(gy, u)

This holds for any stride, padding, dilation and number of groups, and for transposed convolutions, in 1 to 3 dims.
It is used for every layer, although a few are slightly faster without it: a choice by measurement could differ between
two processes, and between a run and its resume. It has not been run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional
from torch.overrides import TorchFunctionMode

DIMENSIONS = {
    functional.conv1d: (1, False),
    functional.conv2d: (2, False),
    functional.conv3d: (3, False),
    functional.conv_transpose1d: (1, True),
    functional.conv_transpose2d: (2, True),
    functional.conv_transpose3d: (3, True),
}

_weight_gradients = True


@contextmanager
def inputs_only() -> Iterator[None]:
    """Within the block derivatives are taken with respect to samples; those of weights are not computed."""
    global _weight_gradients
    before, _weight_gradients = _weight_gradients, False
    try:
        yield
    finally:
        _weight_gradients = before


class Geometry(NamedTuple):
    """The arguments of a convolution, in the order of `torch.convolution`."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int


class Convolution(Function):
    """C(x, w): samples [N, C, …] and a weight -> [N, K, …], without bias."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        return torch.convolution(x, weight, None, *geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Geometry], _output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.geometry = inputs[2]

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        gx = input_gradient(gy, weight, x.detach(), ctx.geometry) if needs_x else None
        gw = weight_gradient(gy, x, weight.detach(), ctx.geometry) if needs_weight and _weight_gradients else None
        return gx, gw, None


class InputGradient(Function):
    """I(gy, w): [N, K, …] and a weight -> the gradient of C with respect to x, shaped like `like`."""

    @staticmethod
    def forward(gy: Tensor, weight: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        mask = [True, False, False]
        gradient: Tensor = torch.ops.aten.convolution_backward(gy, like, weight, None, *geometry, mask)[0]
        return gradient

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Geometry], _output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.geometry = inputs[3]

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        gy, weight = ctx.saved_tensors
        needs_gy, needs_weight = ctx.needs_input_grad[:2]
        ggy = convolution(v, weight, ctx.geometry) if needs_gy else None
        gw = weight_gradient(gy, v, weight.detach(), ctx.geometry) if needs_weight and _weight_gradients else None
        return ggy, gw, None, None


class WeightGradient(Function):
    """W(gy, x): [N, K, …] and samples -> the gradient of C with respect to w, shaped like `like`."""

    @staticmethod
    def forward(gy: Tensor, x: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        mask = [False, True, False]
        gradient: Tensor = torch.ops.aten.convolution_backward(gy, x, like, None, *geometry, mask)[1]
        return gradient

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Geometry], _output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.geometry = inputs[3]

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        gy, x = ctx.saved_tensors
        needs_gy, needs_x = ctx.needs_input_grad[:2]
        ggy = convolution(x, u, ctx.geometry) if needs_gy else None
        gx = input_gradient(gy, u, x.detach(), ctx.geometry) if needs_x else None
        return ggy, gx, None, None


def convolution(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """C(x, w)."""
    y: Tensor = Convolution.apply(x, weight, geometry)  # type: ignore[no-untyped-call]
    return y


def input_gradient(gy: Tensor, weight: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
    """I(gy, w), shaped like `like`."""
    gx: Tensor = InputGradient.apply(gy, weight, like, geometry)  # type: ignore[no-untyped-call]
    return gx


def weight_gradient(gy: Tensor, x: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
    """W(gy, x), shaped like `like`."""
    gw: Tensor = WeightGradient.apply(gy, x, like, geometry)  # type: ignore[no-untyped-call]
    return gw


class FastDoubleBackward(TorchFunctionMode):
    """Within this context the convolutions of any module use the fast double backward; nothing else changes.

    It is for forward passes in float32 or float64: the operations above do not support autocast.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Reroute the convolutions."""
        kwargs = kwargs or {}
        known = DIMENSIONS.get(function)
        if known is None or not torch.is_grad_enabled():
            return function(*args, **kwargs)
        x, weight, bias, geometry = _arguments(*known, *args, **kwargs)
        if geometry is None or x.ndim != known[0] + 2 or x.dtype not in (torch.float32, torch.float64):
            return function(*args, **kwargs)
        y = convolution(x, weight, geometry)
        return y if bias is None else y + bias.reshape(-1, *[1] * known[0])


def _arguments(
    dimensions: int,
    transposed: bool,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    *rest: Any,
    **named: Any,
) -> tuple[Tensor, Tensor, Tensor | None, Geometry | None]:
    """The arguments of a functional convolution; the geometry is None for padding given by name ('same')."""
    if isinstance(padding, str):
        return input, weight, bias, None
    order = ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    others = {"output_padding": 0, "groups": 1, "dilation": 1, **dict(zip(order, rest, strict=False)), **named}

    def each(value: int | Sequence[int]) -> tuple[int, ...]:
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * dimensions if len(values) == 1 else values

    geometry = Geometry(
        each(stride),
        each(padding),
        each(others["dilation"]),
        transposed,
        each(others["output_padding"]),
        others["groups"],
    )
    return input, weight, bias, geometry
