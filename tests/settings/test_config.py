"""Layers of settings: precedence, human spellings, and every mistake in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from gankit.contracts import VariantInfo
from gankit.errors import InputError
from gankit.settings.config import (
    ALIASES,
    BUDGETS,
    REPETITION_CHANGES,
    RESUMABLE_CHANGES,
    SETTINGS,
    RunConfig,
    Settings,
    TrainConfig,
)
from gankit.settings.layers import Layer, read_toml, resolve
from gankit.settings.option import differences, option, schedules_in, to_json
from gankit.settings.schedule import Number, Schedule
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


def test_a_bound_holds_at_the_start_of_a_warm_up_too() -> None:
    @dataclass(frozen=True)
    class Clipping:
        clip: Number = option(0.01, gt=0, help="the bound of the weights")

    with pytest.raises(InputError, match="0 should be greater than 0"):
        resolve(layers(flag={"options": {"clip": "constant(0.01, warmup=10k)"}}), INFO.config, Clipping)


def test_human_spellings() -> None:
    config = resolve(
        layers(flag={"images": "2M", "time_s": "1h30m", "betas": "0,0.99", "size": 64}), INFO.config, INFO.options
    ).config
    assert (config.images, config.time_s, config.betas, config.size) == (2_000_000, 5400.0, (0.0, 0.99), "64")
    assert parse_count("1.5k") == 1500
    assert parse_count("1,500") == parse_count("1_500") == 1500
    assert parse_count("1,500k") == 1_500_000
    for text in ("1,5M", "2,5k", "1.5", "1,50", "1,5000", "0,001.5k,", ",5"):
        with pytest.raises(ValueError, match="not a count"):
            parse_count(text)
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
        ({"batch": "many"}, "--batch many: it should be a whole number", "images in each batch"),
        ({"batch": 0, "seed": -1}, "--batch 0: it should be 1 or more; --seed -1: ", "--batch: images in each"),
        ({"betas": "0.5"}, "--betas 0.5: a second value", "decay rates"),
        ({"betas": "0.5,1.5"}, "--betas 0.5,1.5: 1.5 should be less than 1", "decay rates"),
        ({"g_lr": float("nan")}, "--g-lr nan: ", "learning rate of the generator"),
        ({"images": "lots"}, "--images lots: not a count: write 50000, 50k or 2M", "budget"),
        ({"images": "lots", "batch": 0}, "--batch 0: it should be 1 or more", "--images: budget"),
        ({"time_s": "soon"}, "--time soon: not a duration: write 90s, 15m, 2h or 1h30m", "training time"),
        ({"batch": True}, "--batch True: true is not a value for it", "images in each batch"),
        ({"precision": "fp8"}, "--precision fp8: it should be auto, fp32, tf32, bf16 or fp16", "arithmetic"),
        ({"options": {"smooth": 0.1}}, "unknown option of variant 'gan': smooth", "did you mean 'smoothing'?"),
        ({"options": {"smoothing": "x", "kind": "c"}}, "kind='c'", ""),
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


def test_what_is_known_of_the_settings_stands_in_their_fields() -> None:
    assert BUDGETS == ("images", "steps", "time_s")
    assert ALIASES == {
        "with": "extensions",
        "time": "time_s",
        "ema_halflife": "ema_halflife_images",
        "range": "value_range",
    }
    assert {"images", "data", "device", "eval_every"} <= RESUMABLE_CHANGES
    assert {"images", "seed", "device", "eval_every"} <= REPETITION_CHANGES
    # None of these may change what a resumed run computes, or what its repetition is compared with.
    assert not {"batch", "g_lr", "optimizer", "variant", "precision"} & (RESUMABLE_CHANGES | REPETITION_CHANGES)
    assert "seed" not in RESUMABLE_CHANGES
    assert "data" not in REPETITION_CHANGES


def test_the_keyword_arguments_of_train_are_the_settings() -> None:
    assert set(Settings.__annotations__) == {*SETTINGS, "options"} - {"variant"}


# -- schedules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scheduled:
    free: float = option(1.0, ge=0, help="a float may follow a schedule")
    fixed: float = option(1.0, schedule=False, help="unless its author says no")
    whole: int = option(1, help="an int may not")
    images: int | Schedule = option(1, ge=1, schedule=True, kind="count", help="unless its author says yes")


def read(**options: object) -> Scheduled:
    return validate(Scheduled, options, what="option")


def test_a_constant_is_a_plain_number_and_everything_else_a_schedule() -> None:
    found = read(free="cosine(2, 1, 1k)", images="20k")
    assert (found.free, found.images) == (Schedule.parse("cosine(2, 1, 1k)"), 20_000)
    assert type(found.images) is int
    assert (read(free="2").free, read(free=Schedule.parse(2)).free) == (2.0, 2.0)
    assert read(images="linear(1, 9, 1k)").images == Schedule.parse("linear(1, 9, 1k)")
    assert to_json(found) == {"free": "cosine(2.0, 1.0, 1000)", "fixed": 1.0, "whole": 1, "images": 20_000}
    assert read(**to_json(found)) == found
    assert schedules_in(found) == {"free": Schedule.parse("cosine(2, 1, 1k)")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"fixed": "linear(1, 0, 1k)"},
            "fixed='linear(1, 0, 1k)': it takes one value for the whole run, not a schedule",
        ),
        ({"whole": Schedule.parse("linear(1, 0, 1k)")}, "it takes one value for the whole run"),
        ({"free": "steps(1, 2@1k, -1@2k)"}, "-1 should be 0 or more"),
        ({"images": "linear(5, 0, 1k)"}, "0 should be 1 or more"),
        ({"images": 1.5}, "1.5 is not a whole number"),
        ({"free": "linear(1, 0"}, "neither a number nor a schedule"),
        ({"free": True}, "true is neither a number nor a schedule"),
    ],
)
def test_a_schedule_that_does_not_fit_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(**options)
    assert message in caught.value.message


def test_settings_take_schedules_as_text_and_as_objects(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('g_lr = "linear(2e-4, 0, 50%-100%)"\nbetas = [0.5, "steps(0.9, 0.99@1k)"]\n')
    rate = Schedule.parse("cosine(2e-4, 1e-4, 1k, warmup=10)")
    given = [read_toml(path), Layer("argument", {"d_lr": rate, "ema_halflife_images": "steps(0, 1000@1k)"})]
    config = resolve(given, INFO.config, INFO.options).config
    assert config.d_lr == rate
    assert set(schedules_in(config)) == {"g_lr", "d_lr", "betas.1", "ema_halflife_images"}
    assert config.betas[0] == 0.5
    assert validate(RunConfig, to_json(config), what="setting") == config
    flags = Layer("flag", {"betas": "linear(0.5, 0, 1k),0.99"})
    assert resolve([flags], INFO.config, INFO.options).config.betas == (Schedule.parse("linear(0.5, 0, 1k)"), 0.99)


def test_options_of_extensions_are_tables() -> None:
    layer = Layer("flag", {"options": {"kind": "b", "ada": {"target": 1}}, "extension_options": {"r1": {"gamma": 2}}})
    assert layer.options == {"kind": "b"}
    assert layer.extension_options == {"ada": {"target": 1}, "r1": {"gamma": 2}}
