"""What is pushed to the Hugging Face Hub: the generator, a card made from its header and scores, and a picture."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gankit.base.files import json_text
from gankit.base.text import plural, printable
from gankit.errors import InputError
from gankit.measure.record import FILE, Evaluation, read_lines
from gankit.modality import modality_of
from gankit.sample.generator import LoadOptions, rebuild
from gankit.sample.request import Request
from gankit.sample.writers import write_samples
from gankit.store.find import generator_file, run_of
from gankit.store.generator_file import GeneratorHeader, read

WEIGHTS, CARD, PICTURE, CONFIG = "generator.safetensors", "README.md", "samples.png", "config.json"
SEEDS = range(64)  # of the picture
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


def files_of(checkpoint: Path, repo: str, licence: str | None, options: LoadOptions) -> dict[str, bytes]:
    """The files of a repository, by name; InputError for a licence that is no identifier."""
    if licence is not None and not LICENCE.fullmatch(licence):
        raise InputError(
            f"--license {printable(licence)}: not an identifier of the Hub", hint="cc-by-4.0, apache-2.0, other"
        )
    file = generator_file(checkpoint)
    header, tensors = read(file)
    trained = rebuild(file, header, tensors, options)
    scored = scores_of(file, header)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / PICTURE
        write_samples(Request(trained, SEEDS), picture)
        drawn = picture.read_bytes()
    description = {key: value for key, value in dataclasses.asdict(header).items() if key != "preview_png"}
    config = {"model_type": "gankit", **description, "evaluations": [_shared(each) for each in scored]}
    return {
        WEIGHTS: file.read_bytes(),
        CARD: card(header, scored, repo, licence).encode(),
        PICTURE: drawn,
        CONFIG: (json_text(config, indent=2) + "\n").encode(),
    }


def scores_of(file: Path, header: GeneratorHeader) -> list[Evaluation]:
    """The evaluations of exactly these weights that the run of a file has stored, oldest first."""
    run = run_of(file)
    stored = read_lines(run.path / FILE) if run is not None and (run.path / FILE).is_file() else []
    return [each for each in stored if each.what.get("tensors_sha256") == header.tensors_sha256]


def _shared(evaluation: Evaluation) -> dict[str, Any]:
    """Its record without the path of the file on this machine."""
    return dataclasses.replace(evaluation, what={**evaluation.what, "file": WEIGHTS}).record()


# -- the card ----------------------------------------------------------------------------------------------------------


def card(header: GeneratorHeader, scored: Sequence[Evaluation], repo: str, licence: str | None) -> str:
    """The model card, in Markdown; names in it cannot format it, and none is a link."""
    variant, kind = header.variant, modality_of(header.shape)
    title = f"{variant.name} on {header.data}"
    parts = [
        front_matter(header, licence),
        f"# {escaped(title)}\n",
        f"A generator of {kind.name} ({escaped(kind.describe(header.spec))}), trained by [gankit](https://pypi.org/project/gankit/).\n",
        f"![The samples of seeds {SEEDS[0]} to {SEEDS[-1]}, not chosen]({PICTURE})\n",
        _how_to_load(header, repo),
        _what(header),
        _scores(scored),
        "## Licence\n\n"
        + (f"{escaped(licence)}, for the weights. The data have their own." if licence else "None was given."),
    ]
    return "\n".join(parts) + "\n"


def front_matter(header: GeneratorHeader, licence: str | None) -> str:
    """The YAML that the Hub reads. Scores are in the text, with their protocol: it has no field for one."""
    tags = ["gan", "gankit", "pytorch", header.variant.name]
    lines = ["---"]
    if licence is not None:
        lines.append(f"license: {_yaml(licence)}")
    lines += ["library_name: gankit", f"tags: [{', '.join(map(_yaml, dict.fromkeys(tags)))}]"]
    if header.spec.is_image:
        lines.append("pipeline_tag: unconditional-image-generation")
    return "\n".join([*lines, "---", ""])


def _how_to_load(header: GeneratorHeader, repo: str) -> str:
    wanted = {
        "gankit[hub]",
        *(ref.dist for ref in (header.variant, *header.extensions) if ref.dist not in (None, "gankit")),
    }
    installed = " ".join(f"'{name}'" for name in sorted(filter(None, wanted)))
    return f"""\
## Use it

```console
pip install {installed}
gankit sample hf://{repo} -o samples.png
```

```python
import gankit

samples = gankit.load("hf://{repo}").sample(16, seed=0)
```

`hf://{repo}@COMMIT` pins a commit. The weights are safetensors, and loading them runs no code of this repository.
"""


def _what(header: GeneratorHeader) -> str:
    conditions = header.conditions
    told = "none" if conditions is None else plural(len(header.classes), "class").replace("classs", "classes")
    if conditions is not None and not conditions.counts:
        told = (
            f"{len(header.attributes)} attributes" if header.attributes else f"vectors of {conditions.length} numbers"
        )
    rows = {
        "variant": str(header.variant),
        "extensions": ", ".join(map(str, header.extensions)) or "none",
        "data": f"{header.data} (sha256 {header.data_fingerprint[:16]})",
        "condition": told,
        "latent": f"{header.z_dim} numbers, {header.z_prior}",
        "trained on": f"{header.images_seen:,} samples, {header.step:,} steps, seed {header.seed}",
        "weights": f"sha256 {header.tensors_sha256[:16]}",
        "software": f"gankit {header.gankit}, torch {header.torch}",
    }
    if header.classes and conditions is not None and conditions.counts:
        shown = ", ".join(header.classes[:20]) + (", …" if len(header.classes) > 20 else "")
        rows["classes"] = shown
    table = "\n".join(f"| {name} | {escaped(value)} |" for name, value in rows.items())
    config = {name: value for name, value in header.config.items() if value is not None}
    settings = {"settings": config, "options": header.options, "extensions": header.extension_options}
    listed = json.dumps(settings, indent=2, sort_keys=True, default=str)
    return f"## What it is\n\n| | |\n|---|---|\n{table}\n\n```json\n{listed}\n```\n"


def _scores(scored: Sequence[Evaluation]) -> str:
    if not scored:
        return "## Scores\n\nNone are stored for these weights.\n"
    lines = [
        "## Scores\n",
        "The floor is the same score between two sets of real data. Scores are comparable only with those of the same",
        f"protocol, which `{CONFIG}` has in full.\n",
        "| score | value | floor | feature space | samples | real | data |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in scored:
        protocol = each.protocol
        for name, score in each.scores.items():
            floor = "" if score.floor is None else f"{score.floor:.4g}"
            marked = f"{protocol.features} (its critic was built on it)" if protocol.critic_space else protocol.features
            cells = [name, f"{score.value:.4g}", floor, marked, f"{protocol.n:,}", f"{protocol.n_real:,}"]
            cells.append(f"{each.data}, {protocol.split}")
            lines.append("| " + " | ".join(map(escaped, cells)) + " |")
    return "\n".join([*lines, ""])


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line: neither HTML nor a link nor a cell of its own."""
    safe = printable(" ".join(text.split()))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = re.sub(r"([\\`*_{}\[\]()#+!|~$@-])", r"\\\1", safe)
    return safe.replace("://", ":&#47;&#47;")


def _yaml(text: str) -> str:
    """A scalar in double quotes."""
    return json.dumps(printable(text), ensure_ascii=False)


def facts(files: dict[str, bytes]) -> dict[str, Any]:
    """Name -> bytes, for the report."""
    return {name: len(data) for name, data in files.items()}
