"""A run over attributes, the whole way: train, resume, several processes, sample by name, keep the labels, score."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import gankit
from support_data import load
from support_runs import assert_same_state

import gankit as api
from gankit.data import Sampler
from gankit.sample.metadata import other_rows

SMALL = ("--batch", 8, "--z-dim", 8, "--device", "cpu")
NAMES = ("Smiling", "Male", "hair=black", "hair=red", "age")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """faces/: 120 images with two columns of yes and no, a choice and a number; run/: a short run on them."""
    base = tmp_path_factory.mktemp("attributes")
    (base / "faces").mkdir()
    random = np.random.RandomState(0)
    rows = ["file_name,Smiling,Male,hair,age"]
    for number in range(120):
        smiling, male, red, age = random.rand() < 0.3, random.rand() < 0.5, random.rand() < 0.4, random.randint(20, 70)
        pixels = random.randint(0, 255, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(base / "faces" / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,{int(smiling)},{int(male)},{'red' if red else 'black'},{age}")
    (base / "faces" / "labels.csv").write_text("\n".join(rows))
    result = gankit(
        "train", "--variant", "lsgan", "--conditional", "--data", "faces", *SMALL, "--steps", 6, "-o", "run", cwd=base
    )
    assert result.returncode == 0, result.stderr
    return base


def conditions(path: Path) -> torch.Tensor:
    """The condition vectors of a data set."""
    found = load(path).conditions
    assert found is not None
    return found


@pytest.mark.parametrize("variant", ["cgan", "hinge", "wgan-gp", "r3gan", "dcgan"])
def test_games_are_played_over_attributes(place: Path, variant: str) -> None:
    flags = ("--variant", variant, "--conditional", "--data", "faces", *SMALL, "--steps", 2, "-o", variant)
    result = gankit("train", *flags, cwd=place)
    assert result.returncode == 0, result.stderr
    assert tuple(a.name for a in api.load(place / variant).data.attributes) == NAMES


def test_a_game_of_classes_says_which_column_could_be_one(place: Path, refusal: Callable[..., str]) -> None:
    said = refusal("train --variant acgan --data faces -o acgan", place)
    assert "ACGAN needs a label for each sample" in said
    assert "--labels COLUMN" in said
    result = gankit(
        "train", "--variant", "acgan", "--data", "faces", "--labels", "hair", *SMALL, "--steps", 2, "-o", "a", cwd=place
    )
    assert result.returncode == 0, result.stderr
    assert api.load(place / "a").data.classes == ("black", "red")


def test_a_generator_knows_its_attributes_and_how_often_they_come(place: Path) -> None:
    generator, of_data = api.load(place / "run"), conditions(place / "faces")
    assert tuple(attribute.name for attribute in generator.data.attributes) == NAMES
    drawn = generator.conditions(range(3000))
    assert drawn is not None
    torch.testing.assert_close(drawn.mean(0), of_data.mean(0), atol=0.05, rtol=0)
    assert {tuple(row) for row in drawn.tolist()} == {tuple(row) for row in of_data.tolist()}


@pytest.mark.parametrize(
    ("label", "fixed", "share"),
    [
        ("smiling,male", {"Smiling": 1, "Male": 1}, 0.15),
        ("smiling=1,male=0", {"Smiling": 1, "Male": 0}, 0.15),
        ("hair=red", {"hair=black": 0, "hair=red": 1}, 0.4),
        ("Hair=Black, age=35", {"hair=black": 1, "hair=red": 0, "age": 35}, 0.6),
        ("hair=red=0", {"hair=red": 0}, 0.6),
    ],
)
def test_attributes_are_asked_for_by_name(place: Path, label: str, fixed: dict[str, float], share: float) -> None:
    result = gankit("sample", "run", "--label", label, "-n", 20, "-o", "asked.npz", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    (asked,) = json.loads(result.stdout)["labels"]
    assert (asked["label"], asked["values"]) == (label, fixed)
    assert asked["share"] == pytest.approx(share, abs=0.15)
    arrays = np.load(place / "asked.npz")
    assert arrays["names"].tolist() == list(NAMES)
    means, deviations = arrays["scales"]
    values = arrays["conditions"] * deviations + means
    for name, value in fixed.items():
        assert values[:, NAMES.index(name)] == pytest.approx([value] * 20, abs=1e-4)
    free = [place for place, name in enumerate(NAMES) if name not in fixed]
    known = {tuple(row) for row in conditions(place / "faces")[:, free].tolist()}
    assert {tuple(row) for row in arrays["conditions"][:, free].tolist()} <= known  # as in the data
    assert len(np.unique(arrays["conditions"][:, free], axis=0)) > 1
    generator = api.load(place / "run")
    assert (generator.sample(20, label=label) == arrays["samples"]).all()
    alone = generator.sample(1, condition=arrays["conditions"][0].tolist()).astype(int)
    assert np.abs(alone - arrays["samples"][:1]).max() <= 1  # alone in its batch: rounding


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("smilng", "no attribute 'smilng' — did you mean 'Smiling'? attributes: Smiling, Male, hair=black, hair=red, age"),
        ("hair=blue", "no value 'blue' of 'hair' — one of hair=black, hair=red"),
        ("hair=blak", "no value 'blak' of 'hair' — did you mean 'black'? one of hair=black, hair=red"),
        ("hair", "which 'hair'? — one of hair=black, hair=red"),
        ("smiling=maybe", "'smiling=maybe': 'Smiling' holds or not — Smiling=1 or Smiling=0"),
        ("age", "'age': 'age' is a number — age=4"),
        ("age=old", "'age=old': 'age' is a number"),
        ("age=1e99", "'age=1e99': 'age' is a number"),
        ("male,male=0", "'male,male=0' says 'Male' twice"),
        ("male,", "no attribute ''"),
    ],
)  # fmt: skip
def test_words_that_make_no_sense_are_one_line(
    place: Path, label: str, message: str, refusal: Callable[..., str]
) -> None:
    assert message in refusal(f"sample run --label={label}", place)


def test_labels_of_samples_survive_as_data(place: Path) -> None:
    drawn = api.load(place / "run").conditions(range(40))
    assert drawn is not None
    for form in ("kept", "kept.zip", "kept.npz"):
        result = gankit("sample", "run", "-n", 40, "-o", form, cwd=place)
        assert result.returncode == 0, result.stderr
        data = load(place / form)
        assert data.conditions is not None
        assert sorted(a.name for a in data.spec.attributes) == sorted(NAMES)
        for number, attribute in enumerate(data.spec.attributes):
            mine = NAMES.index(attribute.name)
            wanted = drawn[:, mine] * api.load(place / "run").data.attributes[mine].std
            torch.testing.assert_close(
                data.conditions[:, number] * attribute.std - (data.conditions[0, number] * attribute.std),
                wanted - wanted[0], atol=1e-3, rtol=0,
            )  # fmt: skip
    again = gankit(
        "train", "--variant", "gan", "--conditional", "--data", "kept", *SMALL, "--steps", 1, "-o", "again", cwd=place
    )
    assert again.returncode == 0, again.stderr


def test_more_samples_in_a_folder_keep_the_labels_of_those_before(place: Path) -> None:
    for flags in (
        ("--seeds", "0-9"),
        ("--seeds", "5-14"),
        ("--label", "smiling", "-n", 3),
        ("--label", "smiling", "-n", 4),
    ):
        result = gankit("sample", "run", *flags, "-o", "more", cwd=place)
        assert result.returncode == 0, result.stderr
    rows = (place / "more" / "metadata.csv").read_text().splitlines()
    named = [row.partition(",")[0] for row in rows[1:]]
    assert sorted(named) == sorted(str(path.relative_to(place / "more")) for path in (place / "more").rglob("*.png"))
    assert len(named) == 15 + 4
    data = load(place / "more")
    assert data.conditions is not None
    assert [row.split(",")[1] for row in rows if row.startswith("smiling/")] == ["1"] * 4
    with zipfile.ZipFile(place / "two.zip", "w"):
        pass
    result = gankit("sample", "run", "--label", "male", "--label", "male=0", "-n", 2, "-o", "two.zip", cwd=place)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(place / "two.zip") as archive:
        assert archive.namelist() == [
            "metadata.csv", "male/seed000000.png", "male/seed000001.png", "male=0/seed000000.png", "male=0/seed000001.png"
        ]  # fmt: skip
        assert [line.split(",")[2] for line in archive.read("metadata.csv").decode().splitlines()[1:]] == [
            "1",
            "1",
            "0",
            "0",
        ]


def test_a_file_of_labels_of_the_user_is_never_replaced(place: Path, refusal: Callable[..., str]) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "metadata.csv").write_text("file_name,label\nx.png,cat\n")
    said = refusal("sample run -n 2 -o mine", place)
    assert "mine holds labels that are not samples of gankit (metadata.csv)" in said
    assert (place / "mine" / "metadata.csv").read_text() == "file_name,label\nx.png,cat\n"


def test_a_walk_between_attributes_changes_these_alone(place: Path) -> None:
    from gankit.sample.walks import conditions_of

    generator = api.load(place / "run")
    y = conditions_of(generator, 3, ["smiling=0,male", "smiling"])
    assert y is not None
    assert (y[1] - y[0]).tolist() == [1, 0, 0, 0, 0]
    result = gankit(
        "interpolate", "run", "--label", "smiling=0", "--label", "smiling", "--seeds", "1,2", "-o", "w.png", cwd=place
    )
    assert result.returncode == 0, result.stderr
    result = gankit("arithmetic", "run", "--plus", "1,2", "--label", "male", "-o", "m.png", cwd=place)
    assert result.returncode == 0, result.stderr


def test_all_of_them_are_a_row_each(place: Path) -> None:
    result = gankit("sample", "run", "--label", "all", "-n", 3, "-o", "all.png", "--json", cwd=place)
    assert [asked["label"] for asked in json.loads(result.stdout)["labels"]] == list(NAMES[:4])
    with Image.open(place / "all.png") as sheet:
        assert json.loads(sheet.text["gankit"])["label"] == list(NAMES[:4])  # type: ignore[attr-defined]
        assert sheet.height > sheet.width


def test_a_stopped_run_goes_on_bit_for_bit(place: Path) -> None:
    flags = ("--variant", "hinge", "--conditional", "--data", "faces", "--labels", "age,Male", *SMALL)
    for name, steps in (("straight", 9), ("broken", 4)):
        result = gankit("train", *flags, "--steps", steps, "-o", name, cwd=place)
        assert result.returncode == 0, result.stderr
    packed = gankit("data", "pack", "faces", "--labels", "age,Male", "-o", "faces.gkpack", cwd=place)
    assert packed.returncode == 0, packed.stderr
    result = gankit("resume", "broken", "--data", "faces.gkpack", "--steps", 9, cwd=place)
    assert result.returncode == 0, result.stderr
    assert_same_state(place / "straight", place / "broken")
    text = (place / "faces" / "labels.csv").read_text()
    (place / "faces" / "labels.csv").write_text(text.replace("Male", "Female"))
    result = gankit("resume", "broken", "--data", "faces", "--steps", 12, cwd=place)
    (place / "faces" / "labels.csv").write_text(text)
    assert result.returncode == 2


def test_processes_share_the_conditions_of_one(place: Path) -> None:
    dataset = load(place / "faces")
    whole = Sampler(dataset, batch=8, seed=3, device=torch.device("cpu"), conditional=True)
    parts = [
        Sampler(dataset, batch=8, seed=3, device=torch.device("cpu"), conditional=True, share=slice(rank, None, 2))
        for rank in range(2)
    ]
    for step in range(12):
        one, others = whole.batch(step), [part.batch(step) for part in parts]
        for field in ("real", "condition"):
            together = torch.stack([getattr(other, field) for other in others], 1).flatten(0, 1)
            assert torch.equal(getattr(one, field), together)
    result = gankit(
        "train",
        "--variant",
        "gan",
        "--conditional",
        "--data",
        "faces",
        *SMALL,
        "--gpus",
        2,
        "--steps",
        3,
        "-o",
        "two",
        cwd=place,
    )
    assert result.returncode == 0, result.stderr
    assert api.load(place / "two").space == api.load(place / "run").space


def test_scores_over_attributes_are_those_of_training(place: Path) -> None:
    flags = ("--variant", "gan", "--conditional", "--data", "faces", *SMALL, "--steps", 2)
    scored = ("--eval-every", 16, "--eval-n", 50, "--eval-features", "lite0@64", "-o", "scored")
    result = gankit("train", *flags, *scored, cwd=place)
    assert result.returncode == 0, result.stderr
    (line,) = [json.loads(line) for line in (place / "scored" / "metrics.jsonl").read_text().splitlines()][-1:]
    result = gankit("eval", "scored", "-n", line["protocol"]["n"], "--features", "lite0@64", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)["scores"]
    assert scores["kid"]["value"] == pytest.approx(line["scores"]["kid"]["value"], rel=1e-3, abs=1e-6)
    assert gankit("neighbours", "scored", "-o", "n.png", cwd=place).returncode == 0
    assert gankit("sample", "scored", "-n", 50, "-o", "fakes", cwd=place).returncode == 0
    result = gankit(
        "eval", "fakes", "--against", "faces", "--labels", "age", "--features", "lite0@64", "--json", cwd=place
    )
    assert result.returncode == 0, result.stderr


def test_advice_names_the_attributes(place: Path) -> None:
    result = gankit("advise", "faces", "--no-measure", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    reasons = {reason["setting"]: reason for reason in json.loads(result.stdout)["reasons"]}
    assert reasons["conditional"]["value"] is False
    assert "5 attributes" in reasons["conditional"]["because"]
    assert "5 attributes" in gankit("advise", "faces", "--no-measure", cwd=place).stdout


def test_rows_of_samples_that_are_made_again_are_replaced_whatever_they_are_made_of() -> None:
    kept = other_rows(
        io.StringIO(
            "file_name,age\nseed000001.png,1\nlatent000001.png,2\na/seed000001.png,3\nmine.png,4\nseed2.png,5\n"
        ),
        ["latent000001.png", "seed000002.webp"],
    )
    assert [row[1] for row in kept] == ["1", "3", "4"]
