"""The health of a run, diagnosed from its files without its networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gankit import core
from gankit.errors import GankitError, InputError
from gankit.host import discovery
from gankit.measure.record import YOUNG
from gankit.run.health import Finding, findings, read_stats
from gankit.store.run_folder import RunFolder

FIGURES = ("diversity", "grad/generator", "grad/discriminator", "score/real", "score/fake", "images_per_s")


@dataclass(frozen=True)
class Diagnosis:
    """The state of a run, some figures as (first, last), and the findings."""

    folder: str
    state: str
    reason: str | None
    images_seen: int
    lines: int
    figures: dict[str, tuple[float, float]]
    findings: list[Finding]
    verdict: str
    """What the findings come to, in a line."""


def diagnose(path: Path) -> Diagnosis:
    """The diagnosis from run.json, status.json and stats.jsonl; InputError when this is not the folder of a run."""
    folder = RunFolder(path)
    if not folder.exists:
        raise InputError(f"{path} is not the folder of a run", hint="it holds no run.json")
    identity, status = folder.identity(), folder.status()
    lines = read_stats(path / "stats.jsonl")
    figures = {}
    for name in FIGURES:
        values = [line[name] for line in lines if isinstance(line.get(name), int | float)]
        if values:
            figures[name] = (float(values[0]), float(values[-1]))
    found = findings(lines, _scores(str(identity.get("variant"))))
    return Diagnosis(
        folder=str(path),
        state=str(status["state"]),
        reason=status.get("reason"),
        images_seen=int(status.get("images_seen", 0)),
        lines=len(lines),
        figures=figures,
        findings=found,
        verdict=_verdict(found, int(status.get("images_seen", 0))),
    )


def _verdict(found: list[Finding], images: int) -> str:
    if found:
        return ", ".join(finding.kind for finding in found)
    if images < YOUNG:
        return f"too early to tell: a generator is judged after {YOUNG:,} images"
    return "nothing conspicuous"


def _scores(variant: str) -> str:
    """'logits' or 'raw', as the variant declares; 'raw' if it is not installed."""
    try:
        return core.compose(discovery.find(variant, discovery.VARIANTS)).info.scores
    except GankitError:
        return "raw"
