"""State as flat names -> tensors and JSON scalars: modules by their names, optimisers by parameter names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gankit.errors import InputError

State = dict[str, Tensor | int | float | str | bool]
"""Names to tensors and JSON scalars: the content of a checkpoint, none of which needs pickle."""


def module_state(prefix: str, module: nn.Module) -> State:
    """Parameters and buffers as `<prefix>.<name>`."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(prefix: str, module: nn.Module, state: Mapping[str, object]) -> None:
    """Copy `<prefix>.<name>` into the module; InputError unless all names and shapes are those of the module."""
    tensors = {name: value for name, value in below(prefix, state).items() if isinstance(value, Tensor)}
    check_fit(prefix, shapes(module.state_dict()), shapes(tensors))
    module.load_state_dict(tensors)


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_fit(what: str, expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]]) -> None:
    """Raise InputError that names the first tensor that does not fit and counts the others."""
    missing = sorted(expected.keys() - got.keys())
    foreign = sorted(got.keys() - expected.keys())
    unequal = [name for name in expected if name in got and expected[name] != got[name]]
    if not (missing or foreign or unequal):
        return
    first = (
        f"'{unequal[0]}' is {list(got[unequal[0]])}, expected {list(expected[unequal[0]])}"
        if unequal
        else f"'{missing[0]}' is missing"
        if missing
        else f"'{foreign[0]}' is not part of it"
    )
    counts = f"{len(unequal)} of another shape, {len(missing)} missing, {len(foreign)} unknown"
    raise InputError(
        f"{what}: the stored tensors do not fit the network: {first} ({counts})",
        hint="the plugin, its version or its options differ from those that wrote the file",
    )


def optimizer_state(prefix: str, optimizer: Optimizer, names: list[str]) -> State:
    """`<prefix>.<parameter name>.<key>`, and for each parameter group `<prefix>.lr.<index>` and `….lr_scale.<index>`.

    `names` are those of the parameters, in the order of the optimiser.
    """
    state: State = {}
    saved = optimizer.state_dict()
    for index, name in enumerate(names):
        for key, value in saved["state"].get(index, {}).items():
            state[f"{prefix}.{name}.{key}"] = value
    for index, group in enumerate(optimizer.param_groups):
        state[f"{prefix}.lr.{index}"] = float(group["lr"])
        state[f"{prefix}.lr_scale.{index}"] = float(group["lr_scale"])
    return state


def load_optimizer(prefix: str, optimizer: Optimizer, names: list[str], state: Mapping[str, object]) -> None:
    """Restore the result of `optimizer_state`; an optimiser that has not stepped yet has only its learning rates."""
    values = below(prefix, state)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    restored: dict[int, dict[str, object]] = {}
    for index, (name, parameter) in enumerate(zip(names, parameters, strict=True)):
        for key, value in below(name, values).items():
            if "." in key:  # the state of a parameter in a submodule with this name
                continue
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                raise InputError(f"{prefix}.{name}.{key} is {list(value.shape)}, expected {list(parameter.shape)}")
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # Fused kernels use raw memory: a moment must have the strides of its parameter (channels_last).
                value = torch.empty_like(parameter).copy_(value)
            restored.setdefault(index, {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": restored, "param_groups": groups})
    for index, group in enumerate(optimizer.param_groups):
        rate = finite(values[f"lr.{index}"])
        group["lr_scale"] = finite(values[f"lr_scale.{index}"])
        if isinstance(group["lr"], Tensor):  # the loop uses CUDA graphs
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def finite(value: object) -> float:
    """A number of a stored state as float; ValueError for anything else, NaN and infinity included."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:50]!r} is not a finite number")
    return float(value)


def below(prefix: str, state: Mapping[str, object]) -> dict[str, object]:
    """The entries `<prefix>.<name>` as name -> value."""
    start = prefix + "."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
