"""A watched training ends with the same bits, and says from where it goes on; its folder holds what it showed."""

import itertools
import os
import random
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from featdiff import meaning
from featdiff.cli import app
from featdiff.training import loop, resume
from featdiff.training import progress as files
from featdiff.watching import page, previews
from featdiff.watching.watcher import Watcher


def watched(spec, data, folder):
    loop.train(
        spec,
        data,
        folder / "checkpoint.safetensors",
        state=folder / "state",
        watcher=Watcher(folder / "progress" / "guided"),
    )
    return folder / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def seen(tiny_spec, tiny_dataset, tmp_path_factory):
    """A watched training."""
    folder = tmp_path_factory.mktemp("watched")
    before = torch.get_rng_state(), random.getstate(), torch.get_float32_matmul_precision()
    watched(tiny_spec, tiny_dataset, folder)
    after = torch.get_rng_state(), random.getstate(), torch.get_float32_matmul_precision()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    return folder


def test_a_watched_training_ends_with_the_bits_of_an_unwatched_one(seen, tiny_checkpoint):
    assert (seen / "checkpoint.safetensors").read_bytes() == tiny_checkpoint.read_bytes()


@pytest.mark.parametrize(("condition", "noise"), [("label", "same"), ("none", "same"), ("feature", "clean")])
def test_so_does_one_that_is_told_otherwise(condition, noise, tiny_spec, tiny_dataset, tmp_path):
    short = {"images": 160, "partner_noise": noise}
    spec = tiny_spec.model_copy(
        update={"condition": condition, "training": tiny_spec.training.model_copy(update=short)}
    )
    plain = tmp_path / "plain"
    loop.train(spec, tiny_dataset, plain / "checkpoint.safetensors", state=plain / "state")
    found = watched(spec, tiny_dataset, tmp_path)
    assert found.read_bytes() == (plain / "checkpoint.safetensors").read_bytes()
    progress = tmp_path / "progress/guided"
    assert len(files.previews(progress)) == 1 and files.read_json(progress / files.NOW)["finished"]


def test_there_is_a_record_of_loss_psnr_and_speed_and_previews_of_each_class(seen):
    progress = seen / "progress/guided"
    records = files.records(progress)
    assert records[-1]["step"] == 60 and records[-1]["images"] == 960
    assert {"loss", "learning_rate", "images_per_second", "seconds", "psnr/0.1", "psnr/0.3", "psnr/1"} <= set(
        records[-1]
    )
    assert records[-1]["psnr/0.1"] > records[-1]["psnr/1"]
    losses = resume.read_state(next((seen / "state").glob("*"))).tensors["losses"]
    ends = [0, *(int(record["step"]) for record in records)]
    means = [losses[a:b].double().mean().item() for a, b in itertools.pairwise(ends)]
    assert [record["loss"] for record in records] == pytest.approx(means)
    found = files.previews(progress)
    assert len(found) >= 2 and max(found) == 960
    assert Image.open(found[960]).size == (4 * 8, 2 * 8)  # two classes, four images each
    assert files.read_json(progress / files.RUN)["rows"] == ["flat", "stripes"]


def test_what_is_drawn_is_by_the_averaged_weights_and_the_centroids_of_that_moment(seen, tiny_spec, tiny_dataset):
    from featdiff.data import archive
    from featdiff.models import checkpoint
    from featdiff.training.watched import Begun

    trained = checkpoint.read(seen / "checkpoint.safetensors")
    images = archive.read(tiny_dataset, "dataset", split="train")
    begun = Begun(tiny_spec, trained.data, tiny_dataset, images, torch.device("cpu"), 60, 60, seen)
    drawn, numbers = previews.Previewer(begun).look(trained.denoiser.state_dict())
    kept = np.asarray(Image.open(files.preview(seen / "progress/guided", 960)))
    np.testing.assert_array_equal(previews.sheet(drawn)[..., 0], kept)
    assert numbers["psnr/0.3"] == files.records(seen / "progress/guided")[-1]["psnr/0.3"]


def test_the_page_has_curves_and_pictures_and_stops_renewing_itself_at_the_end(seen):
    text = (seen / "progress/guided.html").read_text()
    assert text.count("<svg") >= 3 and "step 60 of 60, finished" in text and "http-equiv" not in text
    assert 'src="guided/previews/00000960.png"' in text
    half = page.text(seen / "progress/guided", [], {"step": 3, "steps": 60, "loss": 0.5, "seconds_left": 75})
    assert "step 3 of 60, loss 0.5000, 1 min left" in half and 'http-equiv="refresh"' in half


def test_killed_and_started_again_it_says_from_where_and_why_not_later_and_repeats_no_record(
    tiny_spec, tiny_dataset, seen, tmp_path, capfd
):
    """Watched as it was killed, with records past its last state."""
    progress = tmp_path / "progress/guided"
    spec = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"save_every": 480})})

    class Dies(Watcher):
        def look(self, moment):
            super().look(moment)
            if moment.step >= 50:
                raise KeyboardInterrupt

    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        loop.train(spec, tiny_dataset, out, state=tmp_path / "state", watcher=Dies(progress))
    assert files.records(progress)[-1]["step"] == 50
    loop.train(spec, tiny_dataset, out, state=tmp_path / "state", watcher=Watcher(progress))
    said = capfd.readouterr().err
    assert "training goes on from image 480 of 960, step 30, with" in said and resume.FILE in said
    assert "it had come to image 800" in said and "kept every 480 images (save_every)" in said
    assert said.strip().splitlines() and files.read_json(progress / files.NOW)["said"]
    records = files.records(progress)
    assert [record["step"] for record in records] == sorted({record["step"] for record in records})
    assert out.read_bytes() == (seen / "checkpoint.safetensors").read_bytes()


def test_a_damaged_state_and_another_run_are_told_too(tiny_spec, tiny_dataset, tmp_path, capfd):
    progress = tmp_path / "progress/guided"
    short = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 160})})
    watched(short, tiny_dataset, tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    state = next((tmp_path / "state").glob(f"*/{resume.FILE}"))
    state.write_bytes(state.read_bytes()[:-1])
    watched(short, tiny_dataset, tmp_path)
    (words,) = files.read_json(progress / files.NOW)["said"]
    assert "training starts afresh" in words
    other = short.model_copy(update={"seed": 1})
    watched(other, tiny_dataset, tmp_path)
    (words,) = files.read_json(progress / files.NOW)["said"]
    assert "differs in seed" in words
    assert len(files.records(progress)) == len({record["step"] for record in files.records(progress)})


def test_what_goes_wrong_in_watching_ends_no_training(tiny_spec, tiny_dataset, tmp_path, capfd, monkeypatch):
    def fails(*arguments):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(previews.Previewer, "look", fails)
    short = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 160})})
    assert watched(short, tiny_dataset, tmp_path).is_file()
    assert "watched no more: no room" in capfd.readouterr().err


def test_previews_are_as_many_as_wanted_or_as_can_be_afforded(tiny_spec):
    from types import SimpleNamespace

    def count(images: int, wanted: int = 12) -> int:
        training = tiny_spec.training.model_copy(update={"images": images, "previews": wanted})
        spec = tiny_spec.model_copy(update={"training": training})
        return previews.count(SimpleNamespace(spec=spec, images=SimpleNamespace(labels=np.arange(3))))

    assert count(1_000) == 2 and count(10_000_000) == 12 and count(10_000_000, wanted=5) == 5
    assert 2 < count(60_000) < 12
    assert count(1_000_000, wanted=0) == 0


def test_the_settings_of_watching_are_none_of_the_training(tiny_spec):
    from featdiff.settings.base import determining

    more = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"previews": 3})})
    assert determining(more) == determining(tiny_spec)


def test_a_training_reaches_nothing_that_watches():
    reached = meaning.closure("featdiff.cli", "train")
    assert not [name for name in reached if name.startswith(meaning.ASIDE)]
    assert not [name for name in reached if "samplers" in name or "reporting" in name or "evaluation" in name]


def test_told_to_stop_it_loses_nothing_and_says_so(tiny_spec, tiny_dataset, tmp_path, capfd):
    progress = tmp_path / "guided"

    class Stops(Watcher):
        def look(self, moment):
            super().look(moment)
            if moment.step == 30:
                os.kill(os.getpid(), signal.SIGTERM)

    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(SystemExit):
        loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state", watcher=Stops(progress))
    loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state", watcher=Watcher(progress))
    said = capfd.readouterr().err
    assert "training goes on from image 496 of 960, step 31" in said and "that is as far as it had come" in said


def test_the_command_watches_when_it_is_told_where(tiny_spec, tiny_dataset, tmp_path):
    short = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 160})})
    options = ["--settings", short.model_dump_json(), "--data", tiny_dataset, "--out", tmp_path / "c.safetensors"]
    options += ["--state", tmp_path / "state", "--progress", tmp_path / "guided", "--previews", "0"]
    app(["train", *map(str, options)], standalone_mode=False)
    (record,) = files.records(tmp_path / "guided")
    assert record["images"] == 160 and "psnr/0.1" not in record
    assert not files.previews(tmp_path / "guided") and (tmp_path / "guided.html").is_file()


def test_trackers_are_told_the_same_where_they_are_installed(tiny_spec, tiny_dataset, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 160})})
    watched(short, tiny_dataset, tmp_path)
    events = EventAccumulator(str(tmp_path / "progress/guided" / files.TENSORBOARD)).Reload()
    (record,) = files.records(tmp_path / "progress/guided")
    assert events.Scalars("loss")[-1].value == pytest.approx(record["loss"])
    assert events.Tags()["images"] == ["previews"]
