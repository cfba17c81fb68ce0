"""`gankit diagnose --spectrum`: a trained game where it stands: does it turn, how steep is D, how many z does G use?

A run is read and never written: its last intact checkpoint, without its lock. See Mescheder et al. 2017 (arXiv
1705.10461) and Berard et al. 2019 (1906.04848) for the eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from gankit.base.seeds import derive_seed
from gankit.contracts import Batch
from gankit.data import Sampler
from gankit.errors import InputError
from gankit.game.critic import Critic
from gankit.game.field import VectorField
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.game.state import below
from gankit.look.arnoldi import Eigenvalue, leading
from gankit.look.sensitivity import Participation, Spread, participation, slopes
from gankit.machine import streams
from gankit.machine.device import choose_device
from gankit.run.build import NO_SECOND_DERIVATIVE, build_loop, data_spec, explained, latent_space, own_streams
from gankit.run.plan import load_data, plan_run, stored_settings
from gankit.run.rehearsal import has_own_game
from gankit.settings.layers import RUN, Layer
from gankit.store import checkpoint
from gankit.store.checkpoint import Checkpoint
from gankit.store.run_folder import RunFolder

T = TypeVar("T")

EIGENVALUES, PRODUCTS = 20, 100  # that are looked for, and products with the Jacobian at most
POINTS, SAMPLES = 256, 128  # of the game that is looked at: few samples have growing directions of their own
DRAWS = 32  # z at which G is looked at
MOST_BYTES = 4 << 30  # of the vectors of Arnoldi's method


@dataclass(frozen=True)
class Spectrum:
    """What was found at one checkpoint of a run."""

    folder: str
    variant: str
    images_seen: int
    batch: int
    """Real samples, and as many fakes, of the game that was looked at."""
    parameters: int
    """Of all players."""
    eigenvalues: tuple[Eigenvalue, ...]
    """The leading ones of the Jacobian of (-dL_p/dtheta_p) of all players, the largest modulus first."""
    slopes: Mapping[str, Spread]
    """|dD/dx| at 'real' samples, 'between' real and fake ones, and at 'fake' ones."""
    participation: Participation | None
    """Of z in dG/dz, for the averaged generator."""
    missing: Mapping[str, str]
    """'eigenvalues', 'slopes' or 'participation' -> why it could not be told."""

    @property
    def settled(self) -> tuple[complex, ...]:
        """The eigenvalues that more products would hardly change."""
        return tuple(found.value for found in self.eigenvalues if found.settled())

    @property
    def rotation(self) -> float | None:
        """The sum of |Im| over the sum of |λ| of the settled eigenvalues; 1: the game only turns, 0: it never does."""
        total = sum(map(abs, self.settled))
        return sum(abs(value.imag) for value in self.settled) / total if total else None

    @property
    def growing(self) -> tuple[complex, ...]:
        """The settled eigenvalues with a positive real part, beyond rounding."""
        least = 1e-3 * max(map(abs, self.settled), default=0.0)
        return tuple(value for value in self.settled if value.real > least)

    @property
    def largest_step(self) -> float | None:
        """The largest step with which plain gradient descent contracts along all settled ones; None: there is none."""
        if not self.settled or any(value.real >= 0 for value in self.settled):
            return None
        return min(-2 * value.real / abs(value) ** 2 for value in self.settled)


def spectrum(path: Path, *, batch: int | None = None, products: int = PRODUCTS, **changes: Any) -> Spectrum:
    """Look at the game of a run at its last checkpoint, on `batch` fixed real samples and as many z.

    By default these are 256 points, or 128 samples of another kind; at least a batch of the run, at most all data.
    `changes` replace settings of the run: the device, the place of the data, a variant or extensions that were files.
    InputError without a run, a checkpoint or the data; PluginError without the plugins.
    """
    folder = RunFolder(path)
    saved = stored_settings(folder, changes)
    found = checkpoint.newest(folder.checkpoints)
    if found is None:
        raise InputError(f"{path} has no checkpoint yet", hint=f"one is written when it stops: gankit resume {path}")
    plan = plan_run([Layer(RUN, saved), Layer("argument", {**changes, "precision": "fp32"})])
    device = choose_device(plan.config.device)
    dataset = load_data(plan)
    if dataset.fingerprint != folder.identity()["data"]["fingerprint"]:
        raise InputError(
            f"{path} was trained on other data: '{plan.config.data}' has changed since", hint="bring the old data back"
        )
    space = latent_space(plan, dataset)
    usual = POINTS if dataset.spec.kind == "points" else SAMPLES
    n = min(batch or max(usual, plan.config.batch), len(dataset))
    with own_streams(device):
        loop = build_loop(plan, data_spec(dataset, space), device)
        _load(loop, found, device)
        seed = derive_seed(plan.config.seed, "spectrum")
        sampler = Sampler(dataset, batch=n, seed=seed, device=device, conditional=plan.config.conditional)
        with closing(sampler):
            data = sampler.batch(0)
        try:
            look = _Look(loop, space, data, seed)
            size, missing = look.size, look.missing
            told_slopes = look.told("slopes", look.slopes)
            told_participation = look.told("participation", look.participation)
            eigenvalues = look.told("eigenvalues", lambda: look.eigenvalues(products))
        except RuntimeError as error:
            in_words = explained(error, replace(plan.config, batch=n), dataset.spec.shape)
            if in_words is None:
                raise
            raise in_words from error
    return Spectrum(
        folder=str(path),
        variant=plan.composition.variant.name,
        images_seen=found.step * plan.config.batch,
        batch=n,
        parameters=size,
        eigenvalues=tuple(eigenvalues or ()),
        slopes=told_slopes or {},
        participation=told_participation,
        missing=missing,
    )


def _load(loop: TrainingLoop, found: Checkpoint, device: torch.device) -> None:
    """The state of a checkpoint into a loop."""
    state: dict[str, Any] = {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in below("loop", found.state).items()
    }
    try:
        loop.load_state_dict(state)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{found.folder} does not hold the state of this run: {type(error).__name__}: {error}",
            hint="the plugins are not those that it was trained with",
        ) from error


class _Look:
    """One game at one place, on one batch."""

    def __init__(self, loop: TrainingLoop, space: LatentSpace, data: Batch, seed: int) -> None:
        self.loop, self.space, self.data, self.seed = loop, space, data, seed
        self.size = sum(p.numel() for player in loop.players.values() for p in player.parameters.values())
        self.missing: dict[str, str] = {}
        self.z = space.draw(len(data.real), derive_seed(seed, "z"))[0].to(loop.device)

    def told(self, what: str, look: Callable[[], T]) -> T | None:
        """What is found, or None and the reason in `missing` where this game cannot be looked at so."""
        streams.seed_all(self.seed)
        try:
            return look()
        except (_UntoldError, FloatingPointError) as error:
            self.missing[what] = str(error)
        except RuntimeError as error:
            if not NO_SECOND_DERIVATIVE.match(str(error)):
                raise
            self.missing[what] = f"an operation cannot be differentiated that often: {str(error).splitlines()[0]}"
        return None

    def slopes(self) -> dict[str, Spread]:
        loop, output = self.loop, self.loop.loss.output
        if output.code:
            raise _UntoldError("this discriminator reconstructs samples and does not score them")
        with torch.no_grad():
            fake = loop.generate(self.z, self.data.condition)
        batch = replace(self.data, fake=fake, z=self.z)
        discriminator = loop.networks.discriminator.eval()
        try:
            return slopes(Critic(discriminator, batch, loop.precision, conditional=output.condition != "none"))
        except (RuntimeError, TypeError) as error:
            if not has_own_game(loop) or NO_SECOND_DERIVATIVE.match(str(error)):
                raise
            raise _UntoldError("the discriminator of this game judges something else than samples") from error

    def participation(self) -> Participation:
        drawn = self.space.draw(DRAWS, derive_seed(self.seed, "draws"))
        return participation(self.loop.generator, *(part.to(self.loop.device) for part in drawn if part is not None))

    def eigenvalues(self, products: int) -> list[Eigenvalue]:
        field = VectorField(self.loop, self.data, self.z)
        most = min(products, MOST_BYTES // (4 * field.size))
        if most < min(products, EIGENVALUES):
            raise _UntoldError(f"{field.size:,} parameters are too many for {products} vectors of them in memory")
        # The transposed Jacobian has the same eigenvalues, and a product with it is one backward pass.
        return leading(field.transposed, field.value, count=EIGENVALUES, most=most, seed=self.seed)


class _UntoldError(Exception):
    """Why this game cannot be looked at in one of the ways."""
