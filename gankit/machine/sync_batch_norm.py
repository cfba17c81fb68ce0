"""Batch norm over the whole batch when several processes share it (`--sync-bn`), on any device.

Without it each process normalises with the statistics of its part of the batch, as DistributedDataParallel does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from gankit.machine import processes


class _Mean(Function):
    """The mean of a tensor over the processes; its gradient is averaged too."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        mean = values.clone()
        processes.average([mean], "the statistics of batch norm")
        return mean

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _Mean.apply(gradient)  # type: ignore[no-untyped-call,no-any-return]


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of samples [N, C, …] with the mean and variance of the samples of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, …] -> [N, C, …], in the dtype of x."""
        if not self.training or processes.size() == 1:
            return super().forward(x)
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        values = x.float()
        mean: Tensor = _Mean.apply(values.mean(axes))  # type: ignore[no-untyped-call]
        centred = values - mean.reshape(shape)
        variance: Tensor = _Mean.apply(centred.square().mean(axes))  # type: ignore[no-untyped-call]
        self._update_running_statistics(mean.detach(), variance.detach(), values_per_channel(self, x))
        y = centred * (variance + self.eps).rsqrt().reshape(shape)
        if self.affine:
            y = y * self.weight.reshape(shape) + self.bias.reshape(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics as PyTorch's layer does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / max(1, count - 1), momentum)


class _Shared1d(_SharedBatchNorm, nn.BatchNorm1d):
    pass


class _Shared2d(_SharedBatchNorm, nn.BatchNorm2d):
    pass


class _Shared3d(_SharedBatchNorm, nn.BatchNorm3d):
    pass


def values_per_channel(layer: nn.Module, x: Tensor) -> int:
    """The number of values behind one mean of `layer` for x [N, C, …]; a shared layer counts all processes."""
    sharing = processes.size() if isinstance(layer, _SharedBatchNorm) else 1
    return sharing * x.numel() // x.shape[1]


def share_batch_norm(module: nn.Module) -> None:
    """Make every batch norm in `module` share its statistics; names, parameters and buffers do not change."""
    kinds: dict[type[nn.Module], type[nn.Module]] = {
        nn.BatchNorm1d: _Shared1d,
        nn.BatchNorm2d: _Shared2d,
        nn.BatchNorm3d: _Shared3d,
    }
    for layer in module.modules():
        if type(layer) in kinds:
            layer.__class__ = kinds[type(layer)]
