"""One step of the game: who moves, who stays, what is reported, and that its state is all there is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.game.ema import Ema
from gankit.game.loop import Networks, TrainingLoop
from gankit.game.loss import AdversarialLoss, Critic
from gankit.game.networks import Discriminator, Generator
from gankit.settings.config import TrainConfig

CONFIG = TrainConfig(batch=4, z_dim=8, g_lr=1e-3, d_lr=1e-3)


class Squares(AdversarialLoss):
    """A loss with a buffer and a parameter of its own, so that their training and storage can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        self.calls += 1
        return {"real": (critic(batch.real) - 1).square(), "fake": critic(batch.fake).square()}

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"fake": (critic(batch.fake) - 1 - self.shift).square()}


def make_loop(config: TrainConfig = CONFIG, loss: AdversarialLoss | None = None) -> TrainingLoop:
    torch.manual_seed(0)
    networks = Networks(Generator((1, 8, 8), config.z_dim), Discriminator((1, 8, 8)))
    for module in (networks.generator, networks.discriminator):
        module.to(memory_format=torch.channels_last)
    return TrainingLoop(networks, loss or Squares(), config)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    return {name for name, tensor in module.state_dict().items() if not torch.equal(before[name], tensor)}


def real(n: int = 4) -> Tensor:
    return torch.linspace(-1, 1, n * 64).reshape(n, 1, 8, 8)


def test_a_discriminator_step_leaves_the_generator_alone() -> None:
    loop = make_loop()
    g, d = snapshot(loop.networks.generator), snapshot(loop.networks.discriminator)
    loop.d_step(real(), None, None)
    assert changed(g, loop.networks.generator) <= {name for name in g if "running" in name or "batches" in name}
    assert changed(d, loop.networks.discriminator)
    assert all(parameter.grad is None for parameter in loop.networks.generator.parameters())


def test_a_generator_step_leaves_the_discriminator_alone_and_trainable() -> None:
    loop = make_loop()
    g, d = snapshot(loop.networks.generator), snapshot(loop.networks.discriminator)
    loop.g_step(real(), None, None)
    assert changed(g, loop.networks.generator)
    assert changed(d, loop.networks.discriminator) == set()
    assert all(p.grad is None and p.requires_grad for p in loop.networks.discriminator.parameters())


def test_every_parameter_of_both_players_and_of_the_loss_receives_a_gradient() -> None:
    loop = make_loop()
    loop.step(real())
    for player, parameters in loop.players.items():
        assert [name for name, parameter in parameters.items() if parameter.grad is None] == [], player


def test_statistics_name_the_terms_and_the_mean_scores() -> None:
    loop = make_loop()
    stats = loop.step(real())
    gradients = {"grad/generator", "grad/discriminator"}
    assert stats.keys() == {"d/real", "d/fake", "g/fake", "score/real", "score/fake", *gradients}
    assert all(value.ndim == 0 and not value.requires_grad for value in stats.values())


def test_the_mean_score_of_the_real_batch_is_the_critics() -> None:
    loop = make_loop()
    loop.networks.discriminator.eval()
    with torch.no_grad():
        expected = loop.networks.discriminator(real()).mean()
    assert float(loop.d_step(real(), None, None)["score/real"]) == pytest.approx(float(expected), rel=1e-5)


def test_the_generator_moves_at_every_d_steps_th_step() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, d_steps=3))
    moved = ["g/fake" in loop.step(real()) for _ in range(6)]
    assert moved == [False, False, True, False, False, True]


def test_the_total_is_the_sum_of_the_means() -> None:
    """With plain SGD in place of Adam, one step moves a parameter by -lr times the gradient of that sum."""

    class Linear(AdversarialLoss):
        def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            return {"a": 2 * critic(batch.real), "b": critic(batch.real).mean() * 3}

        def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            return {"a": critic(batch.fake)}

    discriminator = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Flatten(0))
    loop = TrainingLoop(Networks(nn.Linear(8, 1), discriminator), Linear(), CONFIG)
    loop.optimizers["discriminator"] = torch.optim.SGD(discriminator.parameters(), lr=1.0)
    before = discriminator[0].weight.item()
    loop.d_step(torch.tensor([[1.0], [3.0]]), None, None)  # mean 2, so the gradient is (2 + 3) * 2
    assert discriminator[0].weight.item() == pytest.approx(before - 10.0)


@pytest.mark.parametrize("reuse", [False, True])
def test_the_generator_learns_from_new_fakes_or_from_those_just_shown(reuse: bool) -> None:
    class Watched(Squares):
        seen: list[Tensor]

        def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            assert not batch.fake.requires_grad
            self.seen = [batch.fake.clone()]
            return super().discriminator(critic, batch)

        def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            assert batch.fake.requires_grad
            self.seen.append(batch.fake.detach().clone())
            return super().generator(critic, batch)

    loss = Watched()
    loop = make_loop(TrainConfig(batch=4, z_dim=8, d_steps=2, reuse_fakes=reuse), loss)
    before = snapshot(loop.networks.generator)
    loop.step(real())
    assert changed(before, loop.networks.generator) == set()
    loop.step(real())
    assert torch.equal(*loss.seen) == reuse
    assert changed(before, loop.networks.generator)


class Penalised(Squares):
    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        gain = torch.tensor(float(self.penalty_gain))
        return {**super().discriminator(critic, batch), **({"penalty": gain} if self.penalty_gain else {})}


def test_lazy_penalties_come_every_kth_step_with_k_times_the_weight() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, penalty_every=3), Penalised())
    assert [float(loop.step(real()).get("d/penalty", 0)) for _ in range(7)] == [3, 0, 0, 3, 0, 0, 3]
    restored = make_loop(TrainConfig(batch=4, z_dim=8, penalty_every=3), Penalised())
    restored.load_state_dict(loop.state_dict())  # between two of them
    assert [float(restored.step(real()).get("d/penalty", 0)) for _ in range(4)] == [0, 0, 3, 0]


@pytest.mark.parametrize("d_steps", [1, 2])
def test_resuming_from_its_state_equals_going_on(d_steps: int) -> None:
    config = TrainConfig(batch=4, z_dim=8, d_steps=d_steps)

    def advance(loop: TrainingLoop, first: int, last: int) -> None:
        for step in range(first, last):
            torch.manual_seed(step)
            loop.step(real())

    straight = make_loop(config)
    advance(straight, 0, 7)
    broken = make_loop(config)
    advance(broken, 0, 3)  # for d_steps = 2: in the middle of a cycle
    stored = {
        name: value.contiguous().clone() if isinstance(value, Tensor) else value
        for name, value in broken.state_dict().items()
    }
    torch.manual_seed(99)
    restored = make_loop(config)
    advance(restored, 0, 1)  # state that must be overwritten
    restored.load_state_dict(stored)
    advance(restored, 3, 7)
    expected, got = straight.state_dict(), restored.state_dict()
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert torch.equal(value, got[name]) if isinstance(value, Tensor) else value == got[name], name  # type: ignore[arg-type]


def test_optimiser_state_is_kept_by_parameter_name() -> None:
    loop = make_loop()
    loop.step(real())
    names = [name for name in loop.state_dict() if name.startswith("optimizer.discriminator.")]
    first = next(iter(loop.players["discriminator"]))
    assert f"optimizer.discriminator.{first}.exp_avg" in names


def test_state_of_other_networks_is_refused_by_name() -> None:
    state = make_loop().state_dict()
    torch.manual_seed(0)
    other = TrainingLoop(Networks(Generator((1, 12, 12), 8), Discriminator((1, 12, 12))), Squares(), CONFIG)
    with pytest.raises(InputError, match="do not fit the network"):
        other.load_state_dict(state)


@pytest.mark.parametrize("answer", [{}, torch.ones(3), None])
def test_a_loss_that_returns_nonsense_is_a_plugin_error(answer: object) -> None:
    class Wrong(Squares):
        def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            return answer  # type: ignore[return-value]

    with pytest.raises(PluginError, match="the loss gave"):
        make_loop(loss=Wrong()).step(real())


def test_the_average_has_the_half_life_it_promises() -> None:
    source = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(source.weight)
    ema = Ema(source, halflife_images=1000)
    nn.init.ones_(source.weight)
    for _ in range(10):
        ema.update(source, images=100, images_seen=10**9)
    assert ema.module.weight.item() == pytest.approx(0.5, rel=1e-5)


def test_the_average_ramps_up_copies_buffers_and_can_be_switched_off() -> None:
    source = nn.BatchNorm1d(1)
    ema = Ema(source, halflife_images=1000)
    nn.init.zeros_(source.weight)
    source.running_mean.fill_(7.0)  # type: ignore[union-attr]
    ema.update(source, images=10, images_seen=200)  # half-life 5 % of 200 = 10 images
    assert ema.module.weight.item() == pytest.approx(0.5)
    assert ema.module.running_mean.item() == 7.0
    off = Ema(source, halflife_images=0)
    nn.init.constant_(source.weight, 3.0)
    off.update(source, images=10, images_seen=10)
    assert off.module.weight.item() == 3.0
