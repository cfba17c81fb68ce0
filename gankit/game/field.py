"""The vector field of a game: the way all players would move from where they are, and products with its Jacobian."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from gankit.contracts import Batch
from gankit.game.loop import TrainingLoop
from gankit.machine.double_backward import FastDoubleBackward


class VectorField:
    """v(θ) = (-∂L_p/∂θ_p of each player p) on one fixed batch; θ are the parameters of all players, P numbers.

    The losses are those of training: terms of the loss and of parts, and penalties at their average weight. A phase
    that is played less often than others of its player counts by its share of turns. Networks are in training mode, for
    batch norm couples the samples of a batch in the game as it is played; what depends on the history of passes (the
    power iteration of spectral normalisation) stays as it is. Random numbers are drawn once.

    Values that a loss detaches are followed all the same, as far as they do not depend on the player that moves: the
    fakes of D's phase, say, which move with G. What a plugin computes within torch.no_grad() is not followed.
    """

    def __init__(self, loop: TrainingLoop, data: Batch, z: Tensor) -> None:
        """`data` are real samples [N, *shape] as they come from the sampler, `z` [N, z_dim] is that of all fakes.

        RuntimeError, as from autograd, where an operation cannot be differentiated once more.
        """
        self.parameters = [p for player in loop.players.values() for p in player.parameters.values() if p.requires_grad]
        """θ, player after player."""
        self._slopes = _gradients(loop, data, z)
        # Autograd raises for such a function only when a product happens to pass through it, and leaves it out else.
        if any(node.name().endswith("::Error") for node in _nodes(self._slopes)):
            raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    @property
    def size(self) -> int:
        """P."""
        return sum(parameter.numel() for parameter in self.parameters)

    @property
    def value(self) -> Tensor:
        """v(θ) as [P]."""
        return -_flat([slope.detach() for slope in self._slopes])

    def transposed(self, vector: Tensor) -> Tensor:
        """(∂v/∂θ)ᵀ times a vector [P], as [P]: one backward pass. RuntimeError where an operation has no derivative."""
        parts = torch.split(vector, [parameter.numel() for parameter in self.parameters])
        pairs = [
            (slope, part.view_as(slope)) for slope, part in zip(self._slopes, parts, strict=True) if slope.requires_grad
        ]
        if not pairs:
            return torch.zeros_like(vector)
        products = torch.autograd.grad(
            [slope for slope, _ in pairs],
            self.parameters,
            [part for _, part in pairs],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return -_flat(products)


def _gradients(loop: TrainingLoop, data: Batch, z: Tensor) -> list[Tensor]:
    """∂L_p/∂θ_p of all players p, with their graphs, in the order of their parameters."""
    loop._set_schedules()
    with ExitStack() as stack:
        for network in (loop.networks.generator, loop.networks.discriminator, *loop.networks.extra.values()):
            stack.enter_context(_training(network))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # fused attention has no second derivative
        stack.enter_context(FastDoubleBackward())
        y = () if data.condition is None else (data.condition,)
        fake: Tensor = loop.networks.generator(z, *y)
        slopes: list[Tensor] = []
        for name, player in loop.players.items():
            own = [parameter for parameter in player.parameters.values() if parameter.requires_grad]
            phases = {key: phase for key, phase in loop.phases.items() if phase.player == name}
            most = max((phase.turns for phase in phases.values()), default=0)
            found = [torch.zeros_like(parameter) for parameter in own]
            for key, phase in phases.items():
                batch = data if phase.fakes == "none" else replace(data, fake=fake, z=z)
                step = loop._begin(key, batch)
                step.penalty_gain = int(phase.penalised and loop.penalised)
                with _Followed(own):
                    total = loop._objective(step, batch)
                share = phase.turns / most if most else 1.0
                terms = torch.autograd.grad(total, own, create_graph=True, allow_unused=True, materialize_grads=True)
                found = [slope + share * term for slope, term in zip(found, terms, strict=True)]
            slopes += found
        return slopes


@contextmanager
def _training(network: nn.Module) -> Iterator[None]:
    """Within the block a network is in training mode, its parametrisations in eval mode; both come back."""
    before = [(module, module.training) for module in network.modules()]
    network.train()
    for module in network.modules():
        if isinstance(module, ParametrizationList):
            module.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class _Followed(TorchFunctionMode):
    """Within it `detach` cuts off only what depends on some parameters; the gradient for these is the same."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self.moving = {id(parameter) for parameter in parameters}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.detach, torch.detach) and args and args[0].requires_grad and not self._moves(args[0]):
            return args[0].view_as(args[0])
        return func(*args, **(kwargs or {}))

    def _moves(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on one of the parameters."""
        if tensor.grad_fn is None:
            return id(tensor) in self.moving
        return any(id(getattr(node, "variable", None)) in self.moving for node in _nodes([tensor]))


def _nodes(tensors: Iterable[Tensor]) -> Iterator[Any]:
    """The nodes of the graph behind some tensors, each once."""
    stack = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        yield node
        new = {other for other, _ in node.next_functions if other is not None} - seen
        seen |= new
        stack += new


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
