"""The textures of a Debian package: materials are taken, things, maps and copies are left out, in any colour and
shifted."""

import io
import shutil
import subprocess
import zipfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from featdiff.data import archive, assets, textures
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.settings.data import Dataset

NEEDS_DPKG = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb unpacks the package")


def coarse(seed, side=512, contrast=40):
    """A texture that a thumbnail still shows: random blocks of 16 pixels."""
    blocks = np.random.default_rng(seed).normal(128, contrast, (side // 16, side // 16)).clip(0, 255)
    return np.kron(blocks, np.ones((16, 16))).astype(np.uint8)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def taken(images):
    files = {f"textures/tex_nature/{name}.png": png(pixels) for name, pixels in images.items()}
    return textures.distinct([(name, partial(files.get, name)) for name in files])


def names(images):
    return [textures.class_name(name).removeprefix("nature-") for name in taken(images)]


def test_copies_are_left_out_in_other_colours_and_shifted_as_tiles_may_be():
    rock = coarse(0)
    coloured = np.stack([rock, rock // 2, rock // 3 + 80], -1)
    images = {
        "rock1": rock,
        "rock2": coloured,
        "rock3": np.roll(rock, (160, 80), (0, 1)),
        "rock4": rock // 2 + 100,
        "rock5": coarse(1),
    }
    assert names(images) == ["rock1", "rock5"]


def test_what_is_taken_does_not_depend_on_the_order_of_the_files():
    images = {f"sand{i}": coarse(i % 3) for i in range(6)}
    assert names(images) == names(dict(reversed(images.items()))) == ["sand0", "sand1", "sand2"]


@pytest.mark.parametrize("name", ["door_wood01", "window_stone", "rock_nm", "rock_sm", "camel", "sign_stop"])
def test_things_and_maps_are_no_materials(name):
    assert names({name: coarse(0), "rock": coarse(1)}) == ["rock"]


def test_small_transparent_and_flat_images_are_left_out():
    clear = np.dstack([np.repeat(coarse(0)[..., None], 3, -1), np.full((512, 512), 255, np.uint8)])
    clear[0, 0, 3] = 254
    images = {
        "rock1": coarse(1, side=256),
        "rock2": clear,
        "rock3": coarse(2, contrast=4),
        "rock4": coarse(3, contrast=20),
    }
    assert names(images) == ["rock4"]


def package(folder, members):
    """A Debian package with the game's archive in its place; none if there are no members."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: made\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@example.org>\nDescription: made\n"
    (tree / "DEBIAN" / "control").write_text(control)
    if members:
        path = tree / textures.PACK
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as made:
            for name, data in members.items():
                made.writestr(name, data)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / "made.deb")],
        check=True,
        capture_output=True,
    )
    return folder / "made.deb"


@NEEDS_DPKG
def test_a_package_becomes_a_zip_of_classes_with_the_files_as_they_were_and_a_data_set(tmp_path, monkeypatch):
    members = {f"textures/tex_a/rock{i}.png": png(coarse(i)) for i in range(4)} | {"textures/tex_a/readme.txt": b"rock"}
    for out in ("one.zip", "two.zip"):
        textures.pack(package(tmp_path / out.removesuffix(".zip"), members), tmp_path / out)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as made:
        assert made.namelist() == [f"a-rock{i}/rock{i}.png" for i in range(4)]
        assert made.read("a-rock2/rock2.png") == members["textures/tex_a/rock2.png"]
    digest = assets.artifacts.sha256_file(tmp_path / "one.zip")
    monkeypatch.setitem(assets.ASSETS, "ufoai-textures", assets.Asset("none=0", digest, package="0", client="apt-get"))
    (tmp_path / "assets").mkdir()
    (tmp_path / "one.zip").rename(tmp_path / "assets" / "ufoai-textures.zip")
    row = {
        "source": {"kind": "asset", "name": "ufoai-textures"},
        "layout": {"kind": "patches", "size": 32, "stride": 16, "test_stride": 16, "scale": 0.5},
        "classes": {"new": 1, "known": 2, "take": "known"},
    }
    prepare(Dataset.model_validate(row), tmp_path / "d.zip", base=tmp_path)
    assert len(archive.read(tmp_path / "d.zip", "dataset").classes) == 2


@NEEDS_DPKG
def test_packages_that_are_not_the_expected_one_are_refused(tmp_path):
    with pytest.raises(UserError, match="did not find"):
        textures.pack(package(tmp_path / "a", {}), tmp_path / "out.zip")
    (tmp_path / "no.deb").write_bytes(b"not a package")
    with pytest.raises(UserError, match=r"no\.deb: .*fetch"):
        textures.pack(tmp_path / "no.deb", tmp_path / "out.zip")


def test_without_apt_the_message_names_the_folder_instead(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no apt-get and no dpkg-deb here: .*source: \{kind: folder, path: FOLDER\}"):
        assets.fetch("ufoai-textures", tmp_path / "out.zip", keep=tmp_path / "keep")
    assert not (tmp_path / "out.zip").exists()


def test_a_package_of_another_digest_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in {"apt-get": "echo other > made.deb", "dpkg-deb": "touch unpacked"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UserError, match=r"made\.deb: SHA-256 is .*, expected 51c9c6a7"):
        assets.fetch("ufoai-textures", tmp_path / "out.zip", keep=tmp_path / "keep")
