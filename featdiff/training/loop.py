"""The training loop: images of a class in groups, one denoising loss, a weight average, exact resume (arXiv 2410.11646, section 3).

Batch k depends on (seed, k) alone, so a run that was killed and started again ends with the same weights, bit for bit on
the CPU. Each process of a distributed run computes its slice of the same global batch.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from featdiff import artifacts, seeds
from featdiff.data import archive
from featdiff.data.groups import GroupBatches
from featdiff.diffusion import levels, losses
from featdiff.errors import UserError
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.params import Training, TrainSpec
from featdiff.training import checkpoint, resume
from featdiff.training.checkpoint import DataDescription

CHECK_EVERY = 50  # steps between two looks at the loss: a look waits for the device


class Objective(nn.Module):
    """The loss of one batch, as a module so that several devices can share it."""

    def __init__(self, denoiser: NetworkDenoiser, spec: TrainSpec):
        super().__init__()
        self.denoiser = denoiser
        self.spec = spec

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Images in groups (B, C, H, W), their noise levels (B,), unit noise (2, B, C, H, W) -> scalar."""
        form, training, std = self.spec.network.form, self.spec.training, self.denoiser.data_std
        weights = losses.weight(form, t, std)
        noisy = x + t.view(-1, 1, 1, 1) * z[0]
        if self.spec.condition == "none":
            return losses.denoising(self.denoiser(noisy, t), x, weights)
        partners_t = t if training.partner_noise == "same" else torch.full_like(t, levels.CLEAN)
        estimates, partner_estimates = self.denoiser.matched_to_group(
            noisy,
            t,
            x + partners_t.view(-1, 1, 1, 1) * z[1],
            partners_t,
            size=training.partners + 1,
            gradient=training.partner_gradient,
        )
        loss = losses.denoising(estimates, x, weights)
        if training.partner_loss:
            partner_weights = losses.weight(form, partners_t, std)
            loss = loss + training.partner_loss * losses.denoising(partner_estimates, x, partner_weights)
        return loss


def learning_rate(training: Training, images: int) -> float:
    """The learning rate after ``images`` training images: linear warm-up, then the decay of the settings."""
    rate = training.learning_rate * min(1.0, (images + training.batch) / max(training.warmup, training.batch))
    share = images / training.images
    if training.decay.kind == "halving":
        return rate * 0.5 ** min(int(share * (training.decay.times + 1)), training.decay.times)
    return rate * min(1.0, (1 - share) / training.decay.fraction)


def train(spec: TrainSpec, data: Path, out: Path, *, state: Path) -> None:
    """Train a network on the archive ``data`` and write the averaged weights to ``out``.

    ``state`` is the root of the resume states. Killed at any moment and started again, it goes on where it was; SIGTERM
    saves a state first; a finished run returns at once. Raises :class:`UserError` when the loss is not finite.
    """
    made = artifacts.manifest("checkpoint", spec, {"dataset": data})
    if checkpoint.made_by(out, made):
        return
    keep = resume.folder(state, made)
    images = archive.read(data, "dataset").select(split="train")
    description = describe(images)
    accelerator = Accelerator(mixed_precision="bf16" if spec.training.precision == "bf16" else "no")
    denoiser = checkpoint.new_denoiser(spec, description).to(memory_format=torch.channels_last)
    average = {name: tensor.detach().clone() for name, tensor in denoiser.state_dict().items()}
    optimizer = _optimizer(denoiser, spec.training)
    step = resume.load_state(keep, model=denoiser, average=average, optimizer=optimizer)
    objective, optimizer = accelerator.prepare(Objective(denoiser, spec), optimizer)
    average = {name: tensor.to(accelerator.device) for name, tensor in average.items()}
    batches = Batches(spec, images.images, images.labels, accelerator)

    def save(step: int) -> None:
        if accelerator.is_main_process:
            resume.save_state(keep, step=step, model=denoiser, average=average, optimizer=optimizer)

    step = _steps(spec.training, accelerator, objective, optimizer, average, batches, step=step, save=save, keep=keep)
    save(step)
    if accelerator.is_main_process:
        checkpoint.write(out, average, description, made)
    accelerator.end_training()


def _steps(
    training: Training, accelerator: Accelerator, objective: nn.Module, optimizer, average, batches, *, step, save, keep
) -> int:
    """Run the steps that are left, from ``step`` on; return their number in all."""
    total = -(-training.images // training.batch)
    save_every = max(1, training.save_every // training.batch)
    denoiser = accelerator.unwrap_model(objective).denoiser
    sums = torch.zeros((), device=accelerator.device)
    bar = tqdm(
        total=total * training.batch,
        initial=step * training.batch,
        unit="image",
        mininterval=2,
        disable=not accelerator.is_main_process,
        file=sys.stderr,
    )
    last_good = step
    with bar, _terminated() as stop:
        while step < total:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(training, step * training.batch)
            loss = objective(*batches.batch(step))
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(objective.parameters(), training.gradient_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            update_average(average, denoiser, decay=min(training.ema, (1 + step) / (10 + step)))
            sums += loss.detach()
            bar.update(training.batch)
            if step % CHECK_EVERY == 0 or step == total:
                _check_loss(sums.item(), step, last_good, keep)
                bar.set_postfix(loss=f"{sums.item() / CHECK_EVERY:.4f}", refresh=False)
                sums.zero_()
            if stop or step % save_every == 0:
                if not torch.isfinite(sums):
                    _check_loss(sums.item(), step, last_good, keep)
                save(step)
                last_good = step
            if stop:
                raise SystemExit(128 + signal.SIGTERM)
    return step


def _check_loss(value: float, step: int, last_good: int, keep: Path) -> None:
    if not torch.isfinite(torch.tensor(value)):
        raise UserError(
            f"the training loss is {value} within the last {CHECK_EVERY} steps before step {step}. "
            f"The last good state is of step {last_good} ({keep / resume.FILE if last_good else 'the start'}). "
            "Likely causes: learning_rate too high (try a third), precision bf16 with very large noise (try fp32), "
            "or gradient_clip too loose"
        )


@torch.no_grad()
def update_average(average: dict[str, Tensor], model: nn.Module, *, decay: float) -> None:
    """``average <- decay * average + (1 - decay) * weights``, in place."""
    weights = model.state_dict()
    names = list(average)
    torch._foreach_lerp_([average[n] for n in names], [weights[n] for n in names], 1 - decay)


def describe(images: archive.ImageArchive) -> DataDescription:
    """Classes, shape, mean and standard deviation of the training images."""
    pixels = torch.from_numpy(images.images).double() / 255
    return DataDescription(
        classes=tuple(images.classes),
        channels=images.images.shape[-1],
        size=images.images.shape[1],
        mean=pixels.mean().item(),
        std=pixels.std().item(),
    )


class Batches:
    """Batch k of a run, this process's slice of it, on the device: images, noise levels, noise."""

    def __init__(self, spec: TrainSpec, images: np.ndarray, labels: np.ndarray, accelerator: Accelerator):
        self.spec = spec
        self.group = spec.training.partners + 1 if spec.condition == "feature" else 1
        self.same_level = 1 if spec.training.partner_noise == "clean" else self.group
        self.batches = GroupBatches(images, labels, group=self.group, seed=spec.seed, flip=spec.training.flip)
        self.device = accelerator.device
        size, count = spec.training.batch, accelerator.num_processes
        if size % (count * self.group):
            raise UserError(
                f"the batch of {size} images in groups of {self.group} can't be shared by {count} processes"
            )
        self.rows = slice(accelerator.process_index * size // count, (accelerator.process_index + 1) * size // count)

    def batch(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        x, _ = self.batches.batch(k, self.spec.training.batch)
        generator = seeds.generator(self.spec.seed, "noise", k)
        t = levels.draw(self.spec.training.noise, len(x) // self.same_level, generator).repeat_interleave(
            self.same_level
        )
        z = torch.randn((2, *x.shape), generator=generator)
        x, t, z = (p.to(self.device, non_blocking=True) for p in (x[self.rows], t[self.rows], z[:, self.rows]))
        return x, t, z


def _optimizer(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
    trained = [p for p in model.parameters() if p.requires_grad]
    return kind(trained, lr=training.learning_rate, weight_decay=training.weight_decay, betas=(0.9, 0.99), fused=True)


@contextmanager
def _terminated() -> Iterator[list[int]]:
    """Collect SIGTERM instead of dying of it, so that the loop can save a state first."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
