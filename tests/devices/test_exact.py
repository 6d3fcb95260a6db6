"""On a GPU the same command gives the same bits: what torch is told, and that no step uses what has no exact form."""

import os

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from featdiff import seeds
from featdiff.devices import devices
from featdiff.diffusion import guidance, levels, samplers
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.kinds.corruptions import BlurCorruption, MaskCorruption
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.centroids import Centroids
from featdiff.settings.network import Network
from featdiff.training import loop, processes

DATA = DataDescription(classes=("flat", "stripes"), channels=1, size=8, mean=0.5, std=0.2)
# on a GPU, by torch.use_deterministic_algorithms' documentation (torch 2.13); backward ones as dispatched
WITHOUT_EXACT_FORM = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "_ctc_loss_backward",
    "_embedding_bag",
    "_embedding_bag_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "bincount",
    "cumsum",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "kthvalue",
    "max_pool3d_with_indices_backward",
    "max_unpool2d",
    "max_unpool3d",
    "median",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "replication_pad1d_backward",
    "replication_pad2d_backward",
    "replication_pad3d_backward",
    "scatter_reduce",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
}
SLOWER_EXACT = {
    "index_add",
    "index_put",
    "scatter",
    "scatter_add",
    "index_copy",
}  # exact only because torch is told to be


class Used(TorchDispatchMode):
    """The names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"condition": "label"},
        {"network": Network(widths=(8, 12, 16), noise_embedding=16, patch=2, deviation=True)},
        {"network": Network(widths=(8, 12), noise_embedding=0, form="residual"), "condition": "none"},
        {
            "network": Network(widths=(8, 12), noise_embedding=16, form="soft"),
            "corruption": BlurCorruption(kind="blur"),
        },
        {
            "network": Network(widths=(8, 12), noise_embedding=16, form="soft"),
            "corruption": MaskCorruption(kind="mask"),
        },
    ],
)
def test_no_operation_of_a_training_step_is_without_an_exact_form(changes, tiny_spec):
    spec = tiny_spec.model_copy(update=changes)
    objective = loop.Objective(checkpoint.new_denoiser(spec, DATA), spec)
    labels = torch.zeros(16, dtype=torch.long) if spec.condition == "label" else None
    with Used() as used:
        objective(torch.rand(16, 1, 8, 8), 0.1 + torch.rand(16), torch.randn(2, 16, 1, 8, 8), labels).backward()
    assert {"convolution_backward", "avg_pool2d_backward"} <= used.names
    assert not inexact(used.names)


def inexact(names):
    """Those that have no exact form, or a slower one."""
    return {name.rstrip("_") for name in names} & ({name.rstrip("_") for name in WITHOUT_EXACT_FORM} | SLOWER_EXACT)


@torch.inference_mode()
def test_no_operation_of_guided_sampling_and_of_features_is_without_an_exact_form(tiny_spec):
    denoiser = checkpoint.new_denoiser(tiny_spec, DATA).eval()
    sigmas = levels.logarithmic(0.01, 5.0, 5)
    table = CentroidTable(torch.zeros(2, 5, denoiser.feature_dim), sigmas, DATA.classes, "").extrapolated(1.5)
    guided = guidance.classifier_free(guidance.feature(denoiser, table.at), strength=2.0)
    x, labels, settings = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), Centroids(levels=5, images_per_class=4)
    noise = seeds.SampleNoise(0, [(0, i) for i in range(4)], (1, 8, 8), devices.CPU)
    with Used() as used:
        samplers.ddpm(guided, x, sigmas.flip(0), noise, labels)
        centroids.class_centroid(denoiser, x, 0.5, settings, 0)
    assert any("conv" in name for name in used.names) and not inexact(used.names)


def switches():
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()


def test_a_gpu_is_told_to_be_exact_before_it_starts_unless_the_training_says_otherwise(
    pretend, tiny_spec, fresh_accelerator
):
    pretend(["only"])
    devices.pick_device()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert switches() == (False, True, True)
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    processes.accelerator_of(tiny_spec.training.model_copy(update={"deterministic": False}))
    assert switches() == (True, False, False)
    processes.accelerator_of(tiny_spec.training)
    assert switches() == (False, True, True)


def test_a_cpu_is_told_nothing(tiny_spec, as_before, fresh_accelerator):
    torch.use_deterministic_algorithms(False)
    processes.accelerator_of(tiny_spec.training)
    assert not torch.are_deterministic_algorithms_enabled()
