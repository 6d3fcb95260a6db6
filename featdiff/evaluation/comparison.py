"""When one number may be called better than another: the one rule of the report's verdicts.

A distance below its floor is taken for its floor, because nothing can be told there; and a difference must be larger
than the 95% interval of the difference, the two sets' intervals added as independent ones. Without intervals nothing is
called better.
"""

from typing import NamedTuple

import numpy as np


class Measured(NamedTuple):
    """A measure of which less is better: its value, half of its 95% interval, and what real images reach at the same
    count (0: no floor is known)."""

    value: float
    interval: float
    floor: float = 0.0


def is_lower(first: Measured, second: Measured, *, share: float = 1.0) -> bool | None:
    """Whether the first is at most ``share`` of the second; None where that cannot be told."""
    difference = share * max(second.value, second.floor) - max(first.value, first.floor)
    error = np.hypot(first.interval, share * second.interval)
    if not abs(difference) > error:  # neither where an interval is missing
        return None
    return bool(difference > 0)
