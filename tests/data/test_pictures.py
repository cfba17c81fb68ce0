"""Every kind of picture that is read, what is said of it, and what happens where its reader is missing."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin
from support import gankit

from gankit.data import Dataset, Preparation, load_dataset
from gankit.data.formats import pictures
from gankit.data.formats.pictures import KINDS
from gankit.errors import InputError
from reliability import encoders

RNG = np.random.default_rng(0)
FRAMES = [Image.fromarray(RNG.integers(0, 256, (12, 16, 3), np.uint8)) for _ in range(4)]
LOSSY = {"JPEG": ".jpg", "AVIF": ".avif"}
EXACT = {
    "PNG": {}, "WebP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}, "BMP": {}, "PNM": {}, "TGA": {}, "ICO": {},
    "JPEG 2000": {}, "QOI": {},
}  # fmt: skip


def load(path: Path, **how: Any) -> Dataset:
    return load_dataset(str(path), {}, how=Preparation(**how))


def info(folder: Path, *arguments: str) -> dict[str, Any]:
    result = gankit("data", "info", *arguments, "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def animation(path: Path, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], **options)
    return path


@pytest.fixture
def forget_readers() -> Iterator[None]:
    """Whether a reader is there is asked once in a process."""
    pictures._missing.cache_clear()
    yield
    pictures._missing.cache_clear()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in EXACT], ids=lambda kind: kind.name)
def test_lossless_kinds_give_the_pixels_that_were_saved(tmp_path: Path, kind: pictures.PictureKind) -> None:
    for suffix in kind.suffixes:
        FRAMES[0].save(tmp_path / f"{suffix[1:]}{suffix.upper()}", kind.pillow, **EXACT[kind.name])
    samples = load(tmp_path).samples[:, :3].permute(0, 2, 3, 1).numpy()
    assert len(samples) == len(kind.suffixes)
    for sample in samples:
        np.testing.assert_array_equal(sample, np.asarray(FRAMES[0]))


def test_a_folder_of_all_kinds_is_described_previewed_and_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    suffixes = [kind.suffixes[0] for kind in KINDS if kind.name != "HEIC"]
    for suffix in suffixes:
        FRAMES[0].save(folder / f"{suffix[1:]}{suffix}")
    facts = info(tmp_path, "all")
    assert (facts["count"], facts["shape"], facts["left_out"]) == (len(suffixes), [3, 12, 16], {})
    preview = gankit("data", "preview", "all", "--size", 8, "-o", "p.png", cwd=tmp_path)
    assert preview.returncode == 0, preview.stderr
    assert "gankit train --data all --size=8" in preview.stderr  # what is printed next works
    train = gankit("train", "--data", "all", "--size", 8, "--steps", 1, "--batch", 4, "--out", "run", cwd=tmp_path)
    assert train.returncode == 0, train.stderr
    assert f"all: {len(suffixes)} images, RGB 8x8" in train.stderr


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".png", ".webp", ".avif"])
def test_of_several_frames_the_first_is_a_sample_or_each_and_it_is_said(tmp_path: Path, suffix: str) -> None:
    animation(tmp_path / "set" / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    FRAMES[3].save(tmp_path / "set" / "b.bmp")
    first, each = info(tmp_path, "set"), info(tmp_path, "set", "--frames", "all")
    assert (first["count"], each["count"]) == (2, 5)
    assert "1 file of several frames or pages: the first only (--frames all: each)" in first["notes"]
    assert "1 file of several frames or pages: each is a sample" in each["notes"]
    assert first["kinds"]["of several frames"] == 1
    close = {".gif": 60, ".avif": 60}.get(suffix, 0)  # 256 colours; lossy
    for samples, expected in (
        (load(tmp_path / "set"), (0, 3)),
        (load(tmp_path / "set", frames="all"), (0, 1, 2, 3, 3)),
    ):
        pixels = samples.samples[:, :3].permute(0, 2, 3, 1).numpy().astype(int)
        wanted = np.stack([np.asarray(FRAMES[number]) for number in expected]).astype(int)
        assert np.abs(pixels - wanted).mean() <= close


def test_a_file_of_many_pages_alone_is_a_data_set_with_frames_all(tmp_path: Path) -> None:
    animation(tmp_path / "stack.tif")
    alone = gankit("data", "info", "stack.tif", cwd=tmp_path)
    assert alone.returncode == 2
    assert "--frames all for one file of several" in alone.stderr
    assert info(tmp_path, "stack.tif", "--frames", "all")["count"] == 4
    pack = gankit("data", "pack", "stack.tif", "--frames", "all", "-o", "s.gkpack", cwd=tmp_path)
    assert pack.returncode == 0, pack.stderr
    assert load(tmp_path / "s.gkpack").fingerprint == load(tmp_path / "stack.tif", frames="all").fingerprint


def test_the_advice_names_the_frames_that_were_asked_for(tmp_path: Path) -> None:
    animation(tmp_path / "stack.tif")
    result = gankit("advise", "stack.tif", "--frames", "all", "--no-measure", "--json", cwd=tmp_path)
    assert "--frames=all" in json.loads(result.stdout)["command"]


def test_a_page_that_names_itself_as_the_next_one_is_one_page(tmp_path: Path) -> None:
    content = bytearray(encoders.tiff([encoders.tiff_page(np.asarray(FRAMES[0]), 2)]))
    content[-4:] = content[4:8]
    (tmp_path / "a.tif").write_bytes(content)
    assert len(load(tmp_path, frames="all")) == 1


def test_pages_whose_sizes_differ_are_refused_as_files_are(tmp_path: Path) -> None:
    FRAMES[0].save(tmp_path / "a.tif", save_all=True, append_images=[FRAMES[1].resize((8, 8))])
    with pytest.raises(InputError, match="differ in size"):
        load(tmp_path, frames="all")
    assert len(load(tmp_path, frames="all", size=(8, 8))) == 2


def test_a_file_is_read_as_what_it_is_whatever_its_suffix(tmp_path: Path) -> None:
    FRAMES[0].save(tmp_path / "a.jpg", "PNG")
    FRAMES[0].save(tmp_path / "b.png", "TIFF")
    samples = load(tmp_path).samples.permute(0, 2, 3, 1).numpy()
    assert (samples == np.asarray(FRAMES[0])).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%PDF-1.7", "this is document, which is not read"),
        (b"II*\0" + b"x" * 50, "a damaged TIFF file, or one of an unknown form"),
        (b"\xff\x0a" + b"x" * 50, "this is JPEG XL"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "this is Git LFS pointer"),
    ],
)
def test_what_a_file_is_instead_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    FRAMES[0].save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(content)
    assert said in info(tmp_path, ".")["left_out"]["b.jpg"]


class Stingy(io.BytesIO):
    """A file of which nobody asks for much more than it can have."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is None or size < 1 << 20
        return super().read(size)


def test_a_box_that_claims_gigabytes_is_not_asked_for(tmp_path: Path) -> None:
    FRAMES[0].save(tmp_path / "a.jp2")
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    place = content.index(b"jp2h") - 4
    content[place : place + 4] = b"\xff\xff\xff\xf0"
    with pytest.raises((ValueError, OSError, SyntaxError)):
        pictures.open_picture(Stingy(bytes(content)), ".jp2")


def test_what_a_library_says_of_a_damaged_file_stays_out_of_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    content = bytearray(encoders.tiff([encoders.tiff_page(np.asarray(FRAMES[0]), 2, compression=encoders.DEFLATE)]))
    content[40:60] = bytes(20)
    (tmp_path / "set" / "a.tif").write_bytes(content)
    result = gankit("train", "--data", "set", "--variant", "gan", cwd=tmp_path)
    assert result.returncode == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["error"]


def test_an_animation_of_huge_frames_is_refused_when_each_is_a_sample(tmp_path: Path) -> None:
    content = bytearray(encoders.gif((4, 4), np.zeros((64, 3)), [{"pixels": np.zeros((4, 4), int)}] * 2))
    content[6:10] = (5000).to_bytes(2, "little") * 2
    (tmp_path / "a.gif").write_bytes(content)
    with pytest.raises(InputError, match="5000x5000 pixels are over the limit of 16,777,216"):
        load(tmp_path, frames="all")


# -- readers that are missing ------------------------------------------------------------------------------------------

FTYP = {".avif": b"\0\0\0\x20ftypavif", ".heic": b"\0\0\0\x20ftypheic"}


@pytest.mark.usefixtures("forget_readers")
@pytest.mark.parametrize(
    ("suffix", "module", "way"),
    [
        (".avif", "PIL.AvifImagePlugin", "AVIF needs another Pillow: pip install --upgrade 'pillow>=11.3'"),
        (".heic", "pillow_heif", "HEIC needs the package pillow-heif: pip install 'gankit[heic]'"),
    ],
)
def test_a_missing_reader_is_one_line_with_the_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str], suffix: str, module: str, way: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / f"a{suffix}").write_bytes(FTYP[suffix] + bytes(40))
    assert f"1 {suffix} file not read: {way}" in refusal("train --data set", tmp_path)
    FRAMES[0].save(tmp_path / "set" / "b.png")
    assert f"1 {suffix} file not read: {way}" in load(tmp_path / "set").describe()
    (tmp_path / "set" / "c.jpg").write_bytes(FTYP[suffix] + bytes(40))  # a telephone may name it so
    assert way in refusal("train --data set", tmp_path)


@pytest.mark.usefixtures("forget_readers")
def test_heic_is_read_where_its_package_is_installed(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    smooth = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    smooth.save(tmp_path / "a.heic", quality=90)
    pixels = load(tmp_path).samples[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(pixels - np.asarray(smooth)).max() <= 6


# -- values ------------------------------------------------------------------------------------------------------------


def tiff(path: Path, array: np.ndarray, **tags: int) -> None:
    path.parent.mkdir(exist_ok=True)
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        directory[getattr(TiffImagePlugin, name)] = value
    Image.fromarray(array).save(path, tiffinfo=directory)


UNIT = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


def test_floats_in_tiffs_follow_the_rules_of_float_arrays(tmp_path: Path) -> None:
    tiff(tmp_path / "set" / "a.tif", UNIT)
    tiff(tmp_path / "set" / "b.tif", UNIT[::-1])
    facts = info(tmp_path, "set")
    assert "floats in [0, 1] became 8-bit pixels" in facts["notes"]
    assert facts["kinds"]["floats"] == 2
    assert np.abs(load(tmp_path / "set").samples[0, 0].numpy() - np.rint(UNIT * 255)).max() <= 1
    tiff(tmp_path / "set" / "a.tif", UNIT * 7 - 3)
    with pytest.raises(InputError, match=r"pixel values run from -3 to 4"):
        load(tmp_path / "set")
    ranged = load(tmp_path / "set", value_range=(-3, 4)).samples[0, 0].numpy()
    assert np.abs(ranged - np.rint(UNIT * 255)).max() <= 1
    tiff(tmp_path / "set" / "a.tif", np.full((8, 8), np.nan, np.float32))
    with pytest.raises(InputError, match=r"a.tif: some values are NaN"):
        load(tmp_path / "set")


def test_integers_of_32_bits_are_scaled_by_their_largest_value_or_refused(tmp_path: Path) -> None:
    counts = np.arange(64, dtype=np.int32).reshape(8, 8) * 16_000
    tiff(tmp_path / "set" / "a.tif", counts)
    assert (
        "1 file of 32 bits scaled to 8 bits (values up to 1,008,000, so 1,048,575 is white)"
        in info(tmp_path, "set")["notes"]
    )
    expected = np.rint(counts / 1_048_575 * 255)
    assert np.abs(load(tmp_path / "set").samples[0, 0].numpy() - expected).max() <= 1
    tiff(tmp_path / "set" / "a.tif", counts - 1)
    with pytest.raises(InputError, match="pixel values run from -1 to"):
        load(tmp_path / "set")
    assert len(load(tmp_path / "set", value_range=(-1, 1_008_000))) == 1


def colour16(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoders.tiff([encoders.tiff_page(array.astype(np.uint16), 2)]))


def test_of_16_bits_per_colour_the_upper_8_are_read_and_too_few_are_refused(tmp_path: Path) -> None:
    full = RNG.integers(0, 65_536, (8, 8, 3))
    colour16(tmp_path / "set" / "a.tif", full)
    np.testing.assert_array_equal(load(tmp_path / "set").samples[0].permute(1, 2, 0).numpy(), full >> 8)
    assert "1 file of 16 bits per colour: the upper 8 bits are read" in info(tmp_path, "set")["notes"]
    with pytest.raises(InputError, match="--range has no meaning"):
        load(tmp_path / "set", value_range=(0, 4095))
    colour16(tmp_path / "set" / "a.tif", full >> 4)
    with pytest.raises(InputError, match="use 12 of them, and only the upper 8 are read") as caught:
        load(tmp_path / "set")
    assert "magick mogrify -evaluate multiply 16 -depth 8" in str(caught.value.hint)


def test_signed_bytes_are_refused_and_not_read_as_unsigned_ones(tmp_path: Path) -> None:
    tiff(tmp_path / "set" / "a.tif", np.zeros((8, 8), np.uint8), SAMPLEFORMAT=2)
    with pytest.raises(InputError, match=r"a.tif: signed bytes are not read"):
        load(tmp_path / "set")


@pytest.mark.parametrize(("name", "said"), [("sRGB", False), ("XYZ", True)])
def test_a_colour_profile_is_not_applied_and_said(tmp_path: Path, name: Any, said: bool) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()
    FRAMES[0].save(tmp_path / "a.png", icc_profile=profile)
    dataset = load(tmp_path)
    assert (dataset.samples[0].permute(1, 2, 0).numpy() == np.asarray(FRAMES[0])).all()
    assert ("1 file with a colour profile other than sRGB, which is not applied" in dataset.notes) is said
