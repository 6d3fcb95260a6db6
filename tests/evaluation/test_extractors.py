import hashlib
import sys

import numpy as np
import pytest
import torch
from cleanfid.resize import make_resizer

from featdiff.errors import UserError
from featdiff.evaluation import classifier, extractors
from featdiff.settings.evaluation import Dinov2, Inception, Lite0

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

DINOV2 = Dinov2(kind="dinov2", sha256="0" * 64)
CLASSES = ("brick", "grass", "gravel")


class Layers(torch.nn.Module):
    """In the place of Inception: takes what clean-fid's wrapper hands over, gives 2048 numbers in its shape."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.nn.functional.adaptive_avg_pool2d(x, [26, 26])  # (B, 3, 26, 26)
        return first.flatten(1)[:, :2028].repeat(1, 2)[:, :2048].reshape(-1, 2048, 1, 1)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def inception(tmp_path):
    path = tmp_path / "weights.pt"
    torch.jit.trace(Network(), torch.zeros(2, 3, 299, 299)).save(str(path))
    return Inception(kind="inception", weights=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(scope="module")
def lite0():
    return extractors.extractor(Lite0(resize=64))


def test_lite0_features_do_not_depend_on_the_batch(lite0, patches):
    images = patches("brick", "test", 35)
    features = lite0.features(images)
    assert features.shape == (35, 1280) and features.dtype == np.float32
    assert np.array_equal(features, lite0.features(images))
    alone = np.concatenate([lite0.features(image[None]) for image in images])
    assert np.abs(features - alone).max() < 1e-4
    assert lite0.features(images[:0]).shape == (0, 1280)


def test_gray_is_the_same_as_three_equal_channels(lite0, patches):
    images = patches("grass", "test", 4)
    assert np.array_equal(lite0.features(images), lite0.features(images.repeat(3, axis=-1)))


@pytest.mark.parametrize("sizes", [(24, 64), (100, 40)])
def test_the_resize_agrees_with_clean_fids(sizes):
    before, after = sizes
    image = np.random.default_rng(0).integers(0, 256, (before, before, 3), np.uint8)
    theirs = make_resizer("PIL", False, "bicubic", (after, after))(image)
    ours = extractors._bicubic(torch.from_numpy(image).permute(2, 0, 1)[None].float(), after)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - theirs).max() < 1e-3


def test_a_judge_on_lite0_features_tells_held_out_patches_apart(lite0, patches):
    def features(split, count):
        return np.concatenate([lite0.features(patches(name, split, count)) for name in CLASSES])

    judge = classifier.fit(features("train", 100), np.repeat([0, 1, 2], 100))
    right = judge.predict(features("test", 60)) == np.repeat([0, 1, 2], 60)
    assert right.mean() >= 0.97
    assert min(right.reshape(3, 60).mean(1)) >= 0.9


def test_of_many_classes_the_judge_is_linear_discriminants_and_as_right():
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((classifier.MANY + 1, 30))
    for classes, words in ((classifier.MANY, "logistic regression"), (classifier.MANY + 1, "linear discriminants")):
        labels = np.repeat(np.arange(classes), 6)
        training, new = (centres[labels] + 0.4 * draw.standard_normal((len(labels), 30)) for _ in range(2))
        judge = classifier.fit(training.astype(np.float32), labels)
        assert (judge.predict(new) == labels).mean() > 0.97
        assert np.allclose(judge.probabilities(new).sum(1), 1)
        assert classifier.described(classes, 6) == f"{words} on at most 6 training images a class"


def test_inception_runs_clean_fids_resize_and_calling_convention(inception, patches):
    images = patches("brick", "test", 3)
    features = extractors.extractor(inception).features(images)
    resized = np.stack([make_resizer("PIL", False, "bicubic", (299, 299))(i.repeat(3, -1)) for i in images])
    expected = Layers()((torch.from_numpy(resized).permute(0, 3, 1, 2) - 128) / 128).reshape(3, 2048)
    assert features.shape == (3, 2048)
    assert np.abs(features - expected.numpy()).max() < 1e-6


def test_inception_weights_are_checked_and_never_fetched(inception, tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("went to the network"))
    missing = inception.model_copy(update={"weights": str(tmp_path / "none.pt")})
    with pytest.raises(
        UserError, match=r"none.pt: cannot read .*featdiff fetch-weights.* https://.* SHA-256 f58cb9b6.*kind: lite0"
    ):
        extractors.extractor(missing)
    wrong = inception.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(UserError, match="its SHA-256 is .* but evaluation.extractor.sha256 says 0000"):
        extractors.extractor(wrong)
    junk = tmp_path / "junk.pt"
    junk.write_bytes(b"junk")
    bad = Inception(kind="inception", weights=str(junk), sha256=hashlib.sha256(b"junk").hexdigest())
    with pytest.raises(UserError, match="no TorchScript Inception"):
        extractors.extractor(bad)


def test_names_and_protocols_tell_extractors_apart(inception):
    assert extractors.distance_name(Lite0()) == "Lite0 Frechet distance"
    assert extractors.distance_name(Inception()) == "FID"
    assert extractors.distance_name(inception) == "Inception Frechet distance"
    settings = [Lite0(), Lite0(resize=64), Lite0(precision="bf16"), Inception(), inception, DINOV2]
    assert len({extractors.protocol(s) for s in settings}) == 6
    assert [s for s in settings if "FID" in extractors.protocol(s)] == [Inception()]
    assert extractors.extractor(inception).protocol == extractors.protocol(inception)


def test_torchvision_is_not_needed():
    assert "torchvision" not in sys.modules
