"""DiffAugment and instance noise: what they do to samples, and that both players see it."""

from __future__ import annotations

import pytest
import torch
from support_plugins import loop_with, step_of

from gankit.contracts import Batch
from gankit.errors import InputError
from gankit_extensions import diffaugment


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


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="knows no 'colour'"):
        diffaugment.Extension(diffaugment.Options(policy="colour"))


def test_both_players_see_augmented_samples_only() -> None:
    loop = loop_with("diffaugment", options={"diffaugment": {"policy": "cutout"}})
    seen: list[torch.Tensor] = []
    loop.networks.discriminator.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    loop.step(Batch(torch.ones(4, 3, 16, 16)))
    assert len(seen) == 3  # real, fake, and fake once more
    assert all(bool((images == 0).any()) for images in seen)


def test_instance_noise_fades_with_the_images_shown() -> None:
    loop = loop_with("instance-noise", options={"instance-noise": {"sigma": "linear(1, 0, 8)"}})
    noise, images = loop.parts["instance-noise"], torch.zeros(500, 3, 4, 4)
    spread = []
    for _ in range(4):
        loop.step(Batch(torch.zeros(4, 3, 16, 16)))
        spread.append(float(noise.shown(images, step_of(loop, "discriminator", images=4)).std()))
    assert spread == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=0.02)
