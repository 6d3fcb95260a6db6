"""The look at a trained network against channels that are killed, gradients and targets that are known."""

import pytest
import torch

from featdiff.api import info
from featdiff.data import archive
from featdiff.models import checkpoint
from featdiff.training import health, loop


@pytest.fixture
def trained(tiny_checkpoint):
    return checkpoint.read(tiny_checkpoint)


@pytest.fixture(scope="module")
def images(tiny_dataset):
    return archive.read(tiny_dataset, "dataset", split="train")


def kill(trained, block, channels):
    """Let the last ReLU of a block give nothing in these channels, whatever the noise level."""
    last = trained.denoiser.network.blocks[block].layers[-1]
    with torch.no_grad():
        last.norm.gain[channels] = 0
        if last.bias is not None:
            last.bias.weight[channels], last.bias.bias[channels] = 0, 0
            last.bias.bias[channels] = -1


def test_killed_channels_are_counted_in_their_block_alone_and_a_block_of_them_is_warned_of(trained, images):
    before = health.look(trained, images)
    assert before["channels"] == {"encoder0": 8, "middle": 12, "decoder0": 8} and not before["warnings"]
    kill(trained, "middle", slice(0, 3))
    few = health.look(trained, images)
    own = before["dead_always"]
    assert few["dead_always"]["middle"] == pytest.approx(max(3 / 12, own["middle"]), abs=1e-3)
    assert few["dead_always"]["encoder0"] == own["encoder0"] and not few["warnings"]
    kill(trained, "middle", slice(0, 9))
    many = health.look(trained, images)
    assert all(share >= 0.75 for share in many["dead"]["middle"].values())
    assert len(many["warnings"]) == 1 and many["warnings"][0].startswith("middle is dead: 9 of its 12 channels")


def test_the_target_of_a_block_of_dead_channels_is_worth_nothing_and_that_of_the_first_one_something(trained, images):
    with torch.no_grad():
        trained.denoiser.network.taps["middle"].scale.zero_()
    found = health.look(trained, images)["worth"]
    assert list(found) == list(trained.denoiser.network.feature_columns)
    assert all(worth == 0 for worth in found["middle"].values())
    assert max(abs(worth) for worth in found["encoder0"].values()) > 0.05


def test_gradients_are_those_of_the_training_loss(trained, images):
    found = health.look(trained, images)["gradient"]
    training = trained.spec.training.model_copy(update={"batch": 32})
    spec = trained.spec.model_copy(update={"training": training})
    objective = loop.Objective(trained.denoiser.requires_grad_(True), spec)
    batches = loop.Batches(spec, images, torch.device("cpu"))
    norms = []
    for k in range(health.BATCHES):
        trained.denoiser.zero_grad()
        objective(*batches.batch(k)).backward()
        grads = [p.grad for p in trained.denoiser.network.blocks["middle"].parameters() if p.grad is not None]
        norms.append(torch.cat([g.flatten() for g in grads]).norm().item())
    assert found["middle"] == pytest.approx(sum(norms) / len(norms), rel=1e-3)
    assert all(norm > 0 for norm in found.values())


@pytest.mark.parametrize("condition", ["label", "none"])
def test_networks_that_are_told_no_features_are_looked_at_without_targets(condition, tiny_spec, images):
    spec = tiny_spec.model_copy(update={"condition": condition})
    data = loop.describe(images)
    fresh = checkpoint.Checkpoint.model_construct(
        denoiser=checkpoint.new_denoiser(spec, data).eval(), spec=spec, data=data, made=None
    )
    found = health.look(fresh, images)
    assert found["worth"] == {} and found["warnings"] == []
    assert max(found["dead_always"].values()) < 0.5


def test_a_look_leaves_the_network_as_it_was_and_is_the_same_again(trained, images):
    before = {name: value.clone() for name, value in trained.denoiser.state_dict().items()}
    assert health.look(trained, images) == health.look(trained, images)
    assert all(torch.equal(value, before[name]) for name, value in trained.denoiser.state_dict().items())
    assert not any(p.requires_grad for p in trained.denoiser.parameters())


def test_info_tells_of_a_checkpoint_what_lies_beside_it_and_of_no_other(tiny_dataset, tiny_checkpoint, tmp_path):
    model, other = tmp_path / "checkpoint.safetensors", tmp_path / "elsewhere"
    model.write_bytes(tiny_checkpoint.read_bytes())
    assert "dead channels" not in info.describe(model)
    health.write(tiny_dataset, model, tmp_path / "health.json")
    assert "dead channels:" in info.describe(model) and "gradient:" in info.describe(tmp_path / "health.json")
    other.mkdir()
    trained = checkpoint.read(model)
    weights = {name: value + 1 for name, value in trained.denoiser.state_dict().items()}
    checkpoint.write(other / "checkpoint.safetensors", weights, trained.data, trained.made)
    (other / "health.json").write_bytes((tmp_path / "health.json").read_bytes())
    assert "dead channels" not in info.describe(other / "checkpoint.safetensors")
