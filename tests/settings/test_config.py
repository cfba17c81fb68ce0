"""Layers of settings: precedence, human spellings, and every mistake in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from gankit.contracts import VariantInfo
from gankit.errors import InputError
from gankit.settings.config import TrainConfig
from gankit.settings.layers import Layer, read_toml, resolve
from gankit.settings.option import differences, option, to_json
from gankit.settings.spelling import parse_count, parse_duration
from gankit.settings.validate import validate


@dataclass(frozen=True)
class Options:
    smoothing: float = option(0.0, ge=0, lt=1, help="how much")
    kind: Literal["a", "b"] = option("a", help="which")


INFO = VariantInfo(api=1, title="Test", options=Options, config=TrainConfig(d_steps=5, betas=(0.0, 0.9)))


def layers(**by_source: dict[str, Any]) -> list[Layer]:
    return [Layer(source, settings) for source, settings in by_source.items()]


def test_a_flag_beats_the_environment_beats_toml_beats_the_variant_beats_core() -> None:
    resolved = resolve(
        layers(toml={"seed": 1, "g_lr": 1e-3, "d_lr": 2e-3}, env={"g_lr": 5e-3, "d_lr": 6e-3}, flag={"d_lr": 7e-3}),
        INFO.config,
        INFO.options,
    )
    config, sources = resolved.config, resolved.sources
    assert (config.batch, sources["batch"]) == (TrainConfig().batch, "core")
    assert (config.d_steps, sources["d_steps"]) == (5, "variant")
    assert (config.seed, sources["seed"]) == (1, "toml")
    assert (config.g_lr, sources["g_lr"]) == (5e-3, "env")
    assert (config.d_lr, sources["d_lr"]) == (7e-3, "flag")


def test_options_merge_by_key_and_are_converted_from_strings() -> None:
    resolved = resolve(
        layers(toml={"options": {"kind": "b"}}, flag={"options": {"smoothing": "0.25"}}), INFO.config, INFO.options
    )
    assert resolved.options == Options(smoothing=0.25, kind="b")
    assert resolved.sources["options.kind"] == "toml"
    assert resolved.sources["options.smoothing"] == "flag"


def test_human_spellings() -> None:
    config = resolve(
        layers(flag={"images": "2M", "time_s": "1h30m", "betas": "0,0.99", "size": 64}), INFO.config, INFO.options
    ).config
    assert (config.images, config.time_s, config.betas, config.size) == (2_000_000, 5400.0, (0.0, 0.99), "64")
    assert parse_count("1.5k") == 1500
    assert parse_duration("90") == 90
    assert parse_duration("2h") == 7200


def test_the_default_budget_goes_away_when_another_one_is_given() -> None:
    assert resolve([], INFO.config, INFO.options).config.images == 200_000
    assert resolve(layers(flag={"steps": 10}), INFO.config, INFO.options).config.images is None
    assert (
        resolve(layers(flag={"steps": 10, "batch": 8, "images": 1000}), INFO.config, INFO.options).config.total_images
        == 80
    )
    assert resolve(layers(flag={"time_s": "1h"}), INFO.config, INFO.options).config.total_images is None


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"bacth": 3}, "unknown setting: bacth", "did you mean 'batch'?"),
        ({"batch": "many"}, "batch='many'", "batch"),
        ({"batch": 0, "seed": -1}, "batch=0", "batch (flag), seed (flag)"),
        ({"betas": "0.5"}, "betas", "betas"),
        ({"betas": "0.5,1.5"}, "betas", "betas"),
        ({"g_lr": float("nan")}, "g_lr", "g_lr"),
        ({"images": "lots"}, "images='lots': not a count: write 50000, 50k or 2M", "images (flag)"),
        ({"images": "lots", "batch": 0}, "batch=0: input should be greater than", "batch (flag), images (flag)"),
        ({"time_s": "soon"}, "time_s='soon': not a duration: write 90s, 15m, 2h or 1h30m", "time_s"),
        ({"batch": True}, "batch=True: true is not a value for it", "batch"),
        ({"precision": "fp8"}, "precision='fp8'", "precision"),
        ({"options": {"smooth": 0.1}}, "unknown option of variant 'gan': smooth", "did you mean 'smoothing'?"),
        ({"options": {"smoothing": "x", "kind": "c"}}, "kind='c'", "kind (flag), smoothing (flag)"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_setting(settings: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve([Layer("flag", settings)], INFO.config, INFO.options)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert "\n" not in caught.value.message


def test_toml_is_a_layer(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('images = "20k"\n[options]\nsmoothing = 0.5\n')
    resolved = resolve([read_toml(path)], INFO.config, INFO.options)
    assert (resolved.config.images, resolved.options.smoothing, resolved.sources["images"]) == (20_000, 0.5, "run.toml")


@pytest.mark.parametrize("text", ["images = ", "\xff", "options = 3\n", "a = 1\na = 2\n"])
def test_bad_toml_is_an_input_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="run.toml"):
        read_toml(path)


def test_a_configuration_survives_json() -> None:
    config = resolve(layers(flag={"images": "1k", "extensions": ["a"]}), INFO.config, INFO.options).config
    stored = to_json(config)
    assert validate(type(config), stored, what="setting") == config
    assert differences(stored, {**stored, "seed": 3}) == {"seed": (0, 3)}


def test_a_number_among_choices_may_come_as_text() -> None:
    @dataclass(frozen=True)
    class Choices:
        kernel: Literal[4, 5] = option(4, help="side of the kernels")

    assert validate(Choices, {"kernel": "5"}, what="option") == Choices(5)
    with pytest.raises(InputError, match="should be 4 or 5"):
        validate(Choices, {"kernel": "6"}, what="option")
