"""The conformance kit: a sound plugin passes every check, and each check fails for a plugin made wrong on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import ROOT, gankit

from gankit.cli import main
from gankit.errors import InputError, Stopped
from gankit.testing import CHECKS, Check, CheckFailed, Subject, parametrize_checks, run_checks
from gankit.testing.suite import run_check

pytestmark = pytest.mark.usefixtures("warm_processes")

SOUND = '''"""A sound variant, for tests."""
from dataclasses import dataclass

import torch
from torch import nn

from gankit.plugin import *

@dataclass(frozen=True)
class Options:
    margin: float = option(1.0, gt=0, help="the score wanted of real samples")

class Loss(AdversarialLoss):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin
    def discriminator(self, critic, batch):
        real, fake = critic(batch.real), critic(batch.fake)
        return {"real": (real - self.margin).square(), "fake": (fake + self.margin).square()}
    def generator(self, critic, batch):
        return {"fake": critic(batch.fake).square()}

@hookimpl
def gankit_variant():
    return VariantInfo(api=1, title="Sound", options=Options)

@hookimpl
def gankit_loss(options):
    return Loss(options.margin)

@hookimpl
def gankit_vectors():
    return [Vector(name="at 1", loss=Loss, real=[0.5], fake=[1.0], expected={"d": 4.25, "g": 1.0})]
'''

IN_DISCRIMINATOR = "        real, fake = critic(batch.real), critic(batch.fake)\n"


def also(code: str) -> str:
    return SOUND + "\n" + code


def instead(old: str, new: str) -> str:
    assert old in SOUND
    return SOUND.replace(old, new)


def in_the_loss(line: str) -> str:
    return instead(IN_DISCRIMINATOR, f"        {line}\n{IN_DISCRIMINATOR}")


def with_part(methods: str) -> str:
    body = "".join(f"    {line}\n" for line in methods.splitlines())
    return also(
        f"class Mine(Part):\n    def __init__(self, loop):\n        super().__init__()\n        self.loop = loop\n{body}\n"
        "@hookimpl\ndef gankit_parts(loop):\n    return [Mine(loop)]\n"
    )


def with_loop(methods: str) -> str:
    body = "".join(f"    {line}\n" for line in methods.splitlines())
    return also(
        f"class Loop(TrainingLoop):\n{body}\n"
        "@hookimpl\ndef gankit_training_loop(networks, loss, config):\n    return Loop(networks, loss, config)\n"
    )


def with_network(player: str, init: str, forward: str) -> str:
    """A one-layer network for images or points; `forward` computes from x [N, …] and the layer's output h."""
    takes, outputs, shape = (
        ("z_dim", "math.prod(data.shape)", ".view(-1, *self.shape)")
        if player == "generator"
        else ("math.prod(data.shape)", "1", ".squeeze(1)")
    )
    arguments = "data, z_dim" if player == "generator" else "data"
    return also(
        f"""import math
class Network(nn.Module):
    def __init__(self, {arguments}):
        super().__init__()
        self.shape = data.shape
        self.layer = nn.Linear({takes}, {outputs})
        {init}
    def forward(self, x, y=None):
        h = self.layer(x.flatten(1)){shape}
        return {forward}

@hookimpl
def gankit_{player}({arguments}):
    return Network({arguments})
"""
    )


WRONG = {
    "metadata": [
        (instead('"""A sound variant, for tests."""', ""), "no docstring"),
        (instead('title="Sound"', 'title="Sound", conditional="no"'), "the note ''"),
    ],
    "options": [
        (instead('margin: float = option(1.0, gt=0, help="the score wanted of real samples")', "margin: float = 1.0"), "'margin' has no help"),
        (instead("option(1.0", "option(-1.0"), "greater than 0"),
        (instead("@dataclass(frozen=True)", "@dataclass"), "not a frozen dataclass"),
    ],
    "vectors": [(instead('"d": 4.25', '"d": 4'), "d is 4.25, not 4")],
    "quiet": [(in_the_loss('print("real", batch.real.shape)'), "it printed 'real torch.Size")],
    "generator_shapes": [
        (with_network("generator", "pass", "h.sigmoid()"), "lie in [0."),
        (with_network("generator", "pass", "h.flatten(1)"), "the generator gave torch.float32 [1, 256]"),
    ],
    "independent_samples": [
        (with_network("generator", "pass", "torch.tanh(h + torch.randn_like(h))"), "the same z gave two samples"),
        (with_network("generator", "pass", "torch.tanh(h - h.mean(0))"), "when its neighbours do"),
    ],
    "styles": [
        (
            with_network("generator", "self.styles, self.map = 2, lambda z: z[:, None].expand(-1, 2, -1); self.synthesise = lambda ws: self(ws[:, 0]) / 2", "torch.tanh(h)"),
            "synthesise(map(z)) differs from G(z) by",
        ),
        (
            with_network("generator", "self.styles, self.map, self.synthesise = 2, lambda z: z, lambda ws: self(ws)", "torch.tanh(h)"),
            "for 3 z and 2 styles map gave [3, 64]",
        ),
    ],
    "discriminator_output": [
        (with_network("discriminator", "pass", "h.mean()"), "gave []"),
        (with_network("discriminator", "pass", "h[:, None]"), "reads scores [5]"),
        (with_network("discriminator", "pass", "h.sigmoid()"), "its scores lie in [0, 1]"),
        (with_network("discriminator", "pass", "h.reshape(5, 3)[:, 0]"), "it fails on data of [1, 16, 16]: RuntimeError: shape"),
    ],
    "independent_scores": [
        (with_network("discriminator", "pass", "h - h.mean(0)"), "is another when its neighbours are"),
        (with_network("discriminator", "self.couples_samples = 'habit'", "h"), "said to be coupled by habit"),
    ],
    "conditional": [(with_network("generator", "pass", "torch.tanh(h)"), "the generator gives the same for every condition")],
    "terms": [
        (instead("(real - self.margin)", "(real[:, None] - fake)"), "the term 'real' of the phase 'discriminator' is [8, 8]"),
        (instead("critic(batch.fake).square()", "critic(batch.fake).abs().neg().log()"), "generator: 'fake' is not finite"),
    ],
    "trained_terms": [
        (
            in_the_loss("x = batch.real.clone().requires_grad_(); penalty = torch.autograd.grad(critic(x).sum(), x)[0].square().flatten(1).sum(1)").replace('return {"real"', 'return {"penalty": penalty, "real"', 1),
            "'penalty' has no gradient for the discriminator",
        )
    ],
    "gradients": [(with_network("discriminator", "self.spare = nn.Parameter(torch.zeros(3))", "h"), "no gradient for discriminator: spare")],
    "separate_players": [
        (
            with_part("def before_update(self, step):\n    with torch.no_grad():\n        next(self.loop.networks.generator.parameters()).mul_(0.9)"),
            "the discriminator's phase moved generator.",
        ),
        (
            with_part("def after_update(self, step):\n    if step.name == 'generator':\n        self.loop.networks.discriminator.requires_grad_(False)\n    return {}"),
            "no longer require grad",
        ),
    ],
    "bf16": [(with_network("discriminator", "pass", "h / ((h * 0 + 1) + 1e-3 - 1)"), "not finite")],
    "schedules": [
        (instead("        self.margin = margin\n", "        self.margin = 2 * margin / 2\n"), "option 'margin' follows a schedule, and is computed with before the first step"),
        (instead("        self.margin = margin\n", "        self.margin = margin\n        self.levels = [0] * (1 + (margin > 1))\n"), "is computed with before the first step"),
    ],
    "deterministic": [(in_the_loss("import random; batch.real.add_(random.random())"), "differs between two runs of one seed")],
    "untouched_seeds": [(in_the_loss("torch.manual_seed(0)"), "it seeds torch")],
    "no_waiting": [
        (in_the_loss("float(batch.real.mean())"), "line 18"),
        (in_the_loss("batch.real.tolist()"), "line 18"),
        (in_the_loss("batch.real[batch.real > 0]"), "line 18"),
    ],
    "flat_state": [(with_loop('def state_dict(self):\n    return {**super().state_dict(), "history": []}'), "'history' is a list")],
    "state_round_trip": [
        (
            with_loop('moves = 0\ndef step(self, data):\n    self.moves += 1\n    return super().step(data)\ndef state_dict(self):\n    return {**super().state_dict(), "moves": self.moves}'),
            "'moves' is not what was loaded",
        )
    ],
    "exact_resume": [(in_the_loss("self.margin *= 0.9"), "differs after 7 steps")],
    "one_file": [(with_network("generator", "self.shift = torch.randn(data.shape)", "torch.tanh(h + self.shift)"), "samples of the file differ")],
    "two_processes": [
        (
            instead("        self.margin = margin\n", "        self.margin = margin\n        self.register_buffer('level', torch.zeros(()))\n").replace(IN_DISCRIMINATOR, IN_DISCRIMINATOR + "        self.level.copy_(real.detach().mean())\n"),
            "the processes of this run differ at 48 images: 'loss.level'",
        ),
        (also("@hookimpl\ndef gankit_run_start(run):\n    run.loop.players['discriminator'].scale_lr(0.5)\n"), "the processes of this run differ"),
        (also("@hookimpl\ndef gankit_record(run):\n    run.loop.players['generator'].scale_lr(0.5)\n"), "the processes of this run differ"),
        (in_the_loss("torch.distributed.is_initialized() and torch.distributed.get_rank() and batch.reel"), "the second process: [rank1]: AttributeError: 'Batch'"),
    ],
    "coexists": [
        (
            with_network("discriminator", "pass", "h") + with_part('def before_update(self, step):\n    self.loop.players["discriminator"].parameters["layer.weight"].data.clamp_(-1, 1)').removeprefix(SOUND),
            "with --with spectral-norm: KeyError",
        )
    ],
}  # fmt: skip


def subject(folder: Path, source: str) -> Subject:
    path = folder / "tested.py"
    path.write_text(source)
    return Subject.of(str(path))


def test_a_sound_plugin_passes_every_check_and_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    outcomes = list(run_checks(subject(tmp_path, SOUND)))
    assert [(outcome.check.name, outcome.reason) for outcome in outcomes if outcome.reason] == []
    assert [outcome.check for outcome in outcomes] == list(CHECKS)
    assert torch.equal(torch.random.get_rng_state(), before)


TIED = """
from math import prod

class Tied(nn.Module):  # one layer under two names
    def __init__(self, inputs, outputs):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))
        self.last = self.net[-1]
    def forward(self, x):
        return self.last(self.net[:-1](x.flatten(1)))

@hookimpl
def gankit_generator(data, z_dim):
    return nn.Sequential(Tied(z_dim, prod(data.shape)), nn.Tanh(), nn.Unflatten(1, data.shape))

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(Tied(prod(data.shape), 1), nn.Flatten(0))
"""


def test_a_layer_under_two_names_is_stored_resumed_and_sampled(tmp_path: Path) -> None:
    tied = subject(tmp_path, also(TIED))
    checks = [check for check in CHECKS if check.name in ("gradients", "state_round_trip", "exact_resume", "one_file")]
    assert len(checks) == 4
    for check in checks:
        run_check(check, tied)


def test_there_is_a_wrong_plugin_for_every_check_and_each_has_its_line_in_the_documentation() -> None:
    assert set(WRONG) == {check.name for check in CHECKS}
    documented = (ROOT / "docs" / "plugins.md").read_text()
    assert all(f"| `{check.name}` | {check.requirement} |" in documented for check in CHECKS)
    assert all(check.requirement.endswith(".") and "\n" not in check.requirement for check in CHECKS)


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        pytest.param(name, source, reason, id=f"{name}-{number}")
        for name, cases in WRONG.items()
        for number, (source, reason) in enumerate(cases)
    ],
)
def test_a_plugin_made_wrong_fails_the_check(name: str, source: str, reason: str, tmp_path: Path) -> None:
    check = next(check for check in CHECKS if check.name == name)
    with pytest.raises(CheckFailed) as caught:
        run_check(check, subject(tmp_path, source))
    assert reason in caught.value.reason
    assert caught.value.hint


def test_an_exception_of_the_plugin_is_a_failure_that_names_its_line(tmp_path: Path) -> None:
    broken = subject(tmp_path, in_the_loss("batch.reel"))
    outcome = next(outcome for outcome in run_checks(broken) if outcome.check.name == "terms")
    assert outcome.reason == f"AttributeError: 'Batch' object has no attribute 'reel' ({tmp_path}/tested.py, line 18)"


def test_a_signal_ends_the_checks_and_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Subject) -> None:
        raise Stopped("stopped", signal_number=2, at_once=True)

    monkeypatch.setattr("gankit.testing.suite.CHECKS", [Check(interrupted)])
    with pytest.raises(Stopped):
        list(run_checks(subject(tmp_path, SOUND)))


def test_an_expected_failure_is_strict_and_must_name_a_check() -> None:
    mark = parametrize_checks("lsgan", expected_failures={"no_waiting": "reads a number"}).mark
    params = {param.id: param for param in mark.args[1]}
    (expected,) = params["no_waiting"].marks
    assert expected.kwargs == {"reason": "reads a number", "strict": True}
    assert not params["terms"].marks
    with pytest.raises(InputError, match="no check is called 'no_wait'") as caught:
        parametrize_checks("lsgan", expected_failures={"no_wait": ""})
    assert "did you mean 'no_waiting'?" in str(caught.value.hint)


def test_an_extension_is_tested_beside_the_default_variant(tmp_path: Path) -> None:
    tested = Subject.of("spectral-norm")
    assert (tested.variant, tested.extensions) == ("gan", ("spectral-norm",))
    path = tmp_path / "noise.py"
    path.write_text("from gankit.plugin import hookimpl\n@hookimpl\ndef gankit_run_start(run): pass\n")
    assert Subject.of(str(path)).plugin.kind == "extension"


def test_the_command_tells_what_failed_and_what_to_do(
    tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loud.py").write_text(in_the_loss("print(1)"))
    monkeypatch.setattr("gankit.testing.suite.CHECKS", [check for check in CHECKS if check.name in ("quiet", "terms")])
    said = refusal("plugin check ./loud.py --device cpu", tmp_path, "3")
    assert "'loud' from" in said
    assert "fails 1 of 2 checks, for 1 cause — what is below FAILED says what to do" in said
    monkeypatch.setattr("sys.argv", ["gankit", "plugin", "check", "./loud.py", "--device", "cpu", "--json"])
    with pytest.raises(SystemExit, match="3"):
        main()
    document = json.loads(capsys.readouterr().out)
    assert (document["plugin"], document["kind"], document["ok"]) == ("loud", "variant", False)
    assert [(row["check"], row["ok"]) for row in document["checks"]] == [("quiet", False), ("terms", True)]
    assert document["checks"][0]["reason"].startswith("it printed '1")
    assert document["checks"][0]["hint"]
    assert [row["cause"] for row in document["checks"]] == [0, None]


MISTAKES = {
    "shape": (
        also(
            "@hookimpl\ndef gankit_generator(data, z_dim):\n"
            "    return nn.Sequential(nn.Linear(z_dim, 12), nn.Unflatten(1, (3, 2, 2)))\n"
        ),
        "gankit_generator of 'mistake': z [2, 64] gave [2, 3, 2, 2], and samples of this data are [2, 1, 16, 16]",
        {"quiet", "generator_shapes", "terms", "exact_resume"},
    ),
    "layer": (
        also("@hookimpl\ndef gankit_discriminator(data):\n    return nn.Sequential(nn.Flatten(), nn.Linear(13, 1))\n"),
        "gankit_discriminator of 'mistake' built a network that fails on [2, 1, 16, 16]: RuntimeError: mat1 and mat2",
        {"quiet", "discriminator_output", "terms", "exact_resume"},
    ),
    "loss": (
        in_the_loss("raise ValueError('oops at 3')"),
        "ValueError: oops at 3 (",
        {"quiet", "conditional", "terms", "exact_resume"},
    ),
    "term": (
        instead("(real - self.margin)", "(real[:, None] - self.margin)"),
        "the term 'real' of the phase 'discriminator' is [8, 1]",
        {"quiet", "terms", "exact_resume"},
    ),
}


def told_by_the_command(
    names: set[str], arguments: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Exit code and stdout of `gankit plugin check` in this process, with these checks only."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("gankit.testing.suite.CHECKS", [check for check in CHECKS if check.name in names])
    monkeypatch.setattr("sys.argv", ["gankit", "plugin", "check", *arguments.split(), "--device", "cpu"])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().out


def test_one_mistake_is_told_once_and_fits_80_columns(tmp_path: Path) -> None:
    source, reason, checks = MISTAKES["shape"]
    (tmp_path / "mistake.py").write_text(source)
    told = gankit("plugin", "check", "./mistake.py", "--device", "cpu", cwd=tmp_path, COLUMNS="80")
    assert told.returncode == 3
    assert max(map(len, told.stdout.splitlines())) <= 80
    text = " ".join(told.stdout.split())
    assert text.count("FAILED") == 1
    assert text.startswith(f"FAILED {reason}")
    failed = text.partition(" checks: ")[2].partition(" ok ")[0].split(", ")
    assert f"fails {len(failed)} checks: " in text
    assert checks <= set(failed)
    assert "for 1 cause" in told.stderr


@pytest.mark.parametrize(("source", "reason", "checks"), MISTAKES.values(), ids=MISTAKES)
def test_json_refers_to_the_one_cause_of_many_failures(
    source: str,
    reason: str,
    checks: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mistake.py").write_text(source)
    code, told = told_by_the_command(checks | {"options"}, "./mistake.py --json", tmp_path, monkeypatch, capsys)
    document = json.loads(told)
    (cause,) = document["causes"]
    assert code == 3
    assert cause["reason"].startswith(reason)
    assert set(cause["checks"]) == checks
    assert {row["check"]: row["cause"] for row in document["checks"]} == {**dict.fromkeys(checks, 0), "options": None}
    assert all(row["reason"] and row["hint"] for row in document["checks"] if not row["ok"])


def test_two_mistakes_are_two_causes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = in_the_loss("raise ValueError('oops')").replace('"""A sound variant, for tests."""', "")
    (tmp_path / "two.py").write_text(source)
    names = {"metadata", "terms", "gradients"}
    _, told = told_by_the_command(names, "./two.py --json", tmp_path, monkeypatch, capsys)
    assert [cause["checks"] for cause in json.loads(told)["causes"]] == [["metadata"], ["terms", "gradients"]]


def test_what_passes_is_told_with_its_requirement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sound.py").write_text(SOUND)
    code, told = told_by_the_command({"metadata", "terms"}, "./sound.py", tmp_path, monkeypatch, capsys)
    assert code == 0
    assert max(map(len, told.splitlines())) <= 80
    assert [line.split()[1] for line in told.splitlines() if line.startswith("ok")] == ["metadata:", "terms:"]


LEAVING = also(
    "class Leaving(Loss):\n    def generator(self, critic, batch):\n        return {'fake': -critic(batch.fake)}\n"
    "    def penalties(self, critic, batch):\n        points = leaf(batch.real)\n"
    "        return {'steep': -squared_gradients(critic(points), points)}\n"
).replace("return Loss(options.margin)", "return Leaving(options.margin)")


def test_the_dynamics_of_a_plugin_are_told_and_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING)
    code, told = told_by_the_command({"metadata"}, "./leaving.py", tmp_path, monkeypatch, capsys)
    assert code == 0
    assert "the game leaves it, eigenvalues" in " ".join(told.split())
    (tmp_path / "failing.py").write_text(in_the_loss("raise ValueError('oops')"))
    code, told = told_by_the_command({"metadata"}, "./failing.py --json", tmp_path, monkeypatch, capsys)
    assert code == 0
    assert json.loads(told)["reports"] == {
        "dynamics": "not one of the games of gankit verify --dynamics: ValueError: oops"
    }
