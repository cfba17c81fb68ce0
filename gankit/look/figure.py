"""The figure of articles on GANs: both densities and D(x) at moments of training on a known distribution."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gankit.base.text import printable
from gankit.contracts import CriticOutput, VariantInfo
from gankit.data.sets.synthetic import MIXTURES, Mixture
from gankit.errors import InputError, Stopped
from gankit.game.critic import scores_of
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.hookspecs import hookimpl
from gankit.look.densities import kernel_density, modes, optimal_discriminator, wasserstein
from gankit.machine.device import choose_device
from gankit.run.build import build_loop, data_spec, latent_space, own_streams
from gankit.run.plan import Plan, load_data, plan_run, stored_settings
from gankit.run.run import Run
from gankit.run.train import train_layers
from gankit.sample.pictures import generate
from gankit.settings.layers import Layer, chosen
from gankit.settings.option import to_json
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
    """What is drawn of one training: the truth, the places [places, D] where D is evaluated, and the moments."""

    data: str
    title: str  # the variant, its extensions, and its options that are not the defaults
    truth: Mixture
    places: Tensor
    meaning: str  # meaning of a score: 'logits' (sigmoid estimates P(real)), 'raw', or 'error' of an auto-encoder
    moments: tuple[Moment, ...]

    @property
    def dim(self) -> int:
        """1 or 2."""
        return self.truth.dim

    def numbers(self, moment: Moment) -> dict[str, float]:
        """The numbers beside the picture: W1 and |D - D*| in one dimension, modes and sharp samples in two."""
        if self.dim == 1:
            distance = {"w1": wasserstein(moment.samples, self.truth)}
            return distance | ({"d_error": self.distance_to_optimum(moment)} if self.meaning == "logits" else {})
        covered, sharp = modes(moment.samples, self.truth)
        return {"modes": covered, "of": len(self.truth.centres), "high_quality": sharp}

    def outside(self, moment: Moment) -> tuple[float, float]:
        """The shares of samples below and above the places; in 2-D 0, and the share of those beside them."""
        low, high = self.places[0], self.places[-1]
        if self.dim == 2:
            return 0.0, float(((moment.samples < low) | (moment.samples > high)).any(1).float().mean())
        return float((moment.samples < low).float().mean()), float((moment.samples > high).float().mean())

    def optimum(self, moment: Moment) -> Tensor:
        """D*(x) = p_data / (p_data + p_g) [places], p_g a kernel estimate (Goodfellow et al. 2014, proposition 1)."""
        assert moment.density is not None
        return optimal_discriminator(self.truth.density(self.places), moment.density)

    def distance_to_optimum(self, moment: Moment) -> float:
        """Mean |D - D*| over the mixture of both densities, 0 to 1."""
        assert moment.density is not None
        both = self.truth.density(self.places) + moment.density
        return float((both / both.sum() * (torch.sigmoid(moment.scores) - self.optimum(moment)).abs()).sum())


def with_defaults(layers: Sequence[Layer]) -> list[Layer]:
    """The layers above the usual settings of the figure, in 1-D or 2-D."""
    data = chosen([*layers], "data", LINE["data"])
    return [Layer("figure", LINE if data == LINE["data"] else PLANE), *layers]


def figures_of_training(
    runs: Sequence[Sequence[Layer]],
    *,
    moments: int,
    observers: Sequence[object] = (),
    on_step: Callable[[Run], None] | None = None,
) -> list[Figure]:
    """Train each of these runs in a temporary folder and record D and G at `moments` moments, denser at the beginning.

    All of them are checked before the first one starts.
    """
    plans = [_plan([*layers]) for layers in runs]
    for plan in plans if len(plans) > 1 else []:
        with own_streams(device := choose_device("cpu")):
            _built(plan, device)
    return [_train([*layers], plan, moments, observers, on_step) for layers, plan in zip(runs, plans, strict=True)]


def _plan(layers: list[Layer]) -> Plan:
    """The plan of a run that can be drawn: InputError for one whose density is unknown, or that has conditions."""
    plan = plan_run(layers)
    truth_of(plan.config.data)
    if plan.config.conditional:
        raise InputError("the figure cannot show conditions", hint="use a run without --conditional")
    return plan


def _built(plan: Plan, device: torch.device) -> tuple[TrainingLoop, LatentSpace]:
    """The players of a plan before their first step."""
    dataset = load_data(plan)
    space = latent_space(plan, dataset)
    return build_loop(plan, data_spec(dataset, space), device), space


def _train(
    layers: list[Layer],
    plan: Plan,
    moments: int,
    observers: Sequence[object],
    on_step: Callable[[Run], None] | None,
) -> Figure:
    total = plan.config.total_images
    assert total is not None  # the figure has no setting for a budget in time
    times = {0, *(round(total * LAST_OVER_FIRST ** (i / (moments - 1) - 1)) for i in range(1, moments))}
    watcher = _Watcher(truth_of(plan.config.data), sorted(times))

    def after_step(run: Run) -> None:
        watcher.after_step(run)
        if on_step is not None:
            on_step(run)

    with tempfile.TemporaryDirectory(prefix="gankit-figure-") as folder:
        try:
            train_layers(layers, Path(folder) / "run", observers=[*observers, watcher], on_step=after_step)
        except Stopped as stop:  # its message would promise a run to continue, and this one is deleted
            raise Stopped("stopped; no figure was drawn", signal_number=stop.signal_number) from stop
    return _figure(plan, watcher.meaning, watcher.moments)


def figure_of_run(folder: Path, *, variant: str | None = None, extensions: Sequence[str] = ()) -> Figure:
    """The figure of a run: its start, which follows from its seed, and each checkpoint that it keeps."""
    run = RunFolder(folder)
    plugins: dict[str, Any] = {"variant": variant} if variant else {}
    plugins |= {"extensions": list(extensions)} if extensions else {}
    plan = _plan([Layer("run", stored_settings(run, plugins)), Layer("argument", plugins)])
    truth = truth_of(plan.config.data)
    device = choose_device("cpu")
    moments: list[Moment] = []
    with own_streams(device):
        loop, space = _built(plan, device)
        meaning = meaning_of(plan.composition.info, loop.loss.output)
        moments.append(look(loop, space, truth, 0, meaning))
        for step, path in reversed(checkpoint.steps(run.checkpoints)):
            state = checkpoint.read(path).state
            loop.load_state_dict({k.removeprefix("loop."): v for k, v in state.items() if k.startswith("loop.")})
            moments.append(look(loop, space, truth, step * plan.config.batch, meaning))
    return _figure(plan, meaning, moments)


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
    off = (output - places.cpu()).flatten(1) if meaning == "error" else None
    scores = scores_of(output) if off is None else off.abs().mean(1)
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


def _figure(plan: Plan, meaning: str, moments: Sequence[Moment]) -> Figure:
    truth = truth_of(plan.config.data)
    distinct = {moment.images_seen: moment for moment in moments}
    return Figure(plan.config.data, _title(plan), truth, places_of(truth), meaning, tuple(distinct.values()))


def _title(plan: Plan) -> str:
    """'mygan + ada, smoothing=0.1': plugins, and the options that differ from the variant's defaults."""
    defaults = to_json(plan.composition.info.options())
    options = [f"{name}={value}" for name, value in plan.options.items() if value != defaults[name]]
    return ", ".join([" + ".join(plugin.name for plugin in plan.composition.plugins), *options])


def describe(figure: Figure) -> list[dict[str, float | None]]:
    """One row per moment, for --json; None for what is not finite."""
    numbers = ({"images_seen": moment.images_seen, **figure.numbers(moment)} for moment in figure.moments)
    return [{name: value if math.isfinite(value) else None for name, value in row.items()} for row in numbers]
