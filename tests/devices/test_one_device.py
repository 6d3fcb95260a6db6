"""One place decides the device, and nothing mixes two or waits for one in the middle; shown without a GPU.

Tensors without data (torch's "meta" device) stand for the GPU's: whatever asks for their values, as ``.item()``,
``bool()`` and ``.cpu()`` do, raises, and :class:`OneDevice` refuses every operation that sees a tensor of another
device.
"""

import ast
import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from featdiff.data.archive import ImageArchive
from featdiff.devices import devices
from featdiff.diffusion import guidance, levels, ornstein_uhlenbeck, samplers, soft_samplers
from featdiff.evaluation import extractors
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.kinds.corruptions import BlurCorruption, MaskCorruption
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.centroids import Centroids
from featdiff.settings.evaluation import Lite0
from featdiff.settings.network import Network
from featdiff.training import loop, processes
from featdiff.training.batches import Batches
from tests.conftest import CLASSES, stripes_and_flats

PACKAGE = Path(devices.__file__).parents[1]
ELSEWHERE = torch.device("meta")
DATA = DataDescription(classes=CLASSES, channels=1, size=8, mean=0.5, std=0.2)


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, one that moves a tensor to another device among them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        seen = {leaf.device.type for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)}
        assert len(seen) < 2, f"{func} sees {seen}"
        return result


@pytest.fixture(autouse=True)
def any_device_has_autocast(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: contextlib.nullcontext())


# --- one place
# ---------------------------------------------------------------------------------------------------------


def test_a_training_on_a_gpu_stands_at_a_device_with_an_index_and_nothing_has_one_without(
    pretend, tiny_spec, fresh_accelerator
):
    current = pretend(["only"])
    accelerator = processes.accelerator_of(tiny_spec.training.model_copy(update={"precision": "bf16"}))
    assert accelerator.device == devices.pick_device() == torch.device("cuda", 0)
    assert accelerator.mixed_precision == "bf16"
    devices.stand_at(accelerator.device)
    assert current == [0, 0]


def test_pixels_lie_on_a_gpu_if_they_take_half_of_what_is_free_at_most(pretend):
    pretend(["first", "second"], free=1000)
    assert devices.has_room(torch.device("cuda", 1), 500) and not devices.has_room(torch.device("cuda", 1), 501)
    assert devices.has_room(devices.CPU, 1 << 60)


def test_devices_are_named_compared_and_asked_for_nowhere_else():
    """No "cuda", ``torch.cuda``, ``.cuda()`` or ``... .device == ...`` but in the package's folder ``devices``."""
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "devices"]
    assert len(files) > 100 and not [line for path in files for line in offences(path)]


def offences(path):
    """Places of a source file that name, use or compare devices."""
    tree = ast.parse(path.read_text())
    texts = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            bad = node.value.startswith("cuda")
        elif isinstance(node, ast.Attribute):
            bad = node.attr == "cuda"
        else:
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            bad = any(_of_a_device(side) for side in sides)
        if bad:
            yield f"{path}:{node.lineno}"


def _of_a_device(node):
    """Whether this is ``... .device`` or ``... device.type``, by its words."""
    if isinstance(node, ast.Attribute) and node.attr in ("type", "index"):
        node = node.value
    return "device" in (getattr(node, "attr", None), getattr(node, "id", None))


# --- nothing mixes, nothing waits
# ----------------------------------------------------------------------------------------


@pytest.fixture
def archive_in_memory():
    index = pd.DataFrame({"split": "train", "label": np.repeat([0, 1], 64), "class": np.repeat(CLASSES, 64)})
    return ImageArchive(stripes_and_flats(64, 8, seed=0), index, None)


SOFT = Network(widths=(8, 12), noise_embedding=16, form="soft")
MASK = {"network": SOFT, "corruption": MaskCorruption(kind="mask")}
BLUR = {"network": SOFT, "corruption": BlurCorruption(kind="blur")}


def moved(batches):
    """The same batches with all that they are drawn from elsewhere; counting classes in the beginning is the CPU's."""
    batches.device = ELSEWHERE
    for owner in (batches, batches.groups, batches.chance, batches.choice, batches.noise):
        for name, value in vars(owner).items():
            if isinstance(value, torch.Tensor):
                setattr(owner, name, value.to(ELSEWHERE))
    return batches


@pytest.mark.parametrize(
    ("condition", "changes", "training"),
    [
        ("feature", {}, {}),
        ("feature", {}, {"partner_noise": "clean", "partner_gradient": False}),
        ("feature", {}, {"partner_loss": 0.5}),
        ("feature", {"network": Network(widths=(8, 12), noise_embedding=16, patch=2, deviation=True)}, {}),
        ("label", {}, {}),
        ("none", {"network": Network(widths=(8, 12), noise_embedding=0, form="residual")}, {}),
        ("feature", MASK, {}),
        ("none", BLUR, {}),
    ],
)
def test_a_training_step_mixes_no_devices_and_waits_for_none(
    condition, changes, training, tiny_spec, archive_in_memory, tmp_path, fresh_accelerator
):
    short = tiny_spec.training.model_copy(update=training)
    spec = tiny_spec.model_copy(update={"condition": condition, "training": short, **changes})
    accelerator = processes.accelerator_of(spec.training)
    processes.give(ELSEWHERE, accelerator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_optimizer", lambda values, training: torch.optim.SGD([values], lr=0.1))
        run, objective = loop.start(spec, DATA, accelerator, tmp_path)
    batches = moved(Batches(spec, archive_in_memory, devices.CPU))
    if spec.corruption is not None:  # constants of a process reach the device at the first step
        objective(*batches.batch(0))
    with OneDevice():
        batch = batches.batch(0)
        loss = objective(*batch)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_([run.flat.values], 1.0)
        run.optimizer.step()
        run.flat.zero_grad()
        loop.update_average(run.average, run.flat.values, decay=0.5)
    assert loss.device == ELSEWHERE


def network_of(spec):
    return checkpoint.new_denoiser(spec, DATA).eval().requires_grad_(False).to(ELSEWHERE)


def table_of(denoiser, sigmas):
    table = CentroidTable(torch.zeros(2, len(sigmas), denoiser.feature_dim), sigmas, CLASSES, "")
    moved = table.to(ELSEWHERE).extrapolated(1.5)
    vars(moved)["_logarithmic"] = table._logarithmic  # asked once a table
    return moved


SIGMAS = levels.karras(5.0, 0.01, 5)
LEVELS = torch.linspace(1, 0, 5, dtype=torch.float64)
TRAJECTORIES = {
    "ddim": (samplers.ddim, {}, SIGMAS),
    "ddpm": (samplers.ddpm, {}, SIGMAS),
    "heun": (samplers.heun, {}, SIGMAS),
    "dpm++2m": (samplers.dpm_solver_2m, {}, SIGMAS),
    "euler ode": (ornstein_uhlenbeck.euler_ode, {}, SIGMAS),
    "euler sde": (ornstein_uhlenbeck.euler_sde, {}, SIGMAS),
    "naive": (soft_samplers.naive, MASK, LEVELS),
    "momentum": (soft_samplers.momentum, BLUR, LEVELS),
    "flow": (soft_samplers.flow, MASK, LEVELS),
    "soft-ddim": (soft_samplers.soft_ddim, BLUR, LEVELS),
}


@pytest.mark.parametrize("name", TRAJECTORIES)
@torch.inference_mode()
def test_a_guided_trajectory_mixes_no_devices_and_waits_for_none(name, tiny_spec):
    sampler, changes, grid = TRAJECTORIES[name]
    denoiser = network_of(tiny_spec.model_copy(update=changes))
    told = guidance.feature(denoiser, table_of(denoiser, grid.flip(0)).at)
    guided = guidance.autoguidance(guidance.classifier_free(told, strength=2.0), told, strength=1.5)
    x, labels = torch.empty(4, 1, 8, 8, device=ELSEWHERE), torch.zeros(4, dtype=torch.long, device=ELSEWHERE)
    process = {"process": denoiser.process} if changes else {}
    for _ in range(2):  # constants of a process reach the device at the first step
        denoiser.process.apply(x, x.new_ones(4))
    with OneDevice():
        result = sampler(guided, x, grid, lambda: torch.empty_like(x), labels, **process)
    assert result.device == ELSEWHERE and result.shape == x.shape


class Looks(TorchDispatchMode):
    """Counts how often a value is asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_the_ascent_looks_at_a_value_once_a_step():
    """Whether all images have arrived: how many steps it takes is not known before."""
    evaluations = []

    def halves(x, t, condition=None):
        evaluations.append(t)
        return x / 2

    def looks(denoiser, grid, sampler):
        evaluations.clear()
        with Looks() as seen:
            sampler(denoiser, torch.ones(4, 1, 8, 8), grid, lambda: torch.zeros(4, 1, 8, 8))
        return seen.count, len(evaluations)

    short, long = (looks(halves, torch.tensor([1.0, end]), samplers.ascent) for end in (0.1, 0.001))
    assert long[0] - short[0] == long[1] - short[1] > 0


@torch.inference_mode()
def test_features_are_averaged_where_the_network_is(tiny_spec):
    denoiser = network_of(tiny_spec)
    settings = Centroids(levels=5, images_per_class=8, draws=2)
    found = centroids.class_centroid(denoiser, torch.empty(8, 1, 8, 8, device=ELSEWHERE), 0.5, settings, 0)
    assert found.device == ELSEWHERE and found.dtype == torch.float64


def test_an_extractor_computes_on_the_device_it_is_given(monkeypatch):
    embed = extractors.extractor(Lite0(resize=64), device=ELSEWHERE)
    with torch.inference_mode():
        features = embed._batch(np.zeros((2, 8, 8, 1), np.uint8))
    assert features.device == ELSEWHERE and features.shape == (2, 1280)
