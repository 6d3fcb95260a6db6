"""Mean and covariance of features in a file of the form that clean-fid and EDM share: ``mu`` (D,) and ``sigma``
(D, D) in an npz.

Ours say how the features were made, too, and from how many images. Of others that is not known: statistics of another
resize than the images' are another distance, and no number tells.
"""

import zipfile
from pathlib import Path

import numpy as np

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation.frechet import Moments, moments

UNKNOWN = "made by another program, its resize unknown"


class Statistics(Moments):
    """Moments that were read: a mean (D,), a covariance (D, D), and the words for how they were made."""

    def __init__(self, mean: np.ndarray, covariance: np.ndarray, protocol: str = UNKNOWN):
        super().__init__(0)
        self.mean, self.protocol, self._covariance = mean, protocol, covariance

    @property
    def covariance(self) -> np.ndarray:
        """The covariance (D, D) that stood in the file."""
        return self._covariance


def write(path: Path, features: np.ndarray, protocol: str) -> None:
    """Write the statistics of features (N, D)."""
    found = moments(features)
    made = artifacts.manifest("statistics", {"protocol": protocol, "images": found.count}, by=write)
    artifacts.write_arrays(path, {"mu": found.mean, "sigma": found.covariance}, made)


def are_in(path: Path) -> bool:
    """Whether a file is an npz with statistics."""
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as packed:
        return {"mu.npy", "sigma.npy"} <= set(packed.namelist())


def read(path: Path) -> Statistics:
    """Read statistics, ours or another program's; never unpickles."""
    with zipfile.ZipFile(path) as packed:
        ours = artifacts.MANIFEST in packed.namelist()
    if ours:
        arrays, made = artifacts.read_arrays(path, "statistics")
        words = f"{made.settings['protocol']}, {made.settings['images']} images"
        return Statistics(arrays["mu"], arrays["sigma"], words)
    try:
        with np.load(path, allow_pickle=False) as held:
            mean, covariance = held["mu"].astype(np.float64), held["sigma"].astype(np.float64)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: its statistics can't be read ({error})") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not np.isfinite(covariance).all():
        raise UserError(f"{path}: mu {mean.shape} and sigma {covariance.shape} are no mean (D,) and covariance (D, D)")
    return Statistics(mean, covariance)
