"""From settings to a network."""

from featdiff.diffusion import corruptions
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.networks.unet import FeatureUNet
from featdiff.settings.corruption import CorruptionRow
from featdiff.settings.network import Network


def build(
    network: Network,
    *,
    condition: str,
    classes: int,
    channels: int,
    size: int,
    data_mean: float,
    data_std: float,
    corruption: CorruptionRow | None = None,
    clean_partners: bool = False,
) -> NetworkDenoiser:
    """A fresh denoiser for images of ``size`` x ``size`` pixels. Where the condition is not the feature the taps only
    read: their scales are not trained."""
    unet = FeatureUNet(
        channels,
        network.widths,
        network.matched_blocks,
        patch=network.patch,
        noise_embedding=network.noise_embedding,
        classes=classes if condition == "label" else 0,
        initial_scale=network.initial_scale,
        learned_scale=network.learned_scale and condition == "feature",
        deviation=network.deviation,
        grid=network.grid,
        zero_output=network.zero_output,
        block=network.block.build,
    )
    process = corruptions.process(corruption, size=size)
    return NetworkDenoiser(
        unet,
        form=network.form,
        data_mean=data_mean,
        data_std=data_std,
        process=process,
        clean_partners=clean_partners and condition == "feature",
    )
