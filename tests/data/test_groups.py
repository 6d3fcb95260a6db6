"""Groups of one class: who is in them, how often, and that the choice is a function of random words and labels."""

import pytest
import torch

from featdiff.data.groups import Groups, distinct
from featdiff.errors import UserError
from featdiff.seeds import Streams


def chosen(counts, size, groups, *, seed=0):
    """Groups (groups, size) of rows, and the labels, of classes with so many images."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    words = Streams(seed, [("group", g) for g in range(groups)]).words(0, 8)[0]
    return Groups(labels, size=size).choose(words[:, 0], words[:, 1 : 1 + size]).view(groups, size), labels


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_group_is_of_one_class_and_its_images_differ(size):
    rows, labels = chosen([4, 7, 20], size, 300)
    assert (labels[rows] == labels[rows][:, :1]).all()
    assert all(len(set(row)) == size for row in rows.tolist())


def test_classes_are_drawn_uniformly_whatever_their_size_and_images_uniformly_within():
    rows, labels = chosen([2, 30], 2, 20_000)
    assert labels[rows[:, 0]].float().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / 20_000**0.5)
    counts = rows[:, 0].bincount()[labels == 1].float()
    assert (counts - 10_000 / 30).abs().max() < 5 * (10_000 / 30) ** 0.5


def test_every_ordered_choice_of_different_integers_is_equally_likely():
    words = Streams(0, [("distinct", i) for i in range(60_000)]).words(0, 4)[0, :, :3].T
    code = (distinct(words, torch.full((60_000,), 4)) * torch.tensor([16, 4, 1])[:, None]).sum(0)
    values, counts = code.unique(return_counts=True)
    assert len(values) == 24
    assert (counts - 2500).abs().max() < 5 * 50


def test_a_class_smaller_than_a_group_is_refused_with_its_count():
    with pytest.raises(UserError, match=r"label 1 has 2 training image.*fewer than the 3.*partners"):
        Groups(torch.tensor([0] * 5 + [1] * 2), size=3)


def test_ten_thousand_classes_are_drawn_from_without_a_loop_over_them():
    rows, labels = chosen([2] * 10_000, 2, 2048)
    assert len(labels[rows].unique()) > 1500
