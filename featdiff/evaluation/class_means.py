"""Means over the classes of one set of images, with their errors: what tables and figures over classes are made of."""

import numpy as np
import pandas as pd

from featdiff.evaluation.protocol import ALL

SHARE = "class_accuracy"


def class_means(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a measure (index), columns ``value`` and ``spread``, from rows with columns class, measure, value,
    spread, count.

    The value is the mean over the classes, each with the same weight; the spread is the standard deviation of that mean
    if the classes' errors are independent, ``sqrt(sum spread^2) / classes``. Class accuracy is a share of ``count``
    images and has no spread of its own; its binomial standard error stands in. NaN where a class has no spread.
    """
    own = rows[rows["class"] != ALL]
    value, spread = own["value"].astype(float), own["spread"].astype(float)
    shares = spread.isna() & (own["measure"] == SHARE)
    share = value[shares].clip(0, 1)
    spread[shares] = np.sqrt(share * (1 - share) / own.loc[shares, "count"].astype(float))
    rows = pd.DataFrame({"measure": own["measure"], "value": value, "square": spread**2})
    groups = rows.groupby("measure", sort=False)
    error = groups["square"].agg(lambda squares: squares.sum(skipna=False)) ** 0.5 / groups.size()
    return pd.DataFrame({"value": groups["value"].mean(), "spread": error})
