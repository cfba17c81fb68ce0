"""The description of a variant: its paper, options, recommended settings, and the plugins that build its parts."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from gankit import core
from gankit.contracts import DataSpec
from gankit.host import discovery
from gankit.run.build import built_by
from gankit.run.plan import Plan
from gankit.settings.config import TrainConfig
from gankit.settings.layers import Layer, resolve
from gankit.settings.option import facts_of, to_json
from gankit.settings.schedule import Schedule


def describe(name: str) -> dict[str, Any]:
    """A variant's paper, options, recommended settings and builders, as JSON values."""
    plugin = discovery.find(name, discovery.VARIANTS)
    composition = core.compose(plugin)
    info = composition.info
    assert info is not None
    plan = Plan(composition, resolve([Layer("argument", {"variant": name})], info.config, info.options))
    defaults = TrainConfig()
    return {
        "name": plugin.name,
        "title": info.title,
        "origin": plugin.origin,
        "api": info.api,
        "paper": info.paper,
        "options": _rows(info.options, info.options()),
        "config": [
            row
            for row in _rows(TrainConfig, info.config)
            if getattr(info.config, row["name"]) != getattr(defaults, row["name"])
        ],
        "conditional": info.conditional,
        "conditional_note": info.conditional_note,
        "search": {row["name"]: row["search"] for row in _rows(TrainConfig, info.config) if row["search"]},
        "built_by": built_by(plan, DataSpec((1, 28, 28), tuple("0123456789"))),
    }


def _rows(cls: type, values: object) -> list[dict[str, Any]]:
    hints = typing.get_type_hints(cls)
    return [
        {
            "name": field.name,
            "default": to_json(values)[field.name],
            "type": _type_name(hints[field.name]),
            "help": facts_of(field).help,
            "search": {
                name: {"kind": type(space).__name__, **dataclasses.asdict(space)}
                for name, space in facts_of(field).search.items()
            },
        }
        for field in dataclasses.fields(cls)
    ]


_WORDS = {bool: "true | false", int: "integer", float: "number", str: "text", type(None): "none", Schedule: "schedule"}


def _type_name(hint: Any) -> str:
    """A type in the words of whoever sets it: `float | Schedule` is 'number | schedule'."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " | ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_type_name, parts))
    if origin is tuple:
        return ", ".join(map(_type_name, parts)).replace(", Ellipsis", ", …")
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))
