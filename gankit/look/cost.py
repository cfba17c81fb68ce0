"""What a recipe costs on this machine: a few steps on random data of its shape, or on its own data."""

from __future__ import annotations

import dataclasses

import torch

from gankit.contracts import DataSpec
from gankit.data import Dataset
from gankit.host.recipes import RecipeFile
from gankit.machine.device import choose_device
from gankit.modality import modality_of
from gankit.run.build import estimate
from gankit.run.plan import Plan, load_data
from gankit.settings.recipes import DataNote
from gankit.store import speeds
from gankit.store.speeds import Speed

LIMIT_S = 15.0  # seconds that a measurement should not exceed
SAMPLES = 256  # random samples, which are repeated
STEPS = 7  # steps of an estimate


def stand_in(note: DataNote, name: str = "stand-in", samples: int = SAMPLES) -> Dataset | None:
    """Random samples of the shape and the classes that a recipe states; None if it states no shape."""
    if not note.shape:
        return None
    count = max(samples, note.classes)
    generator = torch.Generator().manual_seed(0)
    stored = modality_of(note.shape).stored(torch.randn(count, *note.shape, generator=generator))
    labels = torch.arange(count) % note.classes if note.classes else None
    classes = tuple(map(str, range(note.classes)))
    return Dataset(name, DataSpec(note.shape, classes), stored, labels)


def measure_recipe(recipe: RecipeFile, plan: Plan) -> Speed:
    """Images per second of a recipe on this device, which are remembered."""
    speed = measure(plan, stand_in(recipe.recipe.data) or load_data(plan))
    speeds.remember(recipe.digest, speed)
    return speed


def measure(plan: Plan, dataset: Dataset) -> Speed:
    """Images per second of a configuration on this device.

    Networks of any size are measured within some seconds: the batch grows from four images to that of the recipe, as
    far as the time allows.
    """
    batch = min(4, plan.config.batch)
    while True:
        config = dataclasses.replace(plan.config, batch=batch)
        rate = estimate(dataclasses.replace(plan, resolved=dataclasses.replace(plan.resolved, config=config)), dataset)
        larger = min(plan.config.batch, 4 * batch)
        if larger == batch or STEPS * larger / rate.images_per_s > LIMIT_S:
            break
        batch = larger
    return Speed(device_name(plan.config.device), rate.images_per_s)


def device_name(requested: str) -> str:
    """'cpu, 2 threads', or the name of a CUDA device."""
    device = choose_device(requested)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else device.type
