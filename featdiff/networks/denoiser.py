"""A network as a denoiser: from the noisy image to the estimate of the clean one.

Three parameterisations, by setting:

- ``edm`` (Karras et al., arXiv 2206.00364, equation 7): ``x0_hat = c_skip (x - mean) + c_out f(c_in (x - mean),
c_noise) + mean``
  with the noise level embedded. Inputs and targets of the network have unit variance at every noise level.
- ``residual`` (arXiv 2410.11646): ``x0_hat = x - f(x)``, blind to the noise level.
- ``soft`` (arXiv 2209.05442): ``x0_hat = x + s f((x - mean) / s, t)``, for any corruption, told its level t; the scale
  ``s^2 = data_std^2 + sigma_t^2`` is ours.
"""

import torch
from torch import Tensor, nn

from featdiff.diffusion import levels
from featdiff.diffusion.corruptions import Process, variance_exploding
from featdiff.networks.matching import Match, except_for, mean_of_others, to_features, to_group, unmatched
from featdiff.networks.normalisation import at_least_float
from featdiff.networks.unet import FeatureUNet


class NetworkDenoiser(nn.Module):
    """``denoiser(x, t, condition)``: images (B, C, H, W) in [0, 1], corrupted by ``process`` to level ``t`` (B,).

    Without a corruption that is noise of standard deviation ``t``.

    ``condition`` is a target feature vector (B, feature_dim), for a network with a label embedding labels (B,) of which
    ``classes`` stands for no label, or None for the unconditional network.
    """

    def __init__(
        self,
        network: FeatureUNet,
        *,
        form: str,
        data_mean: float,
        data_std: float,
        process: Process | None = None,
        clean_partners: bool = False,
    ):
        super().__init__()
        self.network = network
        self.form = form
        self.data_mean = data_mean
        self.data_std = data_std
        self.process = process or variance_exploding()
        self.clean_partners = clean_partners

    @property
    def clean(self) -> float:
        """The level that stands for a clean image; under a corruption one of its own if the network learns from
        such."""
        if self.form == "soft":
            return levels.BELOW if self.clean_partners else 0.0
        return levels.CLEAN

    @property
    def feature_dim(self) -> int:
        return self.network.feature_dim

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            return self._denoise(x, t, unmatched)[0]
        if condition.is_floating_point():
            return self._denoise(x, t, to_features(condition))[0]
        return self._denoise(x, t, unmatched, condition)[0]

    def features(self, x: Tensor, t: Tensor) -> Tensor:
        """``phi(x)``, of shape (B, feature_dim): the channel means of the unconditional pass."""
        return self._denoise(x, t, unmatched)[1]

    def matched_to_group(
        self,
        x: Tensor,
        t: Tensor,
        partners: Tensor,
        partners_t: Tensor,
        *,
        size: int,
        gradient: bool = True,
        hidden: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Denoise images matched to the others of their group (see :func:`to_group`), but for those whose target is
        ``hidden`` (B,) bool: they are told nothing.

        Returns the clean estimates of the images and, unconditional, of the partners; both (B, C, H, W). Without
        ``gradient`` the partners' features are constants, and a training step costs two thirds.
        """
        if gradient:
            match = except_for(hidden, to_group(size))
            both, _ = self._denoise(torch.cat([x, partners]), torch.cat([t, partners_t]), match)
            estimates, partner_estimates = both.chunk(2)
            return estimates, partner_estimates
        with torch.no_grad():
            partner_estimates, phi = self._denoise(partners, partners_t, unmatched)
        match = except_for(hidden, to_features(mean_of_others(phi, size)))
        return self._denoise(x, t, match)[0], partner_estimates

    def _denoise(self, x: Tensor, t: Tensor, match: Match, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.form == "residual":
            residual, phi = self.network(x, match=match)
            return x - at_least_float(residual), phi
        sigma = self.process.sigma(t).view(-1, 1, 1, 1)
        total = (sigma**2 + self.data_std**2).sqrt()
        centred = x - self.data_mean
        if self.form == "soft":
            output, phi = self.network(centred / total, t, match, labels)
            return x + total * at_least_float(output), phi
        output, phi = self.network(centred / total, t.log() / 4, match, labels)
        skip = self.data_std**2 / total**2 * centred
        return skip + sigma * self.data_std / total * at_least_float(output) + self.data_mean, phi
