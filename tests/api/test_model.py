"""The model in Python draws what the pipeline draws, bit for bit; targets, features and denoising are the network's."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import featdiff
from featdiff.data import archive
from featdiff.data.layouts import CropLayout, centre_crop
from featdiff.devices.devices import to_images
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.models import checkpoint
from featdiff.sampling.shards import sample_shard
from featdiff.settings.sampling import Sampling


@pytest.fixture(scope="module")
def model(results):
    return featdiff.load(results, device="cpu")


def test_images_of_a_class_are_the_pipelines_for_its_seed_whatever_the_number_and_the_batch(model, drawn):
    assert model.classes == ("flat", "stripes")
    for label, name in enumerate(model.classes):
        expected = np.asarray(drawn.select(label=label).images)
        assert np.array_equal(model.sample(name, 10, progress=False), expected)
        assert np.array_equal(model.sample(name, 7, batch=4, progress=False), expected[:7])
    assert not np.array_equal(
        model.sample("flat", 10, seed=4, progress=False), model.sample("flat", 10, progress=False)
    )


def test_a_checkpoint_with_its_centroids_beside_it_draws_the_same(results, drawn):
    alone = featdiff.load(results / "models/guided/checkpoint.safetensors", device="cpu")
    found = alone.sample("stripes", 5, sampler="ddpm", steps=4, seed=3, progress=False)
    assert np.array_equal(found, np.asarray(drawn.select(label=1).images)[:5])


def test_the_centroid_of_a_classs_own_images_leads_where_the_class_does(model, results, tiny_dataset):
    images = archive.read(tiny_dataset, "dataset", split="train")
    table = centroids.read(results / "models/guided/centroids.npz")
    few = centroids.subset(images.rows_by_label()[1], 8, 0, 1)
    ours = model.centroid(images.images[few])
    own, other = ((ours.values - row).norm() for row in table.values.flip(0))
    assert own < 0.1 * other  # other draws of noise, of the same images


def test_a_target_of_few_images_is_shrunk_towards_the_known_mean_and_two_known_classes_are_too_few(
    results, tiny_dataset
):
    model = featdiff.load(results, device="cpu")
    image = archive.read(tiny_dataset, "dataset", split="train").images[0]
    with pytest.raises(UserError, match="2 known classes are too few"):
        model.centroid(image, shrink=True)
    own = model.table
    spread = own.values.std() * torch.randn(12, 1, 1, generator=torch.Generator().manual_seed(0))
    many = replace(own, values=own.middle + spread * own.within.sqrt(), counts=torch.full((12,), 400))
    model._model.table = many
    plain, shrunk = (model.centroid(image, shrink=s).values - many.middle for s in (False, True))
    assert shrunk.norm() < 0.9 * plain.norm() and bool((shrunk * plain >= 0).all())


def test_between_is_the_line_of_two_centroids_and_its_ends_are_the_classes(model, drawn):
    flat = model.between("flat", "stripes", 0.0)
    assert np.array_equal(model.sample(flat, 10, progress=False), np.asarray(drawn.select(label=0).images))
    middle = model.between("flat", "stripes", 0.5)
    assert torch.allclose(middle.values, model.table.values.mean(0), atol=1e-6)
    assert torch.equal(model.between(middle, "flat", 1.0).values, model.table.values[0])


def test_guidance_by_difference_draws_the_pipelines_images_and_is_plain_guidance_at_strength_one(
    model, results, drawn, tmp_path
):
    row = drawn.made.settings | {"guidance": {"kind": "difference", "strength": 2.0}, "shards": 1}
    folder = results / "models/guided"
    settings = Sampling.model_validate(row)
    sample_shard(settings, folder / "checkpoint.safetensors", folder / "centroids.npz", 0, tmp_path / "drawn.zip")
    expected = np.asarray(archive.read(tmp_path / "drawn.zip", "shard").select(label=1).images)
    strong = model.sample("stripes", 10, strength=2.0, difference=True, progress=False)
    assert np.array_equal(strong, expected)
    target = model.between("flat", "stripes", 1.0)
    assert np.array_equal(model.sample(target, 3, difference=True, progress=False), model.sample(target, 3))


def test_features_of_clean_images_are_the_networks_and_their_mean_is_the_centroid(model, results, tiny_dataset):
    images = archive.read(tiny_dataset, "dataset", split="test").images
    network = checkpoint.read(results / "models/guided/checkpoint.safetensors").denoiser
    x = to_images(images)
    with torch.inference_mode():
        expected = network.features(x, x.new_full((len(x),), network.clean))
    assert np.allclose(model.features(np.asarray(images)), expected, atol=1e-6)


def test_denoising_with_the_right_class_is_nearer_to_the_clean_image_than_leaving_the_noise(model, tiny_dataset):
    clean = np.asarray(archive.read(tiny_dataset, "dataset", split="test").select(label=1).images) / np.float32(255)
    noisy = clean + 0.3 * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    found = model.denoise(noisy, 0.3, "stripes")
    assert found.shape == noisy.shape and found.dtype == np.float32
    assert np.square(found - clean).mean() < 0.5 * np.square(noisy - clean).mean()
    assert np.allclose(model.denoise(noisy[0, ..., 0], 0.3, "stripes"), found[0, ..., 0], atol=1e-5)


def test_pictures_in_any_form_are_cut_as_the_training_was(model, tmp_path):
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 255, (20, 31, 3), np.uint8))
    photo.save(tmp_path / "photo.png")
    gray = photo.convert("L")
    expected, _, _ = centre_crop(gray, CropLayout(kind="crop", size=8))
    forms = [tmp_path / "photo.png", str(tmp_path / "photo.png"), gray, np.asarray(gray), np.asarray(gray)[..., None]]
    for form in forms:
        assert np.array_equal(model.features(form), model.features(expected)), type(form)
    assert np.array_equal(model.features(expected / 255), model.features(expected))


def test_images_are_saved_whole_as_a_zip_a_folder_an_array_or_a_grid(model, drawn, tmp_path):
    images = model.sample("stripes", 5, progress=False)
    expected = np.asarray(drawn.select(label=1).images)[:5]
    images.save(tmp_path / "a.npz")
    assert np.array_equal(np.load(tmp_path / "a.npz")["arr_0"], expected)
    images.save(tmp_path / "folder")
    read = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "folder/stripes").glob("*.png"))]
    assert np.array_equal(np.stack(read)[..., None], expected)
    images.save(tmp_path / "a.zip")
    images.save(tmp_path / "a.png")
    assert "checkpoint" in Image.open(tmp_path / "a.png").text["featdiff"]
    grid = np.asarray(images.grid(columns=3))
    assert grid.shape == (2 * 9 - 1, 3 * 9 - 1)
    assert np.array_equal(grid[9:17, 9:17], expected[4, ..., 0])
    shown = Image.open(io.BytesIO(images._repr_png_()))
    assert shown.width >= 256
    with pytest.raises(UserError, match="holds something; name a new folder"):
        images.save(tmp_path / "folder")
    with pytest.raises(UserError, match=r"can't be saved as '\.gif'"):
        images.save(tmp_path / "a.gif")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "a.png", "a.zip", "folder"]


def test_an_exported_model_draws_the_same_from_its_folder_and_from_the_hubs_cache(model, tmp_path, monkeypatch):
    expected = model.sample("flat", 3, progress=False)
    folder = model.export(tmp_path / "export", pictures=2, license="cc0-1.0")
    assert np.array_equal(featdiff.load(folder, device="cpu").sample("flat", 3, progress=False), expected)
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: cc0-1.0\n") and "library_name: featdiff" in card
    assert (folder / "pictures/001.png").is_file()
    constants = pytest.importorskip("huggingface_hub.constants")
    snapshot = tmp_path / "hub/models--somebody--stripes/snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    (tmp_path / "hub/models--somebody--stripes/refs").mkdir()
    (tmp_path / "hub/models--somebody--stripes/refs/main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    fetched = featdiff.load("somebody/stripes", device="cpu")
    assert np.array_equal(fetched.sample("flat", 3, progress=False), expected)


def test_what_is_not_there_is_named_with_what_is(model, results, tmp_path):
    with pytest.raises(UserError, match="no class 'stripe'; classes: flat, stripes"):
        model.sample("stripe")
    with pytest.raises(UserError, match="no model 'other'; name one of: guided"):
        featdiff.load(results, model="other")
    with pytest.raises(UserError, match="no such file or folder"):
        featdiff.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no model"):
        featdiff.load(tmp_path)
    with pytest.raises(UserError, match=r"sample\(\.\.\.\): 1 bad setting"):
        model.sample("flat", sampler="nothing")
    with pytest.raises(UserError, match="no images were given"):
        model.centroid([])
    with pytest.raises(UserError, match="smaller than the size"):
        model.centroid(np.zeros((4, 4), np.uint8))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/checkpoint.safetensors").write_bytes(
        (results / "models/guided/checkpoint.safetensors").read_bytes()
    )
    with pytest.raises(UserError, match="led by centroids, and none lie beside it"):
        featdiff.load(tmp_path / "alone")
