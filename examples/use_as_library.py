"""Train for a few seconds and draw from the result, all from Python."""

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import gankit

with TemporaryDirectory() as folder:
    result = gankit.train("lsgan", images=2_000, device="cpu", out=Path(folder) / "run")
    generator = gankit.load(result.generator)
    images = generator.sample(16, seed=0)  # uint8 [16, 28, 28, 1]
    Image.fromarray(images[0, :, :, 0]).save(Path(folder) / "one.png")
    print(f"{result.images_seen:,} images seen; drew {images.shape} {images.dtype}")
