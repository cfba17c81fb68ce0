"""How other tools arrange images: splits as folders, and labels in a file beside the images.

* `train/`, `val/` or `test/` at the top are splits and not classes.
* `dataset.json` of StyleGAN's tool: `{"labels": [["00000/img00000000.png", 6], …]}`; the folders are shards.
* `metadata.jsonl` and `metadata.csv` of image folders, `labels.csv`, `attributes.csv`, …: a row for each file.
* `list_attr_celeba.txt`: the number of the images, the names of 40 attributes, and a row of -1 and 1 for each image. It
  may lie beside the folder or zip of the images, as they are downloaded.
* `0001.cls` beside `0001.jpg`, as in the shards of WebDataset.

Where labels come from such a file, sub-folders are no classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from gankit.base.text import plural, printable
from gankit.data.formats.labels import Columns, Labels, no_label
from gankit.data.formats.pixels import BROKEN
from gankit.data.formats.sources import CLASS_SUFFIX, LABEL_FILES, ImageFiles
from gankit.data.formats.tables import UNNAMED, read_table
from gankit.errors import InputError

TRAIN = "train"
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLITS |= dict.fromkeys(("val", "valid", "validation", "dev"), "val")
_CELEBA = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_ABOVE = "../"  # before the name of a file of labels that lies above the images
_MAX_BYTES = 256 << 20


def arranged(
    files: ImageFiles, split: str = TRAIN, columns: Sequence[str] | None = None, beside: Path | None = None
) -> ImageFiles:
    """The images of one split with the labels that a file beside them gives.

    `columns` are those of that file that count (`--labels`). In the folder `beside` the source CelebA's file is looked
    for, and any file of labels where there are `columns`, if the images have no others. InputError for a split or a
    column that is missing.
    """
    files, folder = _of_split(files, split)
    found = _label_file(files)
    if found is not None:
        return _of_label_file(files, found, columns, folder)
    if any(name.endswith(CLASS_SUFFIX) for name in files.others) and columns is None:
        return _of_class_files(files)
    if beside is not None and not any("/" in name for name in files.names):
        names = [name for name in (_CELEBA if columns is None else LABEL_FILES) if (beside / name).is_file()]
        if names:
            within, above = files.open, beside / names[0]
            files = replace(files, open=lambda name: above.open("rb") if name.startswith(_ABOVE) else within(name))
            return _of_label_file(files, f"{_ABOVE}{names[0]}", columns)
    if columns is not None:
        raise InputError(
            f"{files.where} holds no file of labels from which --labels could choose",
            hint=f"it is called {', '.join(LABEL_FILES[:4])} or {_CELEBA[0]}; or leave out --labels",
        )
    return files


def _of_split(files: ImageFiles, split: str) -> tuple[ImageFiles, str]:
    """The images of a split, and the folder that they are in, '' where folders are no splits."""
    tops = {name.split("/", 1)[0] for name in files.names}
    splits: dict[str, list[str]] = {}
    for top in tops:
        splits.setdefault(SPLITS.get(top.lower(), ""), []).append(top)
    inside = all("/" in name for name in files.names)
    if "" in splits or TRAIN not in splits or not inside:
        if split != TRAIN:
            raise InputError(
                f"{files.where} has no split '{printable(split)}'",
                hint="splits are folders train/ and test/ or val/; or give the path of the other images",
            )
        return files, ""
    if split not in splits:
        known = ", ".join(sorted(splits))
        raise InputError(f"{files.where} has no split '{printable(split)}'", hint=f"its splits: {known}")
    (chosen, *more) = splits[split]
    if more:
        raise InputError(f"{files.where}: {chosen}/ and {more[0]}/ are one split", hint="rename one of them")
    prefix = f"{chosen}/"
    kept = [name.removeprefix(prefix) for name in files.names if name.startswith(prefix)]
    others = [name.removeprefix(prefix) for name in files.others if name.startswith(prefix)]
    others += [f"{_ABOVE}{name}" for name in files.others if "/" not in name and name in LABEL_FILES]

    within = files.open

    def opened(name: str) -> IO[bytes]:
        return within(name.removeprefix(_ABOVE) if name.startswith(_ABOVE) else prefix + name)

    rest, unused = plural(len(files.names) - len(kept), "image"), sorted(tops - {chosen})
    note = f"{prefix} is the split '{split}'" + (f"; {rest} of {', '.join(unused)} not used" if unused else "")
    stamps, notes = files.stamp, (*files.notes, note)
    files = replace(files, names=kept, others=tuple(others), notes=notes, stamp=lambda name: stamps(prefix + name))
    return replace(files, open=opened), chosen


def _label_file(files: ImageFiles) -> str | None:
    found = [name for name in files.others if name.removeprefix(_ABOVE) in LABEL_FILES]
    if len(found) > 1:
        raise InputError(f"{files.where} holds {found[0]} and {found[1]}", hint="keep the file of labels that counts")
    return found[0] if found else None


def _bytes(files: ImageFiles, name: str) -> bytes:
    try:
        with files.open(name) as stream:
            data = stream.read(_MAX_BYTES + 1)
    except BROKEN as error:
        raise InputError(
            f"{files.where}, {printable(name)} cannot be read: {printable(str(error))}", hint="check the file"
        ) from error
    if len(data) > _MAX_BYTES:
        raise InputError(
            f"{files.where}, {printable(name)}: larger than {_MAX_BYTES >> 20} MB", hint="give a smaller file"
        )
    return data


def _of_class_files(files: ImageFiles) -> ImageFiles:
    """Labels from the files *.cls; WebDataset counts everything from the first dot of a name as its suffix."""

    def sample(name: str) -> str:
        folder, slash, file = name.rpartition("/")
        return f"{folder}{slash}{file.split('.', 1)[0]}"

    texts = {sample(name): _bytes(files, name) for name in files.others if name.endswith(CLASS_SUFFIX)}
    labels = [texts.get(sample(name)) for name in files.names]
    found = [None if text is None else text.decode("utf-8", "replace").strip() for text in labels]
    columns = Columns(files.where, f"*{CLASS_SUFFIX}", files.names, {UNNAMED: found})
    return replace(files, labels=columns.labels())


def _of_label_file(files: ImageFiles, source: str, chosen: Sequence[str] | None, folder: str = "") -> ImageFiles:
    """The images with the labels of a file; `folder` is that of their split, which may stand before their names."""
    known = {form for name in files.names for form in (*_forms(name), f"{folder}/{name}")}
    table = read_table(source, _bytes(files, source), f"{files.where}, {source}", known.__contains__)
    if table is None:
        return replace(files, labels=Labels(notes=(f"{source} says that there are no labels",)))
    # A row belongs to the file of its name; else to the one of that name with another suffix, or in some folder.
    given: dict[str, list[int]] = {}
    for row, name in enumerate(table.files):
        top, slash, rest = name.partition("/")
        if folder and slash and top.lower() in SPLITS:
            if top != folder:  # of another split
                continue
            name = rest
        for form in {name, _without_suffix(name)}:
            given.setdefault(form, []).append(row)
    rows = [next((given[form] for form in _forms(name) if form in given), []) for name in files.names]
    missing = [name for name, found in zip(files.names, rows, strict=True) if not found]
    if missing and chosen is None and source.startswith(_ABOVE):  # as may be of the images of another split
        note = f"{source} names {len(rows) - len(missing):,} of {plural(len(rows), 'image')}, and is not used"
        return replace(files, notes=(*files.notes, note))
    if missing:
        raise no_label(files.where, source, missing, len(rows))
    values = {name: [cells[found[0]] for found in rows] for name, cells in table.columns.items()}
    labels = Columns(files.where, source, files.names, values).labels(chosen)
    for name, found in zip(files.names, rows, strict=True):
        several = [table.columns[column] for column in labels.columns] if len(found) > 1 else []
        if any(cells[row] != cells[found[0]] for cells in several for row in found[1:]):
            raise InputError(
                f"{files.where}: {source} has two labels for '{printable(name)}'", hint="keep the one that is right"
            )
    if not labels.columns:  # the folders may still be classes
        return replace(files, notes=(*files.notes, *labels.notes))
    return replace(files, labels=labels)


def _forms(name: str) -> tuple[str, ...]:
    """The names by which a file of labels may mean an image, the best first."""
    base = PurePosixPath(name).name
    return name, _without_suffix(name), base, _without_suffix(base)


def _without_suffix(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)
