"""A trained model in Python: samples of its classes, of new ones and between them, features, denoising.

What a sample depends on is what the pipeline's depends on, and the noise of image number n of a class is the same: for
the same seed, sampler and levels, images are the pipeline's, bit for bit on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from featdiff.api.images import Images
from featdiff.api.preparation import Picture, Preparation
from featdiff.devices.devices import to_images, to_pixels
from featdiff.diffusion import guidance
from featdiff.diffusion.denoiser import Denoiser
from featdiff.errors import UserError
from featdiff.features.centroids import CentroidTable, class_centroid
from featdiff.features.shrinkage import towards_known
from featdiff.models import guided
from featdiff.models.guided import Arithmetic, Source
from featdiff.sampling import corrupted
from featdiff.sampling.corrupted import Corrupted
from featdiff.sampling.shards import UNCONDITIONAL, Draw, decided, draw_batch, room_for
from featdiff.settings.base import parse
from featdiff.settings.centroids import Centroids
from featdiff.settings.sampling import Sampling

DEFAULT = Sampling.model_validate(
    {"model": "model", "guidance": {"kind": "none"}, "sampler": {"kind": "ddpm"}, "images": 1}
)


@dataclass(frozen=True)
class Target:
    """What samples are led to: the features ``values`` (levels, feature dimension) at the model's noise levels.

    Made by :meth:`Model.centroid` and :meth:`Model.between`. ``label`` is whose noise its samples start from.
    """

    name: str
    values: Tensor
    label: int = 0


@dataclass(frozen=True)
class Files:
    """Where a model lies, and what the run that made it tells of it."""

    source: Source
    levels: Path | None = None  # of a model with a corruption
    sampling: Sampling = DEFAULT  # how the run sampled from it
    preparation: Preparation = Preparation()  # how its images were made  # noqa: RUF009
    results: Path | None = None  # the folder of the run
    name: str = "model"


class Model:
    """A trained model on a device. :func:`featdiff.load` finds its files."""

    def __init__(self, files: Files, device: torch.device):
        self.files, self.device = files, device
        self._model = guided.Model(files.source, device, Arithmetic(files.sampling.precision))
        self.trained = self._model.trained
        if self.trained.spec.condition == "feature" and self.table is None:
            raise UserError(
                f"{files.source.checkpoint}: this model is led by centroids, and none lie beside it: name the results "
                "folder, or put the run's centroids.npz into the checkpoint's folder"
            )

    def __repr__(self) -> str:
        data = self.trained.data
        told = {"feature": "led by features", "label": "told labels", "none": "told nothing"}
        what = told[self.trained.spec.condition]
        shape = f"{data.size} x {data.size} {'gray' if data.channels == 1 else 'RGB'}"
        return f"Model({self.files.name}: {len(self.classes)} classes, {shape}, {what}, on {self.device})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that it can be asked for."""
        return self.table.classes if self.table is not None else self.trained.data.classes

    @property
    def table(self) -> CentroidTable | None:
        """The centroids, of a model that is led by features."""
        return self._model.table

    # --- samples ----------------------------------------------------------------------------------------------------

    def sample(
        self,
        what: str | Target | None = None,
        n: int = 16,
        *,
        sampler: str | None = None,
        steps: int | None = None,
        seed: int | None = None,
        strength: float = 1.0,
        difference: bool = False,
        batch: int | None = None,
        progress: bool = True,
    ) -> Images:
        """Draw ``n`` images of a class, or of a target that :meth:`centroid` or :meth:`between` made.

        ``None`` is no class, for a model that is told none. What is not given is as in the run that made the model.
        ``strength`` beyond 1 leads further away from the mean of all classes: by the target or, with ``difference``,
        by what the network makes of the two targets, at two network evaluations a step. The same seed gives the same
        images, whatever ``n`` and ``batch``: 16 are the first of 64.

        Raises :class:`featdiff.errors.UserError` for a class or sampler that there is not.
        """
        if difference:
            self._of_features()
        settings = self._settings(sampler, steps, seed, strength, batch, n, difference=difference)
        denoiser, label, name, told = self._led(what, strength, difference=difference)
        known = self._known
        if known is not None and isinstance(what, Target):
            known = replace(known, start=known.start.of_all())
        batches = -(-n // settings.batch)
        evaluations = batches * settings.sampler.evaluations(settings.sigma_start, settings.sigma_end)
        settings = decided(settings, self._model, self.device, count=evaluations)
        if not told:
            settings = settings.model_copy(update={"guidance": DEFAULT.guidance})
        wanted = [Draw(label, number) for number in range(n)]
        found = []
        with (
            tqdm(total=n, unit="image", disable=not progress, desc=name) as bar,
            room_for(settings, self.device),
        ):
            for first in range(0, n, settings.batch):
                part = wanted[first : first + settings.batch]
                found.append(to_pixels(draw_batch(settings, denoiser, part, self.trained, self.device, known)))
                bar.update(len(part))
        made = {"of": name, "sampling": settings.model_dump(mode="json"), "checkpoint": self.trained.made.seal}
        return Images(np.concatenate(found), [name] * n, made)

    def _settings(
        self,
        sampler: str | None,
        steps: int | None,
        seed: int | None,
        strength: float,
        batch: int | None,
        n: int,
        *,
        difference: bool,
    ) -> Sampling:
        base = self.files.sampling
        own = base.sampler.model_dump() if sampler in (None, base.sampler.kind) else {"kind": sampler}
        if sampler is None and self._corruption and not base.sampler.corruptions:
            own = {"kind": "momentum"}
        told = {"feature": "difference" if difference else "feature", "label": "classifier-free"}.get(
            self.trained.spec.condition
        )
        values = base.model_dump(mode="json") | {
            "sampler": own | ({} if steps is None else {"steps": steps}),
            "guidance": {"kind": told, "strength": strength} if told else {"kind": "none"},
            "images": n,
            "shards": 1,
            "seed": base.seed if seed is None else seed,
            "batch": batch or base.batch,
        }
        return parse(Sampling, values, "sample(...)")

    def _led(
        self, what: str | Target | None, strength: float, *, difference: bool = False
    ) -> tuple[Denoiser, int, str, bool]:
        """The denoiser that leads to it, whose label its noise has, its name, and whether a class is told."""
        if difference:
            plain, label, name, told = self._led(what, 1.0)
            middle = self._led(Target("mean", self._of_features().middle), 1.0)[0]
            return guidance.difference(plain, middle, strength=strength), label, name, told
        if isinstance(what, Target):
            table = self._of_features()
            led = torch.lerp(table.middle, what.values, strength)
            own = CentroidTable(led[None], table.sigmas, (what.name,), table.checkpoint)

            def target(t: Tensor, labels: Tensor) -> Tensor:
                return own.at(t, torch.zeros_like(labels))

            return guidance.feature(self._model.counted, target), what.label, what.name, True
        if self.trained.spec.condition == "none":
            only = self.trained.spec.only
            if what not in (None, only):
                raise UserError(f"this model is told no class: it draws of {only or 'all classes'}, so name none")
            label = -1 if only is None else self.trained.data.classes.index(only)
            return self._model.counted, label, only or UNCONDITIONAL, False
        label = self._label(what)
        if self.trained.spec.condition == "feature":
            return self._model.told(strength), label, self.classes[label], True
        return guidance.classifier_free(self._model.told(), strength=strength), label, self.classes[label], True

    def _label(self, name: str | None) -> int:
        if name not in self.classes:
            asked = "name a class" if name is None else f"there is no class '{name}'"
            raise UserError(f"{asked}; classes: {', '.join(self.classes)}")
        return self.classes.index(name)

    @property
    def _corruption(self) -> bool:
        return self.trained.spec.corruption is not None

    @cached_property
    def _known(self) -> Corrupted | None:
        """What a model with a corruption samples by."""
        if not self._corruption:
            return None
        if self.files.levels is None:
            raise UserError(
                f"{self.files.source.checkpoint}: a model with a corruption needs the levels of its data set: load the "
                "results folder, or put the run's levels file beside the checkpoint as levels.npz"
            )
        return corrupted.read_for(self.files.levels, self.trained)

    # --- targets ----------------------------------------------------------------------------------------------------

    def centroid(self, images: Sequence[Picture] | Picture, *, name: str = "example", shrink: bool = False) -> Target:
        """The target of a class given by example images alone: a class never trained on, or a single picture.

        ``images`` are paths, Pillow images or arrays (H, W), (H, W, C) or (N, H, W, C), uint8, or floats in [0, 1].
        Larger ones are cut as the images of the training were: patches of a photograph, or a centre crop. ``shrink``
        moves the target towards the mean of the known classes, each column by how far so few images can be trusted.

        Raises :class:`featdiff.errors.UserError` for ``shrink`` with fewer than six known classes.
        """
        table = self._of_features()
        examples = to_images(self.files.preparation.of(images, self.trained.data)).to(self.device)
        settings = Centroids(images_per_class=len(examples))
        rows = [
            class_centroid(self.trained.denoiser, examples, sigma, settings, 0, level)
            for level, sigma in enumerate(table.sigmas.tolist())
        ]
        means = torch.stack(rows)
        if shrink:
            means = towards_known(means, len(examples), table)
        return Target(name, means.to(table.values))

    def between(self, first: str | Target, second: str | Target, share: float = 0.5) -> Target:
        """The target on the line between two: 0 is the first, 1 the second; below and above lie past them."""
        one, other = self._target(first), self._target(second)
        values = torch.lerp(one.values, other.values, share)
        return Target(f"{one.name}-{share:g}-{other.name}", values, one.label)

    def _target(self, what: str | Target) -> Target:
        if isinstance(what, Target):
            return what
        label, table = self._label(what), self._of_features()
        return Target(what, table.values[label], label)

    def _of_features(self) -> CentroidTable:
        if self.table is None:
            raise UserError(
                "this model is not led by features, so it knows no targets beside its classes: load a model with "
                "condition: feature"
            )
        return self.table

    # --- the network ------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def features(self, images: Sequence[Picture] | Picture) -> np.ndarray:
        """``phi`` of clean images: (N, feature dimension) float32, the channel means that centroids are averages of."""
        x = to_images(self.files.preparation.of(images, self.trained.data)).to(self.device)
        clean = self.trained.denoiser.clean
        parts = [self.trained.denoiser.features(b, b.new_full((len(b),), clean)) for b in x.split(256)]
        return torch.cat(parts).float().cpu().numpy()

    @torch.inference_mode()
    def denoise(self, image: Any, sigma: float, condition: str | Target | None = None) -> np.ndarray:
        """The clean image that the network expects behind a noisy one, float32 in the form of ``image``.

        ``image`` is an array (H, W), (H, W, C) or (N, H, W, C) in [0, 1] plus noise of standard deviation ``sigma``
        (of a model with a corruption: corrupted to this level); ``condition`` a class or target, or nothing.
        """
        given = np.asarray(image)
        noisy = given.astype(np.float32) / np.float32(255 if given.dtype == np.uint8 else 1)
        data = self.trained.data
        batch = noisy.reshape(-1, data.size, data.size, data.channels) if _fits(noisy, data) else None
        if batch is None:
            raise UserError(
                f"denoise takes arrays of {data.size} x {data.size} pixels and {data.channels} channels in [0, 1]; got "
                f"shape {noisy.shape}"
            )
        x = torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous().to(self.device)
        t = x.new_full((len(x),), sigma)
        if condition is None:
            found = self._model.counted(x, t)
        else:
            denoiser, label, _, told = self._led(condition, 1.0)
            found = denoiser(x, t, torch.full((len(x),), label, device=self.device) if told else None)
        return found.permute(0, 2, 3, 1).float().cpu().numpy().reshape(noisy.shape)

    # --- to hand on -------------------------------------------------------------------------------------------------

    def export(self, folder: Path | str, *, license: str = "other", pictures: int = 8) -> Path:
        """Write all that the model needs into a new folder: weights in safetensors, centroids, ``config.json``, and a
        model card ``README.md`` in Hugging Face's form, with protocol, measures and pictures.

        :func:`featdiff.load` reads the folder, on this machine or from the hub.
        """
        from featdiff.api.export import write

        return write(self, Path(folder), licensed=license, pictures=pictures)


def _fits(array: np.ndarray, data: Any) -> bool:
    side = (data.size, data.size)
    if array.ndim == 2:
        return array.shape == side and data.channels == 1
    return array.ndim in (3, 4) and array.shape[-3:] == (*side, data.channels)
