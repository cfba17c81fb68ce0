"""The state of installed plugins, with and without importing them, and the allow-list."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support import TINY_VARIANT, gankit, install

from gankit import core
from gankit.errors import InputError
from gankit.host import discovery
from gankit.host.survey import TryPlugin, survey


def states(try_plugin: TryPlugin | None = None) -> dict[str, tuple[str, str]]:
    """'package:name' -> (state, reason) of all plugins that are not gankit's own."""
    rows = (row for row in survey(try_plugin) if row.plugin.dist != "gankit")
    return {f"{row.plugin.dist}:{row.plugin.name}": (row.state, row.reason) for row in rows}


def test_what_is_wrong_with_a_plugin_is_seen_without_importing_it(site: Path) -> None:
    install(site, "sound", TINY_VARIANT, variants=("fine",))
    install(site, "cut-off", "def gankit_loss(:", variants=("cut",))
    install(site, "tomorrow", TINY_VARIANT.replace("api=1", "api=2"), variants=("next",))
    soon = "from gankit.plugin import ExtensionInfo, hookimpl\n\n\n@hookimpl\ndef gankit_extension():\n    return ExtensionInfo(api=2)\n"
    install(site, "soon", soon, extensions=("later",))
    install(site, "twin", TINY_VARIANT, variants=("lsgan",))
    install(site, "hollow", "", extensions=("gone",))
    (site / "hollow.py").unlink()
    install(site, "imports-badly", "import no_such_module", extensions=("bad",))
    found = states()
    assert {name: state for name, (state, _) in found.items()} == {
        "sound:fine": "ok",
        "cut-off:cut": "broken",
        "tomorrow:next": "too new",
        "soon:later": "too new",
        "twin:lsgan": "clash",
        "hollow:gone": "broken",
        "imports-badly:bad": "ok",
    }
    assert "SyntaxError" in found["cut-off:cut"][1]
    assert found["tomorrow:next"][1] == "it speaks plugin API 2, this gankit 1: upgrade gankit"
    assert found["twin:lsgan"][1] == "choose it as twin:lsgan"
    assert found["hollow:gone"][1] == "there is no module 'hollow': install hollow again"
    assert not {"sound", "cut_off", "tomorrow", "twin", "imports_badly"} & sys.modules.keys()
    state, reason = states(core.compose_single)["imports-badly:bad"]
    assert state == "broken"
    assert "No module named 'no_such_module'" in reason


def test_the_allow_list_names_plugins_and_packages(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "gankit-mine", TINY_VARIANT, variants=("mine", "other"))
    for listed, names in {
        "": [],
        "lsgan": ["lsgan"],
        " LSGAN , gankit_mine ": ["lsgan", "mine", "other"],
        "gankit-mine:other,": ["other"],
    }.items():
        monkeypatch.setenv("GANKIT_PLUGINS", listed)
        assert [plugin.name for plugin in discovery.discover(discovery.VARIANTS)] == names
    with pytest.raises(InputError, match=r"variant 'mine' \(gankit-mine 1\.2\.3\) is installed, but GANKIT_PLUGINS"):
        discovery.find("mine", discovery.VARIANTS)
    assert states()["gankit-mine:mine"] == ("not allowed", "GANKIT_PLUGINS does not name it")
    file = site / "gankit_mine.py"
    assert discovery.find(str(file), discovery.VARIANTS).path == file  # whoever names a file allows it


def test_the_list_shows_every_plugin_and_loads_nothing(site: Path, tmp_path: Path) -> None:
    install(site, "gankit-mine", 'print("imported")\nraise RuntimeError', variants=("mine",))
    listed = gankit("plugin", "list", "--json", cwd=tmp_path, site=site, GANKIT_PLUGINS="lsgan,mine")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert (rows["lsgan"]["state"], rows["wgan"]["state"], rows["mine"]["state"]) == ("ok", "not allowed", "ok")
    assert {"kind", "name", "dist", "version", "state", "reason"} == rows["mine"].keys()
    assert "gankit-mine 1.2.3" in gankit("plugin", "list", cwd=tmp_path, site=site).stdout
