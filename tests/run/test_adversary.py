"""An adversary in somebody else's loop: its steps against plain PyTorch, its state, and what is refused."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from support import python
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import gankit
from gankit.discriminators import Patch
from gankit.errors import GankitError, InputError
from gankit.host import discovery
from gankit.machine.precision import Precision
from gankit.plugin import AdversarialLoss, Batch, Critic, Part, Step, Terms

SHAPE = (2, 8, 8)
SCORES = sorted(
    {plugin.name for plugin in discovery.discover(discovery.VARIANTS)}
    - {"began", "acgan", "cgan", "infogan", "projected"}
)
RELATIVISTIC = {"r3gan"}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(128, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))


def patches() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, 2, 1))  # [N, 1, 2, 2]


def samples(n: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *SHAPE, generator=generator), torch.randn(n, *SHAPE, generator=generator)


def adversary(loss: Any = "hinge", d: nn.Module | None = None, **more: Any) -> gankit.Adversary:
    return gankit.Adversary(d or network(), loss, shape=SHAPE, **{"lr": 1e-2, "betas": (0.5, 0.9), **more})


# -- its arithmetic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [network, patches])
def test_its_steps_are_those_of_a_plain_loop(make: Any) -> None:
    own, plain = adversary(d=make()), make()
    optimizer = torch.optim.Adam(plain.parameters(), 1e-2, (0.5, 0.9))
    for seed in range(3):
        real, fake = samples(seed=seed)
        stats = own.d_step(real, fake)
        loss = F.relu(1 - plain(real)).mean() + F.relu(1 + plain(fake)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert float(stats["d/real"] + stats["d/fake"]) == pytest.approx(float(loss.detach()), rel=1e-5)
    for mine, theirs in zip(own.discriminator.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    real, fake = samples()
    torch.testing.assert_close(own.g_loss(fake.requires_grad_()), -plain(fake).mean())


def test_neither_side_leaks_into_the_other() -> None:
    own = adversary(parts=["r1"])
    theirs = nn.Linear(4, 128)
    made = theirs(torch.randn(6, 4)).reshape(6, *SHAPE)
    own.d_step(samples()[0], made)
    assert all(parameter.grad is None for parameter in theirs.parameters())
    own.g_loss(made).backward()
    assert all(parameter.grad is not None for parameter in theirs.parameters())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in own.discriminator.parameters())


@pytest.mark.parametrize("name", SCORES)
def test_every_loss_on_scores_plays(name: str) -> None:
    own = gankit.Adversary(network(), name, shape=SHAPE)
    real, fake = samples()
    fake.requires_grad_()
    before = copy.deepcopy(own.discriminator)
    assert all(bool(value.isfinite()) for value in own.d_step(real, fake).values())
    assert any((a != b).any() for a, b in zip(own.discriminator.parameters(), before.parameters(), strict=True))
    if name in RELATIVISTIC:
        with pytest.raises(InputError, match="compares fake samples with real ones"):
            own.g_loss(fake)
    own.g_loss(fake, real).backward()
    assert bool(fake.grad.isfinite().all())
    assert bool(fake.grad.any())


@pytest.mark.parametrize("make", [network, patches])
def test_a_penalty_is_the_one_of_its_formula_and_that_of_the_mean_of_patches(make: Any) -> None:
    own = adversary(d=make(), parts=["r1"], options={"r1": {"gamma": 3.0}})
    plain = copy.deepcopy(own.discriminator)
    real, fake = samples()
    point = real.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plain(point).reshape(len(real), -1).mean(1).sum(), point)
    expected = 1.5 * gradient.flatten(1).square().sum(1).mean()
    (name,) = [key for key in own.d_step(real, fake) if "r1" in key]
    assert float(own.stats[name]) == pytest.approx(float(expected), rel=1e-4)


def test_finite_differences_estimate_the_penalty_of_the_mean_of_patches() -> None:
    exact, near = (
        adversary(d=patches(), parts=["r1"], options={"r1": {"gamma": 2.0, "estimate": how}})
        for how in ("autograd", "finite")
    )
    torch.manual_seed(0)
    real, fake = torch.randn(2, 400, *SHAPE)
    (name,) = [key for key in exact.d_step(real, fake) if "r1" in key]
    near.d_step(real, fake)
    assert float(near.stats[name]) == pytest.approx(float(exact.stats[name]), rel=0.25)


def test_an_objects_loss_and_parts_of_ones_own() -> None:
    class Margin(AdversarialLoss):
        def discriminator(self, critic: Critic, batch: Batch) -> Terms:
            return critic(batch.fake) - critic(batch.real)

        def generator(self, critic: Critic, batch: Batch) -> Terms:
            return -critic(batch.fake)

    class Clip(Part):
        def after_update(self, step: Step) -> dict[str, Tensor]:
            with torch.no_grad():
                for parameter in step.player.parameters.values():
                    parameter.clamp_(-0.01, 0.01)
            return {"clipped": torch.ones(())}

    own = adversary(Margin(), parts=[Clip(), "diffaugment"])
    assert float(own.d_step(*samples())["clipped"]) == 1
    assert max(float(parameter.detach().abs().max()) for parameter in own.discriminator.parameters()) <= 0.01
    assert set(own.parts) == {"clip", "diffaugment"}


def test_a_condition_reaches_the_discriminator() -> None:
    class Told(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(128 + 3, 1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.layer(torch.cat([x.flatten(1), y], 1)).squeeze(1)

    own = gankit.Adversary(Told(), "hinge", shape=SHAPE, condition=3)
    real, fake = samples()
    y = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    own.d_step(real, fake, condition=y)
    assert own.g_loss(fake.requires_grad_(), condition=y) != own.g_loss(fake, condition=torch.eye(3)[[0] * 6])
    with pytest.raises(InputError, match=r"no condition: this adversary takes \[6, 3\]"):
        own.d_step(real, fake)


def test_options_follow_their_schedule_in_images_that_d_has_seen() -> None:
    own = gankit.Adversary(network(), "r3gan", shape=SHAPE, lr=0.0, options={"gamma": "linear(4, 0, 40)"})
    real, fake = samples(20)
    first, half, last = (float(own.d_step(real, fake)["d/r1"]) for _ in range(3))
    assert half == pytest.approx(first / 2, rel=1e-3)
    assert last == 0


# -- callers who do more themselves ------------------------------------------------------------------------------------


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    whole, parts = adversary(), adversary()
    real, fake = samples(8)
    whole.d_step(real, fake)
    for rows in (slice(0, 4), slice(4, 8)):
        (parts.d_loss(real[rows], fake[rows]) / 2).backward()
    parts.d_update()
    for a, b in zip(whole.discriminator.parameters(), parts.discriminator.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
    assert parts.steps == 1
    with pytest.raises(InputError, match="no step of the discriminator to finish"):
        parts.d_update()


def test_parts_are_told_all_accumulated_samples() -> None:
    told: list[tuple[str, int, int]] = []

    class Listener(Part):
        def after_update(self, step: Step) -> dict[str, Tensor]:
            told.append((step.name, step.images, step.images_since))
            return {}

        def terms(self, critic: Critic, batch: Batch, step: Step) -> dict[str, Tensor]:
            told.append((step.name, step.images, step.images_since))
            return {}

    own = adversary(parts=[Listener()])
    real, fake = samples(8)
    for _ in range(2):
        own.g_loss(fake.clone().requires_grad_(), real)
        for rows in (slice(0, 4), slice(4, 8)):
            (own.d_loss(real[rows], fake[rows]) / 2).backward()
        own.d_update()
    assert told == [
        ("generator", 8, 8), *(("discriminator", *counts) for counts in ((4, 4), (8, 8), (8, 8))),
        ("generator", 16, 8), *(("discriminator", *counts) for counts in ((12, 4), (16, 8), (16, 8))),
    ]  # fmt: skip


def test_fp16_scales_the_loss_of_d_alone_and_only_within_a_step() -> None:
    own = adversary(precision="fp16", parts=["balance"])
    real, fake = samples(4)
    with pytest.raises(InputError, match="d_loss gives a loss that is not scaled"):
        own.d_loss(real, fake)
    own.d_step(real, fake)
    fake = fake.clone().requires_grad_()
    own.g_loss(fake).backward()
    assert fake.grad is not None
    assert float((4 * fake.grad).flatten(1).norm(dim=1).square().mean().sqrt()) == pytest.approx(1, rel=0.05)


def test_the_callers_autocast_is_in_force_and_penalties_are_in_full_precision() -> None:
    seen: list[torch.dtype] = []
    d = network()
    d[1].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    own = adversary(d=d, parts=["r1"])
    with torch.autocast("cpu", torch.bfloat16):
        own.d_step(*samples())
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32]  # real, fake, the points of the penalty
    seen.clear()
    adversary(d=d, precision="bf16").d_step(*samples())
    assert seen == [torch.bfloat16] * 2


def test_the_callers_precision_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA `Precision` sets the switches of TF32 for the whole process; without `precision` they are the caller's."""
    made: list[str] = []
    monkeypatch.setattr("gankit.game.game.Precision", lambda name, device: made.append(name) or Precision(name, device))
    gankit.Adversary(Patch(2, width=4, layers=1), "hinge", shape=SHAPE)
    assert made == []
    gankit.Adversary(Patch(2, width=4, layers=1), "hinge", shape=SHAPE, precision="bf16")
    assert made == ["bf16"]


def test_a_loop_that_is_continued_is_the_uninterrupted_one() -> None:
    def made() -> gankit.Adversary:
        return adversary("gan", parts=["ada", "r1"], penalty_every=2)

    def play(own: gankit.Adversary, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            own.d_step(*samples(seed=step))

    straight, first, second = made(), made(), made()
    play(straight, range(6))
    play(first, range(3))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    play(second, range(3, 6))
    assert second.steps == 6
    for name, value in straight.state_dict().items():
        other = second.state_dict()[name]
        if isinstance(value, Tensor):
            assert torch.equal(value, other), name
        else:
            assert all(torch.equal(torch.as_tensor(value[key]), torch.as_tensor(other[key])) for key in value), name


def test_an_adversary_can_be_copied_pickled_and_moved_and_goes_on_the_same() -> None:
    own = adversary(parts=["r1"])
    own.d_step(*samples())
    others = [copy.deepcopy(own), pickle.loads(pickle.dumps(own))]
    own.d_step(*samples(seed=2))
    for other in others:
        other.d_step(*samples(seed=2))
        assert other.steps == 2
        for mine, theirs in zip(own.discriminator.parameters(), other.discriminator.parameters(), strict=True):
            assert torch.equal(mine, theirs)
    own.double()
    own.d_step(*(part.double() for part in samples()))
    assert {part.dtype for state in own.optimizer.state.values() for key, part in state.items() if key != "step"} == {
        torch.float64
    }


def test_networks_of_parts_are_in_the_state() -> None:
    images = gankit.Adversary(Patch(3, width=8, layers=2), "hinge", shape=(3, 32, 32), parts=["align"])
    assert any(name.startswith("extra.align.") for name in images.state_dict())


def test_the_mode_of_the_discriminator_is_the_callers() -> None:
    d = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(128), nn.Linear(128, 1))
    d[1].eval()
    own = adversary(d=d)
    own.d_step(*samples())
    assert not d[1].training
    assert not d[1].running_mean.any()


def test_real_samples_and_conditions_with_a_graph_get_no_gradient_from_ds_step() -> None:
    own = adversary(parts=["r1"])
    encoder = nn.Linear(4, 128)
    real = encoder(torch.randn(6, 4)).reshape(6, *SHAPE)
    own.d_step(real, samples()[1])
    assert encoder.weight.grad is None
    real.sum().backward()  # its graph is still there


def test_schedules_follow_the_samples_that_d_has_seen() -> None:
    own, again = adversary(lr="linear(1e-3, 0, 24)"), adversary(lr="linear(1e-3, 0, 24)")
    rates = []
    for _ in range(3):
        own.d_step(*samples(6))
        rates.append(own.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3])
    again.load_state_dict(own.state_dict())
    for rows in (slice(0, 3), slice(3, 6)):
        (again.d_loss(*(part[rows] for part in samples(6))) / 2).backward()
    again.d_update()
    again.d_step(*samples(6))
    assert again.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    callers = adversary(lr=1e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(callers.optimizer, 0.5)
    for _ in range(2):
        callers.d_step(*samples())
        scheduler.step()
    assert callers.optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)


def test_parameters_of_a_loss_are_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    class Shifted(AdversarialLoss):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def discriminator(self, critic: Critic, batch: Batch) -> Terms:
            return critic(batch.fake) - critic(batch.real)

        def generator(self, critic: Critic, batch: Batch) -> Terms:
            return self.shift - critic(batch.fake)

    own = adversary(Shifted())
    assert "adversary.loss.parameters()" in caplog.text
    own.g_loss(samples()[1].requires_grad_()).backward()
    assert float(own.loss.shift.grad) == 1


PAIR = """
import copy, warnings
import torch, gankit
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
torch.manual_seed(0)
d = nn.Sequential(nn.Flatten(), nn.Linear(128, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1), nn.Flatten(0))
plain = copy.deepcopy(d)
own = gankit.Adversary(DistributedDataParallel(d), "hinge", shape=(2, 8, 8), lr=1e-2, parts=["r1"])
g = torch.Generator().manual_seed(1)
for step in range(2):
    real, fake = torch.randn(8, 2, 8, 8, generator=g), torch.randn(8, 2, 8, 8, generator=g)
    mine = slice(4 * rank, 4 * rank + 4)
    own.d_step(real[mine], fake[mine])
torch.distributed.barrier()
flat = torch.cat([p.detach().flatten() for p in d.parameters()])
both = [torch.zeros_like(flat) for _ in range(2)]
torch.distributed.all_gather(both, flat)

# The caller's network may be sharded, D may not.
mesh = init_device_mesh("cpu", (2,))
net = nn.Sequential(nn.Conv2d(2, 4, 3, 1, 1), nn.SiLU(), nn.Conv2d(4, 2, 3, 1, 1))
whole, judge, second = copy.deepcopy(net), copy.deepcopy(d), copy.deepcopy(d)
fully_shard(net, mesh=mesh)

def play(net, judge, part):
    g = torch.Generator().manual_seed(1)
    adversary = gankit.Adversary(judge, "hinge", shape=(2, 8, 8), lr=1e-2, optimizer="sgd")
    optimizer = torch.optim.SGD(net.parameters(), 1e-1)
    for step in range(2):
        fake = net(torch.randn(8, 2, 8, 8, generator=g)[part])
        adversary.d_step(torch.randn(8, 2, 8, 8, generator=g)[part], fake)
        optimizer.zero_grad()
        adversary.g_loss(fake).backward()
        optimizer.step()

play(net, judge, mine)
sharded = [p.full_tensor() for p in net.parameters()]
try:
    gankit.Adversary(fully_shard(copy.deepcopy(d), mesh=mesh), "hinge", shape=(2, 8, 8))
except gankit.errors.InputError as error:
    assert "the discriminator is sharded" in error.message, error.message
else:
    raise AssertionError("a sharded D was taken")
torch.distributed.destroy_process_group()
if rank == 0:
    assert torch.equal(*both)
    alone = gankit.Adversary(plain, "hinge", shape=(2, 8, 8), lr=1e-2, parts=["r1"])
    g = torch.Generator().manual_seed(1)
    for step in range(2):
        alone.d_step(torch.randn(8, 2, 8, 8, generator=g), torch.randn(8, 2, 8, 8, generator=g))
    torch.testing.assert_close(torch.cat([p.detach().flatten() for p in plain.parameters()]), flat, atol=1e-5, rtol=1e-4)
    play(whole, second, slice(None))
    torch.testing.assert_close(sharded, [p.detach() for p in whole.parameters()], atol=1e-5, rtol=1e-4)
    print("the same")
"""


def test_two_processes_move_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    script = tmp_path / "pair.py"
    script.write_text(textwrap.dedent(PAIR))
    command = [python(), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same" in done.stdout


# -- who wins ----------------------------------------------------------------------------------------------------------


def test_a_verdict_says_in_words_who_runs_away() -> None:
    real, fake = torch.ones(16, *SHAPE), -torch.ones(16, *SHAPE)
    wins = adversary()
    assert wins.verdict() == "too early to say: D has moved 0 times"
    for _ in range(60):
        wins.d_step(real, fake)
    assert wins.verdict().startswith("the discriminator wins: it scores 100% of the real samples above")
    again = adversary()
    again.load_state_dict(wins.state_dict())
    assert again.verdict() == wins.verdict()

    torch.manual_seed(0)
    loses = adversary(lr=1e-8)
    for _ in range(60):
        loses.d_step(*torch.randn(2, 16, *SHAPE))
    assert loses.verdict().startswith(("the discriminator learns nothing", "both sides play"))

    class Loud(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((), 1e6))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight * x.flatten(1).mean(1)

    loud = adversary("wgan-gp", d=Loud())
    for _ in range(60):
        loud.d_step(*torch.randn(2, 16, *SHAPE))
    assert loud.verdict().startswith("the scores run away")


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said_before_anything_is_changed() -> None:
    own = adversary()
    before = copy.deepcopy(own.state_dict())
    real, fake = samples()
    for call, said in (
        (lambda: own.d_step(real, fake[:3]), "6 real and 3 fake samples"),
        (lambda: own.d_step(real[:, :1], fake), r"real samples are \[6, 1, 8, 8\], not \[N, 2, 8, 8\]"),
        (lambda: own.d_step(real, fake.to("meta")), "fake samples are on meta, the discriminator on cpu"),
        (lambda: own.g_loss(fake), "carry no graph"),
        (lambda: own.d_step(real.numpy(), fake), "real samples are ndarray, not a tensor"),
        (lambda: own.d_step(real, None), "fake samples are NoneType, not a tensor"),
        (lambda: own.d_step(real.to(torch.uint8), fake), "real samples are uint8"),
        (lambda: own.d_step(real, fake.double()), "samples are float64, the discriminator is float32"),
        (lambda: own.g_loss(fake.double().requires_grad_()), "samples are float64, the discriminator is float32"),
        (lambda: own.d_step(real[:0], fake[:0]), "no samples in the batch"),
        (lambda: torch.no_grad()(own.d_step)(real, fake), "within torch.no_grad"),
        (lambda: (own.d_loss(real, fake), own.d_update()), "no gradients to move by"),
        (
            lambda: own.d_step(real, fake, condition=torch.ones(6, 2)),
            r"conditions \[6, 2\]: this adversary takes \[6, 0\]",
        ),
    ):
        with pytest.raises(InputError, match=said):
            call()
    for name, value in before.items():
        assert not isinstance(value, Tensor) or torch.equal(value, own.state_dict()[name])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: adversary("hing"), "unknown variant 'hing'"),
        (lambda: adversary(nn.BCEWithLogitsLoss()), "the loss is BCEWithLogitsLoss"),
        (lambda: adversary(AdversarialLoss), "the loss is the class AdversarialLoss"),
        (lambda: gankit.Adversary(None, "hinge", shape=SHAPE), "the discriminator is NoneType"),
        (lambda: adversary(d=network().requires_grad_(False)), "no parameters that learn"),
        (lambda: gankit.Adversary(network(), "hinge", shape=8), "shape=8"),
        (lambda: gankit.Adversary(network(), "hinge", shape=()), "shape="),
        (lambda: adversary(parts="r1"), "not a list"),
        (lambda: adversary(parts=[Part]), "a part is the class Part"),
        (lambda: adversary(lr="linear(1e-3, 0, 50%-100%)"), "an adversary has none"),
        (lambda: adversary("began"), "is an auto-encoder"),
        (lambda: adversary("infogan"), "reads more than scores"),
        (lambda: adversary(parts=["ema-sweep"]), "a part wants to average it"),
        (lambda: adversary(options={"margin": 1}), "margin"),
        (lambda: adversary(d=nn.Flatten()), "has no parameters"),
        (lambda: adversary(precision="fp8"), "fp8"),
        (lambda: adversary(d=nn.Linear(8, 1)).d_step(*samples()), None),
        (
            lambda: adversary(d=nn.Sequential(nn.Flatten(0), nn.Linear(768, 1))).d_step(*samples()),
            r"gave \[1\] for 6 samples",
        ),
    ],
)
def test_what_cannot_be_an_adversary_is_one_line(make: Any, said: str | None) -> None:
    if said is None:  # maps of any form are scores
        make()
        return
    with pytest.raises(GankitError, match=said) as caught:
        make()
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("spectral-norm", r"changes what gankit builds \(gankit_discriminator\), which is yours here"),
        ("waves", "changes what gankit builds"),
        ("modulation", "changes what gankit builds"),
        ("lucic-nets", "changes what gankit builds"),
        ("./watching.py", "watches runs of gankit, and this loop is yours"),
    ],
)
def test_an_extension_that_would_do_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("watching.py").write_text("from gankit.plugin import hookimpl\n@hookimpl\ndef gankit_record(): pass\n")
    with pytest.raises(InputError, match=f"extension '{Path(part).stem}' {said}"):
        adversary("gan", parts=[part])
