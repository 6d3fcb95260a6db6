"""diffusers: its UNet2DModel without attention, DDPMScheduler and DDPMPipeline; the step of its unconditional
example."""

from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from worker import Work

from contenders import common

SMALL, LARGE = (16, 32, 56), (48, 96, 192, 224)  # widths


def training(settings: dict[str, Any]) -> Work:
    """The step of examples/unconditional_image_generation without its weight average."""
    network, about = _network(settings)
    scheduler = DDPMScheduler(num_train_timesteps=1000)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        noise, steps = torch.randn_like(batch), torch.randint(0, 1000, (len(batch),), device=batch.device)
        noisy = scheduler.add_noise(batch, noise, steps)
        with common.autocast(settings):
            return torch.nn.functional.mse_loss(network(noisy, steps).sample, noise)

    return common.training(settings, network, common.centred(settings), about, loss, clip=True)


def sampling(settings: dict[str, Any]) -> Work:
    network, about = _network(settings)
    pipeline = DDPMPipeline(network.eval(), DDPMScheduler(num_train_timesteps=1000))
    pipeline.set_progress_bar_config(disable=True)

    def run() -> None:
        with common.autocast(settings):
            pipeline(settings["batch"], num_inference_steps=common.EVALUATIONS, output_type="np")

    return Work(run, settings["batch"] * common.EVALUATIONS, about)


def _network(settings: dict[str, Any]) -> tuple[UNet2DModel, dict[str, Any]]:
    channels, size = settings["channels"], settings["size"]
    widths = common.network(settings, small=SMALL, large=LARGE)
    network = UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=widths,
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
        add_attention=False,
    )
    image = torch.zeros(1, channels, size, size)
    about = common.about_network(network, lambda: network(image, 1))
    return network.to(common.device(settings)), about
