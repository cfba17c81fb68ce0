"""From a generator to samples, and from samples to a picture in a file."""

from __future__ import annotations

import base64
import io

import torch
from PIL import Image
from torch import Tensor, nn

from gankit.modality import modality_of

MAX_GRID = 4096  # largest number of samples in one picture
PREVIEW_SAMPLES = 16  # in the preview inside the sampleable file
MAX_PREVIEW_BYTES = 48 * 1024


@torch.no_grad()
def generate(generator: nn.Module, z: Tensor, condition: Tensor | None = None, *, batch: int = 64) -> Tensor:
    """z [N, z_dim] (and y [N, K]) -> samples [N, *shape] float32 on the CPU, `batch` at a time on its device."""
    device = next(generator.parameters()).device
    inputs = [z] if condition is None else [z, condition]
    parts = zip(*(torch.split(tensor, batch) for tensor in inputs), strict=True)
    return torch.cat([generator(*(tensor.to(device) for tensor in part)).float().cpu() for part in parts])


def picture(samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Image.Image:
    """Samples [N, *shape] as a network makes them: a contact sheet, or a plot of points with `real` ones."""
    modality = modality_of(tuple(samples.shape[1:]))
    behind = None if real is None else modality.stored(real)
    return modality.picture(modality.stored(samples), real=behind, columns=columns)


def png(image: Image.Image, *, text: dict[str, str] | None = None) -> bytes:
    """PNG bytes; `text` goes into its text chunks."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def preview(samples: Tensor) -> str | None:
    """Samples [N, *shape] as a small contact sheet in base64, or None when it would be too large for a header."""
    data = png(picture(samples))
    return base64.b64encode(data).decode() if len(data) <= MAX_PREVIEW_BYTES else None
