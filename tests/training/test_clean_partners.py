"""The level at which clean partners are shown: under a corruption it is none at which images are cleaned."""

import pytest
import torch

from featdiff.data import archive
from featdiff.diffusion import levels
from featdiff.kinds.corruptions import BlurCorruption
from featdiff.models import checkpoint
from featdiff.training.loop import Objective, describe


@pytest.fixture
def soft_objective(tiny_dataset, tiny_spec):
    """The loss of a network under a blur, by its condition and its partners' noise."""

    def make(condition: str, partner_noise: str) -> Objective:
        network = tiny_spec.network.model_copy(update={"form": "soft"})
        training = tiny_spec.training.model_copy(update={"partner_noise": partner_noise})
        update = {"network": network, "training": training, "corruption": BlurCorruption(kind="blur")}
        spec = tiny_spec.model_copy(update={**update, "condition": condition})
        data = describe(archive.read(tiny_dataset, "dataset").select(split="train"))
        return Objective(checkpoint.new_denoiser(spec, data), spec)

    return make


def test_under_a_corruption_no_level_of_a_sampler_is_that_of_clean_partners(soft_objective):
    assert not 0 <= soft_objective("feature", "clean").denoiser.clean <= 1


@pytest.mark.parametrize(("condition", "partner_noise"), [("feature", "same"), ("none", "clean"), ("label", "clean")])
def test_without_clean_partners_the_least_corrupted_level_stands_for_clean(soft_objective, condition, partner_noise):
    assert soft_objective(condition, partner_noise).denoiser.clean == 0


def test_under_noise_alone_clean_partners_keep_their_level(tiny_dataset, tiny_spec):
    data = describe(archive.read(tiny_dataset, "dataset").select(split="train"))
    assert checkpoint.new_denoiser(tiny_spec, data).clean == levels.CLEAN


def test_the_network_reads_partners_at_their_own_level_and_cleans_at_all_others(soft_objective, monkeypatch):
    objective = soft_objective("feature", "clean")
    size = objective.spec.training.partners + 1
    met = []
    denoise = objective.denoiser._denoise
    monkeypatch.setattr(objective.denoiser, "_denoise", lambda x, t, *rest: met.append(t) or denoise(x, t, *rest))
    x = torch.rand(2 * size, 1, 8, 8)
    t = torch.rand(2 * size)
    objective(x, t, torch.randn(2, *x.shape))
    cleaned, read = torch.cat(met).chunk(2)
    assert torch.equal(cleaned, t) and torch.equal(read, torch.full_like(t, levels.BELOW))
