"""Files of labels with several columns: which make a class, which a vector of named numbers, and what is left out."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import gankit
from support_data import assert_same_data, load, pack, png, table

from gankit.contracts import Attribute
from gankit.data import Dataset, load_dataset
from gankit.errors import InputError

Refusal = Callable[..., str]


def folder(path: Path, labels: Mapping[str, str], images: int = 4) -> str:
    """Images 0.png, 1.png, … with files of labels beside them."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        (path / f"{number}.png").write_bytes(png(number))
    for name, text in labels.items():
        (path / name).write_text(text)
    return str(path)


def read(path: Path, name: str, text: str, labels: str | None = None, images: int = 4) -> Dataset:
    return load(folder(path, {name: text}, images), **({} if labels is None else {"labels": tuple(labels.split(","))}))


FACES = {"smiling": [1, 0, 1, 0], "male": [0, 0, 1, 1], "young": [1, 1, 1, 0]}
CELEBA = "4\nsmiling male young\n0.png  1 -1  1\n1.png -1 -1  1\n2.png  1  1  1\n3.png -1  1 -1\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_attr_celeba.txt", CELEBA),
        ("list_attr_celeba.csv", "image_id,smiling,male,young\n0.png,1,-1,1\n1.png,-1,-1,1\n2.png,1,1,1\n3.png,-1,1,-1\n"),
        ("labels.csv", "file_name,smiling,male,young\n0.png,1,0,1\n1.png,0,0,1\n2.png,1,1,1\n3.png,0,1,0\n"),
        ("labels.csv", "\ufefffile;smiling;male;young\n0;1;0;1\n1;0;0;1\n2;1;1;1\n3;0;1;0\n"),
        ("attributes.csv", "Picture, smiling, male, young\n0.png, yes, no, yes\n1.png, no, no, yes\n2.png, yes, yes, yes\n3.png, no, yes, no\n"),
        ("metadata.csv", "file_name,smiling,male,young\n0.png,True,False,True\n1.png,False,False,True\n2.png,True,True,True\n3.png,False,True,False\n"),
        ("labels.tsv", "id\tsmiling\tmale\tyoung\n0\t1\t0\t1\n1\t0\t0\t1\n2\t1\t1\t1\n3\t0\t1\t0\n"),
        ("attributes.txt", "file_name smiling male young\n0.png 1 0 1\n1.png 0 0 1\n2.png 1 1 1\n3.png 0 1 0\n"),
        ("attributes.txt", "file_name\tsmiling\tmale\tyoung\n0.png\t1.0\t0.0\t1.0\n1.png\t0.0\t0.0\t1.0\n2.png\t1.0\t1.0\t1.0\n3.png\t0.0\t1.0\t0.0\n"),
        ("labels.json", json.dumps({f"{i}.png": {name: column[i] for name, column in FACES.items()} for i in range(4)})),
        ("labels.json", json.dumps([{"file_name": f"{i}.png", **{name: bool(c[i]) for name, c in FACES.items()}} for i in range(4)])),
        ("dataset.json", json.dumps({"labels": [[f"{i}.png", {n: c[i] for n, c in FACES.items()}] for i in range(4)]})),
        ("metadata.jsonl", "\n".join(json.dumps({"file_name": f"{i}.png", **{n: c[i] for n, c in FACES.items()}}) for i in range(4))),
    ],
)  # fmt: skip
def test_columns_of_yes_and_no_are_a_vector_with_their_names(tmp_path: Path, name: str, text: str) -> None:
    dataset = read(tmp_path / "faces", name, text)
    assert table(dataset) == FACES
    assert {attribute.kind for attribute in dataset.spec.attributes} == {"binary"}
    assert dataset.labels is None
    assert f"attributes from {name}: smiling, male, young" in dataset.describe()
    assert "faces: 4 images, grey 4x4, 3 attributes" in dataset.describe()


def test_tags_are_a_vector_too(tmp_path: Path) -> None:
    tags = {"0.png": ["cat", "outdoor"], "1.png": [], "2.png": ["outdoor"], "3.png": ["cat"]}
    expected = {"cat": [1, 0, 0, 1], "outdoor": [1, 0, 1, 0]}
    assert table(read(tmp_path / "a", "labels.json", json.dumps(tags))) == expected
    lines = [{"file_name": name, "tags": of, "cat": len(of)} for name, of in tags.items()]  # a column of that name
    text = "\n".join(map(json.dumps, lines))
    assert table(read(tmp_path / "b", "metadata.jsonl", text)) == {
        "tags=cat": [1, 0, 0, 1], "tags=outdoor": [1, 0, 1, 0], "cat": [2, 0, 1, 1]
    }  # fmt: skip


def test_numbers_are_standardised_and_choices_are_an_attribute_each(tmp_path: Path) -> None:
    text = "file_name,age,hair\n0.png,20,red\n1.png,30,black\n2.png,40,red\n3.png,50,grey\n"
    dataset = read(tmp_path / "d", "labels.csv", text)
    assert table(dataset) == {
        "age": [20, 30, 40, 50], "hair=black": [0, 1, 0, 0], "hair=grey": [0, 0, 0, 1], "hair=red": [1, 0, 1, 0]
    }  # fmt: skip
    assert dataset.conditions is not None
    age, deviation = dataset.spec.attributes[0], float(np.std([20, 30, 40, 50]))
    assert age == Attribute("age", "number", 35.0, deviation)
    assert dataset.conditions[:, 0].tolist() == pytest.approx(
        [-15 / deviation, -5 / deviation, 5 / deviation, 15 / deviation]
    )
    assert "age (a number, mean 35, std 11.18), hair (3 values)" in dataset.describe()


def test_vectors_of_stylegan_are_taken_as_they_are(tmp_path: Path) -> None:
    labels = {"labels": [[f"{i}.png", [i / 2, -1.0, 0.25]] for i in range(4)]}
    dataset = read(tmp_path / "d", "dataset.json", json.dumps(labels))
    assert dataset.conditions is not None
    assert dataset.conditions.tolist() == [[i / 2, -1.0, 0.25] for i in range(4)]


def test_what_cannot_be_a_label_is_left_out_and_named_with_the_reason(tmp_path: Path) -> None:
    count = 80
    rows = [f"{i}.png,{'' if i == 3 else 1},caption number {i},{i},{i % 2},train,7,{i / 7},nan" for i in range(count)]
    header = "file_name,missing,caption,row,smiling,split,constant,height,broken"
    dataset = read(tmp_path / "d", "metadata.csv", "\n".join([header, *rows]), images=count)
    assert list(table(dataset)) == ["smiling", "height"]
    for reason in (
        "missing (no value for 1 of 80 images)", "caption (80 different texts for 80 images)", "split (a split)",
        "row (another number for each image)", "constant (the same for all images)", "broken (numbers that are not finite",
    ):  # fmt: skip
        assert reason in " ".join(dataset.notes)


def test_captions_alone_are_no_classes(tmp_path: Path) -> None:
    rows = "\n".join(f"{i}.png,caption number {i}" for i in range(80))
    dataset = read(tmp_path / "d", "metadata.csv", f"file_name,text\n{rows}", images=80)
    assert (dataset.labels, dataset.conditions) == (None, None)
    assert "left out of metadata.csv: text (80 different texts for 80 images)" in dataset.notes
    (tmp_path / "d" / "metadata.csv").unlink()
    assert dataset.fingerprint == load(tmp_path / "d").fingerprint


def test_one_column_called_label_is_the_class_and_the_others_change_nothing(tmp_path: Path) -> None:
    text = "file_name,label,age,text\n0.png,cat,1,x\n1.png,dog,2,y\n2.png,cat,3,z\n3.png,dog,4,w\n"
    dataset = read(tmp_path / "d", "metadata.csv", text)
    alone = read(tmp_path / "e", "labels.csv", "0.png,cat\n1.png,dog\n2.png,cat\n3.png,dog\n")
    assert dataset.spec.classes == ("cat", "dog")
    assert dataset.fingerprint == alone.fingerprint
    assert "not used of metadata.csv: age, text (--labels chooses)" in dataset.notes
    assert "labels from label of metadata.csv" in dataset.notes


CHOICE = "file_name,label,digit,age,Smiling\n0.png,cat,0,20,1\n1.png,dog,3,30,0\n2.png,cat,3,40,0\n3.png,eel,0,70,1\n"


@pytest.mark.parametrize(
    ("labels", "classes", "attributes"),
    [
        ("label", ("cat", "dog", "eel"), ()),
        ("digit", ("0", "3"), ()),
        ("age", ("20", "30", "40", "70"), ()),
        ("age:number", (), ("age",)),
        ("smiling,age", (), ("Smiling", "age")),
        ("age,Smiling", (), ("age", "Smiling")),
        ("digit:class,label", (), ("digit=0", "digit=3", "label=cat", "label=dog", "label=eel")),
        ("digit,age:class", (), ("digit", "age=20", "age=30", "age=40", "age=70")),
        ("Smiling:number", (), ("Smiling",)),
    ],
)
def test_labels_are_chosen_by_their_columns(
    tmp_path: Path, labels: str, classes: tuple[str, ...], attributes: tuple[str, ...]
) -> None:
    dataset = read(tmp_path / "d", "labels.csv", CHOICE, labels)
    assert dataset.spec.classes == classes
    assert tuple(attribute.name for attribute in dataset.spec.attributes) == attributes


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("simling", "labels.csv has no column 'simling' for --labels — did you mean 'Smiling'? its columns: label, digit"),
        ("age,AGE", "--labels names 'age' twice"),
        ("label:number", "column 'label' of labels.csv cannot be a label: 'cat' is not a number"),
        ("", "--labels '': not names of columns"),
        ("age,,label", "--labels 'age,,label': not names of columns"),
        ("Smiling:class,digit:vector", "labels.csv has no column 'digit:vector'"),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_is_one_line(tmp_path: Path, labels: str, message: str, refusal: Refusal) -> None:
    folder(tmp_path / "d", {"labels.csv": CHOICE})
    assert message in refusal(f"data info d --labels={labels}", tmp_path)


def test_labels_are_chosen_of_a_file_of_labels_alone(tmp_path: Path, refusal: Refusal) -> None:
    folder(tmp_path / "d", {})
    np.save(tmp_path / "x.npy", np.zeros((4, 4, 4), np.uint8))
    assert "d holds no file of labels from which --labels could choose" in refusal("data info d --labels a", tmp_path)
    for data in ("x.npy", "digits"):
        said = refusal(f"train --variant gan --data {data} --labels a", tmp_path)
        assert f"{data} has no file of labels from which --labels could choose" in said


def test_rows_of_one_image_agree_where_they_count(tmp_path: Path) -> None:
    text = "file_name,caption,smiling\n" + "".join(f"{i // 5}.png,text {i},{i // 5 % 2}\n" for i in range(20))
    assert table(read(tmp_path / "d", "metadata.csv", text, "smiling:number"))["smiling"] == [0, 1, 0, 1]
    with pytest.raises(InputError, match="has two labels for '0.png'"):
        read(tmp_path / "d", "metadata.csv", text.replace("text 3,0", "text 3,1"), "smiling:number")


def test_celeba_as_it_is_unpacked_and_in_a_zip(tmp_path: Path) -> None:
    """The images in a folder of their own below the file of attributes, of which there may be more than images."""
    text = CELEBA.replace("4\n", "5\n", 1) + "4.png 1 1 1\n"
    root = tmp_path / "celeba"
    folder(root / "img_align_celeba", {})
    (root / "list_attr_celeba.txt").write_text(text)
    with zipfile.ZipFile(tmp_path / "celeba.zip", "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, f"celeba/{path.relative_to(root)}")
    for path in (root, tmp_path / "celeba.zip"):
        assert table(load(path)) == FACES


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_celeba_as_it_is_downloaded_the_attributes_beside_the_images(tmp_path: Path, form: str) -> None:
    path = Path(folder(tmp_path / "img_align_celeba", {}))
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
            for image in sorted(path.iterdir()):
                archive.write(image, f"img_align_celeba/{image.name}")
        path = tmp_path / "faces.zip"
    (tmp_path / "list_attr_celeba.txt").write_text(CELEBA)
    (tmp_path / "labels.csv").write_text(CHOICE)  # of anything: it is asked for, or it does not count
    assert table(load(path)) == FACES
    assert "attributes from ../list_attr_celeba.txt: smiling, male, young" in load(path).describe()
    assert list(table(load(path, labels=("age", "Smiling")))) == ["age", "Smiling"]
    (tmp_path / "list_attr_celeba.txt").write_text(CELEBA.replace("0.png", "9.png"))
    assert load(path).conditions is None
    assert "../list_attr_celeba.txt names 3 of 4 images, and is not used" in load(path).notes


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_a_file_of_labels_above_the_splits_is_that_of_each(tmp_path: Path, prefix: str) -> None:
    for split in ("train", "test"):
        folder(tmp_path / "d" / split, {})
    rows = "".join(f"{prefix}{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(4))
    other = "" if prefix == "" else "".join(f"test/{i}.png,eel\n" for i in range(4))
    (tmp_path / "d" / "labels.csv").write_text(f"file_name,label\n{rows}{other}")
    assert load(tmp_path / "d").spec.classes == ("cat", "dog")
    test = load_dataset(str(tmp_path / "d"), {}, split="test")
    assert test.spec.classes == (("cat", "dog") if prefix == "" else ("eel",))
    (tmp_path / "d" / "test" / "4.png").write_bytes(png(4))
    test = load_dataset(str(tmp_path / "d"), {}, split="test")
    assert test.labels is None
    assert "../labels.csv names 4 of 5 images, and is not used" in test.notes
    result = gankit(
        "train", "--variant", "acgan", "--data", "d", "--labels", "label", "--steps", 1, "-o", "run", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr


def test_data_info_shows_each_attribute_with_its_share(tmp_path: Path) -> None:
    folder(tmp_path / "d", {"list_attr_celeba.txt": CELEBA})
    facts = json.loads(gankit("data", "info", "d", "--json", cwd=tmp_path).stdout)
    assert facts["attributes"] == {"smiling": 0.5, "male": 0.5, "young": 0.75}
    assert facts["classes"] == {}
    text = gankit("data", "info", "d", cwd=tmp_path, COLUMNS="80").stdout
    assert "attributes  3: smiling 50.0%, male 50.0%, young 75.0%" in text
    folder(tmp_path / "e", {"labels.csv": CHOICE})
    result = gankit("data", "info", "e", "--labels", "smiling,age,label", cwd=tmp_path)
    assert "attributes  4: Smiling 50.0%, label=cat 50.0%, label=dog 25.0%, label=eel 25.0%" in result.stdout
    assert "numbers     1: age 40 ± 18.71" in result.stdout


def test_a_packed_file_keeps_the_attributes_and_the_choice(tmp_path: Path, refusal: Refusal) -> None:
    folder(tmp_path / "d", {"labels.csv": CHOICE})
    header = pack(tmp_path / "d", tmp_path / "d.gkpack", labels=("Smiling", "age"))
    assert [attribute.name for attribute in header.attributes] == ["Smiling", "age"]
    source = load(tmp_path / "d", labels=("Smiling", "age"))
    for labels in (None, ("Smiling", "age")):
        assert_same_data(load(tmp_path / "d.gkpack", labels=labels), source)
    assert header.fingerprint == source.fingerprint != load(tmp_path / "d", labels=("Smiling", "digit")).fingerprint
    said = refusal("train --variant gan --data d.gkpack --labels age", tmp_path)
    assert "d.gkpack was packed with --labels Smiling,age — leave --labels out" in said
    assert "attributes  Smiling, age" in gankit("data", "info", "d.gkpack", cwd=tmp_path).stdout


def test_names_are_part_of_what_a_run_is_trained_on(tmp_path: Path) -> None:
    first = read(tmp_path / "d", "list_attr_celeba.txt", CELEBA)
    other = read(tmp_path / "d", "list_attr_celeba.txt", CELEBA.replace("smiling", "laughing"))
    assert first.fingerprint != other.fingerprint


def test_names_of_classes_and_of_conditions_in_an_npz(tmp_path: Path) -> None:
    images = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)

    def saved(**arrays: Any) -> Dataset:
        np.savez(tmp_path / "x.npz", images=images, **arrays)
        return load_dataset(str(tmp_path / "x.npz"), {})

    assert saved(labels=np.array([1, 0, 1, 0]), classes=["cat", "dog"]).spec.classes == ("cat", "dog")
    named = saved(labels=np.array(["10", "9", "10", "9"]))
    assert named.spec.classes == ("9", "10")
    assert named.labels is not None
    assert named.labels.tolist() == [1, 0, 1, 0]
    vectors = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32)
    assert saved(conditions=vectors, names=["smiling", "male"]).spec.attributes == (
        Attribute("smiling"),
        Attribute("male"),
    )
    scaled = saved(conditions=vectors, names=["smiling", "age"], scales=np.array([[0, 35.0], [1, 12.5]]))
    assert scaled.spec.attributes == (Attribute("smiling"), Attribute("age", "number", 35.0, 12.5))
    assert "not used: names" in " ".join(saved(names=["smiling", "male"]).notes)
    for arrays, message in (
        ({"names": ["smiling", "smiling"]}, "'names': no list of different names"),
        ({"names": ["a", "b", "c"]}, "3 attributes are named, and there are not as many numbers"),
        ({"names": ["a", "b"], "scales": np.ones(3)}, "'scales': not a mean and a standard deviation"),
        (
            {"names": ["a", "b"], "scales": np.array([[0, 1.0], [1, 0.0]])},
            "'scales': not a mean and a standard deviation",
        ),
        ({"names": ["a", "b"], "scales": np.array([[0, np.nan], [1, 1.0]])}, "'scales': some values are NaN"),
    ):
        with pytest.raises(InputError, match=message):
            saved(conditions=vectors, **arrays)
    with pytest.raises(InputError, match="2 classes"):
        saved(labels=np.array([1, 0, 2, 0]), classes=["cat", "dog"])


def test_vectors_are_given_to_the_samples_that_they_belong_to(tmp_path: Path) -> None:
    """Also where images are skipped."""
    folder(tmp_path / "d", {"list_attr_celeba.txt": CELEBA})
    (tmp_path / "d" / "1.png").write_bytes(b"no image")
    dataset = load(tmp_path / "d", on_bad_image="skip")
    assert dataset.conditions is not None
    assert torch.equal(dataset.conditions, torch.tensor([[1.0, 0, 1], [1, 1, 1], [0, 1, 0]]))
