"""What was made faster trains as what it replaced: the same seeds, the layers and the update written out plainly."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from featdiff.data import archive
from featdiff.models import checkpoint
from featdiff.networks import matching, normalisation, unet
from featdiff.settings.network import Network
from featdiff.settings.training import Training, TrainSpec
from featdiff.training import loop

STEPS = 12
TOLERANCE = 1e-3  # of a tensor's move in twelve steps, in float32: Adam makes much of gradients next to zero


def plain_norm(self, x, bias=None):
    deviation = (x.var(dim=(1, 2, 3), correction=0, keepdim=True) + normalisation.EPSILON).sqrt()
    x = x / deviation * self.gain[:, None, None]
    return torch.relu(x if bias is None else x + bias[:, :, None, None])


def plain_tap(self, activation, match):  # of a tap that reads means alone
    means = activation.mean(dim=(2, 3))
    shift = match(self.columns, means)
    return (activation if shift is None else activation + (self.scale * shift)[:, :, None, None]), means


def plain_biases(self, noise, labels):
    embedded = self.embedding(noise, labels)
    return [layer.bias(embedded) for block in self.blocks.values() for layer in block.layers]


def plain_training(spec, description, batches):
    """Losses and averaged weights by steps on each parameter for itself."""
    denoiser = checkpoint.new_denoiser(spec, description)
    objective, training = loop.Objective(denoiser, spec), spec.training
    average = {name: value.clone() for name, value in denoiser.state_dict().items()}
    trained = [p for p in denoiser.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1, weight_decay=training.weight_decay, betas=(0.9, 0.99))
    losses = []
    for k in range(STEPS):
        optimizer.param_groups[0]["lr"] = loop.learning_rate(training, k * training.batch)
        loss = objective(*batches.batch(k))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, training.gradient_clip)
        optimizer.step()
        decay = min(training.ema, (2 + k) / (11 + k))
        for name, value in denoiser.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * value
        losses.append(loss.item())
    return torch.tensor(losses), average


@pytest.mark.parametrize("condition", ["feature", "label", "none"])
def test_losses_and_averaged_weights_are_those_of_the_plain_layers_and_update(
    condition, monkeypatch, tmp_path, tiny_dataset
):
    training = Training(images=STEPS * 8, batch=8, partners=1, precision="fp32", warmup=0, learning_rate=1e-3)
    network = Network(widths=(8, 12, 16), zero_output=False)
    spec = TrainSpec(network=network, training=training, condition=condition, corruption=None, seed=3)
    images = archive.read(tiny_dataset, "dataset").select(split="train")
    description = loop.describe(images)
    accelerator = Accelerator(cpu=True)
    batches = loop.Batches(spec, images, accelerator.device)
    run, objective = loop.start(spec, description, accelerator, tmp_path)
    before = {name: value.clone() for name, value in run.averages().items()}
    loop.steps(run, training, accelerator, objective, batches)
    monkeypatch.setattr(normalisation.StdNormReLU, "forward", plain_norm)
    monkeypatch.setattr(matching.FeatureTap, "forward", plain_tap)
    monkeypatch.setattr(unet.Upsampling, "forward", nn.ConvTranspose2d.forward)
    monkeypatch.setattr(unet.FeatureUNet, "_biases", plain_biases)
    losses, average = plain_training(spec, description, batches)
    torch.testing.assert_close(run.losses, losses, rtol=1e-5, atol=0)
    for name, value in run.averages().items():
        moved = (average[name] - before[name]).norm()
        assert (value - average[name]).norm() <= TOLERANCE * moved, name
