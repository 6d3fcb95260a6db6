"""The whole of ``featdiff new``: look, propose, time, write."""

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from featdiff import __version__, project
from featdiff.errors import UserError
from featdiff.settings.data import FolderSource, ZipSource
from featdiff.settings.project import Params, load
from featdiff.starting import timing, writing
from featdiff.starting.converting import convert
from featdiff.starting.finding import Found, find
from featdiff.starting.proposal import Proposal, propose
from featdiff.starting.survey import Survey, survey

Tell = Callable[[str], None]
IMAGES = "images.zip"  # what is converted
MINUTES = 10.0  # of each model's training, if nothing else is asked for
LEAST_IMAGES = 31_000  # of a training: a quarter of the default run's (docs/results/sweep.md)
FEW = 24  # images on a side of a comparison


def start(
    images: str,
    folder: Path | None,
    *,
    tell: Tell,
    mode: str | None = None,
    size: int | None = None,
    minutes: float | None = None,
) -> None:
    """Write a project for ``images`` into ``folder`` (default: NAME-project here) and tell what was found and proposed.

    Raises :class:`UserError`, with nothing written, where the images can't be used or there is a project already.
    """
    found = find(images)
    folder = folder or Path(f"{row_name(found.name)}-project")
    project.check_free(folder, also=[IMAGES] if found.items else [])
    _check_apart(found, folder)
    with tempfile.TemporaryDirectory(prefix=".featdiff-new-", dir=_existing(folder)) as name:
        aside = Path(name)
        source, made = _source(found, images, folder, aside)
        tell(f"{images}: {found.what}")
        for note in found.notes:
            tell(note)
        seen = survey(source if made else _as_given(found), aside if made else Path())
        for line in seen.words():
            tell(line)
        plan = propose(seen, name=row_name(found.name), gpu=timing.on_gpu(), mode=mode, size=size)
        said = {
            "made": " ".join(f"Written by: featdiff new {shlex.quote(images)} (featdiff {__version__})".split()),
            **_words(seen, plan),
        }
        plan, cost = _timed(plan, source, said, aside, minutes)
        for line in (*_told(seen, plan, said), *cost):
            tell(line)
        texts = {
            "params.yaml": writing.params(plan, source, said),
            "workflow/presets/tiny.yaml": writing.tiny(plan),
        }
        _checked(texts["params.yaml"], aside)
        project.write(folder, texts=texts, moved=made)
    tell(f"Written: {folder}. Every choice stands in {folder / 'params.yaml'} with a word on it.")
    tell("")
    tell(f"Run it:            {_command(folder, plan.machine.profile)}")
    tell(f"Try it out first:  {_command(folder, 'tiny')}   (a minute or two; its numbers mean nothing)")


def row_name(text: str) -> str:
    """A name as rows of settings have it."""
    return re.sub("[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:40].strip("-_") or "images"


# --- the source -------------------------------------------------------------------------------------------------------


def _check_apart(found: Found, folder: Path) -> None:
    """The project's own files would be taken for images of a class."""
    if isinstance(found.source, FolderSource) and folder.resolve().is_relative_to(Path(found.source.path).resolve()):
        raise UserError(f"{folder}: the project would lie inside the images; name another: featdiff new IMAGES PROJECT")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(f for f in (folder.absolute(), *folder.absolute().parents) if f.is_dir())


def _source(found: Found, images: str, folder: Path, aside: Path) -> tuple[FolderSource | ZipSource, list[Path]]:
    """The source as the project's settings have it, and the zip that was made for it, if any."""
    if found.items is not None:
        return convert(found.items(), aside / IMAGES, images), [aside / IMAGES]
    source = _as_given(found)
    path, home = Path(source.path).resolve(), folder.resolve()
    near = path.is_relative_to(home.parent)
    text = os.path.relpath(path, home) if near else str(path)
    names = [text, *(str(f) for f in path.rglob("*[{}]*"))] if path.is_dir() else [text]
    if braces := [name for name in names if "{" in name or "}" in name]:
        raise UserError(f"{braces[0]}: Snakemake takes braces for wildcards; rename it, or give a zip without them")
    return source.model_copy(update={"path": text}), []


def _as_given(found: Found) -> FolderSource | ZipSource:
    if found.source is None:
        raise ValueError("there is no source before the images are converted")
    return found.source


# --- words and costs --------------------------------------------------------------------------------------------------


def _words(seen: Survey, plan: Proposal) -> dict[str, str]:
    """Comments of the settings."""
    if plan.layout["kind"] == "crop":
        layout = "whole images: the shorter side is resized to this, the centre is cut out"
    else:
        layout = "few photographs, cut into patches; those for testing come from regions of their own"
    other = "rgb" if plan.mode == "gray" else "gray"
    mode = f"{seen.gray:,} gray and {seen.colour:,} in colour; {other} would do as well" if plan.mixed else ""
    train, test = (sum(pair[k] for pair in plan.counts.values()) for k in range(2))
    halves = ", kept as they were given" if plan.halves else ""
    found = f"{plan.classes} class{'es' * (plan.classes > 1)}, {train:,} training and {test:,} test images{halves}"
    return {
        key: f"  # {text}" if text else "" for key, text in {"found": found, "layout": layout, "mode": mode}.items()
    }


def _told(seen: Survey, plan: Proposal, said: dict[str, str]) -> list[str]:
    """The proposal in words."""
    lines = ["", f"Proposed for {timing.device_name()}:"]
    lines += [f"  {plan.size} x {plan.size} {plan.mode}{said['layout'].replace('  # ', ': ')}"]
    if plan.mixed:
        lines += [f"  {plan.mode}, as most are: {said['mode'].removeprefix('  # ')} (--mode gray or --mode rgb)"]
    if plan.classes == 1:
        lines += ["  one class: there is nothing to guide to. A model without classes is trained, drawn from and"]
        lines += ["  measured; there is no guided model and no report (pictures: featdiff sample --out grid.png)"]
    lines += [f"  left out by preparation: {', '.join(plan.skip)}"] * bool(plan.skip)
    lines += [f"  comparisons rest on {plan.compared} images a class: few, so read them as hints"] * (
        plan.compared < 24
    )
    return lines


def _timed(
    plan: Proposal, source: FolderSource | ZipSource, said: dict[str, str], aside: Path, minutes: float | None
) -> tuple[Proposal, list[str]]:
    """The plan with as many training images as ``minutes`` hold, and what it will cost by a short timing."""
    settings = _checked(writing.params(plan, source, said | {"training": ""}), aside)
    channels = 1 if plan.mode == "gray" else 3
    speeds = {
        name: timing.measure(settings.train_spec(name), size=plan.size, channels=channels) for name in settings.models
    }
    settings_of = plan.machine.settings
    count = training_images(min(speed.training for speed in speeds.values()), minutes, most=settings_of["images"])
    plan = replace(plan, machine=replace(plan.machine, settings={**settings_of, "images": count}))
    trained = {name: count / speed.training / 60 for name, speed in speeds.items()}
    drawn = sum(
        row.images * (plan.classes if row.guidance.told else 1) * writing.STEPS / speeds[row.model].evaluations / 60
        for row in settings.samplings.values()
    )
    widths = " ".join(map(str, plan.widths))
    named = ", ".join(f"{name} {_minutes(value)}" for name, value in trained.items())
    together = " (side by side on two cores)" if len(trained) > 1 and not timing.on_gpu() else ""
    how = "without compiling, which a long run adds" if timing.on_gpu() else "one thread each, nothing else running"
    said["training"] = f"  # {named}{together}; timed by 'featdiff new'"
    return plan, [
        f"  network of widths {widths}, {count:,} training images a model: {named}{together}",
        f"  samples: {_minutes(drawn)} of one {'GPU' if timing.on_gpu() else 'core'}",
        f"  (timed just now, {how}; preparing the images, features and measures come on top)",
    ]


def training_images(rate: float, minutes: float | None, *, most: int) -> int:
    """Training images, a multiple of a thousand: as many as the user's minutes hold, or else as ten minutes do, within
    what has been tried."""
    held = int(rate * 60 * (minutes or MINUTES)) // 1000 * 1000
    return max(held, 1000) if minutes else min(max(held, LEAST_IMAGES), most)


def _minutes(value: float) -> str:
    return "under a minute" if value < 1 else f"about {value:.0f} minute{'s' * (round(value) > 1)}"


def _checked(text: str, aside: Path) -> Params:
    """The settings of a text, as 'featdiff check' reads them."""
    file = aside / "params.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def _command(folder: Path, profile: str) -> str:
    """What starts the workflow, by a name that this shell will find."""
    beside = Path(sys.executable).with_name("snakemake")
    program = str(beside) if shutil.which("snakemake") is None and beside.exists() else "snakemake"
    return f"cd {shlex.quote(str(folder))} && {shlex.quote(program)} --workflow-profile workflow/profiles/{profile}"
