"""The bridge: its law, its measures against closed forms and exact denoisers, and a small network that is really
trained."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from featdiff import artifacts
from featdiff.cli import app
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.mixture import BRIDGE_TABLES, bridge
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.models.checkpoint import DataDescription
from featdiff.reporting import bridge as drawn
from featdiff.reporting import templates
from featdiff.settings.base import parse
from featdiff.settings.mixture import Bridge

SMALL = {
    "side": 4,
    "weights": [[1.0], [0.7, 0.3]],
    "shift": 0.2,
    "contrast": 0.05,
    "images_per_class": 300,
    "network": {"widths": [8, 16], "noise_embedding": 16},
    "training": {
        "images": 16_000,
        "batch": 32,
        "partners": 3,
        "partner_noise": "clean",
        "noise": {"kind": "lognormal", "mean": -1.4, "std": 1.2},
        "flip": False,
        "precision": "fp32",
        "learning_rate": 5e-3,
    },
    "sigmas": [0.05, 0.5],
    "points": 200,
    "redraws": 5,
    "samplers": [{"kind": "ddpm", "steps": 12}, {"kind": "heun", "steps": 6}],
}


@pytest.fixture(scope="module")
def settings() -> Bridge:
    return parse(Bridge, SMALL, "small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bridge")
    call = ["mixture-bridge", "--settings", json.dumps(SMALL), "--out", str(out / "out"), "--state", str(out / "state")]
    done = CliRunner().invoke(app, [*call, "--threads", "2"])
    assert done.exit_code == 0, done.output
    return out


def told_exactly(settings: Bridge) -> bridge.Trained:
    """Exact denoisers in the place of both networks."""
    data = DataDescription(classes=("a", "b"), channels=1, size=settings.side, mean=0.5, std=0.2)
    exact = MixtureDenoiser(bridge.image_mixture(settings))
    stand_in = SimpleNamespace(denoiser=exact, data=data, spec=SimpleNamespace(corruption=None))
    return bridge.Trained(stand_in, stand_in, exact)  # type: ignore[arg-type]


def test_training_images_have_the_moments_of_the_law_rounding_included(tmp_path, settings):
    many = settings.model_copy(update={"images_per_class": 20_000, "contrast": 0.01})  # rounding is a hundredth of that
    law = bridge.image_mixture(many)
    bridge.write_dataset(law, many, tmp_path / "data.zip")
    data = archive.read(tmp_path / "data.zip", "dataset")
    for y in range(2):
        pixels = torch.from_numpy(data.select(label=y).images).flatten(1).double() / 255
        own = law.given(y)
        error = (own.covariance().diagonal() / len(pixels)).sqrt()
        assert ((pixels.mean(0) - own.mean()).abs() < 5 * error).all()
        share = pixels.T.cov().trace() / own.covariance().trace()
        assert abs(share - 1) < 0.05
        assert pixels.min() > 0 and pixels.max() < 1  # nothing was cut off


def test_measures_of_moved_and_stretched_components_are_known(settings):
    law = bridge.image_mixture(settings)
    x, drawn_from = law.given(1).sample(20_000, torch.Generator().manual_seed(0))
    found = bridge._measured(law, 1, x)
    assert found["1", "weight"] == pytest.approx(0.7, abs=0.02) and found["2", "weight"] == pytest.approx(0.3, abs=0.02)
    assert found["none", "weight"] == 0 and ("0", "weight") not in found
    pixel = law.covariances[1].diagonal().mean().sqrt()
    middle = law.means[1]
    own = x[drawn_from == 0]
    moved = bridge._measured(law, 1, own + 0.5 * pixel)
    assert moved["1", "mean"] == pytest.approx(0.5, abs=0.05)
    stretched = bridge._measured(law, 1, middle + 1.2 * (own - middle))
    assert stretched["1", "variance"] == pytest.approx(1.44, abs=0.03)
    assert stretched["1", "covariance"] == pytest.approx(0.44, abs=0.05)


def test_exact_denoisers_in_the_networks_place_have_no_excess_and_the_gap_is_the_posteriors(settings):
    law = bridge.image_mixture(settings)
    rows = pd.DataFrame(bridge.denoising(law, told_exactly(settings), settings))
    table = rows.set_index(["denoiser", "truth", "sigma"])["excess"].sort_index()
    for key in (("guided, right class", "conditional"), ("unguided", "unconditional")):
        assert (table[key] < 1e-12).all()  # the networks' single precision
    gap = table["exact, class unknown", "conditional"]
    np.testing.assert_allclose(gap, table["unguided", "conditional"], rtol=1e-3, atol=1e-12)
    best = rows.drop_duplicates(["truth", "sigma"]).set_index(["truth", "sigma"])["best"]
    more = best["unconditional", 0.5] - best["conditional", 0.5]  # by the law of total variance the gap, too
    assert more == pytest.approx(gap[0.5], rel=0.25)


def test_exact_denoisers_in_the_networks_place_give_the_exact_denoisers_samples(settings):
    rows, pictures = bridge.components(bridge.image_mixture(settings), told_exactly(settings), settings, threads=2)
    table = pd.DataFrame(rows).set_index(["group", "component", "sampler", "measure", "denoiser"])["value"].unstack()
    pd.testing.assert_series_equal(table["network"], table["exact denoiser"], check_names=False)
    found = pd.DataFrame(rows)
    weights = found[(found["measure"] == "weight") & (found["denoiser"] == "network")]
    away = (weights["value"] - weights["exact"]).abs()
    assert (away <= 4 * (weights["exact"] * (1 - weights["exact"]) / settings.points) ** 0.5 + 0.02).all()
    assert set(pictures) == {f"{kind} {group}" for kind in ("exact", "ddpm", "heun") for group in (-1, 0, 1)}


@pytest.mark.slow
def test_a_trained_network_uses_the_centroid_and_comes_near_the_exact_denoiser(folder):
    rows = pd.read_csv(folder / "out" / "denoising.csv").set_index(["denoiser", "truth", "sigma"])["share"].sort_index()
    unknown = rows["exact, class unknown", "conditional", 0.5]
    assert rows["guided, right class", "conditional", 0.5] < unknown / 3
    assert rows["unguided", "unconditional", 0.5] < 0.5 and rows["unguided", "conditional", 0.5] > unknown / 2
    found = pd.read_csv(folder / "out" / "components.csv", keep_default_na=False)
    outside = found[(found["component"] == "none") & (found["group"] != "all") & (found["denoiser"] == "network")]
    assert (pd.to_numeric(outside["value"]) < 0.1).all()


@pytest.mark.slow
def test_a_second_run_takes_up_the_trained_networks_and_writes_the_same_on_one_thread(folder, tmp_path):
    settings = parse(Bridge, SMALL, "small")
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("state/bridge-*/*.safetensors")}
    bridge.run_bridge(settings, tmp_path, state=folder / "state", threads=1)
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.glob("state/bridge-*/*.safetensors")}
    for name in (*(f"{table}.csv" for table in BRIDGE_TABLES), "pictures.npz", "bridge.json"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes(), name


@pytest.mark.slow
def test_figures_and_words_come_from_the_tables(folder):
    found = drawn.read(folder / "out")
    text = templates.render("body.html", parts=drawn.parts(found))
    for figure, panels in (("bridge-denoising", 2), ("bridge-samples", 9), ("bridge-components", 4)):
        part = text.partition(f'<figure id="{figure}">')[2].partition("</figure>")[0]
        assert part.count('<div class="panel">') == panels
    assert "it uses what it is told" in text and "nan" not in text.replace("Dominant", "").lower().partition("<svg")[0]
    deaf = found.denoising.copy()
    deaf.loc[deaf["denoiser"] == "guided, right class", "share"] = 1e3
    assert "it hardly uses what it is told" in drawn.lesson(
        drawn.Bridge(deaf, found.components, found.pictures, found.made)
    )


@pytest.mark.slow
def test_a_damaged_folder_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        drawn.read(tmp_path)
    for name in ("bridge.json", "pictures.npz"):
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    with pytest.raises(UserError, match="missing or damaged"):
        drawn.read(tmp_path)
    other = artifacts.manifest("bridge pictures", {"side": 5})
    artifacts.write_arrays(tmp_path / "pictures.npz", {}, other)
    with pytest.raises(UserError, match="different settings"):
        drawn.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [[1.0], [0.7, 0.2]]}, "sum to one"),
        ({"weights": [[1.0], [1.2, -0.2]]}, "must be positive"),
        ({"shift": 0.4}, "pixels leave"),
        ({"side": 5}, "multiple of 2"),
        ({"training": {**SMALL["training"], "flip": True}}, "mirrored images are not of the law"),
        ({"points": -3}, "points"),
    ],
)
def test_bad_settings_are_refused_with_one_message(change, message):
    with pytest.raises(UserError, match=message):
        parse(Bridge, {**SMALL, **change}, "mixture.bridge")
