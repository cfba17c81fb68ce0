"""The description of a variant: its paper, options, recommended settings, and the plugins that build its parts."""

from __future__ import annotations

import dataclasses
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


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
