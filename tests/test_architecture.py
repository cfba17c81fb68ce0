"""The layout is the architecture: which room may import which, and what must stay light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gankit"
FRONT_DOOR = "gankit"  # gankit/__init__.py imports what it exports when it is asked for

# Lowest first: a room imports only rooms that stand before it.
ROOMS = [
    "errors",
    "base",
    "settings",
    "contracts",
    "machine",
    "game",
    "modality",
    "data",
    "measure",
    "discriminators",
    "hookspecs",
    "host",
    "store",
    "core",
    "sample",
    "run",
    "score",
    "look",
    "plugin",
    "testing",
    "page",
    "study",
    "web",
    "cli",
]
WITHOUT_TORCH = {"errors", "base", "settings", "contracts", "hookspecs", "host", "cli"}
WITH_PLUGGY = {"hookspecs", "host", "core"}


def name_of(path: Path) -> str:
    """The dotted name of a module of gankit."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """'store' of 'gankit.store.find'; '' of gankit itself."""
    return module.partition(".")[2].partition(".")[0]


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__main__.py"}
OF_ROOMS = [module for module in MODULES if module != FRONT_DOOR]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def imports(path: Path, *, when_loaded: bool = False) -> Iterator[tuple[str, str]]:
    """(module, name) of every import in a file, under TYPE_CHECKING and in functions too; the name is '' of `import x`.

    `when_loaded` leaves out what is not imported at once: imports in functions and under TYPE_CHECKING.
    """
    nodes = list(ast.parse(path.read_text()).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif when_loaded and (isinstance(node, ast.FunctionDef) or _is_type_checking(node)):
            continue
        nodes += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)]


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported_modules(module: str) -> set[str]:
    """The modules of gankit, the front door aside, that a module imports at any time."""
    pairs = imports(MODULES[module])
    found = {f"{source}.{name}" if f"{source}.{name}" in MODULES else source for source, name in pairs}
    return (found & MODULES.keys()) - {FRONT_DOOR}


def packages(path: Path, *, when_loaded: bool = False) -> set[str]:
    """The top-level packages that a file imports."""
    return {source.partition(".")[0] for source, _ in imports(path, when_loaded=when_loaded)}


def test_every_module_has_a_room() -> None:
    assert {room_of(module) for module in OF_ROOMS} == set(ROOMS)


@pytest.mark.parametrize("module", OF_ROOMS)
def test_a_room_imports_only_rooms_below_it(module: str) -> None:
    place = ROOMS.index(room_of(module))
    above = {other for other in imported_modules(module) if ROOMS.index(room_of(other)) > place}
    assert above == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imported_modules(module) - {module} for module in OF_ROOMS}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", OF_ROOMS)
def test_no_module_imports_a_private_name_of_another(module: str) -> None:
    private = {
        f"{source}.{name}"
        for source, name in imports(MODULES[module])
        if source.startswith("gankit") and re.search(r"(^|\.)_[a-z]", f"{source}.{name}", re.IGNORECASE)
    }
    foreign = {name for name in private if room_of(name) != room_of(module)} - {"gankit.__version__"}
    assert foreign == set()


def test_light_rooms_import_no_torch_when_they_are_loaded() -> None:
    light = [module for module in OF_ROOMS if room_of(module) in WITHOUT_TORCH]
    assert [module for module in light if "torch" in packages(MODULES[module], when_loaded=True)] == []


def test_only_the_command_line_knows_typer_and_rich() -> None:
    others = [module for module in OF_ROOMS if room_of(module) != "cli"]
    assert [module for module in others if packages(MODULES[module]) & {"typer", "rich", "click"}] == []


def test_only_the_host_knows_pluggy() -> None:
    others = [module for module in OF_ROOMS if room_of(module) not in WITH_PLUGGY]
    assert [module for module in others if "pluggy" in packages(MODULES[module])] == []


def test_processes_talk_to_each_other_in_one_module_which_names_what_is_awaited() -> None:
    start_them = {"gankit.testing.sharing", "gankit.cli.launch"}
    talking = {
        module
        for module in OF_ROOMS
        if any(f"{source}.{name}".startswith("torch.distributed") for source, name in imports(MODULES[module]))
    }
    assert talking - start_them == {"gankit.machine.processes"}


def test_no_module_patches_at_run_time() -> None:
    assert {module for module in OF_ROOMS if "unittest" in packages(MODULES[module])} == set()


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)
def test_plugins_import_only_what_is_public(path: Path) -> None:
    public = {"gankit.plugin", "gankit.discriminators"}
    assert {source for source, _ in imports(path) if source.partition(".")[0] == "gankit"} <= public


def test_gankit_never_names_or_imports_a_variant() -> None:
    """Only the default of `--variant` may say 'gan', and the tag by which the Hub finds GANs."""
    stems = {path.stem for path in (ROOT / "plugins" / "gankit_variants").glob("*.py")} - {"__init__"}
    assert {"gan", "lsgan"} <= stems
    verbs = {"began", "projected"}  # in prose and as names of variables; strings of these names are looked for below
    stems -= verbs
    names = re.compile(rf"(?<![\w-])(?:{'|'.join(re.escape(stem.replace('_', '-')) for stem in stems)})(?![\w-])")
    found = [(path.name, match[0]) for path in MODULES.values() for match in names.finditer(path.read_text())]
    assert [hit for hit in found if hit not in {("config.py", "gan"), ("card.py", "gan")}] == []
    assert not [path for path in MODULES.values() for verb in verbs if f'"{verb}"' in path.read_text()]
    assert not [path for path in MODULES.values() if {"gankit_variants", "gankit_extensions"} & packages(path)]


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["train", "--help"],
        ["export", "--help"],
        ["push", "--help"],
        ["variants"],
        ["variants", "--json"],
        ["recipes"],
        ["recipes", "--json"],
        ["data", "--help"],
        ["plugin", "list"],
        ["ui", "--help"],
        ["report", "--help"],
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
