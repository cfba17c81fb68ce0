"""The extensions of this repository: what each of them changes, its options, and exact resume with all of them."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

import gankit
from gankit.contracts import Batch, CriticOutput, DataSpec
from gankit.errors import InputError, ResourceError
from gankit.game.vectors import LinearCritic
from gankit.run.build import build_loop, count_parameters
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer
from gankit_extensions import ada, diffaugment, ema_sweep, lucic_nets, lucic_nets_bn, top_k

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("shape", "g", "d_norm", "d", "autoencoder"),
    [
        ((1, 28, 28), 6_642_241, 6_559_169, 6_556_865, 1_073_601),
        ((3, 32, 32), 8_616_131, 8_527_297, 8_524_993, 1_325_379),
        ((3, 64, 64), 33_855_683, 33_693_121, 33_690_817, 4_495_683),
    ],
)
def test_the_neutral_networks_have_the_papers_numbers_of_parameters(
    shape: tuple[int, int, int], g: int, d_norm: int, d: int, autoencoder: int
) -> None:
    data = DataSpec(shape)
    with torch.device("meta"):
        assert count_parameters(lucic_nets.networks.gankit_generator(data, 64)) == g
        assert count_parameters(lucic_nets_bn.networks.gankit_discriminator(data, CriticOutput())) == d_norm
        assert count_parameters(lucic_nets.networks.gankit_discriminator(data, CriticOutput())) == d
        reconstructs = CriticOutput(code=64)
        assert count_parameters(lucic_nets.networks.gankit_discriminator(data, reconstructs)) == autoencoder


def test_the_neutral_networks_answer_what_a_loss_reads() -> None:
    data, y = DataSpec((1, 28, 28), ("a", "b"), 2), torch.eye(2)
    images = lucic_nets.networks.gankit_generator(data, 8)(torch.randn(2, 8), y)
    assert images.shape == (2, 1, 28, 28)
    assert float(images.detach().abs().max()) <= 1
    assert lucic_nets.networks.gankit_discriminator(data, CriticOutput())(images, y).shape == (2,)
    assert lucic_nets_bn.networks.gankit_discriminator(data, CriticOutput(heads=3))(images, y).shape == (2, 4)
    for nets in (lucic_nets.networks, lucic_nets_bn.networks):
        assert nets.gankit_discriminator(data, CriticOutput(code=64))(images).shape == images.shape


@pytest.mark.parametrize("shape", [(2,), (1, 30, 28)])
def test_the_neutral_networks_refuse_what_they_cannot_make(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        lucic_nets.networks.gankit_generator(DataSpec(shape), 8)


def test_a_penalty_with_the_normalised_discriminator_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gradient penalties are per sample"):
        gankit.train("wgan-gp", extensions=["lucic-nets-bn"], steps=1, batch=4, out=tmp_path / "run")


def normalised_loop(**settings: object):
    layers = [Layer("test", {"variant": "hinge", "extensions": ["spectral-norm"], "batch": 4, "z_dim": 8, **settings})]
    return build_loop(plan_run(layers), DataSpec((1, 16, 16)), CPU)


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    loop = normalised_loop()
    layers = [m for m in loop.networks.discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert layers
    for _ in range(50):  # power iterations
        loop.networks.discriminator(torch.zeros(1, 1, 16, 16))
    for layer in layers:
        weight = layer.weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=0.02)


def test_the_vectors_of_the_power_iteration_move_in_training_and_are_saved() -> None:
    loop = normalised_loop()
    before = {name: value.clone() for name, value in loop.state_dict().items() if name.endswith("._u")}
    assert before
    torch.manual_seed(0)
    loop.step(torch.rand(4, 1, 16, 16))
    after = loop.state_dict()
    assert all(not torch.equal(value, after[name]) for name, value in before.items() if value.numel() > 1)  # type: ignore[arg-type]


def test_spectral_norm_goes_together_with_a_gradient_penalty() -> None:
    loop = normalised_loop(variant="wgan-gp")
    torch.manual_seed(0)
    stats = [loop.step(torch.rand(4, 1, 16, 16)) for _ in range(5)]
    assert all(torch.isfinite(value) for step in stats for value in step.values())
    originals = [p for name, p in loop.players["discriminator"].items() if name.endswith("original") and p.ndim > 1]
    assert originals
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in originals)


def test_a_run_with_spectral_norm_resumes_bit_for_bit(tmp_path: Path) -> None:
    def train(folder: str, steps: int) -> gankit.RunResult:
        return gankit.train(
            "hinge", extensions=["spectral-norm"], steps=steps, batch=4, z_dim=8, out=tmp_path / folder, device="cpu"
        )

    straight = train("straight", 4)
    gankit.resume(train("broken", 2).folder, steps=4)
    states = [
        (tmp_path / folder / "checkpoints" / "step-000000004" / "state.safetensors").read_bytes()
        for folder in ("straight", "broken")
    ]
    assert straight.step == 4
    assert states[0] == states[1]


def test_spectral_norm_refuses_weights_that_begin_at_zero() -> None:
    with pytest.raises(InputError, match="they begin at zero"):  # 0 / 0 in the first step
        normalised_loop(variant="r3gan")


# -- options -----------------------------------------------------------------------------------------------------------

TINY = {"data": "digits", "size": "8x8", "device": "cpu", "batch": 8, "z_dim": 8, "precision": "fp32"}


def test_options_of_extensions_come_from_flags_tables_and_the_run(tmp_path: Path) -> None:
    def plan(**settings: object):
        return plan_run([Layer("flag", {"variant": "gan", "extensions": ["r1", "top-k"], **settings})])

    nested = plan(options={"r1": {"gamma": 3.0}, "top_k": {"least": "0.7"}, "label_smoothing": "0.1"})
    assert nested.extension_options["r1"] == {"gamma": 3.0}
    assert nested.extension_options["top-k"] == {"least": 0.7, "decay": 0.99, "images": 50_000}
    assert nested.options["label_smoothing"] == 0.1
    assert nested.resolved.sources["options.top-k.least"] == "flag"
    assert nested.settings_table()["options.top-k.decay"] == {"value": 0.99, "source": "extension"}
    with pytest.raises(InputError, match=r"option 'ada\.p': no extension 'ada' is part of this run"):
        plan(options={"ada": {"p": 1}})
    with pytest.raises(InputError, match="extension 'r1'"):
        plan(options={"r1": {"gama": 1}})
    with pytest.raises(InputError, match="gamma"):
        plan(options={"r1": {"gamma": -1}})
    with pytest.raises(InputError, match="extension 'spectral-norm' has no options"):
        plan(extensions=["spectral-norm"], options={"spectral-norm": {"n": 1}})
    assert plan(penalty_every=4).config.penalty_every == 4  # r1 brings the penalty that gan has not


def test_everything_at_once_is_resumed_exactly(tmp_path: Path) -> None:
    names = ["diffaugment", "ada", "instance-noise", "r1", "top-k", "ema-sweep"]
    options = {
        "ada": {"images": 100, "target": 0.1},
        "instance-noise": {"images": 60},
        "top-k": {"images": 24, "decay": 0.8},
    }
    settings = {**TINY, "extensions": names, "options": options, "penalty_every": 2}
    straight = gankit.train("gan", out=tmp_path / "a", steps=9, **settings)
    gankit.train("gan", out=tmp_path / "b", steps=4, **settings)
    resumed = gankit.resume(tmp_path / "b", steps=9)
    for file in ("state.safetensors", "generator.safetensors"):
        one, other = (run.folder / "checkpoints" / "step-000000009" / file for run in (straight, resumed))
        assert one.read_bytes() == other.read_bytes(), file
    for halflife in (1000, 100_000):
        one, other = (run.folder / f"ema-{halflife}.safetensors" for run in (straight, resumed))
        assert one.read_bytes() == other.read_bytes()
        assert gankit.load(one).sample(2).shape == (2, 8, 8, 1)


# -- what D sees -------------------------------------------------------------------------------------------------------


def test_shift_moves_each_image_by_its_own_pixels_and_lets_gradients_through() -> None:
    images = torch.arange(18.0).reshape(2, 1, 3, 3).requires_grad_()
    moved = diffaugment.shift(images, torch.tensor([1, 0]), torch.tensor([0, -2]))
    assert moved[0, 0].tolist() == [[0, 0, 0], [0, 1, 2], [3, 4, 5]]
    assert moved[1, 0].tolist() == [[11, 0, 0], [14, 0, 0], [17, 0, 0]]
    (gradient,) = torch.autograd.grad(moved.sum(), images)
    assert gradient[0, 0].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_cutout_blanks_at_most_half_of_each_side_and_color_keeps_the_shape() -> None:
    cut = diffaugment.cutout(torch.ones(200, 1, 8, 8))
    blank = (cut == 0).sum((1, 2, 3))
    assert int(blank.max()) == 16
    assert int(blank.min()) < 16  # some lie over the edge
    assert diffaugment.color(torch.randn(4, 3, 8, 8)).shape == (4, 3, 8, 8)
    grey = torch.zeros(4, 1, 8, 8)
    assert torch.equal(diffaugment.color(grey).var((1, 2, 3)), torch.zeros(4))  # brightness is one number an image


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_augmentations_of_images_refuse_points_and_reconstructions(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the data are points"):
        gankit.train("gan", data="ring8", extensions=[name], steps=1, device="cpu", out=tmp_path / "a")
    with pytest.raises(InputError, match="to reconstruct the ones it was given"):
        gankit.train("began", extensions=[name], steps=1, out=tmp_path / "b", **TINY)
    assert not any(tmp_path.iterdir())


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="knows no 'colour'"):
        diffaugment.DiffAugment(diffaugment.Options(policy="colour"))


def loop_with(extension: str, variant: str = "gan", **options: object):
    settings = {"variant": variant, "extensions": [extension], "batch": 4, "z_dim": 8, "precision": "fp32"}
    plan = plan_run([Layer("test", {**settings, "options": {extension: options}})])
    return build_loop(plan, DataSpec((3, 16, 16)), CPU)


def test_both_players_see_augmented_samples_only() -> None:
    loop = loop_with("diffaugment", policy="cutout")
    seen: list[torch.Tensor] = []
    loop.networks.discriminator.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    loop.step(torch.ones(4, 3, 16, 16))
    assert len(seen) == 3  # real, fake, and fake once more
    assert all(bool((images == 0).any()) for images in seen)


def test_adas_probability_follows_the_signs_and_is_bounded() -> None:
    loop = loop_with("ada", images=64, target=0.5)
    sign = [1.0]
    loop.networks.discriminator = Constant(sign)
    loop.players["discriminator"] = dict(loop.networks.discriminator.named_parameters())
    loop.optimizers["discriminator"] = torch.optim.SGD(loop.networks.discriminator.parameters(), lr=0.0)
    p = [float(loop.step(torch.zeros(4, 3, 16, 16))["ada/p"]) for _ in range(20)]
    assert p[:8] == [0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0.5]  # four batches of four are a quarter of 64
    assert p[-1] == 1.0
    sign[0] = -1.0
    assert float([loop.step(torch.zeros(4, 3, 16, 16))["ada/p"] for _ in range(4)][-1]) == 0.75


class Constant(nn.Module):
    """A discriminator that gives every sample the same score."""

    def __init__(self, score: list[float]) -> None:
        super().__init__()
        self.score = score
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.score[0] + self.zero * images.flatten(1).sum(1)


def test_adas_transformations_leave_images_alone_at_probability_zero() -> None:
    images = torch.rand(6, 3, 16, 16)
    assert torch.allclose(ada.Ada(0.0)(images), images)
    changed = ada.Ada(1.0)(images)
    assert changed.shape == images.shape
    assert not torch.allclose(changed, images)


def test_a_turn_of_the_hue_keeps_the_luma_and_goes_round() -> None:
    module, images = ada.Ada(0.0), torch.rand(2, 3, 4, 4)
    module.chosen = lambda x: torch.ones(len(x), 1, 1, 1, dtype=torch.bool)  # type: ignore[method-assign]
    calls = iter([torch.zeros(2, 1, 1, 1)] * 3)

    def no_normal(x: torch.Tensor) -> torch.Tensor:
        return next(calls)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ada, "normal", no_normal)
        patch.setattr(ada, "uniform", lambda x: torch.full((2, 1, 1, 1), 0.5 + 1 / 3))  # not inverted, 120 degrees
        turned = module.colour(images)
    assert torch.allclose(turned, images.roll(1, 1), atol=1e-6) or torch.allclose(turned, images.roll(-1, 1), atol=1e-6)


def test_instance_noise_fades_with_the_images_seen() -> None:
    loop = loop_with("instance-noise", sigma=1.0, images=40)
    images = torch.zeros(500, 3, 4, 4)
    spread = []
    for steps in (0, 5, 10, 15):
        loop.steps = steps
        spread.append(float(loop.augment(images).std()))
    assert spread == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=0.02)


# -- losses ------------------------------------------------------------------------------------------------------------


def test_r1_is_half_gamma_times_the_squared_gradient_at_real_samples() -> None:
    plan = plan_run([Layer("test", {"variant": "gan", "extensions": ["r1"], "options": {"r1": {"gamma": 4.0}}})])
    loss = build_loop(plan, DataSpec((2,)), CPU).loss
    batch = Batch(real=torch.tensor([[1.0, 2.0]]).double(), fake=torch.zeros(1, 2).double(), z=torch.zeros(1, 1))
    terms = loss.discriminator(LinearCritic(3.0, 4.0), batch)
    assert terms["r1-extension"].tolist() == [50.0]
    loss.penalty_gain = 0
    assert "r1-extension" not in loss.discriminator(LinearCritic(3.0, 4.0), batch)


def test_only_the_top_scores_have_gradients_and_the_mean_is_over_them() -> None:
    scores = torch.tensor([0.5, 3.0, -1.0, 2.0], requires_grad=True)
    kept = top_k.only_top(scores, 2)
    assert torch.equal(kept, scores)
    (gradient,) = torch.autograd.grad(kept.square().mean(), scores)
    (expected,) = torch.autograd.grad(scores[[1, 3]].square().mean(), scores)
    assert torch.allclose(gradient, expected)


def test_k_falls_to_its_floor() -> None:
    extension = top_k.TopK(top_k.Options(least=0.5, decay=0.9, images=100))
    assert [extension.count(64, seen) for seen in (0, 99, 100, 200, 10_000)] == [64, 64, 58, 52, 32]


def test_what_orders_or_penalises_scores_refuses_a_reconstruction(tmp_path: Path) -> None:
    for name in ("r1", "top-k"):
        with pytest.raises(InputError, match="this discriminator gives none"):
            gankit.train("began", extensions=[name], steps=1, out=tmp_path / name, **TINY)


def test_half_lives_must_be_numbers() -> None:
    for text in ("1000,x", "0"):
        with pytest.raises(InputError, match="ema-sweep"):
            ema_sweep.EmaSweep(ema_sweep.Options(halflives=text))


# -- trackers ----------------------------------------------------------------------------------------------------------


class Recorder:
    """Stands for tensorboard's writer and for the module wandb: it remembers what it was called with."""

    def __init__(self, *arguments: object, **named: object) -> None:
        self.calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, name: str):
        return lambda *arguments, **named: self.calls.append((name, arguments, named))

    def of(self, name: str) -> list[tuple[object, ...]]:
        return [arguments for called, arguments, _ in self.calls if called == name]


def test_tensorboard_gets_statistics_scores_and_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers: list[Recorder] = []

    def make(folder: str, **named: object) -> Recorder:
        writers.append(Recorder())
        return writers[-1]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=make))
    gankit.train("gan", extensions=["tensorboard"], steps=500, sample_every=2000, out=tmp_path / "a", **TINY)
    (writer,) = writers
    assert {("d/real", 2000), ("d/real", 4000)} <= {(name, seen) for name, _, seen in writer.of("add_scalar")}
    assert [arguments[2] for arguments in writer.of("add_image")] == [0, 2000, 4000]
    assert len(writer.of("close")) == 1


def test_trackers_get_rows_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Recorder()
    monkeypatch.setitem(sys.modules, "trackio", tool)
    settings = {**TINY, "extensions": ["wandb"], "options": {"wandb": {"tool": "trackio"}}}
    gankit.train("gan", steps=250, out=tmp_path / "a", **settings)
    (row,) = [row for (row,) in tool.of("log") if "d/real" in row]
    assert row["images_seen"] == 2000
    assert len(tool.of("finish")) == 1


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_a_missing_tracker_is_named_before_anything_is_written(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch.utils.tensorboard", "tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ResourceError, match="needs the package") as caught:
        gankit.train("gan", extensions=[name], steps=1, out=tmp_path / "a", **TINY)
    assert caught.value.hint == f"pip install {package}"
    assert not (tmp_path / "a").exists()
