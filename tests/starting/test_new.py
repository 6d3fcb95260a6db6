"""``featdiff new`` as a person calls it, in a folder of its own: every kind of source, and what is refused."""

import csv
import importlib.resources
import io
import re
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from featdiff.cli import app
from featdiff.data import archive
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.settings.project import load
from featdiff.starting import timing
from featdiff.starting.start import training_images

RNG = np.random.default_rng(0)
MEASURE = timing.measure


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean folder outside the repository, and the speed of a machine that nobody has to time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "measure", lambda spec, size, channels: timing.Speed(100.0, 1000.0))


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own speed, by a short timing."""
    monkeypatch.setattr(timing, "measure", MEASURE)
    monkeypatch.setattr(timing, "SECONDS", 0.05)


def said(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def refused(*words: object) -> str:
    before = sorted(str(path) for path in Path().rglob("*"))
    with pytest.raises(UserError) as error:
        said("new", *words)
    assert sorted(str(path) for path in Path().rglob("*")) == before, "something was written"
    return str(error.value)


def picture(width: int = 40, height: int = 36, channels: int = 1) -> np.ndarray:
    pixels = RNG.integers(0, 256, (height, width, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def save(path: Path | str, pixels: np.ndarray | None = None) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if pixels is None else pixels).save(path)
    return path


def pets(root: str = "My Pets", count: int = 12) -> Path:
    for name in ("cat", "dog"):
        for k in range(count):
            save(f"{root}/{name}/{k}.png", picture(channels=3 if k else 1))
    return Path(root)


def prepared(project: str) -> archive.ImageArchive:
    """The project's data set, made as the workflow makes it; its counts are those that the settings' comment tells."""
    assert "all settings are valid" in said("check", Path(project) / "params.yaml")
    text = Path(project, "params.yaml").read_text()
    (dataset,) = load(Path(project) / "params.yaml").datasets.values()
    summary = prepare(dataset, Path("dataset.zip"), base=Path(project))
    train, test = re.search(r"([\d,]+) training and ([\d,]+) test images", text).groups()  # type: ignore[union-attr]
    assert (f"{summary.total('train'):,}", f"{summary.total('test'):,}") == (train, test)
    return archive.read("dataset.zip", "dataset")


# --- sources ----------------------------------------------------------------------------------------------------------


def test_class_folders_become_a_project_with_a_word_on_each_choice(timed: None) -> None:
    told = said("new", pets())
    assert "24 images of 2 classes" in told and "cat: 12" in told and "all 40 x 36" in told
    assert "gray: 2, colour: 22" in told and "rgb, as most are: 2 gray and 22 in colour" in told
    assert "timed just now" in told and "cd my-pets-project && " in told.splitlines()[-2]
    text = Path("my-pets-project/params.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=workflow/schemas/params.schema.json\n")
    assert Path("my-pets-project/workflow/schemas/params.schema.json").is_file()
    assert Path("my-pets-project/Snakefile").is_file()
    assert sorted(p.name for p in Path().iterdir()) == ["My Pets", "my-pets-project"]
    read = prepared("my-pets-project")
    assert read.classes == ["cat", "dog"] and read.images.shape[1:] == (32, 32, 3)


def test_the_other_answer_a_size_and_the_time_of_a_training_can_be_asked_for(timed: None) -> None:
    said("new", pets(), "mine", "--mode", "gray", "--size", "16", "--minutes", "0.2")
    settings = load("mine/params.yaml")
    (dataset,) = settings.datasets.values()
    assert (dataset.mode, dataset.mixed_modes, dataset.layout.size) == ("gray", "convert", 16)
    assert settings.trainings["preview"].images % 1000 == 0 and settings.trainings["preview"].images < 31_000
    assert prepared("mine").images.shape[1:] == (16, 16, 1)


def test_a_zip_of_class_folders() -> None:
    shutil.make_archive("pets", "zip", pets())
    told = said("new", "pets.zip")
    assert "a zip of class folders" in told
    assert prepared("pets-project").classes == ["cat", "dog"]


def test_ready_made_halves_are_kept_and_a_third_one_is_named() -> None:
    for half, count in (("train", 9), ("test", 4), ("val", 3)):
        pets(f"made/{half}", count)
    told = said("new", "made")
    assert "ready-made training and test images ('train', 'test')" in told
    assert "cat: 9 train, 4 test" in told and "left out: val" in told
    index = prepared("made-project").index
    assert (index["source"].str.split("/").str[0] == index["split"]).all()
    assert index.groupby(["class", "split"], observed=True).size().to_dict() == {
        (name, split): count for name in ("cat", "dog") for split, count in (("train", 9), ("test", 4))
    }


def test_one_folder_without_classes_trains_the_mixture_alone_and_says_so() -> None:
    for k in range(12):
        save(f"holiday/{k}.png")
    Path("holiday/labels.csv").write_text("file,label\n")
    told = said("new", "holiday")
    assert "one folder of images without classes" in told and "there is no guided model and no report" in told
    assert "if it has their labels: featdiff new holiday/labels.csv" in told
    settings = load("holiday-project/params.yaml")
    assert list(settings.models) == ["mixture"] and settings.report is None
    assert prepared("holiday-project").classes == ["images"]


def test_a_table_of_files_and_labels_becomes_a_zip_with_the_same_files() -> None:
    rows = [(save(f"photos/{k}.png").name, "a/b" if k % 2 else "c", "train" if k < 16 else "test") for k in range(24)]
    rows.append(("not there.png", "c", "unused"))
    with open("photos/list.csv", "w", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows([("Image", "Category", "Split"), *rows])
    told = said("new", "photos/list.csv", "mine")
    assert "a table of files and labels" in told and "a_b: 8 train, 4 test" in told
    with zipfile.ZipFile("mine/images.zip") as packed:
        held = sorted(packed.read(name) for name in packed.namelist())
    assert held == sorted(Path("photos", f"{k}.png").read_bytes() for k in range(24))
    assert prepared("mine").classes == ["a_b", "c"]


def test_a_table_without_a_head_and_a_table_that_names_no_file() -> None:
    names = [save(f"photos/{k}.png").name for k in range(16)]
    Path("photos/list.csv").write_text("".join(f"{name},{'xy'[k % 2]}\n" for k, name in enumerate(names)))
    assert "x: 8" in said("new", "photos/list.csv", "mine")
    Path("photos/list.csv").write_text("file,label\n1.png,a\nnone.png,b\n")
    assert "list.csv, row 3: photos/none.png: no such file" in refused("photos/list.csv", "other")
    Path("photos/list.csv").write_text("a,b\n1,2\n")
    assert "no column of files; its head has 'a', 'b'. Call the columns file and label" in refused("photos/list.csv")


def test_arrays_as_medmnist_writes_them_keep_their_halves_and_every_pixel() -> None:
    images = {half: RNG.integers(0, 256, (n, 28, 28), np.uint8) for half, n in (("train", 24), ("val", 6), ("test", 9))}
    labels = {half: (np.arange(len(i)) % 3 * 5)[:, None].astype(np.uint8) for half, i in images.items()}
    np.savez(
        "blood.npz", **{f"{h}_images": i for h, i in images.items()}, **{f"{h}_labels": i for h, i in labels.items()}
    )
    told = said("new", "blood.npz")
    assert "00: 8 train, 3 test" in told and "10: 8 train, 3 test" in told and "all 28 x 28" in told
    read = prepared("blood-project")
    assert read.classes == ["00", "05", "10"] and read.images.shape == (33, 28, 28, 1)
    for half in ("train", "test"):
        for label in range(3):
            held = np.asarray(read.select(split=half, label=label).images)[..., 0]
            assert (held == images[half][labels[half][:, 0] == 5 * label]).all()


def test_arrays_as_adm_writes_them_with_and_without_labels() -> None:
    pixels = RNG.integers(0, 256, (20, 32, 32, 3), np.uint8)
    np.savez("adm.npz", pixels, np.arange(20) % 2)
    said("new", "adm.npz")
    assert prepared("adm-project").classes == ["0", "1"]
    np.savez("bare.npz", pixels)
    assert "no guided model" in said("new", "bare.npz")
    np.savez("floats.npz", pixels / 255)
    assert "'arr_0' is float64 (20, 32, 32, 3); images are uint8" in refused("floats.npz")
    np.savez("several.npz", train_images=pixels, train_labels=np.zeros((20, 3)), test_images=pixels)
    assert "3 labels an image; one is needed" in refused("several.npz")


class Rows(list[dict[str, object]]):
    """What ``datasets.Dataset`` is to its reader: rows with features."""

    features: dict[str, object]


def hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module called datasets, which has a data set 'me/pets' and one on disk."""
    image = type("Image", (), {})()
    label = type("ClassLabel", (), {"names": ["cat", "dog"]})()

    def made(count: int) -> Rows:
        rows = Rows({"picture": Image.fromarray(picture(28, 28)), "animal": k % 2} for k in range(count))
        rows.features = {"picture": image, "animal": label}
        return rows

    module = ModuleType("datasets")
    module.load_dataset = lambda name: {"train": made(20), "validation": made(8)}  # type: ignore[attr-defined]
    module.load_from_disk = lambda folder: made(24)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_a_hugging_face_data_set_by_name_and_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    hugging_face(monkeypatch)
    assert "cat: 10 train, 4 test" in said("new", "hf:me/pets")
    assert prepared("me-pets-project").classes == ["cat", "dog"]
    Path("saved").mkdir()
    Path("saved/state.json").write_text("{}")
    assert "dog: 12" in said("new", "saved")


def test_without_the_package_a_hugging_face_data_set_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "the package 'datasets' is not installed: pip install datasets, or save its images" in refused("hf:me/pets")
    assert "of the Hugging Face hub it would be hf:me/pets" in refused("me/pets")


# --- what is proposed -------------------------------------------------------------------------------------------------


def test_few_large_photographs_are_cut_into_as_many_patches_as_the_comment_says() -> None:
    for name in ("brick", "grass"):
        file = importlib.resources.files("skimage.data") / f"{name}.png"
        save(f"walls/{name}/photo.png", np.asarray(Image.open(io.BytesIO(file.read_bytes()))))
    told = said("new", "walls")
    assert "few photographs, cut into patches" in told
    dataset = load("walls-project/params.yaml").datasets["walls"]
    assert dataset.layout.kind == "patches" and dataset.mode == "gray"
    assert prepared("walls-project").images.shape[1:] == (24, 24, 1)


def test_unusable_files_and_pictures_in_two_classes_are_told_and_skipped() -> None:
    pets()
    shutil.copy("My Pets/cat/1.png", "My Pets/dog/copy.png")
    shutil.copy("My Pets/cat/2.png", "My Pets/cat/2 again.png")
    Path("My Pets/cat/notes.txt").write_text("hi")
    save("My Pets/dog/small.png", picture(9, 9, 3))
    pages = [Image.fromarray(picture(channels=3)) for _ in range(2)]
    pages[0].save("My Pets/dog/pages.tif", save_all=True, append_images=pages[1:])
    told = said("new", "My Pets", "mine", "--size", "32")
    assert "the same picture in two classes: 1 (as cat/1.png and dog/copy.png)" in told
    assert "copies within a class: 1" in told and "cat/notes.txt: not a PNG" in told
    assert "files with more pages or frames than one: 1 (as dog/pages.tif: the first is taken)" in told
    text = Path("mine/params.yaml").read_text()
    assert "bad_images: skip  # 1 unusable files, 1 pictures in two classes, 1 images smaller than 32 pixels" in text, (
        text
    )
    read = prepared_with_copies("mine")
    assert not {"cat/1.png", "dog/copy.png", "cat/notes.txt", "dog/small.png"} & set(read.index["source"])


def prepared_with_copies(project: str) -> archive.ImageArchive:
    """As :func:`prepared`, where copies make the counts of files differ from those of pictures."""
    (dataset,) = load(Path(project) / "params.yaml").datasets.values()
    prepare(dataset, Path("dataset.zip"), base=Path(project))
    return archive.read("dataset.zip", "dataset")


def test_eight_images_a_class_are_enough_and_the_measures_fit_them() -> None:
    told = said("new", pets(count=8))
    assert "comparisons rest on 2 images a class: few" in told
    settings = load("my-pets-project/params.yaml")
    assert (settings.evaluation.images, settings.evaluation.neighbours) == (2, 1)
    assert settings.trainings["preview"].partners == 3
    prepared("my-pets-project")


def test_the_tiny_overlay_of_a_new_project_is_valid_settings_too() -> None:
    said("new", pets())
    tiny = yaml.safe_load(Path("my-pets-project/workflow/presets/tiny.yaml").read_text())
    whole = yaml.safe_load(Path("my-pets-project/params.yaml").read_text())
    Path("both.yaml").write_text(yaml.safe_dump(merged(whole, tiny)))
    assert load("both.yaml").trainings["preview"].images == 640


def merged(base: object, change: object) -> object:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}


@pytest.mark.parametrize(("side", "size", "widths"), [(100, 64, (64, 128, 256, 512)), (28, 28, (64, 128, 256))])
def test_on_a_gpu_images_network_and_training_are_larger(
    side: int, size: int, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "on_gpu", lambda: True)
    monkeypatch.setattr(timing, "device_name", lambda: "a GPU")
    monkeypatch.setattr(timing, "measure", lambda spec, size, channels: timing.Speed(4000.0, 10_000.0))
    for k in range(24):
        save(f"pets/{'ab'[k % 2]}/{k}.png", picture(side, side))
    told = said("new", "pets")
    assert "1,112,832 training images" in told and "guided about 5 minutes" in told
    assert "--workflow-profile workflow/profiles/gpu" in told
    settings = load("pets-project/params.yaml")
    assert (settings.datasets["pets"].layout.size, settings.networks["wide"].widths) == (size, widths)
    assert settings.trainings["long"].images == 1_112_832 and settings.samplings["guided"].batch == 512


def test_ten_minutes_of_training_within_what_has_been_tried_or_the_user_s_own_minutes() -> None:
    assert training_images(100.0, None, most=124_000) == 60_000
    assert training_images(1.0, None, most=124_000) == 31_000
    assert training_images(1e6, None, most=124_000) == 124_000
    assert training_images(1.0, 1.0, most=124_000) == 1000 and training_images(100.0, 60.0, most=124_000) == 360_000


# --- what is refused, with nothing written ----------------------------------------------------------------------------


def test_a_project_is_never_written_over_another() -> None:
    pets()
    said("new", "My Pets", "mine")
    assert "mine: there is a Snakefile already; nothing was written" in refused("My Pets", "mine")
    Path("other").mkdir()
    Path("other/params.yaml").write_text("my own")
    assert "there is a params.yaml already" in refused("My Pets", "other")
    assert Path("other/params.yaml").read_text() == "my own"


def test_a_project_inside_the_images_is_refused() -> None:
    assert "would lie inside the images" in refused(pets(), "My Pets/here")


@pytest.mark.parametrize(
    ("make", "images", "why"),
    [
        (lambda: None, "nothing", "nothing: no such file or folder. Images are a folder, a .zip"),
        (lambda: Path("x.tar").write_bytes(b""), "x.tar", "a file of this kind is not known"),
        (lambda: Path("x.zip").write_bytes(b"no"), "x.zip", "not a readable zip file"),
        (lambda: Path("x.npz").write_bytes(b"no"), "x.npz", "not a readable .npz"),
        (lambda: Path("empty").mkdir(), "empty", "holds no images"),
        (lambda: pets("few", 5), "few", "2 classes with too few images of 32 pixels or more: cat (5), dog (5)"),
        (lambda: save("deep/a/b/c/1.png"), "deep", "a folder inside a class folder"),
        (lambda: [save(f"dots/a/{k}.png", picture(6, 6)) for k in range(9)], "dots", "the images are too small"),
        (lambda: pets("{x}"), "{x}", "Snakemake takes braces for wildcards"),
    ],
)
def test_what_can_not_be_used_says_why(make: object, images: str, why: str) -> None:
    make()  # type: ignore[operator]
    assert why in refused(images, "mine")
