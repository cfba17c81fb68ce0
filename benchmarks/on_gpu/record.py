"""What was measured: figures by part, kept as they come, and the page that is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of a part's table."""

    name: str
    value: float | str | None
    unit: str = ""
    range: tuple[float, float] | None = None
    """The lowest and the highest of the repetitions."""
    target: str = ""
    """What was hoped for or promised, in words."""
    ok: bool | None = None
    """Whether the target was met; None where there is none, or where it cannot be tried here."""
    note: str = ""


class Record:
    """A folder with a file of lines for each part: its figures as they come, and how it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "parts").mkdir(parents=True, exist_ok=True)

    def begin(self, part: str) -> None:
        """Drop what an earlier attempt has left of a part."""
        self._file(part).unlink(missing_ok=True)

    def add(self, part: str, figure: Figure) -> None:
        """Keep a figure."""
        self._write(part, asdict(figure))

    def end(self, part: str, how: str, seconds: float, error: str = "") -> None:
        """Note how a part ended: done, cut off or broken."""
        self._write(part, {"ended": how, "seconds": round(seconds, 1), "error": error})

    def ended(self, part: str) -> bool:
        """Whether a part has come to an end, whichever."""
        return any("ended" in line for line in self.lines(part))

    def lines(self, part: str) -> list[dict[str, Any]]:
        """The figures of a part and its end, as JSON values; a line that a kill cut in two is none."""
        file = self._file(part)
        return list(_parsed(file.read_text().splitlines())) if file.exists() else []

    def write(self, facts: dict[str, Any], parts: dict[str, str]) -> tuple[Path, list[str]]:
        """gpu.json and gpu.md from all that is there; the latter, and what failed. `parts` are names with titles."""
        found = {part: self.lines(part) for part in parts}
        failures = [line for part, lines in found.items() for line in _failures(part, lines)]
        document = {"facts": facts, "parts": found, "failed": failures}
        (self.folder / "gpu.json").write_text(json.dumps(document, indent=1) + "\n")
        page = [f"# {facts['device']}", "", *(f"* {key}: {value}" for key, value in facts.items()), ""]
        for part, lines in found.items():
            page += [f"## {parts[part]}", "", *_table(lines), ""]
        page += ["## What failed", "", *(f"* {line}" for line in failures or ["nothing"]), ""]
        path = self.folder / "gpu.md"
        path.write_text("\n".join(page))
        return path, failures

    def _file(self, part: str) -> Path:
        return self.folder / "parts" / f"{part}.jsonl"

    def _write(self, part: str, line: dict[str, Any]) -> None:
        with self._file(part).open("a") as file:
            file.write(json.dumps(line) + "\n")


def _parsed(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def _failures(part: str, lines: list[dict[str, Any]]) -> Iterator[str]:
    for line in lines:
        if line.get("ok") is False:
            yield f"{part}: {line['name']}: {_value(line)}; wanted {line['target']}. {line['note']}".rstrip(" .")
    ends = [line for line in lines if "ended" in line]
    if not ends:
        yield f"{part}: not run"
    for line in ends:
        if line["ended"] != "done":
            yield f"{part}: {line['ended']} after {line['seconds']} s. {line['error']}".rstrip(" .")


def _table(lines: list[dict[str, Any]]) -> list[str]:
    rows = ["| | measured | range | target | |", "|---|---|---|---|---|"]
    for line in lines:
        if "ended" in line:
            continue
        verdict = {True: "met", False: "**not met**", None: ""}[line["ok"]]
        note = f"{verdict}; {line['note']}" if verdict and line["note"] else verdict or line["note"]
        span = "" if line["range"] is None else f"{line['range'][0]:.4g} to {line['range'][1]:.4g}"
        cells = (line["name"], _value(line), span, line["target"], note)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _value(line: dict[str, Any]) -> str:
    value = line["value"]
    shown = "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{shown} {line['unit']}".rstrip()
