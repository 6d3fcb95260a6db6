"""Each kind of guidance samples what its formula says, at the network evaluations it should cost."""

import numpy as np
import pytest
import torch

from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.kinds.guidance import (
    Autoguidance,
    ClassifierFreeGuidance,
    DifferenceGuidance,
    FeatureGuidance,
    NoGuidance,
)
from featdiff.models.guided import GuidedDenoiser, Source
from featdiff.sampling import shards
from featdiff.sampling.gathering import gather
from featdiff.settings.centroids import Centroids
from featdiff.settings.sampling import Sampling
from featdiff.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def told(tiny_dataset, tiny_spec, tmp_path_factory) -> dict[str, Source]:
    """A network told labels, one trained half as long, and one of the stripes alone."""
    folder = tmp_path_factory.mktemp("told")
    short = tiny_spec.training.model_copy(update={"images": 480})
    specs = {
        "label": {"condition": "label"},
        "weak": {"condition": "label", "training": short},
        "only": {"condition": "none", "only": "stripes"},
    }
    for name, change in specs.items():
        train(tiny_spec.model_copy(update=change), tiny_dataset, folder / f"{name}.safetensors", state=folder / "state")
    return {name: Source(folder / f"{name}.safetensors") for name in specs}


@pytest.fixture(scope="module")
def feature(tiny_dataset, tiny_checkpoint, tmp_path_factory) -> Source:
    path = tmp_path_factory.mktemp("feature") / "centroids.npz"
    centroids.extract(Centroids(levels=5, images_per_class=64, draws=1), tiny_dataset, tiny_checkpoint, path)
    return Source(tiny_checkpoint, path)


def noisy():
    g = torch.Generator().manual_seed(0)
    return (
        0.5 + torch.randn(6, 1, 8, 8, generator=g),
        torch.tensor([0.1, 0.1, 0.5, 0.5, 1.5, 1.5]),
        torch.tensor([0, 1] * 3),
    )


def at(settings, source, weak=None):
    """The guided estimate of the noisy images and what it cost."""
    denoiser = GuidedDenoiser(settings, source, weak, CPU)
    x, t, labels = noisy()
    with torch.inference_mode():
        return denoiser(x, t, None if settings.kind == "none" else labels), denoiser.evaluations


def free(strength, **options):
    return ClassifierFreeGuidance(kind="classifier-free", strength=strength, **options)


def test_classifier_free_guidance_extrapolates_from_the_unlabelled_estimate_at_twice_the_cost(told):
    none, _ = at(NoGuidance(kind="none"), told["label"])
    once, cost_of_one = at(free(1), told["label"])
    thrice, cost_of_three = at(free(3), told["label"])
    assert (cost_of_one, cost_of_three) == (1, 2)
    assert not torch.allclose(none, once)
    torch.testing.assert_close(thrice, none + 3 * (once - none))


def difference(strength, **options):
    return DifferenceGuidance(kind="difference", strength=strength, **options)


def test_guidance_by_difference_extrapolates_from_the_estimate_for_the_mean_of_all_centroids(feature):
    plain, _ = at(FeatureGuidance(kind="feature"), feature)
    once, cost_of_one = at(difference(1), feature)
    none, cost_of_none = at(difference(0), feature)
    twice, cost_of_two = at(difference(2), feature)
    assert (cost_of_one, cost_of_none, cost_of_two) == (1, 2, 2)
    assert torch.equal(once, plain)
    table, (x, t, _) = centroids.read(feature.centroids), noisy()
    network = GuidedDenoiser(NoGuidance(kind="none"), feature, None, CPU).trained.denoiser
    middle = table.extrapolated(0.0).at(t, torch.zeros(6, dtype=torch.int64))  # by another way than the guidance's
    with torch.inference_mode():
        expected = network(x, t, middle)
    torch.testing.assert_close(none, expected)
    torch.testing.assert_close(twice, 2 * plain - expected)
    nearly, _ = at(difference(1 + 1e-6), feature)
    torch.testing.assert_close(nearly, plain, rtol=1e-4, atol=1e-5)


def test_classes_given_by_examples_are_led_away_from_the_mean_of_the_known_ones(
    feature, tiny_dataset, tiny_checkpoint, tmp_path
):
    """A single new class has no mean but its own: without the known one nothing would be extrapolated."""
    known = archive.read(tiny_dataset, "dataset")
    one = known.index[known.index["class"] == "stripes"]
    renamed = one.assign(label=0, **{"class": "lines"}).reset_index(drop=True)
    archive.write(tmp_path / "new.zip", np.asarray(known.images)[one.index], renamed, known.made)
    settings = Centroids(levels=5, images_per_class=64, draws=1)
    for name, path in (("with", feature.centroids), ("without", None)):
        centroids.extract(
            settings, tmp_path / "new.zip", tiny_checkpoint, tmp_path / f"{name}.npz", new_classes=True, known=path
        )
    new, lost = (Source(tiny_checkpoint, tmp_path / f"{name}.npz") for name in ("with", "without"))
    x, t, _ = noisy()

    def guided(settings, source, label):
        with torch.inference_mode():
            return GuidedDenoiser(settings, source, None, CPU)(x, t, torch.full((6,), label))

    expected = guided(difference(2), feature, 1)
    torch.testing.assert_close(guided(difference(2), new, 0), expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(guided(difference(2), lost, 0), expected, rtol=1e-3, atol=1e-3)
    own, moved = (centroids.read(source.centroids).extrapolated(2.0) for source in (feature, new))
    assert (moved.values[0] - own.values[1]).norm() < 0.1 * (own.values[1] - own.middle).norm()


def test_one_network_with_and_without_a_target_is_guided_as_classifier_free(tiny_dataset, tiny_spec, tmp_path):
    training = tiny_spec.training.model_copy(update={"images": 480, "target_dropout": 0.3})
    model, table = tmp_path / "m.safetensors", tmp_path / "c.npz"
    train(tiny_spec.model_copy(update={"training": training}), tiny_dataset, model, state=tmp_path / "state")
    centroids.extract(Centroids(levels=3, images_per_class=16, draws=1), tiny_dataset, model, table)
    source = Source(model, table)
    none, _ = at(NoGuidance(kind="none"), source)
    plain, _ = at(FeatureGuidance(kind="feature"), source)
    strong, cost = at(free(3), source)
    assert cost == 2
    torch.testing.assert_close(strong, none + 3 * (plain - none))


def test_autoguidance_extrapolates_from_the_weaker_model_told_the_same_class(told):
    strong, _ = at(free(1), told["label"])
    weak, _ = at(free(1), told["weak"])
    guided, cost = at(Autoguidance(kind="autoguidance", weak="w", strength=2), told["label"], told["weak"])
    assert cost == 2
    torch.testing.assert_close(guided, 2 * strong - weak)
    with pytest.raises(UserError, match="autoguidance needs a weaker model"):
        at(Autoguidance(kind="autoguidance", weak="w"), told["label"])


@pytest.mark.parametrize("kind", ["feature", "difference", "classifier-free"])
def test_outside_its_interval_guidance_has_strength_one(kind, told, feature):
    make = {"feature": lambda **o: FeatureGuidance(kind="feature", **o), "classifier-free": free}
    make, source = (make | {"difference": difference})[kind], told["label"] if kind == "classifier-free" else feature
    plain, strong = (at(make(strength=s), source)[0] for s in (1.0, 3.0))
    limited, _ = at(make(strength=3.0, interval=(0.2, 1.0)), source)
    inside = torch.tensor([False, False, True, True, False, False])
    assert torch.equal(limited[inside], strong[inside]) and torch.equal(limited[~inside], plain[~inside])
    assert not torch.allclose(plain, strong)


def test_a_feature_model_without_centroids_is_refused(feature):
    with pytest.raises(UserError, match="needs the centroids"):
        at(FeatureGuidance(kind="feature"), Source(feature.checkpoint))


def test_samples_tell_their_class_and_their_cost(told, tmp_path):
    row = {"model": "m", "sampler": {"kind": "ddim", "steps": 3}, "images": 2, "sigma_start": 2.0, "sigma_end": 0.05}
    expected = {"classifier-free": ([0, 0, 1, 1], 6), "autoguidance": ([0, 0, 1, 1], 6), "only": ([1, 1], 3)}
    for name, (labels, cost) in expected.items():
        guidance = {"kind": "none"} if name == "only" else {"kind": name, "strength": 2.0}
        guidance |= {"weak": "w"} if name == "autoguidance" else {}
        settings = Sampling.model_validate({**row, "guidance": guidance, "batch": 2})
        part, out = tmp_path / f"{name}.part.zip", tmp_path / f"{name}.zip"
        model = told["only" if name == "only" else "label"].checkpoint
        shards.sample_shard(settings, model, None, 0, part, weak=told["weak"] if name == "autoguidance" else None)
        gather([part], out)
        drawn = archive.read(out, "samples")
        assert drawn.labels.tolist() == labels and set(drawn.index["evaluations"]) == {cost}
        assert np.isfinite(drawn.images).all() and ("weak_checkpoint" in drawn.made.inputs) == (name == "autoguidance")


def test_example_images_of_new_classes_guide_to_them_under_their_names(tiny_dataset, tiny_checkpoint, tmp_path):
    """Centroids of the very images that the model was trained on, under other names, give the very same samples."""
    known = archive.read(tiny_dataset, "dataset")
    renamed = known.index.assign(**{"class": known.index["class"].map({"flat": "dots", "stripes": "lines"})})
    archive.write(tmp_path / "new.zip", known.images, renamed, known.made)
    settings = Centroids(levels=3, images_per_class=4, draws=1)
    with pytest.raises(UserError, match="its classes .* are not those of the checkpoint"):
        centroids.extract(settings, tmp_path / "new.zip", tiny_checkpoint, tmp_path / "new.npz")
    centroids.extract(settings, tmp_path / "new.zip", tiny_checkpoint, tmp_path / "new.npz", new_classes=True)
    centroids.extract(settings, tiny_dataset, tiny_checkpoint, tmp_path / "own.npz")
    row = {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": "ddim", "steps": 3}, "images": 2}
    for name in ("new", "own"):
        shard = tmp_path / f"{name}.part.zip"
        shards.sample_shard(
            Sampling.model_validate({**row, "batch": 2}), tiny_checkpoint, tmp_path / f"{name}.npz", 0, shard
        )
        gather([shard], tmp_path / f"{name}.samples.zip")
    new, own = (archive.read(tmp_path / f"{name}.samples.zip", "samples") for name in ("new", "own"))
    assert new.classes == ["dots", "lines"] and np.array_equal(new.images, own.images)


def test_a_network_that_matches_deviations_is_trained_averaged_and_sampled(tiny_dataset, tiny_spec, tmp_path):
    network = tiny_spec.network.model_copy(update={"deviation": True})
    training = tiny_spec.training.model_copy(update={"images": 480, "partner_noise": "clean"})
    spec = tiny_spec.model_copy(update={"network": network, "training": training})
    train(spec, tiny_dataset, tmp_path / "m.safetensors", state=tmp_path / "state")
    centroids.extract(
        Centroids(images_per_class=32, draws=1), tiny_dataset, tmp_path / "m.safetensors", tmp_path / "c.npz"
    )
    table = centroids.read(tmp_path / "c.npz")
    assert table.values.shape == (2, 1, 2 * (8 + 12 + 8))
    feature = FeatureGuidance(kind="feature")
    first, _ = at(feature, Source(tmp_path / "m.safetensors", tmp_path / "c.npz"))
    assert first.isfinite().all()
    denoiser = GuidedDenoiser(feature, Source(tmp_path / "m.safetensors", tmp_path / "c.npz"), None, CPU)
    scales = [tap.scale for tap in denoiser.trained.denoiser.network.taps.values()]
    assert all((scale != 1).any() for scale in scales)
