"""The conformance kit: what every plugin must do, as named checks for pytest and for `gankit plugin check`.

    from gankit.testing import parametrize_checks

    @parametrize_checks("mygan", expected_failures={"no_waiting": "its controller reads a number in every step"})
    def test_conformance(check):
        check()

A plugin is a variant or an extension, installed or a ./file.py. Each check plays a tiny game, in a second or less.
`reports` tells what is worth knowing about a plugin and is no rule.
"""

from gankit.testing.causes import Cause, causes
from gankit.testing.reports import Report, reports
from gankit.testing.subject import CheckFailed, Subject
from gankit.testing.suite import CHECKS, Check, Outcome, parametrize_checks, run_checks

__all__ = [
    "CHECKS",
    "Cause",
    "Check",
    "CheckFailed",
    "Outcome",
    "Report",
    "Subject",
    "causes",
    "parametrize_checks",
    "reports",
    "run_checks",
]
