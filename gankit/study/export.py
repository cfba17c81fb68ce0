"""The table of cells in the notations of other programs: CSV, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from gankit.base.text import printable
from gankit.study.findings import estimate_text, findings, how_tested, metric_title, score_text
from gankit.study.table import Table, cells

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "×": r"$\times$",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


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
