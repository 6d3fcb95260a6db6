"""denoising-diffusion-pytorch (lucidrains): its Unet, its GaussianDiffusion's loss and DDIM, its folder data set."""

from typing import Any

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from worker import Work

from contenders import common

SMALL, LARGE = (24, (1, 2)), (32, (1, 2, 4, 8))  # width, its multiples


def training(settings: dict[str, Any]) -> Work:
    """The step of its Trainer: loss of its diffusion, clipping, its optimiser's arguments replaced by ours."""
    diffusion, about = _diffusion(settings)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        with common.autocast(settings):
            return diffusion(batch)

    data = (common.centred(settings) + 1) / 2
    return common.training(settings, diffusion, data, about, loss, clip=True)


def sampling(settings: dict[str, Any]) -> Work:
    diffusion, about = _diffusion(settings, sampling_timesteps=common.EVALUATIONS)
    diffusion.eval()

    def run() -> None:
        with common.autocast(settings):
            diffusion.sample(batch_size=settings["batch"])

    return Work(run, settings["batch"] * common.EVALUATIONS, about)


def loading(settings: dict[str, Any]) -> Work:
    from denoising_diffusion_pytorch.denoising_diffusion_pytorch import Dataset

    from contenders.loaders import epochs

    return epochs(Dataset(settings["folder"], settings["size"], augment_horizontal_flip=True), settings)


def _diffusion(settings: dict[str, Any], **more: Any) -> tuple[GaussianDiffusion, dict[str, Any]]:
    width, multiples = common.network(settings, small=SMALL, large=LARGE)
    network = Unet(width, channels=settings["channels"], dim_mults=multiples)
    image = torch.zeros(1, settings["channels"], settings["size"], settings["size"])
    about = common.about_network(network, lambda: network(image, torch.zeros(1)))
    diffusion = GaussianDiffusion(network, image_size=settings["size"], timesteps=1000, **more)
    return diffusion.to(common.device(settings)), about
