"""Tables of the pages of results whose numbers follow from committed tables, or from exact mixtures themselves."""

import numpy as np
import pandas as pd
import pytest
import torch

from featdiff.diffusion.ornstein_uhlenbeck import times
from featdiff.mixture import bridge
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.splitting import centre_threshold
from featdiff.settings.mixture import Bridge, Splitting
from tests.docs.pages import DOCS, tables
from tests.docs.test_numbers import near, numbers, table

SEEDS = ("guided", "label-1-5", "label-2", "label-3", "feature-auto-2")  # rows of the table by seed
MEASURES = ("class_accuracy", "recall", "vendi", "frechet")


def shown(page: str, number: int) -> list[list[str]]:
    return tables(DOCS / f"results/{page}.md")[number]


def values(cell: str) -> list[float]:
    return [value for value, *_ in numbers(cell)]


def test_trainings_shown_one_by_one_have_the_means_and_deviations_of_their_table():
    found = table("repeats").query("part == 'quality' and `class` == 'mean of classes'").set_index(["name", "measure"])
    for name, row in zip(SEEDS, shown("guidance", 1)[1:], strict=True):
        cells = [numbers(cell) for cell in row[1:]]
        for i, measure in enumerate(MEASURES):
            three, last = [cell[i][0] for cell in cells], 10.0 ** -cells[0][i][1]
            assert np.mean(three) == pytest.approx(found.loc[(name, measure), "mean"], abs=0.5 * last), (name, measure)
            assert np.std(three, ddof=1) == pytest.approx(found.loc[(name, measure), "spread"], abs=last), (
                name,
                measure,
            )


def test_the_bounds_of_distances_by_training_are_those_of_their_table():
    rows = [[cell.strip() for cell in row] for row in shown("repeats", 1)[1:]]
    found = table("repeats").query("name == 'guided' and part == 'distances'").set_index("measure")
    by_seed = [[values(row[seed])[1] for row in rows] for seed in (1, 2, 3)]
    for bound, least in (("A", min), ("B", max)):
        three = [least(ratios) for ratios in by_seed]
        assert np.mean(three) == pytest.approx(found.loc[bound, "mean"], abs=5e-5)
        assert np.std(three, ddof=1) == pytest.approx(found.loc[bound, "spread"], abs=1e-4)
    for row in rows:
        for seed in (1, 2, 3):
            centroids, ratio = values(row[seed])
            assert ratio == pytest.approx(centroids / values(row[4])[seed - 1], rel=0.05), row


def bounds(part: pd.DataFrame) -> list[float]:
    ratio = part["centroids"] / part["density"]
    spearman, pearson = (part["density"].corr(part["centroids"], kind) for kind in ("spearman", "pearson"))
    within = [ratio.quantile(q) for q in (0.25, 0.75, 0.05, 0.95)]
    return [spearman, pearson, ratio.min(), ratio.max(), ratio.max() / ratio.min(), *within]


def test_distances_of_24_textures_are_those_of_their_table():
    found = {model: bounds(part) for model, part in table("ufoai-distances").groupby("model")}
    rows = shown("textures", 4)[1:]
    models = ("ufoai", "ufoai-seed-1", "ufoai-seed-2", "", "ufoai-60000-images", "ufoai-residual")
    for model, row in zip(models, rows, strict=True):
        if model:
            asked = numbers(" | ".join(row[1:]))
            assert all(near(n, [value]) for n, value in zip(asked, found[model], strict=True)), row
    three = np.array([found[model][:5] for model in models[:3]])
    wanted = np.stack([three.mean(0), three.std(0, ddof=1)], axis=1).ravel()
    assert all(near(n, [value]) for n, value in zip(numbers(" | ".join(rows[3][1:])), wanted, strict=True)), rows[3]


def test_exact_mixtures_have_the_closed_forms():
    entropy = 1 + np.log(2 * np.pi)  # of a normal in the plane
    assert near(numbers(shown("mixtures", 1)[1][1])[0], [entropy])
    for row in shown("mixtures", 2)[1:]:
        step = float(row[1])
        levels = times(Splitting().time, round(Splitting().time / step))
        assert near(numbers(row[2])[0], [centre_threshold(Splitting().mu, step, levels, row[0].lower())]), row
    for row in shown("mixtures", 3)[1:]:
        g = float(row[0])
        formulas = (2 ** (1 - g), (2 - 2 ** (2 - 2 * g)) / (2 * g - 1), 2 / (g + 1))
        assert all(near(numbers(cell)[-1], [value]) for cell, value in zip(row[1:], formulas, strict=True)), row


def test_samples_of_neighbouring_papers_are_those_of_their_table():
    found = table("mixture-neighbours").set_index(["study", "method", "measure", "strength"])["value"]
    for row in shown("mixtures", 3)[1:]:
        for cell, method in zip(row[1:3], ("ddim", "ddpm"), strict=True):
            assert near(numbers(cell)[0], [found["two gaussians", method, "variance", float(row[0])]]), row
    strengths, *rows = shown("mixtures", 4)
    for row, measure in zip(rows, ("mean", "inside support"), strict=True):
        for cell, eta in zip(row[1:], strengths[1:], strict=True):
            assert near(numbers(cell)[0], [found["two intervals", "ddim", measure, float(eta)]]), row


def test_not_knowing_the_class_costs_the_exact_denoiser_what_the_page_says():
    settings = Bridge()
    law = bridge.image_mixture(settings)
    exact, classes = MixtureDenoiser(law), range(len(settings.weights))
    row = next(row for row in shown("mixtures", 7) if row[0].startswith("exact denoiser"))
    for sigma, cell in zip(settings.sigmas, row[1:], strict=True):
        errors = []
        for y in classes:
            clean, noisy = bridge._test_points(law, y, sigma, settings)
            t = torch.full((len(noisy),), sigma, dtype=torch.float64)
            told, untold = exact(noisy, t, torch.full((len(noisy),), y)), exact(noisy, t)
            errors.append([(untold - told).square().mean(), (told - clean).square().mean()])
        added, own = torch.tensor(errors).sum(0).tolist()
        (_, digits, text), *_ = numbers(cell.rstrip("%"))
        assert abs(float(text) - 100 * added / own) <= 0.51 * 10**-digits, (sigma, added / own)


def test_guidance_on_exact_mixtures_has_the_numbers_of_its_tables():
    found = table("mixture-guidance").query("case == 'triangle'").set_index(["sampler", "eta"])
    for number, columns in ((0, ("confidence",)), (1, ("entropy_knn", "entropy"))):
        etas, *rows = shown("mixtures", number)
        for row in rows:
            sampler = row[0][:4].lower()
            column = columns["exact" in row[0]] if number else columns[0]
            for eta, cell in zip(map(float, etas[1:]), row[1:], strict=True):
                if row[0].startswith("share"):
                    both = found.loc[[("ddim", eta), ("ddpm", eta)], "gaining"]
                    assert all((both == share).all() for share in values(cell)), eta
                    continue
                value, *error = numbers(cell)
                assert near(value, [found.loc[(sampler, eta), column]]), (row[0], eta)
                assert all(near(n, [found.loc[(sampler, eta), f"{column}_error"]]) for n in error), (row[0], eta)
    thresholds = table("mixture-thresholds").set_index(["sampler", "step"])
    for sampler, step, repels, splits in shown("mixtures", 2)[1:]:
        own = thresholds.loc[(sampler.lower(), float(step))]
        assert near(numbers(repels)[0], [own["centre_repels"]]) and near(numbers(splits)[0], [own["splits"]]), sampler


METHODS = {
    "exact draws": "exact",
    "no guidance": "none",
    "classifier-free": "classifier-free",
    "classifier-free, limited interval": "classifier-free, limited",
    "autoguidance": "autoguidance",
}
SAMPLERS = {"DDIM": "ddim", "Heun": "heun", "DPM-Solver++(2M)": "dpm++2m", "Euler, Ornstein-Uhlenbeck ODE": "euler ode"}


def test_outliers_and_orders_of_convergence_are_those_of_their_tables():
    plane = table("mixture-neighbours").query("study == 'plane'").set_index(["method", "measure"])["value"]
    for name, outliers, lost, distance in shown("mixtures", 5)[1:]:
        own = plane[METHODS[name]]
        assert near(numbers(outliers.rstrip("%"))[0], [100 * own["outliers"]]), name
        assert near(numbers(lost)[0], [own["lost modes"]]), name
        assert near(numbers(distance)[0], [own["distance of mode shares"]]), name
    orders = table("mixture-orders").set_index(["sampler", "dim"])["order"]
    for row in shown("mixtures", 6)[1:]:
        for dim, cell in zip((2, 20), row[1:], strict=True):
            assert near(numbers(cell)[0], [orders[SAMPLERS[row[0]], dim]]), row


DENOISERS = {
    "guided network, told the class": ("guided, right class", "conditional"),
    "exact denoiser that does not know the class": ("exact, class unknown", "conditional"),
    "unguided network": ("unguided", "unconditional"),
    "guided network, told nothing": ("guided, no class", "unconditional"),
}


def test_a_network_held_against_the_truth_has_the_numbers_of_its_tables():
    found = table("mixture-denoising").set_index(["denoiser", "truth", "sigma"])["share"]
    sigmas, *rows = shown("mixtures", 7)
    for row in rows:
        for sigma, cell in zip(map(float, sigmas[1:]), row[1:], strict=True):
            assert near(numbers(cell.rstrip("%"))[0], [100 * found[(*DENOISERS[row[0]], sigma)]]), (row[0], sigma)
    parts = table("mixture-components").query("group != 'all'")
    for name, gap, *cells, outside in shown("mixtures", 8)[1:]:
        own, column = parts[parts["sampler"] == name.split(",")[0].lower()], "value"
        own = own[own["denoiser"] == name.rpartition(", ")[2]]
        if name.startswith("exact draws"):
            own, column = parts[parts["denoiser"] == "network"], "exact"
        inside = own[own["component"] != "none"]
        weights = inside[inside["measure"] == "weight"]
        away = weights["spread"] if column == "exact" else (weights["value"] - weights["exact"]).abs()
        assert near(numbers(gap)[0], [away.max()]), name
        for cell, measure in zip(cells, ("mean", "variance", "covariance"), strict=True):
            assert near(numbers(cell)[0], [inside[inside["measure"] == measure][column].mean()]), (name, measure)
        assert near(numbers(outside.rstrip("%"))[0], [100 * own[own["component"] == "none"][column].mean()]), name
