"""At a share of 0 or 1 the images are those of feature guidance to the class, bit for bit; elsewhere of the centroids'
mean."""

import numpy as np
import pytest
import torch

from featdiff.data import archive
from featdiff.devices.devices import to_pixels
from featdiff.diffusion import guidance
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.models.guided import Model, Source
from featdiff.sampling import between, shards
from featdiff.sampling.shards import Draw
from featdiff.settings.centroids import Centroids
from featdiff.settings.sampling import Between, BetweenSpec, Sampling

CPU = torch.device("cpu")
ROW = {
    "model": "tiny",
    "guidance": {"kind": "feature", "strength": 1.5},
    "sampler": {"kind": "ddpm", "steps": 5},
    "images": 6,
    "sigma_start": 2.0,
    "sigma_end": 0.05,
    "batch": 4,
    "seed": 3,
}


def spec(**changes):
    line = {"sampling": "s", "first": "stripes", "second": "flat", "shares": [-0.5, 0, 0.5, 1], "images": 6}
    return BetweenSpec(between=Between.model_validate({**line, **changes}), sampling=Sampling.model_validate(ROW))


@pytest.fixture(scope="module")
def source(tiny_dataset, tiny_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("centroids") / "centroids.npz"
    centroids.extract(Centroids(levels=5, images_per_class=64, draws=1), tiny_dataset, tiny_checkpoint, path)
    return Source(tiny_checkpoint, path)


@pytest.fixture(scope="module")
def line(source):
    return between.draw(spec(), source)


def test_at_the_first_class_the_images_are_those_of_the_sampling(line, source, tmp_path):
    row = Sampling.model_validate(ROW)
    shards.sample_shard(row, source.checkpoint, source.centroids, 0, tmp_path / "s.zip")
    expected = archive.read(tmp_path / "s.zip", "shard")
    stripes = expected.images[expected.index["class"] == "stripes"]
    assert np.array_equal(line[1], stripes)


@pytest.mark.parametrize(("place", "share"), [(0, -0.5), (2, 0.5), (3, 1.0)])
def test_each_share_is_guided_by_the_mean_of_the_centroids_from_the_same_noise(line, source, place, share):
    model = Model(source, CPU)
    flat, stripes = model.table.extrapolated(1.5).values[:, :]  # classes in the order of their labels
    values = stripes if share == 0 else flat if share == 1 else (1 - share) * stripes + share * flat
    table = centroids.CentroidTable(values[None], model.table.sigmas, ("between",), "")
    denoiser = guidance.feature(model.counted, lambda t, labels: table.at(t, torch.zeros_like(labels)))
    row = Sampling.model_validate(ROW)
    parts = [[Draw(1, n) for n in range(4)], [Draw(1, n) for n in range(4, 6)]]  # noise of "stripes"
    expected = np.concatenate([to_pixels(shards.draw_batch(row, denoiser, b, model.trained, CPU)) for b in parts])
    if share == 1:
        assert np.array_equal(line[place], expected)
    else:  # the mean is taken in another order of operations
        assert np.abs(line[place].astype(int) - expected.astype(int)).max() <= 1
    assert not np.array_equal(line[place], line[1])


def test_the_archive_says_which_image_lies_at_which_share(line, source, tmp_path):
    between.write(spec(), source, tmp_path / "images.zip")
    made = archive.read(tmp_path / "images.zip", "between")
    assert np.array_equal(made.images[made.index["share"] == 0.5], line[2])
    assert made.index["index"].tolist() == [0, 1, 2, 3, 4, 5] * 4
    assert BetweenSpec.model_validate(made.made.settings) == spec()


def test_a_class_without_a_centroid_is_one_clear_error(source):
    with pytest.raises(UserError, match=r"there is no class 'sand' to go between; classes: flat, stripes"):
        between.draw(spec(second="sand"), source)
    with pytest.raises(UserError, match="need the centroids"):
        between.draw(spec(), Source(source.checkpoint))
