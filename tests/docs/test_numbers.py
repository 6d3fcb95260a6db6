"""The numbers in the tables of the pages are those of the committed tables.

All numbers of a row have to be one group's of a committed table, its values and spreads, as the row rounds them: a row
that mixes two sets of samples, and one that is stale, fails.
"""

import importlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from tests.docs.pages import DOCS, ROOT, tables

NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d[\d,]*\.?\d*|\.\d+)(?!\w)")
VALUES = ("value", "mean", "spread", "frechet", "probability", "probability_spread", "taken", "psnr")
VALUES += ("accuracy", "accuracy_worst", "recall", "vendi", "wrong_centroid_cost", "dead", "worth", "evaluations")


@dataclass
class Shown:
    """A table of a page: where its numbers are, which columns hold others, which rows have no committed table."""

    page: str
    number: int
    source: str
    by: tuple[str, ...]
    where: str = ""
    without: tuple[int, ...] = (0,)  # columns
    other: tuple[str, ...] = ()  # rows, by the start of their first cells
    scale: float = 1  # kernel distances are shown in thousandths


EARLIER = json.loads((DOCS / "tables/earlier.json").read_text(encoding="utf-8"))["tables"]  # measured once
GUIDANCE = {"by": ("samples",)}
SOFT, ROW = ("corruption", "sampler", "spacing"), ("name", "measure")
SHOWN = [
    Shown("docs/results/guidance.md", 0, "guidance", without=(0, 1, 6), **GUIDANCE),
    Shown("docs/results/guidance.md", 2, "guidance-denoising", ROW),
    Shown("docs/results/guidance.md", 3, "alternatives", ("samples",), without=(0, 1)),
    Shown("docs/results/variance.md", 1, "alternatives", ("samples",), without=(0, 1)),
    Shown("docs/results/index.md", 1, "repeats", ("name",), "`class` == 'mean of classes'", without=(0, 5)),
    Shown("README.md", 0, "repeats", ("name",), "`class` == 'mean of classes'", without=(0, 5)),
    Shown("docs/results/default.md", 0, "quality", ("samples", "measure"), without=(0, 1)),
    Shown("docs/results/default.md", 2, "denoising", ("model", "target")),
    Shown("docs/results/repeats.md", 0, "repeats", ("name", "measure"), "part == 'quality'", without=(0, 1)),
    Shown("docs/results/repeats.md", 2, "repeats", ("name",), "part == 'scatter'"),
    Shown("docs/results/evaluations.md", 0, "evaluations-repeats", ("name",), "`class` == 'mean of classes'", (0, 1)),
    Shown("docs/results/evaluations.md", 1, "evaluations", ("sampler",)),
    Shown("docs/results/between.md", 0, "between", ("line", "class"), "line == 'grass-gravel'"),
    Shown("docs/results/between.md", 1, "between", ("line", "class"), "line == 'brick-grass'"),
    Shown("docs/results/sweep.md", 0, "sweep-repeats", ("name",), without=(0, 5, 6)),
    Shown("docs/results/sweep.md", 2, "sweep", ("samples",), without=(0,)),
    Shown("docs/results/sweep.md", 4, "sweep-nearest", ("name",), without=(0,)),
    Shown("docs/results/shapes.md", 0, "digits", ("samples",), without=(0,)),
    Shown("docs/results/shapes.md", 1, "emoji", ("samples",), without=(0,)),
    Shown("docs/results/textures.md", 0, "ufoai", ("samples",)),
    Shown("docs/results/textures.md", 1, "ufoai-repeats", ("name", "measure"), "part == 'denoising'"),
    Shown("docs/results/textures.md", 2, "ufoai-residual", ("samples",)),
    Shown("docs/results/textures.md", 3, "ufoai", ("samples",)),
    Shown("docs/results/soft.md", 1, "soft-many", ("sampler", "evaluations"), "`class` == 'all'", scale=1000),
    Shown("docs/results/soft.md", 2, "soft", SOFT, "data == 'textures' and `class` == 'all'", scale=1000),
    Shown("docs/results/soft.md", 3, "soft", SOFT, "data == 'animals' and `class` == 'all'", scale=1000),
    Shown("docs/results/soft.md", 4, "soft", ("sampler",), "data == 'textures' and `class` != 'all'", scale=1000),
]  # fmt: skip


def numbers(cell: str) -> list[tuple[float, int, str]]:
    """Each number of a cell: its value, its digits after the point, as it is written."""
    found = []
    for text in NUMBER.findall(cell.replace("**", "")):
        plain = text.replace("−", "-").replace(",", "").rstrip(".")
        found.append((float(plain), len(plain.partition(".")[2]), text))
    return found


def near(number: tuple[float, int, str], values: Iterable[float]) -> bool:
    value, digits, _ = number
    return any(abs(value - other) <= 0.5000001 * 10**-digits for other in values)


def table(name: str) -> pd.DataFrame:
    for folder in (DOCS / "tables", ROOT / "results/tables"):
        if (folder / f"{name}.csv").is_file():
            return pd.read_csv(folder / f"{name}.csv")
    raise FileNotFoundError(name)


def of_classes(name: str, keys: list[str]) -> pd.DataFrame:
    """A table of the default run with the mean over the classes beside each class."""
    found = table(name)
    value = "value" if "value" in found else "psnr"
    own = found[found["class"] != "all"] if "class" in found else found
    return pd.concat([found, own.groupby(keys, as_index=False)[value].mean()])


def groups(shown: Shown) -> dict[object, list[float]]:
    """The numbers of each group, with the default run's real images and unconditional samples."""
    if shown.source == "denoising":
        found = of_classes("denoising", ["model", "target", "sigma"])
        found = found[found["class"].isna()]
    else:
        found = table(shown.source)
    found = found.query(shown.where) if shown.where else found
    sets = {
        key: [v * s for name in VALUES if name in part for v in part[name].dropna() for s in {1.0, shown.scale}]
        for key, part in found.groupby(list(shown.by), dropna=False)
    }
    if shown.source in ("guidance", "evaluations", "repeats"):
        real, soft = of_classes("quality", ["samples", "measure"]), table("soft")
        sets["real"] = [
            *real.query("samples == 'real-textures'")["value"],
            *real.query("samples == 'real-textures'")["spread"].dropna(),
            *real.query("samples == 'guided' and measure == 'class_accuracy'")["value"],
            *soft.query("samples == 'real test images' and data == 'textures'")["spread"].dropna(),
            1.0,
        ]
        sets["none"] = [*real.query("samples == 'mixture'")["value"]]
    return sets | {row: values for one in EARLIER for row, values in one["rows"].items()}


@pytest.mark.parametrize("shown", SHOWN, ids=[f"{one.page}-{one.number}" for one in SHOWN])
def test_each_row_has_the_numbers_of_one_group_of_its_committed_table(shown):
    own, checked = groups(shown), 0
    for row in tables(ROOT / shown.page)[shown.number][1:]:
        asked = [n for i, cell in enumerate(row) if i not in shown.without for n in numbers(cell)]
        if not asked or row[0].startswith(shown.other or "\0"):
            continue
        missing = min(([n[2] for n in asked if not near(n, values)] for values in own.values()), key=len)
        assert not missing, f"{' | '.join(row)}\n{missing} are not in {shown.source}.csv beside the others of the row"
        checked += len(asked)
    assert checked


def test_a_number_that_was_changed_is_found():
    own = groups(SHOWN[0])
    row = [(107.0, 0, "107"), (0.65, 2, ".65"), (6.4, 1, "6.4"), (0.996, 3, ".996")]
    assert any(all(near(n, values) for n in row) for values in own.values())
    assert not any(all(near(n, values) for n in [*row, (108.0, 0, "108")]) for values in own.values())


def test_the_sweeps_psnr_and_cost_are_means_over_the_noise_levels():
    found = table("sweep-repeats").query("part == 'denoising' and `class` == 'mean of classes'")
    means = found.groupby(["name", "measure"])["mean"].mean()
    for row in tables(DOCS / "results/sweep.md")[0][1:]:
        name = row[0].strip("`")
        assert near(numbers(row[5])[0], [means[name, "psnr_right"]]), row
        assert near(numbers(row[6])[0], [means[name, "wrong_centroid_cost"]]), row


def test_pages_of_programs_are_what_they_write_of_the_committed_tables(monkeypatch):
    for folder in ("benchmarks", "benchmarks/gpu", "benchmarks/speed", "docs"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    summary, speed, gpu, paper = (importlib.import_module(name) for name in ("summary", "table", "page", "paper"))
    assert summary.table() in (DOCS / "results/faults.md").read_text(encoding="utf-8")
    on_a_gpu = (DOCS / "results/gpu.md").read_text(encoding="utf-8")
    assert gpu.table(json.loads((DOCS / "tables/gpu.json").read_text())) in on_a_gpu
    assert paper.page(on_a_gpu, json.loads((DOCS / "tables/paper.json").read_text())) == on_a_gpu
    written = speed.markdown(json.loads((DOCS / "tables/bench.json").read_text()))
    assert (DOCS / "results/bench.md").read_text(encoding="utf-8") == written


def test_the_agreement_of_the_engines_and_the_memory_are_those_of_their_tables():
    kinds = json.loads((DOCS / "tables/agreement.json").read_text())
    counts = {f"{kind['agree']} of {kind['of']}" for kind in (*kinds["kinds"].values(), kinds)}
    shown = next(t for t in tables(DOCS / "explanation/reproducible.md") if t[0] == ["Changed", "Agreement"])
    assert {row[1].strip("*") for row in shown[1:]} == counts
    memory = json.loads((DOCS / "tables/memory.json").read_text())["peak bytes"]
    sizes = tables(DOCS / "results/speed.md")[-1]
    for row, value in zip(sizes[1:], memory.values(), strict=True):
        assert near(numbers(row[1])[0], [value / 2**30]), row


@pytest.mark.parametrize("one", EARLIER, ids=[f"{one['page']}-{one['table']}" for one in EARLIER])
def test_what_was_measured_once_is_as_it_was_measured(one):
    rows = {row[0].replace("**", ""): row[1:] for row in tables(ROOT / one["page"])[one["table"]][1:]}
    for name, measured in one["rows"].items():
        shown = [n for cell in rows[name] for n in numbers(cell)]
        assert all(near(n, [value]) for n, value in zip(shown, measured, strict=True)), name


def test_a_data_set_larger_than_memory_has_the_numbers_of_its_table():
    found = json.loads((DOCS / "tables/million.json").read_text())
    trained = [(one["mapped"], one["in memory"]) for one in found["train"]]
    ratios = [mapped["images_s"] / memory["images_s"] for mapped, memory in trained]
    most = [max(one["anonymous"] for one in ones) / 1e9 for ones in zip(*trained, strict=True)]
    whole, few = (t for t in tables(DOCS / "how-to/large.md") if "images" in t[0][0] or "first" in t[0][0])
    wanted = [
        [found["images"] / found["prepare"]["seconds"]],
        [found["prepare"]["anonymous"] / 1e9],
        [trained[0][0]["read_s"]],
        *([value] for value in most),
        [float(np.median(ratios)), min(ratios), max(ratios)],
    ]
    for row, values in zip(whole[1:], wanted, strict=True):
        assert all(near(n, [v]) for n, v in zip(numbers(row[1]), values, strict=True)), (row, values)
    rates = {name: sorted(20_000 / one[name]["seconds"] for one in found["few"]) for name in found["few"][0]}
    for name, rate, ratio in few[1:]:
        least, middle, highest = rates[name]
        assert all(near(n, [v]) for n, v in zip(numbers(rate), (middle, least, highest), strict=True)), (name, rates)
        over = np.median([one[name]["seconds"] / one["ours"]["seconds"] for one in found["few"]])
        assert near(numbers(ratio)[0], [over]), (name, over)


def test_the_errors_of_few_examples_are_those_of_their_table():
    measured = json.loads((DOCS / "tables/shrinkage.json").read_text())["squared error"]["all"]
    shown = next(t for t in tables(DOCS / "tutorials/few-examples.md") if t[0][0] == "examples")
    columns = ("examples", "plain", "plain_spread", "shrunk", "shrunk_spread")
    for row, found in zip(shown[1:], measured, strict=True):
        assert all(near(n, [found[name]]) for n, name in zip(numbers(" ".join(row)), columns, strict=True)), row
    small, large = next(t for t in tables(DOCS / "tutorials/few-examples.md") if t[0][0] == "network")[1:]
    own = table("ufoai-repeats").query(
        "name == 'ufoai-1' and measure == 'class_accuracy' and `class` == 'mean of classes'"
    )
    assert all(near(n, [own[key].item()]) for n, key in zip(numbers(small[2]), ("mean", "spread"), strict=False))
    paper = json.loads((DOCS / "tables/paper.json").read_text())
    assert near(numbers(large[2])[0], [paper["means over classes"]["new, from 16 images"]["class_accuracy"]["mean"]])
    assert numbers(large[1])[0][0] == paper["training"]["classes"]


def test_the_spreads_of_samplers_are_those_of_their_table():
    found, (exact, _, textures) = (
        json.loads((DOCS / "tables/variance.json").read_text()),
        tables(DOCS / "results/variance.md"),
    )
    laws = {(one["sampler"], one["evaluations"]): one for one in found["exact laws"]}
    for row in exact[1:]:
        name = row[0].strip("`")
        forty = laws[name, 40]
        wanted = [laws[name, n]["normal 5 to 0.01"] for n in (10, 20, 40, 80)] + [forty["normal 50 to 0.001"]]
        modes = forty["mixture, within each mode"]
        wanted += [min(modes), max(modes)]
        assert all(near(n, [w]) for n, w in zip(numbers(" | ".join(row[1:])), wanted, strict=True)), row
    columns = ("evaluations", "within-class spread over real's", "recall", "Vendi", "next to their class")
    for row, one in zip(textures[1:], found["textures"]["rows"], strict=True):
        wanted = [one[name] for name in columns if name in one]
        assert all(near(n, [w]) for n, w in zip(numbers(" | ".join(row[1:])), wanted, strict=True)), row


def test_what_the_readme_and_the_front_page_boast_of_is_measured():
    training = json.loads((DOCS / "tables/paper.json").read_text())["training"]
    share = json.loads((DOCS / "tables/share.json").read_text())
    for page in (ROOT / "README.md", DOCS / "index.md", DOCS / "results/index.md"):
        text = page.read_text(encoding="utf-8")
        assert f"{training['seconds']} seconds" in text and f"{training['classes']} textures" in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    with_residual_blocks = 1.1 * share["wall"] / 60  # a step takes a tenth longer than with the plain ones of the table
    assert 12 < with_residual_blocks < 15 and "a quarter of an hour" in readme
    momentum, naive = (
        table("soft-many").query(f"samples == 'many-{one}-500' and `class` == 'all' and measure == 'frechet'")["value"]
        for one in ("momentum", "naive")
    )
    assert f"{naive.item() / momentum.item():.1f} times" in (DOCS / "results/soft.md").read_text(encoding="utf-8")
