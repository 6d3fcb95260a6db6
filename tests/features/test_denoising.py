"""PSNR against scikit-image, scatter against its definition and closed forms, rows against settings."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from featdiff import artifacts
from featdiff.features import centroids, denoising
from featdiff.params import Centroids, Denoising


def test_psnr_is_scikit_images():
    g = torch.Generator().manual_seed(0)
    clean, estimate = torch.rand(5, 1, 8, 8, generator=g), torch.rand(5, 1, 8, 8, generator=g)
    expected = [
        peak_signal_noise_ratio(a, b, data_range=1.0)
        for a, b in zip(clean.double().numpy(), estimate.double().numpy(), strict=True)
    ]
    assert denoising.psnr(estimate, clean).tolist() == pytest.approx(expected, rel=1e-6)


def test_scatter_of_gaussian_classes_is_the_closed_form():
    """Means +-2 in the first of 3 dimensions, unit covariance: between 4, within 3."""
    g = torch.Generator().manual_seed(0)
    shift = torch.tensor([2.0, 0, 0], dtype=torch.float64)
    classes = [torch.randn(100_000, 3, generator=g, dtype=torch.float64) + s * shift for s in (1, -1)]
    between, within = denoising.scatter(classes)
    assert between == pytest.approx(4, rel=0.01) and within == pytest.approx(3, rel=0.01)


def test_between_and_within_scatter_add_up_to_the_total_variance():
    rng = np.random.default_rng(0)
    classes = [torch.from_numpy(rng.normal(rng.normal(0, 3, 4), 1, (50, 4))) for _ in range(5)]
    total = torch.cat(classes).var(0, correction=0).sum().item()
    assert sum(denoising.scatter(classes)) == pytest.approx(total)


def test_models_are_compared_under_the_same_noise():
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(denoising.noised(images, 0.1, 0, 1), denoising.noised(images, 0.1, 0, 1))
    assert not torch.equal(denoising.noised(images, 0.1, 0, 1), denoising.noised(images, 0.1, 0, 2))


def test_rows_cover_targets_classes_and_levels(tiny_dataset, tiny_checkpoint, tmp_path):
    settings = Denoising(sigmas=(0.1, 0.5), images_per_class=8)
    table = tmp_path / "centroids.npz"
    centroids.extract(Centroids(levels=3, images_per_class=8, draws=1), tiny_dataset, tiny_checkpoint, table)
    denoising.measure(settings, tiny_dataset, tiny_checkpoint, table, tmp_path / "out.json", name="tiny")
    payload, made = artifacts.read_json(tmp_path / "out.json", "denoising")
    keys = {(r["target"], r["class"], r["sigma"]) for r in payload["rows"]}
    assert keys == {(t, c, s) for t in ("right", "wrong", "none") for c in ("flat", "stripes") for s in (0.1, 0.5)}
    blocks = {(r["block"], r["sigma"]) for r in payload["scatter"]}
    assert blocks == {(b, s) for b in ("encoder0", "middle", "decoder0") for s in (0.001, 0.1, 0.5)}
    assert made.settings["name"] == "tiny" and set(made.inputs) == {"dataset", "checkpoint", "centroids"}
    denoising.measure(settings, tiny_dataset, tiny_checkpoint, None, tmp_path / "plain.json", name="plain")
    plain, _ = artifacts.read_json(tmp_path / "plain.json", "denoising")
    none = [r["psnr"] for r in payload["rows"] if r["target"] == "none"]
    assert [r["psnr"] for r in plain["rows"]] == none
