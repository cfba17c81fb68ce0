"""The mistakes of a variant's author: each is one line that names the hook, before the first step or in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import TINY_VARIANT

from gankit.contracts import Batch, DataSpec
from gankit.errors import GankitError, InputError, PluginError, ResourceError
from gankit.game.loop import TrainingLoop
from gankit.run.build import build_loop
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

IMAGES = DataSpec((1, 16, 16), ("a", "b"))
PIXELS = 16 * 16
GENERATOR = """
@hookimpl
def gankit_generator(data, z_dim):
    return nn.Sequential({})
"""
DISCRIMINATOR = """
@hookimpl
def gankit_discriminator(data):
    return nn.Sequential({})
"""


def build(tmp_path: Path, source: str, data: DataSpec = IMAGES, **settings: object) -> TrainingLoop:
    path = tmp_path / "mine.py"
    path.write_text(f"from torch import nn\nimport torch\n{source}")
    given = {"variant": str(path), "device": "cpu", "z_dim": 8, "batch": 4, **settings}
    return build_loop(plan_run([Layer("test", given)]), data, torch.device("cpu"))


def generator(layers: str) -> str:
    return TINY_VARIANT + GENERATOR.format(layers)


def discriminator(layers: str) -> str:
    return TINY_VARIANT + DISCRIMINATOR.format(layers)


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            generator("nn.Linear(z_dim, 784), nn.Unflatten(1, (1, 28, 28))"),
            "gankit_generator of 'mine': z [2, 8] gave [2, 1, 28, 28], and samples of this data are [2, 1, 16, 16]",
            "data.shape",
        ),
        (
            generator("nn.Linear(100, 256), nn.Unflatten(1, (1, 16, 16))"),
            "gankit_generator of 'mine' built a network that fails on [2, 8]: RuntimeError: mat1 and mat2 shapes",
            "GANKIT_DEBUG=1",
        ),
        (
            TINY_VARIANT + "\n@hookimpl\ndef gankit_generator(data, z_dim):\n    return nn.LSTM(z_dim, 3)",
            "gankit_generator of 'mine' built a network that returns tuple",
            "one tensor",
        ),
        (
            generator("nn.Identity()"),
            "gankit_generator of 'mine' built a network without parameters",
            "nothing to train",
        ),
        (
            TINY_VARIANT + "\n@hookimpl\ndef gankit_generator(data, z_dim):\n    return 'a network'",
            "gankit_generator of 'mine' returned str",
            "a Module",
        ),
        (
            TINY_VARIANT.replace("return Loss()", "return None"),
            "gankit_loss of 'mine' returned NoneType",
            "an AdversarialLoss",
        ),
        (
            discriminator(f"nn.Flatten(), nn.Linear({PIXELS}, 1)"),
            "gankit_discriminator of 'mine': 2 samples gave [2, 1], and the loss reads scores [2]",
            "nn.Flatten(0)",
        ),
        (
            discriminator(f"nn.Flatten(0), nn.Linear({2 * PIXELS}, 1)"),
            "gankit_discriminator of 'mine': 2 samples gave [1], and the loss reads scores [2]",
            "CriticOutput",
        ),
        (
            discriminator("nn.Conv2d(3, 1, 16), nn.Flatten(0)"),
            "gankit_discriminator of 'mine' built a network that fails on [2, 1, 16, 16]: RuntimeError: Given groups=1",
            "GANKIT_DEBUG=1",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_the_first_step(
    tmp_path: Path, source: str, message: str, hint: str
) -> None:
    with pytest.raises(PluginError) as caught:
        build(tmp_path, source)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in (caught.value.hint or "")


def test_the_line_of_the_plugin_that_failed_is_named(tmp_path: Path) -> None:
    network = "class Mine(nn.Module):\n    def forward(self, z):\n        return z.reshape(3, 3)\n"
    hook = "@hookimpl\ndef gankit_generator():\n    mine = Mine()\n    mine.w = nn.Parameter(torch.ones(1))\n    return mine\n"
    with pytest.raises(PluginError) as caught:
        build(tmp_path, f"{network}{TINY_VARIANT}\n{hook}")
    assert f"({tmp_path / 'mine.py'}, line 5)" in caught.value.message


@pytest.mark.parametrize("hook", ["gankit_generator", "gankit_discriminator", "gankit_loss", "gankit_training_loop"])
def test_a_wrapper_that_forgets_to_return_is_named(tmp_path: Path, hook: str) -> None:
    path = tmp_path / "forgets.py"
    path.write_text(f"from gankit.plugin import hookimpl\n@hookimpl(wrapper=True)\ndef {hook}():\n    yield\n")
    with pytest.raises(PluginError, match=rf"{hook} of '\w+ \+ forgets' returned NoneType") as caught:
        build(tmp_path, TINY_VARIANT, extensions=(str(path),))
    assert "so must whatever wraps it" in (caught.value.hint or "")


def test_a_loss_that_forgets_its_base_class_is_told_so(tmp_path: Path) -> None:
    source = TINY_VARIANT.replace(
        "    def discriminator(", "    def __init__(self):\n        pass\n\n    def discriminator("
    )
    with pytest.raises(PluginError, match="Loss that is not initialised") as caught:
        build(tmp_path, source)
    assert caught.value.hint == "Loss.__init__ begins with super().__init__()"


@pytest.mark.parametrize(
    ("term", "what"), [("critic(batch.fake)[:, None] - critic(batch.real)", r"\[4, 4\]"), ("0.5", "float")]
)
def test_a_term_of_the_wrong_shape_is_refused(tmp_path: Path, term: str, what: str) -> None:
    source = TINY_VARIANT.replace("critic(batch.fake) - critic(batch.real)", term)
    assert source != TINY_VARIANT
    loop = build(tmp_path, source)
    with pytest.raises(PluginError, match=rf"the term 'score' of the phase 'discriminator' is {what}"):
        loop.step(Batch(torch.zeros(4, *IMAGES.shape)))


def test_the_rehearsal_changes_nothing_that_training_starts_from(tmp_path: Path) -> None:
    source = generator(
        f"nn.Linear(z_dim, {PIXELS}), nn.Dropout(), nn.BatchNorm1d({PIXELS}), nn.Unflatten(1, (1, 16, 16))"
    )
    path = tmp_path / "mine.py"
    rehearsed = build(tmp_path, source)
    after = torch.rand(4)
    plan = plan_run([Layer("test", {"variant": str(path), "device": "cpu", "z_dim": 8, "batch": 4})])
    plain = build_loop(plan, IMAGES, torch.device("cpu"), rehearsed=False)
    assert torch.equal(after, torch.rand(4))
    one, other = rehearsed.state_dict(), plain.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one)
    assert rehearsed.networks.generator.training
    assert rehearsed.networks.discriminator.training


NORM = f"nn.Flatten(), nn.BatchNorm1d({PIXELS}), nn.Linear({PIXELS}, 1), nn.Flatten(0)"


@pytest.mark.parametrize(
    ("source", "who"),
    [
        (discriminator(NORM), "gankit_discriminator of 'mine': batch norm '1'"),
        (
            generator(f"nn.Linear(z_dim, {PIXELS}), nn.BatchNorm1d({PIXELS}), nn.Unflatten(1, (1, 16, 16))"),
            "gankit_generator of 'mine': batch norm '1'",
        ),
    ],
)
def test_batch_norm_over_one_value_a_channel_is_refused(tmp_path: Path, source: str, who: str) -> None:
    with pytest.raises(InputError) as caught:
        build(tmp_path, source, batch=1)
    assert caught.value.message == f"{who} gets one value a channel, [1, {PIXELS}], and cannot normalise it"
    assert (caught.value.hint or "").startswith("--batch 2 or more, a larger --size")
    build(tmp_path, source, batch=2).step(Batch(torch.rand(2, *IMAGES.shape)))


def test_batch_norm_of_one_image_with_several_pixels_is_fine(tmp_path: Path) -> None:
    source = discriminator(f"nn.BatchNorm2d(1), nn.Flatten(), nn.Linear({PIXELS}, 1), nn.Flatten(0)")
    build(tmp_path, source, batch=1).step(Batch(torch.rand(1, *IMAGES.shape)))


def test_a_network_that_fails_in_training_only_is_named(tmp_path: Path) -> None:
    network = "class Mine(nn.Linear):\n    def forward(self, x):\n        assert not self.training\n        return super().forward(x.flatten(1))[:, 0]\n"
    hook = f"\n@hookimpl\ndef gankit_discriminator():\n    return Mine({PIXELS}, 1)\n"
    with pytest.raises(PluginError, match="gankit_discriminator of 'mine' built a network that fails on"):
        build(tmp_path, network + TINY_VARIANT + hook)


def test_a_phase_of_its_own_may_show_the_discriminator_something_else(tmp_path: Path) -> None:
    joint = "class Joint(nn.Linear):\n    def forward(self, x, z):\n        return super().forward(z)[:, 0] + x.mean((1, 2, 3))\n"
    hooks = """
from gankit.plugin import TrainingLoop

@hookimpl
def gankit_discriminator():
    return Joint(8, 1)

@hookimpl
def gankit_training_loop(networks, loss, config):
    loop = TrainingLoop(networks, loss, config)
    loop.phases["discriminator"].objective = lambda critic, batch: {"joint": critic.discriminator(batch.real, batch.z)}
    loop.phases["generator"].objective = lambda critic, batch: {"joint": critic.discriminator(batch.fake, batch.z)}
    return loop
"""
    loop = build(tmp_path, joint + TINY_VARIANT + hooks)
    assert "d/joint" in loop.step(Batch(torch.zeros(4, *IMAGES.shape)))


def test_a_mask_with_infinities_is_found_before_the_first_step(tmp_path: Path) -> None:
    network = f"""
class Masked(nn.Linear):
    def __init__(self):
        super().__init__({PIXELS}, 1)
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1), persistent=PERSISTENT)

    def forward(self, x):
        return super().forward(x.flatten(1))[:, 0]
"""
    source = TINY_VARIANT + network + "\n@hookimpl\ndef gankit_discriminator():\n    return Masked()\n"
    with pytest.raises(PluginError, match=r"'discriminator\.mask' is not finite") as caught:
        build(tmp_path, source.replace("PERSISTENT", "True"))
    assert "persistent=False" in (caught.value.hint or "")
    build(tmp_path, source.replace("PERSISTENT", "False")).step(Batch(torch.zeros(4, *IMAGES.shape)))


@pytest.mark.parametrize("value", ["[1, 2]", "float('nan')", "None"])
def test_a_state_that_no_checkpoint_can_hold_is_found_before_the_first_step(tmp_path: Path, value: str) -> None:
    own = f"""
from gankit.plugin import TrainingLoop

class Loop(TrainingLoop):
    def state_dict(self):
        return {{**super().state_dict(), "history": {value}}}

@hookimpl
def gankit_training_loop(networks, loss, config):
    return Loop(networks, loss, config)
"""
    with pytest.raises(PluginError, match="the training loop's state has 'history'"):
        build(tmp_path, TINY_VARIANT + own)


def test_a_plugin_may_refuse_in_its_own_words(tmp_path: Path) -> None:
    network = """
from gankit.plugin import InputError
class Small(nn.Linear):
    def forward(self, z):
        raise InputError("not on a Tuesday")
"""
    hook = "\n@hookimpl\ndef gankit_generator():\n    return Small(1, 1)\n"
    with pytest.raises(InputError, match="not on a Tuesday"):
        build(tmp_path, network + TINY_VARIANT + hook)


def test_out_of_memory_in_a_builder_is_that_of_the_machine(tmp_path: Path) -> None:
    hook = (
        '\n@hookimpl\ndef gankit_generator():\n    raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")\n'
    )
    with pytest.raises(ResourceError, match="out of memory with --batch 4, --z-dim 8"):
        build(tmp_path, TINY_VARIANT + hook)


def test_a_bug_of_ours_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gankit.game import networks

    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(networks.Generator, "forward", broken)
    with pytest.raises(RuntimeError, match="ours") as caught:
        build(tmp_path, TINY_VARIANT)
    assert not isinstance(caught.value, GankitError)


@pytest.mark.parametrize(
    ("hook", "line"),
    [
        (
            "def gankit_discriminator(data):\n    return nn.Linear(data.channels, 1)",
            "object has no attribute 'channels'",
        ),
        ("def gankit_training_loop(networks):\n    return networks.critic", "object has no attribute 'critic'"),
    ],
)
def test_an_exception_in_a_builder_is_one_line_that_names_its_place(tmp_path: Path, hook: str, line: str) -> None:
    source = f"{TINY_VARIANT}\n@hookimpl\n{hook}\n"
    with pytest.raises(PluginError) as caught:
        build(tmp_path, source)
    place = 2 + len(source.splitlines())
    assert caught.value.message.startswith(f"variant 'mine' from {tmp_path / 'mine.py'} failed: AttributeError: ")
    assert line in caught.value.message
    assert caught.value.message.endswith(f"({tmp_path / 'mine.py'}, line {place})")
