"""The feature space `inception`: its graph, its two ways of resizing, and the files it opens."""

from __future__ import annotations

import hashlib
import io
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from support_data import random_images
from torch import Tensor, nn

from gankit.data import Dataset
from gankit.errors import InputError, ResourceError
from gankit.measure.features import inception as inception_module
from gankit.measure.features.inception import KNOWN, PTH_NAMES, inception
from gankit.measure.features.inception_graph import Inception, resize_tf1


def dataset(channels: int = 3) -> Dataset:
    return Dataset.from_arrays("tiny", random_images(3, channels).numpy())


POINTS = Dataset.from_arrays("ring", np.zeros((4, 2), np.float32))


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
    return network.eval().requires_grad_(False)


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
    features, logits = space(images)
    assert features.shape == (2, 2048)
    assert logits.shape == (2, 1008)
    assert features.dtype == logits.dtype == torch.float32
    assert float((features[0] - features[1]).abs().max()) > 0.01
    own, _ = network((resize_tf1(torch.cat([images] * 3, 1).float()) - 128) / 128)
    torch.testing.assert_close(features, own, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, features @ network.fc.weight.T)  # and no bias


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
    space(images)
    inception(dataset(), "legacy")(images)
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


@pytest.mark.usefixtures("no_torch_load")
def test_inception_opens_only_known_files(weights: Path, nowhere: Path) -> None:
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
    features, logits = space(images)
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


@pytest.mark.parametrize("argument", ["antialiased", "./missing.pth", "/", "x" * 5000, "\0"])
def test_inception_refuses_other_arguments(argument: str) -> None:
    with pytest.raises(InputError, match="neither a way of resizing nor a file") as caught:
        inception(dataset(), argument)
    assert caught.value.hint is not None
    assert "inception@legacy" in caught.value.hint


def test_inception_is_not_for_points() -> None:
    with pytest.raises(InputError, match="'inception' need grey or colour images"):
        inception(POINTS, "")
