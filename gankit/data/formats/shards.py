"""A Parquet file and its images, read a few rows at a time by pyarrow, which is an extra."""

from __future__ import annotations

import io
import json
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from gankit.base.text import printable
from gankit.data.formats.archive import MAX_MEMBER_BYTES, MAX_RATIO
from gankit.errors import InputError, ResourceError

WRITE_AGAIN = "write the file again"
DAMAGE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError, NotImplementedError)
"""What pyarrow raises for a damaged file, and what becomes of its values."""
_BATCH_BYTES = 16 << 20  # of images that are read at a time
_SMALL_BYTES = 16 << 20  # harmless at any ratio


@dataclass(frozen=True)
class Shard:
    """One Parquet file, of which the footer has been read."""

    path: Path
    metadata: Any
    """pyarrow's FileMetaData."""
    schema: Any
    """pyarrow's Schema."""
    features: Mapping[str, Any] = field(default_factory=dict)
    """Column -> what Hugging Face says of it."""

    @classmethod
    def read(cls, path: Path) -> Shard:
        """InputError for a damaged file, ResourceError without pyarrow."""
        with reading(path):
            file = open_parquet(path)
            with file:
                metadata, schema = file.metadata, file.schema_arrow
                features = _features((schema.metadata or {}).get(b"huggingface", b""))
                _ = [name.encode() for name in schema.names]
            shard = cls(path, metadata, schema, features)
            shard.check_size()
        return shard

    @property
    def where(self) -> str:
        """The file, as shown to people."""
        return printable(self.path)

    @property
    def name(self) -> str:
        """The file without its folder."""
        return self.path.name

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return int(self.metadata.num_rows)

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.schema.names)

    @property
    def stamp(self) -> tuple[int, int]:
        """Size and date."""
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns

    def groups(self) -> list[int]:
        """The number of rows before each group of rows, and of all of them."""
        # Not `row_group(i).column(j)`: in a damaged file it ends the process (pyarrow 26).
        return [0, *accumulate(self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups))]

    def arrays(self, leaves: Sequence[str], rows: int, group: int | None = None) -> Iterator[Any]:
        """A column, at most so many rows at a time; nothing else of the file is read."""
        groups = None if group is None else [group]
        with open_parquet(self.path, self.metadata) as file:
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(leaves), use_threads=False):
                yield batch.column(0)

    def leaves(self, column: str) -> list[str]:
        """The paths of the numbers and texts of which a column is made."""
        names = [self.metadata.schema.column(i).path for i in range(self.metadata.num_columns)]
        return [name for name in names if name == column or name.startswith(f"{column}.")]

    def check_size(self) -> None:
        """OSError for a file that says it would unpack to much more than it is."""
        unpacked = sum(self.metadata.row_group(i).total_byte_size for i in range(self.metadata.num_row_groups))
        if unpacked > _SMALL_BYTES and unpacked > MAX_RATIO * self.path.stat().st_size:
            raise OSError(f"it would unpack to {unpacked:,} bytes, more than {MAX_RATIO} times its size")


class ImageColumn:
    """The images by their rows. A few of them are held at a time, in the order of the file: random access is slow."""

    def __init__(self, shards: Sequence[Shard], column: str) -> None:
        self.shards = shards
        self.starts = [0, *accumulate(shard.rows for shard in shards)]
        self.groups = [shard.groups() for shard in shards]
        self.leaves = [next((leaf for leaf in s.leaves(column) if leaf.endswith(".bytes")), column) for s in shards]
        self.lock = threading.Lock()  # images are decoded by several threads
        self.held: deque[tuple[int, Any]] = deque(maxlen=2)  # first row and array, in order
        self.arrays: Iterator[Any] = iter(())  # of the group of rows that is being read
        self.next, self.end = -1, -1  # the first row of its next array, and the one behind its last
        self.broken: dict[tuple[int, int], str] = {}  # (shard, group) -> why

    def open(self, row: int) -> IO[bytes]:
        """The encoded image of a row; OSError if it cannot be read."""
        with self.lock:
            array, place = self._find(row)
            value = array[place].as_py()
        if value is None:
            raise OSError("this row holds no bytes of an image")
        if len(value) > MAX_MEMBER_BYTES:
            raise OSError(f"{len(value):,} bytes, the limit is {MAX_MEMBER_BYTES:,}")
        return io.BytesIO(value)

    def _find(self, row: int) -> tuple[Any, int]:
        """The array that holds a row, and the row's place in it."""
        for first, array in self.held:
            if first <= row < first + len(array):
                return array, row - first
        shard = bisect_right(self.starts, row) - 1
        start, groups = self.starts[shard], self.groups[shard]
        group = bisect_right(groups, row - start) - 1
        if (shard, group) in self.broken:  # not again for each of its rows
            raise OSError(self.broken[shard, group])
        try:
            if not self.next <= row < self.end:
                self.held.clear()
                self.next, self.end = start + groups[group], start + groups[group + 1]
                self.arrays = self._arrays(shard, group)
            for array in self.arrays:
                first, self.next = self.next, self.next + len(array)
                self.held.append((first, array))
                if row < self.next:
                    return array, row - first
            raise OSError("the file ends before it")
        except DAMAGE as error:
            self.next = self.end = -1
            self.broken[shard, group] = f"its group of rows: {' '.join(str(error).split())[:200]}"
            raise OSError(self.broken[shard, group]) from error

    def _arrays(self, shard: int, group: int) -> Iterator[Any]:
        """The bytes of the images of one group of rows, in arrays that are not large."""
        source, leaf = self.shards[shard], self.leaves[shard]
        unpacked = source.metadata.row_group(group).total_byte_size
        rows = max(
            1, min(1024, _BATCH_BYTES * (self.groups[shard][group + 1] - self.groups[shard][group]) // max(1, unpacked))
        )
        for array in source.arrays([leaf], rows, group):
            yield array.flatten()[0] if leaf.endswith(".bytes") and str(array.type).startswith("struct") else array


def open_parquet(path: Path, metadata: Any = None) -> Any:
    """pyarrow's reader of a file, which reads what it is asked for and no more."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ResourceError(
            f"{printable(path)}: Parquet is read by pyarrow, which is not installed",
            hint="pip install 'gankit[parquet]'",
        ) from error
    return pyarrow.parquet.ParquetFile(
        path, metadata=metadata, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of a damaged file as one line."""
    try:
        yield
    except DAMAGE as error:
        text = printable(" ".join(str(error).split()))[:300]
        raise InputError(f"{printable(path)}: not a sound Parquet file: {text}", hint=WRITE_AGAIN) from error


def _features(text: bytes) -> dict[str, Any]:
    """Column -> what Hugging Face says of it; nothing where it says nothing."""
    try:
        features = json.loads(text or b"{}").get("info", {}).get("features", {})
        return dict(features) if isinstance(features, dict) else {}
    except (ValueError, AttributeError, RecursionError):
        return {}
