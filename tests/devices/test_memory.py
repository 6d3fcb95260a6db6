"""Out of memory ends with the setting and what should fit, whichever library ran out."""

import pytest
import torch

from featdiff.devices import memory
from featdiff.errors import UserError
from featdiff.training import loop

GPU = torch.device("cuda", 0)
TORCHS = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
)


@pytest.mark.parametrize(
    ("size", "unit", "fitting"), [(128, 8, 64), (96, 8, 48), (24, 8, 8), (8, 8, None), (512, 1, 256), (7, 1, 1)]
)
def test_what_should_fit_is_half_at_most_divides_the_batch_and_keeps_groups_whole(size, unit, fitting):
    assert memory.should_fit(size, unit) == fitting


@pytest.mark.parametrize(
    "error", [TORCHS, RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported")]
)
def test_the_message_names_the_setting_and_what_should_fit(error):
    with (
        pytest.raises(UserError, match=r"cuda:0: out of memory with 128 images at once.*Set trainings\.x to 64"),
        memory.enough_for(128, "trainings.x", unit=8, device=GPU),
    ):
        raise error


def test_where_nothing_smaller_is_possible_the_message_says_so():
    with (
        pytest.raises(UserError, match=r"8 images at once and 2\.00 GiB more to hold\. 8 images at once are the least"),
        memory.enough_for(8, "trainings.x", unit=8, device=GPU),
    ):
        raise TORCHS


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), memory.enough_for(8, "trainings.x", device=GPU):
        raise RuntimeError("shapes do not fit")


def test_a_training_out_of_memory_is_told_its_micro_batch(
    tiny_dataset, tiny_spec, tmp_path, fresh_accelerator, monkeypatch
):
    def too_much(*arguments, size):
        raise TORCHS

    monkeypatch.setattr(loop, "backward", too_much)
    with pytest.raises(UserError, match="with 16 images at once.*Set the training's micro_batch to 8"):
        loop.train(tiny_spec, tiny_dataset, tmp_path / "out.safetensors", state=tmp_path)
    smaller = tiny_spec.training.model_copy(update={"micro_batch": 4})
    with pytest.raises(UserError, match="4 images at once are the least"):
        loop.train(
            tiny_spec.model_copy(update={"training": smaller}),
            tiny_dataset,
            tmp_path / "out.safetensors",
            state=tmp_path,
        )
