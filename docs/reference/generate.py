"""MkDocs hook: pages made from the code, and formulas as MathML, which needs no script in the reader's browser."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page of commands, written by Typer from the command line's own declarations."""
    typer = [sys.executable, "-m", "typer", "gankit.cli", "utils", "docs", "--name", "gankit", "--title", "Commands"]
    page = subprocess.run(typer, capture_output=True, text=True, check=True).stdout
    page = re.sub(r"^(gankit .+)$", r"```console\n$ \1\n```", page, flags=re.MULTILINE)  # the examples of the help
    files.append(File.generated(config, "reference/commands.md", content=page))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """`$…$` and `$$…$$` of the pages, which arithmatex has marked, become MathML."""

    def mathml(found: re.Match[str]) -> str:
        source = html.unescape(found["tex"])
        return str(convert(source, display="block" if found["tag"] == "div" else "inline"))

    marked = r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>'
    return re.sub(marked, mathml, content, flags=re.DOTALL)
