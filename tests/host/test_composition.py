"""Discovery and composition: what is found, what is refused, and with which words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import HOOKS, LOSS, OWN_NETWORKS, TINY_VARIANT, install

from gankit import core
from gankit.contracts import CriticOutput, DataSpec
from gankit.errors import InputError, PluginError
from gankit.host import discovery, importing
from gankit.host.composition import Composition
from gankit.run.build import suppliers
from gankit.run.plan import plan_run
from gankit.settings.layers import Layer

OWN_DISCRIMINATOR = """
from torch import nn
from gankit.plugin import hookimpl

@hookimpl
def gankit_discriminator(data):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(1), nn.Flatten(0))
"""

WRAPPER = """
from gankit.plugin import hookimpl

@hookimpl(wrapper=True)
def gankit_discriminator():
    network = yield
    network.wrapped = True
    return network
"""


def variant(name: str) -> discovery.Plugin:
    return discovery.find(name, discovery.VARIANTS)


def extension(name: str) -> discovery.Plugin:
    return discovery.find(name, discovery.EXTENSIONS)


def test_the_variants_of_this_repository_are_discovered_with_their_titles() -> None:
    found = {plugin.name: plugin for plugin in discovery.discover(discovery.VARIANTS)}
    assert {"gan", "lsgan"} <= found.keys()
    assert found["lsgan"].dist == "gankit"
    assert found["lsgan"].title.startswith("Least-squares GAN")


def test_listing_imports_nothing_even_from_a_broken_plugin(site: Path) -> None:
    install(site, "gankit-broken", '"""Boom."""\nraise RuntimeError("boom")', variants=("broken",))
    assert [plugin.title for plugin in discovery.discover(discovery.VARIANTS) if plugin.name == "broken"] == ["Boom"]
    assert "gankit_broken" not in sys.modules


def test_a_broken_plugin_does_not_harm_a_run_that_does_not_choose_it(site: Path) -> None:
    install(site, "gankit-broken", "import no_such_module", variants=("broken",))
    assert supplier(core.compose(variant("lsgan")), "gankit_loss") == "lsgan"


def supplier(composition: Composition, builder: str) -> str:
    return composition.suppliers(builder)[0].name


@pytest.mark.parametrize("spelling", ["LSGAN", "lsgan", "gankit:lsgan", "Gankit:LsGan"])
def test_names_are_normalised(spelling: str) -> None:
    assert variant(spelling).name == "lsgan"


def test_an_unknown_name_suggests_the_nearest_one() -> None:
    with pytest.raises(InputError, match="unknown variant 'lsgam'") as caught:
        variant("lsgam")
    assert "did you mean 'lsgan'?" in str(caught.value.hint)


def test_two_packages_with_one_name_are_told_apart_by_the_package(site: Path) -> None:
    install(site, "gankit-mine", TINY_VARIANT, variants=("lsgan",))
    with pytest.raises(PluginError, match="offered by gankit .* and gankit-mine 1.2.3") as caught:
        variant("lsgan")
    assert "gankit-mine:lsgan" in str(caught.value.hint)
    assert variant("gankit-mine:lsgan").dist == "gankit-mine"


def test_the_module_of_a_package_is_called_as_its_plugin(tmp_path: Path) -> None:
    path = tmp_path / "gankit_my_gan.py"
    path.write_text(TINY_VARIANT)
    assert variant(str(path)).name == "my-gan"


def test_an_option_of_the_variant_is_not_an_extensions(site: Path) -> None:
    install(site, "gankit-x", TINY_VARIANT, variants=("x",))
    with pytest.raises(InputError) as caught:
        core.compose(variant("x"), options={"x": {"margin": 2}})
    assert caught.value.hint == "options of the variant have no prefix: -s margin=…"


def test_a_file_is_a_variant(tmp_path: Path) -> None:
    path = tmp_path / "My GAN.py"
    path.write_text(TINY_VARIANT)
    plugin = variant(str(path))
    assert (plugin.name, plugin.dist, plugin.title) == ("my-gan", None, "A tiny variant, for tests")
    composition = core.compose(plugin)
    assert supplier(composition, "gankit_loss") == "my-gan"
    assert supplier(composition, "gankit_generator") == "core"


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("import no_such_module", "failed to import: ModuleNotFoundError: No module named 'no_such_module'", "GANKIT_DEBUG"),
        ("def f(:\n  pass", "failed to import: SyntaxError", "GANKIT_DEBUG"),
        ("import sys; sys.exit(7)", "failed to import: SystemExit: 7", "GANKIT_DEBUG"),
        ("x = 1", "implements no gankit hook", "hookimpl"),
        (LOSS + HOOKS.replace("gankit_loss()", "gankit_loss(data, weather)"), "does not fit this gankit's hooks", "gankit_loss may take data, options; else upgrade"),
        (TINY_VARIANT.replace("def gankit_loss", "def gankit_los"), "implements 'gankit_los', which is not a hook", "gankit_loss"),
        (TINY_VARIANT + "\ndef gankit_discriminator(data):\n    pass", "has a gankit_discriminator that is never called", "@hookimpl"),
        (TINY_VARIANT.replace("api=1", "api=99"), "speaks plugin API 99; this gankit speaks 1", "upgrade gankit"),
        (TINY_VARIANT.replace("api=1", "api=0"), "speaks plugin API 0", "upgrade gankit-x"),
        (TINY_VARIANT.replace("api=1, ", ""), "gankit_variant failed: TypeError", ""),
        (TINY_VARIANT.replace("return VariantInfo", "return dict"), "gankit_variant returned dict", "VariantInfo"),
        (TINY_VARIANT.partition("@hookimpl\ndef gankit_loss")[0], "does not implement gankit_loss", "needs"),
    ],
)  # fmt: skip
def test_a_bad_variant_is_refused_in_one_line(site: Path, source: str, message: str, hint: str) -> None:
    install(site, "gankit-x", source, variants=("x",))
    with pytest.raises(PluginError) as caught:
        core.compose(variant("x"))
    assert "variant 'x' from gankit-x 1.2.3" in caught.value.message
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in (caught.value.hint or "")


def test_the_place_of_an_import_error_is_named(site: Path) -> None:
    install(site, "gankit-x", "\n\nimport no_such_module", variants=("x",))
    with pytest.raises(PluginError, match=r"gankit_x\.py, line 3"):
        importing.load_plugin(variant("x"))


def test_two_suppliers_of_one_builder_are_refused(site: Path) -> None:
    install(site, "gankit-own", OWN_NETWORKS, variants=("own",))
    install(site, "gankit-nets", OWN_DISCRIMINATOR, extensions=("nets",))
    layers = [Layer("flag", {"variant": "own", "extensions": ["nets"]})]
    with pytest.raises(PluginError, match="two plugins supply a discriminator: .*'own'.*'nets'"):
        suppliers(plan_run(layers), DataSpec((1, 2, 2)))


def test_two_extensions_that_supply_one_builder_are_refused(site: Path) -> None:
    for name in ("nets", "more"):
        install(site, f"gankit-{name}", OWN_DISCRIMINATOR, extensions=(name,))
    with pytest.raises(PluginError, match="two plugins supply a discriminator: .*'nets'.*'more'"):
        core.compose(variant("lsgan"), [extension("nets"), extension("more")])


def test_a_variant_that_answers_none_leaves_the_network_to_an_extension(site: Path) -> None:
    declines = TINY_VARIANT + "\n@hookimpl\ndef gankit_discriminator(data):\n    return None\n"
    install(site, "gankit-own", declines, variants=("own",))
    install(site, "gankit-nets", OWN_DISCRIMINATOR, extensions=("nets",))
    alone = suppliers(plan_run([Layer("flag", {"variant": "own"})]), DataSpec((1, 2, 2)))
    assert alone["gankit_discriminator"].name == "core"
    layers = [Layer("flag", {"variant": "own", "extensions": ["nets"]})]
    assert suppliers(plan_run(layers), DataSpec((1, 2, 2)))["gankit_discriminator"].name == "nets"


def test_an_extension_may_fill_what_the_variant_left_to_core_and_another_may_wrap_it(site: Path) -> None:
    install(site, "gankit-nets", OWN_DISCRIMINATOR, extensions=("nets",))
    install(site, "gankit-wrap", WRAPPER, extensions=("wrap",))
    composition = core.compose(variant("lsgan"), [extension("wrap"), extension("nets")])
    assert supplier(composition, "gankit_discriminator") == "nets"
    assert composition.wrappers("gankit_discriminator") == ["wrap"]
    spec, output = DataSpec((1, 2, 2)), CriticOutput()
    assert composition.hook.gankit_discriminator(data=spec, options=None, output=output, z_dim=8).wrapped


@pytest.mark.parametrize("hook", ["gankit_parts", "gankit_datasets", "gankit_record"])
def test_only_builders_can_be_wrapped(site: Path, hook: str) -> None:
    source = f"from gankit.plugin import hookimpl\n@hookimpl(wrapper=True)\ndef {hook}():\n    return (yield)\n"
    install(site, "gankit-wrap", source, extensions=("wrap",))
    with pytest.raises(PluginError, match=f"wraps {hook}, which only answers") as caught:
        core.compose(variant("lsgan"), [extension("wrap")])
    assert "gankit_discriminator" in (caught.value.hint or "")


def test_an_installed_extension_does_nothing_until_it_is_named(site: Path) -> None:
    install(site, "gankit-nets", OWN_DISCRIMINATOR, extensions=("nets",))
    assert supplier(core.compose(variant("lsgan")), "gankit_discriminator") == "core"
    assert "gankit_nets" not in sys.modules


def test_a_variant_that_requires_conditions_must_recommend_them(tmp_path: Path) -> None:
    file = tmp_path / "told.py"
    file.write_text(TINY_VARIANT.replace('title="Tiny"', 'title="Tiny", conditional="required"'))
    with pytest.raises(PluginError, match="requires conditions and does not recommend them"):
        core.compose(variant(str(file)))


def test_a_file_that_needs_a_plugin_says_which_package_to_install(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "gankit-own", TINY_VARIANT, variants=("own",))
    assert discovery.require("own", discovery.VARIANTS, "gankit-own", "0.9", "x.safetensors").version == "1.2.3"
    for name, dist in (
        ("gone", "gankit-own"),
        ("own", "gankit-other"),
    ):  # a namesake of another package is another plugin
        with pytest.raises(PluginError, match=f"x.safetensors needs variant '{name}' from {dist} 0.9") as caught:
            discovery.require(name, discovery.VARIANTS, dist, "0.9", "x.safetensors")
        assert caught.value.hint == f"gankit install {dist}==0.9"
    with pytest.raises(PluginError, match="which was a local file") as caught:
        discovery.require("mine", discovery.EXTENSIONS, None, None, "x.safetensors")
    assert caught.value.hint == "pass that file: --with ./FILE.py"
    monkeypatch.setenv("GANKIT_PLUGINS", "lsgan")
    with pytest.raises(InputError, match="is installed, but GANKIT_PLUGINS"):
        discovery.require("own", discovery.VARIANTS, "gankit-own", "0.9", "x.safetensors")


def test_core_and_extensions_are_composed_without_a_variant(site: Path) -> None:
    source = "from gankit.plugin import hookimpl\n@hookimpl\ndef gankit_datasets():\n    return {'more': None}\n"
    install(site, "gankit-data", source, extensions=("data",))
    assert "more" not in core.compose_catalogues().catalogue("gankit_datasets")
    found = core.compose_catalogues([extension("data")]).catalogue("gankit_datasets")
    assert next(iter(found)) == "digits"
    assert "more" in found
