"""What happens to a VAE when a discriminator enters: gankit's adversary and entrance beside the usual recipe.

    OMP_NUM_THREADS=1 python benchmarks/entering.py [--data digits] [--seeds 20] [--steps 1200] [--out runs/entering]
    OMP_NUM_THREADS=1 python benchmarks/entering.py --data PATH_OF_CIFAR10 --size 32 --features lite0 --code 256

A small KL-VAE (mean absolute error, KL weight 1e-4, Adam 1e-3, batch 32) is trained on four fifths of the data. Arms:

* `none`           no discriminator
* `plain@SHARE`    the usual recipe from this share of the steps on: hinge, Adam (0.5, 0.9), the weight of VQGAN, which
                   is a ratio of gradient norms of one batch, at most 10,000
* `gankit@SHARE`   `gankit.Adversary` (hinge, R1 with gamma 1 in every 4th step) and `gankit.Entrance` (D learns alone
                   for 100 steps, then a ramp of 200; half of the ratio of averaged norms)
* `gankit-full@SHARE`, `-fifth`, `-slow`, `-calm`: weight 1 or 0.2 in place of 0.5; D's rate 3e-4 in place of 1e-3; R1
  with gamma 10

Both have the same discriminator of patches. Scores of what is reconstructed of the other fifth: mean absolute error
(grey levels of 255) and FID against the same images in the space of `--features`. A run has failed when a number is not
finite or the error is more than 1.5 times that of `none` with the same seed. OUT/results.jsonl has a line for each run,
and what is in it is not run again; OUT/table.md has medians with 95 % bootstrap intervals over the seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import gankit
from gankit import core
from gankit.data import Preparation, load_dataset
from gankit.discriminators import Patch
from gankit.measure.features import choose_space
from gankit.measure.features.extract import extract
from gankit.measure.metrics.distances import FrechetDistance
from gankit.modality import modality_of

ARMS = ("none", "plain@0", "plain@0.5", "gankit@0", "gankit@0.25", "gankit@0.5", "gankit@0.75")
WAYS: dict[str, dict[str, float]] = {
    "full": {"weight": 1.0},
    "fifth": {"weight": 0.2},
    "slow": {"lr": 3e-4},
    "calm": {"gamma": 10.0},
}
BATCH, KL, FAILED = 32, 1e-4, 1.5


class Vae(nn.Module):
    """Images [N, C, H, W] with sides that 4 divides -> reconstructions, mean and log variance of `code` numbers."""

    def __init__(self, shape: tuple[int, ...], width: int = 16, code: int = 32) -> None:
        super().__init__()
        channels, height, wide = shape
        self.small = (2 * width, height // 4, wide // 4)
        flat = 2 * width * self.small[1] * self.small[2]
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.SiLU(),
            nn.Flatten(), nn.Linear(flat, 2 * code),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(code, flat), nn.SiLU(), nn.Unflatten(1, self.small),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.SiLU(),
            nn.ConvTranspose2d(width, width, 4, 2, 1), nn.SiLU(),
        )  # fmt: skip
        self.last = nn.Conv2d(width, channels, 3, 1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(reconstructions, mean, log variance)."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        return self.last(self.decoder(z)).tanh(), mean, log_variance


def hinge_step(d: nn.Module, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor) -> None:
    """D's step of the usual recipe."""
    loss = (F.relu(1 - d(real)).mean() + F.relu(1 + d(fake)).mean()) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def usual_weight(other: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """VQGAN's weight of the adversarial loss (Esser et al. 2021, eq. 7, as in its authors' code)."""
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (other, adversarial)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0, 1e4).detach()


def play(arm: str, seed: int, steps: int, code: int, images: Tensor) -> Vae:
    """One training."""
    torch.manual_seed(seed)
    name, _, share = arm.partition("@")
    name, _, way = name.partition("-")
    settings = {"weight": 0.5, "lr": 1e-3, "gamma": 1.0, **(WAYS[way] if way else {})}
    first = steps if not share else round(float(share) * steps)
    shape = tuple(images.shape[1:])
    vae, d = Vae(shape, code=code), Patch(shape[0], width=16, layers=2)
    optimizer = torch.optim.Adam(vae.parameters(), 1e-3)
    d_optimizer = torch.optim.Adam(d.parameters(), 1e-3, (0.5, 0.9))
    adversary = gankit.Adversary(
        d,
        "hinge",
        shape=shape,
        lr=settings["lr"],
        betas=(0.5, 0.9),
        parts=["r1"],
        options={"r1": {"gamma": settings["gamma"]}},
        penalty_every=4,
    )
    entrance = gankit.Entrance(wait=100, ramp=200, last_layer=vae.last.weight, weight=settings["weight"])
    for step in range(steps):
        real = images[torch.randint(len(images), (BATCH,))]
        fake, mean, log_variance = vae(real)
        error = (fake - real).abs().mean()
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        loss = error + KL * kl
        if step >= first and name == "gankit":
            adversary.d_step(real, fake)
            loss = loss + entrance(error, adversary.g_loss(fake))
        elif step >= first and name == "plain":
            hinge_step(d, d_optimizer, real, fake.detach())
            adversarial = -d(fake).mean()
            loss = loss + usual_weight(error, adversarial, vae.last.weight) * adversarial
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return vae.eval()


def main() -> None:
    """All seeds and arms that are not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--size", default=None)
    parser.add_argument("--features", default="classifier", help="lite0 for photographs")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--code", type=int, default=32, help="numbers between encoder and decoder")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--out", default="runs/entering")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    keep(out, {name: getattr(arguments, name) for name in ("data", "size", "features", "steps", "code")})
    torch.set_flush_denormal(True)
    catalogues = core.compose_catalogues([])
    data = load_dataset(
        arguments.data, catalogues.catalogue("gankit_datasets"), how=Preparation.of({"size": arguments.size})
    )
    space = choose_space(arguments.features, data, catalogues.catalogue("gankit_features"))
    floats = modality_of(data.spec.shape).floats(data.samples)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    cut = len(data) * 4 // 5
    held = order[cut:][:2000]
    real = features(space, data.samples[held])
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for arm in arguments.arms.split(","):
            if any((line["arm"], line["seed"]) == (arm, seed) for line in lines(out)):
                continue
            vae = play(arm, seed, arguments.steps, arguments.code, floats[order[:cut]])
            line = {"arm": arm, "seed": seed, **scores(vae, floats[held], real, space)}
            with (out / "results.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)
    (out / "table.md").write_text(table(lines(out)))
    print((out / "table.md").read_text())


def keep(out: Path, settings: dict[str, Any]) -> None:
    """What all runs of OUT have in common; the results of others do not belong among them."""
    file = out / "settings.json"
    if file.exists() and (stored := json.loads(file.read_text())) != settings:
        raise SystemExit(f"{out} has results of {stored}: another --out, or those settings")
    file.write_text(json.dumps(settings))


@torch.no_grad()
def scores(vae: Vae, held: Tensor, real: Tensor, space: Any) -> dict[str, float | None]:
    """Mean absolute error in grey levels, and FID of reconstructions; None where a number is not finite."""
    made = torch.cat([vae(part)[0] for part in torch.split(held, 250)])
    error = float((made - held).abs().mean()) * 127.5
    if not bool(made.isfinite().all()):
        return {"error": None, "fid": None}
    metric = FrechetDistance(space.dim)
    metric.update(real, real=True)
    metric.update(features(space, modality_of(tuple(held.shape[1:])).stored(made)), real=False)
    return {"error": error, "fid": float(metric.compute())}


def features(space: Any, samples: Tensor) -> Tensor:
    """The features of images as data sets store them."""
    found: Tensor = extract(space, lambda a, b: samples[a:b], len(samples), torch.device("cpu"), "").features
    return found


def lines(out: Path) -> list[dict[str, Any]]:
    """The runs that are done."""
    file = out / "results.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(results: list[dict[str, Any]]) -> str:
    """Failures, and medians with bootstrap intervals of the runs that have not failed."""
    own = {line["seed"]: line["error"] for line in results if line["arm"] == "none"}
    rows = ["| arm | seeds | failed | FID of reconstructions | error |", "|---|---|---|---|---|"]
    for arm in dict.fromkeys(line["arm"] for line in results):
        runs = [line for line in results if line["arm"] == arm and line["seed"] in own]
        good = [line for line in runs if line["error"] is not None and line["error"] <= FAILED * own[line["seed"]]]
        cells = [interval([line[key] for line in good]) if good else "–" for key in ("fid", "error")]
        rows.append(f"| `{arm}` | {len(runs)} | {len(runs) - len(good)} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows) + "\n"


def interval(values: list[float]) -> str:
    """'median (95 % interval)', by 2,000 resamplings of the seeds."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return f"{statistics.median(values):.3g} ({medians[50]:.3g} to {medians[1949]:.3g})"


if __name__ == "__main__":
    main()
