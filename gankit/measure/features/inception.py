"""The `inception` space: the Inception-v3 of 2015-12-05, in which published FID and KID are computed.

Its weights are never downloaded. Two files hold them: a state dict (pytorch-fid, torch-fidelity) and a TorchScript
program (StyleGAN2-ADA, clean-fid).
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from gankit.base.files import expanded, sha256
from gankit.base.text import printable
from gankit.data import Dataset
from gankit.errors import InputError, ResourceError
from gankit.measure.features.inception_graph import SIDE, WIDTH, Inception, resize_tf1
from gankit.measure.features.pixels import as_rgb, colour_protocol, in_chunks, require_images
from gankit.measure.features.space import FeatureSpace, Protocol

log = logging.getLogger("gankit")

PTH_NAMES = ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth")
SCRIPT_NAME = "inception-2015-12-05.pt"
PTH_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SCRIPT_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
KNOWN = {PTH_SHA256: "pth", SCRIPT_SHA256: "torchscript"}
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{PTH_NAMES[0]}"
_MAX_BYTES = 2**28  # largest file that is read; the larger of the known files has 96 MB


class InceptionSpace(FeatureSpace):
    """The graph of `inception_graph` with the weights of a state dict."""

    published = True

    def __init__(self, network: Inception, digest: str, mode: str, colour: Protocol) -> None:
        resize = f"bilinear-aa {SIDE}" if mode == "antialias" else f"tf1-bilinear {SIDE}"
        name = "inception@antialias" if mode == "antialias" else "inception"
        super().__init__(
            name=name, sha256=digest, dim=WIDTH, protocol={"resize": resize, "weights": "2015-12-05 pth", **colour}
        )
        self.network = network
        self.antialias = mode == "antialias"

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return in_chunks(self._forward_chunk, samples)

    def _forward_chunk(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        x = as_rgb(samples).float()
        if self.antialias:
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        else:
            x = resize_tf1(x)
        features, logits = self.network((x - 128) / 128)
        return features, logits


class ScriptSpace(FeatureSpace):
    """The TorchScript program, which resizes images itself. Logarithms of its probabilities serve as logits."""

    published = True

    def __init__(self, network: nn.Module, digest: str, colour: Protocol) -> None:
        protocol = {"resize": f"tf1-bilinear {SIDE}", "weights": "2015-12-05 torchscript", **colour}
        super().__init__(name="inception", sha256=digest, dim=WIDTH, protocol=protocol)
        self.network = network

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return in_chunks(self._forward_chunk, samples)

    def _forward_chunk(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        images = as_rgb(samples)
        features = self.network(images, return_features=True).float()
        probabilities = self.network(images, no_output_bias=True).float()
        return features, probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()


def inception(data: Dataset, argument: str) -> FeatureSpace:
    """The `inception` space; `argument` is 'legacy' (default, as published), 'antialias', or a file of weights."""
    require_images(data, "inception")
    mode = argument if argument == "antialias" else "legacy"
    path: Path | None
    if argument in ("", "legacy", "antialias"):
        path = find_weights(state_dict=mode == "antialias")
        if path is None:
            raise _nothing_found(mode)
        log.info("inception: weights from %s", printable(path))
    else:
        path = expanded(argument)
        if not _is_file(path):
            raise InputError(
                f"features 'inception@{printable(argument)}': neither a way of resizing nor a file",
                hint="write inception (the same as inception@legacy), inception@antialias, or inception@FILE",
            )
    return _open(path, mode, colour_protocol(data)).eval().requires_grad_(False)


def find_weights(*, state_dict: bool = False) -> Path | None:
    """The first file with the name of known weights in the caches of other programs; only .pth if `state_dict`."""
    for path in _places():
        if _is_file(path) and not (state_dict and path.suffix == ".pt"):
            return path
    return None


def _places() -> Iterator[Path]:
    environment = os.environ.get
    configured = environment("GANKIT_WEIGHTS")
    if configured:
        place = expanded(configured)
        yield place
        yield from (place / name for name in (*PTH_NAMES, SCRIPT_NAME))
    caches = Path(environment("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = Path(environment("TORCH_HOME") or caches / "torch").expanduser() / "hub" / "checkpoints"
    yield from (hub / name for name in PTH_NAMES)
    yield Path(tempfile.gettempdir()) / SCRIPT_NAME
    if environment("CLEANFID_INCEPTION_DIR"):
        yield Path(os.environ["CLEANFID_INCEPTION_DIR"]).expanduser() / SCRIPT_NAME
    yield caches / "k-diffusion" / SCRIPT_NAME
    dnnlib = Path(environment("DNNLIB_CACHE_DIR") or "~/.cache/dnnlib").expanduser()
    yield from sorted((dnnlib / "downloads").glob(f"*_{SCRIPT_NAME}"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # an unreadable folder, or an invalid name
        return False


def _nothing_found(mode: str) -> ResourceError:
    configured = os.environ.get("GANKIT_WEIGHTS")
    where = f", not in GANKIT_WEIGHTS={printable(configured)} either" if configured else ""
    what = "no state dict (.pth) of Inception" if mode == "antialias" else "no weights of Inception"
    return ResourceError(
        f"features 'inception': {what} on this machine{where}",
        hint=f"download {URL} (sha256 {PTH_SHA256[:16]}…) and set GANKIT_WEIGHTS to the file or its folder",
    )


def _open(path: Path, mode: str, colour: Protocol) -> FeatureSpace:
    """The space of a file of weights. Only bytes with a known hash are loaded, from memory."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}", hint="name another file") from error
    digest = sha256(content)
    kind = KNOWN.get(digest)
    if kind is None:
        expected = " or ".join(f"{known[:16]}… ({name})" for known, name in KNOWN.items())
        raise InputError(
            f"{printable(path)} does not hold the weights of Inception: its sha256 is {digest[:16]}…, not {expected}",
            hint=f"delete it, or set GANKIT_WEIGHTS to a sound copy of {URL}",
        )
    if kind == "torchscript":
        if mode == "antialias":
            raise InputError(f"{printable(path)} resizes by itself", hint="inception@antialias needs the .pth file")
        return ScriptSpace(_load_script(content), digest, colour)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced anyway
        network = Inception()
    network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True), assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.5 times as fast on a CPU
    return InceptionSpace(network, digest, mode, colour)


def _load_script(content: bytes) -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`?torch.jit", category=DeprecationWarning)
        program: nn.Module = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
    return program
