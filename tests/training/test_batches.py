"""Batches are drawn and put together on the device; where images lie elsewhere, threads gather them ahead: the same
batches."""

import os
import random
import signal
import threading
import time

import numpy as np
import pytest
import torch

from featdiff import artifacts, philox
from featdiff.data import archive
from featdiff.devices import devices
from featdiff.diffusion import levels
from featdiff.kinds.corruptions import BlurCorruption
from featdiff.seeds import Streams
from featdiff.training import loop, resume
from featdiff.training.batches import Batches


def spec_of(spec, condition, **training):
    changed = spec.model_copy(
        update={"condition": condition, "training": spec.training.model_copy(update={"flip": True, **training})}
    )
    if condition == "soft":
        network = spec.network.model_copy(update={"form": "soft"})
        changed = changed.model_copy(
            update={"condition": "feature", "network": network, "corruption": BlurCorruption(kind="blur")}
        )
    return changed


def images_of(dataset) -> archive.ImageArchive:
    return archive.read(dataset, "dataset").select(split="train")


def made(spec, dataset, **share) -> Batches:
    return Batches(spec, images_of(dataset), torch.device("cpu"), **share)


def by_hand(spec, dataset, k):
    """Batch k written out, image by image: what its eight words say, then its noise."""
    images, training = images_of(dataset), spec.training
    group = training.partners + 1 if spec.condition == "feature" else 1
    same_level = group if training.partner_noise == "same" else 1
    of_class = [np.flatnonzero(images.labels == label) for label in range(2)]
    x, t, z, told, shares = [], [], [], [], []
    for i in range(training.batch):
        words, first, levelled = (
            Streams(spec.seed, [("batch", j)]).words(k, 8)[0, 0] for j in (i, i - i % group, i - i % same_level)
        )
        if i % group == 0:
            left = list(of_class[first[4] * 2 >> 32])
        row = left.pop(words[5] * len(left) >> 32)
        image = torch.from_numpy(images.images[row]).permute(2, 0, 1).float() / 255
        x.append(image.flip(-1) if (words[2] + 0.5) / 2**32 < 0.5 else image)
        u = philox.uniform(levelled)
        t.append(u[0] if spec.corruption else levels.draw(training.noise, levelled[None, :2])[0])
        kinds = ("noise", "partner noise") if spec.condition == "feature" else ("noise",)
        z.append(torch.cat([Streams(spec.seed, [(kind, i)]).normal(k, image.shape) for kind in kinds]))
        shares.append((2 * philox.uniform(first)[6] - 1).clamp(min=0))
        told.append(2 if philox.uniform(words)[3] <= training.label_dropout else images.labels[row])
    labels = torch.tensor(told) if spec.condition == "label" else None
    between = spec.condition == "feature" and training.partner_noise == "between"
    return torch.stack(x), torch.stack(t), torch.stack(z, 1), labels, torch.stack(shares) if between else None


def assert_same(one, two):
    assert [part is None for part in one] == [part is None for part in two]
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, two, strict=True) if a is not None)


@pytest.mark.parametrize("partner_noise", ["same", "clean", "between"])
@pytest.mark.parametrize("condition", ["feature", "label", "none", "soft"])
def test_a_batch_is_what_its_draws_say_bit_for_bit(condition, partner_noise, tiny_dataset, tiny_spec):
    spec = spec_of(tiny_spec, condition, partner_noise=partner_noise)
    for k in (0, 3, 70):
        assert_same(made(spec, tiny_dataset).batch(k), by_hand(spec, tiny_dataset, k))


@pytest.mark.parametrize("condition", ["feature", "label"])
def test_the_slices_of_several_processes_are_the_batch_of_one(condition, tiny_dataset, tiny_spec):
    spec = spec_of(tiny_spec, condition, partner_noise="between")
    whole = made(spec, tiny_dataset).batch(5)
    slices = [made(spec, tiny_dataset, share=(index, 2)).batch(5) for index in range(2)]
    parts = [
        None if part is None else torch.cat([part, other], dim=1 if part.ndim == 5 else 0)
        for part, other in zip(*slices, strict=True)
    ]
    assert_same(parts, whole)


def test_of_a_mapped_archive_the_batches_are_those_of_one_in_memory(tiny_dataset, tiny_spec, tmp_path, monkeypatch):
    spec, held = spec_of(tiny_spec, "label"), archive.read(tiny_dataset, "dataset")
    monkeypatch.setattr(archive, "LARGE", 100)
    archive.write(tmp_path / "large.zip", held.images, held.index, held.made.unsealed())
    mapped = made(spec, tmp_path / "large.zip")
    assert mapped.mapped and not made(spec, tiny_dataset).mapped
    for k, batch in enumerate(mapped.upcoming(range(5))):
        assert_same(batch, made(spec, tiny_dataset).batch(k))
    assert loop.describe(images_of(tmp_path / "large.zip")) == loop.describe(images_of(tiny_dataset))


def test_beside_the_cpu_a_batch_is_drawn_on_the_device_and_nobody_waits_for_it(tiny_dataset, tiny_spec, monkeypatch):
    """A meta device stands in for a GPU: its tensors have no values, so what asks for one, or mixes devices, fails."""
    for condition in ("feature", "label"):
        batches = made(spec_of(tiny_spec, condition), tiny_dataset)
        meta = torch.device("meta")
        batches.device, batches.images = meta, batches.images.to(meta)
        for streams in (batches.chance, batches.choice, batches.noise):
            streams.keys = streams.keys.to(meta)
        for name in ("labels", "counts", "order", "starts"):
            setattr(batches.groups, name, getattr(batches.groups, name).to(meta))
        assert {part.device for part in batches.batch(3) if part is not None} == {meta}


def test_gathered_ahead_the_batches_and_their_order_are_the_same_whatever_the_threads_do(
    tiny_dataset, tiny_spec, monkeypatch
):
    spec = spec_of(tiny_spec, "label")
    plain = [made(spec, tiny_dataset).batch(k) for k in range(2, 30)]
    gather, wait = Batches.gather, random.Random(0)

    def slowly(self, k):
        time.sleep(wait.uniform(0, 0.01))
        return gather(self, k)

    monkeypatch.setattr(Batches, "gather", slowly)
    ahead = list(made(spec, tiny_dataset).upcoming(range(2, 30), ahead=3))
    assert len(ahead) == len(plain)
    for one, two in zip(ahead, plain, strict=True):
        assert_same(one, two)
    assert not gathering()


def gathering() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batch")]


@pytest.fixture
def gathered_ahead(monkeypatch):
    """Training gathers three batches ahead, as for images in a file."""
    upcoming = Batches.upcoming
    monkeypatch.setattr(Batches, "upcoming", lambda self, steps, ahead=None: upcoming(self, steps, ahead=3))


def test_gathered_ahead_stopped_and_taken_up_again_the_weights_are_the_same_bit_for_bit(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path, killed_at_step_30, gathered_ahead
):
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state")
    assert not gathering()
    loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state")
    assert artifacts.sha256_file(out) == artifacts.sha256_file(tiny_checkpoint)


def test_what_fails_in_a_thread_ends_the_run_at_the_step_it_belongs_to(
    tiny_dataset, tiny_spec, tmp_path, monkeypatch, gathered_ahead
):
    gather = Batches.gather

    def failing(self, k):
        if k == 25:
            raise MemoryError("no room for batch 25")
        return gather(self, k)

    monkeypatch.setattr(Batches, "gather", failing)
    with pytest.raises(MemoryError, match="batch 25"):
        loop.train(tiny_spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path / "state")
    kept = resume.read_state(next((tmp_path / "state").glob(f"*/{resume.FILE}")).parent)
    assert kept.step == 20 and not gathering()


def test_told_to_stop_while_threads_gather_a_run_saves_its_state_first(
    tiny_dataset, tiny_spec, tmp_path, monkeypatch, gathered_ahead
):
    gather = Batches.gather

    def told(self, k):
        if k == 25:
            os.kill(os.getpid(), signal.SIGTERM)
        return gather(self, k)

    monkeypatch.setattr(Batches, "gather", told)
    with pytest.raises(SystemExit) as ended:
        loop.train(tiny_spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path / "state")
    assert ended.value.code == 143 and not gathering()
    kept = resume.read_state(next((tmp_path / "state").glob(f"*/{resume.FILE}")).parent)
    assert 20 < kept.step <= 26 and len(kept.tensors["losses"]) == kept.step


def test_images_that_do_not_fit_beside_the_network_stay_where_they_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    gpu = torch.device("cuda", 0)
    assert devices.has_room(gpu, 500) and not devices.has_room(gpu, 501)
    assert devices.has_room(torch.device("cpu"), 2**60)


def test_float32_is_float32_on_a_gpu_unless_the_settings_allow_less(monkeypatch):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    try:
        found = []
        for allowed in (True, False):
            devices.allow_tf32(allowed)
            found.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
        assert found == [("high", True), ("highest", False)]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        devices.allow_tf32(True)
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
