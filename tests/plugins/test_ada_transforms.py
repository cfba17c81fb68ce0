"""ADA's transformations: resampling against plain code, what each does, how often, and their derivatives."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from gankit.errors import InputError
from gankit_extensions import ada_transforms
from gankit_extensions.ada_transforms import BLIT, COLOUR, GEOMETRY, TRANSFORMS, Draw, Pipeline, shares_of
from gankit_extensions.ada_warp import SYM6, Affine, bands, warp
from gankit_extensions.diffaugment import shift

EVERYTHING = "blit, geometry, colour, imgfilter, noise, cutout"
SHAPES = [(1, 28, 28), (3, 16, 16), (3, 9, 13), (4, 7, 6), (2, 1, 5)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def pipeline(transforms: str) -> Pipeline:
    return Pipeline(shares_of(transforms))


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def affine(xx: float = 1, xy: float = 0, yx: float = 0, yy: float = 1, x0: float = 0, y0: float = 0) -> Affine:
    """One map in float64, for one image."""
    return Affine(*(torch.tensor([value], dtype=torch.float64) for value in (xx, xy, yx, yy, x0, y0)))


# -- resampling --------------------------------------------------------------------------------------------------------


def test_the_filter_is_orthonormal_and_has_six_vanishing_moments() -> None:
    h = torch.tensor(SYM6, dtype=torch.float64)
    assert float(h.sum()) == pytest.approx(math.sqrt(2), abs=1e-11)
    for k in range(6):
        assert float(h[2 * k :] @ h[: 12 - 2 * k]) == pytest.approx(float(k == 0), abs=1e-11)
    n = torch.arange(12, dtype=torch.float64)
    for power in range(6):
        assert float(((-1) ** n * (n - 5.5) ** power) @ h) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 8), (28, 28), (9, 13)], ids=str)
def test_what_is_not_moved_comes_back_as_it_was(shape: tuple[int, int]) -> None:
    images = double(1, 3, *shape)
    assert torch.allclose(warp(images, affine()), images, atol=1e-9)


def test_a_map_by_whole_pixels_is_the_shift_that_copies_pixels() -> None:
    images = double(1, 2, 8, 11)
    shifted = shift(images, torch.tensor([2]), torch.tensor([-3]), border="reflect")
    assert torch.allclose(warp(images, affine(x0=3, y0=-2)), shifted, atol=1e-9)


def test_slopes_stay_straight_and_exact() -> None:
    """In the middle of the image, where no reflection reaches."""
    y, x = (grid - 11.5 for grid in torch.meshgrid(*[torch.arange(24, dtype=torch.float64)] * 2, indexing="ij"))
    image = (0.3 * x - 0.2 * y)[None, None]
    turned = warp(image, affine(0.8, 0.5, -0.5, 0.8, 0.3, -0.4))
    expected = 0.3 * (0.8 * x + 0.5 * y + 0.3) - 0.2 * (-0.5 * x + 0.8 * y - 0.4)
    assert torch.allclose(turned[0, 0, 9:15, 9:15], expected[9:15, 9:15], atol=1e-12)


def plain_warp(image: Tensor, xx: float, xy: float, yx: float, yy: float, x0: float, y0: float) -> Tensor:
    """[H, W]: pad by reflection, insert zeros and filter, look up, filter and drop every second, pixel by pixel."""
    height, width = image.shape
    pad = 40
    rows, columns = (reflections(size, pad) for size in (height, width))
    padded = image[rows][:, columns]
    h = torch.tensor(SYM6, dtype=torch.float64)
    sparse = torch.zeros(2 * padded.shape[0], 2 * padded.shape[1], dtype=torch.float64)
    sparse[::2, ::2] = padded
    kernel = 2 * torch.outer(h, h)
    # A convolution, not a correlation: the kernel is turned; sample (r, c) of it began at tap 0.
    fine = nn.functional.conv2d(
        nn.functional.pad(sparse, (11, 0, 11, 0))[None, None], kernel.flip(0, 1)[None, None]
    )[0, 0]  # fmt: skip
    fine, taps = fine.tolist(), h.tolist()
    centre = float((torch.arange(12) * h).sum() / h.sum())
    result = [[0.0] * width for _ in range(height)]
    for row, column in itertools.product(range(height), range(width)):
        for i, j in itertools.product(range(12), range(12)):
            y = row + (i - centre) / 2 - (height - 1) / 2
            x = column + (j - centre) / 2 - (width - 1) / 2
            r = 2 * (yx * x + yy * y + y0 + (height - 1) / 2 + pad) + centre
            c = 2 * (xx * x + xy * y + x0 + (width - 1) / 2 + pad) + centre
            top, left = math.floor(r), math.floor(c)
            value = sum(
                (1 - abs(r - top - a)) * (1 - abs(c - left - b)) * fine[top + a][left + b]
                for a, b in itertools.product((0, 1), repeat=2)
            )
            result[row][column] += taps[i] * taps[j] / 2 * value
    return torch.tensor(result, dtype=torch.float64)


def reflections(size: int, pad: int) -> Tensor:
    """The indices of a padded column, walking to and fro between its ends."""
    there = [*range(size), *range(size - 2, 0, -1)]
    return torch.tensor([there[k % len(there)] for k in range(-pad, size + pad)])


@pytest.mark.parametrize("numbers", [(0.7, 0.4, -0.5, 0.9, 1.3, -0.6), (-1.6, 0.2, 0.3, 1.4, -5.0, 8.5)], ids=str)
def test_a_map_is_what_plain_code_gives(numbers: tuple[float, ...]) -> None:
    image = double(4, 5)
    assert torch.allclose(warp(image[None, None], affine(*numbers))[0, 0], plain_warp(image, *numbers), atol=1e-9)


def test_each_image_has_its_own_map() -> None:
    images = double(2, 1, 6, 6)
    numbers = [(0.7, 0.4, -0.5, 0.9, 1.3, -0.6), (1.1, 0.0, 0.2, 0.8, 0.0, 0.5)]
    both = Affine(*(torch.cat(entries) for entries in zip(*(affine(*each) for each in numbers), strict=True)))
    alone = [warp(images[i : i + 1], affine(*each)) for i, each in enumerate(numbers)]
    assert torch.allclose(warp(images, both), torch.cat(alone))


# -- the pipeline ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_to_which_nothing_is_applied_are_the_same_bit_for_bit(shape: tuple[int, ...]) -> None:
    images = torch.randn(6, *shape)
    assert torch.equal(pipeline(EVERYTHING)(images, 0.0), images)
    assert torch.equal(pipeline(EVERYTHING)(images, torch.tensor(0.0)), images)
    images = torch.randn(32, *shape)
    some = pipeline("geometry, colour, imgfilter:0.5, noise")(images, 0.1)
    assert 0 < sum(map(torch.equal, some, images)) < 32


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size_and_number_of_channels_are_changed(shape: tuple[int, ...]) -> None:
    images = torch.randn(6, *shape)
    changed = pipeline(EVERYTHING)(images, 1.0)
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert not any(map(torch.equal, changed, images))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_transformation_alone_changes_images(name: str) -> None:
    images = torch.randn(16, 3, 16, 16)
    assert not torch.equal(pipeline(name)(images, 1.0), images)
    assert torch.equal(pipeline(f"{name}:0")(images, 1.0), images)


def test_an_image_that_is_not_square_is_not_turned_by_quarters() -> None:
    images = torch.randn(16, 1, 8, 10)
    assert torch.equal(pipeline("rotate90")(images, 1.0), images)


@pytest.mark.parametrize("name", [*GEOMETRY, "brightness", "contrast", "hue", "saturation", "noise"])
def test_a_transformation_comes_as_often_as_its_share_of_p_says(name: str) -> None:
    """Rotation has two chances, before and after stretching, which together have this probability."""
    images = torch.randn(4096, 3, 2, 2)
    changed = (pipeline(f"{name}:0.5")(images, 0.6) != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.03)  # four standard deviations


def test_everything_is_affine_in_the_images() -> None:
    def f(images: Tensor) -> Tensor:
        torch.manual_seed(3)
        return pipeline(EVERYTHING)(images, 0.8)

    x, y = double(8, 3, 12, 12), double(8, 3, 12, 12)
    assert torch.allclose(f(2 * x - 3 * y) - f(0 * x), 2 * (f(x) - f(0 * x)) - 3 * (f(y) - f(0 * x)), atol=1e-9)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_derivatives_of_both_orders_are_right(on_cpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to resample: the images that are chosen, and all images where the device must not be waited for."""
    if not on_cpu:
        monkeypatch.setattr(ada_transforms, "waits_for_nothing", lambda images: False)

    def f(images: Tensor) -> Tensor:
        torch.manual_seed(5)
        return pipeline(EVERYTHING)(images, 0.7).pow(3)

    images = double(2, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradgradcheck(f, images)


def test_both_ways_to_resample_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(16, 3, 12, 12)
    torch.manual_seed(0)
    chosen = pipeline(EVERYTHING)(images, 0.5)
    monkeypatch.setattr(ada_transforms, "waits_for_nothing", lambda images: False)
    torch.manual_seed(0)
    assert torch.allclose(pipeline(EVERYTHING)(images, 0.5), chosen, atol=1e-5)


def test_a_penalty_is_that_of_the_matrix_of_the_augmentation() -> None:
    """|grad of w . T(x)|^2 = |T' w|^2 at the image before augmentation; the columns of T by differences."""
    w, x = double(1, 1, 6, 6), double(1, 1, 6, 6)

    def f(image: Tensor) -> Tensor:
        torch.manual_seed(11)
        return pipeline("blit, geometry, colour, cutout")(image, 0.9)

    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((w * f(point)).sum(), point)
    units = torch.eye(36, dtype=torch.float64).reshape(36, 1, 1, 6, 6)
    expected = torch.stack([(w * (f(x + unit) - f(x))).sum() for unit in units])
    assert float(slope.square().sum()) == pytest.approx(float(expected.square().sum()), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_computed_in_float32_under_autocast(dtype: torch.dtype) -> None:
    images = torch.randn(8, 3, 16, 16).to(dtype)
    torch.manual_seed(0)
    expected = pipeline(EVERYTHING)(images.float(), 1.0)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        found = pipeline(EVERYTHING)(images, 1.0)
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))


def test_the_layout_of_the_images_does_not_matter() -> None:
    images = torch.randn(8, 3, 16, 16)
    torch.manual_seed(0)
    expected = pipeline(EVERYTHING)(images, 1.0)
    torch.manual_seed(0)
    found = pipeline(EVERYTHING)(images.contiguous(memory_format=torch.channels_last), 1.0)
    assert torch.allclose(found, expected, atol=1e-5)


def test_geometry_brings_no_border_into_an_image_of_one_colour() -> None:
    images = torch.full((64, 1, 16, 16), 0.7)
    assert torch.equal(pipeline("blit")(images, 1.0), images)
    assert torch.allclose(pipeline("blit, geometry")(images, 1.0), images, atol=1e-5)


# -- what each one does ------------------------------------------------------------------------------------------------


class Fixed(Draw):
    """Draws that are given: every transformation that is named is applied, by these numbers in turn."""

    def __init__(self, images: Tensor, *names: str, uniform: tuple[float, ...] = (), normal: tuple[float, ...] = ()):
        super().__init__(images, 1.0, {name: float(name in names) for name in TRANSFORMS})
        self.uniforms, self.normals = iter(uniform), iter(normal)

    def chosen(self, name: str) -> Tensor:
        return torch.full((len(self.images), 1, 1, 1), self.shares[name] > 0)

    def chosen_twice(self, name: str) -> tuple[Tensor, Tensor]:
        return self.chosen(name), torch.zeros(len(self.images), 1, 1, 1, dtype=torch.bool)

    def uniform(self) -> Tensor:
        return torch.full((len(self.images), 1, 1, 1), next(self.uniforms, 0.75), dtype=self.images.dtype)

    def normal(self) -> Tensor:
        return torch.full((len(self.images), 1, 1, 1), next(self.normals, 0.0), dtype=self.images.dtype)


def test_blitting_copies_pixels() -> None:
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(ada_transforms.geometry(images, Fixed(images, "xflip", uniform=(0.2,))), images.flip(3))
    assert torch.equal(ada_transforms.geometry(images, Fixed(images, "xflip", uniform=(0.7,))), images)
    quarter = Fixed(images, "rotate90", uniform=(0.9, 0.3))
    assert torch.equal(ada_transforms.geometry(images, quarter), images.rot90(1, (2, 3)))
    # An eighth of the side is one pixel, and 2 * 0.9 - 1 of it rounds to one, 2 * 0.6 - 1 to none.
    moved = ada_transforms.geometry(images, Fixed(images, "xint", uniform=(0.9, 0.9, 0.9, 0.6)))
    assert torch.equal(moved[:, :, 1:], images[:, :, :-1])
    assert torch.equal(moved[:, :, 0], images[:, :, 1])  # the reflection


def test_scaling_and_stretching_enlarge_by_a_power_of_two() -> None:
    y, x = (grid - 11.5 for grid in torch.meshgrid(*[torch.arange(24, dtype=torch.float64)] * 2, indexing="ij"))
    images = torch.stack([x, y])[None]
    middle = (..., slice(10, 14), slice(10, 14))
    # N = 5 times 0.2 is a factor of two: what was at 1 is at 2.
    larger = ada_transforms.geometry(images, Fixed(images, "scale", normal=(5.0,)))
    assert torch.allclose(larger[middle], images[middle] / 2, atol=1e-9)
    stretched = ada_transforms.geometry(images, Fixed(images, "aniso", normal=(0.0, 5.0)))
    assert torch.allclose(stretched[0, 0][middle], x[middle] / 2, atol=1e-9)
    assert torch.allclose(stretched[0, 1][middle], y[middle] * 2, atol=1e-9)


def test_rotation_turns_about_the_middle_and_fractions_shift() -> None:
    steps = torch.arange(24, dtype=torch.float64)
    image = torch.exp(-((steps[:, None] - 8) ** 2) / 40 - (steps - 15) ** 2 / 15)[None, None]
    turned = ada_transforms.geometry(image, Fixed(image, "rotate", uniform=(0.75,) * 5))  # by pi / 2
    # Nearly: sym6 is not quite symmetric, and the lookup between two places blurs a little.
    assert torch.allclose(turned, image.rot90(-1, (2, 3)), atol=0.01)
    ramp = torch.arange(24, dtype=torch.float64).expand(1, 1, 24, 24)
    moved = ada_transforms.geometry(ramp, Fixed(ramp, "xfrac", normal=(0, 0, 0.0, 0.5)))
    assert torch.allclose(moved[..., 10:14], ramp[..., 10:14] - 0.5 * 0.125 * 24, atol=1e-9)


def test_a_whole_shift_comes_before_the_map_and_is_a_part_of_it() -> None:
    images = double(1, 1, 32, 32)
    draws = {"uniform": (0.75, 0.75, 0.75, 0.95, 0.1), "normal": (1.5,)}
    together = ada_transforms.geometry(images, Fixed(images, "xint", "scale", **draws))
    shifted = ada_transforms.geometry(images, Fixed(images, "xint", **draws))
    one_by_one = ada_transforms.geometry(shifted, Fixed(images, "scale", **draws))
    assert not torch.equal(shifted, images)
    assert torch.allclose(together[..., 10:22, 10:22], one_by_one[..., 10:22, 10:22], atol=1e-9)


def test_colours_are_those_of_the_papers_matrices() -> None:
    """x -> S H L C (x + b), with the luma axis v = (1, 1, 1) / sqrt(3): L reflects it, H turns about it, S scales across."""
    images = double(2, 3, 4, 4)
    n_b, n_c, n_s, u = 0.7, -0.4, 0.9, 0.15
    draw = Fixed(images, *COLOUR, uniform=(0.2, u), normal=(n_b, n_c, n_s))
    v = torch.full((3,), 3**-0.5, dtype=torch.float64)
    eye, across = torch.eye(3, dtype=torch.float64), torch.outer(v, v)
    angle = torch.tensor(math.pi * (2 * u - 1), dtype=torch.float64)
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / 3**0.5
    hue = across + angle.cos() * (eye - across) + angle.sin() * cross
    saturate = across + 2**n_s * (eye - across)
    matrix = saturate @ hue @ (eye - 2 * across) * 2 ** (0.5 * n_c)
    expected = torch.einsum("ij,njhw->nihw", matrix, images + 0.2 * n_b)
    found = ada_transforms.colour(images, draw)
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_turn_of_the_hue_by_a_third_exchanges_the_channels() -> None:
    images = double(2, 3, 4, 4)
    turned = ada_transforms.colour(images, Fixed(images, "hue", uniform=(0.75, 0.5 + 1 / 3)))
    assert torch.allclose(turned, images.roll(1, 1), atol=1e-12)


def test_grey_images_have_no_hue_and_no_saturation() -> None:
    images = torch.randn(4, 1, 5, 5)
    assert torch.equal(pipeline("hue, saturation")(images, 1.0), images)
    inverted = ada_transforms.colour(images, Fixed(images, "lumaflip", uniform=(0.2,)))
    assert torch.equal(inverted, -images)


def test_frequency_bands_add_up_to_the_image_and_separate_waves() -> None:
    split = bands(64, torch.device("cpu"), torch.float64)
    assert torch.allclose(split.sum(0), torch.eye(64, dtype=torch.float64), atol=1e-12)
    at = torch.arange(64, dtype=torch.float64)
    for band, frequency in enumerate((0.02, 0.19, 0.36, 0.9)):  # shares of pi, within the borders 1/8, 1/4 and 1/2
        wave = (math.pi * frequency * at).cos()
        parts = (split @ wave).square().sum(1)
        assert int(parts.argmax()) == band
        assert parts[band] > 0.45 * wave.square().sum()


def test_filtering_keeps_the_expected_power() -> None:
    images = torch.randn(4, 1, 8, 8)
    amplified = ada_transforms.image_filter(images, Fixed(images, "imgfilter", normal=(2.0, 0.0, 0.0, 0.0)))
    gain = torch.tensor([4.0, 1, 1, 1]) / math.sqrt((10 * 16 + 3) / 13)
    matrix = torch.einsum("b,bij->ij", gain, bands(8, torch.device("cpu"), torch.float32))
    assert torch.allclose(amplified, matrix @ images @ matrix.T, atol=1e-5)


def test_noise_has_its_own_strength_for_each_image() -> None:
    images = torch.zeros(512, 1, 16, 16)
    spread = pipeline("noise")(images, 1.0).flatten(1).std(1)
    assert spread.square().mean().sqrt().item() == pytest.approx(0.1, rel=0.2)
    assert spread.min() < 0.01


def test_a_rectangle_of_half_of_each_side_is_cut_out() -> None:
    images = torch.ones(1, 1, 8, 12)
    middle = ada_transforms.cutout(images, Fixed(images, "cutout", uniform=(0.5, 0.5)))
    expected = torch.ones(8, 12)
    expected[2:6, 3:9] = 0
    assert torch.equal(middle[0, 0], expected)
    corner = ada_transforms.cutout(images, Fixed(images, "cutout", uniform=(0.0, 1.0)))
    assert corner[0, 0, :2, 9:].sum() == 0
    assert corner.sum() == 96 - 6


# -- the option --------------------------------------------------------------------------------------------------------


def test_groups_and_single_names_have_shares() -> None:
    assert {name for name, share in shares_of("blit,geometry,colour").items() if share == 1} == {
        *BLIT, *GEOMETRY, *COLOUR,
    }  # fmt: skip
    shares = shares_of("blit, rotate90:0, colour : 0.5, hue, cutout")
    assert [shares[name] for name in ("xflip", "rotate90", "xint")] == [1, 0, 1]
    assert [shares[name] for name in ("brightness", "hue", "cutout", "noise", "scale")] == [0.5, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("", "there is no transformation ''"),
        ("blit,,colour", "there is no transformation ''"),
        ("blit, colr", "there is no transformation 'colr'"),
        ("blit, blit:0.5", "names 'blit' twice"),
        ("colour:", "'colour:' gives no share of p"),
        ("colour:half", "'colour:half' gives no share of p"),
        ("colour:1.5", "'colour:1.5' gives no share of p"),
        ("colour:nan", "'colour:nan' gives no share of p"),
    ],
)
def test_what_names_no_transformation_is_refused(spelling: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        shares_of(spelling)
    assert caught.value.hint
