"""push, pull and hf://: one commit of safetensors and a card, a pinned revision, one line for what goes wrong."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support import gankit
from support_export import Toy
from support_hub import TOKEN, FakeHub, serving

import gankit as api
from gankit.errors import InputError
from gankit.measure.record import Evaluation, Protocol, Score
from gankit.sample.generator import LoadOptions
from gankit.score.card import card, escaped, files_of, front_matter
from gankit.store.generator_file import read
from gankit.store.hub import Address, parse_address

Run = Callable[..., subprocess.CompletedProcess[str]]
FILES = ["README.md", "config.json", "generator.safetensors", "samples.png"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Toy("gan", (3, 8, 8)).write(tmp_path_factory.mktemp("toy") / "toy.safetensors")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving() as found:
        yield found


@pytest.fixture
def run(place: Path, hub: FakeHub) -> Run:
    """The command, with the hub of this test, a cache of its own, and a token unless one is given."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        home = {"HF_HOME": str(place / "hf"), "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}
        done = gankit(*arguments, cwd=place, **{**home, **environment})
        assert TOKEN not in done.stdout + done.stderr
        return done

    return run


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_what_is_pushed_is_pulled_and_sampled_at_a_pinned_commit(
    place: Path, toy: Path, hub: FakeHub, run: Run
) -> None:
    pushed = run("push", toy, "owner/faces", "--license", "cc-by-4.0")
    assert pushed.returncode == 0, pushed.stderr
    ((sha, files),) = hub.repositories["owner/faces"]
    assert pushed.stdout.strip() == f"hf://owner/faces@{sha}"
    assert sorted(files) == FILES
    assert files["generator.safetensors"] == toy.read_bytes()
    assert not any(TOKEN.encode() in data for data in files.values())

    pulled = run("pull", "owner/faces", "--json")
    assert pulled.returncode == 0, pulled.stderr
    assert json.loads(pulled.stdout) == {
        "file": "faces.safetensors", "repository": "owner/faces", "revision": sha, "variant": "gan", "images_seen": 0,
    }  # fmt: skip
    assert (place / "faces.safetensors").read_bytes() == toy.read_bytes()
    assert run("pull", "owner/faces").returncode == 0  # it is the same
    (place / "faces.safetensors").write_bytes(b"mine")
    refused(run("pull", "owner/faces"), 2, "faces.safetensors is there already, and is another file")
    assert (place / "faces.safetensors").read_bytes() == b"mine"

    other = Toy("gan", (3, 8, 8)).write(place / "other.safetensors")
    again = run("push", other, "owner/faces", "--license", "cc-by-4.0", "--branch", "next", "--json")
    assert json.loads(again.stdout)["revision"] == hub.branches["owner/faces", "next"]
    assert hub.branches["owner/faces", "main"] == sha
    sampled = run("sample", f"hf://owner/faces@{sha}", "-n", "4", "-o", "made.npz")
    assert sampled.returncode == 0, sampled.stderr
    assert f"hf://owner/faces@{sha}" in sampled.stderr
    with np.load(place / "made.npz") as made:
        assert np.array_equal(made["samples"], api.load(toy).sample(4))


def test_the_cache_serves_without_a_network(place: Path, toy: Path, hub: FakeHub, run: Run) -> None:
    sha = hub.commit("owner/faces", {"generator.safetensors": toy.read_bytes()})
    refused(run("pull", "owner/faces", HF_HUB_OFFLINE="1"), 4, "not in the cache")
    assert run("pull", "owner/faces").returncode == 0
    for offline in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        cached = run("pull", "owner/faces", "--json", "-o", "again.safetensors", **offline)
        assert cached.returncode == 0, cached.stderr
        assert json.loads(cached.stdout)["revision"] == sha
    refused(run("push", toy, "owner/faces", "--license", "mit", HF_HUB_OFFLINE="1"), 4, "HF_HUB_OFFLINE is set")


def test_a_private_repository_wants_a_token(toy: Path, hub: FakeHub, run: Run) -> None:
    assert run("push", toy, "owner/own", "--license", "mit", "--private").returncode == 0
    assert hub.private == {"owner/own"}
    refused(run("pull", "owner/own", HF_TOKEN=""), 2, "owner/own: no such repository, or a private one")
    assert run("pull", "owner/own").returncode == 0


def test_what_goes_wrong_is_one_line(place: Path, toy: Path, hub: FakeHub, run: Run) -> None:
    hub.commit("owner/faces", {"generator.safetensors": b"\x80\x04 a pickle", "pytorch_model.bin": b"x"})
    hub.commit("owner/other", {"pytorch_model.bin": b"x"})
    refused(run("pull", "owner/none"), 2, "owner/none: no such repository")
    refused(run("pull", "owner/faces@v9"), 2, "hf://owner/faces@v9: no such revision")
    refused(run("pull", "owner/other"), 2, "holds no generator of gankit")
    assert not any("pytorch_model" in asked for asked in hub.asked)
    refused(run("pull", "owner/faces"), 2, "not a safetensors file")
    refused(run("sample", "hf://owner/none"), 2, "no such repository")
    refused(run("sample", "hf://none"), 2, "is no repository")
    refused(
        run("pull", "owner/new", HF_ENDPOINT="http://127.0.0.1:9"), 4, "not in the cache, and the Hub is not reached"
    )
    refused(
        run("push", toy, "owner/x", "--license", "mit", HF_ENDPOINT="http://127.0.0.1:9"), 4, "the Hub is not reached"
    )
    refused(run("push", toy, "owner/x", "--license", "mit", HF_TOKEN=""), 4, "wants a token")
    refused(run("push", toy, "owner/x", "--license", "mit", HF_TOKEN="hf_wrong"), 4, "your token may not do that")
    refused(run("push", toy, "owner/x"), 2, "under which licence?")
    refused(run("push", toy, "owner/x", "--license", "My Licence"), 2, "not an identifier")
    refused(run("push", toy, "owner/x@main", "--license", "mit"), 2, "a push makes a commit")
    refused(run("push", toy, "owner/x", "--license", "mit", "-o", "x"), 2, "-o is the folder of --dry-run")
    refused(run("push", toy, "owner/x", "--dry-run", "-o", "."), 2, "holds other files already")
    hub.commit("owner/good", {"generator.safetensors": toy.read_bytes()})
    refused(run("pull", "owner/good", "-o", "."), 2, "is a folder")
    hub.refuse = (500, f"broken {TOKEN} ")
    refused(run("push", toy, "owner/x", "--license", "mit"), 4, "the Hub answers 500")
    assert [path.name for path in place.iterdir() if path.name != "hf"] == []


def test_a_dry_run_writes_what_would_be_pushed_and_asks_nobody(place: Path, toy: Path, hub: FakeHub, run: Run) -> None:
    done = run("push", toy, "owner/faces", "--dry-run", "-o", "shown", HF_TOKEN="")
    assert (done.returncode, done.stdout) == (0, "shown\n"), done.stderr
    assert sorted(path.name for path in (place / "shown").iterdir()) == FILES
    assert hub.asked == []
    with Image.open(place / "shown" / "samples.png") as picture:
        assert min(picture.size) > 8 * 8
    assert api.load(place / "shown" / "generator.safetensors").header.data == "toy"
    assert "preview_png" not in json.loads((place / "shown" / "config.json").read_text())
    text = (place / "shown" / "README.md").read_text()
    meta = yaml.safe_load(text.split("---")[1])
    assert meta == {
        "library_name": "gankit", "tags": ["gan", "gankit", "pytorch"], "pipeline_tag": "unconditional-image-generation",
    }  # fmt: skip
    assert "None was given." in text
    assert "gankit sample hf://owner/faces -o samples.png" in text
    assert "None are stored for these weights." in text


def test_without_the_extra_the_command_says_what_to_install(
    toy: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from gankit.errors import ResourceError

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ResourceError, match="reached by huggingface_hub, which is not installed") as caught:
        api.load("hf://owner/faces")
    assert caught.value.hint == "pip install 'gankit[hub]'"


def evaluation(weights: str, features: str = "classifier") -> Evaluation:
    protocol = Protocol(
        data_fingerprint="a", train_fingerprint="a", split="test", shape=(3, 8, 8), features=features, features_sha256="b",
        preparation={}, quantisation="uint8", n=500, n_real=1000, n_floor=1000, n_train=0, seed=0, metrics={},
    )  # fmt: skip
    scores = {"fid": Score(12.345678, floor=1.25), "recall": Score(0.5)}
    return Evaluation(
        what={"tensors_sha256": weights, "file": str(Path.cwd() / "a")}, protocol=protocol, scores=scores, data="to|y"
    )


def test_the_card_has_the_scores_of_these_weights_with_their_floor(place: Path, toy: Path) -> None:
    run = api.train("gan", data="ring8", steps=2, batch=16, z_dim=4, device="cpu", out=place / "run")
    header, _ = read(run.generator)
    lines = [json.dumps(evaluation(weights).record()) for weights in ("0" * 64, header.tensors_sha256)]
    (place / "run" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    files = files_of(place / "run", "owner/ring", "mit", LoadOptions(device="cpu"))
    text = files["README.md"].decode()
    assert "| fid | 12.35 | 1.25 | classifier | 500 | 1,000 | to\\|y, test |" in text
    assert text.count("| fid |") == 1
    assert len(json.loads(files["config.json"])["evaluations"]) == 1
    assert not [name for name, data in files.items() if str(place).encode() in data]  # no path of this machine
    assert 'license: "mit"' in text
    assert "pipeline_tag" not in text  # points are no images


def test_hostile_names_format_nothing(toy: Path) -> None:
    header, _ = read(toy)
    name = "<script>x</script> [a](http://b) |\n# c `d` *e* ${f}\u202e"
    hostile = dataclasses.replace(header, data=name, classes=())
    text = card(hostile, [], "owner/x", None)
    assert "<script" not in text
    assert "](http://b" not in text
    assert "\u202e" not in text
    assert not [line for line in text.splitlines() if line.startswith("# c")]
    assert escaped("a_b*c") == r"a\_b\*c"
    meta = yaml.safe_load(front_matter(header, 'x"\ny: z').split("---")[1])
    assert set(meta) == {"license", "library_name", "tags", "pipeline_tag"}


def test_addresses() -> None:
    assert parse_address("hf://a/b@v1.0") == parse_address(Path("hf://a/b@v1.0")) == Address("a/b", "v1.0")
    assert parse_address("a/b") == Address("a/b")
    for wrong in ("a", "a/b/c", "../b", "a/..", "a/b@", "a/b@x y", "hf://a/b?x", "a b/c"):
        with pytest.raises(InputError, match="is no repository"):
            parse_address(wrong)
