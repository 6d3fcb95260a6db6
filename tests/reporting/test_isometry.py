"""The report's figure of centroids' distances against densities': who judges."""

import pandas as pd

from featdiff.reporting import isometry


def test_a_model_without_measured_distances_judges_nothing():
    pairs = [("a", "b", 4.0, 1.0), ("a", "c", 9.0, 2.0), ("b", "c", 2.0, 0.6)]
    columns = ["model", "first", "second", "density", "error", "centroids"]
    told = pd.DataFrame([("guided", a, b, d, 0.1, c) for a, b, d, c in pairs], columns=columns)
    label = told.assign(model="label", centroids=float("nan"))
    for judges, panels in (([], 1), (["soft-label"], 1), (["label", "soft-label"], 2)):
        figure = isometry.isometry(pd.concat([told, label]), "guided", judges)
        assert figure is not None and len(figure.panels) == panels
