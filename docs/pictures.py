"""The pictures and tables of the README and of docs, from the results of a run: python docs/pictures.py [NAME ...]

Without a name all whose results are there. The repeats are those of the last command that made
results/tables/repeats.csv: name the picture after it.

samples.png         real test patches beside guided samples, by class       after: make run
training-time.png   accuracy, distance and recall by images seen            after: the command of results/default.md
guidance.png        distance against diversity, and its and repeats' tables after: the command of results/guidance.md
between.png         images between classes, and tables/between.csv          after: the command of results/between.md
evaluations.png     quality against cost, and tables/evaluations.csv        after: the command of results/evaluations.md
ufoai.png           real patches and samples, and tables/ufoai.csv       after: the command of results/textures.md
"""

import json
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from PIL import Image

from featdiff.data import archive
from featdiff.evaluation.class_means import class_means
from featdiff.evaluation.repeats import CLASSES
from featdiff.evaluation.repeats import COLUMNS as REPEATED
from featdiff.kinds.samplers import SAMPLERS
from featdiff.reporting import evaluations as cost
from featdiff.reporting import frontier, repeats
from featdiff.reporting.between import sheet
from featdiff.reporting.grids import spread_out
from featdiff.settings.base import parse
from featdiff.settings.project import Params, load
from featdiff.settings.sampling import Sampling

RESULTS, HERE = Path("results"), Path(__file__).parent
COLUMNS, ROWS = 9, 2
COPY = re.compile(r"-seed-\d+$")  # how a repeated row's copies are called
MOST = 190  # distance, above which the picture of guidance does not go
PANELS = {"class_accuracy": "class accuracy", "frechet": "Lite0 Frechet distance", "recall": "recall"}


def mosaic(images: np.ndarray) -> np.ndarray:
    """Some images (N, H, W, 1), spread over the set, as one picture with a white line between them."""
    chosen = np.pad(spread_out(images, COLUMNS * ROWS)[..., 0], ((0, 0), (1, 1), (1, 1)), constant_values=255)
    side = chosen.shape[1]
    return chosen.reshape(ROWS, COLUMNS, side, side).swapaxes(1, 2).reshape(ROWS * side, COLUMNS * side)


def samples(settings: Params) -> None:
    """Real test patches and guided samples side by side."""
    guided = settings.report.guided
    dataset = settings.models[settings.samplings[guided].model].dataset
    real = archive.read(RESULTS / f"data/{dataset}/dataset.zip", "dataset").select(split="test")
    drawn = archive.read(RESULTS / f"samples/{guided}/samples.zip", "samples")
    figure, axes = plt.subplots(len(real.classes), 2, figsize=(9, 3.4), layout="constrained")
    for label, (name, row) in enumerate(zip(real.classes, axes, strict=True)):
        for axis, found in zip(row, (real, drawn), strict=True):
            axis.imshow(
                mosaic(found.select(label=label).images), cmap="gray", vmin=0, vmax=255, interpolation="nearest"
            )
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(name)
    axes[0, 0].set_title("real test patches")
    axes[0, 1].set_title("guided samples")
    figure.savefig(HERE / "samples.png", dpi=160, metadata={"Software": None})


def training_time(settings: Params) -> None:
    """Accuracy, distance and recall of each class against the images seen in training, bars over trainings; dashes are
    real."""
    guided = settings.samplings[settings.report.guided].model
    overlay = _overlay("partners")
    trained = {"guided": settings.trainings[settings.models[guided].training].images}
    trained |= {f"guided-{name}": overlay["trainings"][name]["images"] for name in ("quarter", "half")}
    over = _repeats()
    keep(over, "partners-repeats")
    table = pd.concat(_measured(over, name).assign(images=images) for name, images in trained.items())
    real = _rows("real-" + settings.models[settings.samplings[settings.report.guided].model].dataset)
    table = table[table["class"].isin(set(real["class"]) - {"all"})]
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 2.8), layout="constrained")
    for axis, (measure, title) in zip(axes, PANELS.items(), strict=True):
        for name, rows in table[table["measure"] == measure].groupby("class"):
            rows = rows.sort_values("images")
            line = axis.errorbar(
                rows["images"] / 1000, rows["value"], rows["spread"], marker="o", elinewidth=0.7, label=name
            )
            floor = real[(real["measure"] == measure) & (real["class"] == name)]["value"].item()
            axis.axhline(floor, color=line[0].get_color(), linestyle="--", linewidth=0.8)
        axis.set(title=title, xscale="log", xlabel="training images, thousands")
        axis.set_xticks(
            sorted(n / 1000 for n in trained.values()), [f"{n / 1000:.0f}" for n in sorted(trained.values())]
        )
        axis.minorticks_off()
    axes[0].legend(frameon=False)
    figure.savefig(HERE / "training-time.png", dpi=160, metadata={"Software": None})


def guidance(settings: Params) -> None:
    """Distance against recall and Vendi score, a curve for each kind of guidance; their numbers as a table."""
    rows = settings.samplings | {name: _sampling(row) for name, row in _overlay("guidance")["samplings"].items()}
    rows = {name: row for name, row in rows.items() if _evaluation(name).exists()}
    names = [*rows, "real-" + settings.models[settings.samplings[settings.report.guided].model].dataset]
    quality = pd.concat(_rows(name).assign(samples=name) for name in names)
    over = _repeats()
    trained = _trainings(over)
    table = frontier.along(
        frontier.families(rows),
        lambda name: (
            repeats.over_classes(over, name)
            if name in trained
            else frontier.real_images(quality, name).to_dict("records")
        ),
    )
    table["trainings"] = table["samples"].map(trained).fillna(1).astype(int)
    table.to_csv(HERE / "tables/guidance.csv", index=False, lineterminator="\n", float_format="%.4f")
    keep(over, "repeats")
    _denoising(over, ("guided-dropout", "mixture")).to_csv(
        HERE / "tables/guidance-denoising.csv", index=False, lineterminator="\n", float_format="%.3f"
    )
    real = frontier.real_images(quality, names[-1]).set_index("measure")
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained", sharey=True)
    for axis, (measure, title) in zip(axes, frontier.DIVERSITY.items(), strict=True):
        for family, its in table.groupby("family", sort=False):
            wide = its.pivot(index="strength", columns="measure", values=["value", "spread"])
            x, y = (wide["value"][m] for m in (measure, "frechet"))
            bars = wide["spread"].where(y < MOST)  # none of a mark outside of the picture
            lone = len(wide) == 1
            style = {"marker": "*" if lone else "o", "linestyle": "none" if lone else "-", "label": family}
            drawn = axis.errorbar(
                x,
                y,
                bars["frechet"],
                bars[measure],
                elinewidth=0.6,
                markersize=8 if lone else 5,
                **style,
            )
            single = table[(table["family"] == family) & (table["trainings"] == 1)]["strength"].unique()
            once = wide.index.isin(single)
            axis.plot(x[once], y[once], style["marker"], color="w", markersize=3, zorder=4)
            for strength in wide.index:
                place = (x[strength], y[strength])
                axis.annotate(
                    f"{strength:g}", place, (2, 5), textcoords="offset points", fontsize=7, color=drawn[0].get_color()
                )
        axis.plot(real["value"][measure], real["value"]["frechet"], "ks", label="real test images")
        wide = table.pivot(index="samples", columns="measure", values="value")
        seen = [*wide[wide["frechet"] < MOST][measure], real["value"][measure]]
        margin = 0.08 * (max(seen) - min(seen))
        axis.set(xlabel=title, xlim=(min(seen) - margin, max(seen) + margin))
    axes[0].set(ylabel=PANELS["frechet"], ylim=(60, MOST))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(HERE / "guidance.png", dpi=160, metadata={"Software": None})


def between(settings: Params) -> None:
    """For each line a strip, and beside it distance and probability along it: means over trainings, bars their
    deviations."""
    measured = sorted(path.parent for path in RESULTS.glob("between/*/measures.json"))
    lines: dict[str, list[pd.DataFrame]] = {}
    for folder in measured:
        rows = pd.DataFrame(json.loads((folder / "measures.json").read_text())["rows"])
        lines.setdefault(COPY.sub("", folder.name), []).append(rows)
    table = []
    figure, axes = plt.subplots(
        len(lines), 3, figsize=(11, 2.4 * len(lines)), layout="constrained", width_ratios=(5, 3, 3)
    )
    for (line, trained), row in zip(lines.items(), np.atleast_2d(axes), strict=True):
        found = json.loads((RESULTS / f"between/{line}/measures.json").read_text())
        drawn = archive.read(RESULTS / f"between/{line}/images.zip", "between")
        count = int((drawn.index["label"] == 0).sum())
        row[0].imshow(sheet(drawn.images.reshape(-1, count, *drawn.images.shape[1:]), 4))
        row[0].set(xticks=[], yticks=[], title=f"{found['first']} to {found['second']}")
        row[0].spines[:].set_visible(False)
        rows = _along(trained).assign(line=line)
        row[0].set_xlabel("a = " + ", ".join(f"{a:g}" for a in sorted(rows["share"].dropna().unique())))
        table.append(rows)
        for name in (found["first"], found["second"]):
            own = rows[(rows["class"] == name) & rows["share"].notna()]
            shown = row[1].errorbar(
                own["share"], own["frechet"], own["spread"], marker="o", markersize=4, elinewidth=0.7, label=name
            )
            floor = rows[(rows["images"] == name) & (rows["class"] == name)]["frechet"].item()
            row[1].axhline(floor, color=shown[0].get_color(), linestyle=":", linewidth=1)
            row[2].errorbar(
                own["share"],
                own["probability"],
                own["probability_spread"],
                marker="o",
                markersize=4,
                elinewidth=0.7,
                label=name,
            )
        row[1].set(title="Lite0 Frechet distance", xlabel="a", ylim=(0, None))
        row[2].set(title="probability", xlabel="a")
        row[2].legend(frameon=False)
    columns = ["line", "images", "share", "class", "frechet", "spread", "probability", "probability_spread", "taken"]
    pd.concat(table)[[*columns, "count", "trainings"]].to_csv(
        HERE / "tables/between.csv", index=False, lineterminator="\n", float_format="%.4f"
    )
    figure.savefig(HERE / "between.png", dpi=130, metadata={"Software": None})


def evaluations(settings: Params) -> None:
    """Distance, recall and accuracy against network evaluations, a line a sampler, of one training; dotted are real
    test images."""
    rows = settings.samplings | {name: _sampling(row) for name, row in _overlay("evaluations")["samplings"].items()}
    rows = {name: row for name, row in rows.items() if _evaluation(name).exists()}
    real = "real-" + settings.models[settings.samplings[settings.report.guided].model].dataset
    quality = pd.concat(_rows(name).assign(samples=name) for name in (*rows, real))
    found = cost.points(quality, rows, settings.report.guided)
    floor = cost.means(quality, real)
    keep(_repeats(), "evaluations-repeats")
    table = [
        {"sampler": p.sampler, "evaluations": p.evaluations, "measure": m, "value": v, "spread": s}
        for p in found
        for m, (v, s) in p.values.items()
    ]
    pd.DataFrame(table).to_csv(HERE / "tables/evaluations.csv", index=False, lineterminator="\n", float_format="%.4f")
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 3.6), layout="constrained")
    for axis, (measure, title) in zip(axes, PANELS.items(), strict=True):
        for sampler in dict.fromkeys(p.sampler for p in found):
            own = [(p.evaluations, *p.values[measure]) for p in found if p.sampler == sampler]
            x, y, spread = zip(*own, strict=True)
            axis.errorbar(x, y, yerr=spread, marker="o", markersize=4, elinewidth=0.7, label=SAMPLERS.label(sampler))
        axis.axhline(floor[measure][0], color="k", linestyle=":", linewidth=1, label="real test images")
        axis.set(title=title, xscale="log", xlabel="network evaluations an image")
        if measure == "frechet":
            axis.set(yscale="log")
            axis.set_yticks([70, 100, 200, 400, 800], ["70", "100", "200", "400", "800"])
            axis.minorticks_off()
        ticks = [5, 10, 25, 100, 500]
        axis.set_xticks(ticks, [str(t) for t in ticks])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(HERE / "evaluations.png", dpi=130, metadata={"Software": None})


def ufoai(settings: Params) -> None:
    """Real test patches and guided samples of each known class, one row a class; means over classes (and trainings) as
    a table."""
    real = archive.read(RESULTS / "data/ufoai/dataset.zip", "dataset").select(split="test")
    drawn = archive.read(RESULTS / "samples/ufoai/samples.zip", "samples")
    figure, axes = plt.subplots(1, 2, figsize=(9, 5.4), layout="constrained")
    for axis, labels in zip(axes, np.array_split(np.arange(len(real.classes)), 2), strict=True):
        rows = []
        for label in labels:
            parts = (spread_out(real.select(label=label).images, 5), drawn.select(label=label).images[:5])
            gap = np.full((parts[0].shape[1] + 1, 6), 255)
            left, right = (np.hstack([framed(image) for image in part]) for part in parts)
            rows.append(np.hstack([left, gap, right]))
        axis.imshow(np.vstack(rows), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set(xticks=[], yticks=[], title="real test patches, guided samples")
        axis.spines[:].set_visible(False)
    figure.savefig(HERE / "ufoai.png", dpi=110, metadata={"Software": None})
    with Image.open(HERE / "ufoai.png") as picture:
        picture.convert("L").save(HERE / "ufoai.png", optimize=True)
    found = sorted(path.stem for path in RESULTS.glob("evaluation/*ufoai*.json"))
    quality = pd.concat(_rows(name).assign(samples=name) for name in found)
    table = quality[~quality["samples"].str.contains(COPY)].groupby("samples").apply(class_means, include_groups=False)
    table["classes"] = quality[quality["class"] != "all"].groupby(["samples", "measure"])["class"].nunique()
    over = _repeats()
    own = over[(over["part"] == "quality") & (over["class"] == CLASSES)]
    own = own.rename(columns={"name": "samples", "mean": "value"}).set_index(["samples", "measure"])
    table["trainings"] = 1
    table.update(own[["value", "spread", "trainings"]])
    table.to_csv(HERE / "tables/ufoai.csv", lineterminator="\n", float_format="%.4f")
    keep(over, "ufoai-repeats")


def _along(trained: list[pd.DataFrame]) -> pd.DataFrame:
    """Means over trainings of the measures along one line; deviations over them, or over draws where there is one
    training."""
    if len(trained) == 1:
        return trained[0].assign(probability_spread=np.nan, trainings=1)
    groups = pd.concat(trained).groupby(["images", "share", "class"], sort=False, dropna=False)
    means = groups[["frechet", "probability", "taken", "count"]].mean()
    return means.assign(
        spread=groups["frechet"].std(), probability_spread=groups["probability"].std(), trainings=len(trained)
    ).reset_index()


def _repeats() -> pd.DataFrame:
    """The table of repeats of the run, empty without one."""
    path = RESULTS / "tables/repeats.csv"
    return repeats.read(path) if path.exists() else pd.DataFrame(columns=REPEATED)


def _trainings(over: pd.DataFrame) -> dict[str, int]:
    """How often each repeated row of samplings was trained."""
    return over[over["part"] == "quality"].groupby("name")["trainings"].max().to_dict()


def _denoising(over: pd.DataFrame, once: tuple[str, ...]) -> pd.DataFrame:
    """PSNR by what the network is told and noise level, means over classes: of the repeated models with deviations over
    trainings, and of models trained once."""
    repeated = over[(over["part"] == "denoising") & (over["class"] == CLASSES)]
    repeated = repeated[repeated["measure"].str.startswith("psnr_")]
    found = [repeated.rename(columns={"mean": "psnr"})[["name", "measure", "sigma", "psnr", "spread", "trainings"]]]
    for model in once:
        rows = pd.DataFrame(json.loads((RESULTS / f"models/{model}/denoising.json").read_text())["rows"])
        means = rows.groupby(["target", "sigma"], sort=False, as_index=False)["psnr"].mean()
        found.append(means.assign(name=model, measure="psnr_" + means["target"], spread=np.nan, trainings=1))
    return pd.concat(found)[["name", "measure", "sigma", "psnr", "spread", "trainings"]]


def _measured(over: pd.DataFrame, name: str) -> pd.DataFrame:
    """Measures of one row of samplings by class: means over its trainings and their deviations, or those of its only
    one."""
    own = over[(over["part"] == "quality") & (over["name"] == name)]
    return own.rename(columns={"mean": "value"}) if len(own) else _rows(name)


def keep(over: pd.DataFrame, name: str) -> None:
    """The table of repeats beside the pages, named after its preset; that of another preset's rows leaves it as it
    is."""
    if set(over[over["part"] == "quality"]["name"]) == set(_overlay(name)["repeats"]["rows"]):
        over.to_csv(HERE / f"tables/{name}.csv", index=False, lineterminator="\n", float_format="%.5g")


def framed(image: np.ndarray) -> np.ndarray:
    """A gray image (H, W, 1) with a white line to the right and below."""
    return np.pad(image[..., 0], ((0, 1), (0, 1)), constant_values=255)


def _overlay(name: str) -> dict:
    return yaml.safe_load(Path(f"workflow/presets/{name}.yaml").read_text())


def _sampling(row: dict) -> Sampling:
    return parse(Sampling, row, "workflow/presets/guidance.yaml")


def _evaluation(name: str) -> Path:
    return RESULTS / f"evaluation/{name}.json"


def _rows(name: str) -> pd.DataFrame:
    return pd.DataFrame(json.loads(_evaluation(name).read_text())["rows"])


PICTURES = {  # and results without which there is nothing to draw
    "samples": (samples, "evaluation/guided.json"),
    "training-time": (training_time, "evaluation/guided-half.json"),
    "guidance": (guidance, "evaluation/label-1.json"),
    "between": (between, "between/*/measures.json"),
    "evaluations": (evaluations, "evaluation/heun-25.json"),
    "ufoai": (ufoai, "evaluation/ufoai.json"),
}


if __name__ == "__main__":
    names = sys.argv[1:]
    if unknown := [name for name in names if name not in PICTURES]:
        sys.exit(f"no picture is called {unknown[0]!r}; there are: {', '.join(PICTURES)}")
    for name in names or PICTURES:
        draw, needed = PICTURES[name]
        if any(RESULTS.glob(needed)):
            draw(load())
        elif names:
            sys.exit(f"{name}: {RESULTS / needed} is not there; the command that makes it stands in docs")
