"""k-diffusion: its first image model without attention (the cheapest it has), its Denoiser's loss, Euler ancestral."""

from typing import Any

import k_diffusion
import torch
from worker import Work

from contenders import common

# numbers of the mapping, depths and widths
SMALL, LARGE = (128, (1, 1, 1), (24, 32, 96)), (256, (2, 2, 2, 2), (64, 128, 192, 256))


def training(settings: dict[str, Any]) -> Work:
    """The step of its train.py: log-normal noise levels, the Karras loss, its optimiser's arguments replaced by
    ours."""
    denoiser, about = _denoiser(settings)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        noise = torch.randn_like(batch)
        sigma = (torch.randn(len(batch), device=batch.device) * 1.2 - 1.2).exp()
        with common.autocast(settings):
            return denoiser.loss(batch, noise, sigma).mean()

    return common.training(settings, denoiser, common.centred(settings), about, loss, clip=False)


def sampling(settings: dict[str, Any]) -> Work:
    denoiser, about = _denoiser(settings)
    denoiser.eval()
    device = common.device(settings)
    sigmas = k_diffusion.sampling.get_sigmas_karras(
        common.EVALUATIONS, common.SIGMA_END, common.SIGMA_START, device=device
    )
    shape = (settings["batch"], settings["channels"], settings["size"], settings["size"])

    @torch.no_grad()
    def run() -> None:
        with common.autocast(settings):
            x = torch.randn(shape, device=device) * common.SIGMA_START
            k_diffusion.sampling.sample_euler_ancestral(denoiser, x, sigmas, disable=True)

    return Work(run, settings["batch"] * common.EVALUATIONS, about)


def loading(settings: dict[str, Any]) -> Work:
    """The transforms of its train.py without its augmentation, which would cost more."""
    from torchvision import transforms

    from contenders.loaders import epochs

    size = settings["size"]
    steps = [
        transforms.Resize(size, interpolation=transforms.InterpolationMode.LANCZOS),
        transforms.CenterCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ]
    return epochs(k_diffusion.utils.FolderOfImages(settings["folder"], transform=transforms.Compose(steps)), settings)


def _denoiser(settings: dict[str, Any]) -> tuple[torch.nn.Module, dict[str, Any]]:
    mapping, depths, widths = common.network(settings, small=SMALL, large=LARGE)
    attention = (False,) * len(widths)
    network = k_diffusion.models.ImageDenoiserModelV1(settings["channels"], mapping, depths, widths, attention)
    image = torch.zeros(1, settings["channels"], settings["size"], settings["size"])
    about = common.about_network(network, lambda: network(image, torch.ones(1)))
    return k_diffusion.Denoiser(network, sigma_data=0.5).to(common.device(settings)), about
