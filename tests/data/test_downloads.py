"""Named data sets that are fetched: over a local server, offline, and from a damaged cache."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from support import PIXELS, idx

from gankit.base import progress
from gankit.data import load_dataset
from gankit.data.formats.cifar import read_cifar
from gankit.data.formats.idx import load_idx_pair
from gankit.data.sets.downloads import CIFAR10, FASHION_MNIST, MNIST, Download, RemoteFile, data_home
from gankit.errors import InputError, ResourceError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a local server and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", folder
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANKIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "data"


def small(base: str, content: bytes) -> Download:
    file = RemoteFile(f"{base}/train-images-idx3-ubyte.gz", hashlib.sha256(content).hexdigest())
    return Download("small", (file,), lambda folder: load_idx_pair(folder / file.name, None, "small"))


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


CONTENT = gzip.compress(idx(PIXELS), mtime=0)


def test_a_set_is_downloaded_once_verified_and_then_read_offline(server: tuple[str, Path], home: Path) -> None:
    base, folder = server
    served = folder / "train-images-idx3-ubyte.gz"
    served.write_bytes(CONTENT)
    calls: list[tuple[str, int, int]] = []
    with progress.to(lambda *call: calls.append(call)):
        dataset = load_dataset("s", {"s": small(base, CONTENT)})
    assert dataset.samples[:, 0].tolist() == PIXELS.tolist()
    assert calls[-1] == ("downloading train-images-idx3-ubyte.gz", len(CONTENT), len(CONTENT))
    served.unlink()
    assert load_dataset("s", {"s": small(base, CONTENT)}).fingerprint == dataset.fingerprint
    (home / "small" / served.name).write_bytes(b"damaged")
    served.write_bytes(CONTENT)
    assert load_dataset("s", {"s": small(base, CONTENT)}).fingerprint == dataset.fingerprint


def test_a_file_with_another_hash_is_refused_and_not_kept(server: tuple[str, Path], home: Path) -> None:
    base, folder = server
    (folder / "train-images-idx3-ubyte.gz").write_bytes(CONTENT + b"evil")
    with pytest.raises(ResourceError, match="hash"):
        small(base, CONTENT)()
    assert not (home / "small" / "train-images-idx3-ubyte.gz").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_without_a_network_the_error_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    base = f"http://127.0.0.1:{closed_port()}"
    if damaged:
        (home / "small").mkdir(parents=True)
        (home / "small" / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    attempts: list[object] = []
    send = requests.Session.send
    monkeypatch.setattr(requests.Session, "send", lambda *a, **k: attempts.append(1) or send(*a, **k))
    with pytest.raises(ResourceError, match=f"train-images-idx3-ubyte.gz from {base}") as caught:
        small(base, CONTENT)()
    assert len(attempts) == 1  # what refuses a connection is not asked again
    assert str(home / "small") in str(caught.value.hint)
    assert "--data digits" in str(caught.value.hint)


def test_a_missing_file_on_the_server_is_an_error_of_the_machine(server: tuple[str, Path]) -> None:
    with pytest.raises(ResourceError, match="404"):
        small(server[0], CONTENT)()


def test_the_real_sets_are_pinned_and_know_their_folder(home: Path) -> None:
    assert data_home() == home
    files = [file for download in (MNIST, FASHION_MNIST, CIFAR10) for file in download.files]
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in files)
    assert [file.name for file in CIFAR10.files] == ["cifar-10-binary.tar.gz"]


def test_files_put_into_the_folder_by_hand_are_used(home: Path) -> None:
    pairs = ((MNIST.files[0].name, idx(PIXELS)), (MNIST.files[1].name, idx(np.array([3, 1]))))
    files = []
    (home / "mnist").mkdir(parents=True)
    for name, content in pairs:
        packed = gzip.compress(content)
        (home / "mnist" / name).write_bytes(packed)
        files.append(RemoteFile(f"http://127.0.0.1:1/{name}", hashlib.sha256(packed).hexdigest()))
    dataset = dataclasses.replace(MNIST, files=tuple(files))()
    assert dataset.spec.classes == tuple("0123456789")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [3, 1]


def cifar_archive(path: Path, batches: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_cifar10_records_become_images_in_the_order_of_their_batches(tmp_path: Path) -> None:
    first = bytes([6]) + bytes(range(256)) * 12
    second = bytes([0]) + bytes(3072)
    archive = cifar_archive(
        tmp_path / "c.tar.gz", {"data_batch_2.bin": second, "data_batch_1.bin": first, "test_batch.bin": second}
    )
    dataset = read_cifar(archive, "cifar10")
    assert dataset.samples.shape == (2, 3, 32, 32)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [6, 0]
    assert dataset.spec.classes[6] == "frog"
    assert dataset.samples[0, 1, 0, :3].tolist() == [0, 1, 2]  # 1024 = 4 * 256: green starts at 0 again
    assert dataset.samples[0, 0, 1, 0] == 32


def test_a_broken_cifar10_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a file of CIFAR-10: 3,000 bytes"):
        read_cifar(cifar_archive(tmp_path / "a.tar.gz", {"data_batch_1.bin": bytes(3000)}), "a")
    with pytest.raises(InputError, match="holds no batches"):
        read_cifar(cifar_archive(tmp_path / "b.tar.gz", {"readme.txt": b"hello"}), "b")
    whole = cifar_archive(tmp_path / "c.tar.gz", {"data_batch_1.bin": np.random.RandomState(0).bytes(3073 * 9)})
    whole.write_bytes(whole.read_bytes()[:9000])
    with pytest.raises(InputError, match="not a sound archive"):
        read_cifar(whole, "c")
