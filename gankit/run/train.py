"""`train` and `resume`: from settings to a plan, and the folder that the run works in."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

from gankit.base.text import printable
from gankit.data import Dataset
from gankit.errors import InputError
from gankit.host import discovery
from gankit.run.advice import advised
from gankit.run.life import live
from gankit.run.plan import Plan, plan_run, stored_settings
from gankit.run.run import Run, RunResult
from gankit.settings.config import BUDGETS, Settings
from gankit.settings.layers import Layer, read_toml
from gankit.store import run_folder
from gankit.store.run_folder import RunFolder

log = logging.getLogger("gankit")


def train(
    variant: str | os.PathLike[str] | None = None,
    *,
    out: str | Path | None = None,
    new: bool = False,
    recipe: str | os.PathLike[str] | None = None,
    config: str | Path | None = None,
    observers: Sequence[object] = (),
    on_step: Callable[[Run], None] | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Train a GAN; the same call again continues a run that was stopped.

    `settings` are the fields of `RunConfig` plus `options` (the variant's own); what is absent or None comes from the
    TOML file `config`, then the `recipe` (a name or a .toml file), then the variant, then core. Without a variant, a
    recipe and a `config` the advice for the data chooses the game (`gankit.run.advice`). Without `out` the run gets the
    next number below runs/, unless an unfinished run of exactly these settings is there (`new=True` starts afresh all
    the same). Raises GankitError for everything a user can mend.

    `observers` are objects with event hooks (`gankit_record` and others, marked with `hookimpl`); `on_step` is called
    after every step, for displays. Both are for watching, in the first process. `gankit.base.progress.to` shows the
    progress of what precedes the first step.
    """
    layers = [_arguments({"variant": variant, "recipe": recipe, **settings})]
    if config:
        layers = [read_toml(Path(config)), *layers]
    else:
        layers = advised(layers, Path(out) if out is not None and not new else None)
    return train_layers(layers, out, new, observers, on_step)


def train_layers(
    layers: list[Layer],
    out: str | Path | None = None,
    new: bool = False,
    observers: Sequence[object] = (),
    on_step: Callable[[Run], None] | None = None,
) -> RunResult:
    """`train` for settings that come in several layers, as those of the command line do."""
    plan = plan_run(layers)
    return live(plan, lambda dataset: _open_folder(plan, dataset, out, new), observers, on_step)


def resume(
    folder: str | Path,
    *,
    variant: str | os.PathLike[str] | None = None,
    observers: Sequence[object] = (),
    on_step: Callable[[Run], None] | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Continue the run in `folder`, to the end of its budget or of a new one (`images=…`, `steps=…`, `time_s=…`).

    A variant or extension that was a file must be passed again: nothing is imported because a run folder says so.
    `data` may name another place of the same data.
    """
    run = RunFolder(Path(folder))
    given = _arguments({"variant": variant, **settings})
    saved = stored_settings(run, given.settings)
    if any(key in given.settings for key in BUDGETS):
        saved = {key: value for key, value in saved.items() if key not in BUDGETS}
    plan = plan_run([Layer("run", saved), given])
    run_folder.check_same(run, plan.configuration)
    return live(plan, lambda _: run, observers, on_step)


def _arguments(settings: Mapping[str, Any]) -> Layer:
    return Layer("argument", {key: value for key, value in settings.items() if value is not None})


def _refuse_within_data(data: str, out: Path) -> None:
    """InputError if the pictures of a run would be read as data by the next one."""
    source = Path(data)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"--out {printable(str(out))} lies within the data, {printable(data)}: its pictures would become samples",
            hint="choose a folder elsewhere with --out",
        )


def _open_folder(plan: Plan, dataset: Dataset, out: str | Path | None, new: bool) -> RunFolder:
    """The folder to work in: an unfinished run of the same settings, the one named by `out`, or a new one."""
    prefix = f"{plan.composition.variant.name}-{discovery.normalise(dataset.name)}"
    if out is not None and RunFolder(Path(out)).exists:
        if new:
            raise InputError(
                f"{out} holds a run already", hint="leave out --new to continue it, or choose another --out"
            )
        folder = RunFolder(Path(out))
        run_folder.check_same(folder, plan.configuration)
        return folder
    if out is None and not new:
        unfinished = run_folder.find_unfinished(prefix, plan.configuration)
        if unfinished is not None:
            log.info("continuing the unfinished run %s (--new starts another one)", unfinished.path)
            return unfinished
    _refuse_within_data(plan.config.data, Path(out or run_folder.RUNS))
    folder = run_folder.create(Path(out)) if out is not None else run_folder.create_numbered(prefix)
    plugins = plan.composition.plugins
    identity = {
        "run_id": str(uuid.uuid4()),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "variant": plan.composition.variant.name,
        "plugins": [{"kind": plugin.kind, "name": plugin.name, "origin": plugin.origin} for plugin in plugins],
        "data": {
            "name": dataset.name,
            "shape": list(dataset.spec.shape),
            "classes": list(dataset.spec.classes),
            "fingerprint": dataset.fingerprint,
        },
        "recipe": plan.recipe.identity if plan.recipe is not None else None,
    }
    with folder.locked():
        if folder.exists:  # another process was quicker
            run_folder.check_same(folder, plan.configuration)
        else:
            folder.write_identity(identity, plan.configuration)
    return folder
