"""PSNR against scikit-image, rows against settings."""

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from featdiff import artifacts
from featdiff.features import centroids, denoising
from featdiff.settings.centroids import Centroids, Denoising


def test_psnr_is_scikit_images():
    g = torch.Generator().manual_seed(0)
    clean, estimate = torch.rand(5, 1, 8, 8, generator=g), torch.rand(5, 1, 8, 8, generator=g)
    expected = [
        peak_signal_noise_ratio(a, b, data_range=1.0)
        for a, b in zip(clean.double().numpy(), estimate.double().numpy(), strict=True)
    ]
    assert denoising.psnr(estimate, clean).tolist() == pytest.approx(expected, rel=1e-6)


def test_rows_cover_targets_classes_and_levels(tiny_dataset, tiny_checkpoint, tmp_path):
    settings = Denoising(sigmas=(0.1, 0.5), images_per_class=8)
    table = tmp_path / "centroids.npz"
    centroids.extract(Centroids(levels=3, images_per_class=8, draws=1), tiny_dataset, tiny_checkpoint, table)
    denoising.measure(settings, tiny_dataset, tiny_checkpoint, table, tmp_path / "out.json", name="tiny")
    payload, made = artifacts.read_json(tmp_path / "out.json", "denoising")
    keys = {(r["target"], r["class"], r["sigma"]) for r in payload["rows"]}
    assert keys == {(t, c, s) for t in ("right", "wrong", "none") for c in ("flat", "stripes") for s in (0.1, 0.5)}
    blocks = {(r["network"], r["block"], r["sigma"]) for r in payload["scatter"]}
    names = ("encoder0", "middle", "decoder0")
    assert blocks == {(n, b, s) for n in ("trained", "untrained") for b in names for s in (0.001, 0.1, 0.5)}
    assert made.settings["name"] == "tiny" and set(made.inputs) == {"dataset", "checkpoint", "centroids"}
    denoising.measure(settings, tiny_dataset, tiny_checkpoint, None, tmp_path / "plain.json", name="plain")
    plain, _ = artifacts.read_json(tmp_path / "plain.json", "denoising")
    none = [r["psnr"] for r in payload["rows"] if r["target"] == "none"]
    assert [r["psnr"] for r in plain["rows"]] == none
