"""Sampling is the same however it is sharded; gathering refuses what does not belong together."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.kinds.samplers import SAMPLERS
from featdiff.sampling import shards
from featdiff.sampling.gathering import gather
from featdiff.sampling.shards import Draw
from featdiff.settings.centroids import Centroids
from featdiff.settings.sampling import Sampling

KINDS = [name for name, kind in SAMPLERS.items() if not kind.corruptions]


def sampling(**changes) -> Sampling:
    row = {
        "model": "tiny",
        "guidance": {"kind": "feature"},
        "sampler": {"kind": "ddpm", "steps": 6},
        "images": 5,
        "sigma_start": 2.0,
        "sigma_end": 0.05,
        "batch": 4,
        "seed": 3,
    }
    return Sampling.model_validate({**row, **changes})


@pytest.fixture(scope="module")
def table(tiny_dataset, tiny_checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("centroids") / "centroids.npz"
    centroids.extract(Centroids(levels=5, images_per_class=64, draws=2), tiny_dataset, tiny_checkpoint, path)
    return path


def draw(settings, model, table, folder):
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"{k}.zip" for k in range(settings.shards)]
    for k, part in enumerate(parts):
        shards.sample_shard(settings, model, table, k, part)
    gather(parts, folder / "samples.zip")
    return archive.read(folder / "samples.zip", "samples")


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_is_the_same_bit_for_bit_at_any_number_of_shards(kind, tiny_checkpoint, table, tmp_path):
    options = {} if kind == "ascent" else {"steps": 6}
    row = sampling(sampler={"kind": kind, **options}, sigma_end=0.3 if kind == "ascent" else 0.05)
    whole = draw(row, tiny_checkpoint, table, tmp_path / "whole")
    split = draw(row.model_copy(update={"shards": 3}), tiny_checkpoint, table, tmp_path / "split")
    assert whole.images.shape == (10, 8, 8, 1)
    assert np.array_equal(whole.images, split.images)
    assert whole.index["index"].tolist() == [0, 1, 2, 3, 4] * 2
    assert len({image.tobytes() for image in whole.images}) == 10


def test_so_is_it_where_the_shards_leave_part_batches_of_several_sizes(tiny_checkpoint, table, tmp_path):
    row = sampling(images=20, batch=32)
    whole, split = (
        draw(row.model_copy(update={"shards": count}), tiny_checkpoint, table, tmp_path / str(count))
        for count in (1, 7)
    )
    assert np.array_equal(whole.images, split.images)


def test_the_batch_size_changes_no_pixel_by_more_than_one_gray_level(tiny_checkpoint, table, tmp_path):
    images = [
        draw(sampling(batch=size), tiny_checkpoint, table, tmp_path / str(size)).images.astype(int)
        for size in (1, 4, 16)
    ]
    assert np.abs(images[0] - images[1]).max() <= 1 and np.abs(images[0] - images[2]).max() <= 1


def test_more_images_leave_the_first_ones_as_they_were(tiny_checkpoint, table, tmp_path):
    few = draw(sampling(images=2), tiny_checkpoint, table, tmp_path / "few")
    many = draw(sampling(images=5), tiny_checkpoint, table, tmp_path / "many")
    kept = (many.index["index"] < 2).to_numpy()
    assert np.array_equal(few.images, many.images[kept])


def test_a_row_tells_how_its_image_was_made(tiny_checkpoint, table, tmp_path):
    index = draw(sampling(sampler={"kind": "heun", "steps": 6}), tiny_checkpoint, table, tmp_path).index
    assert index.loc[7, ["path", "class", "label", "index"]].tolist() == ["stripes/000002.png", "stripes", 1, 2]
    assert set(index["evaluations"]) == {11} and set(index["sampler"]) == {"heun"}
    assert set(index["seed"]) == {3} and set(index["strength"]) == {1.0}


def test_guidance_changes_the_sample_and_the_unconditional_one_has_no_class(tiny_checkpoint, table, tmp_path):
    free = draw(sampling(guidance={"kind": "none"}), tiny_checkpoint, None, tmp_path / "free")
    guided = draw(sampling(), tiny_checkpoint, table, tmp_path / "guided")
    assert free.index["label"].tolist() == [-1] * 5 and free.index["path"][0] == "unconditional/000000.png"
    one, two = guided.select(label=0).images, guided.select(label=1).images
    assert not np.array_equal(one, two)


def test_shards_cover_every_image_once():
    everything = shards.draws(sampling(images=7), ("a", "b", "c"))
    assert everything[8] == Draw(1, 1)
    for count in (1, 2, 5, 40):
        parts = [shards.of_shard(everything, k, count) for k in range(count)]
        assert [d for part in parts for d in part] == everything
    with pytest.raises(UserError, match="shard 2 does not exist.*0 to 1"):
        shards.of_shard(everything, 2, 2)


def test_a_missing_shard_or_a_stranger_is_refused(tiny_checkpoint, table, tmp_path):
    row = sampling(shards=2)
    paths = [tmp_path / f"{k}.zip" for k in range(2)]
    for k, path in enumerate(paths):
        shards.sample_shard(row, tiny_checkpoint, table, k, path)
    with pytest.raises(UserError, match="1 shards hold 5 images"):
        gather(paths[:1], tmp_path / "samples.zip")
    stranger = tmp_path / "stranger.zip"
    shards.sample_shard(row.model_copy(update={"seed": 4}), tiny_checkpoint, table, 1, stranger)
    with pytest.raises(UserError, match="a shard of another sampling"):
        gather([paths[0], stranger], tmp_path / "samples.zip")
    assert not (tmp_path / "samples.zip").exists()


def test_feature_guidance_without_centroids_is_refused(tiny_checkpoint, tmp_path):
    with pytest.raises(UserError, match="give --centroids"):
        shards.sample_shard(sampling(), tiny_checkpoint, None, 0, tmp_path / "0.zip")


def test_part_batches_are_padded_on_a_cpu_to_a_multiple_compiled_to_the_batch_and_elsewhere_not_at_all():
    sizes = {
        (kind, compiled): [
            shards._size(count, sampling(batch=40, compile=compiled), torch.device(kind)) for count in (3, 16, 33, 40)
        ]
        for kind in ("cpu", "cuda")
        for compiled in (False, True)
    }
    assert sizes["cpu", False] == [16, 16, 40, 40]
    assert sizes["cuda", False] == [3, 16, 33, 40]
    assert sizes["cpu", True] == sizes["cuda", True] == [40] * 4


def test_gathering_starts_without_torch():
    code = "import sys, featdiff.sampling.gathering; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
