"""What gives the numbers that sentences of the pages of results claim: ``{}`` in the words is a number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from featdiff.data import decode, sources
from tests.docs.pages import DOCS, ROOT
from tests.docs.test_numbers import of_classes, table

Give = Callable[[], list[float]]


def page_of(name: str) -> Path:
    return DOCS / "results" / f"{name}.md"


def json_of(name: str) -> Any:
    return json.loads((DOCS / f"tables/{name}.json").read_text(encoding="utf-8"))


def value(of_table: str, column: str = "value", **keys: Any) -> float:
    """One number of a committed table."""
    found = table(of_table)
    for key, wanted in keys.items():
        found = found[found[key.rstrip("_")] == wanted]
    return float(found[column].item())


def mean(name: str, row: str, measure: str, of: str = "mean of classes", column: str = "mean") -> float:
    """Over three trainings."""
    return value(name, column, name=row, measure=measure, class_=of)


def both(name: str, row: str, measure: str) -> list[float]:
    """Mean and deviation over three trainings."""
    return [mean(name, row, measure), mean(name, row, measure, column="spread")]


def nearest(row: str, block: str, column: str = "mean") -> float:
    keys = {"name": row, "block": block, "sigma": 0.001, "measure": "nearest_centroid"}
    return value("ufoai-repeats", column, **keys)


def in_default(measure: str, samples: str) -> float:
    """The mean over the classes in the default run."""
    found = of_classes("quality", ["samples", "measure"])
    found = found[(found["samples"] == samples) & (found["measure"] == measure) & found["class"].isna()]
    return float(found["value"].item())


def many(samples: str, measure: str = "frechet", of: str = "all", data: str = "animals") -> float:
    return value("soft-many", samples=samples, measure=measure, class_=of, data=data)


def ratio(over: str, under: str, data: str) -> float:
    return many(over, data=data) / many(under, data=data)


def soft(samples: str, measure: str = "frechet", of: str = "all") -> float:
    return value("soft", samples=samples, measure=measure, class_=of)


def costs_of_a_corruption() -> list[float]:
    rows = next(one["rows"] for one in json_of("earlier")["tables"] if one["page"] == "docs/results/soft.md")
    ((blur, _, _, larger_blur, larger_mask, *_),) = rows.values()
    return [blur / 100, larger_blur / 100, larger_mask / 100]


def psnr(name: str, better: tuple[str, str], worse: tuple[str, str]) -> list[float]:
    """Least and most that the one is above the other, over the noise levels; each is a row and a measure."""
    found = table(name).query("part == 'denoising' and `class` == 'mean of classes'")
    by = found.set_index(["name", "measure", "sigma"])["mean"].sort_index()
    gained = by[better] - by[worse]
    return [float(gained.min()), float(gained.max())]


def agreement(column: str) -> list[float]:
    """Least and most rank correlation between two of the three trainings of 24 textures."""
    found = table("ufoai-distances").query("model not in ('ufoai-60000-images', 'ufoai-residual')")
    wide = found.pivot_table(index=["first", "second"], columns="model", values=column).corr("spearman")
    pairs = [float(wide.iloc[i, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    return [min(pairs), max(pairs)]


def error_of_distances() -> list[float]:
    found = table("ufoai-distances")
    return [float((found["error"] / found["density"]).median())]


def never_reached(row: str) -> int:
    found = table("ufoai-repeats").query("name == @row and measure == 'class_accuracy' and `class` != 'all'")
    return int((found["mean"] == 0).sum())


def guided_by(row: str, measure: str = "frechet") -> float:
    return value("guidance", samples=row, measure=measure)


def above_the_mixture(model: str, measure: str) -> list[float]:
    """Least and most PSNR of a network above the mixture network's, over the noise levels."""
    by = table("guidance-denoising").set_index(["name", "measure", "sigma"])["psnr"].sort_index()
    gained = by[model, measure] - by["mixture", "psnr_none"]
    return [float(gained.min()), float(gained.max())]


def speed(line: str, other: str) -> float:
    rows = [row for row in json_of("bench")["rows"] if (row["line"], row["other"]) == (line, other)]
    return float(rows[0][rows[0]["clock"]]["ratio"])


def speed_of_peak(line: str, precision: str = "fp32") -> float:
    rows = [r for r in json_of("bench")["rows"] if r["line"] == line and r["contest"].endswith(precision)]
    return float(rows[0][rows[0]["clock"]]["ratio"])


def multiplications(name: str = "featdiff, mixture") -> float:
    return float(json_of("bench")["contests"]["training in bf16"]["contenders"][name]["multiplications"])


def asked_and_met() -> list[float]:
    """How many ratios are met, of how many that were asked for: of the hardest peer alone."""
    rows = [row for row in json_of("bench")["rows"] if row["target"] is not None and row.get("hardest")]
    kept = [row[row["clock"]]["ratio"] <= row["target"] for row in rows if row["at most"]]
    kept += [row[row["clock"]]["ratio"] >= row["target"] for row in rows if not row["at most"]]
    return [sum(kept), len(kept)]


def steps_of_the_default() -> list[float]:
    training = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["trainings"]["preview"]
    return [training["images"] / training["batch"]]


def paper(key: str) -> float:
    return float(json_of("paper")["training"][key])


def textures(row: str, measure: str = "class_accuracy") -> float:
    return mean("ufoai-repeats", row, measure)


def drawn(measure: str, of: str, samples: str = "guided", column: str = "value") -> float:
    """A class of the default run."""
    return value("quality", column, samples=samples, measure=measure, class_=of)


def of_real(measure: str, of: str) -> float:
    return drawn(measure, of) / drawn(measure, of, "real-textures")


def of_the_mixture(of: str) -> float:
    return drawn(FRECHET, of) / drawn(FRECHET, of, "mixture")


def gain() -> list[float]:
    """Least and most PSNR of the right centroid above the mixture network's, over the noise levels."""
    by = table("denoising").pivot_table(index=["model", "target"], columns="sigma", values="psnr")
    gained = by.loc[("guided", "right")] - by.loc[("mixture", "none")]
    return [float(gained.min()), float(gained.max())]


def told_by_clean(model: str, network: str = "trained") -> float:
    found = table("scatter").query("model == @model and network == @network and sigma == 0.001")
    return float(found["nearest_centroid"].mean())


def spreads(of: str) -> list[float]:
    """How far three trainings of the guided network differ: class accuracy, distance, recall."""
    return [mean(of, "guided", measure, column="spread") for measure in (ACCURACY, FRECHET, "recall")]


ACCURACY, FRECHET = "class_accuracy", "frechet"
CLAIMS: dict[str, dict[str, Give]] = {
    "default": {
        "the least is gravel's {}": lambda: [drawn(ACCURACY, "gravel")],
        "yes, by {} to {} dB": gain,
        "yes: {}, {} and {} of it": lambda: [of_the_mixture(of) for of in ("brick", "grass", "gravel")],
        "grass {} of theirs": lambda: [of_real("recall", "grass")],
        "brick {} above": lambda: [of_real("vendi", "brick") - 1],
        "right for {}, the mixture's for {}, an untrained network's for {}": lambda: [
            told_by_clean("guided"),
            told_by_clean("mixture"),
            told_by_clean("guided", "untrained"),
        ],
        "accuracy {} {} {} and distance {} {} {}": lambda: [
            mean("partners-repeats", "guided-half", measure, of)
            for measure in (ACCURACY, FRECHET)
            for of in ("brick", "grass", "gravel")
        ],
        "accuracy {} ± {}, distance {} ± {}": lambda: [
            *both("repeats", "guided", ACCURACY),
            *both("repeats", "guided", FRECHET),
        ],
    },
    "guidance": {
        "distance {} instead of {},": lambda: [guided_by("dropout-1"), guided_by("guided")],
        "distance is {}, that of labels {}": lambda: [guided_by("dropout-3"), guided_by("label-3")],
        "within {} dB of the mixture": lambda: [-above_the_mixture("guided-dropout", "psnr_none")[0]],
        "is worth {} to {} dB, told": lambda: above_the_mixture("guided", "psnr_right"),
        "a wrong one costs up to {} dB": lambda: [
            psnr("repeats", ("guided", "psnr_right"), ("guided", "psnr_wrong"))[1]
        ],
    },
    "repeats": {
        "(chance {})": lambda: [1 / 3],
        "by {} in class accuracy, by {} in distance and by {} in recall": lambda: spreads("repeats"),
        "differed by {}, {} and {}": lambda: spreads("conv-repeats"),
        "A = {} ± {} and B = {} ± {}": lambda: [
            value("repeats", column, name="guided", measure=bound) for bound in "AB" for column in ("mean", "spread")
        ],
    },
    "evaluations": {
        "at most {} in distance and {} in recall": lambda: [
            float(table("evaluations").query("measure == @measure")["spread"].max()) for measure in (FRECHET, "recall")
        ],
        "images are at {} and {}": lambda: [in_default(measure, "real-textures") for measure in (FRECHET, "recall")],
    },
    "sweep": {
        "costs only {} dB": lambda: [
            float(
                table("sweep-repeats")
                .query("name == 'sweep-noised' and measure == 'wrong_centroid_cost' and `class` == 'mean of classes'")[
                    "mean"
                ]
                .mean()
            )
        ],
    },
    "textures": {
        "worth up to {} dB": lambda: psnr("ufoai-repeats", ("ufoai", "psnr_right"), ("ufoai-mixture", "psnr_none"))[1:],
        "costs up to {} dB": lambda: psnr("ufoai-repeats", ("ufoai", "psnr_right"), ("ufoai", "psnr_wrong"))[1:],
        "X {}, X {}.": lambda: [
            mean("ufoai-repeats", "ufoai", ACCURACY, of) for of in ("ctp1-metal_g_3", "nature-desert002")
        ],
        "X {} from": lambda: [mean("ufoai-repeats", "ufoai-16", ACCURACY, "nature-rock011")],
        "{} of the 40": lambda: [never_reached("ufoai-16")],
        "class mean {} ± {} and {} ± {}": lambda: [
            nearest("ufoai", block, column) for block in ("encoder0", "encoder1") for column in ("mean", "spread")
        ],
        "network has {} and {}": lambda: [nearest("ufoai-mixture", block) for block in ("encoder0", "encoder1")],
        "correlations of {})": lambda: agreement("density")[:1],
        "centroids ({} to {})": lambda: agreement("centroids"),
        "median error of {}": error_of_distances,
        "over {} pairs": lambda: [24 * 23 / 2],
        "{} textures, a class each": lambda: [paper("classes") + 40],
        "chance is {} among the 24": lambda: [1 / 24],
        "there; chance is {}": lambda: [1 / 24],
        "(chance is {})": lambda: [1 / 40],
    },
    "soft": {
        "three trainings: {} against {}": lambda: [1000 * soft(f"{name}-ddim-20", "kid") for name in ("noise", "blur")],
        "textures {} ± {}, the best by hand {} ± {}": lambda: [
            value("soft", column, samples=name, measure=FRECHET, class_="all")
            for name in ("blur-20", "blur-logarithmic-20")
            for column in ("value", "spread")
        ],
        "blur {}, mask nothing that can be told from noise (24 x 24); {} and {} (28": costs_of_a_corruption,
        "animals {} and {}": lambda: [soft("animals-blur-20"), soft("animals-logarithmic-20")],
        "sampling: {} times at 100 evaluations": lambda: [soft("naive-100") / soft("blur-100")],
        "draws them {} times": lambda: [ratio("many-naive-500", "many-momentum-500", "textures")],
        "it is {} times": lambda: [ratio("animals-many-naive-500", "animals-many-momentum-500", "animals")],
        "differ by {} in distance": lambda: [
            mean("conv-repeats", "guided", FRECHET, column="spread") / mean("conv-repeats", "guided", FRECHET)
        ],
        "is {} times momentum's at 500 evaluations and {} at 200": lambda: [
            ratio(f"many-naive-{n}", f"many-momentum-{n}", "textures") for n in (500, 200)
        ],
        "only {} (at 500: {}) times": lambda: [
            ratio(f"animals-many-naive-{n}", "real test images", "animals") for n in (200, 500)
        ],
        "variety (recall {}, momentum {})": lambda: [
            many(f"animals-many-{sampler}-200", "recall") for sampler in ("naive", "momentum")
        ],
        "class accuracy {}, naive's and real ones' {}": lambda: [
            many(f"animals-many-{sampler}-200", ACCURACY, "mean of classes") for sampler in ("momentum", "naive")
        ],
        "mends that ({})": lambda: [many("animals-many-guided-50", ACCURACY, "mean of classes")],
        "{} times on textures at 100 evaluations, {} on animals": lambda: [
            soft("naive-100") / soft("blur-100"),
            soft("animals-naive-200") / soft("animals-blur-200"),
        ],
        "from {} (kernel {}) with the published noise to {} ({})": lambda: [
            soft(row, measure) * scale
            for row in ("animals-published-100", "animals-blur-100")
            for measure, scale in ((FRECHET, 1), ("kid", 1000))
        ],
        "({} ± {} over three trainings) or labels ({} ± {})": lambda: [
            *both("conv-repeats", "guided", FRECHET),
            *both("conv-repeats", "label-1", FRECHET),
        ],
    },
    "gpu": {
        "In {} seconds": lambda: [paper("seconds")],
        "reaches {} among 24 known classes and {} among the 40": lambda: [textures("ufoai"), textures("ufoai-16")],
        "network of {} parameters": lambda: [paper("parameters")],
        "trained once: {} images": lambda: [paper("images")],
    },
    "index": {
        "{} textures in {} seconds": lambda: [paper("classes"), paper("seconds")],
        "momentum {} times nearer than naive on textures, {} times on silhouettes": lambda: [
            ratio("many-naive-500", "many-momentum-500", "textures"),
            ratio("animals-many-naive-500", "animals-many-momentum-500", "animals"),
        ],
        "{} of {} ratios": asked_and_met,
    },
    "speed": {
        "is {} times as fast as k-diffusion's": lambda: [
            speed("training, plain mixture, bf16: images/s", "k-diffusion")
        ],
        "{} times as fast; 1.3 is asked for": lambda: [speed("training, plain mixture, fp32: images/s", "k-diffusion")],
        "{} times as fast; 1.2 is asked for": lambda: [
            speed("sampling: images/s per network evaluation", "k-diffusion")
        ],
        "{} multiplications an image, ours {}": lambda: [multiplications("k-diffusion"), multiplications() / 1e6],
        "ours is {} times as fast, at {} of": lambda: [
            speed("training, plain mixture, fp32: images/s", "k-diffusion")
            * multiplications()
            / multiplications("k-diffusion"),
            speed_of_peak("training, mixture"),
        ],
        "convolutions: {} of": lambda: [speed_of_peak("sampling, guided")],
        "vendi-score | {} times": lambda: [speed("Vendi score: sets/s", "vendi-score")],
        "preparing | {} times": lambda: [speed("dataset preparation: images/s", "torchvision")],
        "take {} steps": steps_of_the_default,
        "({} x {};": lambda: [json_of("memory")["images"], json_of("memory")["dimension"]],
    },
    "faults": {
        "members ({}), one file ({} MiB), all ({} GiB) and the ratio of packing ({})": lambda: [
            sources.MAX_MEMBERS,
            sources.MAX_FILE / 2**20,
            sources.MAX_TOTAL / 2**30,
            sources.MAX_RATIO,
        ],
        "at most {} pixels": lambda: [decode.MAX_PIXELS],
    },
}
PROTOCOL: dict[str, tuple[str, ...]] = {  # machines, versions, sizes of packages, what another test holds
    "default": ("2.13", "46", "95%", "97%", "15%"),
    "gpu": ("80", "3.12", "2.11"),
    "guidance": ("576",),
    "shapes": ("21",),
    "mixtures": ("81", "84%", "-2"),  # the shares of paths: tests/mixture/test_claims.py
    "soft": ("193",),
    "textures": ("336",),
}
TOLD: dict[str, tuple[int, ...]] = {
    "index": (0,),
    "default": (1,),
    "sweep": (1, 3),
    "faults": (2,),
    "soft": (0,),
    "speed": (4,),
}  # tables whose rows are read like sentences
