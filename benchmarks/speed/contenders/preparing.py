"""Preparing a data set as one would with torchvision: each image read, resized, cropped, written as PNG."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

from torchvision import transforms
from torchvision.datasets import ImageFolder
from worker import Work


def preparing(settings: dict[str, Any]) -> Work:
    size, fresh = settings["size"], itertools.count()
    steps = [
        transforms.Resize(size, interpolation=transforms.InterpolationMode.LANCZOS),
        transforms.CenterCrop(size),
    ]
    source = ImageFolder(settings["folder"], transform=transforms.Compose(steps))
    out = tempfile.TemporaryDirectory()

    def run() -> None:
        folder = Path(out.name) / str(next(fresh))
        for name in source.classes:
            (folder / name).mkdir(parents=True)
        for i, (image, label) in enumerate(source):
            image.save(folder / source.classes[label] / f"{i:06d}.png")

    return Work(run, len(source))
