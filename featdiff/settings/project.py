"""All settings of a project: ``params.yaml``, read once, its rows checked against each other.

Every number that changes a result has its place there and nowhere else. Tables (``datasets``, ``networks``,
``trainings``, ``models``, ``samplings``) name their rows; a model row points to rows of the other tables by name, and a
wildcard of the workflow is the name of a row. The JSON schema in ``workflow/schemas`` is generated from these classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from featdiff.errors import UserError
from featdiff.kinds.guidance import CentroidGuidance, ClassifierFreeGuidance, FeatureGuidance
from featdiff.kinds.samplers import SAMPLERS, SoftSampler
from featdiff.settings.base import LONGEST_NAME, Name, S, Settings, parse
from featdiff.settings.centroids import Centroids, Denoising, Distances
from featdiff.settings.corruption import CorruptionRow, Levels, LevelsSpec
from featdiff.settings.data import PHOTOGRAPHS, Dataset, PackagedSource
from featdiff.settings.evaluation import Evaluation
from featdiff.settings.mixture import MixtureStudy
from featdiff.settings.network import Network
from featdiff.settings.report import Copy, Repeats, Report
from featdiff.settings.sampling import Between, BetweenSpec, Sampling
from featdiff.settings.training import Model, Training, TrainSpec


class Params(Settings):
    """All settings of a run."""

    datasets: dict[Name, Dataset]
    networks: dict[Name, Network]
    trainings: dict[Name, Training]
    corruptions: dict[Name, CorruptionRow] = Field({})
    models: dict[Name, Model]
    centroids: Centroids = Centroids()
    levels: Levels = Levels()
    samplings: dict[Name, Sampling]
    evaluation: Evaluation = Evaluation()
    denoising: Denoising = Denoising()
    distances: Distances = Distances()
    between: dict[Name, Between] = Field({})
    sweep: tuple[Name, ...] = Field(
        (), description="Samplings that the table of the sweep compares with the first of them."
    )
    repeats: Repeats | None = Field(None, description="Rows trained and drawn again; without it, each is trained once.")
    mixture: MixtureStudy | None = Field(None, description="The guidance study; without it, none is run.")
    report: Report | None = Field(None, description="What the report shows; without it, none is written.")

    @model_validator(mode="after")
    def _check(self) -> "Params":
        self._add_copies()
        tables: dict[str, dict[str, Any]] = {
            "dataset": self.datasets,
            "network": self.networks,
            "training": self.trainings,
        }
        for name, model in self.models.items():
            for field, table in tables.items():
                _need(f"models.{name}.{field}", getattr(model, field), table)
            self._check_corruption(f"models.{name}", model)
            size, factor = self.datasets[model.dataset].layout.size, self.networks[model.network].factor
            if size % factor:
                raise ValueError(
                    f"models.{name}: images of {size} pixels (datasets.{model.dataset}.layout.size) do not fit "
                    f"networks.{model.network}, whose smallest scale is 1/{factor} of them: choose a multiple of "
                    f"{factor}, or fewer widths"
                )
            network = self.networks[model.network]
            deepest = max(len(network.widths) - 1 if b == "middle" else int(b[-1]) for b in network.matched_blocks)
            side = size // (network.patch * 2**deepest)
            if side < network.grid:
                raise ValueError(
                    f"models.{name}: in a matched block of networks.{model.network} an image of {size} pixels "
                    f"(datasets.{model.dataset}.layout.size) has {side} positions a side, fewer than its grid of "
                    f"{network.grid}: set grid lower, or match blocks of a larger scale"
                )
        for name, sampling in self.samplings.items():
            _need(f"samplings.{name}.model", sampling.model, self.models)
            self._check_guidance(f"samplings.{name}", sampling)
            self._check_sampler(f"samplings.{name}", sampling)
            grid = self.centroids
            outside = sampling.sigma_start > grid.sigma_max or sampling.sigma_end < grid.sigma_min
            guides = [self.models[m] for m in self.guides(name) if self.models[m].corruption is None]
            if outside and any(not self.trainings[m.training].clean_targets for m in guides):
                raise ValueError(
                    f"samplings.{name} goes from sigma {sampling.sigma_start} to {sampling.sigma_end}, beyond the "
                    f"centroids' grid from {grid.sigma_max} to {grid.sigma_min}: widen centroids.sigma_min and "
                    "sigma_max"
                )
        _once("sweep", self.sweep)
        for name in self.sweep:
            _need("sweep", name, self.samplings)
            if self.dataset_of(name) != self.dataset_of(self.sweep[0]):
                raise ValueError(f"sweep compares {self.sweep[0]} and {name}, which are not of one data set")
        for name, row in self.between.items():
            self._check_between(f"between.{name}", row)
        if self.report is not None:
            self._check_report(self.report)
        return self

    def _add_copies(self) -> None:
        """Put the rows of ``repeats`` into the tables; settings that were written with them have them already."""
        if self.repeats is None:
            return
        _once("repeats.rows", self.repeats.rows)
        _once("repeats.seeds", self.repeats.seeds)
        for name in self.repeats.rows:
            _need("repeats.rows", name, self.samplings)
            own = {f"samplings.{name}": self.samplings[name].seed}
            for model in self.models_of(name):
                _need(f"models of samplings.{name}", model, self.models)
                own[f"models.{model}"] = self.models[model].seed
            for where, seed in own.items():
                if seed in self.repeats.seeds:
                    raise ValueError(f"repeats.seeds: {seed} is the seed of {where} itself: name other seeds")
            for seed in self.repeats.seeds:
                for model in self.models_of(name):
                    row = self.models[model].model_copy(update={"seed": seed})
                    _add("models", copied(model, seed), row, self.models)
                _add("samplings", copied(name, seed), self._copy_of(name, seed), self.samplings)

    def _copy_of(self, sampling: str, seed: int) -> Sampling:
        """A row of samplings with its models' copies."""
        row = self.samplings[sampling]
        guidance = row.guidance.renamed(lambda model: copied(model, seed))
        return row.model_copy(update={"seed": seed, "model": copied(row.model, seed), "guidance": guidance})

    def _check_corruption(self, where: str, model: Model) -> None:
        """A corruption needs a network of form soft, and images that it fits."""
        form = self.networks[model.network].form
        if model.corruption is None:
            if form == "soft":
                raise ValueError(
                    f"{where}: networks.{model.network} has form soft, which needs a corruption: name a row of "
                    "corruptions"
                )
            return
        _need(f"{where}.corruption", model.corruption, self.corruptions)
        if form != "soft":
            raise ValueError(
                f"{where}: a corruption needs a network of form soft, but networks.{model.network} has form {form}"
            )
        if wrong := self.corruptions[model.corruption].misfit(self.datasets[model.dataset].layout.size):
            raise ValueError(
                f"{where}: corruptions.{model.corruption}.{wrong} (datasets.{model.dataset}.layout.size): lower it"
            )

    def _check_sampler(self, where: str, sampling: Sampling) -> None:
        """The samplers of plain denoising know no corruption; chosen levels need one."""
        sampler, corruption = sampling.sampler, self.models[sampling.model].corruption
        if corruption is not None and not sampler.corruptions:
            able = ", ".join(name for name, kind in SAMPLERS.items() if kind.corruptions)
            raise ValueError(
                f"{where}: models.{sampling.model} has a corruption, which {sampler.kind} does not know: take one of "
                f"{able}"
            )
        if corruption is None and isinstance(sampler, SoftSampler) and sampler.spacing == "chosen":
            raise ValueError(
                f"{where}: levels are chosen for a corruption, and models.{sampling.model} has none: set spacing to "
                "linear, cosine or logarithmic"
            )

    def _check_guidance(self, where: str, sampling: Sampling) -> None:
        """Each kind of guidance needs a model that was told the right thing."""
        guidance, model = sampling.guidance, self.models[sampling.model]
        if guidance.conditions and model.condition not in guidance.conditions:
            raise ValueError(
                f"{where}: {guidance.kind} guidance needs a model with condition: {' or '.join(guidance.conditions)}, "
                f"but models.{sampling.model} has condition: {model.condition}"
            )
        told_always = model.condition == "feature" and not self.trainings[model.training].target_dropout
        if isinstance(guidance, ClassifierFreeGuidance) and told_always:
            raise ValueError(
                f"{where}: classifier-free guidance needs a network that is also trained without a target: set "
                f"trainings.{model.training}.target_dropout above 0, or take guidance of kind difference"
            )
        if isinstance(guidance, CentroidGuidance) and guidance.examples:
            _need(f"{where}.guidance.examples.dataset", guidance.examples.dataset, self.datasets)
            known, new = self.datasets[model.dataset], self.datasets[guidance.examples.dataset]
            if (known.layout.size, known.mode) != (new.layout.size, new.mode):
                raise ValueError(
                    f"{where}.guidance.examples: datasets.{guidance.examples.dataset} and datasets.{model.dataset} "
                    "must have images of one size and mode"
                )
        for name in guidance.models():
            _need(f"{where}.guidance.weak", name, self.models)
            shared = ("dataset", "condition", "corruption")
            if any(getattr(self.models[name], field) != getattr(model, field) for field in shared):
                raise ValueError(
                    f"{where}.guidance.weak: models.{name} and models.{sampling.model} must share data set and "
                    "condition (and corruption)"
                )

    def _check_report(self, report: Report) -> None:
        """The report is about a feature-guided set of samples of the model's own classes, beside another one."""
        for field in ("guided", "baseline"):
            _need(f"report.{field}", getattr(report, field), self.samplings)
        if not self.guides(report.guided):
            raise ValueError(f"report.guided names '{report.guided}', which is not feature-guided")
        if self.dataset_of(report.guided) != self.models[self.samplings[report.guided].model].dataset:
            raise ValueError(f"report.guided names '{report.guided}', whose classes are not the model's own")
        if report.mixture and self.mixture is None:
            raise ValueError("report.mixture asks for the guidance study, but there is no section 'mixture': add one")

    def _check_between(self, where: str, row: Between) -> None:
        """It takes feature guidance of the model's own classes, at one strength and without a corruption."""
        _need(f"{where}.sampling", row.sampling, self.samplings)
        sampling = self.samplings[row.sampling]
        guidance, model = sampling.guidance, self.models[sampling.model]
        own = isinstance(guidance, FeatureGuidance) and not guidance.examples and not guidance.interval
        if not own or model.corruption is not None:
            raise ValueError(
                f"{where}.sampling: samplings.{row.sampling} must have feature guidance without examples and interval, "
                "and a model without a corruption"
            )
        dataset = self.datasets[model.dataset]
        known = PHOTOGRAPHS if isinstance(dataset.source, PackagedSource) else None
        if isinstance(dataset.classes, tuple):
            known = dataset.classes
        if known and (unknown := [name for name in (row.first, row.second) if name not in known]):
            raise ValueError(f"{where}: there is no class {', '.join(map(repr, unknown))}; classes: {', '.join(known)}")

    @property
    def page(self) -> Report:
        """What the report shows, where there is one."""
        if self.report is None:
            raise UserError("there is no section 'report' in these settings: no report is written")
        return self.report

    def copies(self, table: Literal["models", "samplings"]) -> dict[str, Copy]:
        """The rows of a table that ``repeats`` made."""
        if self.repeats is None:
            return {}
        rows = self.repeats.rows
        names = rows if table == "samplings" else dict.fromkeys(m for row in rows for m in self.models_of(row))
        return {copied(name, seed): Copy(name, seed) for name in names for seed in self.repeats.seeds}

    def without_copies(self) -> Self:
        """These settings with the tables as they were written, without the rows that ``repeats`` made."""
        tables: dict[str, Any] = {}
        for table in ("models", "samplings"):
            left = self.copies(table)
            tables[table] = {name: row for name, row in getattr(self, table).items() if name not in left}
        return self.model_copy(update=tables)

    def dataset_of(self, sampling: str) -> str:
        """The data set whose classes a set of samples shows: the model's, or that of the example images."""
        row = self.samplings[sampling]
        examples = row.guidance.examples if isinstance(row.guidance, CentroidGuidance) else None
        return examples.dataset if examples else self.models[row.model].dataset

    def models_of(self, sampling: str) -> list[str]:
        """The models that draw a set of samples: its own and, under autoguidance, the weak one."""
        row = self.samplings[sampling]
        return [row.model, *row.guidance.models()]

    def guides(self, sampling: str) -> list[str]:
        """Those of :meth:`models_of` whose centroids are needed."""
        if not self.samplings[sampling].guidance.told:
            return []
        return [name for name in self.models_of(sampling) if self.models[name].condition == "feature"]

    def train_spec(self, name: str) -> TrainSpec:
        """The row ``models.name`` with its network and training resolved."""
        model = self.models[name]
        return TrainSpec(
            network=self.networks[model.network],
            training=self.trainings[model.training],
            condition=model.condition,
            only=model.only,
            corruption=None if model.corruption is None else self.corruptions[model.corruption],
            seed=model.seed,
        )

    def between_spec(self, name: str) -> BetweenSpec:
        """The row ``between.name`` with its sampling; how many images that one draws, in how many jobs, makes no
        difference."""
        row = self.between[name]
        sampling = self.samplings[row.sampling].model_copy(update={"images": row.images, "shards": 1})
        return BetweenSpec(between=row, sampling=sampling)

    def levels_spec(self, corruption: str) -> LevelsSpec:
        """The row ``corruptions.NAME`` with how its levels are chosen."""
        return LevelsSpec(corruption=self.corruptions[corruption], levels=self.levels)


def copied(name: str, seed: int) -> str:
    """What the copy of a row with another seed is called."""
    return f"{name}-seed-{seed}"


def _add(table: str, name: str, row: S, rows: dict[str, S]) -> None:
    """Add a row that ``repeats`` made."""
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"repeats: {table}.{name} would be longer than {LONGEST_NAME} characters: give the row a shorter name"
        )
    if rows.setdefault(name, row) != row:
        raise ValueError(
            f"{table}.{name} is what repeats would call a copy, but there is another row of this name: rename it"
        )


def _once(where: str, names: Sequence[Any]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{where}: {', '.join(map(str, twice))} stands there twice: name each once")


def _need(where: str, name: str, table: dict[str, Any]) -> None:
    if name not in table:
        raise ValueError(f"{where} is '{name}', which is not a row of that table; rows: {', '.join(sorted(table))}")


def load(path: Path | str = "params.yaml") -> Params:
    """Read and check a settings file."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such settings file; run from the project's root or name the file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    return parse(Params, values, str(path))


def schema() -> str:
    """The JSON schema (draft 2020-12) of ``params.yaml``."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
    return json.dumps(document, indent=2) + "\n"
