"""A held-out judge of classes: logistic regression on features of real training images."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from featdiff.errors import UserError
from featdiff.evaluation.distances import tiles

REGULARISATION = 0.01  # C of scikit-learn, on standardised features: there are more features than images
ITERATIONS = 1000


@dataclass(frozen=True)
class Classifier:
    """A fitted judge; it has seen real training images only."""

    pipeline: Pipeline

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Labels (N,) int64 of features (N, D)."""
        return np.concatenate([self.pipeline.predict(part) for _, part in tiles(features)]).astype(np.int64)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) of features (N, D), in the order of the labels."""
        return np.concatenate([self.pipeline.predict_proba(part) for _, part in tiles(features)])


def fit(features: np.ndarray, labels: np.ndarray) -> Classifier:
    """Fit the judge on features (N, D) and labels (N,) of real training images; deterministic."""
    if len(np.unique(labels)) < 2:
        raise UserError("the class judge needs two classes at least in the data set")
    model = LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS)
    pipeline = make_pipeline(StandardScaler(), model)
    return Classifier(pipeline.fit(features.astype(np.float64), labels))
