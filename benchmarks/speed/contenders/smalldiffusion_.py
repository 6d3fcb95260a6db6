"""smalldiffusion: its Unet, its own training loop and sampler."""

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from smalldiffusion import ScheduleDDPM, samples, training_loop
from smalldiffusion.model_unet import Unet
from worker import Work

from contenders import common

SMALL = {"ch": 32, "ch_mult": (1, 1, 1), "embed_ch_mult": 2}
LARGE = {"ch": 64, "ch_mult": (1, 2, 2, 2), "embed_ch_mult": 4}


class Batches:
    """A loader over images in memory that never ends."""

    def __init__(self, data: torch.Tensor, size: int):
        self.data, self.size = data, size

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            yield self.data[torch.randint(len(self.data), (self.size,), device=self.data.device)]


def training(settings: dict[str, Any]) -> Work:
    """Its ``training_loop``: each step it yields is the loss of one batch and the update of the one before."""
    network, about = _network(settings)
    cpu = common.device(settings).type == "cpu"
    accelerator = Accelerator(cpu=cpu, mixed_precision="bf16" if settings["precision"] == "bf16" else "no")
    loader = Batches(common.centred(settings), settings["batch"])
    loop = training_loop(loader, network, ScheduleDDPM(), accelerator=accelerator, epochs=1, lr=1e-4)

    def run() -> None:
        for _ in range(common.steps(settings)):
            next(loop)

    return Work(run, settings["batch"] * common.steps(settings), about)


def sampling(settings: dict[str, Any]) -> Work:
    network, about = _network(settings)
    accelerator = Accelerator(cpu=common.device(settings).type == "cpu")
    sigmas = ScheduleDDPM().sample_sigmas(common.EVALUATIONS).to(accelerator.device)

    def run() -> None:
        with common.autocast(settings):
            for _ in samples(network, sigmas, gam=1, mu=0.5, batchsize=settings["batch"], accelerator=accelerator):
                pass

    return Work(run, settings["batch"] * common.EVALUATIONS, about)


def loading(settings: dict[str, Any]) -> Work:
    """Its examples read a torchvision data set through ``MappedDataset`` and its ``img_train_transform``."""
    from smalldiffusion import MappedDataset, img_train_transform
    from torchvision.datasets import ImageFolder

    from contenders.loaders import epochs

    return epochs(MappedDataset(ImageFolder(settings["folder"]), lambda item: img_train_transform(item[0])), settings)


def _network(settings: dict[str, Any]) -> tuple[Unet, dict[str, Any]]:
    channels, size = settings["channels"], settings["size"]
    chosen = common.network(settings, small=SMALL, large=LARGE)
    network = Unet(size, channels, channels, attn_resolutions=(), **chosen)
    image = torch.zeros(1, channels, size, size)
    about = common.about_network(network, lambda: network(image, torch.ones(1, 1, 1, 1)))
    return network.to(common.device(settings)), about
