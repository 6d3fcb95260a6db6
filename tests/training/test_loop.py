"""The learning rate, the weight average and the objective against their formulas."""

import numpy as np
import pandas as pd
import pytest
import torch

from featdiff import artifacts
from featdiff.data.archive import ImageArchive
from featdiff.diffusion import levels, losses
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.network import Network
from featdiff.settings.training import HalvingDecay, LinearDecay, Training, TrainSpec
from featdiff.training import loop

DATA = DataDescription(classes=("a", "b"), channels=1, size=8, mean=0.5, std=0.2)


def objective(**options) -> loop.Objective:
    form = options.pop("form", "edm")
    network = Network(widths=(4, 6), form=form, noise_embedding=0 if form == "residual" else 8, zero_output=False)
    network = network.model_copy(update={"deviation": options.pop("deviation", False)})
    condition = options.pop("condition", "feature")
    training = Training(images=64, batch=16, **options)
    spec = TrainSpec(network=network, training=training, condition=condition, seed=0)
    return loop.Objective(checkpoint.new_denoiser(spec, DATA), spec)


def batch():
    g = torch.Generator().manual_seed(0)
    t = torch.rand(8, generator=g).repeat_interleave(2)
    return torch.rand(16, 1, 8, 8, generator=g), t, torch.randn(2, 16, 1, 8, 8, generator=g)


def test_the_literal_loss_is_the_residuals_distance_to_the_noise():
    module = objective(form="residual")
    x, t, z = batch()
    sigma = t.view(-1, 1, 1, 1)
    noisy = x + sigma * z[0]
    phi = module.denoiser.features(x + sigma * z[1], t).view(-1, 2, module.denoiser.feature_dim).flip(1).flatten(0, 1)
    residual = noisy - module.denoiser(noisy, t, phi)
    assert module(x, t, z).item() == pytest.approx((residual - sigma * z[0]).square().mean().item(), rel=1e-5)


def test_the_mixture_model_is_trained_without_partners():
    module = objective(condition="none")
    x, t, z = batch()
    first = module(x, t, z)
    z[1] = 7
    assert torch.equal(module(x, t, z), first)
    assert not any(tap.scale.requires_grad for tap in module.denoiser.network.taps.values())


def test_a_clean_partner_is_seen_without_its_noise():
    module = objective(partner_noise="clean")
    x, t, z = batch()
    first = module(x, t, z)
    z[1] = -z[1]
    assert module(x, t, z).item() == pytest.approx(first.item(), rel=2e-3)


def test_partners_between_are_clean_or_noisy_up_to_their_images_level_as_their_shares_say():
    x, t, z = batch()
    clean, between, same = (objective(partner_noise=kind) for kind in ("clean", "between", "same"))
    none, all_of_it = torch.zeros(16), torch.ones(16)
    assert torch.equal(between(x, t, z, None, none), clean(x, t, z))
    assert torch.equal(between(x, t, z, None, all_of_it), same(x, t, z))
    shares = torch.tensor([0.0, 0.5]).repeat_interleave(2).repeat(4)
    phi = between.denoiser.features(x + (shares * t).view(-1, 1, 1, 1) * z[1], (shares * t).clamp(min=levels.CLEAN))
    targets = phi.view(-1, 2, between.denoiser.feature_dim).flip(1).flatten(0, 1)
    estimates = between.denoiser(x + t.view(-1, 1, 1, 1) * z[0], t, targets)
    expected = losses.denoising(estimates, x, losses.weight("edm", t, DATA.std))
    assert between(x, t, z, None, shares).item() == pytest.approx(expected.item(), rel=2e-3)


def test_the_partners_loss_is_the_unconditional_denoising_loss():
    x, t, z = batch()
    with_loss, without = objective(partner_loss=2.0), objective()
    noisy = x + t.view(-1, 1, 1, 1) * z[1]
    weights = (t**2 + 0.2**2) / (t * 0.2) ** 2
    plain = (weights * (with_loss.denoiser(noisy, t) - x).square().flatten(1).mean(1)).mean()
    assert (with_loss(x, t, z) - without(x, t, z)).item() == pytest.approx(2 * plain.item(), rel=1e-4)


def test_the_learning_rate_warms_up_and_decays_to_zero_at_the_end():
    training = Training(
        images=1000, batch=10, learning_rate=1.0, warmup=100, decay=LinearDecay(kind="linear", fraction=0.4)
    )
    rates = [loop.learning_rate(training, n) for n in (0, 50, 100, 600, 800, 990)]
    assert rates == pytest.approx([0.1, 0.6, 1.0, 1.0, 0.5, 0.025])


def test_the_papers_rate_is_halved_every_tenth_of_training():
    training = Training(images=1000, batch=10, learning_rate=1.0, warmup=0, decay=HalvingDecay(kind="halving", times=9))
    rates = [loop.learning_rate(training, n) for n in (0, 99, 100, 550, 999)]
    assert rates == pytest.approx([1, 1, 0.5, 0.5**5, 0.5**9])


def test_the_average_of_constant_weights_is_their_value_and_moves_by_the_decay():
    values, average = torch.tensor([1.0, -2.0, 0.5]), torch.zeros(3)
    loop.update_average(average, values, decay=0.75)
    assert torch.allclose(average, 0.25 * values)
    for _ in range(200):
        loop.update_average(average, values, decay=0.75)
    assert torch.allclose(average, values)


def drawn(spec: TrainSpec, k: int):
    """Batch k of a fresh run over 40 images of two classes, in turn."""
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 1), dtype=np.uint8)
    index = pd.DataFrame({"path": "", "split": "train", "label": np.arange(40) % 2, "class": ["a", "b"] * 20})
    return loop.Batches(
        spec, ImageArchive(images, index, artifacts.manifest("dataset", {})), torch.device("cpu")
    ).batch(k)


def changed(spec: TrainSpec, condition: str = "feature", **training) -> TrainSpec:
    return spec.model_copy(
        update={"condition": condition, "training": spec.training.model_copy(update=training), "seed": spec.seed}
    )


def test_a_batch_depends_on_its_number_alone_and_groups_share_their_noise_level(tiny_spec):
    one, two = drawn(tiny_spec, 5), drawn(tiny_spec, 5)
    assert all(torch.equal(a, b) for a, b in zip(one[:3], two[:3], strict=True)) and one[3] is None
    t = one[1].view(-1, 4)
    assert bool((t == t[:, :1]).all()) and len(t.unique()) == len(t)


def test_clean_partners_leave_each_image_of_a_group_its_own_noise_level(tiny_spec):
    assert len(drawn(changed(tiny_spec, partner_noise="clean"), 5)[1].unique()) == tiny_spec.training.batch


def test_of_partners_between_half_are_clean_and_the_others_evenly_noisy_up_to_their_images_level(tiny_spec):
    shares = torch.stack([drawn(changed(tiny_spec, partner_noise="between"), k)[4] for k in range(200)]).view(-1, 4)
    assert bool((shares == shares[:, :1]).all())
    noisy = shares[:, 0][shares[:, 0] > 0]
    assert abs(len(noisy) / len(shares) - 0.5) < 4 * (0.25 / len(shares)) ** 0.5
    assert noisy.max() <= 1 and abs(noisy.mean() - 0.5) < 4 * (1 / 12 / len(noisy)) ** 0.5


def test_a_share_of_labels_is_hidden_and_the_others_are_the_images_own(tiny_spec):
    never, half = (changed(tiny_spec, "label", label_dropout=share) for share in (0, 0.5))
    own = torch.cat([drawn(never, k)[3] for k in range(40)])
    told = torch.cat([drawn(half, k)[3] for k in range(40)])
    hidden = told == 2
    assert set(own.tolist()) == {0, 1} and torch.equal(told[~hidden], own[~hidden])
    assert abs(hidden.float().mean() - 0.5) < 4 * (0.25 / len(told)) ** 0.5


def test_a_share_of_targets_is_hidden_and_nothing_else_of_a_batch_changes(tiny_spec):
    half = changed(tiny_spec, target_dropout=0.5)
    told = torch.cat([drawn(half, k)[3] for k in range(40)])
    assert told.dtype == torch.bool and abs(told.float().mean() - 0.5) < 4 * (0.25 / len(told)) ** 0.5
    assert drawn(changed(tiny_spec, target_dropout=0.0), 5)[3] is None
    assert all(torch.equal(a, b) for a, b in zip(drawn(half, 5)[:3], drawn(tiny_spec, 5)[:3], strict=True))
    assert drawn(changed(tiny_spec, "none", target_dropout=0.5), 5)[3] is None


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("deviation", [True, False])
def test_images_whose_target_is_hidden_are_denoised_without_one_and_the_others_as_ever(gradient, deviation):
    module = objective(partner_gradient=gradient, target_dropout=0.5, deviation=deviation)
    x, t, z = batch()
    noisy, partners = (x + t.view(-1, 1, 1, 1) * part for part in z)
    hidden = torch.tensor([True, False, False, True] * 4)

    def estimates(hidden):
        return module.denoiser.matched_to_group(noisy, t, partners, t, size=2, gradient=gradient, hidden=hidden)[0]

    matched, some, free = estimates(None), estimates(hidden), module.denoiser(noisy, t)
    assert torch.equal(some[~hidden], matched[~hidden])
    assert torch.allclose(some[hidden], free[hidden], atol=1e-5) and not torch.allclose(some, matched, atol=1e-3)
    assert torch.equal(estimates(~hidden | hidden), estimates(torch.ones_like(hidden)))
    weights = losses.weight("edm", t, DATA.std)
    expected = losses.denoising(torch.where(hidden.view(-1, 1, 1, 1), free, matched), x, weights)
    assert torch.allclose(module(x, t, z, hidden), expected, rtol=1e-5)


def test_with_no_target_hidden_the_loss_and_its_gradient_have_the_bits_they_had_without_the_setting():
    def of(hidden):
        module = objective(target_dropout=0.0)
        loss = module(*batch(), hidden)
        loss.backward()
        return [loss.detach(), *(p.grad for p in module.parameters() if p.grad is not None)]

    plain, none_hidden = of(None), of(torch.zeros(16, dtype=torch.bool))
    assert len(plain) == len(none_hidden) and all(torch.equal(*pair) for pair in zip(plain, none_hidden, strict=True))


def test_a_label_network_is_trained_on_the_label_alone_and_without_one_on_none():
    module = objective(condition="label", label_dropout=0.3)
    x, t, z = batch()
    labels = torch.tensor([0, 1] * 8)
    noisy = x + t.view(-1, 1, 1, 1) * z[0]
    expected = losses.denoising(module.denoiser(noisy, t, labels), x, losses.weight("edm", t, DATA.std))
    assert torch.equal(module(x, t, z, labels), expected)
    none = torch.full((16,), 2)
    assert torch.equal(module.denoiser(noisy, t, none), module.denoiser(noisy, t))
    assert not torch.equal(module.denoiser(noisy, t, labels), module.denoiser(noisy, t))


def test_a_model_of_one_class_sees_no_image_of_another(tiny_dataset, tiny_spec, tmp_path, monkeypatch):
    seen = []
    plain = loop.Batches.batch
    monkeypatch.setattr(loop.Batches, "batch", lambda self, k: seen.append(self.groups.labels) or plain(self, k))
    spec = changed(tiny_spec, "none", images=64).model_copy(update={"only": "stripes"})
    loop.train(spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path)
    assert seen and all(set(labels.tolist()) == {1} for labels in seen)
    assert checkpoint.read(tmp_path / "checkpoint.safetensors").data.classes == ("flat", "stripes")
    with pytest.raises(UserError, match="no class 'dots'.*flat, stripes"):
        loop.train(spec.model_copy(update={"only": "dots"}), tiny_dataset, tmp_path / "no", state=tmp_path)
