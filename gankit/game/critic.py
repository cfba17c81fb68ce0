"""The discriminator as a loss sees it: precision, condition and augmentation are taken care of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.machine.double_backward import FastDoubleBackward
from gankit.machine.precision import Precision


@dataclass(frozen=True)
class Pair:
    """Real and fake samples scored together, the real ones first."""

    points: Tensor
    """[2N, …]."""
    scores: Tensor
    """[2N] or [2N, 1 + heads], with their graph."""

    @property
    def real(self) -> Tensor:
        """The scores [N] of the real samples."""
        return self.scores[: len(self.scores) // 2]

    @property
    def fake(self) -> Tensor:
        """The scores [N] of the fake samples."""
        return self.scores[len(self.scores) // 2 :]


class Critic:
    """The discriminator in one phase of a step: called with samples, it scores them.

    `critic(batch.real)` and `critic(batch.fake)` are remembered as the real and the fake scores of the phase. A loss
    that scores both in one pass, or at points of its own, says with `know` which scores are which.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        batch: Batch,
        precision: Precision,
        *,
        conditional: bool = True,
        shown: Callable[[Tensor], Tensor] | None = None,
        penalties_due: bool = False,
    ) -> None:
        self.discriminator = discriminator
        """The bare network: no precision, no condition, no augmentation."""
        self.batch = batch
        """The batch of this phase."""
        self.precision = precision
        """The arithmetic of the networks."""
        self.conditional = conditional
        """Whether the network is given the condition y of a conditional run."""
        self.shown = shown
        """What changes samples before the network sees them; None: nothing does."""
        self.penalties_due = penalties_due
        """Whether gradient penalties are terms of this phase."""
        self._known: dict[str, Tensor] = {}
        self._pair: Pair | None = None

    def __call__(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples [N, …] -> the discriminator's output in float32.

        `condition` [N, K] replaces what the network is given beside samples. Leaves that require grad are points at
        which a penalty takes a gradient: they are scored in full precision (norms under bf16 are wrong by a half
        percent, fp16 loses small ones), and networks with batch norm refuse them.
        """
        penalised = samples.is_leaf and samples.requires_grad
        if penalised:
            refuse_coupled_samples(self.discriminator)
        seen = samples if self.shown is None else self.shown(samples)
        with ExitStack() as contexts:
            contexts.enter_context(self.precision.full() if penalised else self.precision.autocast())
            if penalised:
                contexts.enter_context(FastDoubleBackward())
                contexts.enter_context(sdpa_kernel(SDPBackend.MATH))  # fused attention has no second derivative
            output: Tensor = self.discriminator(seen, *self._condition_for(len(samples), condition))
        output = output if output.dtype == torch.float64 else output.float()
        if samples is self.batch.fake:
            self.know(fake=output)
        elif samples is self.batch.real:
            self.know(real=output)
        return output

    def _condition_for(self, n: int, condition: Tensor | None) -> tuple[Tensor, ...]:
        if condition is None:
            condition = self.batch.condition if self.conditional else None
        if condition is None:
            return ()
        if len(condition) == n:
            return (condition,)
        if n % len(condition):
            raise PluginError(
                f"D is shown {n} samples, and the batch has {len(condition)} conditions",
                hint="critic(samples, condition) takes those of a part of the batch",
            )
        # Real and fake samples in one pass are twice the batch, each half with the same conditions.
        return (condition.repeat(n // len(condition), 1),)

    def pair(self) -> Pair:
        """The scores of the real and the fake samples from one forward pass, which is made once in a phase.

        Where penalties are due, `points` is a leaf that requires grad: loss and penalties share the pass.
        """
        if self._pair is None:
            points = torch.cat([self.batch.real, self.batch.fake])
            if self.penalties_due:
                points = points.detach().requires_grad_(True)
            self._pair = Pair(points, self(points))
            self.know(real=self._pair.real, fake=self._pair.fake)
        return self._pair

    def know(self, *, real: Tensor | None = None, fake: Tensor | None = None) -> None:
        """Remember outputs of the network, [N] or [N, 1 + heads], as the scores of `batch.real` and `batch.fake`."""
        for name, output in (("real", real), ("fake", fake)):
            if output is not None and output.ndim <= 2:
                self._known[name] = scores_of(output)

    @property
    def real(self) -> Tensor | None:
        """The scores [N] of the real samples in this phase, without gradient; None before they are known."""
        return self._detached("real")

    @property
    def fake(self) -> Tensor | None:
        """The scores [N] of the fake samples in this phase, without gradient; None before they are known."""
        return self._detached("fake")

    @property
    def attached_real(self) -> Tensor | None:
        """`real` with its graph, for terms on scores that the loss has computed already."""
        return self._known.get("real")

    @property
    def attached_fake(self) -> Tensor | None:
        """`fake` with its graph."""
        return self._known.get("fake")

    def _detached(self, name: str) -> Tensor | None:
        return self._known[name].detach() if name in self._known else None

    @property
    def stats(self) -> dict[str, Tensor]:
        """`score/real` and `score/fake`: the means of the known scores."""
        return {f"score/{name}": scores.detach().mean() for name, scores in self._known.items()}

    @property
    def probabilities(self) -> dict[str, Tensor]:
        """`probability/real` and `probability/fake`: the means of D(x) and D(G(z)), where the scores are logits."""
        return {f"probability/{name}": scores.detach().sigmoid().mean() for name, scores in self._known.items()}


class CriticWrapper(Critic):
    """A critic that changes what another one is given or what it answers; `Part.critic` returns it.

    Override `__call__` and ask `self.inner(samples)`.
    """

    def __init__(self, inner: Critic) -> None:
        super().__init__(
            inner.discriminator,
            inner.batch,
            inner.precision,
            conditional=inner.conditional,
            shown=inner.shown,
            penalties_due=inner.penalties_due,
        )
        self.inner = inner
        """The critic that is wrapped."""
        self._known = inner._known

    def __call__(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples [N, …] -> the output of the wrapped critic."""
        return self.inner(samples, condition)


def scores_of(output: Tensor) -> Tensor:
    """The scores [N] in what a discriminator gives, [N] or [N, 1 + heads] with the score first."""
    return output[:, 0] if output.ndim == 2 else output


def coupling(network: nn.Module) -> str | None:
    """By what the samples of a batch share in a network's output in training: batch norm, or what a layer of it names.

    A layer names it in its attribute `couples_samples`, in a few words: "minibatch standard deviation".
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            return f"batch norm ('{name}')"
        named = getattr(module, "couples_samples", None)
        if isinstance(named, str):
            return named
    return None


def refuse_coupled_samples(discriminator: nn.Module) -> None:
    """Raise InputError for a network with batch norm: there a penalty would not be one per sample.

    A layer with `couples_samples` is let pass: who wrote it knows that the gradient is that of the sum of the scores.
    """
    for name, module in discriminator.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise InputError(
                f"gradient penalties are per sample, and the discriminator has batch norm ('{name}')",
                hint="take networks without it: drop the --with that brings them, or its batch norm",
            )


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within the block the parameters get no gradient; gradients still flow through their network to its input."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
