"""Groups of different images of one class, for training the projected score (arXiv 2410.11646).

Who is in a group is a function of random words and of the labels alone, so a batch is one gather, whatever the number
of classes.
"""

import torch
from torch import Tensor

from featdiff import philox
from featdiff.errors import UserError


class Groups:
    """Chooses groups: the class uniformly, then ``size`` different images of it (2 is the paper's pair).

    ``labels`` (N,) are integers from 0 on the CPU; ``device`` is where the choice is made. Raises :class:`UserError`
    when there are no images or a class has fewer than ``size``.
    """

    def __init__(self, labels: Tensor, *, size: int, device: torch.device | None = None):
        classes, counts = torch.unique(labels, return_counts=True)
        if not len(classes) or classes[0] < 0:
            raise UserError("there are no labelled training images to draw groups of a class from")
        if counts.min() < size:
            label = int(classes[counts.argmin()])
            raise UserError(
                f"the class with label {label} has {int(counts.min())} training image(s), fewer than the {size} of a "
                "group: add images or lower 'partners'"
            )
        order = torch.argsort(labels, stable=True)  # images by class
        tables = (labels, counts, order, counts.cumsum(0) - counts)
        self.labels, self.counts, self.order, self.starts = (table.to(device) for table in tables)

    def choose(self, classes: Tensor, members: Tensor) -> Tensor:
        """Which images the groups are made of, one group after the other: (G * size,) rows.

        ``classes`` (G,) and ``members`` (G, size) are random 32-bit words.
        """
        chosen = philox.below(classes, len(self.counts))
        within = distinct(members.T, self.counts[chosen])  # (size, G)
        return self.order[self.starts[chosen] + within].T.flatten()


def distinct(drawn: Tensor, counts: Tensor) -> Tensor:
    """From random words (k, n), k different integers below ``counts`` (n,) in each column, all equally likely.

    The i-th word picks one of the ``counts - i`` integers that are left; stepping over the earlier ones in increasing
    order tells which.
    """
    found: list[Tensor] = []
    for i, word in enumerate(drawn):
        value = philox.below(word, counts - i)
        for earlier in torch.stack(found).sort(0).values if found else ():
            value = value + (value >= earlier).long()
        found.append(value)
    return torch.stack(found)
