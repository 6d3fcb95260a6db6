"""Batches are put together on the device and drawn ahead on threads: the same batches, in the same order, and no thread is left."""

import os
import random
import signal
import threading
import time

import pytest
import torch
from accelerate import Accelerator

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.devices import devices
from featdiff.diffusion import levels
from featdiff.settings.corruption import BlurCorruption
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


def made(spec, dataset) -> Batches:
    return Batches(spec, archive.read(dataset, "dataset").select(split="train"), Accelerator(cpu=True))


def by_hand(spec, dataset, k):
    """Batch k written out: gather, mirror and scale on the CPU, then the level, the noise and who is told a label."""
    images = archive.read(dataset, "dataset").select(split="train")
    batches, training = made(spec, dataset).batches, spec.training
    generator = seeds.generator(spec.seed, "batch", k)
    rows = batches.indices(generator, training.batch)
    mirrored = torch.rand(training.batch, generator=generator) < 0.5
    x = torch.from_numpy(images.images).permute(0, 3, 1, 2)[rows].float() / 255
    x = torch.stack([image.flip(-1) if turned else image for image, turned in zip(x, mirrored, strict=True)])
    generator = seeds.generator(spec.seed, "noise", k)
    each = training.partners + 1 if spec.condition == "feature" and training.partner_noise == "same" else 1
    count = training.batch // each
    draw = torch.rand if spec.corruption else lambda n, generator: levels.draw(training.noise, n, generator)
    t = draw(count, generator=generator).repeat_interleave(each)
    z = torch.randn((2, *x.shape), generator=generator)
    if spec.condition != "label":
        return x, t, z, None
    hidden = torch.rand(training.batch, generator=generator) < training.label_dropout
    return x, t, z, torch.where(hidden, 2, torch.tensor(images.labels)[rows])


def assert_same(one, two):
    assert (one[3] is None) == (two[3] is None)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, two, strict=True) if a is not None)


@pytest.mark.parametrize("condition", ["feature", "label", "none", "soft"])
def test_a_batch_is_what_its_draws_say_bit_for_bit(condition, tiny_dataset, tiny_spec):
    spec = spec_of(tiny_spec, condition)
    for k in (0, 3):
        assert_same(made(spec, tiny_dataset).batch(k), by_hand(spec, tiny_dataset, k))


def test_drawn_ahead_the_batches_and_their_order_are_the_same_whatever_the_threads_do(
    tiny_dataset, tiny_spec, monkeypatch
):
    spec = spec_of(tiny_spec, "label")
    plain = [made(spec, tiny_dataset).batch(k) for k in range(2, 30)]
    draw, wait = Batches.draw, random.Random(0)

    def slowly(self, k):
        time.sleep(wait.uniform(0, 0.01))
        return draw(self, k)

    monkeypatch.setattr(Batches, "draw", slowly)
    ahead = list(made(spec, tiny_dataset).upcoming(range(2, 30), ahead=3))
    assert len(ahead) == len(plain)
    for one, two in zip(ahead, plain, strict=True):
        assert_same(one, two)
    assert not drawing()


def drawing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batch")]


@pytest.fixture
def drawn_ahead(monkeypatch):
    """Training draws three batches ahead, as beside a GPU."""
    upcoming = Batches.upcoming
    monkeypatch.setattr(Batches, "upcoming", lambda self, steps, ahead=None: upcoming(self, steps, ahead=3))


def test_drawn_ahead_stopped_and_taken_up_again_the_weights_are_the_same_bit_for_bit(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path, killed_at_step_30, drawn_ahead
):
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state")
    assert not drawing()
    loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state")
    assert artifacts.sha256_file(out) == artifacts.sha256_file(tiny_checkpoint)


def test_what_fails_in_a_thread_ends_the_run_at_the_step_it_belongs_to(
    tiny_dataset, tiny_spec, tmp_path, monkeypatch, drawn_ahead
):
    draw = Batches.draw

    def failing(self, k):
        if k == 25:
            raise MemoryError("no room for batch 25")
        return draw(self, k)

    monkeypatch.setattr(Batches, "draw", failing)
    with pytest.raises(MemoryError, match="batch 25"):
        loop.train(tiny_spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path / "state")
    kept = resume.read_state(next((tmp_path / "state").glob(f"*/{resume.FILE}")).parent)
    assert kept.step == 20 and not drawing()


def test_told_to_stop_while_threads_draw_a_run_saves_its_state_first(
    tiny_dataset, tiny_spec, tmp_path, monkeypatch, drawn_ahead
):
    draw = Batches.draw

    def told(self, k):
        if k == 25:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(self, k)

    monkeypatch.setattr(Batches, "draw", told)
    with pytest.raises(SystemExit) as ended:
        loop.train(tiny_spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path / "state")
    assert ended.value.code == 143 and not drawing()
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
