"""Do plugins keep their rules here, is the arithmetic right, does fp16 hold, does a step wait?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gankit.contracts import Batch
from gankit.errors import GankitError, Stopped
from gankit.game.critic import Critic
from gankit.game.parts import Part, Step
from gankit.game.players import Player
from gankit.machine.precision import Precision
from gankit.run.build import own_streams
from gankit.testing import CHECKS, Subject, run_checks
from on_gpu.play import playing
from on_gpu.record import Figure
from on_gpu.scale import Scale, why

# Relative errors of the values of losses, and of the gradients of a player taken together.
# On a CPU (EPYC) the largest of all variants were 2e-7 and 1e-3 in fp32, 3e-3 and 0.16 in bf16, 3e-4 and 0.04 in fp16.
BOUNDS = {"fp32": (1e-4, 1e-2), "tf32": (1e-2, 5e-2), "fp16": (1e-2, 0.1), "bf16": (5e-2, 0.3)}
FP16_SCALE = 256.0  # of the loss: a run begins with 65,536 and halves it in its first steps, which are skipped
DRAWS = {torch.rand, torch.randn, torch.rand_like, torch.randn_like}


def check(scale: Scale) -> Iterator[Figure]:
    """`gankit plugin check` of every variant and extension; what takes two processes runs on a CPU anyway."""
    checks = [check for check in CHECKS if check.name != "two_processes"][: scale.of(None, 14)]
    for name in (*scale.variants, *scale.extensions) if scale.full else ("gan",):
        try:
            subject = Subject.of(name, device=str(scale.device))
            outcomes = list(run_checks(subject, checks))
        except GankitError as error:
            yield Figure(name, "not here", note=error.message)
            continue
        failed = [f"{outcome.check.name}: {outcome.reason}" for outcome in outcomes if outcome.reason is not None]
        passed = len(outcomes) - len(failed)
        yield Figure(name, passed, f"of {len(outcomes)} checks", target="all", ok=not failed, note="; ".join(failed))


# -- values and gradients against float64 ------------------------------------------------------------------------------


class SameDraws(TorchFunctionMode):
    """Random numbers are drawn in float32, whatever they are wanted in: each precision gets the same ones."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function not in DRAWS:
            return function(*args, **kwargs)
        like = args[0] if args and isinstance(args[0], Tensor) else None
        dtype = kwargs.pop("dtype", None) or (torch.float32 if like is None else like.dtype)
        drawn = function(*(args if like is None else (like.float(), *args[1:])), **kwargs, dtype=torch.float32)
        return drawn.to(dtype)


class Terms(Part):
    """Keeps the mean of each term of each phase."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Tensor] = {}

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        self.found |= {f"{step.name}/{name}": term.detach().double().mean() for name, term in step.terms.items()}
        return {}


def first_moves(subject: Subject, precision: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The terms of each phase, and the gradients of its player in one vector, from the initial weights."""
    wide = precision == "fp64"
    loop = subject.loop(precision="fp32" if wide else precision)
    seen = Terms()
    loop.add_part("terms", seen)
    if wide:
        loop.precision = Precision("fp64", subject.device)
        for module in loop._modules().values():
            module.double()
        draw = loop.sample_z
        loop.sample_z = lambda n: draw(n).double()  # type: ignore[method-assign]
    before = {k: v.clone() if isinstance(v, Tensor) else v for k, v in loop.state_dict().items()}
    gradients: dict[str, Tensor] = {}
    for name, phase in loop.phases.items():
        loop.load_state_dict(before)
        player = loop.players[phase.player]
        if player.scaler.is_enabled():
            player.scaler.load_state_dict({**player.scaler.state_dict(), "scale": FP16_SCALE})
        hook = player.optimizer.register_step_pre_hook(
            lambda *_, name=name, player=player: gradients.__setitem__(name, flat(player))
        )
        torch.manual_seed(1)
        with SameDraws():
            loop.play(name, _as(subject.batch(loop, 0), wide))
        hook.remove()
    return seen.found, gradients


def flat(player: Player) -> Tensor:
    """The gradients of a player, unscaled, as one vector of float64."""
    # The scale goes to a fused optimiser; the others are given gradients without it.
    fused = getattr(player.optimizer, "_step_supports_amp_scaling", False)
    scale = player.scaler.get_scale() if fused else 1.0
    return torch.cat([p.grad.double().flatten() / scale for p in player.parameters.values() if p.grad is not None])


def _as(data: Batch, wide: bool) -> Batch:
    if not wide:
        return data
    condition = None if data.condition is None else data.condition.double()
    fresh = None if data.fresh is None else _as(data.fresh, wide)
    return Batch(data.real.double(), labels=data.labels, condition=condition, fresh=fresh)


def arithmetic(scale: Scale) -> Iterator[Figure]:
    """Values of all losses and gradients of all players in every precision, against float64."""
    precisions = scale.of(("fp32", "tf32", "bf16", "fp16"), ("fp32", "bf16"))
    for variant in scale.variants:
        try:
            with own_streams(scale.device):
                subject = Subject.of(variant, device=str(scale.device))
                terms, gradients = first_moves(subject, "fp64")
                for precision in precisions:
                    own, moved = first_moves(subject, precision)
                    of_terms = max(abs(float(own[n] - terms[n])) / max(1.0, abs(float(terms[n]))) for n in terms)
                    of_gradients = max(float((moved[n] - g).norm() / g.norm()) for n, g in gradients.items())
                    of_losses, of_players = BOUNDS[precision]
                    for what, error, bound in (
                        ("losses", of_terms, of_losses),
                        ("gradients", of_gradients, of_players),
                    ):
                        ok = error <= bound  # False for NaN
                        yield Figure(f"{variant}, {what} in {precision}", error, target=f"<= {bound:g}", ok=ok)
        except Stopped:
            raise
        except Exception as error:
            yield _broken(variant, error)


# -- fp16 over many steps ----------------------------------------------------------------------------------------------


def fp16(scale: Scale) -> Iterator[Figure]:
    """Many steps of every variant in fp16: nothing becomes NaN, and how many steps are skipped."""
    steps = scale.of(2_000, 3)
    for variant in scale.variants:
        try:
            with playing(scale, variant=variant, data="digits", precision="fp16") as play:
                skipped: dict[str, Tensor] = {}
                for _ in range(steps):
                    for name, value in play.step().items():
                        if name.startswith("skipped/"):
                            skipped[name] = skipped.get(name, torch.zeros_like(value)) + value
                bad = [name for name, value in play.state().items() if not _finite(value)]
        except Exception as error:
            yield _broken(variant, error)
            continue
        counts = {name.removeprefix("skipped/"): int(value) for name, value in skipped.items()}
        note = ", ".join(f"{count} steps of {player} skipped" for player, count in counts.items())
        few = max(counts.values(), default=0) <= max(20, steps // 50)
        yield Figure(
            variant, len(bad), "tensors not finite", target="0, few steps skipped", ok=not bad and few, note=note
        )


def _finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


# -- a step never waits for the device ---------------------------------------------------------------------------------


def waiting(scale: Scale) -> Iterator[Figure]:
    """Steps of every variant and extension, with their batches, where PyTorch raises if they wait for the device."""
    cases: list[tuple[str, dict[str, Any]]] = [(name, {"variant": name}) for name in scale.variants]
    cases += [(f"with {name}", {"variant": "gan", "extensions": [name]}) for name in scale.extensions]
    cases += [
        ("conditional", {"variant": "gan", "conditional": True}),
        ("mirrored images", {"variant": "gan", "mirror": True}),
        ("data on the host", {"variant": "gan", "resident": False}),
    ]
    for name, case in cases:
        try:
            with playing(scale, data="digits", precision="fp32", **case) as play:
                play.steps(6)
                with never_waiting(scale.device):
                    play.steps(6)
        except Exception as error:
            yield _broken(name, error)
            continue
        yield Figure(name, 0, "waits", target="none", ok=True)


@contextmanager
def never_waiting(device: torch.device) -> Iterator[None]:
    """Within the block a wait for the device is a RuntimeError. Nothing of the kind exists for a CPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _broken(name: str, error: Exception) -> Figure:
    """What is refused in words is not tried here; all else has failed."""
    if isinstance(error, GankitError):
        return Figure(name, "not here", note=error.message)
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_filename.rpartition("/")[2] + f":{trace.tb_lineno}")
        trace = trace.tb_next
    return Figure(name, "broken", target="no exception", ok=False, note=f"{why(error)} ({' < '.join(frames[:-5:-1])})")
