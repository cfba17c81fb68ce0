"""The figure of articles on GANs: both densities and D(x) at moments of training on a known distribution."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gankit.base.text import printable
from gankit.contracts import CriticOutput, VariantInfo
from gankit.data.sets.synthetic import MIXTURES, Mixture
from gankit.errors import InputError, Stopped
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.hookspecs import hookimpl
from gankit.machine.device import choose_device
from gankit.run.build import build_loop, data_spec, latent_space, own_streams
from gankit.run.plan import Plan, load_data, plan_run, stored_settings
from gankit.run.run import Run
from gankit.run.train import train_layers
from gankit.sample.pictures import generate
from gankit.score.mode_counts import count_modes, nearest_modes
from gankit.settings.layers import Layer, chosen
from gankit.store import checkpoint
from gankit.store.run_folder import RunFolder

SAMPLES_PER_MOMENT = 10_000
ARROWS = 17  # arrows drawn from z to x
GRID_1D, GRID_2D = 641, 96  # places along an axis at which D is evaluated
LAST_OVER_FIRST = 64  # ratio of the last moment to the first one after the start

# In 1-D the discriminator is near its optimum and the generator slow, as the articles assume. In 2-D both have the
# settings of the variant.
LINE: dict[str, Any] = {
    "data": "gaussian1d",
    "device": "cpu",
    "z_dim": 1,
    "images": 1_000_000,
    "batch": 512,
    "d_steps": 5,
    "d_lr": 2e-3,
    "g_lr": 5e-4,
}
PLANE: dict[str, Any] = {"device": "cpu", "z_dim": 2, "images": 200_000}


@dataclass(frozen=True)
class Moment:
    """One moment of a training: samples [n, D], and scores and density at each place of the figure's grid."""

    images_seen: int
    samples: Tensor
    scores: Tensor  # [places]; scores of D
    density: Tensor | None  # [places]; density of the generator in 1-D
    arrows: tuple[Tensor, Tensor] | None  # z [a] and x [a], if both are one-dimensional


@dataclass(frozen=True)
class Figure:
    """The content of a figure: the true distribution, the places [places, D] where D is evaluated, and the moments."""

    data: str
    truth: Mixture
    places: Tensor
    meaning: str  # meaning of a score: 'logits' (sigmoid estimates P(real)), 'raw', or 'error' of an auto-encoder
    moments: tuple[Moment, ...]

    @property
    def dim(self) -> int:
        """1 or 2."""
        return self.truth.dim

    def numbers(self, moment: Moment) -> dict[str, float]:
        """The numbers beside the picture: |D - D*| in one dimension, covered modes and sharp samples in two."""
        if self.dim == 1:
            return {} if self.meaning != "logits" else {"d_error": self.distance_to_optimum(moment)}
        covered, sharp = modes(moment.samples, self.truth)
        return {"modes": covered, "of": len(self.truth.centres), "high_quality": sharp}

    def optimum(self, moment: Moment) -> Tensor:
        """D*(x) = p_data / (p_data + p_g) [places], p_g a kernel estimate (Goodfellow et al. 2014, proposition 1)."""
        assert moment.density is not None
        return optimal_discriminator(self.truth.density(self.places), moment.density)

    def distance_to_optimum(self, moment: Moment) -> float:
        """Mean |D - D*| over the mixture of both densities, 0 to 1."""
        assert moment.density is not None
        both = self.truth.density(self.places) + moment.density
        return float((both / both.sum() * (torch.sigmoid(moment.scores) - self.optimum(moment)).abs()).sum())


def optimal_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """p_data / (p_data + p_g); 1/2 where both densities are 0."""
    both = real + fake
    share: Tensor = torch.where(both > 1e-12, real / both.clamp_min(1e-12), 0.5)
    return share


def kernel_density(samples: Tensor, places: Tensor) -> Tensor:
    """Samples [n, 1] -> their density [m] at places [m, 1], by Gaussian kernels of Silverman's width."""
    values = samples[:, 0].double()
    spread = torch.minimum(values.std(), (values.quantile(0.75) - values.quantile(0.25)) / 1.34)
    width = (0.9 * spread * len(values) ** -0.2).clamp_min(1e-3)
    near: Tensor = torch.exp(-0.5 * ((places.double() - values[None]) / width).square()).mean(1)
    density: Tensor = near / (width * math.sqrt(2 * math.pi))
    return density.float()


def modes(samples: Tensor, truth: Mixture) -> tuple[int, float]:
    """The modes that hold a tenth of their share, and the share of samples within three standard deviations of one."""
    weights = np.full(len(truth.centres), 1 / len(truth.centres))
    counted = count_modes(nearest_modes(samples, truth), weights)
    return counted.held, counted.good


def with_defaults(layers: Sequence[Layer]) -> list[Layer]:
    """The layers above the usual settings of the figure, in 1-D or 2-D."""
    data = chosen([*layers], "data", LINE["data"])
    return [Layer("figure", LINE if data == LINE["data"] else PLANE), *layers]


def figure_of_training(
    layers: Sequence[Layer],
    *,
    moments: int,
    observers: Sequence[object] = (),
    on_step: Callable[[Run], None] | None = None,
) -> Figure:
    """Train in a temporary folder and record D and G at `moments` moments, denser at the beginning."""
    plan = plan_run([*layers])
    truth = truth_of(plan.config.data)
    _refuse_conditional(plan)
    total = plan.config.total_images
    if total is None:
        raise InputError("the figure needs a budget in images", hint="--images 60k")
    times = {0, *(round(total * LAST_OVER_FIRST ** (i / (moments - 1) - 1)) for i in range(1, moments))}
    watcher = _Watcher(truth, sorted(times))

    def after_step(run: Run) -> None:
        watcher.after_step(run)
        if on_step is not None:
            on_step(run)

    with tempfile.TemporaryDirectory(prefix="gankit-figure-") as folder:
        try:
            train_layers([*layers], Path(folder) / "run", observers=[*observers, watcher], on_step=after_step)
        except Stopped as stop:  # its message would promise a run to continue, and this one is deleted
            raise Stopped("stopped; no figure was drawn", signal_number=stop.signal_number) from stop
    return _figure(plan, truth, watcher.meaning, watcher.moments)


def figure_of_run(folder: Path, *, variant: str | None = None, extensions: Sequence[str] = ()) -> Figure:
    """The figure of a run: its start, which follows from its seed, and each checkpoint that it keeps."""
    run = RunFolder(folder)
    plugins: dict[str, Any] = {"variant": variant} if variant else {}
    plugins |= {"extensions": list(extensions)} if extensions else {}
    plan = plan_run([Layer("run", stored_settings(run, plugins)), Layer("argument", plugins)])
    truth = truth_of(plan.config.data)
    _refuse_conditional(plan)
    dataset = load_data(plan)
    device = choose_device("cpu")
    space = latent_space(plan, dataset)
    moments: list[Moment] = []
    with own_streams(device):
        loop = build_loop(plan, data_spec(dataset, space), device)
        meaning = meaning_of(plan.composition.info, loop.loss.output)
        moments.append(look(loop, space, truth, 0, meaning))
        for step, path in reversed(checkpoint.steps(run.checkpoints)):
            state = checkpoint.read(path).state
            loop.load_state_dict({k.removeprefix("loop."): v for k, v in state.items() if k.startswith("loop.")})
            moments.append(look(loop, space, truth, step * plan.config.batch, meaning))
    return _figure(plan, truth, meaning, moments)


def truth_of(data: str) -> Mixture:
    """The mixture from which a data set is drawn; InputError for a data set without a known one."""
    if data not in MIXTURES:
        names = ", ".join(MIXTURES)
        raise InputError(f"the density of '{printable(data)}' is not known", hint=f"it is known for {names}")
    return MIXTURES[data]


@torch.no_grad()
def look(loop: TrainingLoop, space: LatentSpace, truth: Mixture, images_seen: int, meaning: str) -> Moment:
    """The moment of the players as they are now; training is not affected.

    In 1-D samples are those of the training generator, against which D is compared with D*. In 2-D they are those of
    its average, which users sample.
    """
    generator = loop.networks.generator.eval() if truth.dim == 1 else loop.generator
    discriminator = loop.networks.discriminator.eval()
    samples = generate(generator, space.draw(SAMPLES_PER_MOMENT, 0)[0], batch=2_000)
    places = places_of(truth).to(loop.device)
    output = discriminator(places).float().cpu()
    if meaning == "error":
        scores = (output - places.cpu()).abs().flatten(1).mean(1)
    else:
        scores = output[:, 0] if output.ndim == 2 else output
    arrows = None
    if space.z_dim == 1 and truth.dim == 1:
        share = (torch.arange(ARROWS) + 0.5) / ARROWS
        z = torch.special.ndtri(share) if space.prior == "normal" else 2 * share - 1
        arrows = (z, generate(generator, z[:, None])[:, 0])
    density = kernel_density(samples, places.cpu()) if truth.dim == 1 else None
    return Moment(images_seen, samples, scores, density, arrows)


def places_of(truth: Mixture) -> Tensor:
    """Places around the data at which D is evaluated: [641, 1], or [96 * 96, 2] row by row from the lower left."""
    centres = torch.from_numpy(truth.centres).float()
    reach = max(1.5, 8 * truth.sigma) if truth.dim == 1 else 0.5 * float(centres.abs().max())
    low, high = centres.min(0).values - reach, centres.max(0).values + reach
    if truth.dim == 1:
        return torch.linspace(float(low), float(high), GRID_1D)[:, None]
    axes = [torch.linspace(float(low[i]), float(high[i]), GRID_2D) for i in range(2)]
    y, x = torch.meshgrid(axes[1], axes[0], indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def meaning_of(info: VariantInfo, output: CriticOutput) -> str:
    """'error' for an auto-encoder, else the meaning that the variant declares."""
    return "error" if output.code else info.scores


@dataclass
class _Watcher:
    """Records the moments of a run: as an observer at its start, then after each step."""

    truth: Mixture
    times: list[int]
    moments: list[Moment] = field(default_factory=list)
    meaning: str = "raw"

    @hookimpl
    def gankit_run_start(self, run: Run) -> None:
        self.meaning = meaning_of(run.plan.composition.info, run.loop.loss.output)
        self.after_step(run)

    def after_step(self, run: Run) -> None:
        """Record a moment if it is due."""
        done = len(self.moments)
        if done < len(self.times) and run.images_seen >= self.times[done]:
            with torch.random.fork_rng(devices=[]):
                self.moments.append(look(run.loop, run.space, self.truth, run.images_seen, self.meaning))


def _refuse_conditional(plan: Plan) -> None:
    if plan.config.conditional:
        raise InputError("the figure cannot show conditions", hint="use a run without --conditional")


def _figure(plan: Plan, truth: Mixture, meaning: str, moments: Sequence[Moment]) -> Figure:
    distinct = {moment.images_seen: moment for moment in moments}
    return Figure(plan.config.data, truth, places_of(truth), meaning, tuple(distinct.values()))


def describe(figure: Figure) -> list[dict[str, float]]:
    """One row per moment, for --json."""
    return [{"images_seen": moment.images_seen, **figure.numbers(moment)} for moment in figure.moments]
