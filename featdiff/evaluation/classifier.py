"""A held-out judge of classes on features of real training images: logistic regression or, of more than ``MANY``
classes, linear discriminants.

Each step of the regression costs images times classes, hundreds of steps are needed, and the images grow with the
classes. The discriminants (class means, and one covariance that all classes share, shrunk towards equal variances) come
of one pass over the images: twice the classes take twice the time.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from featdiff.errors import UserError
from featdiff.evaluation.distances import tiles

REGULARISATION = 0.01  # C of scikit-learn, on standardised features: there are more features than images
ITERATIONS = 1000
MANY = 100
SHRINKAGE = 0.3  # share of equal variances without covariance: a class may have fewer images than there are features


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
    if len(np.unique(labels)) > MANY:
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    else:
        model = LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS)
    pipeline = make_pipeline(StandardScaler(), model)
    return Classifier(pipeline.fit(features.astype(np.float64), labels))


def described(classes: int, images: int) -> str:
    """The judge of so many classes in the protocol's words; it has seen at most ``images`` training images of each."""
    judge = "linear discriminants" if classes > MANY else "logistic regression"
    return f"{judge} on at most {images} training images a class"
