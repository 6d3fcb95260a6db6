"""The gradient of a batch that the device can't hold at once: from parts of it, added up."""

from contextlib import nullcontext

from accelerate import Accelerator
from torch import Tensor, nn

from featdiff.training.batches import Batch


def backward(objective: nn.Module, batch: Batch, accelerator: Accelerator, *, size: int | None) -> Tensor:
    """Add the gradient of ``objective`` on a batch to the parameters' gradients; returns the loss of the batch, a
    scalar.

    With ``size`` the batch is gone through in parts of so many images. Losses are means over images and groups stay
    whole, so loss and gradient are those of the whole batch, to rounding. Several processes agree after their last
    parts alone.
    """
    x, t, z, *drawn = batch
    if size is None or size >= len(x):
        loss = objective(*batch)
        accelerator.backward(loss)
        return loss.detach()
    total = x.new_zeros(())
    for first in range(0, len(x), size):
        part = slice(first, first + size)
        with nullcontext() if first + size >= len(x) else accelerator.no_sync(objective):
            loss = objective(x[part], t[part], z[:, part], *(d if d is None else d[part] for d in drawn))
            loss = loss * (len(x[part]) / len(x))
            accelerator.backward(loss)
        total += loss.detach()
    return total
