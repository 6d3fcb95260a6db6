"""Shrunk centroids against plain means, where classes and images are drawn from known normal laws."""

import pytest
import torch

from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.features.shrinkage import between, towards_known
from featdiff.settings.centroids import Centroids

COLUMNS = 4000


def known_classes(classes, apart, within=1.0, images=400, seed=0):
    """A table of classes whose true centroids are N(3, apart), each a mean over so many images; and new classes."""
    g = torch.Generator().manual_seed(seed)
    true = 3 + apart**0.5 * torch.randn(classes, 1, COLUMNS, generator=g, dtype=torch.float64)
    means = true + (within / images) ** 0.5 * torch.randn(true.shape, generator=g, dtype=torch.float64)
    spread = torch.full((1, COLUMNS), within, dtype=torch.float64)
    names = tuple(map(str, range(classes)))
    return CentroidTable(means, torch.ones(1), names, "", within=spread, counts=torch.full((classes,), images))


def errors(table, apart, images, within=1.0, draws=40):
    """Mean squared errors of new classes' centroids: plain and shrunk."""
    g = torch.Generator().manual_seed(images)
    plain, shrunk = [], []
    for _ in range(draws):
        true = 3 + apart**0.5 * torch.randn(1, COLUMNS, generator=g, dtype=torch.float64)
        mean = true + (within / images) ** 0.5 * torch.randn(1, COLUMNS, generator=g, dtype=torch.float64)
        plain.append((mean - true).square().mean())
        shrunk.append((towards_known(mean, images, table) - true).square().mean())
    return torch.stack(plain).mean().item(), torch.stack(shrunk).mean().item()


@pytest.mark.parametrize("classes", [6, 10, 24])
@pytest.mark.parametrize("apart", [0.05, 0.5, 5.0, 50.0])
def test_shrunk_centroids_are_never_further_off_than_plain_means(classes, apart):
    table = known_classes(classes, apart)
    for images in (1, 4, 16, 64):
        plain, shrunk = errors(table, apart, images)
        assert shrunk <= plain * 1.003


def test_from_one_image_a_shrunk_centroid_is_clearly_nearer_and_from_many_the_same():
    """With as much spread within a class as between classes half the error of one image goes: b / (b + w)."""
    table = known_classes(146, 1.0)
    plain, shrunk = errors(table, 1.0, 1)
    assert shrunk / plain == pytest.approx(0.5, abs=0.03)
    plain, shrunk = errors(table, 1.0, 400)
    assert shrunk / plain == pytest.approx(1, abs=0.01)


def test_the_variance_between_classes_leaves_out_what_few_images_add_to_it():
    found = between(known_classes(30, 0.5, images=2)).mean().item()
    assert found == pytest.approx(0.5 * (1 + 1 / 30) * 29 / 25, rel=0.05)  # the centroids' own variance is twice that


def test_columns_that_tell_no_class_apart_become_the_known_mean_and_dead_ones_stay():
    table = known_classes(10, 0.0, within=0.0)
    mean = torch.full((1, COLUMNS), 3.0, dtype=torch.float64)
    assert torch.equal(towards_known(mean, 1, table), mean)
    flat = known_classes(200, 0.0, images=10_000)
    far = mean + 5
    assert (towards_known(far, 1, flat) - 3).abs().mean() < 0.1


def test_few_known_classes_and_tables_without_their_spread_are_refused():
    with pytest.raises(UserError, match="5 known classes are too few"):
        between(known_classes(5, 1.0))
    table = known_classes(8, 1.0)
    old = CentroidTable(table.values, table.sigmas, table.classes, "")
    with pytest.raises(UserError, match="make them again"):
        between(old)


def test_a_table_tells_the_spread_of_images_within_a_class(tiny_dataset, tiny_checkpoint, tmp_path):
    """Against the features of the same images, one by one, without noise to speak of."""
    from featdiff.data import archive
    from featdiff.devices.devices import to_images
    from featdiff.models import checkpoint

    settings = Centroids(sigma_min=1e-4, sigma_max=1.0, levels=2, images_per_class=1000, draws=1, batch=7)
    centroids.extract(settings, tiny_dataset, tiny_checkpoint, tmp_path / "c.npz")
    table = centroids.read(tmp_path / "c.npz")
    denoiser, spread = checkpoint.read(tiny_checkpoint).denoiser, []
    images = archive.read(tiny_dataset, "dataset", split="train")
    for label, rows in images.rows_by_label().items():
        x = to_images(images.images[rows])
        phi = denoiser.features(x, torch.full((len(x),), 1e-4)).double()
        spread.append(phi.var(0))
        assert table.counts[label] == len(x)
    assert torch.allclose(table.within[0].double(), torch.stack(spread).mean(0), rtol=0.02, atol=1e-6)


def test_new_classes_keep_the_known_mean_and_shrinking_them_needs_it(tiny_dataset, tiny_checkpoint, tmp_path):
    settings = Centroids(levels=2, images_per_class=4, draws=1)
    centroids.extract(settings, tiny_dataset, tiny_checkpoint, tmp_path / "known.npz")
    centroids.extract(
        settings, tiny_dataset, tiny_checkpoint, tmp_path / "new.npz", new_classes=True, known=tmp_path / "known.npz"
    )
    known, new = (centroids.read(tmp_path / f"{name}.npz") for name in ("known", "new"))
    assert torch.equal(new.middle, known.values.mean(0)) and torch.equal(new.values, known.values)
    shrunk = settings.model_copy(update={"shrink": True})
    out = tmp_path / "shrunk.npz"
    with pytest.raises(UserError, match="give --known"):
        centroids.extract(shrunk, tiny_dataset, tiny_checkpoint, out, new_classes=True)
    with pytest.raises(UserError, match="2 known classes are too few"):
        centroids.extract(shrunk, tiny_dataset, tiny_checkpoint, out, new_classes=True, known=tmp_path / "known.npz")
    assert not out.exists()
