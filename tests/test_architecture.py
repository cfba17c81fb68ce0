"""The layout is the architecture: who may import whom, and what must stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gankit"

# Lower rooms first: a room imports only rooms that stand before it.
ROOMS = [
    "errors",
    "base",
    "settings",
    "contracts",
    "hookspecs",
    "machine",
    "game",
    "data",
    "host",
    "store",
    "measure",
    "core",
    "sample",
    "run",
    "score",
    "plugin",
    "look",
    "testing",
    "cli",
]
WITHOUT_TORCH = ["errors", "base", "settings", "contracts", "hookspecs", "host", "cli"]


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path, *, at_run_time: bool = True, top_level_only: bool = False) -> set[str]:
    """Dotted names a file imports; what stands under `if TYPE_CHECKING:` is not imported."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if at_run_time and id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py" and path.parent.name != "digits")


def test_every_module_has_a_room() -> None:
    assert {module_of(path) for path in FILES} - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    own = module_of(path)
    if own == "__init__":
        return
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("gankit.")}
    above = {name for name in imported & set(ROOMS) if ROOMS.index(name) > ROOMS.index(own)}
    assert above == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_knows_typer_and_rich(path: Path) -> None:
    if module_of(path) != "cli":
        assert {name.split(".")[0] for name in imports(path, at_run_time=False)} & {"typer", "rich", "click"} == set()


def test_core_never_names_or_imports_a_variant() -> None:
    """Only the default of `--variant` may say 'gan'."""
    stems = {path.stem for path in (ROOT / "plugins" / "gankit_variants").glob("*.py")} - {"__init__"}
    assert {"gan", "lsgan"} <= stems
    stems -= {"began"}  # in prose it is a verb; a string of that name is looked for below
    names = re.compile(rf"(?<![\w-])(?:{'|'.join(re.escape(stem.replace('_', '-')) for stem in stems)})(?![\w-])")
    found = [(path.name, match[0]) for path in FILES for match in names.finditer(path.read_text())]
    assert [hit for hit in found if hit != ("config.py", "gan")] == []
    assert not [path for path in FILES if '"began"' in path.read_text()]
    assert not {name for path in FILES for name in imports(path, at_run_time=False) if name.startswith("gankit_")}


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: path.name)
def test_plugins_import_only_the_plugin_api(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] == "gankit"}
    assert all(name == "gankit.plugin" or name.startswith("gankit.plugin.") for name in ours)


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_light_modules_import_no_torch_at_module_level(name: str) -> None:
    paths = sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    for path in paths:
        assert "torch" not in {imported.split(".")[0] for imported in imports(path, top_level_only=True)}, path


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["train", "--help"],
        ["variants"],
        ["variants", "--json"],
        ["data", "--help"],
        ["plugin", "list"],
        ["--version"],
    ],
)
def test_light_commands_do_not_load_torch(command: list[str]) -> None:
    code = (
        "import sys; from gankit.cli import main\n"
        f"sys.argv = ['gankit', *{command!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "assert 'torch' not in sys.modules and 'torchmetrics' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
