"""The training loop (arXiv 2410.11646, section 3): images of a class in groups, one denoising loss, exact resume.

Batch k depends on (seed, k) alone, so a run that was killed and started again ends with the same weights, bit for bit
on the CPU. Each process of a distributed run computes its slice of the same global batch: losses and gradients are
means over equal slices, so the mean over processes is that of the whole batch. All take the same decisions; the first
one writes.
"""

import math
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format
from tqdm import tqdm

from featdiff import artifacts, meaning
from featdiff.data import archive
from featdiff.devices import compiling, devices, memory
from featdiff.diffusion import losses
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.settings.training import Training, TrainSpec
from featdiff.training import resume
from featdiff.training.accumulation import backward
from featdiff.training.batches import Batches
from featdiff.training.flat import Flat
from featdiff.training.processes import accelerator_of, any_of, from_first
from featdiff.training.watched import Begun, Moment, Watcher

CHECK_EVERY = 50  # steps between two looks at the loss: a look waits for the device


class Objective(nn.Module):
    """The loss of one batch, as a module so that several devices can share it."""

    def __init__(self, denoiser: NetworkDenoiser, spec: TrainSpec):
        super().__init__()
        self.denoiser = denoiser
        self.spec = spec

    def forward(
        self, x: Tensor, t: Tensor, z: Tensor, labels: Tensor | None = None, shares: Tensor | None = None
    ) -> Tensor:
        """Images in groups (B, C, H, W), their levels (B,), unit noise (2, B, C, H, W) -> scalar.

        ``labels`` (B,) are those to tell; of a network that is told features, whose targets are hidden (bool).
        ``shares`` (B,) are the partners' levels as shares of the images' own, 0 for clean ones, where they are drawn.
        """
        training, process = self.spec.training, self.denoiser.process
        noisy = process.corrupt(x, t, z[0])
        if self.spec.condition != "feature":
            return self._loss(self.denoiser(noisy, t, labels), x, t)
        partners_t = t if training.partner_noise == "same" else torch.full_like(t, self.denoiser.clean)
        if shares is not None:
            partners_t = torch.where(shares > 0, shares * t, partners_t)
        estimates, partner_estimates = self.denoiser.matched_to_group(
            noisy,
            t,
            process.corrupt(x, partners_t, z[1]),
            partners_t,
            size=training.partners + 1,
            gradient=training.partner_gradient,
            hidden=labels,
        )
        loss = self._loss(estimates, x, t)
        if training.partner_loss:
            loss = loss + training.partner_loss * self._loss(partner_estimates, x, partners_t)
        return loss

    def _loss(self, estimate: Tensor, clean: Tensor, t: Tensor) -> Tensor:
        process = self.denoiser.process
        weights = losses.weight(self.spec.network.form, process.sigma(t), self.denoiser.data_std)
        return losses.soft_matching(estimate, clean, t, weights, process)


def learning_rate(training: Training, images: int) -> float:
    """The learning rate after ``images`` training images: linear warm-up, then the decay of the settings."""
    rate = training.learning_rate * min(1.0, (images + training.batch) / max(training.warmup, training.batch))
    share = images / training.images
    if training.decay.kind == "halving":
        return rate * 0.5 ** min(int(share * (training.decay.times + 1)), training.decay.times)
    return rate * min(1.0, (1 - share) / training.decay.fraction)


@dataclass
class Run:
    """What changes while a network is trained, and where its resume state lies.

    ``flat`` are the trained parameters of ``denoiser`` as a vector, ``average`` their average; make it with
    :func:`start`.
    """

    denoiser: NetworkDenoiser
    flat: Flat
    average: Tensor
    optimizer: torch.optim.Optimizer
    keep: Path
    step: int = 0
    saved: int = 0
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))  # of each step so far, of the whole batch
    watcher: Watcher | None = None

    def load(self, state: resume.State | None) -> None:
        if state is not None:
            self.step = self.saved = state.step
            averages = self.averages()
            self.losses = resume.take_up(state, model=self.denoiser, average=averages, optimizer=self.optimizer)

    def averages(self) -> dict[str, Tensor]:
        """The averaged weights by name: views into the average of what is trained, and copies of what is not."""
        trained = self.flat.named(self.average)
        return {name: trained.get(name, value.clone()) for name, value in self.denoiser.state_dict().items()}

    def tell(self, numbers: dict[str, float]) -> None:
        """Tell the watcher, if there is one, how far the training is; ``numbers`` are of this step."""
        if self.watcher is not None:
            copies = lambda: {name: value.clone() for name, value in self.averages().items()}  # noqa: E731
            self.watcher.look(Moment(self.step, self.losses, numbers, copies))

    def save(self) -> None:
        """Write the resume state; only the first process does."""
        resume.save_state(
            self.keep,
            step=self.step,
            model=self.denoiser,
            average=self.averages(),
            optimizer=self.optimizer,
            losses=self.losses,
        )

    def check(self, loss: float) -> None:
        """Stop when the mean loss since the last look is not finite."""
        if not math.isfinite(loss):
            raise UserError(
                f"the training loss is {loss} within the last {CHECK_EVERY} steps before step {self.step}. The last "
                f"good state is of step {self.saved} ({self.keep / resume.FILE if self.saved else 'the start'}). "
                "Likely causes: learning_rate too high (try a third), partner_gradient off, precision bf16 with very "
                "large noise (try fp32), or gradient_clip too loose"
            )


def train(spec: TrainSpec, data: Path, out: Path, *, state: Path, watcher: Watcher | None = None) -> None:
    """Train a network on the archive ``data`` and write the averaged weights to ``out``.

    ``state`` is the root of the resume states. Killed at any moment and started again, it goes on where it was; SIGTERM
    saves a state first; a finished run returns at once. ``watcher`` is told how it goes. Raises :class:`UserError` when
    the loss is not finite.
    """
    device = devices.pick_device()
    if spec.training.compile is True:
        compiling.require_compiler(device)
    made = artifacts.manifest("checkpoint", spec, {"dataset": data}, by=train)
    accelerator = accelerator_of(spec.training)
    if from_first(accelerator, lambda: checkpoint.made_by(out, made)):
        return
    images = archive.read(data, "dataset", split="train")
    description = describe(images)
    if spec.only is not None:
        images = images.select(label=label_of(spec.only, description.classes))
    run, objective = start(spec, description, accelerator, resume.folder(state, made))
    words: list[str] = []
    if accelerator.is_main_process:
        artifacts.remove_leftovers(run.keep / resume.FILE)
        code = meaning.parts_of(train)
        words = [] if (run.keep / resume.FILE).is_file() else resume.unlike(state, made, code)
        for word in words:
            print(word, file=sys.stderr)
        resume.describe(run.keep, made, code)
    run.load(from_first(accelerator, lambda: resume.read_state(run.keep, run.denoiser, tell=words.append)))
    if accelerator.is_main_process and watcher is not None:
        total = -(-spec.training.images // spec.training.batch)
        watcher.begin(
            Begun(spec, description, data, images, device, run.step, total, run.keep / resume.FILE, tuple(words))
        )
        run.watcher = watcher
    share = (accelerator.process_index, accelerator.num_processes)
    at_once = spec.training.micro_batch or spec.training.batch // accelerator.num_processes
    unit = spec.training.partners + 1 if spec.condition == "feature" else 1
    with memory.enough_for(at_once, "the training's micro_batch", unit=unit, device=device):
        steps(run, spec.training, accelerator, objective, Batches(spec, images, device, share=share))
    if peak := devices.peak_memory(device):
        print(f"peak memory of the GPU: {peak / 2**30:.2f} GiB", file=sys.stderr)
    if accelerator.is_main_process:
        run.save()
        checkpoint.write(out, run.averages(), description, made)
        if watcher is not None:
            watcher.end()
    accelerator.end_training()


def start(spec: TrainSpec, description: DataDescription, accelerator: Accelerator, keep: Path) -> tuple[Run, nn.Module]:
    """A run before its first step, on its device, and the loss of a batch as a module; ``keep`` is for its resume
    state."""
    denoiser = checkpoint.new_denoiser(spec, description)
    convert_conv2d_weight_memory_format(denoiser, torch.channels_last)
    plain = Objective(denoiser, spec)
    device, count = accelerator.device, -(-spec.training.images // spec.training.batch)
    if compiling.chosen(spec.training.compile, device, count=count, what="step"):
        plain.forward = compiling.compiled(plain.forward, device)  # type: ignore[method-assign]
    objective = accelerator.prepare(plain)
    flat = Flat(denoiser)
    optimizer = accelerator.prepare(_optimizer(flat.values, spec.training))
    return Run(denoiser, flat, flat.values.detach().clone(), optimizer, keep), objective


def steps(
    run: Run,
    training: Training,
    accelerator: Accelerator,
    objective: nn.Module,
    batches: Batches,
    *,
    ahead: int | None = None,
) -> None:
    """Run the steps that are left; ``ahead`` batches are gathered before they are needed (:meth:`Batches.upcoming`)."""
    total = -(-training.images // training.batch)
    save_every = max(1, training.save_every // training.batch)
    recent: list[Tensor] = []
    bar = tqdm(
        total=total * training.batch,
        initial=run.step * training.batch,
        unit="image",
        mininterval=2,
        disable=not accelerator.is_main_process,
    )
    upcoming = batches.upcoming(range(run.step, total), ahead=ahead)
    with bar, _terminated() as received, closing(upcoming):
        for batch in upcoming:
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(training, run.step * training.batch)
            loss = backward(objective, batch, accelerator, size=training.micro_batch)
            accelerator.clip_grad_norm_([run.flat.values], training.gradient_clip)
            run.optimizer.step()
            run.flat.zero_grad()
            run.step += 1
            update_average(run.average, run.flat.values, decay=min(training.ema, (1 + run.step) / (10 + run.step)))
            recent.append(loss)
            bar.update(training.batch)
            stop = any_of(accelerator, bool(received), run.step)
            save = stop or run.step % save_every == 0
            if save or run.step % CHECK_EVERY == 0 or run.step == total:
                losses_since, recent = accelerator.reduce(torch.stack(recent).float(), "mean").cpu(), []
                mean = losses_since.mean().item()
                run.check(mean)
                run.losses = torch.cat([run.losses, losses_since])
                bar.set_postfix(loss=f"{mean:.4f}", refresh=False)
                if not stop:
                    run.tell({"learning_rate": run.optimizer.param_groups[0]["lr"]})
            if save:
                run.saved = run.step
                if accelerator.is_main_process:
                    run.save()
            if stop:
                raise SystemExit(128 + signal.SIGTERM)


@torch.no_grad()
def update_average(average: Tensor, values: Tensor, *, decay: float) -> None:
    """``average <- decay * average + (1 - decay) * values``, in place."""
    average.lerp_(values, 1 - decay)


def label_of(name: str, classes: tuple[str, ...]) -> int:
    """The label of the class called ``name``."""
    if name not in classes:
        raise UserError(f"there is no class '{name}' to train on; the data set's classes are {', '.join(classes)}")
    return classes.index(name)


def describe(images: archive.ImageArchive) -> DataDescription:
    """Classes, shape, mean and standard deviation of the training images."""
    pixels, total, squares = images.images, 0, 0
    for first in range(0, len(pixels), archive.CHUNK):  # in whole numbers: exact, whatever the parts
        counts = np.bincount(pixels[first : first + archive.CHUNK].reshape(-1), minlength=256)
        total += int(counts @ np.arange(256))
        squares += int(counts @ np.arange(256) ** 2)
    count = math.prod(pixels.shape)
    return DataDescription(
        classes=tuple(images.classes),
        channels=pixels.shape[-1],
        size=pixels.shape[1],
        mean=total / count / 255,
        std=math.sqrt((squares * count - total**2) / (count * (count - 1))) / 255,
    )


def _optimizer(values: nn.Parameter, training: Training) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
    return kind([values], lr=training.learning_rate, weight_decay=training.weight_decay, betas=(0.9, 0.99), fused=True)


@contextmanager
def _terminated() -> Iterator[list[int]]:
    """Collect SIGTERM instead of dying of it, so that the loop can save a state first."""
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
