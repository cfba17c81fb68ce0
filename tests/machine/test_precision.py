"""Arithmetic policies, as far as a CPU can tell."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit.base.cache import home
from gankit.base.files import read_json
from gankit.contracts import Batch, DataSpec
from gankit.errors import InputError
from gankit.game.critic import Critic
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.networks import Discriminator, PointDiscriminator, PointGenerator
from gankit.host import discovery
from gankit.machine.precision import Precision, faster_on_cpu
from gankit.run.build import build_loop, own_streams
from gankit.run.meter import Meter
from gankit.run.plan import plan_run
from gankit.settings.config import TrainConfig
from gankit.settings.layers import Layer
from gankit.store.run_folder import RunFolder
from gankit_variants.gan import GanLoss

CPU = torch.device("cpu")
VARIANTS = [plugin.name for plugin in discovery.discover(discovery.VARIANTS) if plugin.dist == "gankit"]


@pytest.mark.parametrize(("slow", "verdict"), [("fp32", "bf16"), ("bf16", "fp32")])
def test_auto_takes_on_a_cpu_what_is_measured_to_be_faster_and_remembers_it(
    slow: str, verdict: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GANKIT_HOME", str(tmp_path))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert faster_on_cpu("networks", lambda policy: time.sleep(0.02 * (policy.name == slow))) == verdict
    assert faster_on_cpu("networks", lambda policy: time.sleep(0.02 * (policy.name != slow))) == verdict
    (note,) = (home() / "autotune").glob("[0-9a-f]*")
    note.write_text("fp17")
    assert faster_on_cpu("networks", lambda policy: time.sleep(0.02 * (policy.name == slow))) == verdict
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert faster_on_cpu("networks", lambda policy: time.sleep(0.02 * (policy.name == slow))) == "fp32"


def test_a_resumed_run_stays_in_the_arithmetic_that_auto_found_at_its_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {"data": "ring8", "batch": 8, "device": "cpu"}
    for verdict, steps in (("bf16", 2), ("fp32", 4)):  # as if it had been copied to another machine in between
        monkeypatch.setattr("gankit.run.build.faster_on_cpu", lambda what, play, verdict=verdict: verdict)
        gankit.train("gan", out=tmp_path / "moved", steps=2, **settings)  # type: ignore[arg-type]
        gankit.resume(tmp_path / "moved", steps=steps)
    newest = RunFolder(tmp_path / "moved").checkpoints / "step-000000004"
    assert read_json(newest / "state.json")["progress"]["precision"] == "bf16"


def test_tf32_needs_cuda() -> None:
    with pytest.raises(InputError, match="needs a CUDA device"):
        Precision("tf32", CPU)


def test_bf16_runs_the_network_in_bf16_and_gives_scores_in_fp32() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator((1, 16, 16))
    seen: list[torch.dtype] = []
    discriminator.layers[0].register_forward_hook(lambda *call: seen.append(call[2].dtype))
    x = torch.randn(4, 1, 16, 16)
    batch = Batch(real=x, fake=x.clone(), z=torch.zeros(4, 1))
    scores = {name: Critic(discriminator, batch, Precision(name, CPU))(x) for name in ("fp32", "bf16")}
    assert seen == [torch.float32, torch.bfloat16]
    assert scores["bf16"].dtype == torch.float32
    assert torch.allclose(scores["bf16"], scores["fp32"], atol=2e-2)
    assert not torch.equal(scores["bf16"], scores["fp32"])


def players_of(precision: str, lr: float = 1e-3) -> TrainingLoop:
    torch.manual_seed(0)
    networks = Networks(PointGenerator(2, 4, width=16), PointDiscriminator(2, width=16))
    config = TrainConfig(batch=8, z_dim=4, g_lr=lr, d_lr=lr, precision=precision)  # type: ignore[arg-type]
    return TrainingLoop(networks, GanLoss(), config)


def test_fp16_skips_and_counts_a_step_whose_gradients_overflow() -> None:
    loop = players_of("fp16")
    before = [parameter.clone() for parameter in loop.networks.discriminator.parameters()]
    scale = loop.players["discriminator"].scaler.get_scale()
    stats = loop.play("discriminator", Batch(torch.full((8, 2), 6.5e4)))  # the first layer overflows in fp16
    assert stats["skipped/discriminator"] == 1
    assert all(map(torch.equal, loop.networks.discriminator.parameters(), before))
    assert loop.players["discriminator"].scaler.get_scale() == scale / 2
    for _ in range(10):  # the scale is halved until it fits
        stats = loop.step(Batch(torch.randn(8, 2)))
    assert (stats["skipped/discriminator"], stats["skipped/generator"]) == (0, 0)
    assert not all(map(torch.equal, loop.networks.discriminator.parameters(), before))
    restored = players_of("fp16")
    restored.load_state_dict(loop.state_dict())
    assert restored.players["discriminator"].scaler.state_dict() == loop.players["discriminator"].scaler.state_dict()
    assert restored.players["generator"].scaler.get_scale() <= scale


def test_other_policies_scale_nothing() -> None:
    loop = players_of("bf16")
    assert not any(name.startswith("skipped") for name in loop.step(Batch(torch.randn(8, 2))))
    assert not any(name.startswith("scaler") for name in loop.state_dict())


class Float32Draws(torch.overrides.TorchFunctionMode):
    """Random numbers are drawn in float32 whatever is asked for, so that float64 sees the same ones."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = dict(kwargs or {})
        if function in (torch.rand, torch.randn):
            dtype = kwargs.pop("dtype", None) or torch.float32
            return function(*args, **kwargs).to(dtype)
        if function in (torch.rand_like, torch.randn_like):
            return function(args[0].float(), *args[1:], **kwargs).to(args[0].dtype)
        return function(*args, **kwargs)


def gradients(variant: str, player: str, precision: str) -> tuple[float, Tensor]:
    """One player's loss and all its gradients in float64, at weights as large as in the middle of training."""
    small = {"options": {"width": 32}} if variant == "stylegan2" else {}  # its second derivatives in float64 take long
    plan = plan_run([Layer("test", {"variant": variant, "precision": "fp32", "batch": 8, "z_dim": 20, **small})])
    conditional = plan.config.conditional
    loop = build_loop(plan, DataSpec((1, 16, 16), ("a", "b", "c"), condition=3 if conditional else 0), CPU)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    policy = Precision("fp32" if precision == "fp64" else precision, CPU)
    modules = (loop.networks.generator, loop.networks.discriminator, loop.loss)
    with torch.no_grad():
        for module in modules:
            for parameter in module.to(dtype).parameters():
                parameter.mul_(2 if parameter.ndim > 1 else 1)
    for name, buffer in loop.loss.named_buffers():
        if name == "k":  # BEGAN's, which starts at 0
            buffer.fill_(0.3)
    torch.manual_seed(1)
    labels = torch.arange(8) % 3
    y = nn.functional.one_hot(labels, 3).to(dtype) if conditional else None
    real = (torch.rand(8, 1, 16, 16) * 2 - 1).to(dtype)
    z = torch.randn(8, 20).to(dtype)
    with torch.set_grad_enabled(player == "generator"), policy.autocast():
        fake = loop.networks.generator(z, *(() if y is None else (y,))).to(dtype)
    batch = Batch(real, fake, z, labels, y)
    critic = Critic(
        loop.networks.discriminator, batch, policy, conditional=loop.loss.output.condition != "none", penalties_due=True
    )
    with Float32Draws():
        terms = dict(getattr(loop.loss, player)(critic, batch))
        terms |= loop.loss.penalties(critic, batch) if player == "discriminator" else {}
    total = torch.stack([term.mean() for term in terms.values()]).sum()
    parameters = list(getattr(loop.networks, player).parameters())
    scale = 2.0**16 if precision == "fp16" else 1.0
    while True:  # as the scaler finds it
        found = torch.autograd.grad(total * scale, parameters, retain_graph=True, allow_unused=True)
        flat = torch.cat([g.double().flatten() / scale for g in found if g is not None])
        if bool(torch.isfinite(flat).all()) or scale < 1:
            return float(total.detach()), flat
        scale /= 2


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=pytest.mark.slow) if name == "projected" else name for name in VARIANTS]
)
def test_losses_and_gradients_of_every_variant_stay_close_to_float64(variant: str, player: str) -> None:
    """Relative to the norm of all gradients of a player."""
    loss, exact = gradients(variant, player, "fp64")
    bounds = {"fp32": 1e-5, "bf16": 0.1, "fp16": 0.05}
    if variant == "began":  # derivatives of absolute values: some of them flip
        bounds |= {"bf16": 0.15, "fp16": 0.08}
    if variant == "projected" and player == "generator":  # so do those of the many clipped ReLUs of its frozen network
        bounds = {"fp32": 0.01, "bf16": 0.3, "fp16": 0.1}
    for precision, bound in bounds.items():
        value, got = gradients(variant, player, precision)
        assert value == pytest.approx(loss, rel=bound, abs=bound), precision
        assert float((got - exact).norm() / exact.norm()) < bound, precision


def test_a_meter_means_each_name_over_the_steps_that_had_it() -> None:
    meter = Meter()
    meter.add({"d": torch.tensor(1.0), "g": torch.tensor(4.0)})
    meter.add({"d": torch.tensor(3.0)})
    restored = Meter()
    restored.load_state_dict(meter.state_dict())
    restored.add({"d": torch.tensor(5.0)})
    assert meter.read() == {"d": 2.0, "g": 4.0}
    assert restored.read() == {"d": 3.0, "g": 4.0}
    meter.reset()
    assert meter.read() == {}


def test_the_switches_of_tf32_are_gankits_in_a_run_and_the_callers_after_it() -> None:
    def switches() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = switches()
    gpu = torch.device("cuda")  # no GPU is needed to set them
    for name, expected in (("fp32", ("highest", False)), ("tf32", ("high", True)), ("bf16", ("high", True))):
        with own_streams(torch.device("cpu")):
            Precision(name, gpu)
            assert switches() == expected
        assert switches() == before
