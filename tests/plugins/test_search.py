"""The ranges in which a hyper-parameter search looks reach people and programs."""

from __future__ import annotations

import json

from gankit.look.describe import describe


def test_ranges_of_options_and_of_settings_are_machine_readable() -> None:
    facts = json.loads(json.dumps(describe("wgan")))
    clip = next(row for row in facts["options"] if row["name"] == "clip")
    assert clip["search"]["wide"].keys() == {"kind", "low", "high"}
    assert 0 < clip["search"]["wide"]["low"] <= clip["search"]["narrow"]["low"]  # narrow lies within wide
    assert facts["search"]["d_lr"]["wide"] == {"kind": "SameAs", "setting": "g_lr"}
