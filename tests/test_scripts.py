"""Scripts that no test runs still fit the package: every name that they import from gankit is there."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = [
    path for folder in ("benchmarks", "reliability", "examples") for path in sorted((ROOT / folder).rglob("*.py"))
]


def missing(path: Path) -> list[str]:
    """'module.name' of what a script takes from gankit or its plugins, and is not there."""
    absent = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in (
            "gankit", "gankit_variants", "gankit_extensions",
        ):  # fmt: skip
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = hasattr(module, "__path__") and importlib.util.find_spec(name) is not None
                if not hasattr(module, alias.name) and not is_module:
                    absent.append(name)
    return absent


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_is_there(path: Path) -> None:
    assert missing(path) == []


def test_a_name_that_is_gone_is_seen(tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text(
        "def run():\n    from gankit.data.dataset import Dataset, as_floats\n    from gankit.data import sets\n"
    )
    assert missing(script) == ["gankit.data.dataset.as_floats"]
