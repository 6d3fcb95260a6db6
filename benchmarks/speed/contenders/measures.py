"""Peers of the evaluation: clean-fid's statistics, prdc, vendi-score, from features that both sides are given."""

from typing import Any

import numpy as np
from worker import Work

from contenders import common


def frechet(settings: dict[str, Any]) -> Work:
    """clean-fid: mean and covariance as ``fid_from_feats`` takes them, and its ``frechet_distance``."""
    from cleanfid.fid import fid_from_feats

    real, generated = common.features(settings)
    return _value(lambda: fid_from_feats(real, generated), settings)


def kernel(settings: dict[str, Any]) -> Work:
    from cleanfid.fid import kernel_distance

    real, generated = common.features(settings)
    np.random.seed(0)  # noqa: NPY002
    return _value(
        lambda: kernel_distance(
            real, generated, num_subsets=settings["subsets"], max_subset_size=settings["subset_size"]
        ),
        settings,
    )


def manifold(settings: dict[str, Any]) -> Work:
    from prdc import compute_prdc

    real, generated = common.features(settings)
    return _value(lambda: compute_prdc(real, generated, nearest_k=5), settings)


def vendi(settings: dict[str, Any]) -> Work:
    """The smaller of its two forms: images by images, or features by features."""
    from vendi_score.vendi import score_dual, score_X

    _, generated = common.features(settings)
    score = score_X if len(generated) <= generated.shape[1] else score_dual
    return _value(lambda: score(generated), settings)


def _value(compute: Any, settings: dict[str, Any]) -> Work:
    """Its value goes into the table of what was measured, so that a number can be seen to be the same."""
    work = Work(lambda: None, settings["count"])

    def run() -> None:
        value = compute()
        value = value if isinstance(value, dict) else {"value": value}
        work.about |= {name: float(v) for name, v in value.items()}

    work.run = run
    return work
