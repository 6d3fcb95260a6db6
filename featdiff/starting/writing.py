"""The text of a new project's settings, with a word on each choice, and of the tiny overlay that tries them out."""

import json
from typing import Any

from featdiff.settings.data import FolderSource, ZipSource
from featdiff.starting.proposal import NOISE, TEST_FRACTION, Proposal

SCHEMA = "# yaml-language-server: $schema=workflow/schemas/params.schema.json"
STEPS = 40


def flow(value: Any) -> str:
    """A value as one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    plain = isinstance(value, str) and value.replace("-", "").replace("_", "").isalpha() and value.isascii()
    return value if plain and value not in ("yes", "no", "on", "off", "true", "false", "null") else json.dumps(value)


def params(plan: Proposal, source: FolderSource | ZipSource, said: dict[str, str]) -> str:
    """``params.yaml``: the proposal as settings; ``said`` are words for the comments."""
    machine = plan.machine
    training = {"partners": plan.partners, "partner_noise": "clean", "noise": NOISE}
    lines = [
        SCHEMA,
        "# Every number that changes a result. Rows of a table are named; a model points to rows of the other tables.",
        f"# {said['made']}",
        "datasets:",
        f"  {plan.name}:{said['found']}",
        f"    source: {flow(source.model_dump(exclude_none=True))}",
        f"    layout: {flow(plan.layout)}{said['layout']}",
        f"    mode: {plan.mode}{said['mode']}",
    ]
    lines += ["    mixed_modes: convert"] * plan.mixed
    lines += [f"    test_fraction: {TEST_FRACTION}"] * (not plan.halves)
    lines += [f"    bad_images: skip{_comment(', '.join(plan.skip))}"] * bool(plan.skip)
    lines += [
        "",
        "networks:",
        f"  {machine.network}: {flow({'widths': plan.widths, 'block': {'kind': machine.block}})}",
        "",
        "trainings:",
        f"  {machine.training}:{said['training']}",
        *(f"    {key}: {flow(value)}" for key, value in {**machine.settings, **training}.items()),
        "",
        "models:",
    ]
    row = {"dataset": plan.name, "network": machine.network, "training": machine.training}
    guided = plan.classes > 1
    conditions = {"guided": "feature", "mixture": "none"} if guided else {"mixture": "none"}
    lines += [f"  {name}: {flow({**row, 'condition': condition})}" for name, condition in conditions.items()]
    if guided:
        lines += ["", "centroids: {sigma_min: 0.01, sigma_max: 5.0, levels: 24, images_per_class: 512, draws: 2}"]
    lines += ["", "samplings:"]
    rows: dict[str, tuple[str, dict[str, Any]]] = {"mixture": ("mixture", {"kind": "none"})}
    if guided:
        of = {strength: {"kind": "feature", "strength": strength} for strength in (1.0, 1.5)}
        rows = {"guided": ("guided", of[1.0]), "guided-strong": ("guided", of[1.5]), **rows}
    for name, (model, guidance) in rows.items():
        lines += [f"  {name}:{_comment('past the centroid: surer of the class') if name == 'guided-strong' else ''}"]
        lines += [f"    model: {model}", f"    guidance: {flow(guidance)}"]
        lines += [f"    sampler: {{kind: ddpm, steps: {STEPS}}}"]
        lines += [f"    images: {plan.drawn}{_comment('a class' if model == 'guided' else 'in all')}"]
        lines += [f"    {key}: {flow(value)}" for key, value in machine.sampling.items()]
    few = min(128, min(test for _, test in plan.counts.values())) if plan.classes <= 10 else 32
    lines += ["", f"evaluation: {{images: {plan.compared}, neighbours: {plan.neighbours}}}", ""]
    lines += [f"denoising: {{images_per_class: {max(few, 2)}}}"]
    if guided:
        shown = min(24, plan.drawn)
        title = json.dumps(f"Feature-guided samples of {plan.name}")
        lines += ["", f"report: {{title: {title}, guided: guided, baseline: mixture, images_per_class: {shown}}}"]
    return "\n".join(lines) + "\n"


def tiny(plan: Proposal) -> str:
    """``workflow/presets/tiny.yaml``: the same graph in a minute or two, so small that the numbers mean nothing."""
    crop = plan.layout["kind"] == "crop"
    size = min(16, plan.size)
    layout = {"size": size} if crop else {"size": size, "stride": size, "test_stride": size, "scale": 1.0}
    images = min(12, plan.compared)
    names = ["guided", "guided-strong", "mixture"] if plan.classes > 1 else ["mixture"]
    training = {"images": 640, "batch": 16, "save_every": 320}
    measures: dict[str, Any] = {
        "images": images,
        "neighbours": min(3, images - 1),
        "kid_subsets": 4,
        "kid_subset_size": 8,
    }
    measures |= {"classifier_images": 32, "extractor": {"kind": "lite0", "resize": 32}}
    rows: dict[str, Any] = {
        "datasets": {plan.name: {"layout": layout, "max_images_per_class": 64}},
        "networks": {plan.machine.network: {"widths": [8, 16]}},
        "trainings": {plan.machine.training: training},
        "samplings": {name: {"sampler": {"steps": 4}, "images": max(images, 4)} for name in names},
        "evaluation": measures,
        "denoising": {"images_per_class": min(8, images)},
    }
    if plan.classes > 1:
        rows |= {"centroids": {"levels": 4, "images_per_class": 16, "draws": 1}, "report": {"images_per_class": 4}}
    head = "# An overlay of params.yaml to try it out: everything so small that the numbers mean nothing."
    return "\n".join([head, *(f"{key}: {flow(value)}" for key, value in rows.items())]) + "\n"


def _comment(text: str) -> str:
    return f"  # {text}" if text else ""
