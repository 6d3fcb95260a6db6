"""From a sampling's settings, checkpoints and centroid tables to one guided denoiser that counts its network
evaluations."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from featdiff.devices import compiling, devices
from featdiff.diffusion import guidance
from featdiff.diffusion.denoiser import Denoiser
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.features.centroids import CentroidTable
from featdiff.kinds.guidance import Guidance, StrongGuidance
from featdiff.models import checkpoint
from featdiff.models.checkpoint import Checkpoint
from featdiff.networks.denoiser import NetworkDenoiser


class Counted:
    """A denoiser that counts its evaluations."""

    def __init__(self, denoiser: Denoiser):
        self.denoiser = denoiser
        self.evaluations = 0

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        self.evaluations += 1
        return self.denoiser(x, t, condition)


class Source(NamedTuple):
    """The files of a model: its checkpoint and, if it is matched to features, its centroids."""

    checkpoint: Path
    centroids: Path | None = None

    def inputs(self, prefix: str = "") -> dict[str, Path]:
        """Both files by name, as a manifest lists them."""
        files = {f"{prefix}checkpoint": self.checkpoint, f"{prefix}centroids": self.centroids}
        return {name: path for name, path in files.items() if path is not None}

    def loaded(self) -> "Loaded":
        """Both files read; centroids of another checkpoint are refused."""
        table = None if self.centroids is None else centroids.read_for(self.centroids, self.checkpoint)
        return Loaded(checkpoint.read(self.checkpoint), table)


class Loaded(NamedTuple):
    """What the files of a model hold."""

    trained: Checkpoint
    table: CentroidTable | None = None


class Arithmetic(NamedTuple):
    """How the network computes: the precision of its products, and whether it is compiled first."""

    precision: str = "fp32"
    compile: bool = False

    def of(self, denoiser: NetworkDenoiser, device: torch.device) -> Denoiser:
        """The denoiser computing so, on its device; what it returns is float32 whatever the precision."""
        precision = devices.precision_of(self.precision, device)
        devices.allow_tf32(precision != "fp32")
        step: Denoiser = denoiser
        if self.compile:
            compiling.require_compiler(device)
            step = compiling.compiled(denoiser.forward, device)
        if precision != "bf16":
            return step

        def in_bf16(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16):
                return step(x, t, condition)

        return in_bf16


class Model:
    """A trained model on its device, to be told class labels (B,) whatever it understands: labels, centroids or
    nothing."""

    def __init__(self, source: Source | Loaded, device: torch.device, arithmetic: Arithmetic = Arithmetic()):  # noqa: B008
        self.trained, table = source.loaded() if isinstance(source, Source) else source
        self.device = device
        self.counted = Counted(arithmetic.of(self.trained.denoiser.to(device), device))
        self.table = None if table is None else table.to(device)

    def use(self, arithmetic: Arithmetic) -> None:
        """Compute in another way from now on."""
        self.counted.denoiser = arithmetic.of(self.trained.denoiser, self.device)

    def told(self, strength: float = 1.0) -> Denoiser:
        """The denoiser whose condition is a class label; ``strength`` moves the centroids of a feature model."""
        if self.trained.spec.condition != "feature":
            return self.counted
        if self.table is None:
            raise UserError("a feature-guided model needs the centroids of its checkpoint: give --centroids")
        return guidance.feature(self.counted, self.table.extrapolated(strength).at)

    def to_middle(self) -> Denoiser:
        """The denoiser of a feature model led to the mean of the known classes' centroids, whatever class it is
        told."""
        if self.table is None:
            raise UserError("guidance by difference needs the centroids of the checkpoint: give --centroids")
        return guidance.feature(self.counted, self.table.to_middle().at)


class GuidedDenoiser:
    """The denoiser of a sampling; :attr:`trained` describes the model that it samples from."""

    def __init__(
        self,
        settings: Guidance,
        source: Source | Loaded,
        weak: Source | None,
        device: torch.device,
        arithmetic: Arithmetic = Arithmetic(),  # noqa: B008
    ):
        model = Model(source, device, arithmetic)
        self.models = [model]
        self.trained = model.trained
        if weak is not None:
            self.models.append(Model(weak, device, arithmetic))
        guided = settings.guided(model, None if weak is None else self.models[1])
        if isinstance(settings, StrongGuidance) and settings.interval:
            low, high = settings.interval
            guided = guidance.limited_interval(guided, model.told(), low=low, high=high)
        self._denoise = guided

    def use(self, arithmetic: Arithmetic) -> None:
        """Let its networks compute in another way from now on."""
        for model in self.models:
            model.use(arithmetic)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels it can be told: those of its centroids, which may be of new classes, or of the data
        set."""
        table = self.models[0].table
        return table.classes if table is not None else self.trained.data.classes

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return self._denoise(x, t, condition)

    @property
    def evaluations(self) -> int:
        """Network evaluations so far, of the weak model too."""
        return sum(model.counted.evaluations for model in self.models)
