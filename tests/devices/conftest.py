"""Stand-ins for GPUs on a machine without one."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from torch.cuda._utils import _get_device_index

from featdiff.devices import devices


@pytest.fixture
def as_before():
    """Torch's switches are the process's: put them back."""
    cudnn = torch.backends.cudnn
    before = (
        cudnn.benchmark,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    yield
    cudnn.benchmark, cudnn.deterministic = before[:2]
    torch.use_deterministic_algorithms(before[2], warn_only=before[3])
    torch.utils.deterministic.fill_uninitialized_memory = before[4]


@pytest.fixture
def fresh_accelerator():
    """Accelerate allows one precision and one kind of device a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def pretend(monkeypatch, as_before):
    """``pretend(uuids)``: as many GPUs, which refuse what real ones refuse; returns the list of those made current."""

    def start(uuids: list[str], *, free: int = 1 << 40) -> list[int]:
        current: list[int] = []

        def stand_at(device):
            current.append(_get_device_index(device))  # as torch.cuda.set_device: raises for one without an index

        def memory(device=None):
            index = current[-1] if device is None else _get_device_index(device, optional=True)
            assert index < len(uuids)
            return free, 1 << 40

        for name in ("LOCAL_RANK", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG"):
            monkeypatch.setenv(name, "")  # so that it is put back even if it was not there
            monkeypatch.delenv(name)
        for name, stand_in in {
            "is_available": lambda: True,
            "device_count": lambda: len(uuids),
            "current_device": lambda: current[-1],
            "get_device_properties": lambda device: SimpleNamespace(uuid=uuids[_get_device_index(device)]),
            "set_device": stand_at,
            "mem_get_info": memory,
            "is_bf16_supported": lambda including_emulation=True: True,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        _forget()
        return current

    yield start
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    devices.pick_device.cache_clear()
    devices.has_bf16.cache_clear()
