"""Pictures of generators: what a page shows is what the command beside it makes."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from support import gankit
from support_study import write_study
from support_web import Answer, Site, site

import gankit as api

TINY = {"images": 128, "batch": 16, "z_dim": 8, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three untrained generators: plain, with classes, of points."""
    folder = tmp_path_factory.mktemp("explore")
    api.train("gan", out=folder / "runs" / "plain", **TINY)  # type: ignore[arg-type]
    api.train("cgan", out=folder / "runs" / "it's classes", **TINY)  # type: ignore[arg-type]
    api.train("gan", data="ring8", out=folder / "runs" / "points", **{**TINY, "z_dim": 2})  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def ui(place: Path) -> Iterator[Site]:
    with site(cwd=place) as running:
        yield running


def pixels(answer: Answer) -> np.ndarray:
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png"), answer.text
    return np.asarray(Image.open(io.BytesIO(answer.body)))


def cells(sheet: np.ndarray) -> np.ndarray:
    """The cells of a contact sheet of 28x28, row by row: one class is a row on the command line, and a square here."""
    side = 2 * 28 + 2
    rows, columns = (length // side for length in sheet.shape[:2])
    return np.stack(
        [
            sheet[2 + r * side : (r + 1) * side, 2 + c * side : (c + 1) * side]
            for r in range(rows)
            for c in range(columns)
        ]
    )


def command(answer: Answer) -> str:
    return unquote(answer.headers["x-command"])


def test_watching_does_not_load_torch_and_exploring_does(place: Path) -> None:
    def loaded() -> bool:
        return "libtorch" in Path(f"/proc/{ui.process.pid}/maps").read_text()

    with site(cwd=place) as ui:
        run = ui.id_of("runs/plain")
        for path in ("/", f"/run/{run}", f"/parts/run/{run}", f"/chart?run={run}&key=d/real", "/explore", "/studies"):
            assert ui.ask(path).status == 200
        assert not loaded()
        assert ui.ask(f"/explore/{ui.id_of('plain: last', '/explore')}").status == 200
        assert loaded()


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("plain: last", "seed=3&n=9"),
        ("classes: last", "seed=0&n=12&label=7"),
        ("classes: last", "seed=5&n=4"),
        ("plain: last", "seed=5&n=4&psi=0.5"),
    ],
)
def test_a_grid_is_what_its_command_makes(name: str, query: str, place: Path, ui: Site) -> None:
    answer = ui.ask(f"/generator/{ui.id_of(name, '/explore')}/grid.png?{query}")
    assert gankit(*shlex.split(command(answer))[1:], cwd=place).returncode == 0
    shown, made = cells(pixels(answer)), cells(np.asarray(Image.open(place / "samples.png")))
    count = int(query.partition("n=")[2].partition("&")[0])
    assert np.abs(shown[:count].astype(int) - made[:count]).max() <= 1
    assert shown[0].std() > 0


def test_the_corners_of_the_pad_are_the_samples_of_their_seeds(ui: Site) -> None:
    generator = ui.id_of("plain: last", "/explore")
    for seed, x, y in ((4, 0, 0), (5, 1, 0), (6, 0, 1), (7, 1, 1)):
        corner = pixels(ui.ask(f"/generator/{generator}/blend.png?corners=4,5,6,7&x={x}&y={y}"))
        alone = pixels(ui.ask(f"/generator/{generator}/grid.png?seed={seed}&n=1"))
        assert np.abs(corner.astype(int) - alone).max() <= 1
    middle = ui.ask(f"/generator/{generator}/blend.png?corners=4,5,6,7&x=0.5&y=0.5")
    assert np.abs(pixels(middle).astype(int) - corner).max() > 1


def test_a_walk_around_the_pad_is_a_command_that_works(place: Path, ui: Site) -> None:
    generator = ui.id_of("classes: last", "/explore")
    answer = ui.ask(f"/generator/{generator}/blend.png?corners=0,1,2,3&x=0.2&y=0.9&label=3")
    assert "--seeds 0,1,3,2,0 --class 3" in command(answer)
    done = gankit(*shlex.split(command(answer))[1:], cwd=place)
    assert done.returncode == 0, done.stderr
    assert (place / "walk.webp").exists()


def test_points_are_drawn_as_a_plot(ui: Site) -> None:
    generator = ui.id_of("points: last", "/explore")
    assert min(pixels(ui.ask(f"/generator/{generator}/grid.png?seed=0&n=25")).shape[:2]) > 100
    assert "data-blend" not in ui.ask(f"/explore/{generator}").text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("grid.png?n=0", "0 seeds"),
        ("grid.png?n=257", "257 seeds"),
        ("grid.png?seed=-1", "'-1' is not a seed"),
        ("grid.png?seed=999999999999999999999", "is not a seed"),
        ("grid.png?label=cat", "the generator is unconditional"),
        ("grid.png?psi=1.5", "truncation 1.5"),
        ("grid.png?move=smile=2", "no direction 'smile'"),
        ("grid.png?move=2", "not NAME=NUMBER"),
        ("mix.png?coarse=0-1&fine=2-3&from=1", "has no styles"),
        ("mix.png?coarse=0-99&fine=2-3&from=1", "100 seeds"),
        ("photos/1/sample.png", "no such photo"),
        ("grid.png?psi=nan", "'nan' is not a number"),
        ("blend.png", "'' is not a seed"),
        ("blend.png?corners=1,2,3&x=0&y=0", "3 seeds"),
        ("blend.png?corners=1,2,3,4&x=2&y=0", "no place between four seeds"),
        ("blend.png?corners=1,2,3,4&x=nan&y=0", "'nan' is not a number"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_line(path: str, words: str, ui: Site) -> None:
    answer = ui.ask(f"/generator/{ui.id_of('plain: last', '/explore')}/{path}")
    assert answer.status == (404 if "photos" in path else 400)
    assert words in answer.json()["error"]


def test_two_generators_are_compared_with_the_same_seeds(ui: Site) -> None:
    a, b = ui.id_of("plain: last", "/explore"), ui.id_of("classes: last", "/explore")
    page = ui.ask(f"/compare?a={a}&b={b}").text
    assert [page.count(f'data-grid="{one}"') for one in (a, b)] == [1, 1]
    assert "<select name=label>" not in page  # only one of them has classes


def test_a_file_that_changes_is_loaded_anew(place: Path, ui: Site) -> None:
    file = place / "runs" / "points" / "best.safetensors"
    file.write_bytes((place / "runs" / "plain" / "generator.safetensors").read_bytes())
    generator = ui.id_of("points: best", "/explore")
    path = f"/generator/{generator}/grid.png?n=4"
    before = pixels(ui.ask(path))
    file.write_bytes((place / "runs" / "points" / "generator.safetensors").read_bytes())
    assert pixels(ui.ask(path)).shape != before.shape
    file.write_bytes(b"not a generator")
    refused = ui.ask(path)
    assert (refused.status, "best.safetensors" in refused.json()["error"]) == (400, True)
    file.unlink()
    assert ui.ask(path).status == 404


def test_a_file_alone_is_explored_at_once(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes((place / "runs" / "plain" / "generator.safetensors").read_bytes())
    with site("mine.safetensors", cwd=tmp_path) as ui:
        assert "/explore/" in ui.address
        assert "<h1>mine.safetensors</h1>" in ui.ask(ui.address.removeprefix(ui.origin)).text


def test_a_study_is_shown_with_its_tables(tmp_path: Path) -> None:
    write_study(tmp_path / "losses", {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, "failed"]}, title="<script>")
    with site("losses", cwd=tmp_path) as ui:
        assert "/study/" in ui.address
        answer = ui.ask(ui.address.removeprefix(ui.origin))
        assert answer.status == 200
        assert "<h2>Findings</h2>" in answer.text
        assert "<script>" not in answer.text
        assert "script" not in answer.headers["content-security-policy"]
        (tmp_path / "losses" / "journal.jsonl").write_text("")
        refused = ui.ask(ui.address.removeprefix(ui.origin), Accept="text/html")
        assert (refused.status, "losses" in refused.text) == (400, True)


# -- moved, mixed and projected ----------------------------------------------------------------------------------------


def test_directions_are_found_kept_and_moved_along_as_commands_do(place: Path, ui: Site) -> None:
    generator = ui.id_of("plain: last", "/explore")
    assert "Find directions" in ui.ask(f"/explore/{generator}").text
    assert ui.ask(f"/explore/{generator}/directions", method="POST", Origin=ui.origin).status == 303
    assert (place / "runs" / "plain" / "generator.directions.safetensors").exists()
    assert 'data-move="sefa0"' in ui.ask(f"/explore/{generator}").text
    plain = pixels(ui.ask(f"/generator/{generator}/grid.png?seed=5&n=4"))
    answer = ui.ask(f"/generator/{generator}/grid.png?seed=5&n=4&move=sefa0=3&move=sefa1=0")
    assert "--move sefa0=3 -o" in command(answer)
    assert gankit(*shlex.split(command(answer))[1:], cwd=place).returncode == 0
    moved = pixels(answer).astype(int)
    assert np.abs(moved - np.asarray(Image.open(place / "samples.png"))).max() <= 1
    assert np.abs(moved - plain).max() > 1
    assert not [name for name in ui.ask("/explore").text.split('"') if "directions" in name]
    (place / "runs" / "plain" / "generator.directions.safetensors").write_bytes(b"damaged")
    assert "generator.directions.safetensors" in ui.ask(f"/explore/{generator}").text


def test_a_photo_is_projected_and_its_latents_are_a_file_that_commands_take(place: Path, ui: Site) -> None:
    generator = ui.id_of("it&#x27;s classes: last", "/explore")
    api_samples = Image.fromarray(api.load(place / "runs" / "it's classes").sample(1, seed=77)[0, :, :, 0])
    buffer = io.BytesIO()
    api_samples.save(buffer, "PNG")
    path = f"/generator/{generator}/photos?name=me.png"
    found = ui.ask(path, method="POST", body=buffer.getvalue(), Origin=ui.origin).json()
    assert found["error"] < 0.05  # it is a sample
    photo = f"/generator/{generator}/photos/{found['photo']}"
    assert pixels(ui.ask(f"{photo}/target.png")).shape == pixels(ui.ask(f"{photo}/sample.png")).shape
    (place / "latents.npz").write_bytes(ui.ask(f"{photo}/latents.npz").body)
    answer = ui.ask(f"{photo}/sample.png?psi=0.9")
    assert gankit(*shlex.split(command(answer))[1:], cwd=place).returncode == 0
    made = np.asarray(Image.open(place / "me.png"))
    assert np.abs(pixels(answer).astype(int) - made).max() <= 1
    elsewhere = ui.id_of("plain: last", "/explore")
    assert ui.ask(f"/generator/{elsewhere}/photos/{found['photo']}/sample.png").status == 404


def test_the_server_ends_at_once_and_cleanly_while_a_photo_is_projected(place: Path) -> None:
    picture = (place / "runs" / "plain" / "samples" / "real.png").read_bytes()
    with ThreadPoolExecutor() as beside:
        with site(cwd=place) as ui:
            path = f"/generator/{ui.id_of('plain: last', '/explore')}/photos?name=me.png"

            def project() -> Answer:
                return ui.ask(path, method="POST", body=picture, Origin=ui.origin)

            asked = beside.submit(project)
            while not asked.done() and "another photo" not in project().text:
                pass
        asked.exception()  # answered, or cut off


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("me.png", b"not a picture", "me.png"),
        ("me.zip", b"PK\x03\x04", "me.zip is no picture"),
        ("../../me", b"x", "is no picture"),
        ("", b"", "is no picture"),
        ("me.png", b"", "me.png"),
    ],
)
def test_a_file_that_is_no_picture_is_one_line(name: str, body: bytes, words: str, ui: Site) -> None:
    generator = ui.id_of("plain: last", "/explore")
    answer = ui.ask(f"/generator/{generator}/photos?name={name}", method="POST", body=body, Origin=ui.origin)
    assert (answer.status, words in answer.json()["error"]) == (400, True), answer.text


def test_styles_are_mixed_as_the_command_does(place: Path, ui: Site) -> None:
    api.train("stylegan2", out=place / "runs" / "styles", **TINY)  # type: ignore[arg-type]
    while not (generator := ui.id_of("styles: last", "/explore")):
        pass
    assert "data-mix" in ui.ask(f"/explore/{generator}").text
    answer = ui.ask(f"/generator/{generator}/mix.png?coarse=0-1&fine=5-7&from=2&psi=0.7")
    assert gankit(*shlex.split(command(answer))[1:], cwd=place).returncode == 0
    difference = pixels(answer).astype(int) - np.asarray(Image.open(place / "mixing.png"))
    assert np.abs(difference).max() <= 1
