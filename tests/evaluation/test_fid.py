"""FID from a folder of PNGs to the number, beside clean-fid itself on the same files; DINOv2 beside transformers."""

import hashlib
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from featdiff.data.downloads import download
from featdiff.errors import UserError
from featdiff.evaluation import extractors, statistics
from featdiff.evaluation.any_images import OUTSIDE, evaluate, extractor_of
from featdiff.evaluation.kept import Keeper
from featdiff.evaluation.sets import image_set
from featdiff.evaluation.weights import DINOV2_VARIABLE
from featdiff.settings.evaluation import INCEPTION_VARIABLE, Dinov2, Inception
from tests.evaluation.inception import write as write_inception

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

COUNTS = {"generated": 5, "real": 7}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two folders of PNGs of several sizes and modes, and a network of Inception's architecture in its form."""
    where = tmp_path_factory.mktemp("fid")
    draw = np.random.default_rng(0)
    for name, count in COUNTS.items():
        (where / name).mkdir()
        for i in range(count):
            size = (40, 24) if i % 3 else (32, 32)
            pixels = draw.integers(0, 256, (4, 3, 1 if i == 1 else 3), np.uint8)
            image = Image.fromarray(pixels.squeeze()).resize(size, Image.Resampling.BICUBIC)
            image.save(where / name / f"{i:03}.png")
    write_inception(where / "inception-2015-12-05.pt")
    return where


@pytest.fixture(scope="module")
def settings(place):
    weights = place / "inception-2015-12-05.pt"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    extractor = Inception(weights=str(weights), sha256=digest)
    return OUTSIDE.model_copy(update={"extractor": extractor, "neighbours": 2})


@pytest.fixture
def cleanfid(monkeypatch):
    """clean-fid's own module. It asks for torchvision for another network and for ToTensor, which of a float array is
    the transposed array."""
    torchvision, models, inception = ModuleType("torchvision"), ModuleType("models"), ModuleType("inception")
    for name in ("InceptionA", "InceptionC", "InceptionE"):
        setattr(inception, name, torch.nn.Module)
    models.inception = inception
    torchvision.models, torchvision.transforms = models, ModuleType("transforms")
    torchvision.transforms.ToTensor = lambda: lambda array: torch.from_numpy(array).permute(2, 0, 1)
    names = ("torchvision", "torchvision.models", "torchvision.models.inception", "torchvision.transforms")
    for name, module in zip(names, (torchvision, models, inception, torchvision.transforms), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    before = set(sys.modules)
    yield pytest.importorskip("cleanfid.fid")
    for name in set(sys.modules) - before:
        if name.startswith("cleanfid"):
            del sys.modules[name]


def theirs(cleanfid, place, name):
    """clean-fid's features (N, 2048) of a folder."""
    from cleanfid.inception_torchscript import InceptionV3W

    model = InceptionV3W(str(place), download=False, resize_inside=False)
    options = {"num_workers": 0, "device": torch.device("cpu"), "mode": "clean", "verbose": False}
    return cleanfid.get_folder_features(str(place / name), model, **options)


def test_a_folder_of_pngs_has_clean_fids_features_statistics_and_distance(place, settings, cleanfid, tmp_path):
    found = evaluate(place / "generated", place / "real", settings=settings, keep=place / "kept")
    features = {name: theirs(cleanfid, place, name) for name in COUNTS}
    keeper = Keeper(settings.extractor, folder=place / "kept")
    for name, expected in features.items():
        ours = keeper.embed(image_set(place / name)).features
        assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()
        assert np.ptp(expected, axis=0).mean() > 0.05  # or anything would agree
    statistics.write(tmp_path / "real.npz", keeper.embed(image_set(place / "real")).features, "words")
    with np.load(tmp_path / "real.npz") as read:
        assert np.allclose(read["mu"], features["real"].mean(0), atol=1e-4)
        assert np.allclose(read["sigma"], np.cov(features["real"], rowvar=False), atol=1e-4)
    # all differences lie in a dozen of the 2048 directions; there the root of their product is quick, and the same
    joint = np.concatenate(list(features.values())).astype(np.float64)
    basis = np.linalg.svd(joint - joint.mean(0), full_matrices=False)[2]
    distance = cleanfid.fid_from_feats(features["generated"] @ basis.T, features["real"] @ basis.T)
    assert found.value("frechet") == pytest.approx(distance, rel=1e-3)


@pytest.mark.exhaustive
def test_compute_fid_itself_says_the_same(place, settings, cleanfid):
    from cleanfid.inception_torchscript import InceptionV3W

    model = InceptionV3W(str(place), download=False, resize_inside=False)
    folders = [str(place / name) for name in COUNTS]
    options = {"num_workers": 0, "device": torch.device("cpu"), "use_dataparallel": False, "verbose": False}
    distance = cleanfid.compute_fid(*folders, mode="clean", custom_feat_extractor=model, **options)
    found = evaluate(place / "generated", place / "real", settings=settings, keep=place / "kept")
    assert found.value("frechet") == pytest.approx(distance, rel=1e-3)


def test_statistics_of_another_program_give_the_distance_that_the_images_give(place, settings, tmp_path):
    real = Keeper(settings.extractor, folder=place / "kept").embed(image_set(place / "real")).features
    np.savez(tmp_path / "edm.npz", mu=real.mean(0, dtype=np.float64), sigma=np.cov(real, rowvar=False))
    given = {"settings": settings, "keep": place / "kept"}
    found = evaluate(place / "generated", tmp_path / "edm.npz", **given)
    assert found.value("frechet") == pytest.approx(
        evaluate(place / "generated", place / "real", **given).value("frechet"), rel=1e-5
    )
    assert "edm.npz (made by another program, its resize unknown)" in found.protocol
    statistics.write(tmp_path / "ours.npz", real, extractors.protocol(Inception()))
    with pytest.raises(UserError, match=r"statistics by FID .* but the images are measured by Inception Frechet"):
        evaluate(place / "generated", tmp_path / "ours.npz", **given)
    np.savez(tmp_path / "small.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(UserError, match="statistics of 3 features, but inception gives 2048"):
        evaluate(place / "generated", tmp_path / "small.npz", **given)


def test_one_word_is_enough_where_the_weights_are_known_and_no_other_weights_pass(place, monkeypatch, tmp_path):
    monkeypatch.setenv(INCEPTION_VARIABLE, str(place / "inception-2015-12-05.pt"))
    assert extractor_of("inception") == Inception()
    with pytest.raises(UserError, match=r"inception-2015-12-05.pt: its SHA-256 is .* says f58cb9b6"):
        extractors.extractor(extractor_of("inception"))
    digest = hashlib.sha256((place / "inception-2015-12-05.pt").read_bytes()).hexdigest()
    address = (place / "inception-2015-12-05.pt").as_uri()
    download(address, digest, tmp_path / "assets/inception.pt")
    monkeypatch.delenv(INCEPTION_VARIABLE)
    monkeypatch.chdir(tmp_path)
    extractors.extractor(Inception(sha256=digest))
    with pytest.raises(UserError, match=f"has the SHA-256 {digest}, expected 0000"):
        download(address, "0" * 64, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"(?s)could not be fetched: .* its SHA-256 is 0000"):
        download(address + ".none", "0" * 64, tmp_path / "other.pt")
    assert not (tmp_path / "other.pt").exists()


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    """A folder of a tiny DINOv2 with random weights."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("dinov2")
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.Dinov2Model(transformers.Dinov2Config(**sizes, initializer_range=0.3)).save_pretrained(folder)
    return folder


def test_dinov2_features_are_the_class_tokens_of_images_resized_in_8_bits(dinov2, patches):
    import transformers

    images = patches("brick", "test", 3)
    chosen = extractor_of("dinov2", dinov2)
    features = extractors.extractor(chosen).features(images)
    resized = [Image.fromarray(i[..., 0]).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC) for i in images]
    x = torch.from_numpy(np.stack([np.asarray(image) for image in resized])).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        expected = transformers.Dinov2Model.from_pretrained(dinov2)(x).pooler_output
    assert features.shape == (3, 24) and np.abs(features - expected.numpy()).max() < 1e-4
    assert np.ptp(features, axis=0).min() > 1e-3
    assert extractors.distance_name(chosen) == "DINOv2 Frechet distance"


def test_dinov2_weights_are_checked_and_may_be_named_by_the_environment(dinov2, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"its SHA-256 is .* says 0000"):
        extractors.extractor(Dinov2(kind="dinov2", weights=str(dinov2), sha256="0" * 64))
    with pytest.raises(UserError, match=r"need a folder with config.json and model.safetensors"):
        extractors.extractor(Dinov2(kind="dinov2", weights=str(tmp_path), sha256="0" * 64))
    monkeypatch.delenv(DINOV2_VARIABLE, raising=False)
    with pytest.raises(UserError, match=r"no folder was given: the DINOv2 features need"):
        extractor_of("dinov2")
    monkeypatch.setenv(DINOV2_VARIABLE, str(dinov2))
    assert extractor_of("dinov2") == extractor_of("dinov2", dinov2)
