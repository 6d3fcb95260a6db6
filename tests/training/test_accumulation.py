"""A batch in parts has the loss and the gradient of the whole batch, to rounding."""

import pytest
import torch
from accelerate.state import AcceleratorState
from pydantic import ValidationError

from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.training import Training
from featdiff.training import loop, processes, resume
from featdiff.training.accumulation import backward

DATA = DataDescription(classes=("flat", "stripes"), channels=1, size=8, mean=0.5, std=0.2)


@pytest.fixture
def accelerator(tiny_spec):
    AcceleratorState._reset_state(reset_partial_state=True)
    yield processes.accelerator_of(tiny_spec.training)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("condition", ["feature", "label", "between"])
@pytest.mark.parametrize("size", [4, 8, 12])
def test_parts_have_the_gradient_of_the_whole_batch(condition, size, tiny_spec, accelerator):
    """In float64; of 16 images in parts of 12 the last part is smaller and weighs less."""
    spec = tiny_spec.model_copy(update={"condition": "label" if condition == "label" else "feature"})
    denoiser = checkpoint.new_denoiser(spec, DATA).double()
    objective, g = loop.Objective(denoiser, spec), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=g))
    x, t, z = (torch.rand(shape, generator=g).double() for shape in ((16, 1, 8, 8), (16,), (2, 16, 1, 8, 8)))
    labels = torch.randint(0, 3, (16,), generator=g) if condition == "label" else None
    shares = torch.tensor([0, 0.2, 0.5, 1]).double().repeat_interleave(4) if condition == "between" else None
    batch = (x, t + 0.1, z, labels, shares)
    found = []
    for part in (None, size):
        denoiser.zero_grad()
        loss = backward(objective, batch, accelerator, size=part)
        gradients = [p.grad.flatten() for p in denoiser.parameters() if p.grad is not None]
        found.append((loss, torch.cat(gradients)))
    (loss, gradient), (of_parts, summed) = found
    assert abs(of_parts - loss) < 1e-12 * loss
    assert (summed - gradient).norm() < 1e-12 * gradient.norm() and gradient.norm() > 0


def test_a_training_in_parts_has_the_losses_of_one_with_whole_batches(tiny_dataset, tiny_spec, tmp_path, accelerator):
    losses = []
    for size in (None, 4):
        short = tiny_spec.training.model_copy(update={"images": 160, "micro_batch": size})
        folder = tmp_path / str(size)
        spec = tiny_spec.model_copy(update={"training": short})
        loop.train(spec, tiny_dataset, folder / "checkpoint.safetensors", state=folder / "state")
        state = next((folder / "state").glob(f"*/{resume.FILE}"))
        losses.append(resume.read_state(state.parent).tensors["losses"])
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("size", [6, 24, 10])
def test_parts_that_would_tear_a_group_or_not_fill_the_batch_are_refused(size):
    with pytest.raises(ValidationError, match=r"must divide batch \(64\) and be a multiple of partners \+ 1 \(4\)"):
        Training(images=640, batch=64, partners=3, micro_batch=size)
