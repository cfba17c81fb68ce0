"""How much an adversarial loss counts beside another one, so that a discriminator can enter without an explosion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gankit.errors import InputError
from gankit.machine import processes


class Entrance(nn.Module):
    """The weight of an adversarial loss beside another one: nothing while D learns, then a ramp, then a fair share.

        entrance = gankit.Entrance(wait=500, ramp=1000, last_layer=decoder.last.weight)
        loss = reconstruction + entrance(reconstruction, adversary.g_loss(fake, real))

    With `last_layer` the weight adapts as in VQGAN (Esser et al. 2021, eq. 7): the ratio of the norms of the gradients
    that the two losses give this layer. There the ratio of one batch divides by next to nothing when D says next to
    nothing, and may be 10,000; here both norms are averaged over steps first, the ratio is at most `most`, and it is 0
    where the other loss has no gradient. Steps and averages are buffers, part of every `state_dict`, and equal in all
    processes.
    """

    steps: Tensor
    norms: Tensor

    def __init__(
        self,
        *,
        weight: float = 0.5,
        wait: int = 500,
        ramp: int = 1000,
        last_layer: nn.Parameter | None = None,
        most: float = 1.0,
        memory: float = 0.99,
    ) -> None:
        """How the adversarial loss enters.

        weight: at the end of the ramp, > 0; times the ratio where there is a `last_layer`. Below 1 the other loss is
            the stronger one wherever the two disagree; at 1 nothing holds its error back.
        wait: steps in which D learns and its loss does not count; ramp: steps from 0 to all of the weight.
        most: the largest ratio. memory: the share of the averages that stays in each step, in [0, 1).
        """
        super().__init__()
        if last_layer is not None and not isinstance(last_layer, nn.Parameter):
            what = type(last_layer).__name__
            raise InputError(f"last_layer is {what}, not a parameter", hint="the weight of the layer: layer.weight")
        if not (weight > 0 and wait >= 0 and ramp >= 0 and most > 0 and 0 <= memory < 1):
            raise InputError(
                f"Entrance(weight={weight}, wait={wait}, ramp={ramp}, most={most}, memory={memory})",
                hint="weight and most above 0, wait and ramp from 0, memory in [0, 1)",
            )
        self.weight, self.wait, self.ramp, self.most, self.memory = weight, wait, ramp, most, memory
        self._last: list[nn.Parameter] = [] if last_layer is None else [last_layer]  # not a parameter of this module
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("norms", torch.zeros(2))

    def forward(self, other: Tensor, adversarial: Tensor) -> Tensor:
        """Two scalar losses with their graphs -> the adversarial one, weighed for this step, which is counted.

        Without gradients (in validation) it is weighed as in the last step, and nothing is counted.
        """
        if torch.is_grad_enabled():
            if self._last:
                self._measure(other, adversarial)
            self.steps += 1
        share = self.share
        if share == 0:
            return torch.zeros_like(adversarial.detach())  # no backward pass through D, and no NaN of it
        return self.weight * share * self.ratio.to(adversarial.device) * adversarial

    @property
    def share(self) -> float:
        """Where the ramp is: 0 while D learns, 1 at its end."""
        done = int(self.steps) - self.wait
        return 0.0 if done <= 0 else 1.0 if self.ramp == 0 else min(1.0, done / self.ramp)

    @property
    def ratio(self) -> Tensor:
        """The ratio of the averaged norms, 0-d in [0, most]; 1 without a last layer."""
        if not self._last:
            return torch.ones(())
        other, adversarial = self.norms
        return torch.where(other > 0, other / adversarial.clamp_min(1e-30), other).clamp(max=self.most)

    def _measure(self, other: Tensor, adversarial: Tensor) -> None:
        if not self._last[0].requires_grad:
            raise InputError("last_layer does not learn", hint="a layer that requires gradients")
        found: list[Tensor] = []
        for which, loss in (("the other loss", other), ("the adversarial loss", adversarial)):
            gradient: Tensor | None = None
            if loss.requires_grad:
                (gradient,) = torch.autograd.grad(loss, self._last, retain_graph=True, allow_unused=True)
            if gradient is None:
                raise InputError(
                    f"{which} does not depend on last_layer", hint="the weight of the last layer that makes samples"
                )
            found.append(gradient.detach().float().norm())
        norms = torch.stack(found)
        processes.average([norms], "the norms at the last layer")
        norms = norms.to(self.norms.device)
        norms = torch.where(norms.isfinite(), norms, self.norms)  # a step that a scaler skips
        before = min(self.memory, int(self.steps) / (int(self.steps) + 1))  # a mean of all at first
        self.norms.lerp_(norms, 1 - before)

    def extra_repr(self) -> str:
        """The settings."""
        settings: dict[str, Any] = {name: getattr(self, name) for name in ("weight", "wait", "ramp", "most", "memory")}
        return ", ".join(f"{name}={value}" for name, value in settings.items())
