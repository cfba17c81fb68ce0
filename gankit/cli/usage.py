"""Wrong usage in one line: what was typed, where, and what to type instead; flags of other tools are translated."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any, cast

import typer

from gankit.errors import GankitError, InputError
from gankit.settings.validate import in_words

UsageError = cast(type[Exception], typer.BadParameter.__base__)
"""What typer raises for wrong usage; it has no public name for it."""

# Flags of other tools and of articles, by the command that has something for them.
_IMAGES = "--images 500k: the budget counts images; for E epochs of N images that is E x N"
_RATES = "--g-lr 1e-3 --d-lr 1e-3"
_OPTION = "-s KEY=VALUE; `gankit variants show NAME` lists the options of a variant"
_EPOCHS = ("epochs", "n-epochs", "num-epochs", "nepochs", "niter", "max-epochs", "kimg")
_ELSEWHERE = {
    "resume": dict.fromkeys(_EPOCHS, _IMAGES),
    "train": {
        **dict.fromkeys(_EPOCHS, _IMAGES),
        **dict.fromkeys(("lr", "learning-rate", "lrate"), _RATES),
        **dict.fromkeys(("glr", "lr-g"), "--g-lr 1e-3"),
        **dict.fromkeys(("dlr", "lr-d"), "--d-lr 1e-3"),
        **dict.fromkeys(("batch-size", "bs", "batchsize"), "--batch 64"),
        **dict.fromkeys(("dataset", "data-dir", "data-path", "dataroot", "input", "dir"), "--data NAME or --data PATH"),
        **dict.fromkeys(("outdir", "output", "out-dir", "output-dir", "save-dir", "logdir"), "-o DIR"),
        **dict.fromkeys(("model", "loss", "arch", "algorithm"), "--variant NAME; `gankit variants`"),
        **dict.fromkeys(("latent-dim", "nz", "zdim", "latent-size", "noise-dim"), "--z-dim 64"),
        **dict.fromkeys(("image-size", "img-size", "imagesize", "resolution", "res", "crop-size"), "--size 64"),
        **dict.fromkeys(("n-critic", "critic-iters", "critic-steps", "k"), "--d-steps 5"),
        **dict.fromkeys(("beta1", "b1", "beta2", "b2"), "--betas 0.5,0.999"),
        **dict.fromkeys(("cond", "class-cond", "use-labels"), "--conditional"),
        **dict.fromkeys(("gpu", "gpu-ids", "cuda"), "--device cuda, or --device cuda:1"),
        **dict.fromkeys(("fp16", "amp", "bf16", "mixed-precision"), "--precision fp16, or bf16"),
        **dict.fromkeys(("workers", "num-workers", "nw"), "leave it out: images are decoded once, before training"),
        **dict.fromkeys(("aug", "augment", "augpipe"), "--with diffaugment, or --with ada"),
        **dict.fromkeys(("gamma", "r1", "r1-gamma"), "--with r1 -s r1.gamma=1"),
        **dict.fromkeys(("lambda-gp", "gp-weight", "lambda", "clip-value", "clip"), _OPTION),
        **dict.fromkeys(("ema", "ema-decay", "ema-kimg"), "--ema-halflife 10k: images after which a value counts half"),
        **dict.fromkeys(("seeds", "runs", "trials"), "--seed 0; a run has one"),
        **dict.fromkeys(("resume", "checkpoint", "ckpt", "continue"), "gankit resume RUN, or the same command again"),
        **dict.fromkeys(("option", "opt", "param"), _OPTION),
    },
    "sample": {
        **dict.fromkeys(("num", "count", "images", "samples", "num-samples", "n-samples", "num-images"), "-n 64"),
        **dict.fromkeys(("outdir", "output", "out-dir"), "-o samples.png, or a folder"),
        **dict.fromkeys(("network", "ckpt", "checkpoint", "model", "load"), "gankit sample CKPT, without a flag"),
        **dict.fromkeys(("seed",), "--seeds 7, or --seeds 0-63"),
        **dict.fromkeys(("labels", "attributes"), "--label NAME, or --label smiling=1,male=0"),
    },
    "eval": {
        **dict.fromkeys(("data", "dataset", "real-data", "ref"), "--against DATA"),
        **dict.fromkeys(("network", "ckpt", "checkpoint", "model"), "gankit eval CKPT, without a flag"),
        **dict.fromkeys(("metric",), "--metrics fid,kid"),
        **dict.fromkeys(("num", "n-samples", "num-samples"), "-n 10000"),
    },
}  # fmt: skip
_COMMANDS = {
    **dict.fromkeys(("generate", "gen", "test", "infer", "samples"), "sample"),
    **dict.fromkeys(("evaluate", "fid", "metrics", "score", "calc"), "eval"),
    **dict.fromkeys(("run", "fit", "start"), "train"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("list", "models", "ls"), "variants"),
    **dict.fromkeys(("check", "info", "env"), "doctor"),
}


def is_help(error: Exception) -> bool:
    """Whether a group was called without a command; typer has printed its help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def refusal(error: Any) -> GankitError:
    """The error of typer as one of ours."""
    context = error.ctx
    command = context.command_path if context is not None else "gankit"
    text = re.sub(r" ?\(Possible options.*?\)| ?Did you mean .*\?$", "", str(error.format_message())).strip(". ")
    text = in_words(text)
    return InputError(f"{command}: {text[:1].lower()}{text[1:]}", hint=_hint(error, command, text))


def _hint(error: Any, command: str, text: str) -> str:
    name = command.rpartition(" ")[2]
    flag = str(getattr(error, "option_name", "")).lstrip("-").lower().replace("_", "-")
    if flag in _ELSEWHERE.get(name, {}):
        return _ELSEWHERE[name][flag]
    missing = re.match(r"missing argument '(\w+)", text, re.IGNORECASE)
    if missing is not None and missing[1] in ("CKPT", "RUN"):
        return _for_run(command)
    possible = list(getattr(error, "possibilities", None) or ())
    if possible:
        return "did you mean " + " or ".join(possible[:3]) + "?"
    extra = re.search(r"unexpected extra argument\(?s?\)? \((.*)\)", text, re.IGNORECASE)
    if extra is not None:
        return _for_words(name, extra[1].split())
    unknown = re.search(r"no such command '([^']*)'", text, re.IGNORECASE)
    if unknown is not None:
        return _for_command(command, unknown[1], str(error.format_message()))
    return f"`{command} --help` shows how"


def _for_run(command: str) -> str:
    """What to type where a run or a checkpoint is missing: the newest run that is here, if there is one."""
    runs = [path.parent for pattern in ("*/run.json", "runs/*/run.json") for path in Path().glob(pattern)]
    if not runs:
        return f"{command} RUN: a run folder, which `gankit train` makes below runs/"
    newest = max(runs, key=lambda run: run.stat().st_mtime)
    return f"{command} {shlex.quote(str(newest))}, the newest run here"


def _for_words(command: str, words: list[str]) -> str:
    """Words where a command takes flags: `gankit train NAME`, `gankit bench NAME`, `gankit train photos/`."""
    from gankit.host import discovery

    if command in ("train", "bench") and words:
        known = {plugin.name for plugin in discovery.discover(discovery.VARIANTS)}
        if words[0].lower() in known:
            return f"--variant {words[0].lower()}"
        if os.path.exists(words[0]):  # noqa: PTH110 - a word that may not be a path at all
            return f"--data {words[0]}"
        return "what is trained is named by flags: --variant NAME --data PATH"
    return f"`gankit {command} --help` shows how"


def _for_command(command: str, word: str, text: str) -> str:
    from gankit.host import discovery

    meant = re.search(r"Did you mean (.*)\?", text)
    if word.lower() in _COMMANDS:
        return f"gankit {_COMMANDS[word.lower()]}"
    if command == "gankit recipes":
        return f"gankit recipes show {word}"
    if any(plugin.name == word.lower() for plugin in discovery.discover(discovery.VARIANTS)):
        return f"gankit {'variants show' if command == 'gankit variants' else 'train --variant'} {word.lower()}"
    if meant is not None:
        return f"did you mean {meant[1]}?"
    return f"`{command} --help` lists the commands"
