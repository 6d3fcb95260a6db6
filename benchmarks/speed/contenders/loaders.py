"""A peer's data set through torch's DataLoader, as its training script does it: one run is an epoch."""

from typing import Any

from torch.utils.data import DataLoader, Dataset
from worker import Work


def epochs(dataset: Dataset[Any], settings: dict[str, Any]) -> Work:
    """Epochs of a loader whose workers stay; they are waited for at its end alone, so count by the clock."""
    workers = settings["workers"]
    loader = DataLoader(
        dataset,
        batch_size=settings["batch"],
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def run() -> None:
        for _ in loader:
            pass

    return Work(run, len(loader) * settings["batch"])
