"""Named data sets that are downloaded: pinned by sha256, kept in the user's cache, read in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gankit.base import progress
from gankit.base.cache import home
from gankit.base.text import printable
from gankit.data.dataset import Dataset, DatasetFactory
from gankit.data.formats.cifar import read_cifar
from gankit.data.formats.idx import load_idx_pair
from gankit.errors import ResourceError

_CONNECT_S = 3.5  # seconds for each address of a host; large hosts have eight
_READ_S = 10  # seconds between two pieces of an answer
_LOCK_S = 600  # seconds to wait for another process that downloads the same files
_MAX_BYTES = 2**30
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


class RemoteFile(NamedTuple):
    """The URL and the hash of a file."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Download:
    """A data set factory that downloads its files at first use, once per machine."""

    name: str
    files: tuple[RemoteFile, ...]
    read: Callable[[Path], Dataset]  # reads the data set from the folder of the files
    splits: Mapping[str, DatasetFactory] = field(default_factory=dict)  # splits besides the training set

    def __call__(self) -> Dataset:
        """Fetch what is missing, then decode."""
        folder = data_home() / self.name
        self._fetch(folder)
        return self.read(folder)

    def _fetch(self, folder: Path) -> None:
        import pooch

        def missing() -> list[RemoteFile]:
            return [file for file in self.files if not _is_sound(folder / file.name, file.sha256)]

        if not missing():
            return  # without the lock, so that the cache may be read-only
        from filelock import FileLock, Timeout

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=_LOCK_S):
                pooch.get_logger().setLevel("WARNING")  # its "Downloading ..." would go to stderr
                for file in missing():
                    self._fetch_one(folder, file)
        except Timeout as error:
            raise ResourceError(
                f"another process has been downloading '{self.name}' for {_LOCK_S} seconds",
                hint=f"end it, or delete {printable(folder / '.lock')}",
            ) from error
        except OSError as error:
            raise ResourceError(
                f"{printable(folder)}: cannot be written: {error.strerror or error}",
                hint="set GANKIT_HOME to a folder for gankit's files",
            ) from error

    def _fetch_one(self, folder: Path, file: RemoteFile) -> None:
        import pooch
        import requests

        def download(url: str, target: str, _: object) -> None:
            timeout = (_CONNECT_S, _READ_S)
            with requests.get(url, stream=True, timeout=timeout) as answer, Path(target).open("wb") as out:
                answer.raise_for_status()
                total, done = int(answer.headers.get("content-length", 0)), 0
                # Raw bytes, because requests would unpack .gz files that the server labels as encoded.
                while piece := answer.raw.read(2**16):
                    out.write(piece)
                    done += len(piece)
                    if done > _MAX_BYTES:
                        raise ValueError(f"more than {_MAX_BYTES:,} bytes were sent")
                    progress.tell(f"downloading {file.name}", done, max(total, done))

        store = pooch.create(folder, base_url="", registry={file.name: file.sha256}, urls={file.name: file.url})
        for retries_left in (1, 0):
            try:
                store.fetch(file.name, downloader=download)
                return
            except Exception as error:
                if not isinstance(error, _network_errors()):
                    raise
                if retries_left and not isinstance(error, requests.ConnectionError):
                    continue  # a broken answer is worth a second try, a missing network is not
                names = ", ".join(required.name for required in self.files)
                raise ResourceError(
                    f"data set '{self.name}': cannot download {file.name} from {file.url}: {_reason(error)}",
                    hint=f"put {names} in {printable(folder)}, or use `--data digits`",
                ) from error


def _network_errors() -> tuple[type[Exception], ...]:
    """The errors of a download: the connection, a broken stream, a wrong hash (pooch's ValueError)."""
    import requests
    import urllib3

    return requests.RequestException, urllib3.exceptions.HTTPError, ValueError


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return "no answer"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return printable(str(error))[:200]


def _is_sound(path: Path, sha256: str) -> bool:
    import pooch

    return path.is_file() and bool(pooch.file_hash(str(path)) == sha256)


def data_home() -> Path:
    """The folder of downloaded data sets: data/ in $GANKIT_HOME or in the user's cache."""
    return home() / "data"


def _mnist_like(name: str, base: str, sha256: Mapping[str, str], classes: tuple[str, ...], title: str) -> Download:
    """The four files of MNIST or a data set in its format; `sha256` maps split and content to hashes."""

    def one(prefix: str, note: str, splits: Mapping[str, DatasetFactory]) -> Download:
        images, labels = (
            RemoteFile(f"{base}/{prefix}-{kind}-ubyte.gz", sha256[f"{prefix}-{kind}"])
            for kind in ("images-idx3", "labels-idx1")
        )

        def read(folder: Path) -> Dataset:
            return load_idx_pair(folder / images.name, folder / labels.name, name, classes, (note,))

        return Download(name, (images, labels), read, splits)

    test = one("t10k", f"the test images of {title}", {})
    return one("train", f"the training images of {title}", {"test": test})


MNIST = _mnist_like(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    {
        "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    tuple("0123456789"),
    "MNIST",
)
FASHION_MNIST = _mnist_like(
    "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    {
        "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    _FASHION,
    "Fashion-MNIST",
)
_CIFAR_FILE = RemoteFile(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
CIFAR10 = Download(
    "cifar10",
    (_CIFAR_FILE,),
    lambda folder: read_cifar(folder / _CIFAR_FILE.name, "cifar10"),
    {
        "test": Download(
            "cifar10", (_CIFAR_FILE,), lambda folder: read_cifar(folder / _CIFAR_FILE.name, "cifar10", "test")
        )
    },
)
