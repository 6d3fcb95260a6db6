"""An exported model: a folder that holds all it needs, with a model card in Hugging Face's form."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from featdiff import __version__, artifacts
from featdiff.api.images import new_folder
from featdiff.errors import UserError
from featdiff.settings.base import determining

if TYPE_CHECKING:
    from featdiff.api.model import Model

CHECKPOINT, CENTROIDS, LEVELS, CONFIG, CARD = (
    "model.safetensors",
    "centroids.npz",
    "levels.npz",
    "config.json",
    "README.md",
)
SHOWN_CLASSES = 12
MEASURES = ("frechet", "kid", "precision", "recall", "vendi", "accuracy")


def write(model: "Model", folder: Path, *, licensed: str, pictures: int) -> Path:
    """Write the folder, whole or not at all; ``pictures`` images a class are drawn for the card."""
    files = model.files
    copied = {CHECKPOINT: files.source.checkpoint, CENTROIDS: files.source.centroids, LEVELS: files.levels}
    there = {name: path for name, path in copied.items() if path is not None}
    with new_folder(folder) as aside:
        for name, path in there.items():
            shutil.copyfile(path, aside / name)
        shown = _draw(model, pictures, aside / "pictures") if pictures else []
        layout = files.preparation.layout
        config = {
            "featdiff": __version__,
            "name": files.name,
            "checkpoint": CHECKPOINT,
            "centroids": CENTROIDS if CENTROIDS in there else None,
            "levels": LEVELS if LEVELS in there else None,
            "sampling": files.sampling.model_dump(mode="json"),
            "layout": None if layout is None else layout.model_dump(mode="json"),
            "classes": list(model.classes),
            "size": model.trained.data.size,
            "channels": model.trained.data.channels,
        }
        (aside / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (aside / CARD).write_text(_card(model, licensed, shown), encoding="utf-8")
    return folder


def _draw(model: "Model", count: int, folder: Path) -> list[str]:
    """A grid of samples for each class, of many classes for some; returns their names."""
    classes: list[str | None] = [None] if model.trained.spec.condition == "none" else [*model.classes[:SHOWN_CLASSES]]
    folder.mkdir()
    found = []
    for number, name in enumerate(classes):
        model.sample(name, count, progress=False).grid(columns=8, scale=2).save(folder / f"{number:03d}.png")
        found.append(name or "samples")
    return found


def _card(model: "Model", licensed: str, shown: list[str]) -> str:
    data, spec, made = model.trained.data, model.trained.spec, model.trained.made
    head = {
        "license": licensed,
        "library_name": "featdiff",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["diffusion", "score-based", "feature-guided", "class-conditional"],
    }
    told = {
        "feature": "Samples are led to a class by its centroid, the mean of the network's features over its images.",
        "label": "Samples are led to a class by its label.",
        "none": "Samples are of no chosen class.",
    }
    colour = "gray" if data.channels == 1 else "RGB"
    training = determining(spec.training)
    lines = [
        f"# {model.files.name}",
        "",
        f"A score diffusion model of {data.size} x {data.size} {colour} images, trained by denoising alone. "
        f"{told[spec.condition]}",
        "",
        "```python",
        "import featdiff",
        'model = featdiff.load("OWNER/NAME")  # or this folder',
        f"model.sample({_first(model)}16)",
        "```",
        "",
        *(f"![samples of {name}](pictures/{number:03d}.png)" for number, name in enumerate(shown)),
        "",
        "## Data",
        "",
        f"{len(data.classes)} classes: {', '.join(data.classes[:40])}{' ...' if len(data.classes) > 40 else ''}. "
        f"The archive's SHA-256 is `{made.inputs.get('dataset', 'unknown')}`.",
        "",
        "## Training",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key} | {_plain(value)} |" for key, value in {**determining(spec.network), **training}.items()),
        f"| seed | {spec.seed} |",
        f"| featdiff | {made.featdiff}, code {made.code} |",
        "",
        *_measures(model),
        "## Sources",
        "",
        "Feature-guided score diffusion for sampling conditional densities, arXiv 2410.11646.",
    ]
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n" + "\n".join(lines) + "\n"


def _first(model: "Model") -> str:
    return "n=" if model.trained.spec.condition == "none" else f'"{model.classes[0]}", '


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _measures(model: "Model") -> list[str]:
    """The run's measures of samples of this model, with their protocol; nothing where there is no run."""
    results = model.files.results
    lines: list[str] = []
    for path in sorted(results.glob("evaluation/*.json")) if results else []:
        samples = results / "samples" / path.stem / "samples.zip" if results else path
        if not samples.is_file() or artifacts.zip_manifest(samples).settings.get("model") != model.files.name:
            continue
        try:
            found, _ = artifacts.read_json(path, "evaluation")
        except UserError:
            continue
        kinds = [kind for kind in MEASURES if any(row["measure"] == kind for row in found["rows"])]
        lines += [f"### {path.stem}", "", found["protocol"] + ".", ""]
        lines += [f"| class | {' | '.join(kinds)} |", f"|---|{'---:|' * len(kinds)}"]
        for name in dict.fromkeys(row["class"] for row in found["rows"]):
            values = {row["measure"]: row["value"] for row in found["rows"] if row["class"] == name}
            lines.append(f"| {name} | {' | '.join(_number(values.get(kind)) for kind in kinds)} |")
        lines.append("")
    return ["## Measures", "", *lines] if lines else []


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
