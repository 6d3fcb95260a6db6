"""The split of a photograph: no pixel in both parts, not even by way of the resampling filter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import maximum_filter

from featdiff.data import layouts
from featdiff.data.listing import BadImage
from featdiff.kinds.layouts import CropLayout, PatchLayout


def layout(size: int, stride: int = 2, test_stride: int = 8, scale: float = 1.0) -> PatchLayout:
    return PatchLayout(size=size, stride=stride, test_stride=test_stride, scale=scale)


def covered(shape: tuple[int, int], corners: np.ndarray, size: int) -> np.ndarray:
    """Where patches lie: four signed corners each, summed over rows and columns."""
    edges = np.zeros((shape[0] + 1, shape[1] + 1), int)
    for r, c, sign in ((0, 0, 1), (0, size, -1), (size, 0, -1), (size, size, 1)):
        np.add.at(edges, (corners[:, 0] + r, corners[:, 1] + c), sign)
    return edges.cumsum(0).cumsum(1)[:-1, :-1] > 0


@settings(deadline=None, max_examples=80)
@given(
    height=st.integers(8, 200),
    width=st.integers(8, 200),
    size=st.integers(8, 40),
    stride=st.integers(1, 9),
    fraction=st.floats(0.02, 0.95),
    scale=st.sampled_from([0.5, 1.0]),
)
def test_train_and_test_never_share_a_pixel(
    height: int, width: int, size: int, stride: int, fraction: float, scale: float
) -> None:
    try:
        train, test = layouts.patch_positions(height, width, layout(size, stride, stride, scale), fraction)
    except BadImage:
        return
    for corners in (train, test):
        assert len(corners) and corners.min() >= 0
        assert (corners.max(0) + size <= (height, width)).all()
        assert len(np.unique(corners, axis=0)) == len(corners)
    gap = layouts.GAP if scale < 1 else 0
    grown = maximum_filter(covered((height, width), train, size), size=2 * gap + 1, mode="constant")
    assert not (grown & covered((height, width), test, size)).any()


@pytest.mark.parametrize(("size", "test_stride"), [(24, 8), (32, 8)])
def test_default_photographs_give_enough_of_both(size: int, test_stride: int) -> None:
    train, test = layouts.patch_positions(256, 256, layout(size, 2, test_stride, 0.5), 0.25)
    assert len(train) >= 5000 and len(test) >= 150
    assert covered((256, 256), train, size).mean() > 0.65


def test_blocks_are_spread_and_cover_the_fraction() -> None:
    blocks = layouts.test_blocks(300, 600, 24, 0.25)
    assert len(blocks) == 3
    assert sum(b.height * b.width for b in blocks) == pytest.approx(0.25 * 300 * 600, rel=0.01)
    mask = np.zeros((300, 600), int)
    for b in blocks:
        mask[b.top : b.top + b.height, b.left : b.left + b.width] += 1
    assert mask.max() == 1
    for third in range(3):  # each third of the rows and of the columns is tested
        assert mask[third * 100 : third * 100 + 100].any() and mask[:, third * 200 : third * 200 + 200].any()


def test_test_patches_fill_their_block_at_most_the_stride_apart() -> None:
    _, test = layouts.patch_positions(256, 256, layout(24, 2, 7), 0.25)
    mask = covered((256, 256), test, 24)
    assert mask.sum() == sum(b.height * b.width for b in layouts.test_blocks(256, 256, 24, 0.25))


@pytest.mark.parametrize("scale", [0.5, 0.37, 0.9])
def test_no_pixel_of_the_unscaled_photograph_reaches_both(scale: float) -> None:
    """Invert every source pixel that test patches can see: no training patch changes; and the other way round."""
    rng = np.random.default_rng(0)
    rows, columns = 211, 190
    photo = rng.integers(0, 256, (rows, columns), np.uint8)
    where = layout(8, 1, 1, scale)
    scaled = layouts.scale(Image.fromarray(photo), where)
    height, width = scaled.shape[:2]
    train, test = layouts.patch_positions(height, width, where, 0.25)
    train_mask, test_mask = (covered((height, width), c, 8) for c in (train, test))
    seen = _sources_of(test_mask, (rows, columns), scale)
    assert seen.any() and not seen.all()
    other = np.where(seen, 255 - photo, photo)  # change all that the test patches see
    changed = layouts.scale(Image.fromarray(other.astype(np.uint8)), where)[..., 0] != scaled[..., 0]
    assert not changed[train_mask].any()
    other = np.where(seen, photo, 255 - photo)  # change all that they do not see
    changed = layouts.scale(Image.fromarray(other.astype(np.uint8)), where)[..., 0] != scaled[..., 0]
    assert not changed[test_mask].any() and changed[train_mask].mean() > 0.9


def _sources_of(mask: np.ndarray, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Source pixels within Lanczos' support (3 output pixels) of the masked output pixels, from its definition."""
    near = []
    for axis, length in enumerate(shape):
        step = length / mask.shape[axis]
        centres = (np.arange(mask.shape[axis]) + 0.5) * step
        near.append(np.abs(centres[:, None] - (np.arange(length) + 0.5)[None]) <= 3 * step)
    return (near[0].T.astype(int) @ mask.astype(int) @ near[1].astype(int)) > 0


def test_too_small_says_the_sizes() -> None:
    with pytest.raises(BadImage, match="20 x 100 pixels after scaling, smaller than the patch size of 24"):
        layouts.patch_positions(100, 20, layout(24), 0.25)
    with pytest.raises(BadImage, match="too small to split"):
        layouts.patch_positions(30, 30, layout(24), 0.25)


def test_centre_crop_takes_the_centre_of_the_resized_image() -> None:
    image = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (100, 1)))
    crop, row, column = layouts.centre_crop(image, CropLayout(kind="crop", size=50))
    assert crop.shape == (50, 50, 1) and (row, column) == (0, 25)
    expected = 2 * (np.arange(50) + 25) + 0.5  # a ramp stays a ramp under an antialiased resize
    assert np.abs(crop[:, :, 0] - expected).max() <= 1
    same, row, column = layouts.centre_crop(image, CropLayout(kind="crop", size=100))
    assert (same[..., 0] == np.asarray(image)[:, 50:150]).all()


def test_resizing_is_antialiased() -> None:
    checker = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    crop, _, _ = layouts.centre_crop(Image.fromarray(checker), CropLayout(kind="crop", size=32))
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() <= 2
    with pytest.raises(BadImage, match="256 x 256 pixels, smaller than the size of 300"):
        layouts.centre_crop(Image.fromarray(checker), CropLayout(kind="crop", size=300))
