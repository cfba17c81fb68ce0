"""`--init-from`: a new run that starts with the networks of an older one. Nothing else is taken over: see `resume`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from gankit.contracts import DataSpec
from gankit.errors import InputError
from gankit.game.latent import LatentSpace
from gankit.game.loop import TrainingLoop
from gankit.game.state import below, load_module
from gankit.store import checkpoint, generator_file
from gankit.store.generator_file import GeneratorHeader
from gankit.store.run_folder import RunFolder


def start_from(path: Path, loop: TrainingLoop, data: DataSpec, space: LatentSpace) -> str:
    """Load the networks of a run folder, or the generator of a .safetensors file, and say what was taken.

    The generator must fit. A discriminator that does not (another game may want another output) starts anew. Raises
    InputError for anything else than such a file or folder.
    """
    networks = loop.networks
    if not path.is_dir():
        header, tensors = generator_file.read(path)
        _check_kind(path, header, data, space)
        for module in (networks.generator, loop.ema.module):
            load_module("generator", module, {f"generator.{name}": tensor for name, tensor in tensors.items()})
        return f"the averaged generator of {path} ({header.images_seen:,} images)"
    if RunFolder(path).generator.is_file():
        _check_kind(path, generator_file.read(RunFolder(path).generator)[0], data, space)
    found = checkpoint.newest(RunFolder(path).checkpoints)
    if found is None:
        raise InputError(f"{path} holds no checkpoint", hint="--init-from takes a run folder or a .safetensors file")
    state = {name: value for name, value in below("loop", found.state).items() if isinstance(value, Tensor)}
    load_module("generator", networks.generator, state)
    load_module("ema", loop.ema.module, state)
    taken = f"the networks of {path} at step {found.progress['step']:,}"
    try:
        load_module("discriminator", networks.discriminator, state)
    except InputError:
        return f"{taken}, but for the discriminator, which does not fit"
    return taken


def _check_kind(path: Path, old: GeneratorHeader, data: DataSpec, space: LatentSpace) -> None:
    """InputError when the samples or latent vectors are of another kind, which no plugin can help."""
    for what, before, now, hint in (
        ("samples of shape", "x".join(map(str, old.shape)), "x".join(map(str, data.shape)), "--size, or other data"),
        ("a condition of length", old.spec.condition, data.condition, "--conditional, and data with as many classes"),
        ("z of length", old.z_dim, space.z_dim, f"--z-dim {old.z_dim}"),
    ):
        if before != now:
            raise InputError(f"--init-from {path}: made for {what} {before}, this run has {now}", hint=hint)
