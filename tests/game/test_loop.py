"""One step of the game: who moves, who stays, what is reported, and that its state is all there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from gankit.contracts import Batch
from gankit.errors import InputError, PluginError
from gankit.game.critic import Critic
from gankit.game.ema import Ema
from gankit.game.game import Networks
from gankit.game.loop import TrainingLoop
from gankit.game.loss import AdversarialLoss, named
from gankit.game.networks import Discriminator, Generator
from gankit.game.parts import Part, Phase, Step
from gankit.machine.precision import Precision
from gankit.settings.config import TrainConfig
from gankit.settings.schedule import Schedule

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
    loop.play("discriminator", Batch(real()))
    assert changed(g, loop.networks.generator) <= {name for name in g if "running" in name or "batches" in name}
    assert changed(d, loop.networks.discriminator)
    assert all(parameter.grad is None for parameter in loop.networks.generator.parameters())


def test_a_generator_step_leaves_the_discriminator_alone_and_trainable() -> None:
    loop = make_loop()
    g, d = snapshot(loop.networks.generator), snapshot(loop.networks.discriminator)
    loop.play("generator", Batch(real()))
    assert changed(g, loop.networks.generator)
    assert changed(d, loop.networks.discriminator) == set()
    assert all(p.grad is None and p.requires_grad for p in loop.networks.discriminator.parameters())


def test_every_parameter_of_both_players_and_of_the_loss_receives_a_gradient() -> None:
    loop = make_loop()
    loop.step(Batch(real()))
    for name, player in loop.players.items():
        assert [key for key, parameter in player.parameters.items() if parameter.grad is None] == [], name


def test_statistics_name_the_terms_and_the_mean_scores() -> None:
    loop = make_loop()
    stats = loop.step(Batch(real()))
    gradients = {"grad/generator", "grad/discriminator"}
    assert stats.keys() == {"d/real", "d/fake", "g/fake", "score/real", "score/fake", *gradients}
    assert all(value.ndim == 0 and not value.requires_grad for value in stats.values())


def test_the_mean_score_of_the_real_batch_is_the_critics() -> None:
    loop = make_loop()
    loop.networks.discriminator.eval()
    with torch.no_grad():
        expected = loop.networks.discriminator(real()).mean()
    assert float(loop.play("discriminator", Batch(real()))["score/real"]) == pytest.approx(float(expected), rel=1e-5)


def test_the_generator_moves_at_every_d_steps_th_step() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, d_steps=3))
    moved = ["g/fake" in loop.step(Batch(real())) for _ in range(6)]
    assert moved == [False, False, True, False, False, True]


def test_the_total_is_the_sum_of_the_means() -> None:
    """One step of plain SGD moves a parameter by -lr times the gradient of that sum."""

    class Linear(AdversarialLoss):
        def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            return {"a": 2 * critic(batch.real), "b": critic(batch.real).mean() * 3}

        def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            return {"a": critic(batch.fake)}

    discriminator = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Flatten(0))
    config = TrainConfig(batch=2, z_dim=8, d_lr=1.0, d_optimizer="sgd")
    loop = TrainingLoop(Networks(nn.Linear(8, 1), discriminator), Linear(), config)
    before = discriminator[0].weight.item()
    loop.play("discriminator", Batch(torch.tensor([[1.0], [3.0]])))  # mean 2, so the gradient is (2 + 3) * 2
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
    loop.step(Batch(real()))
    assert changed(before, loop.networks.generator) == set()
    loop.step(Batch(real()))
    assert torch.equal(*loss.seen) == reuse
    assert changed(before, loop.networks.generator)


class Seen(Squares):
    """Remembers the real samples, the conditions and the fakes of each phase."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, float, int | None]] = []
        self.fakes: list[Tensor] = []

    def remember(self, phase: str, batch: Batch) -> None:
        condition = None if batch.condition is None else int(batch.condition[0].argmax())
        self.seen.append((phase, float(batch.real[0, 0, 0, 0]), condition))
        self.fakes.append(batch.fake.detach().clone())

    def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        self.remember("d", batch)
        return super().discriminator(critic, batch)

    def generator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        self.remember("g", batch)
        return super().generator(critic, batch)


def numbered(step: int, condition: int | None = None) -> Batch:
    """A batch of images of `step`, with another one of 100 + step in `fresh`."""

    def images(value: int, condition: int | None) -> Batch:
        return Batch(torch.full((4, 1, 8, 8), float(value)), condition=condition and torch.eye(3)[[condition] * 4])

    return replace(images(step, condition), fresh=images(100 + step, condition and condition + 1))


@pytest.mark.parametrize(
    ("g_reals", "expected"),
    [
        ("fresh", [("d", 0), ("d", 1), ("g", 101), ("d", 2), ("d", 3), ("g", 103)]),
        ("shared", [("d", 0), ("d", 1), ("g", 1), ("d", 2), ("d", 3), ("g", 3)]),
    ],
)
@pytest.mark.parametrize("reuse", [False, True])
def test_the_phase_of_g_may_have_real_samples_of_its_own(
    g_reals: Literal["shared", "fresh"], expected: list[tuple[str, int]], reuse: bool
) -> None:
    loss = Seen()
    loop = make_loop(TrainConfig(batch=4, z_dim=8, d_steps=2, reuse_fakes=reuse, g_reals=g_reals), loss)
    images: list[int] = []

    class Counts(Part):
        def after_update(self, step: Step) -> dict[str, Tensor]:
            images.append(step.images)
            return {}

    loop.add_part("counts", Counts())
    for step in range(4):
        loop.step(numbered(step))
    assert [(phase, value) for phase, value, _ in loss.seen] == expected
    assert torch.equal(loss.fakes[1], loss.fakes[2]) == reuse
    assert images == [4, 8, 8, 12, 16, 16]  # those of the discriminator alone count


def test_the_fakes_of_a_phase_with_real_samples_of_its_own_have_their_conditions() -> None:
    given: list[int] = []

    class Conditional(Generator):
        def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
            assert condition is not None
            given.append(int(condition[0].argmax()))
            return super().forward(z, condition)

    networks = Networks(Conditional((1, 8, 8), 8, condition=3), Discriminator((1, 8, 8), condition=3))
    loss = Seen()
    loop = TrainingLoop(networks, loss, TrainConfig(batch=4, z_dim=8, g_reals="fresh"))
    loop.step(numbered(0, condition=1))
    assert [condition for _, _, condition in loss.seen] == given == [1, 2]


def test_a_batch_without_the_real_samples_that_a_phase_takes_is_refused() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, g_reals="fresh"))
    with pytest.raises(PluginError, match="'generator' takes real samples of its own"):
        loop.step(Batch(real()))


def test_a_phase_of_a_variant_may_have_real_samples_of_its_own() -> None:
    loss = Seen()
    loop = make_loop(loss=loss)
    assert not loop.takes_fresh_reals
    loop.phases["again"] = Phase("discriminator", loss.discriminator, fakes="detached", frozen=(), fresh_reals=True)
    assert loop.takes_fresh_reals
    loop.step(numbered(0))
    assert [(phase, value) for phase, value, _ in loss.seen] == [("d", 0), ("g", 0), ("d", 100)]


class Penalised(Squares):
    def penalties(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        return {"penalty": torch.ones(())}


def test_lazy_penalties_come_every_kth_step_with_k_times_the_weight() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, penalty_every=3), Penalised())
    assert [float(loop.step(Batch(real())).get("d/penalty", 0)) for _ in range(7)] == [3, 0, 0, 3, 0, 0, 3]
    restored = make_loop(TrainConfig(batch=4, z_dim=8, penalty_every=3), Penalised())
    restored.load_state_dict(loop.state_dict())  # between two of them
    assert [float(restored.step(Batch(real())).get("d/penalty", 0)) for _ in range(4)] == [0, 0, 3, 0]


@pytest.mark.parametrize("d_steps", [1, 2])
def test_resuming_from_its_state_equals_going_on(d_steps: int) -> None:
    config = TrainConfig(batch=4, z_dim=8, d_steps=d_steps)

    def advance(loop: TrainingLoop, first: int, last: int) -> None:
        for step in range(first, last):
            torch.manual_seed(step)
            loop.step(Batch(real()))

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
    loop.step(Batch(real()))
    names = [name for name in loop.state_dict() if name.startswith("optimizer.discriminator.")]
    first = next(iter(loop.players["discriminator"].parameters))
    assert f"optimizer.discriminator.{first}.exp_avg" in names


def test_state_of_other_networks_is_refused_by_name() -> None:
    state = make_loop().state_dict()
    torch.manual_seed(0)
    other = TrainingLoop(Networks(Generator((1, 12, 12), 8), Discriminator((1, 12, 12))), Squares(), CONFIG)
    with pytest.raises(InputError, match="do not fit the network"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "nothing to minimise in the phase 'discriminator'"),
        (None, r"test_loop.py:\d+, .*Wrong.discriminator, gives NoneType for terms"),
        ({"real": 0.5}, "the term 'real' of the phase 'discriminator' is float"),
        ({"real": torch.ones(4, 4)}, r"is \[4, 4\]"),
    ],
)
def test_a_loss_that_returns_nonsense_is_a_plugin_error(answer: object, message: str) -> None:
    class Wrong(Squares):
        def discriminator(self, critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
            return answer  # type: ignore[return-value]

    with pytest.raises(PluginError, match=message):
        make_loop(loss=Wrong()).step(Batch(real()))


def test_one_tensor_is_one_term() -> None:
    class Plain(Squares):
        def discriminator(self, critic: Critic, batch: Batch) -> Tensor:
            return sum(
                term.mean() for term in named(super().discriminator(critic, batch), super().discriminator).values()
            )  # type: ignore[return-value]

    loops = [make_loop(loss=loss) for loss in (Squares(), Plain())]
    for loop in loops:
        torch.manual_seed(0)
        stats = loop.step(Batch(real()))
    assert "d/loss" in stats
    first, second = (loop.networks.discriminator.state_dict() for loop in loops)
    assert all(torch.allclose(first[name], second[name]) for name in first)


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


# -- players and phases ------------------------------------------------------------------------------------------------


def with_a_third_player() -> TrainingLoop:
    loop = make_loop()
    loop.add_player("encoder", {"encoder": nn.Sequential(nn.Flatten(), nn.Linear(64, 8))}, lr=0.1, optimizer="sgd")

    def reconstruct(critic: Critic, batch: Batch) -> Mapping[str, Tensor]:
        codes = loop.call(loop.networks.extra["encoder"], batch.real)
        return {"error": (loop.generate(codes) - batch.real).square().flatten(1).mean(1)}

    loop.phases["encoder"] = Phase("encoder", reconstruct, due=lambda: loop.due_every(2, "encoder"))
    return loop


def test_a_third_player_moves_alone_in_its_own_phase_and_its_state_is_stored() -> None:
    loop = with_a_third_player()
    turns = ["encoder/error" in loop.step(Batch(real())) for _ in range(4)]
    assert turns == [False, True, False, True]
    before = {name: snapshot(n) for name, n in (("g", loop.networks.generator), ("e", loop.networks.extra["encoder"]))}
    loop.play("encoder", Batch(real()))
    assert changed(before["g"], loop.networks.generator) == set()
    assert changed(before["e"], loop.networks.extra["encoder"]) == {"1.weight", "1.bias"}
    assert all(p.requires_grad for p in loop.networks.generator.parameters())
    state = {k: v.clone() if isinstance(v, Tensor) else v for k, v in loop.state_dict().items()}
    assert {"extra.encoder.1.weight", "phase.encoder.turns", "optimizer.encoder.lr.0"} <= state.keys()
    restored = with_a_third_player()
    restored.load_state_dict(state)
    assert restored.phases["encoder"].turns == 2
    torch.manual_seed(5)
    expected = loop.step(Batch(real()))
    torch.manual_seed(5)
    assert {k: float(v) for k, v in restored.step(Batch(real())).items()} == {k: float(v) for k, v in expected.items()}


def test_two_networks_of_one_name_are_refused() -> None:
    loop = with_a_third_player()
    with pytest.raises(PluginError, match="two networks are called 'encoder'"):
        loop.add_network("generator", "encoder", nn.Linear(1, 1))


# -- parts -------------------------------------------------------------------------------------------------------------


class Everywhere(Part):
    """Writes down each place of a step at which it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []
        self.register_buffer("updates", torch.zeros(()))

    def note(self, place: str, step: Step) -> None:
        self.places.append(f"{step.name[0]} {place}")

    def shown(self, samples: Tensor, step: Step) -> Tensor:
        self.note("shown", step)
        return samples + 1

    def critic(self, critic: Critic, step: Step) -> Critic:
        self.note("critic", step)
        return critic

    def penalties(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        self.note("penalties", step)
        return {"extra": torch.ones(len(batch.real))}

    def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
        self.note(f"terms {sorted(step.terms)}", step)
        return {"more": 0 * critic(batch.fake)}

    def before_update(self, step: Step) -> None:
        self.note("before_update", step)
        for parameter in step.player.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def after_update(self, step: Step) -> Mapping[str, Tensor]:
        self.note("after_update", step)
        self.updates += 1
        return {"part/updates": self.updates.clone()}


def test_a_part_is_asked_at_every_place_in_the_order_that_its_docstring_shows() -> None:
    loop, part = make_loop(TrainConfig(batch=4, z_dim=8, penalty_every=2)), Everywhere()
    loop.add_part("everywhere", part)
    stats = loop.step(Batch(real()))
    assert part.places == [
        "d critic", "d shown", "d shown", "d penalties", "d terms ['extra', 'fake', 'real']", "d shown",
        "d before_update", "d after_update",
        "g critic", "g shown", "g terms ['fake']", "g shown", "g before_update", "g after_update",
    ]  # fmt: skip
    assert float(stats["d/extra"]) == 2.0  # every second step, twice as heavy
    assert float(stats["part/updates"]) == 2.0
    assert "d/extra" not in loop.step(Batch(real()))
    assert float(loop.state_dict()["parts.everywhere.updates"]) == 4.0  # type: ignore[arg-type]


def test_what_a_part_does_to_gradients_is_what_the_optimiser_sees() -> None:
    config = TrainConfig(batch=4, z_dim=8, d_optimizer="sgd", g_optimizer="sgd")
    loop = make_loop(config)
    loop.add_part("everywhere", Everywhere())
    before = {player: [p.clone() for p in loop.players[player].parameters.values()] for player in loop.players}
    loop.step(Batch(real()))
    for name, player in loop.players.items():
        assert all(map(torch.equal, before[name], player.parameters.values())), name


def test_the_discriminator_sees_what_parts_show_it_in_every_pass() -> None:
    loop = make_loop()
    loop.add_part("everywhere", Everywhere())
    lowest: list[float] = []
    loop.networks.discriminator.register_forward_pre_hook(
        lambda _, inputs: lowest.append(float(inputs[0].detach().min()))
    )
    loop.step(Batch(real()))
    assert len(lowest) == 5  # real, fake and the part's own pass for D; fake and the part's for G
    assert all(value >= -1e-3 for value in lowest)  # everything is lifted by one


# -- what the critic knows ---------------------------------------------------------------------------------------------


def critic_of(loop: TrainingLoop, batch: Batch, **settings: bool) -> Critic:
    return Critic(loop.networks.discriminator, batch, loop.precision, **settings)


def test_scores_of_a_part_of_the_batch_are_not_taken_for_the_real_ones() -> None:
    batch = Batch(real(), fake=-real())
    critic = critic_of(make_loop(), batch)
    scores = critic(batch.real)
    critic(batch.real[:1])
    critic(batch.real.detach())
    assert critic.real is not None
    assert torch.equal(critic.real, scores.detach())
    assert critic.fake is None


def test_real_and_fake_scored_in_one_pass_are_known_and_the_pass_is_made_once() -> None:
    batch = Batch(real(), fake=-real())
    critic = critic_of(make_loop(), batch, penalties_due=True)
    pair = critic.pair()
    assert critic.pair() is pair
    assert pair.points.is_leaf
    assert pair.points.requires_grad
    assert critic.real is not None
    assert critic.fake is not None
    assert torch.equal(critic.real, pair.real.detach())
    assert torch.equal(critic.fake, pair.fake.detach())
    assert not critic_of(make_loop(), batch).pair().points.requires_grad


# -- schedules ---------------------------------------------------------------------------------------------------------


def test_learning_rates_betas_and_options_follow_their_schedules_step_by_step() -> None:
    config = TrainConfig(
        batch=4,
        z_dim=8,
        g_lr=Schedule.parse("linear(1e-3, 0, 16)"),
        d_lr=2e-3,
        betas=(0.0, Schedule.parse("steps(0.9, 0.99@50%)")),
    )
    loop = make_loop(config)
    loop.total_images = 16
    value = torch.zeros(())
    loop.follow("options.gamma", Schedule.parse("cosine(1, 0, 50%-100%)"), value)
    seen = []
    for _ in range(5):
        loop.step(Batch(real()))
        groups = {name: player.optimizer.param_groups[0] for name, player in loop.players.items()}
        seen.append(
            (groups["generator"]["lr"], groups["discriminator"]["lr"], groups["generator"]["betas"][1], float(value))
        )
    assert seen == [
        pytest.approx(row)
        for row in [
            (1e-3, 2e-3, 0.9, 1.0), (7.5e-4, 2e-3, 0.9, 1.0), (5e-4, 2e-3, 0.99, 1.0),
            (2.5e-4, 2e-3, 0.99, 0.5), (0.0, 2e-3, 0.99, 0.0),
        ]
    ]  # fmt: skip
    assert loop.scheduled() == pytest.approx(
        {"lr/generator": 0.0, "beta2/generator": 0.99, "beta2/discriminator": 0.99, "options.gamma": 0.0}
    )


def test_groups_keep_their_share_of_a_scheduled_rate_and_their_own_constant_one() -> None:
    for g_lr, later in ((Schedule.parse("linear(1e-2, 0, 8)"), 5e-3), (1e-2, 1e-2)):
        loop = make_loop(TrainConfig(batch=4, z_dim=8, g_lr=g_lr))
        loop.add_network("generator", "encoder", nn.Linear(1, 1), lr_scale=0.1)
        loop.players["generator"].scale_lr(0.5)
        for _ in range(2):
            loop.step(Batch(real()))
        rates = [group["lr"] for group in loop.players["generator"].optimizer.param_groups]
        assert rates == pytest.approx([0.5 * later, 0.05 * later])
        restored = make_loop(TrainConfig(batch=4, z_dim=8, g_lr=g_lr))
        restored.add_network("generator", "encoder", nn.Linear(1, 1), lr_scale=0.1)
        restored.load_state_dict(loop.state_dict())
        assert [g["lr"] for g in restored.players["generator"].optimizer.param_groups] == pytest.approx(rates)
        assert [g["lr_scale"] for g in restored.players["generator"].optimizer.param_groups] == [0.5, 0.05]


# -- running statistics of the average ---------------------------------------------------------------------------------


def test_refreshed_statistics_are_those_of_the_averaged_weights_for_every_momentum() -> None:
    torch.manual_seed(0)
    for momentum in (0.1, 0.001, None):
        source = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, momentum=momentum))
        ema = Ema(source, halflife_images=1000)
        inputs = [(torch.randn(64, 2),) for _ in range(4)]
        ema.refresh(inputs)
        outputs = [source[0](x).detach() for (x,) in inputs]
        layer = ema.module[1]  # type: ignore[index]
        assert layer.running_mean.tolist() == pytest.approx(
            torch.stack([o.mean(0) for o in outputs]).mean(0).tolist(), abs=1e-6
        )
        assert layer.running_var.tolist() == pytest.approx(
            torch.stack([o.var(0) for o in outputs]).mean(0).tolist(), rel=1e-5
        )
        assert not layer.training
        assert layer.momentum == momentum
        assert source[1].running_mean.tolist() == [0, 0, 0]  # training does not notice


class Clip(Part):
    def before_update(self, step: Step) -> None:
        nn.utils.clip_grad_norm_(step.player.parameters.values(), 1e-3)


def test_parts_see_gradients_without_the_scale_of_fp16() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, precision="fp16", d_optimizer="sgd", d_lr=1.0))
    loop.add_part("clip", Clip())
    parameters = list(loop.networks.discriminator.parameters())
    for _ in range(20):  # the first steps are skipped, until the scale is low enough
        before = [p.detach().clone() for p in parameters]
        if not loop.play("discriminator", Batch(real()))["skipped/discriminator"]:
            break
    moved = torch.cat([(p.detach() - old).flatten() for p, old in zip(parameters, before, strict=True)])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


def test_fakes_that_are_kept_serve_one_backward_pass() -> None:
    loop = make_loop(TrainConfig(batch=4, z_dim=8, reuse_fakes=True))
    loop.phases["again"] = Phase("generator", loop.loss.generator, fakes="attached", frozen=("discriminator",))
    average = [p.clone() for p in loop.ema.module.parameters()]
    loop.step(Batch(real()))
    assert (loop.phases["generator"].turns, loop.phases["again"].turns) == (1, 1)
    assert not all(map(torch.equal, average, loop.ema.module.parameters()))


@pytest.mark.parametrize("n", [1, 3])
def test_a_critic_on_a_part_of_a_batch_is_given_its_conditions(n: int) -> None:
    class Told(nn.Module):
        def forward(self, samples: Tensor, condition: Tensor) -> Tensor:
            return samples[:, 0] + condition[:, 0]

    batch = Batch(torch.zeros(4, 2), torch.zeros(4, 2), condition=torch.eye(4, 3))
    critic = Critic(Told(), batch, Precision("fp32", torch.device("cpu")), conditional=True)
    assert critic(batch.real[:n], batch.condition[:n]).tolist() == batch.condition[:n, 0].tolist()
    assert len(critic(torch.cat([batch.real, batch.fake]))) == 8
    with pytest.raises(PluginError, match=rf"D is shown {n} samples, and the batch has 4 conditions"):
        critic(batch.real[:n])


@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_a_batch_brings_fields_of_later_versions_to_every_phase(phase: str) -> None:
    @dataclass
    class Later(Batch):
        weights: Tensor | None = None

    class Weighs(Part):
        seen: Mapping[str, Tensor | None] = {}

        def terms(self, critic: Critic, batch: Batch, step: Step) -> Mapping[str, Tensor]:
            self.seen = {**self.seen, step.name: getattr(batch, "weights", None)}
            return {}

    loop, weighs = make_loop(), Weighs()
    loop.add_part("weighs", weighs)
    loop.step(Later(real(), weights=torch.arange(4.0)))
    assert weighs.seen[phase] is not None
    assert weighs.seen[phase].tolist() == [0, 1, 2, 3]
