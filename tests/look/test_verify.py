"""`gankit verify`: agrees on this machine, says so in a table, and does not let a wrong formula pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import LOSS, gankit

from gankit.errors import InputError
from gankit.game.vectors import Checked, LinearCritic, Vector, check
from gankit.host import discovery, importing
from gankit.look.verify import verify

WRONG = (
    '"""A variant whose author counts differently."""\n'
    + LOSS
    + """
from gankit.plugin import Vector

@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="Wrong")

@hookimpl
def gankit_loss():
    return Loss()

@hookimpl
def gankit_vectors():
    return [Vector(name="shift", loss=Loss, real=[1.0, 3.0], fake=[0.0, 0.0], expected={"d": -2.0, "g": 0.5})]
"""
)


def test_every_shipped_variant_agrees_in_its_own_words(tmp_path: Path) -> None:
    result = gankit("verify", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    checked = {row["plugin"] for row in document["values"]}
    assert {plugin.name for plugin in discovery.discover(discovery.VARIANTS)} <= checked
    assert {"r1", "centre", "lecam"} <= checked
    assert all(row["ok"] for row in document["values"])
    assert "offers no vectors" not in result.stderr


def test_a_formula_that_gives_another_value_ends_with_the_plugins_exit_code(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    result = gankit("verify", "./wrong.py", cwd=tmp_path)
    assert result.returncode == 3
    assert "1 of 2 values disagree" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("wrong")]
    assert [row[-1] for row in rows] == ["ok", "WRONG"]


@pytest.mark.parametrize("precision", ["fp64", "fp32", "bf16"])
def test_precisions(precision: str) -> None:
    found = verify(["wgan-gp"], device="cpu", precision=precision)
    assert (found.device, found.precision, found.wrong, found.without) == ("cpu", precision, 0, ())
    assert {value.tolerance for _, value in found.checked} == {{"fp64": 1e-9, "fp32": 2e-6, "bf16": 2e-2}[precision]}


def test_an_extension_is_checked_beside_the_variants_named_or_all() -> None:
    everything = {plugin.name for plugin in discovery.discover(discovery.VARIANTS)}
    with_all = verify(extensions=["centre"], device="cpu", precision="fp64")
    assert {name for name, _ in with_all.checked} | set(with_all.without) == {*everything, "centre"}
    assert {name for name, _ in verify(["gan"], extensions=["r1"], device="cpu").checked} == {"gan", "r1"}


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="unknown precision 'fp8'"):
        verify(["gan"], device="cpu", precision="fp8")


def test_nan_never_agrees() -> None:
    assert not Checked("v", "d", float("nan"), 0.0, 1.0).ok
    assert not Checked("v", "d", 0.0, float("nan"), 1.0).ok


def test_checking_leaves_the_random_streams_alone() -> None:
    loss = importing.load_plugin(discovery.find("wgan-gp", discovery.VARIANTS)).WassersteinGpLoss  # type: ignore[attr-defined]
    critic = lambda: LinearCritic(3.0, 4.0)  # noqa: E731
    vector = Vector(name="v", loss=loss, critic=critic, real=[[1.0, 0.0]], fake=[[0.0, 1.0]], expected={"d": 161})
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert all(value.ok for value in check(vector, torch.device("cpu"), "fp64"))
    assert torch.equal(torch.rand(1), expected)
