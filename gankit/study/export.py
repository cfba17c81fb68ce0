"""The table in the notations of other programs: JSON, CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from gankit.base.text import printable
from gankit.study.findings import difference_of, estimate_text, findings, how_tested, metric_title, score_text
from gankit.study.statistics import Estimate
from gankit.study.table import Table
from gankit.study.tables import flat

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "×": r"$\times$",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


def cells(table: Table) -> list[dict[str, Any]]:
    """A flat dict for each cell: what --csv prints."""
    return [
        {
            "cell": row.cell,
            "data": row.data,
            "phase": row.phase,
            "runs": len(row.runs),
            "failed": row.failures.total(),
            "omitted": len(row.omitted),
            "metric": table.metric,
            "mean": _finite(row.mean.value),
            "mean_low": _finite(row.mean.low),
            "mean_high": _finite(row.mean.high),
            "median": _finite(row.median.value),
            "median_low": _finite(row.median.low),
            "median_high": _finite(row.median.high),
            "floor": row.floor,
        }
        for row in table.rows
    ]


def runs(table: Table) -> list[dict[str, Any]]:
    """A flat dict for each finished run and trial."""
    repeated = [(run, False) for row in table.rows for run in row.runs]
    repeated += [(run, True) for row in table.rows for run in row.omitted]
    repeated += [(trial, False) for search in table.searches for trial in search.trials]
    return [
        {
            "id": run.trial.id,
            "cell": run.trial.cell,
            "phase": run.trial.phase,
            "number": run.trial.number,
            "seed": run.trial.seed,
            "status": run.status,
            "omitted": omitted,
            "message": run.message,
            "images_seen": run.images_seen,
            "seconds": run.seconds,
            "choice": run.choice,
            **run.scores,
            **flat({key: value for key, value in run.trial.settings.items() if key != "seed"}),
        }
        for run, omitted in repeated
    ]


def to_json(table: Table) -> dict[str, Any]:
    """Everything that the table says, as JSON values; infinity is null."""
    return {
        "study": str(table.folder),
        "title": table.definition.title,
        "metric": table.metric,
        "higher_is_better": table.higher_is_better,
        "planned": table.planned,
        "running": table.running,
        "finished": table.finished,
        "omit_outliers": table.omit_outliers,
        "cells": cells(table),
        "runs": json.loads(json.dumps(runs(table)), parse_constant=lambda _: None),
        "comparisons": [
            {
                "a": pair.a,
                "b": pair.b,
                "p_a_better": _estimate(pair.improvement),
                "difference": _estimate(difference_of(table, pair)),
                "paired_seeds": pair.seeds,
                "p": pair.p,
                "p_holm": pair.p_holm,
                "better": pair.winner,
            }
            for pair in table.comparisons
        ],
        "searches": [
            {
                "cell": search.cell,
                "data": search.data,
                "trials": len(search.trials),
                "failed": search.failures.total(),
                "failed_as": search.failed_as,
                "best": None if search.best is None else search.best.trial.to_json(),
                "best_score": None if search.best is None else table.choice_of(search.best),
                "default": search.default,
                "expected_best": [_estimate(estimate) for estimate in search.expected],
            }
            for search in table.searches
        ],
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": _finite(estimate.value), "low": _finite(estimate.low), "high": _finite(estimate.high)}


def _finite(value: float) -> float | None:
    """A number for JSON: NaN and infinity become None."""
    return value if math.isfinite(value) else None


def to_csv(table: Table) -> str:
    """A line for each cell; numbers unrounded, empty where there is none."""
    lines = cells(table)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(lines[0]) if lines else ["cell"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def headings(table: Table) -> list[str]:
    """The columns of the table of cells."""
    return ["cell", "runs", "failed", f"mean {metric_title(table)}", "median, 95 % interval", "floor"]


def body(table: Table) -> list[list[str]]:
    """Its rows as text."""
    several = len(table.data_sets) > 1
    return [
        [
            printable(f"{row.cell} ({row.data})" if several else row.cell),
            f"{len(row.runs):,}",
            f"{row.failures.total():,}",
            score_text(table, row.mean.value),
            estimate_text(table, row.median),
            score_text(table, row.floor),
        ]
        for row in table.rows
    ]


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, and the findings as a list."""
    lines = [_markdown_row(headings(table)), "|---" + "|---:" * (len(headings(table)) - 1) + "|"]
    lines += [_markdown_row(row) for row in body(table)]
    said = [f"* {_markdown(sentence)}" for sentence in findings(table)]
    return "\n".join([*lines, "", *said, "", how_tested(table)]) + "\n"


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(map(_markdown, texts)) + " |"


def _markdown(text: str) -> str:
    safe = printable(text).replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for char in "|*_`[]":
        safe = safe.replace(char, f"\\{char}")
    return safe


def to_latex(table: Table) -> str:
    """A tabular with the rules of booktabs, and the method as a comment."""
    head = headings(table)
    lines = [
        f"% {how_tested(table)}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        _latex_row(head),
        r"\midrule",
        *(_latex_row(row) for row in body(table)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(texts: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(char, char) for char in text) for text in texts) + r" \\"
