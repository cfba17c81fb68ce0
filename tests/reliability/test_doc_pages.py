"""Every block of the pages whose blocks the tests leave out (see `support_docs.IN_CI`)."""

from pathlib import Path

import pytest
from support_docs import IN_CI, WITH_BLOCKS, named, run_blocks


@pytest.mark.parametrize("path", [path for path in WITH_BLOCKS if named(path) not in IN_CI], ids=named)
def test_every_block_runs(path: Path, tmp_path: Path) -> None:
    run_blocks(path, tmp_path)
