"""Where the weights of `inception` are looked for, in which order, and what is said when there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_data import random_images

from gankit.data import Dataset
from gankit.errors import ResourceError
from gankit.measure.features.inception import PTH_NAMES, SCRIPT_NAME, find_weights, inception


def dataset(channels: int = 3) -> Dataset:
    return Dataset.from_arrays("tiny", random_images(3, channels).numpy())


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
