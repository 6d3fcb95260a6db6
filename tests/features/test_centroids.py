"""Centroids against direct averages; the look-up against its formula."""

import numpy as np
import pytest
import torch

from featdiff import artifacts
from featdiff.data import archive
from featdiff.devices.devices import to_images
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.models import checkpoint
from featdiff.settings.centroids import Centroids

SETTINGS = Centroids(sigma_min=0.05, sigma_max=2.0, levels=4, images_per_class=20, draws=3, batch=7)


@pytest.fixture(scope="session")
def tiny_centroids(tiny_dataset, tiny_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("centroids") / "centroids.npz"
    centroids.extract(SETTINGS, tiny_dataset, tiny_checkpoint, path)
    return path


def table() -> CentroidTable:
    values = torch.tensor([[[0.0], [1.0], [5.0]], [[10.0], [20.0], [30.0]]])
    return CentroidTable(values, torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64), ("a", "b"), "")


def test_the_look_up_is_linear_in_log_sigma_and_constant_beyond_the_grid():
    t = torch.tensor([0.1, 10**-0.5, 10.0, 10**0.25, 0.001, 99.0])
    labels = torch.tensor([0, 0, 0, 1, 1, 0])
    assert table().at(t, labels).flatten().tolist() == pytest.approx([0, 0.5, 5, 22.5, 10, 5], abs=1e-5)


def test_extrapolation_moves_centroids_away_from_their_mean_over_classes():
    t, labels = torch.tensor([0.1, 0.1]), torch.tensor([0, 1])
    assert table().extrapolated(1.0).at(t, labels).flatten().tolist() == pytest.approx([0, 10])
    assert table().extrapolated(2.0).at(t, labels).flatten().tolist() == pytest.approx([-5, 15])
    assert table().extrapolated(0.0).at(t, labels).flatten().tolist() == pytest.approx([5, 5])


def test_a_centroid_is_the_mean_feature_over_images_and_noise_draws(tiny_dataset, tiny_checkpoint, tiny_centroids):
    """Against a plain average with fresh noise: equal within four standard errors of the two."""
    denoiser = checkpoint.read(tiny_checkpoint).denoiser
    known = centroids.read(tiny_centroids)
    images = archive.read(tiny_dataset, "dataset").select(split="train")
    for label in (0, 1):
        x = to_images(images.select(label=label).images).repeat(4, 1, 1, 1)
        for level, sigma in enumerate(known.sigmas.tolist()):
            phi = denoiser.features(x + sigma * torch.randn(x.shape), torch.full((len(x),), sigma)).double()
            error = phi.std(0) * (1 / 20 + 1 / 60) ** 0.5
            assert ((phi.mean(0) - known.values[label, level]).abs() < 4 * error + 1e-3).all()


def test_the_same_settings_give_the_same_bytes(tiny_dataset, tiny_checkpoint, tiny_centroids, tmp_path):
    centroids.extract(SETTINGS, tiny_dataset, tiny_checkpoint, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == tiny_centroids.read_bytes()


def test_numpy_reads_the_file_without_pickle(tiny_centroids):
    with np.load(tiny_centroids, allow_pickle=False) as arrays:
        assert arrays["centroids"].shape[:2] == (2, 4)
        assert arrays["classes"].tolist() == ["flat", "stripes"]


def test_centroids_of_another_checkpoint_are_refused(tiny_dataset, tiny_centroids):
    with pytest.raises(UserError, match="another checkpoint"):
        centroids.read_for(tiny_centroids, tiny_dataset)


def test_classes_other_than_the_checkpoints_are_refused():
    with pytest.raises(UserError, match=r"\['cat'\] are not those of the checkpoint, \['dog'\]"):
        centroids.require_classes("data.zip", ("cat",), ("dog",))


def test_a_damaged_table_is_refused(tiny_centroids, tmp_path):
    data = bytearray(tiny_centroids.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.npz").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        centroids.read(tmp_path / "bad.npz")
    with pytest.raises(UserError, match="a dataset artifact was expected"):
        artifacts.read_zip(tiny_centroids, "dataset")


def test_a_model_of_clean_partners_has_one_level_that_holds_at_every_noise_level(tiny_dataset, tiny_spec, tmp_path):
    from featdiff.training.loop import train

    training = tiny_spec.training.model_copy(update={"partner_noise": "clean", "images": 64})
    spec = tiny_spec.model_copy(update={"training": training})
    train(spec, tiny_dataset, tmp_path / "model.safetensors", state=tmp_path / "state")
    centroids.extract(SETTINGS, tiny_dataset, tmp_path / "model.safetensors", tmp_path / "centroids.npz")
    known = centroids.read(tmp_path / "centroids.npz")
    assert known.values.shape[:2] == (2, 1)
    looked_up = known.at(torch.tensor([0.01, 0.3, 5.0]), torch.tensor([1, 1, 1]))
    assert torch.equal(looked_up, known.values[1, 0].expand(3, -1))
