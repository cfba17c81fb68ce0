"""One file is enough: seeds decide the picture, every kind of output, and files that cannot be trusted."""

from __future__ import annotations

import dataclasses
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from support import OWN_NETWORKS, TINY_VARIANT, install

import gankit
from gankit.base import progress
from gankit.base.files import canonical_json, pack_tensors, tensors_digest
from gankit.errors import InputError, PluginError
from gankit.sample.request import Request, class_folders
from gankit.sample.writers import write_samples
from gankit.store import generator_file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sampleable file of a short run, away from its run folder."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    np.savez(folder / "tiny.npz", images=rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
    result = gankit.train(
        "lsgan", data=str(folder / "tiny.npz"), steps=5, batch=8, z_dim=8, device="cpu", out=folder / "run"
    )
    return result.generator.rename(folder / "alone.safetensors")


def test_samples_are_uint8_nhwc_and_depend_on_the_seed(trained: Path) -> None:
    generator = gankit.load(trained)
    images = generator.sample(16, seed=0)
    assert images.shape == (16, 8, 8, 3)
    assert images.dtype == np.uint8
    assert not np.array_equal(images[0], images[1])
    assert np.array_equal(images[3:5], generator.sample(2, seed=3))


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_a_seed_gives_the_same_picture_at_any_batch_size(trained: Path, batch: int) -> None:
    generator = gankit.load(trained)
    seeds = [0, 1, 4, 5, 6, 1000]
    reference = generator.sample(seeds=seeds, batch=64).astype(int)
    assert np.abs(generator.sample(seeds=seeds, batch=batch).astype(int) - reference).max() <= 1
    one = np.concatenate([generator.sample(seeds=[seed]) for seed in seeds]).astype(int)
    assert np.abs(one - reference).max() <= 1


@pytest.mark.parametrize(
    "arguments", [{"n": 0}, {"n": -1}, {"n": 2, "batch": 0}, {"seeds": [-1]}, {"n": 1, "seed": 2**63}, {}]
)
def test_impossible_seeds_are_refused(trained: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="sample:"):
        gankit.load(trained).sample(**arguments)


def test_seeds_may_be_an_array(trained: Path) -> None:
    generator = gankit.load(trained)
    assert np.array_equal(generator.sample(seeds=np.arange(3)), generator.sample(3))


def test_another_variant_than_the_files_is_refused(trained: Path) -> None:
    with pytest.raises(InputError, match="was trained with variant 'lsgan', not 'gan'"):
        gankit.load(trained, variant="gan")


def test_sampling_leaves_the_callers_random_stream_alone(trained: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    gankit.load(trained).sample(4)
    assert torch.equal(torch.rand(2), expected)


def test_the_file_says_what_it_is(trained: Path) -> None:
    header = gankit.load(trained).header
    assert (header.variant.name, header.variant.dist) == ("lsgan", "gankit")
    assert (header.shape, header.images_seen, header.z_dim) == ((3, 8, 8), 40, 8)
    with safetensors.safe_open(trained, "pt") as file:  # type: ignore[no-untyped-call]
        metadata = file.metadata()
    assert list(metadata) == ["gankit"]
    assert metadata["gankit"] == json.dumps(
        json.loads(metadata["gankit"]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_every_kind_of_output_holds_the_same_pictures(trained: Path, tmp_path: Path) -> None:
    generator = gankit.load(trained)
    seeds = [0, 1, 4, 5, 6]
    expected = generator.sample(seeds=seeds, batch=2)
    done: list[int] = []
    for name in ("folder", "all.zip", "all.npz"):
        with progress.to(lambda what, count, total: done.append(count)):
            write_samples(Request(generator, seeds, batch=2), tmp_path / name)
    assert done == [2, 4, 5] * 3
    names = [f"seed{seed:06d}.png" for seed in seeds]
    assert sorted(path.name for path in (tmp_path / "folder").glob("*.png")) == names
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == names
        for index, name in enumerate(names):
            with archive.open(name) as member, Image.open(member) as image:
                assert np.abs(np.asarray(image).astype(int) - expected[index]).max() <= 1
            with Image.open(tmp_path / "folder" / name) as image:
                assert np.abs(np.asarray(image).astype(int) - expected[index]).max() <= 1
                assert json.loads(image.text["gankit"])["seed"] == seeds[index]  # type: ignore[attr-defined]
    with np.load(tmp_path / "all.npz") as arrays:
        assert np.abs(arrays["samples"].astype(int) - expected).max() <= 1
        assert arrays["seeds"].tolist() == seeds


def test_samples_of_two_generators_never_mix_in_a_folder(trained: Path, tmp_path: Path) -> None:
    generator = gankit.load(trained)
    out = tmp_path / "out"
    write_samples(Request(generator, [0, 1]), out)
    write_samples(Request(generator, [1, 2]), out)  # more of the same
    changed = {name: tensor + 1 for name, tensor in generator.module.state_dict().items()}
    other = dataclasses.replace(generator, header=dataclasses.replace(generator.header, tensors_sha256="0" * 64))
    other.module.load_state_dict(changed)
    with pytest.raises(InputError, match=r"holds samples of another generator \(lsgan after 40 images\)") as caught:
        write_samples(Request(other, [7]), out)
    assert "--replace" in (caught.value.hint or "")
    assert len(list(out.glob("*.png"))) == 3
    (out / "mine.png").write_bytes(b"a picture of the user's")
    write_samples(Request(other, [7]), out, replace=True)
    assert (out / "mine.png").exists()  # only samples are deleted
    (out / "mine.png").unlink()
    assert [path.name for path in out.glob("*.png")] == ["seed000007.png"]
    (out / ".gankit-samples.json").unlink()
    with pytest.raises(InputError, match=r"pictures that are not samples of gankit \(seed000007.png\)"):
        write_samples(Request(other, [7]), out, replace=True)
    assert (out / "seed000007.png").exists()


def test_class_names_become_folders_unless_one_cannot() -> None:
    assert class_folders(["cat", "big dog", "é", "c.1"]) == ["cat", "big dog", "é", "c.1"]
    for name in ("a/b", "..", ".x", "", "x" * 200, "a\\xff", "CAT", "a\n"):
        assert class_folders(["cat", name]) == ["class0", "class1"]


def test_an_output_that_fails_leaves_no_file(trained: Path, tmp_path: Path) -> None:
    generator = gankit.load(trained)

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    for name in ("a.npz", "a.zip", "a.png"):
        with progress.to(stop), pytest.raises(KeyboardInterrupt):
            write_samples(Request(generator, [0, 1]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="unknown kind of output"):
        write_samples(Request(generator, [0]), tmp_path / "a.mp3")


def rewrite(source: Path, target: Path, **changes: Any) -> Path:
    """A copy of a sampleable file with other metadata."""
    data = source.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    values = json.loads(header["__metadata__"]["gankit"])
    values.update(changes)
    tensors = safetensors.torch.load(data)
    target.write_bytes(safetensors.torch.save(tensors, {"gankit": json.dumps(values)}))
    return target


HOSTILE = {
    "empty": (b"", "truncated"),
    "seven bytes": (b"1234567", "truncated"),
    "huge header": (b"\xff" * 8 + b"{}", "truncated or not a safetensors"),
    "not json": (struct.pack("<Q", 4) + b"oops", "damaged header"),
    "not an object": (struct.pack("<Q", 2) + b"[]", "damaged header"),
    "a pickle": (b"\x80\x02" + b"x" * 100, "is a pickle or zip file"),
    "a zip": (b"PK\x03\x04" + b"x" * 100, "is a pickle or zip file"),
    "two tensors of one name": (
        struct.pack("<Q", 118)
        + b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(118)
        + b"x",
        "a name occurs twice",
    ),
    "no metadata": (safetensors.torch.save({"a": torch.zeros(1)}), "not a generator written by gankit"),
    "foreign metadata": (safetensors.torch.save({"a": torch.zeros(1)}, {"format": "pt"}), "not a generator"),
    "metadata no json": (safetensors.torch.save({"a": torch.zeros(1)}, {"gankit": "{"}), "damaged metadata"),
    "deep metadata": (safetensors.torch.save({"a": torch.zeros(1)}, {"gankit": "[" * 100_000}), "damaged metadata"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(tmp_path: Path, name: str) -> None:
    data, message = HOSTILE[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        gankit.load(path)
    assert "x.safetensors" in caught.value.message


@pytest.mark.parametrize("keep", [8, 100, 5000, -1])
def test_a_truncated_file_is_refused(trained: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(trained.read_bytes()[:keep])
    with pytest.raises(InputError):
        gankit.load(path)


def test_a_flipped_bit_in_the_weights_is_found(trained: Path, tmp_path: Path) -> None:
    data = bytearray(trained.read_bytes())
    data[-5] ^= 1
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="do not match their digest"):
        gankit.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 99}, "newer gankit"),
        ({"kind": "cake"}, "not a generator"),
        ({"z_dim": 10**9}, "z_dim"),
        ({"z_dim": -1}, "z_dim"),
        ({"z_dim": 16}, "do not fit the network"),
        ({"shape": [3, 16, 16]}, "do not fit the network"),
        ({"shape": [3, 60000, 60000]}, "do not fit the network"),
        ({"shape": []}, "shape"),
        ({"variant": {"name": "../../x", "dist": "gankit", "version": "1"}}, "variant.name"),
        ({"variant": {"name": "x", "dist": "gankit; rm -rf", "version": "1"}}, "variant.dist"),
    ],
)
def test_hostile_metadata_is_refused_before_anything_is_allocated(
    trained: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        gankit.load(rewrite(trained, tmp_path / "x.safetensors", **changes))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(trained: Path, tmp_path: Path, value: float) -> None:
    header, tensors = generator_file.read(trained)
    name = next(iter(tensors))
    tensors[name].flatten()[0] = value
    values = dataclasses.asdict(dataclasses.replace(header, tensors_sha256=tensors_digest(tensors)))
    path = tmp_path / "x.safetensors"
    path.write_bytes(pack_tensors(tensors, canonical_json(values)))
    with pytest.raises(InputError, match=f"'{name}' holds numbers that are not finite"):
        gankit.load(path)


def test_a_missing_file_and_a_folder_without_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.safetensors: No such file"):
        gankit.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="is not a checkpoint"):
        gankit.load(tmp_path)


def four_pixels(folder: Path) -> str:
    np.save(folder / "x.npy", np.arange(480, dtype=np.float64).reshape(10, 4, 4, 3)[:, :2, :2] / 480)
    return str(folder / "x.npy")


def test_a_variant_with_its_own_generator_needs_its_package(site: Path, tmp_path: Path) -> None:
    install(site, "gankit-own", OWN_NETWORKS, variants=("own",))
    result = gankit.train(
        "own", data=four_pixels(tmp_path), steps=2, batch=4, z_dim=5, device="cpu", out=tmp_path / "run"
    )
    before = gankit.load(result.generator).sample(3)
    assert before.shape == (3, 2, 2, 3)
    (site / "gankit_own-1.2.3.dist-info" / "entry_points.txt").write_text("")
    with pytest.raises(PluginError, match=r"needs variant 'own' from gankit-own 1\.2\.3") as caught:
        gankit.load(result.generator)
    assert caught.value.hint == "gankit install gankit-own==1.2.3"


def test_a_file_variant_is_never_imported_because_a_checkpoint_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN_NETWORKS)
    settings: dict[str, Any] = {"steps": 2, "batch": 4, "z_dim": 5, "device": "cpu"}
    result = gankit.train(str(path), data=four_pixels(tmp_path), out=tmp_path / "run", **settings)
    with pytest.raises(PluginError, match="which was a local file") as caught:
        gankit.load(result.generator)
    assert "--variant ./FILE.py" in str(caught.value.hint)
    assert gankit.load(result.generator, variant=str(path)).sample(1).shape == (1, 2, 2, 3)


def test_a_file_variant_on_core_networks_is_sampled_without_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(TINY_VARIANT)
    np.save(tmp_path / "x.npy", np.zeros((10, 8, 8), np.uint8))
    result = gankit.train(
        str(path), data=str(tmp_path / "x.npy"), steps=2, batch=4, z_dim=5, device="cpu", out=tmp_path / "run"
    )
    path.unlink()
    assert gankit.load(result.generator).sample(2).shape == (2, 8, 8, 1)
