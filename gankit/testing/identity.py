"""Checks of what a plugin says about itself."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from gankit import core
from gankit.errors import InputError
from gankit.game.vectors import check
from gankit.settings.option import facts_of, to_json
from gankit.settings.validate import validate
from gankit.testing.subject import CheckFailed, Subject, require


def metadata(subject: Subject) -> None:
    """The docstring's first line says what it is; a variant has a title, and a note if conditions are not optional."""
    require(
        bool(subject.plugin.title),
        f"{subject.plugin.source} has no docstring",
        "its first line is what `gankit variants` shows",
    )
    info = subject.info
    require(
        bool(info.title) and info.title == " ".join(info.title.split()),
        f"the title is {info.title!r}",
        "give VariantInfo(title=…) one line",
    )
    require(
        not info.paper or info.paper.startswith("https://"),
        f"the paper is {info.paper!r}",
        "give its https:// address, or leave it out",
    )
    require(
        bool(info.conditional_note) == (info.conditional != "optional"),
        f"conditional is '{info.conditional}' with the note {info.conditional_note!r}",
        "VariantInfo(conditional_note=…) says why conditions are required or impossible, and only then",
    )


def options(subject: Subject) -> None:
    """Options are a frozen dataclass; each has help, and a valid default that survives the command line and JSON."""
    cls: Any = subject.options
    parameters = getattr(cls, "__dataclass_params__", None)
    require(
        parameters is not None and parameters.frozen,
        f"{cls.__name__} is not a frozen dataclass",
        "write @dataclass(frozen=True) above it",
    )
    for field in dataclasses.fields(cls):
        require(
            bool(facts_of(field).help),
            f"option '{field.name}' has no help",
            "write it as option(default, help=…)",
        )
    hint = "mend the default, the type or the bounds of the option"
    given = cls()
    texts = {name: str(value) for name, value in to_json(given).items() if isinstance(value, bool | int | float | str)}
    for way, values in (("JSON", json.loads(json.dumps(to_json(given), default=repr))), ("the command line", texts)):
        try:
            read: object = validate(cls, values, what="option")
        except InputError as error:
            raise CheckFailed(f"{error.message}, through {way}", hint) from error
        require(read == given, f"{given} became {read}, through {way}", hint)


def vectors(subject: Subject) -> None:
    """Values worked out by hand, where the plugin offers some, come out in fp64, fp32 and bf16."""
    hook = core.compose_single(subject.plugin).hook
    offered = [vector for answer in hook.gankit_vectors() for vector in answer]
    for precision in ("fp64", "fp32", "bf16"):
        for value in (value for vector in offered for value in check(vector, subject.device, precision)):
            require(
                value.ok,
                f"'{value.vector}' in {precision}: {value.value} is {value.got:.9g}, not {value.expected:.9g}",
                "one of the two is wrong: the formula, or the value",
            )
