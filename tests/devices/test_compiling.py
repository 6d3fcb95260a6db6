"""Compiled steps compute what the plain ones do, leave no trace in files, and are refused where nothing can compile
them."""

import os
import subprocess
import sys
import sysconfig

import pytest
import torch
from safetensors import safe_open

from featdiff import artifacts
from featdiff.devices import compiling, devices
from featdiff.devices.devices import pick_device
from featdiff.errors import UserError
from featdiff.features import centroids
from featdiff.kinds.guidance import FeatureGuidance
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.models.guided import Arithmetic, GuidedDenoiser, Source
from featdiff.settings.centroids import Centroids
from featdiff.training import loop, resume
from featdiff.training.flat import Flat

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
ESTIMATE = 1e-4  # of an estimate in float32: the compiler reorders sums
GROWN = 10  # losses drift from the plain ones at most so many times as those of weights changed by float32's rounding


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
def tracing(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(compiling, "compiled", traced)
    yield
    torch._dynamo.reset()


DATA = DataDescription(classes=("flat", "stripes"), channels=1, size=8, mean=0.5, std=0.2)


class Step:
    """The loss of a batch as the training computes it, plain or compiled by ``compiler``, and its gradient."""

    def __init__(self, spec, dtype, compiler=None):
        self.device = pick_device()
        self.denoiser = checkpoint.new_denoiser(spec, DATA).to(self.device, dtype)
        self.objective = loop.Objective(self.denoiser, spec)
        if compiler is not None:
            self.objective.forward = compiler(self.objective.forward, self.device)
        self.flat = Flat(self.denoiser)

    def gradients(self, values, batch):
        """Of each trained parameter by name, where the weights are ``values`` (N,)."""
        dtype = self.flat.values.dtype
        self.flat.values.data.copy_(values)
        self.flat.zero_grad()
        moved = [part.to(self.device) for part in batch]
        self.objective(*(part.to(dtype) if part.is_floating_point() else part for part in moved)).backward()
        return {name: value.double().cpu().clone() for name, value in self.flat.named(self.flat.gradient).items()}


def agree_in_gradients(spec, compiler, dtype):
    """Assert that compiled gradients are the plain ones, for every parameter.

    In float64 to its rounding. In float32 the compiled code is no further from float64 than a few times the plain code,
    or than a few roundings of the parameter's largest value. Twice, because code may be right at its first call only.
    """
    g = torch.Generator().manual_seed(0)
    exact, plain, tested = Step(spec, torch.float64), Step(spec, dtype), Step(spec, dtype, compiler)
    values = plain.flat.values.detach().cpu() + 0.02 * torch.randn(plain.flat.values.shape, generator=g)
    for _ in range(2):
        x, t = torch.rand(16, 1, 8, 8, generator=g), 0.1 + torch.rand(16, generator=g)
        z = torch.randn(2, 16, 1, 8, 8, generator=g)
        labels = [torch.randint(0, 3, (16,), generator=g)] if spec.condition == "label" else []
        truth, rounded, found = (step.gradients(values, (x, t, z, *labels)) for step in (exact, plain, tested))
        for name, right in truth.items():
            size = right.abs().max()
            allowed = 4 * (rounded[name] - right).abs().max() + 256 * torch.finfo(dtype).eps * size
            assert size > 0 and (found[name] - right).abs().max() <= allowed, name
        values = values + 0.02 * torch.randn(values.shape, generator=g)


@pytest.mark.parametrize("condition", ["feature", "label"])
def test_traced_gradients_are_the_plain_ones_for_every_parameter(condition, tiny_spec, tracing):
    agree_in_gradients(tiny_spec.model_copy(update={"condition": condition}), traced, torch.float64)


def drift(spec, dataset, folder, monkeypatch, *, starts=4):
    """How far losses drift, by step, when the first weights are changed by float32's rounding: the largest of
    ``starts``."""
    start, found = loop.start, []

    def changed(seed):
        def begin(*arguments):
            run, objective = start(*arguments)
            noise = torch.randn(run.flat.values.shape, generator=torch.Generator().manual_seed(seed))
            run.flat.values.data.mul_(1 + torch.finfo(torch.float32).eps * noise.to(run.flat.values))
            return run, objective

        return begin

    plain = trained(spec, dataset, folder / "plain")
    for seed in range(starts):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "start", changed(seed))
            found.append(trained(spec, dataset, folder / f"changed {seed}")[0])
    apart = (torch.stack(found) - plain[0]).abs().amax(0) + torch.finfo(torch.float32).eps * plain[0].abs()
    return plain, apart.cummax(0).values


def test_a_traced_training_has_the_losses_of_the_plain_one_and_files_with_the_same_names(
    tiny_dataset, tiny_spec, tmp_path, tracing, fresh_accelerator, monkeypatch
):
    short = tiny_spec.training.model_copy(update={"images": 160})
    spec = tiny_spec.model_copy(update={"training": short, "condition": "label"})
    calls = []
    monkeypatch.setattr(compiling, "compiled", lambda step, device: calls.append(step) or traced(step, device))
    plain, rounding = drift(spec, tiny_dataset, tmp_path, monkeypatch, starts=2)
    assert not calls
    found = trained(compiled(spec), tiny_dataset, tmp_path / "compiled")
    assert len(calls) == 1
    assert ((found[0] - plain[0]).abs() <= GROWN * rounding).all()
    assert found[1:] == plain[1:] and not any("_orig_mod" in name for name in found[1] + found[2])


def test_a_traced_training_in_bf16_differs_by_its_rounding(
    tiny_dataset, tiny_spec, tmp_path, tracing, fresh_accelerator
):
    short = tiny_spec.training.model_copy(update={"images": 160, "precision": "bf16"})
    spec = tiny_spec.model_copy(update={"training": short})
    plain, found = (trained(s, tiny_dataset, tmp_path / str(s.training.compile)) for s in (spec, compiled(spec)))
    torch.testing.assert_close(found[0], plain[0], rtol=0.02, atol=0)


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
    torch.testing.assert_close(found, plain, rtol=0, atol=ESTIMATE)


def test_in_bf16_estimates_are_float32_and_differ_by_the_rounding_of_bf16(source, monkeypatch):
    monkeypatch.setattr(devices, "has_bf16", lambda kind: True)  # imitated where the CPU has none: the same numbers
    plain, found = estimates(source, Arithmetic()), estimates(source, Arithmetic("bf16"))
    assert found.dtype == torch.float32
    assert 1e-5 < (found - plain).abs().max() < 0.05


@pytest.mark.slow
def test_the_compilers_gradients_are_the_plain_ones(tiny_spec):
    torch._dynamo.reset()
    agree_in_gradients(tiny_spec, compiling.compiled, torch.float32)


@pytest.mark.exhaustive
def test_the_compilers_losses_drift_as_by_rounding_and_its_estimates_are_the_plain_ones(
    tiny_dataset, tiny_spec, source, tmp_path, monkeypatch
):
    torch._dynamo.reset()
    short = tiny_spec.model_copy(update={"training": tiny_spec.training.model_copy(update={"images": 320})})
    plain, rounding = drift(short, tiny_dataset, tmp_path, monkeypatch)
    found = trained(compiled(short), tiny_dataset, tmp_path / "compiled")
    assert ((found[0] - plain[0]).abs() <= GROWN * rounding).all()
    found = estimates(source, Arithmetic("fp32", compile=True))
    torch.testing.assert_close(found, estimates(source, Arithmetic()), rtol=0, atol=ESTIMATE)


@pytest.fixture
def can_compile(monkeypatch):
    monkeypatch.setattr(compiling, "lacking", lambda device: [])


@pytest.mark.parametrize(
    ("count", "what", "on"),
    [(8_000, "step", False), (9_000, "step", True), (24_000, "evaluation", False), (26_000, "evaluation", True)],
)
def test_auto_compiles_on_a_gpu_where_it_earns_twice_its_set_up_and_says_so(count, what, on, can_compile, capsys):
    assert compiling.chosen("auto", GPU, count=count, what=what) is on
    said = capsys.readouterr().err
    assert f"compile: auto -> {'on' if on else 'off'}" in said and f"{count} {what}s" in said


def test_auto_never_compiles_on_a_cpu_and_not_where_something_is_lacking(monkeypatch, capsys):
    assert not compiling.chosen("auto", CPU, count=10**9, what="step")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(compiling, "lacking", lambda device: ["triton"])
    assert not compiling.chosen("auto", GPU, count=10**9, what="step")
    assert "triton is missing" in capsys.readouterr().err


def test_true_and_false_are_done_as_they_say(can_compile):
    assert compiling.chosen(True, CPU, count=1, what="step") and compiling.chosen(True, GPU, count=1, what="step")
    assert not compiling.chosen(False, GPU, count=10**9, what="step")


TWICE = """
import sys
from pathlib import Path
import torch
from featdiff.devices import compiling, devices
compiling.keep_in(Path(sys.argv[1]))
step = compiling.compiled(lambda x: (x.sin() + x.cos()).sum(), devices.CPU)
step(torch.rand(64, requires_grad=True)).backward()
print(torch._dynamo.utils.counters["inductor"]["fxgraph_cache_hit"])
"""


@pytest.mark.exhaustive
def test_a_second_process_takes_compiled_code_from_the_folder(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}
    call = [sys.executable, "-c", TWICE, str(tmp_path)]
    hits = [subprocess.run(call, env=environment, capture_output=True, text=True, check=True).stdout for _ in "12"]
    assert [int(hit) for hit in hits] == [0, 2]  # forward and backward


def test_a_folder_that_the_user_has_set_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    monkeypatch.setenv("TRITON_CACHE_DIR", "")
    monkeypatch.delenv("TRITON_CACHE_DIR")
    compiling.keep_in(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"
    assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / "triton")


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
