"""bf16 is used where the processor has it; where it would only be imitated, fp32 is, bit for bit, and the log says
so."""

import platform
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from featdiff.devices import devices
from featdiff.models import checkpoint
from featdiff.models.guided import Arithmetic, Model, Source
from featdiff.training import loop

CPU = torch.device("cpu")


@pytest.fixture
def without_bf16(monkeypatch):
    monkeypatch.setattr(devices, "has_bf16", lambda kind: False)


def trained(spec, dataset, out, precision):
    """Weights after 160 images."""
    AcceleratorState._reset_state(reset_partial_state=True)  # accelerate allows one precision a process
    short = spec.training.model_copy(update={"images": 160, "precision": precision})
    loop.train(spec.model_copy(update={"training": short}), dataset, out, state=out.parent / "state")
    AcceleratorState._reset_state(reset_partial_state=True)
    return checkpoint.read(out).denoiser.state_dict()


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="compares with what Linux says of x86 processors"
)
def test_a_processor_has_bf16_if_the_kernel_lists_its_instructions():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert devices.has_bf16("cpu") == bool(flags & {"avx512_bf16", "amx_bf16"})


def test_without_bf16_a_training_in_bf16_has_the_weights_of_one_in_fp32(
    tiny_spec, tiny_dataset, tmp_path, without_bf16, capsys
):
    asked = trained(tiny_spec, tiny_dataset, tmp_path / "asked.safetensors", "bf16")
    assert "fp32 is used instead" in capsys.readouterr().err
    plain = trained(tiny_spec, tiny_dataset, tmp_path / "plain.safetensors", "fp32")
    assert "fp32 is used instead" not in capsys.readouterr().err
    assert all(torch.equal(asked[name], plain[name]) for name in plain)


def test_without_bf16_estimates_in_bf16_are_those_in_fp32(tiny_spec, tiny_dataset, tmp_path, without_bf16):
    out = tmp_path / "checkpoint.safetensors"
    trained(tiny_spec, tiny_dataset, out, "fp32")
    x, t = torch.rand(2, 1, 16, 16), torch.full((2,), 0.5)
    with torch.inference_mode():
        asked, plain = (Model(Source(out), CPU, Arithmetic(p)).counted(x, t) for p in ("bf16", "fp32"))
    assert torch.equal(asked, plain)
