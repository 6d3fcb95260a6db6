"""Damaged, swapped and lying artifacts: each reader gives what was written, or one error that names the file and the
fix."""

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from featdiff import artifacts
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.errors import UserError
from featdiff.evaluation import embedding
from featdiff.evaluation.collect import collect, read_metrics
from featdiff.evaluation.measure import evaluate_to
from featdiff.features import centroids
from featdiff.features.denoising import measure as measure_denoising
from featdiff.features.density_distance import measure as measure_distances
from featdiff.mixture.study import run_study
from featdiff.models import checkpoint
from featdiff.networks.denoiser import NetworkDenoiser
from featdiff.reporting import mixture as mixture_page
from featdiff.sampling import shards
from featdiff.sampling.gathering import gather
from featdiff.settings.base import parse
from featdiff.settings.centroids import Centroids, Denoising, Distances
from featdiff.settings.evaluation import Evaluation, Lite0
from featdiff.settings.mixture import MixtureStudy
from featdiff.settings.network import Network
from featdiff.settings.sampling import Sampling
from featdiff.settings.training import TrainSpec
from featdiff.training import resume
from featdiff.training.loop import train

FLIPS, CUTS = 120, 20  # places in a file, at most, where a bit is flipped, or where it is cut off
SETTINGS = Evaluation(
    images=8, neighbours=3, kid_subsets=3, kid_subset_size=6, classifier_images=16, extractor=Lite0(resize=32)
)
STUDY = parse(
    MixtureStudy,
    {
        "cases": {"line": {"law": {"means": [[-1.0], [1.0]]}, "etas": [0, 1], "steps": 4, "paths": 100}},
        "splitting": {"rows": [{"sampler": "ddim", "step": 1.0, "etas": [1]}], "paths": 100},
        "neighbours": {
            "gaussian_steps": 4, "gaussian_paths": 100, "uniform_steps": 4, "uniform_paths": 100, "plane_points": 100,
        },
        "convergence": {"dims": [2], "steps": [4, 8], "points": 100, "projections": 4, "redraws": 2},
    },
    "test",
)  # fmt: skip
DAMAGE = "the reader gives what was written, or stops: FILE: damaged (why); delete it and run the pipeline again"


@pytest.fixture(scope="module")
def folder(tiny_dataset, tiny_checkpoint, tiny_spec, tmp_path_factory) -> Path:
    """One artifact of each kind, named after the kind; the module's tests copy before they damage."""
    made = tmp_path_factory.mktemp("artifacts")
    sampling = Sampling(
        model="guided",
        guidance={"kind": "feature"},
        sampler={"kind": "ddim", "steps": 2},
        images=8,
        batch=16,
        sigma_start=1.0,
    )
    (made / "dataset.zip").write_bytes(tiny_dataset.read_bytes())
    (made / "checkpoint.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    data, model, table = made / "dataset.zip", made / "checkpoint.safetensors", made / "centroids.npz"
    centroids.extract(Centroids(levels=3, images_per_class=8, draws=1), data, model, table)
    shards.sample_shard(sampling, model, table, 0, made / "shard.zip")
    gather([made / "shard.zip"], made / "samples.zip")
    embedding.embed(SETTINGS, data, "dataset", made / "features.npz")
    embedding.embed(SETTINGS, made / "samples.zip", "samples", made / "features-samples.npz")
    for name in ("evaluation", "real"):
        given = (made / "samples.zip", made / "features-samples.npz") if name == "evaluation" else (None, None)
        evaluate_to(SETTINGS, name, data, made / "features.npz", *given, made / f"{name}.json")
    settings = Denoising(sigmas=(0.5,), images_per_class=4)
    measure_denoising(settings, data, model, table, made / "denoising.json", name="guided")
    pairs = Distances(images_per_class=4, draws=2)
    measure_distances(pairs, data, model, table, made / "distances.json", name="guided")
    gather_numbers(made, made)
    run_study(STUDY, made / "mixture")
    state = tiny_spec.training.model_copy(update={"images": 160})
    train(tiny_spec.model_copy(update={"training": state}), data, made / "other.safetensors", state=made / "states")
    next((made / "states").glob(f"*/{resume.FILE}")).rename(made / "state.safetensors")
    return made


def gather_numbers(made: Path, out: Path) -> None:
    collect(
        [made / "evaluation.json", made / "real.json"],
        {"guided": made / "denoising.json"},
        {"guided": made / "distances.json"},
        metrics=out / "metrics.json",
        quality=out / "quality.csv",
        denoising_table=out / "denoising.csv",
        scatter_table=out / "scatter.csv",
        distances_table=out / "distances.csv",
    )


def tables(folder: Path) -> dict[str, Path]:
    return {name: folder / f"{name}.csv" for name in ("quality", "denoising", "scatter", "distances")}


def plain(found: object) -> object:
    """What was read, as values that can be compared."""
    if isinstance(found, ImageArchive):
        return found.images.tobytes(), found.index.to_csv(), found.made
    if isinstance(found, checkpoint.Checkpoint):
        return (
            {n: t.numpy().tobytes() for n, t in found.denoiser.state_dict().items()},
            found.spec,
            found.data,
            found.made,
        )
    if isinstance(found, centroids.CentroidTable):
        return found.values.numpy().tobytes(), found.sigmas.numpy().tobytes(), found.classes, found.checkpoint
    return json.dumps(found, default=str)


READERS: dict[str, Callable[[Path], object]] = {
    "dataset.zip": lambda f: archive.read(f / "dataset.zip", "dataset"),
    "checkpoint.safetensors": lambda f: checkpoint.read(f / "checkpoint.safetensors"),
    "centroids.npz": lambda f: centroids.read(f / "centroids.npz"),
    "shard.zip": lambda f: archive.read(f / "shard.zip", "shard"),
    "samples.zip": lambda f: archive.read(f / "samples.zip", "samples"),
    "features.npz": lambda f: {
        name: array.tobytes() for name, array in artifacts.read_arrays(f / "features.npz", "features")[0].items()
    },
    "evaluation.json": lambda f: artifacts.read_json(f / "evaluation.json", "evaluation"),
    "denoising.json": lambda f: artifacts.read_json(f / "denoising.json", "denoising"),
    "distances.json": lambda f: artifacts.read_json(f / "distances.json", "distances"),
    "metrics.json": lambda f: read_metrics(f / "metrics.json", tables(f)),
    "quality.csv": lambda f: (read_metrics(f / "metrics.json", tables(f)), (f / "quality.csv").read_text()),
    "mixture/study.json": lambda f: mixture_page.read(f / "mixture").summary,
    "mixture/pictures.npz": lambda f: {n: a.tobytes() for n, a in mixture_page.read(f / "mixture").arrays.items()},
    "mixture/guidance.csv": lambda f: mixture_page.read(f / "mixture").tables["guidance"].to_csv(),
}  # fmt: skip


def damaged(data: bytes, name: str) -> list[tuple[str, bytes]]:
    """The file with one bit flipped, at seeded places and at both ends, and cut off at seeded places."""
    draw = random.Random(name)
    ends = [*range(min(32, len(data))), *range(max(0, len(data) - 32), len(data))]
    places = sorted({*ends, *draw.sample(range(len(data)), min(FLIPS, len(data)))})
    flips = []
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << draw.randrange(8)
        flips.append((f"bit flipped in byte {place}", bytes(changed)))
    lengths = {0, 1, len(data) // 2, len(data) - 1, *draw.sample(range(len(data)), min(CUTS, len(data)))}
    return flips + [(f"cut to {length} bytes", data[:length]) for length in sorted(lengths)]


@pytest.mark.fault("one bit of an artifact flipped, or its end cut off: every kind, two hundred places each", DAMAGE)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_artifact_is_never_taken_for_another(folder, tmp_path, name):
    work = copy_of(folder, tmp_path, name)
    file, read = work / name, READERS[name]
    truth, whole = plain(read(work)), file.read_bytes()
    refused = 0
    for what, data in damaged(whole, name):
        file.write_bytes(data)
        try:
            found = plain(read(work))
        except UserError as error:
            assert file.name in str(error) or file.parent.name in str(error), (what, error)
            assert "delete it and run the pipeline again" in str(error), (what, error)
            refused += 1
        else:
            assert found == truth, what
    assert refused > 0.6 * len(damaged(whole, name)), "in a zip, times and attributes of members matter to nobody"


def copy_of(folder: Path, to: Path, name: str) -> Path:
    """A folder with links to all artifacts, and a copy of the one that is to be damaged."""
    for file in (f for f in folder.rglob("*") if f.is_file() and "states" not in f.parts):
        target = to / "work" / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.relative_to(folder).as_posix() == name:
            target.write_bytes(file.read_bytes())
        else:
            target.symlink_to(file)
    return to / "work"


@pytest.mark.fault("a resume state damaged", "a line in the log; training starts afresh and ends with the same bits")
def test_a_damaged_resume_state_is_left_behind(folder, tiny_spec, tmp_path, capsys):
    file, whole = tmp_path / resume.FILE, (folder / "state.safetensors").read_bytes()
    model = network(tiny_spec, folder)
    file.write_bytes(whole)
    truth = resume.read_state(tmp_path, model)
    assert truth is not None and truth.step == 10
    refused = 0
    for what, changed in damaged(whole, "state"):
        file.write_bytes(changed)
        state = resume.read_state(tmp_path, model)
        refused += state is None
        if state is not None:
            assert state.step == truth.step, what
            assert {n: t.numpy().tobytes() for n, t in state.tensors.items()} == {
                n: t.numpy().tobytes() for n, t in truth.tensors.items()
            }, what
    assert refused > 100
    assert capsys.readouterr().err.count("training starts afresh") == refused


@pytest.mark.fault("a resume state of another network shape", "a line in the log; training starts afresh")
def test_a_resume_state_of_another_network_is_left_behind(folder, tiny_spec, tmp_path, capsys):
    (tmp_path / resume.FILE).write_bytes((folder / "state.safetensors").read_bytes())
    wider = tiny_spec.model_copy(update={"network": Network(widths=(8, 16), noise_embedding=16)})
    assert resume.read_state(tmp_path, network(wider, folder)) is None
    assert "it is of another network; training starts afresh" in capsys.readouterr().err


def network(spec: TrainSpec, folder: Path) -> NetworkDenoiser:
    return checkpoint.new_denoiser(spec, checkpoint.read(folder / "checkpoint.safetensors").data)


# --- swapped and lying -----------------------------------------------------------------------------------------------


@pytest.mark.fault("a checkpoint of another network shape", "FILE: its weights do not fit the network it describes")
def test_a_checkpoint_whose_weights_are_of_another_shape_is_refused(folder, tiny_spec, tmp_path):
    trained = checkpoint.read(folder / "checkpoint.safetensors")
    wider = tiny_spec.model_copy(update={"network": Network(widths=(8, 16), noise_embedding=16)})
    weights = {name: tensor.clone() for name, tensor in trained.denoiser.state_dict().items()}
    checkpoint.write(tmp_path / "c.safetensors", weights, trained.data, artifacts.manifest("checkpoint", wider))
    with pytest.raises(UserError, match=r"c\.safetensors: its weights do not fit the network it describes"):
        checkpoint.read(tmp_path / "c.safetensors")


@pytest.mark.fault(
    "a network too deep for its images, given to the command directly", "choose a multiple of N, or fewer widths"
)
def test_a_network_that_cannot_halve_its_images_is_refused_before_training(folder, tiny_spec, tmp_path):
    deep = tiny_spec.model_copy(update={"network": Network(widths=(4, 4, 4, 4, 4))})
    with pytest.raises(UserError, match="images of 8 pixels do not fit this network.*choose a multiple of 16"):
        train(deep, folder / "dataset.zip", tmp_path / "c.safetensors", state=tmp_path)
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.fault(
    "artifacts swapped: another kind, another run's centroids, another archive's features",
    "one error that names both files",
)
def test_artifacts_of_another_kind_or_run_are_refused(folder, tiny_spec, tmp_path):
    with pytest.raises(UserError, match=r"shard\.zip: is a shard artifact, a samples artifact was expected"):
        archive.read(folder / "shard.zip", "samples")
    with pytest.raises(UserError, match=r"centroids\.npz: these centroids are of another checkpoint than .*other"):
        centroids.read_for(folder / "centroids.npz", folder / "other.safetensors")
    with pytest.raises(UserError, match=r"features\.npz: these are features of another archive"):
        embedding.read(SETTINGS, folder / "features.npz", folder / "samples.zip", "dataset")
    stray = tmp_path / "state" / "checkpoint.safetensors"
    stray.parent.mkdir()
    stray.write_bytes((folder / "other.safetensors").read_bytes())
    train(tiny_spec, folder / "dataset.zip", stray, state=tmp_path)
    assert stray.read_bytes() == (folder / "checkpoint.safetensors").read_bytes(), (
        "a finished run of another spec was kept"
    )


LIES = {
    "kind": lambda m: {**m, "kind": "other"},
    "settings": lambda m: {**m, "settings": {**m["settings"], "seed": 12345}},
    "inputs": lambda m: {**m, "inputs": {**m["inputs"], "dataset": "0" * 64}},
    "code": lambda m: {**m, "code": "0" * 64},
    "libraries": lambda m: {**m, "libraries": {**m["libraries"], "torch": "99"}},
    "content": lambda m: {**m, "content": "0" * 64},
    "no seal": lambda m: {**m, "seal": ""},
}


@pytest.mark.fault("a manifest that lies: each field changed after it was written", DAMAGE)
@pytest.mark.parametrize("field", LIES)
@pytest.mark.parametrize(
    "name", ["dataset.zip", "checkpoint.safetensors", "centroids.npz", "evaluation.json", "metrics.json"]
)
def test_a_manifest_changed_in_one_field_is_refused(folder, tmp_path, name, field):
    work = copy_of(folder, tmp_path, name)
    LIARS[Path(name).suffix](work / name, LIES[field])
    with pytest.raises(UserError, match="damaged|artifact was expected"):
        READERS[name](work)


def lie_in_zip(path: Path, lie: Callable[[dict], dict]) -> None:
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members[artifacts.MANIFEST] = json.dumps(lie(json.loads(members[artifacts.MANIFEST]))).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)


def lie_in_checkpoint(path: Path, lie: Callable[[dict], dict]) -> None:
    weights = load_file(path)
    _, header, manifest = checkpoint.read_tensors(path)
    note = json.dumps({"data": header, "manifest": json.dumps(lie(json.loads(manifest)))})
    save_file(weights, path, metadata={"featdiff": note})


def lie_in_json(path: Path, lie: Callable[[dict], dict]) -> None:
    payload = json.loads(path.read_text())
    made = payload["manifest"]
    payload["manifest"] = [lie(made[0])] if isinstance(made, list) else lie(made)
    path.write_text(json.dumps(payload))


LIARS = {".zip": lie_in_zip, ".npz": lie_in_zip, ".safetensors": lie_in_checkpoint, ".json": lie_in_json}


@pytest.mark.fault("a checkpoint whose numbers are called by another type of the same size", DAMAGE)
def test_weights_of_another_number_type_are_refused(folder, tmp_path):
    path = tmp_path / "c.safetensors"
    weights, header, manifest = checkpoint.read_tensors(folder / "checkpoint.safetensors")
    same_bytes = {name: torch.from_numpy(t.numpy().view(np.int32).copy()) for name, t in weights.items()}
    save_file(same_bytes, path, metadata={"featdiff": json.dumps({"data": header, "manifest": manifest})})
    with pytest.raises(UserError, match=r"c\.safetensors: damaged"):
        checkpoint.read(path)


def test_a_folder_in_the_place_of_an_artifact_is_said_to_be_one(tmp_path):
    with pytest.raises(UserError, match="is a folder, a file was expected"):
        checkpoint.read(tmp_path)
