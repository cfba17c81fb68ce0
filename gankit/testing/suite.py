"""All checks by name, run one by one with a reason for each failure, or handed to pytest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from gankit.base.text import did_you_mean
from gankit.errors import GankitError, InputError, Stopped
from gankit.host import importing
from gankit.run.build import own_streams
from gankit.testing import game, identity, manners, networks, sharing, state
from gankit.testing.subject import CheckFailed, Subject

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Check:
    """One requirement. `run` raises CheckFailed, or whatever the plugin raises, when it is not met."""

    run: Callable[[Subject], None]

    @property
    def name(self) -> str:
        """What it is called in reports and in `expected_failures`."""
        return self.run.__name__

    @property
    def requirement(self) -> str:
        """The requirement in one sentence."""
        return (self.run.__doc__ or "").strip()


CHECKS = tuple(
    Check(run)
    for run in (
        manners.quiet,  # first: an import prints once
        identity.metadata,
        identity.options,
        identity.vectors,
        networks.generator_shapes,
        networks.independent_samples,
        networks.styles,
        networks.discriminator_output,
        networks.independent_scores,
        networks.conditional,
        game.terms,
        game.trained_terms,
        game.gradients,
        game.separate_players,
        game.bf16,
        game.schedules,
        manners.deterministic,
        manners.untouched_seeds,
        manners.no_waiting,
        state.flat_state,
        state.state_round_trip,
        state.exact_resume,
        state.one_file,
        sharing.two_processes,
        manners.coexists,
    )
)
"""All checks, in the order in which they are run."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check; `reason` is None when it passed, else what was seen, and `hint` what to do."""

    check: Check
    wall_s: float
    reason: str | None = None
    hint: str = ""
    raised: str | None = None
    """The exception that stopped the check, with # for its numbers; None if the check saw itself what is wrong."""


def run_checks(subject: Subject, checks: Sequence[Check] | None = None) -> Iterator[Outcome]:
    """These checks, or all, each on networks of its own; the caller's random numbers are left alone."""
    for check in CHECKS if checks is None else checks:
        begun = time.perf_counter()
        reason, hint, raised = None, "", None
        try:
            run_check(check, subject)
        except Stopped:  # Ctrl-C is not a failure
            raise
        except CheckFailed as failure:
            reason, hint, raised = failure.reason, failure.hint, root_of(failure)
        except GankitError as error:
            reason, hint, raised = error.message, error.hint or "", root_of(error)
        except (Exception, SystemExit) as error:
            reason, hint = (
                f"{importing.one_line(error)}{subject.plugin.place_of(error)}",
                "mend it; see the docstring of its hook",
            )
            raised = root_of(error)
        yield Outcome(check, time.perf_counter() - begun, reason, hint, raised)


def run_check(check: Check, subject: Subject) -> None:
    """One check, in random streams of its own."""
    with own_streams(subject.device):
        check.run(subject)


def root_of(error: BaseException) -> str | None:
    """'ValueError: # is not #': the exception that began it, comparable between checks; None for a verdict."""
    while error.__cause__ is not None:
        error = error.__cause__
    return None if isinstance(error, CheckFailed) else re.sub(r"\d+", "#", importing.one_line(error))


def parametrize_checks(
    *plugins: str,
    extensions: tuple[str, ...] = (),
    device: str = "cpu",
    expected_failures: Mapping[str, str] | None = None,
    checks: Sequence[Check] = CHECKS,
) -> pytest.MarkDecorator:
    """A decorator for `def test_conformance(check): check()`: one test for each check of each plugin.

    `expected_failures` maps names of checks to the reason why they fail; one that passes all the same is an error.
    """
    import pytest

    known, expected = [check.name for check in CHECKS], expected_failures or {}
    for name in expected:
        if name not in known:
            hint = f"{did_you_mean(name, known)}checks: {', '.join(known)}"
            raise InputError(f"expected_failures: no check is called '{name}'", hint=hint)

    def case(plugin: str, check: Check) -> object:
        def run() -> None:
            run_check(check, _subject(plugin, extensions, device))

        marks = [pytest.mark.xfail(reason=expected[check.name], strict=True)] if check.name in expected else []
        return pytest.param(run, id=check.name if len(plugins) == 1 else f"{plugin}-{check.name}", marks=marks)

    return pytest.mark.parametrize("check", [case(plugin, check) for plugin in plugins for check in checks])


@cache
def _subject(plugin: str, extensions: tuple[str, ...], device: str) -> Subject:
    return Subject.of(plugin, extensions=extensions, device=device)
