"""Compiled steps compute what the plain ones do, leave no trace in files, and are refused where nothing can compile them."""

import sysconfig

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors import safe_open

from featdiff import artifacts
from featdiff.devices import compiling
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.models.guided import Arithmetic, GuidedDenoiser, Source
from featdiff.settings.centroids import Centroids
from featdiff.settings.sampling import FeatureGuidance
from featdiff.training import loop, resume

CPU = torch.device("cpu")
TOLERANCE = 1e-4  # of the losses of twenty steps and of an estimate, in float32: the compiler reorders sums


def traced(step, device):
    """The graphs that the compiler is given, run as they are: no C++ compiler is needed, and it takes no minute."""
    return torch.compile(step, backend="aot_eager", dynamic=False)


def compiled(spec, **training):
    return spec.model_copy(update={"training": spec.training.model_copy(update={"compile": True, **training})})


def trained(spec, dataset, folder):
    """Losses of all steps, tensors of checkpoint and state by name."""
    out = folder / "checkpoint.safetensors"
    loop.train(spec, dataset, out, state=folder / "state")
    state = next((folder / "state").glob(f"*/{resume.FILE}"))
    return resume.read_state(state.parent).tensors["losses"], names(out), names(state)


def names(path):
    with safe_open(path, "pt") as stream:
        return sorted(stream.keys())


@pytest.fixture
def fresh_accelerator():
    """Accelerate allows one precision a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def tracing(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(compiling, "compiled", traced)
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(("condition", "precision"), [("feature", "bf16"), ("label", "fp32")])
def test_a_traced_training_has_the_losses_of_the_plain_one_and_files_with_the_same_names(
    condition, precision, tiny_dataset, tiny_spec, tmp_path, tracing, fresh_accelerator, monkeypatch
):
    short = tiny_spec.training.model_copy(update={"images": 160, "precision": precision})
    spec = tiny_spec.model_copy(update={"training": short, "condition": condition})
    calls = []
    monkeypatch.setattr(compiling, "compiled", lambda step, device: calls.append(step) or traced(step, device))
    plain = trained(spec, tiny_dataset, tmp_path / "plain")
    assert not calls
    found = trained(compiled(spec), tiny_dataset, tmp_path / "compiled")
    assert len(calls) == 1
    torch.testing.assert_close(found[0], plain[0], rtol=TOLERANCE if precision == "fp32" else 0.02, atol=0)
    assert found[1:] == plain[1:] and not any("_orig_mod" in name for name in found[1] + found[2])


def test_a_traced_training_stopped_and_taken_up_again_ends_with_the_same_bits(
    tiny_dataset, tiny_spec, tmp_path, tracing, monkeypatch
):
    spec, save = compiled(tiny_spec, images=320), resume.save_state
    trained(spec, tiny_dataset, tmp_path / "whole")

    def save_and_die(path, *, step, **rest):
        save(path, step=step, **rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(resume, "save_state", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        trained(spec, tiny_dataset, tmp_path / "stopped")
    monkeypatch.setattr(resume, "save_state", save)
    trained(spec, tiny_dataset, tmp_path / "stopped")
    digests = {artifacts.sha256_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "stopped")}
    assert len(digests) == 1


def estimates(source, arithmetic, *, labels=True):
    denoiser = GuidedDenoiser(FeatureGuidance(kind="feature"), source, None, CPU, arithmetic)
    g = torch.Generator().manual_seed(0)
    x, t = 0.5 + torch.randn(4, 1, 8, 8, generator=g), torch.tensor([0.1, 0.5, 1.5, 0.1])
    with torch.inference_mode():
        return denoiser(x, t, torch.tensor([0, 1, 0, 1]) if labels else None)


@pytest.fixture(scope="module")
def source(tiny_dataset, tiny_checkpoint, tmp_path_factory) -> Source:
    path = tmp_path_factory.mktemp("centroids") / "centroids.npz"
    centroids.extract(Centroids(levels=5, images_per_class=64, draws=1), tiny_dataset, tiny_checkpoint, path)
    return Source(tiny_checkpoint, path)


@pytest.mark.parametrize("labels", [True, False])
def test_a_traced_denoiser_estimates_what_the_plain_one_does(labels, source, tracing):
    plain, found = (
        estimates(source, arithmetic, labels=labels) for arithmetic in (Arithmetic(), Arithmetic("fp32", compile=True))
    )
    torch.testing.assert_close(found, plain, rtol=0, atol=TOLERANCE)


def test_in_bf16_estimates_are_float32_and_differ_by_the_rounding_of_bf16(source):
    plain, found = estimates(source, Arithmetic()), estimates(source, Arithmetic("bf16"))
    assert found.dtype == torch.float32
    assert 1e-5 < (found - plain).abs().max() < 0.05


@pytest.mark.slow
def test_the_compilers_code_trains_and_estimates_within_the_tolerance(tiny_dataset, tiny_spec, source, tmp_path):
    torch._dynamo.reset()
    plain = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 320})})
    losses = [
        trained(spec, tiny_dataset, tmp_path / name)[0]
        for name, spec in (("plain", plain), ("compiled", compiled(plain)))
    ]
    torch.testing.assert_close(losses[1], losses[0], rtol=TOLERANCE, atol=0)
    found = estimates(source, Arithmetic("fp32", compile=True))
    torch.testing.assert_close(found, estimates(source, Arithmetic()), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("lacking", ["compiler", "headers"])
def test_without_what_compiling_needs_the_run_is_refused_before_it_reads_anything(
    lacking, tiny_spec, tmp_path, monkeypatch
):
    if lacking == "compiler":
        monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    else:
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    words = {"compiler": r"a C\+\+ compiler", "headers": "Python.h"}[lacking]
    with pytest.raises(UserError, match=rf"{words}.*set compile to auto or false"):
        loop.train(compiled(tiny_spec), tmp_path / "no data.zip", tmp_path / "out", state=tmp_path)
    with pytest.raises(UserError, match=words):
        Arithmetic(compile=True).of(None, CPU)


def test_on_a_gpu_steps_are_replayed_as_graphs_and_results_are_not_written_over(monkeypatch):
    asked, buffer = [], torch.zeros(())

    def replays(step, **options):
        asked.append(options)

        def replay(x):
            return x.square().sum() + buffer

        return replay

    monkeypatch.setattr(torch, "compile", replays)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: asked.append("step"))
    step = compiling.compiled(lambda x: x, torch.device("cuda", 0))
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    first = step(x)
    first.backward()
    assert asked == [{"dynamic": False, "mode": "reduce-overhead"}, "step"]
    assert first.item() == 5 and x.grad.tolist() == [2, 4]
