"""Weights with a configuration, as the Hugging Face Hub has models: a folder that safetensors and gankit read.

There is no class of transformers or diffusers for the network of a plugin, and none is pretended. The weights have the
names of the network's own parameters, and the file is a sampleable one, which `gankit.load` takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from gankit.base.files import canonical_json, json_text, write_folder
from gankit.sample.generator import TrainedGenerator

FOLDER = "safetensors-hf"
WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"

ABOUT = """\
# A generator of {of}, trained by gankit

`{weights}` holds the weights under the names of the network's own parameters, `{config}` what they are. The network
is built by the code of {plugin}: there is no class of transformers or diffusers for it.

With gankit (`pip install {install}`):

```python
import gankit

samples = gankit.load("{weights}").sample(16, seed=0)  # {samples}
```

The weights alone, for a network of your own:

```python
from safetensors.torch import load_file

tensors = load_file("{weights}")  # {count} tensors, {numbers:,} numbers
```

A file that runs without gankit, for onnxruntime or PyTorch: `gankit export {weights} --to onnx`.
"""


def write_weights(folder: Path, trained: TrainedGenerator, tensors: Mapping[str, Tensor], says: dict[str, Any]) -> int:
    """Write the folder whole or not at all, in place of an earlier one; its size in bytes."""
    header = trained.header
    metadata = {"format": "pt", "gankit": canonical_json(dataclasses.asdict(header))}
    separate = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    samples = says["output"]["samples"]
    about = ABOUT.format(
        of=says["of"],
        weights=WEIGHTS,
        config=CONFIG,
        plugin="gankit itself" if header.core_generator else f"the variant {header.variant}",
        install=" ".join(sorted({"gankit", *filter(None, [header.variant.dist])})),
        samples=f"{samples['dtype']} {samples['shape']}".replace("'", ""),
        count=len(tensors),
        numbers=sum(tensor.numel() for tensor in tensors.values()),
    )
    contents = {
        WEIGHTS: safetensors.torch.save(separate, metadata),
        CONFIG: (json_text({"model_type": "gankit", **says}, indent=2) + "\n").encode(),
        README: about.encode(),
    }
    write_folder(folder, contents)
    return sum(map(len, contents.values()))
