"""`gankit.Adversary`: a discriminator with its loss, penalties and augmentation, in a loop that is not gankit's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError, PluginError
from gankit.game.game import Networks
from gankit.game.loss import AdversarialLoss
from gankit.game.parts import Part, Step
from gankit.game.state import State
from gankit.host.composition import BUILDERS, EVENTS
from gankit.run.build import Untouched, follow_options, parts_of
from gankit.run.guest import D, Elsewhere, FakesOnly, G, GuestGame, Scores, short_name
from gankit.run.plan import Plan, plan_run
from gankit.settings.layers import Layer

log = logging.getLogger("gankit")

BARE = Path(__file__).with_name("bare.py")  # a variant without a loss, for losses that are objects
EARLY = 50  # steps of D before which it says nothing
WINS, LOSES = 0.98, 0.52  # shares of real samples that are scored above fake ones
LARGE = 1e3  # scores


class Adversary(nn.Module):
    """One adversary of a generator, decoder or student that somebody else trains: what D learns, and what it teaches.

        adversary = gankit.Adversary(discriminator, LOSS, shape=(3, 64, 64), parts=[EXTENSION, …])
        for real in batches:
            fake = decoder(encoder(real))
            adversary.d_step(real, fake)                                   # D moves
            loss = reconstruction(real, fake) + 0.1 * adversary.g_loss(fake, real)
            optimizer.zero_grad(); loss.backward(); optimizer.step()       # your side moves

    It is a module: it moves with `.to`, and its `state_dict` holds D, the loss, the parts, D's optimiser and the
    counters, so that a loop that is continued from it is the uninterrupted one. D is in the mode that you put it in:
    what is frozen in `eval` mode stays so. Parameters of a loss of your own learn with your side: give
    `adversary.loss.parameters()` to your optimiser.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        loss: str | Path | AdversarialLoss,
        *,
        shape: Sequence[int],
        condition: int = 0,
        parts: Sequence[str | Path | Part] = (),
        options: Mapping[str, Any] | None = None,
        lr: float | None = None,
        betas: tuple[float, float] | None = None,
        optimizer: str | None = None,
        weight_decay: float | None = None,
        penalty_every: int | None = None,
        precision: str | None = None,
    ) -> None:
        """An adversary on the device of `discriminator`.

        discriminator: samples [N, *shape] (and y [N, condition]) -> scores [N], raw; or maps of scores [N, …], of which
            every position counts like a sample. It may be wrapped by DistributedDataParallel, not sharded.
        loss: a variant by its name or file ('./mine.py'), whose game is one of scores; or an `AdversarialLoss`.
        shape: of one sample: (C, H, W), (C, T), (C, D, H, W) or (D,).
        parts: extensions by name or file, and `Part` objects: the objects come last, otherwise in their order.
        options: of the variant, {'gamma': 1}, and in tables those of extensions.
        lr, betas, optimizer, weight_decay: D's optimiser; by default as the variant recommends. Numbers here and in
            `options` may follow schedules in images that D has seen: 'cosine(2e-4, 0, 1M)'.
        penalty_every: penalties in every k-th step only, weighed k times.
        precision: fp32, tf32, bf16 or fp16 (with a scaler of its own); None leaves the caller's autocast in force.

        Raises InputError and PluginError as a run does.
        """
        super().__init__()
        module = discriminator.module if isinstance(discriminator, DistributedDataParallel) else discriminator
        _are_arguments(module, loss, shape, condition, parts)
        first = next((parameter for parameter in module.parameters() if parameter.requires_grad), None)
        if first is None:
            raise InputError("the discriminator has no parameters that learn", hint="there is nothing to train in it")
        variant = BARE if isinstance(loss, AdversarialLoss) else loss
        named = [os.fspath(part) for part in parts if isinstance(part, (str, Path))]
        settings = {
            "variant": os.fspath(variant), "extensions": named, "options": options or {},
            "d_lr": lr, "betas": betas, "d_optimizer": optimizer, "weight_decay": weight_decay,
            "penalty_every": penalty_every, "precision": precision, "conditional": condition > 0 or None,
        }  # fmt: skip
        plan = plan_run([Layer("Adversary", {key: value for key, value in settings.items() if value is not None})])
        self.data = DataSpec(tuple(shape), condition=condition)
        """What a sample is."""
        self.discriminator = module
        """D, without what wraps it."""
        with Untouched(plan):
            built = loss if isinstance(loss, AdversarialLoss) else _loss_of(plan, self.data)
            self.loss = built.to(first.device)
            """What both sides minimise."""
            networks = Networks(Elsewhere(), Scores(module, built))
            self._game = GuestGame(networks, self.loss, plan, first.device, callers=precision is None)
            objects = [(type(part).__name__.lower(), part) for part in parts if isinstance(part, Part)]
            supplied = dict(parts_of(plan, self._game, self.data))
            _refuse_idle(plan, supplied, of_a_variant=not isinstance(loss, AdversarialLoss))
            for name, part in [*supplied.items(), *objects]:
                self._game.add_part(name, part)
        follow_options(plan, self._game)
        if self._game.has_shares:
            raise InputError("a schedule in shares of a budget: an adversary has none", hint="write it in images, 10k")
        self.parts = nn.ModuleDict({name.replace(".", "_"): part for name, part in self._game.parts.items()})
        """What takes part beside the loss, by name."""
        self.extra = nn.ModuleDict({name.replace(".", "_"): net for name, net in networks.extra.items()})
        """Networks that parts have added, by name; they move with D."""
        if any(parameter.requires_grad for parameter in self.loss.parameters()):
            log.warning("the loss has parameters: they learn with your side, adversary.loss.parameters()")
        self.stats: dict[str, Tensor] = {}
        """Statistics of the last step of D, as 0-d tensors: terms, scores, the norm of its gradient."""
        self._open: Step | None = None

    # -- D's side ------------------------------------------------------------------------------------------------------

    def d_step(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Show real and fake samples [N, *shape] to D, which moves once; statistics as 0-d tensors.

        `fake` may have a graph: no gradient flows into it. `condition` [N, K] and `labels` [N] are those of both.
        """
        self.optimizer.zero_grad()
        self._game.pending = 0
        loss = self._loss_of_d(real, fake, condition, labels)
        self._game.players[D].scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return self.d_update()

    def d_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """What D minimises, for a caller that does the backward pass itself; then comes `d_update`.

        For accumulated gradients it is called, divided and backpropagated several times before one `d_update`.
        InputError with fp16, whose losses are scaled in `d_step`.
        """
        if self._game.players[D].scaler.is_enabled():
            raise InputError(
                "d_loss gives a loss that is not scaled, and fp16 needs one that is",
                hint="d_step, precision='bf16', or precision=None and a GradScaler of yours",
            )
        return self._loss_of_d(real, fake, condition, labels)

    def _loss_of_d(self, real: Tensor, fake: Tensor, condition: Tensor | None, labels: Tensor | None) -> Tensor:
        if not torch.is_grad_enabled():
            raise InputError("D's step within torch.no_grad()", hint="with torch.enable_grad(), or not in validation")
        self._check(real=real, fake=fake, condition=condition)
        self._game.attend()
        condition = None if condition is None else condition.detach()
        batch = Batch(real.detach(), fake.detach(), None, labels, condition)  # type: ignore[arg-type]
        self._open = self._game.begin(D, len(real))
        return self._game.objective(self._open, batch)

    def d_update(self) -> dict[str, Tensor]:
        """D's gradients are there: average them over processes, let parts see them, and move D."""
        if self._open is None:
            raise InputError("there is no step of the discriminator to finish", hint="d_loss and its backward() first")
        if all(parameter.grad is None for parameter in self._game.players[D].parameters.values()):
            raise InputError("the discriminator has no gradients to move by", hint="backward() after d_loss")
        self.stats = self._game.finish(self._open)
        self.optimizer.zero_grad()
        self._open = None
        return self.stats

    # -- the other side ------------------------------------------------------------------------------------------------

    def g_loss(
        self, fake: Tensor, real: Tensor | None = None, condition: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """What the generator minimises on its samples [N, *shape], a scalar with their graph; D gets no gradient.

        Losses that compare with real samples (relativistic ones) need `real` [N, *shape].
        """
        self._check(real=real, fake=fake, condition=condition)
        if torch.is_grad_enabled() and not fake.requires_grad:
            raise InputError("g_loss: the fake samples carry no graph", hint="what your network made, undetached")
        batch = FakesOnly(fake, labels, condition) if real is None else Batch(real, fake, None, labels, condition)  # type: ignore[arg-type]
        with self._game.only(G):
            step = self._game.begin(G, len(fake))
            return self._game.objective(step, batch)  # type: ignore[arg-type]

    def verdict(self) -> str:
        """In words which side runs away, from the scores of about the last hundred steps of D; it waits for a GPU."""
        ordered, size = self._game.watched.tolist()
        if self.steps < EARLY:
            return f"too early to say: D has moved {self.steps} times"
        if size > LARGE:
            return (
                f"the scores run away (about {size:.3g}): give D a gradient penalty (parts=['r1']) or spectral norm, "
                "or a smaller lr"
            )
        if ordered > WINS:
            return (
                f"the discriminator wins: it scores {ordered:.0%} of the real samples above the fake ones, and teaches "
                "little; a gradient penalty (parts=['r1']), augmentation (parts=['diffaugment']), or a smaller lr for D"
            )
        if ordered < LOSES:
            return (
                f"the discriminator learns nothing: it scores {ordered:.0%} of the real samples above the fake ones; "
                "a larger lr for it, a weaker penalty, or a smaller weight of g_loss"
            )
        return f"both sides play: D scores {ordered:.0%} of the real samples above the fake ones"

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def optimizer(self) -> Optimizer:
        """D's optimiser."""
        return self._game.players[D].optimizer

    @property
    def steps(self) -> int:
        """How often D has moved."""
        return self._game.steps

    def get_extra_state(self) -> State:
        """The optimiser, the counters and the scaler as tensors and numbers by name, for `state_dict`."""
        return self._game.counters()

    def set_extra_state(self, state: State) -> None:
        """Restore what `get_extra_state` gave."""
        self._game.restore(state)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move (`.to`, `.cuda`, `.double`): D's optimiser moves too, and its counters of steps keep their type."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for state in self.optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    state[key] = fn(value).to(value.dtype) if key == "step" else fn(value)
        return self

    def _check(self, *, real: Tensor | None, fake: Tensor, condition: Tensor | None) -> None:
        """InputError for samples that are not what was said, before anything is changed."""
        shape, device = self.data.shape, next(self.discriminator.parameters()).device
        for name, samples in (("real", real), ("fake", fake)):
            if samples is None and name == "real":
                continue
            if not isinstance(samples, Tensor):
                raise InputError(f"{name} samples are {type(samples).__name__}, not a tensor", hint="torch.as_tensor")
            if not samples.is_floating_point():
                raise InputError(
                    f"{name} samples are {short_name(samples.dtype)}", hint="floats, as your network makes them"
                )
            if tuple(samples.shape[1:]) != shape:
                wanted = ", ".join(map(str, ("N", *shape)))
                raise InputError(
                    f"{name} samples are {list(samples.shape)}, not [{wanted}]", hint="shape=… says what they are"
                )
            if samples.device != device:
                raise InputError(
                    f"{name} samples are on {samples.device}, the discriminator on {device}", hint="move one of them"
                )
        if not len(fake):
            raise InputError("there are no samples in the batch", hint="drop empty batches")
        if real is not None and len(real) != len(fake):
            raise InputError(f"{len(real)} real and {len(fake)} fake samples", hint="as many of both")
        length = self.data.condition
        if (condition is None) == bool(length) or (condition is not None and condition.shape != (len(fake), length)):
            given = "no condition" if condition is None else f"conditions {list(condition.shape)}"
            raise InputError(
                f"{given}: this adversary takes [{len(fake)}, {length}]", hint="condition=… says how many numbers"
            )


def _refuse_idle(plan: Plan, supplied: Mapping[str, Part], *, of_a_variant: bool) -> None:
    """InputError for an extension that builds or watches what an adversary does not have: it would do nothing."""
    built = set(BUILDERS) - ({"gankit_loss"} if of_a_variant else set())
    for extension in plan.composition.extensions:
        hooks = plan.composition.hooks_of(extension)
        changed = sorted(hooks & built)
        if changed:
            raise InputError(
                f"extension '{extension.name}' changes what gankit builds ({', '.join(changed)}), which is yours here",
                hint="leave it out of `parts`, and build it into your discriminator or loss",
            )
        if hooks & set(EVENTS) and extension.name not in supplied:
            raise InputError(
                f"extension '{extension.name}' watches runs of gankit, and this loop is yours",
                hint="leave it out of `parts`; `adversary.stats` has the numbers of each step",
            )


def _are_arguments(module: object, loss: object, shape: object, condition: object, parts: object) -> None:
    """InputError for arguments of other types than an adversary takes."""
    if not isinstance(module, nn.Module):
        raise InputError(f"the discriminator is {_kind(module)}, not a torch.nn.Module", hint="a network of yours")
    if any(hasattr(parameter, "device_mesh") for parameter in module.parameters()):  # a DTensor
        raise InputError(
            "the discriminator is sharded, and its gradients are averaged over the processes here",
            hint="give D whole; your own networks may be sharded",
        )
    if not isinstance(loss, (str, Path, AdversarialLoss)):
        raise InputError(f"the loss is {_kind(loss)}", hint="the name or file of a variant, or an AdversarialLoss")
    sides = isinstance(shape, Sequence) and all(isinstance(side, int) and side > 0 for side in shape)
    if not sides or not shape:
        raise InputError(f"shape={shape}", hint="the form of one sample without N, such as (3, 64, 64)")
    if not isinstance(condition, int) or condition < 0:
        raise InputError(f"condition={condition}", hint="the length of y, or 0")
    if isinstance(parts, str) or not isinstance(parts, Sequence):
        raise InputError(f"parts={parts!r}: not a list", hint="parts=['r1']")
    for part in parts:
        if not isinstance(part, (str, Path, Part)):
            raise InputError(f"a part is {_kind(part)}", hint="a name, such as 'r1', a file, or a Part object")


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _loss_of(plan: Plan, data: DataSpec) -> AdversarialLoss:
    built = plan.composition.hook.gankit_loss(data=data, options=plan.live.options)
    if not isinstance(built, AdversarialLoss):
        raise PluginError(f"gankit_loss returned {type(built).__name__}", hint="it must return an AdversarialLoss")
    if built.output.code:
        raise InputError(
            f"the discriminator of {plan.composition.info.title} is an auto-encoder", hint="a loss on scores"
        )
    if built.output.heads:
        raise InputError(f"{plan.composition.info.title} reads more than scores", hint="a loss on scores")
    return built
