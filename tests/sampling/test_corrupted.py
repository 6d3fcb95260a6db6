"""Soft diffusion from data set to samples: the start's moments, the chosen levels, sharding, guidance, and what is
refused."""

import numpy as np
import pytest
import torch

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.devices.devices import to_images
from featdiff.diffusion import corruptions, levels
from featdiff.errors import UserError
from featdiff.features import centroids, denoising
from featdiff.models import checkpoint
from featdiff.sampling import corrupted, shards
from featdiff.sampling.gathering import gather
from featdiff.settings.centroids import Centroids, Denoising
from featdiff.settings.corruption import LevelsSpec
from featdiff.settings.network import Network
from featdiff.settings.sampling import Sampling
from featdiff.settings.training import Training, TrainSpec
from featdiff.training.loop import train

BLUR = {"kind": "blur", "width": {"high": 3.0}}
MASK = {"kind": "mask"}
NOISE = {"kind": "identity"}
CHOICE = {"candidates": 64, "nodes": 8, "images": 64, "projections": 16, "start_rank": 12}


def spec(corruption=BLUR, **changes) -> LevelsSpec:
    return LevelsSpec.model_validate({"corruption": corruption, "levels": {**CHOICE, **changes}})


def train_spec(condition: str, corruption=BLUR, partner_noise="same") -> TrainSpec:
    training = Training(
        images=640, batch=16, save_every=640, precision="fp32", warmup=64, partners=3, partner_noise=partner_noise
    )
    network = Network(widths=(8, 12), noise_embedding=16, form="soft")
    row = {"network": network, "training": training, "condition": condition, "corruption": corruption, "seed": 0}
    return TrainSpec.model_validate(row)


def trained(folder, data, condition, **options):
    path = folder / f"{condition}.safetensors"
    train(train_spec(condition, **options), data, path, state=folder / "state")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("soft")


@pytest.fixture(scope="module")
def model(folder, tiny_dataset):
    return trained(folder, tiny_dataset, "feature")


@pytest.fixture(scope="module")
def chosen(folder, tiny_dataset):
    corrupted.extract(spec(), tiny_dataset, folder / "levels.npz")
    return folder / "levels.npz"


@pytest.fixture(scope="module")
def table(folder, tiny_dataset, model):
    centroids.extract(Centroids(levels=5, images_per_class=64, draws=2), tiny_dataset, model, folder / "centroids.npz")
    return folder / "centroids.npz"


def sampling(**changes) -> Sampling:
    row = {
        "model": "m",
        "guidance": {"kind": "none"},
        "sampler": {"kind": "momentum", "steps": 5},
        "images": 5,
        "batch": 4,
    }
    return Sampling.model_validate({**row, **changes})


def draw(settings, model, table, chosen, folder):
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"{k}.zip" for k in range(settings.shards)]
    for k, part in enumerate(parts):
        shards.sample_shard(settings, model, table, k, part, chosen=chosen)
    gather(parts, folder / "samples.zip")
    return archive.read(folder / "samples.zip", "samples")


@pytest.mark.parametrize("corruption", [BLUR, MASK, NOISE], ids=["blur", "mask", "noise"])
def test_the_start_has_the_mean_and_covariance_of_the_corrupted_images_of_the_class(corruption, tiny_dataset):
    training = archive.read(tiny_dataset, "dataset").select(split="train")
    process = corruptions.process(spec(corruption).corruption, size=8)
    start = corrupted.fit_start(spec(corruption, start_rank=64), process, training)
    names = [(0, i) for i in range(4000)]
    for label, images in ((1, training.select(label=1)), (-1, training)):
        clean = to_images(images.images)
        gone = process.apply(clean, torch.ones(len(clean))).flatten(1).double()
        drawn = start.draw(torch.full((4000,), label), 0.1, seeds.SampleNoise(0, names, (1, 8, 8))).flatten(1).double()
        spread = torch.cov(gone.T) + 0.01 * torch.eye(64)
        deviation = spread.diagonal().sqrt()
        assert ((drawn.mean(0) - gone.mean(0)).abs() < 5 * deviation / 4000**0.5 + 1e-4).all()
        error = deviation[:, None] * deviation / 4000**0.5
        assert ((torch.cov(drawn.T) - spread).abs() < 6 * error).all()


def test_classes_never_trained_on_start_as_all_images_do(chosen, model):
    start = corrupted.read_for(chosen, checkpoint.read(model)).start
    names = [(0, i) for i in range(4)]
    new, none = torch.tensor([0, 5, 9, 1]), torch.full((4,), -1)
    drawn = start.of_all().draw(new, 0.1, seeds.SampleNoise(0, names, (1, 8, 8)))
    assert torch.equal(drawn, start.draw(none, 0.1, seeds.SampleNoise(0, names, (1, 8, 8))))


def test_a_start_of_few_directions_keeps_the_total_variance(tiny_dataset):
    training = archive.read(tiny_dataset, "dataset").select(split="train")
    process = corruptions.process(spec(NOISE).corruption, size=8)
    start = corrupted.fit_start(spec(NOISE, start_rank=3), process, training)
    assert start.directions.shape == (3, 64)
    total = start.factors[0].square().sum() + 64 * start.rest**2
    variance = to_images(training.images).flatten(1).var(0).sum()
    assert total.item() == pytest.approx(variance.item(), rel=0.02)


def test_the_artifact_holds_a_path_from_clean_to_corrupted_and_grids_of_any_length(chosen, model):
    known = corrupted.read_for(chosen, checkpoint.read(model))
    assert known.chosen[0] == 0 and known.chosen[-1] == 1 and len(known.chosen) == 8
    process = checkpoint.read(model).denoiser.process
    for spacing in ("chosen", "linear", "cosine", "logarithmic"):
        sampler = sampling(sampler={"kind": "flow", "steps": 13, "spacing": spacing}).sampler
        grid = sampler.levels(process, known.chosen)
        assert len(grid) == 13 and (grid.diff() < 0).all() and grid[0].item() == pytest.approx(1)
    assert torch.equal(
        sampling(sampler={"kind": "flow", "steps": 8}).sampler.levels(process, known.chosen), known.chosen.flip(0)
    )


def test_gaussian_and_sliced_distances_both_choose(tiny_dataset, tmp_path):
    for distance in ("gaussian", "sliced"):
        corrupted.extract(spec(MASK, distance=distance), tiny_dataset, tmp_path / "levels.npz")
        arrays, made = artifacts.read_arrays(tmp_path / "levels.npz", "levels")
        assert len(arrays["chosen"]) == 8 and made.settings["levels"]["distance"] == distance


def test_levels_chosen_relative_to_the_noise_are_more_where_it_falls(tiny_dataset, tmp_path):
    falling = []
    for power in (0.0, 1.0):
        fine = spec(relative=power, candidates=128, nodes=16)
        corrupted.extract(fine, tiny_dataset, tmp_path / "levels.npz")
        arrays, _ = artifacts.read_arrays(tmp_path / "levels.npz", "levels")
        falling.append(int((arrays["chosen"] < 0.25).sum()))  # above it, the noise is constant
    assert falling[0] < falling[1]


@pytest.mark.parametrize("kind", ["naive", "momentum", "flow", "soft-ddim"])
def test_every_image_is_the_same_bit_for_bit_at_any_number_of_shards(kind, model, table, chosen, tmp_path):
    row = sampling(guidance={"kind": "feature"}, sampler={"kind": kind, "steps": 5})
    whole = draw(row, model, table, chosen, tmp_path / "whole")
    split = draw(row.model_copy(update={"shards": 3}), model, table, chosen, tmp_path / "split")
    assert whole.images.shape == (10, 8, 8, 1) and np.array_equal(whole.images, split.images)
    assert set(whole.index["evaluations"]) == {5} and set(whole.index["sampler"]) == {kind}
    assert len({image.tobytes() for image in whole.images}) == 10


def test_training_lowers_the_loss_and_the_network_undoes_blur(model, tiny_dataset):
    """Against its own input: the estimate must be nearer to the clean image than the corrupted one is."""
    known = checkpoint.read(model)
    clean = to_images(archive.read(tiny_dataset, "dataset").select(split="test").images)
    t = torch.full((len(clean),), 0.6)
    noisy = known.denoiser.process.corrupt(clean, t, torch.randn(clean.shape, generator=seeds.generator(0, "z")))
    with torch.inference_mode():
        estimate = known.denoiser(noisy, t)
    assert (estimate - clean).square().mean() < 0.7 * (noisy - clean).square().mean()


def test_a_killed_training_ends_with_the_same_weights(tiny_dataset, tmp_path, model, monkeypatch):
    from featdiff.training import loop

    steps = loop.Run.save
    monkeypatch.setattr(loop.Run, "save", lambda self: (steps(self), (_ for _ in ()).throw(KeyboardInterrupt))[0])
    row = train_spec("feature")
    row = row.model_copy(update={"training": row.training.model_copy(update={"save_every": 320})})
    with pytest.raises(KeyboardInterrupt):
        train(row, tiny_dataset, tmp_path / "model.safetensors", state=tmp_path / "state")
    monkeypatch.undo()
    train(row, tiny_dataset, tmp_path / "model.safetensors", state=tmp_path / "state")
    one, two = (checkpoint.read_tensors(path)[0] for path in (model, tmp_path / "model.safetensors"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_centroids_follow_the_corruptions_level_and_clean_partners_have_one(model, table, tiny_dataset, tmp_path):
    known = centroids.read(table)
    assert known.sigmas.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    halfway = known.at(torch.tensor([0.125, 0.0, 1.0]), torch.tensor([0, 1, 1]))
    expected = torch.stack([known.values[0, :2].mean(0), known.values[1, 0], known.values[1, -1]])
    assert (halfway - expected).abs().max() < 1e-5
    clean = trained(tmp_path, tiny_dataset, "feature", partner_noise="clean")
    centroids.extract(Centroids(levels=5, images_per_class=8, draws=1), tiny_dataset, clean, tmp_path / "c.npz")
    assert centroids.read(tmp_path / "c.npz").sigmas.tolist() == [levels.BELOW]


def test_labels_and_classifier_free_guidance_steer_a_soft_network(tiny_dataset, chosen, tmp_path):
    label = trained(tmp_path, tiny_dataset, "label")
    plain = draw(sampling(guidance={"kind": "classifier-free"}), label, None, chosen, tmp_path / "plain")
    strong = {"kind": "classifier-free", "strength": 3.0, "interval": [0.2, 0.9]}
    guided = draw(sampling(guidance=strong), label, None, chosen, tmp_path / "guided")
    assert not np.array_equal(plain.images, guided.images)
    assert set(plain.index["label"]) == {0, 1}


def test_the_corrupted_levels_are_denoised_and_measured(model, table, tiny_dataset, tmp_path):
    settings = Denoising(levels=(0.5, 1.0), images_per_class=8)
    denoising.measure(settings, tiny_dataset, model, table, tmp_path / "d.json", name="soft")
    rows = artifacts.read_json(tmp_path / "d.json", "denoising")[0]["rows"]
    assert {row["sigma"] for row in rows} == {0.5, 1.0} and all(np.isfinite(row["psnr"]) for row in rows)


def test_a_soft_sampler_draws_from_a_plain_network_too(tiny_checkpoint, tmp_path):
    row = sampling(sampler={"kind": "momentum", "steps": 5, "spacing": "logarithmic"}, sigma_start=2.0, sigma_end=0.05)
    images = draw(row, tiny_checkpoint, None, None, tmp_path).images
    assert images.std() > 1


def test_what_does_not_belong_together_is_refused(model, chosen, tiny_dataset, tiny_checkpoint, tmp_path):
    with pytest.raises(UserError, match="give --levels"):
        shards.sample_shard(sampling(), model, None, 0, tmp_path / "0.zip")
    corrupted.extract(spec(MASK), tiny_dataset, tmp_path / "mask.npz")
    with pytest.raises(UserError, match="another corruption or data set"):
        shards.sample_shard(sampling(), model, None, 0, tmp_path / "0.zip", chosen=tmp_path / "mask.npz")
    with pytest.raises(UserError, match="ddpm knows no corruption"):
        shards.sample_shard(
            sampling(sampler={"kind": "ddpm", "steps": 4}), model, None, 0, tmp_path / "0.zip", chosen=chosen
        )
    with pytest.raises(UserError, match="wider than an image of 8"):
        corrupted.extract(spec({"kind": "blur", "width": {"high": 23}}), tiny_dataset, tmp_path / "wide.npz")
    with pytest.raises(UserError, match="no path of hops up to eps"):
        corrupted.extract(spec(eps=1e-6), tiny_dataset, tmp_path / "eps.npz")
    with pytest.raises(UserError, match="fewer than 2 of the 2 images"):
        corrupted.extract(spec(start_images=2), tiny_dataset, tmp_path / "few.npz")
    assert not list(tmp_path.glob("*.zip"))
