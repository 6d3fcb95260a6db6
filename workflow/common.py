"""What the rule files share: the paths of files, the rows of the settings' tables, and the shell they run in.

Only lookups: the science is in ``featdiff``. Importing this costs no torch, so a graph of thousands of jobs is built
fast.
"""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from featdiff import extending
from featdiff.data.counting import judged, needs_of
from featdiff.data.needs import as_json, shown
from featdiff.errors import UserError
from featdiff.kinds.guidance import CentroidGuidance
from featdiff.mixture import BRIDGE_TABLES, TABLES
from featdiff.settings.base import determining, parse
from featdiff.settings.centroids import Centroids
from featdiff.settings.data import AssetSource, PackagedSource, ZipSource
from featdiff.settings.evaluation import FETCHED, INCEPTION_VARIABLE, Inception
from featdiff.settings.project import Params

SETTINGS = "params.yaml"
REAL = "real-"  # the real test images of data set D are evaluated under the name real-D: the floor


def _settings(config: dict[str, Any]) -> Params:
    """The settings of a run. An overlay that changes a row which the settings file lacks is told so."""
    try:
        return parse(Params, config, f"{SETTINGS}, with --configfile and --config where given")
    except UserError as error:
        bare = re.findall(r"^  samplings\.([^.]+)\.model: Field required$", str(error), re.MULTILINE)
        own = yaml.safe_load(Path(SETTINGS).read_text(encoding="utf-8")).get("samplings") or {}
        hints = [
            f"  {SETTINGS} has no row samplings.{name}: put it back, or take it out of the file that changes it"
            for name in bare
            if name not in own
        ]
        raise UserError("\n".join([str(error), *hints])) from None


class Project:
    """The settings of a run and where its files lie. ``--config results=FOLDER`` puts them in another folder."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.results = str(config.pop("results", "results")).rstrip("/")
        try:
            self._check_results()
            extending.load()
            self.params = _settings(config)
            self.models = sorted(self.params.models)
            self.samplings = sorted(self.params.samplings)
            shown = {self.params.dataset_of(sampling) for sampling in self.samplings}
            self.datasets = sorted(shown | {model.dataset for model in self.params.models.values()})
            self.corruptions = sorted({m.corruption for m in self.params.models.values() if m.corruption})
            sources = [self.params.datasets[name].source for name in self.datasets]
            self.assets = sorted({source.name for source in sources if isinstance(source, AssetSource)})
            self.raw = {name: self._raw_files(name) for name in self.datasets}
            self._check_names()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None

    def _check_results(self) -> None:
        """Paths of results stand in shell commands as they are."""
        if not re.fullmatch(r"[\w./+@%:=-]+", self.results, re.ASCII) or self.results.startswith("-"):
            raise UserError(
                f"--config results={self.results!r}: the name of a results folder is made of letters, digits and "
                "./_+-@%:="
            )

    def _check_names(self) -> None:
        for name in {*self.samplings} & {REAL + dataset for dataset in self.datasets}:
            raise UserError(f"samplings.{name}: this name belongs to the real images of a data set; choose another")

    def _raw_files(self, dataset: str) -> list[str]:
        """The files a data set is made from: every file of a folder, a zip, or none for packaged images."""
        source = self.params.datasets[dataset].source
        if isinstance(source, PackagedSource):
            return []
        if isinstance(source, AssetSource):
            return [source.path]
        path = Path(source.path)
        if isinstance(source, ZipSource):
            files, what = [path] if path.is_file() else [], "a zip file with one folder of images a class"
        else:
            files, what = sorted(f for f in path.rglob("*") if f.is_file()), "a folder with one sub-folder a class"
        if not files:
            raise UserError(
                f"params.yaml: datasets.{dataset}.source.path: '{path}' is missing or empty; it should be {what} "
                "(a relative path starts at the project's root)"
            )
        names = [file.as_posix() for file in files]
        if braces := [name for name in names if "{" in name or "}" in name]:
            raise UserError(
                f"params.yaml: datasets.{dataset}.source.path: '{braces[0]}': Snakemake takes braces for wildcards; "
                "rename it, or put the folder into a zip, where any name will do"
            )
        return names

    # --- files --------------------------------------------------------------------------------------------------

    def path(self, *parts: str) -> str:
        """A path under the results folder; may hold wildcards."""
        return "/".join((self.results, *parts))

    def dataset(self, name: str) -> str:
        return self.path("data", name, "dataset.zip")

    def checkpoint(self, model: str) -> str:
        return self.path("models", model, "checkpoint.safetensors")

    def samples(self, sampling: str) -> str:
        return self.path("samples", sampling, "samples.zip")

    def features(self, kind: str, name: str) -> str:
        return self.path(kind, name, "features.npz")

    def weights(self) -> list[str]:
        """The weights of FID where they are to be fetched: no path and no environment variable names any."""
        extractor = self.params.evaluation.extractor
        given = not isinstance(extractor, Inception) or extractor.weights or os.environ.get(INCEPTION_VARIABLE)
        return [] if given else [FETCHED]

    # --- rows ---------------------------------------------------------------------------------------------------

    @property
    def needs(self) -> str:
        """What later steps need of each data set, as JSON. Preparation is told, and what it makes does not depend on
        it: other needs alone run nothing again."""
        return as_json({name: needs_of(self.params, name) for name in self.datasets})

    def judge_counts(self, made_anew: Iterable[str]) -> None:
        """End the run if an archive that is there has too few images for the settings, unless it is made anew and
        judged then."""
        there = {self.dataset(name): name for name in self.datasets}
        kept = [(name, Path(path)) for path, name in there.items() if path not in set(made_anew)]
        try:
            problems, _ = judged(self.params, kept)
        except UserError:
            return  # a damaged archive: the step that reads it says so
        if problems:
            print("\n".join(["error: too few images for these settings", *shown(problems)]), file=sys.stderr)
            raise SystemExit(2)

    def dataset_of(self, model: str) -> str:
        """The archive a model learns from."""
        return self.dataset(self.params.models[model].dataset)

    def model_of(self, sampling: str) -> str:
        """The checkpoint that draws a set of samples."""
        return self.checkpoint(self.params.samplings[sampling].model)

    def centroids_of(self, model: str) -> list[str]:
        """The centroids of a model, none for a model without features to match."""
        guided = self.params.models[model].condition == "feature"
        return [self.path("models", model, "centroids.npz")] if guided else []

    def progress_folder(self, model: str) -> str:
        """Where there is something to see of a training while it runs."""
        return self.path("logs/train", model)

    def progress(self) -> dict[str, str]:
        """The records of the trainings that the report shows, by model."""
        return {model: self.path("models", model, "progress.zip") for model in self._reported()}

    def health(self) -> dict[str, str]:
        """What a look at the networks that the report shows has found, by model."""
        return {model: self.path("models", model, "health.json") for model in self._reported()}

    def _reported(self) -> list[str]:
        """The models of the report's two samplings."""
        report = self.params.report
        rows = (report.guided, report.baseline) if report else ()
        return list(dict.fromkeys(self.params.samplings[name].model for name in rows))

    def guide_of(self, sampling: str) -> list[str]:
        """The centroids that guide a set of samples, if any."""
        row = self.params.samplings[sampling]
        if isinstance(row.guidance, CentroidGuidance) and row.guidance.examples:
            examples = row.guidance.examples
            return [self.path("models", row.model, "examples", f"{examples.dataset}-{examples.images}.npz")]
        return self.centroids_of(row.model) if row.model in self.params.guides(sampling) else []

    def examples(self, images: str) -> Centroids:
        """How centroids are made from so many example images a class."""
        return self.params.centroids.model_copy(update={"images_per_class": int(images)})

    def levels_of(self, sampling: str) -> list[str]:
        """The levels of the corruption that a set of samples undoes, if any."""
        row = self.params.models[self.params.samplings[sampling].model]
        return [self.path("levels", row.dataset, f"{row.corruption}.npz")] if row.corruption else []

    def drawn_from(self, sampling: str) -> dict[str, list[str]]:
        """All files a set of samples is drawn from, by the option that takes them."""
        weak = self.params.models_of(sampling)[1:]  # of autoguidance
        return {
            "model": [self.model_of(sampling)],
            "centroids": self.guide_of(sampling),
            "weak": [self.checkpoint(model) for model in weak],
            "weak_centroids": [file for model in weak for file in self.centroids_of(model)],
            "levels": self.levels_of(sampling),
        }

    def levels(self) -> dict[str, str]:
        """The levels of each corruption on the report's data set, by the corruption's name."""
        if self.params.report is None:
            return {}
        dataset = self.params.models[self.params.samplings[self.params.report.guided].model].dataset
        rows = [m for m in self.params.models.values() if m.corruption and m.dataset == dataset]
        return {str(m.corruption): self.path("levels", dataset, f"{m.corruption}.npz") for m in rows}

    def shards_of(self, sampling: str) -> list[str]:
        """The parts a set of samples is drawn in."""
        shards = range(self.params.samplings[sampling].shards)
        return [self.path("samples", sampling, "shards", f"{shard}.zip") for shard in shards]

    def between(self) -> list[str]:
        """The images between classes, and their measures."""
        return [
            self.path("between", name, file) for name in self.params.between for file in ("images.zip", "measures.json")
        ]

    def between_dataset(self, line: str) -> str:
        return self.params.dataset_of(self.params.between[line].sampling)

    def between_sections(self, line: str) -> list[str]:
        return [f"between.{line}", f"samplings.{self.params.between[line].sampling}"]

    def swept(self, what: str) -> dict[str, str]:
        """The files called ``what`` (``denoising``, ``health``) of the models that the sweep compares."""
        models = {self.params.samplings[name].model: None for name in self.params.sweep}
        return {model: self.path("models", model, f"{what}.json") for model in models}

    def repeated(self) -> dict[str, list[str]]:
        """All files that the table of repeats is made of: of rows and their copies, and of the models that draw
        them."""
        repeats = self.params.repeats
        if repeats is None:
            return {"evaluations": [], "denoising": [], "distances": []}
        rows = self._with_copies("samplings", repeats.rows)
        models = self._with_copies("models", {self.params.samplings[row].model for row in repeats.rows})
        told = [
            m for m in models if self.params.models[m].condition == "feature" and not self.params.models[m].corruption
        ]
        return {
            "evaluations": [self.path("evaluation", f"{row}.json") for row in rows],
            "denoising": [self.path("models", model, "denoising.json") for model in models],
            "distances": [self.path("models", model, "distances.json") for model in told if repeats.distances],
        }

    def repeats_table(self) -> list[str]:
        return [self.path("tables/repeats.csv")] if self.params.repeats else []

    def _with_copies(self, table: Literal["models", "samplings"], names: Iterable[str]) -> list[str]:
        """Rows of a table and the copies that ``repeats`` made of them, sorted."""
        wanted = set(names)
        return sorted(wanted | {name for name, copy in self.params.copies(table).items() if copy.row in wanted})

    def settings(self) -> str:
        """All settings that change results, as JSON."""
        return json.dumps(determining(self.params))

    def embed_settings(self, kind: str) -> str:
        """What features depend on of the protocol, as JSON: of samples all images are embedded, of a data set some."""
        return json.dumps(self.params.evaluation.embedding(kind))

    def embed_sections(self, kind: str) -> list[str]:
        """The keys of the protocol that features depend on."""
        return [f"evaluation.{key}" for key in self.params.evaluation.embedding(kind)]

    def train_settings(self, model: str) -> str:
        """What a training is told of its settings, as JSON: those that change its bits."""
        return json.dumps(determining(self.params.train_spec(model)))

    def train_sections(self, model: str) -> list[str]:
        """The rows a training depends on."""
        row = self.params.models[model]
        corruption = [f"corruptions.{row.corruption}"] if row.corruption else []
        return [*self._own("models", model), f"networks.{row.network}", f"trainings.{row.training}", *corruption]

    def sample_sections(self, sampling: str) -> list[str]:
        """The rows a set of samples depends on."""
        return self._own("samplings", sampling)

    def _own(self, table: Literal["models", "samplings"], name: str) -> list[str]:
        """Where a row is written: a copy is what ``repeats`` makes of another row."""
        copy = self.params.copies(table).get(name)
        return [f"{table}.{copy.row}", "repeats"] if copy else [f"{table}.{name}"]

    def mixture_tables(self) -> list[str]:
        """The tables of the guidance study."""
        return [self.path("mixture", f"{name}.csv") for name in TABLES]

    def bridge_tables(self) -> list[str]:
        """The tables of the network trained on a mixture."""
        return [self.path("mixture/bridge", f"{name}.csv") for name in BRIDGE_TABLES]

    def bridge(self) -> list[str]:
        """All that the network trained on a mixture leaves; none if the settings ask for none."""
        if self.params.mixture is None or self.params.mixture.bridge is None:
            return []
        return [self.path("mixture/bridge", name) for name in ("bridge.json", "pictures.npz")] + self.bridge_tables()

    def reported_study(self) -> list[str]:
        """The files of the guidance study, if the report shows it."""
        if self.params.report is None or not self.params.report.mixture:
            return []
        study = [self.path("mixture", name) for name in ("study.json", "pictures.npz")]
        return [*study, *self.mixture_tables(), *self.bridge()]

    # --- evaluation ---------------------------------------------------------------------------------------------

    def images(self, kind: str, name: str) -> str:
        """The archive of a data set (``kind`` is "data") or of a set of samples ("samples")."""
        return self.dataset(name) if kind == "data" else self.samples(name)

    def reference_of(self, name: str) -> str:
        """The data set that an evaluation compares with: ``real-D`` is data set D measured against itself."""
        if name in self.params.samplings:
            return self.params.dataset_of(name)
        return name.removeprefix(REAL)

    def measured(self, name: str) -> dict[str, list[str]]:
        """All files an evaluation reads, by the option that takes them; ``real-D`` has no samples."""
        reference = self.reference_of(name)
        drawn = name in self.params.samplings
        return {
            "data": [self.dataset(reference)],
            "data_features": [self.features("data", reference)],
            "samples": [self.samples(name)] if drawn else [],
            "samples_features": [self.features("samples", name)] if drawn else [],
        }

    def evaluations(self) -> list[str]:
        copies = self.params.copies("samplings")  # they are in a table of their own
        names = [*(s for s in self.samplings if s not in copies), *(REAL + dataset for dataset in self.datasets)]
        return [self.path("evaluation", f"{name}.json") for name in names]

    def denoising(self) -> dict[str, str]:
        copies = self.params.copies("models")
        return {model: self.path("models", model, "denoising.json") for model in self.models if model not in copies}

    def distances(self) -> dict[str, str]:
        """Of the models that can be told a class; the noise levels that are integrated over know no corruption."""
        rows = self.params.models
        copies = self.params.copies("models")
        told = [
            m for m in self.models if rows[m].condition != "none" and rows[m].corruption is None and m not in copies
        ]
        return {model: self.path("models", model, "distances.json") for model in told}

    def kept(self) -> list[str]:
        """Every artifact that is tracked: one that was deleted is made again, though nothing may read it any more."""
        return [
            *map(self.dataset, self.datasets),
            *map(self.checkpoint, self.models),
            *(path for model in self.models for path in self.centroids_of(model)),
            *(self.path("models", model, "health.json") for model in self.models),
            *self.progress().values(),
            *sorted({path for sampling in self.samplings for path in self.levels_of(sampling)}),
            *map(self.samples, self.samplings),
            *(self.features("data", name) for name in self.datasets),
            *(self.features("samples", name) for name in self.samplings),
            *self.evaluations(),
            *self.denoising().values(),
            *self.distances().values(),
            *self.between(),
            *([self.path("tables/sweep.csv")] if self.params.sweep else []),
            *(path for files in self.repeated().values() for path in files),
            *self.repeats_table(),
            *([self.path("report.html")] if self.params.report else []),
        ]


def verbatim(text: str) -> Callable[[Any], str]:
    """A param that is this text: in a plain string Snakemake takes braces for wildcards, and a title may hold some."""
    return lambda wildcards: text


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint: one of the rows, nothing else."""
    return "|".join(sorted(names))


def by_attempt(megabytes: int) -> Callable[[Any, int], int]:
    """Memory that grows with each attempt: a job killed for memory is not tried again with the same."""
    return lambda wildcards, attempt: megabytes * attempt


def options(name: str, values: Iterable[str]) -> str:
    """``--name a --name b``: an option that may stand many times or not at all."""
    return " ".join(f"--{name} {shlex.quote(value)}" for value in values)


def by_model(files: Iterable[str]) -> Iterable[str]:
    """``MODEL=FILE`` for files in folders of models."""
    return (f"{Path(file).parent.name}={file}" for file in files)


def all_options(values: Mapping[str, Iterable[str]]) -> str:
    """Several options by their names; an underscore in a name is a dash on the command line."""
    return " ".join(options(name.replace("_", "-"), value) for name, value in values.items())


def shell_prefix() -> str:
    """What stands before each command: the programs of the environment that runs Snakemake come first."""
    return f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ".replace("{", "{{").replace("}", "}}")
