"""Groups of one class: who is in them, how often, and that a batch depends on its number alone."""

import numpy as np
import pytest
import torch

from featdiff.data.groups import GroupBatches, distinct
from featdiff.errors import UserError


def batches(counts, group, **options) -> GroupBatches:
    """Each image is filled with its own number, so that a batch tells which images it is made of."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    return GroupBatches(images, labels, group=group, seed=0, **{"flip": False, **options})


@pytest.mark.parametrize("group", [2, 3, 4])
def test_a_group_is_of_one_class_and_its_images_differ(group):
    drawn = batches([4, 7, 20], group)
    for k in range(50):
        x, labels = drawn.batch(k, 6 * group)
        number = (x[:, 0, 0, 0] * 255).round().long().view(-1, group)
        assert (labels.view(-1, group) == labels.view(-1, group)[:, :1]).all()
        assert all(len(set(row.tolist())) == group for row in number)


def test_classes_are_drawn_uniformly_whatever_their_size():
    drawn = batches([2, 30], 2)
    labels = torch.cat([drawn.batch(k, 64)[1] for k in range(200)])
    assert labels.float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_every_ordered_choice_of_different_integers_is_equally_likely():
    draws = torch.rand(3, 60_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chosen = distinct(draws, torch.full((60_000,), 4))
    code = (chosen * torch.tensor([16, 4, 1])[:, None]).sum(0)
    values, counts = code.unique(return_counts=True)
    assert len(values) == 24
    assert (counts - 2500).abs().max() < 5 * 50


def test_a_batch_depends_on_its_number_alone():
    one, two = batches([9, 9], 3, flip=True), batches([9, 9], 3, flip=True)
    for k in (0, 5, 2):
        two.batch(k, 30)
    assert torch.equal(one.batch(7, 30)[0], two.batch(7, 30)[0])
    assert not torch.equal(one.batch(7, 30)[0], one.batch(8, 30)[0])


def test_a_class_smaller_than_a_group_is_refused_with_its_count():
    with pytest.raises(UserError, match=r"label 1 has 2 training image.*fewer than the 3.*partners"):
        batches([5, 2], 3)


def test_ten_thousand_classes_are_drawn_from_without_a_loop_over_them():
    labels = np.repeat(np.arange(10_000), 2)
    drawn = GroupBatches(np.zeros((20_000, 2, 2, 1), np.uint8), labels, group=2, seed=0, flip=False)
    assert len(drawn.batch(0, 4096)[1].unique()) > 1500
