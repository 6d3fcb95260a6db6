"""Grids of samples: their neighbours are the nearest real images, and many classes of large images fit on a page."""

import base64
import io
import re

import numpy as np
import pandas as pd
from PIL import Image

from featdiff import artifacts
from featdiff.data.archive import ImageArchive
from featdiff.reporting import grids, neighbours


def images(classes: int, each: int, side: int, channels: int, *splits: str) -> ImageArchive:
    """Noise, which compresses worst."""
    rows = [(split, label, f"c{label}") for split in splits for label in range(classes) for _ in range(each)]
    pixels = np.random.default_rng(len(splits)).integers(0, 256, (len(rows), side, side, channels), np.uint8)
    return ImageArchive(
        pixels, pd.DataFrame(rows, columns=["split", "label", "class"]), artifacts.manifest("dataset", {})
    )


def test_the_nearest_images_are_those_of_an_exhaustive_search_mirrored_or_not():
    training, random = images(3, 700, 6, 1, "train").images, np.random.default_rng(0)
    samples = training[[5, 900, 2000]].copy()
    samples[1] = samples[1][:, ::-1]  # mirrored
    samples[2, :2] = random.integers(0, 256, (2, 6, 1))
    found = neighbours.nearest(samples, training, 2)
    assert found.candidates == 2100 and found.rows[:, 0].tolist() == [5, 900, 2000]
    for sample, rows in zip(samples.astype(float), found.rows, strict=True):
        both = np.minimum(
            np.square(training - sample).mean((1, 2, 3)), np.square(training[:, :, ::-1] - sample).mean((1, 2, 3))
        )
        assert sorted(both[rows]) == sorted(both)[:2]


def test_below_each_sample_stand_its_nearest_training_images():
    data, guided = images(2, 3, 5, 3, "train", "test"), images(2, 2, 5, 3, "samples")
    figure = grids.sample_grids(data, guided, guided, images=2).shown
    assert figure.panels[0].markup.count("<img") == 2 and "<details" not in figure.panels[1].markup
    source = re.findall(r'src="data:image/png;base64,([^"]+)"', figure.panels[0].markup)[1]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))[..., :3]
    training = data.select(split="train").images
    for k in range(2):
        column = sheet[:, 6 * k : 6 * k + 5]
        np.testing.assert_array_equal(column[:5], guided.images[k])
        nearest = neighbours.nearest(guided.images[k : k + 1], training, 2).rows[0]
        np.testing.assert_array_equal(column[5:10], training[nearest[0]])
        np.testing.assert_array_equal(column[10:], training[nearest[1]])


def test_146_classes_of_64_pixels_in_colour_fit_on_a_page_all_of_them():
    data, guided = images(146, 3, 64, 3, "train", "test"), images(146, 3, 64, 3, "samples")
    found = grids.sample_grids(data, guided, guided, images=24)
    panels = [*found.shown.panels, *found.folded.panels]
    assert {panel.title for panel in panels} >= {f"c{label}, guided" for label in range(146)}
    assert found.count == 134 and len(found.folded.panels) == 2 * 134
    assert sum(len(panel.markup) for panel in panels) < 16_000_000  # the page has 20 MB
