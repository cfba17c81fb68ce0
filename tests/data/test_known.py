"""`docs/data.md` lists what the code reads and what it does not, no more and no less; formats never overlap unseen."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from support import ROOT

from gankit.data import Preparation
from gankit.data.formats.arrangement import SPLITS
from gankit.data.formats.known import FORMATS
from gankit.data.formats.pictures import KINDS
from gankit.data.formats.sources import LABEL_FILES, READ
from gankit.data.formats.unread import UNREAD

PAGE = (ROOT / "docs" / "data.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def rows(section: str) -> list[str]:
    """The lines of the table of a section, without its head."""
    return [line for line in SECTIONS[section].splitlines() if line.startswith("| ")][1:]


def suffixes(of: tuple[str, ...]) -> str:
    return " ".join(f"`{suffix}`" for suffix in of) or "–"


def test_the_page_lists_the_formats_that_are_read_in_their_order() -> None:
    assert rows("Folders and files") == [f"| {kind.name} | {kind.looks} | {kind.gives} |" for kind in FORMATS]


def test_the_page_lists_the_kinds_of_pictures_that_are_read() -> None:
    assert rows("Pictures") == [f"| {kind.name} | {suffixes(kind.suffixes)} | {kind.gives} |" for kind in KINDS]


def test_the_page_lists_what_is_not_read_with_the_way_that_is_printed() -> None:
    expected = [
        f"| {kind.name} | {suffixes(kind.suffixes)} | {kind.reason} | `{kind.converted('x' + (kind.suffixes or ('',))[0])}` |"
        for kind in UNREAD
    ]
    assert rows("What is not read") == expected


def test_the_page_names_every_file_of_labels_split_and_flag() -> None:
    for name in LABEL_FILES:
        assert f"`{name}`" in SECTIONS["Labels"]
    for split in set(SPLITS.values()):
        assert f"`{split}/`" in SECTIONS["Labels"]
    flags = set(re.findall(r"^\| `--([a-z-]+)", SECTIONS["Flags"], re.MULTILINE))
    assert flags == {
        {"value_range": "range"}.get(field.name, field.name.replace("_", "-"))
        for field in fields(Preparation)
        if field.name != "bands"  # of --channels
    }


def test_no_suffix_is_of_two_kinds_and_what_is_read_is_said_in_short() -> None:
    all_suffixes = [suffix for kind in (*KINDS, *UNREAD) for suffix in kind.suffixes]
    assert len(all_suffixes) == len(set(all_suffixes))
    for kind in KINDS:
        assert kind.name in READ


@pytest.mark.parametrize("kind", UNREAD, ids=lambda kind: kind.name)
def test_a_way_to_convert_is_complete(kind: object) -> None:
    way = kind.converted("a b.x", ".x")  # type: ignore[attr-defined]
    assert "{" not in way
    assert way
