"""HTML that needs no other file: escaped text, tables and figures in a light and a dark theme."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from gankit.base.text import printable
from gankit.page.drawing import DARK, LIGHT, Drawing


def page(title: str, parts: Iterable[str], *, style: str = "", script: str = "") -> str:
    """A whole page of HTML; the parts are elements, whose text is escaped already.

    `style` comes after the style of all pages. `script` is the only one that runs: the page names its digest.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _PAGE.format(
        title=text(title),
        style=stylesheet() + style,
        body="\n".join(parts),
        allowed=f";script-src 'sha256-{digest}'" if script else "",
        script=f"<script>{script}</script>\n" if script else "",
    )


def text(value: str) -> str:
    """Any text as HTML."""
    return escape(printable(value))


def lines(values: Iterable[str]) -> str:
    """Lines as the text of a <pre>."""
    return "\n".join(map(text, values))


def listing(sentences: Sequence[str]) -> str:
    """Sentences as a list; nothing for none."""
    return f"<ul>{''.join(f'<li>{text(sentence)}</li>' for sentence in sentences)}</ul>" if sentences else ""


def figure(wide: Drawing, narrow: Drawing) -> str:
    """A drawing for screens, and the same one for phones."""
    return f"<div class=wide>{wide.svg()}</div><div class=narrow>{narrow.svg()}</div>"


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """A table; the columns `words` are aligned to the left."""

    def line(tag: str, texts: Sequence[str]) -> str:
        cells = (f"<{tag}{' class=word' if i in words else ''}>{text(cell)}</{tag}>" for i, cell in enumerate(texts))
        return f"<tr>{''.join(cells)}</tr>"

    inside = line("th", head) + "".join(line("td", row) for row in rows)
    return f"<div class=scroll><table>{inside}</table></div>"


def data_uri(png: bytes) -> str:
    """A picture as the source of an <img>."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def stylesheet() -> str:
    """The style of all pages: both themes, and the classes of drawings."""

    def variables(colours: dict[str, str]) -> str:
        return "".join(f"--{name}:{value};" for name, value in colours.items())

    shapes = "".join(f".fill-{name}{{fill:var(--{name})}}.line-{name}{{stroke:var(--{name})}}" for name in LIGHT)
    return (
        f":root{{color-scheme:light dark;{variables(LIGHT)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}" + shapes + _RULES
    )


_RULES = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1000px;padding:24px 20px 60px;background:var(--paper);color:var(--ink);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:.4em 0 .2em}
h2{font-size:1.25rem;margin:2em 0 .6em;padding-top:.6em;border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.4em 0 .4em}
.pale,figcaption,summary{color:var(--pale);font-size:.9rem}
ul{padding-left:1.2em}li{margin:.3em 0}
svg{display:block;max-width:100%;height:auto;font-family:inherit}
.narrow{display:none}
.scroll{overflow-x:auto;margin:1em 0}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;min-width:60%}
th,td{padding:.35em .7em .35em 0;border-bottom:1px solid var(--rule);text-align:right;vertical-align:top;
 white-space:nowrap}
.word{text-align:left}td.word{white-space:normal;min-width:6em;overflow-wrap:anywhere}
.pair{display:flex;gap:16px}
figure{margin:0;flex:1 1 0;min-width:0;max-width:400px}
figure img{width:100%;height:auto;display:block;background:#fff;image-rendering:auto;border-radius:3px}
.missing{border:1px dashed var(--rule);padding:1.5em 1em;color:var(--pale);border-radius:3px}
pre{overflow-x:auto;padding:.8em 1em;border:1px solid var(--rule);border-radius:4px;font-size:.85rem;line-height:1.4}
summary{cursor:pointer;margin:.6em 0}
@media (max-width:640px){body{padding:12px 14px 40px}.wide{display:none}
 .narrow{display:block}.pair{gap:8px}h1{font-size:1.4rem}}
@media print{.wide{display:block}.narrow{display:none}}
"""

_PAGE = """<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width,initial-scale=1">
<meta http-equiv=Content-Security-Policy content="default-src 'none';style-src 'unsafe-inline';img-src data:{allowed}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
{script}</body>
</html>
"""
