"""Settings of the report and of what is trained again with other seeds."""

from typing import Annotated, NamedTuple

from pydantic import Field

from featdiff.settings.base import Count, Name, Seed, Settings


class Repeats(Settings):
    """Sets of samples that are made again from the first step, models trained with other seeds: how far do two
    trainings differ?

    For each seed s, row R of ``samplings`` gets a copy ``R-seed-s`` that draws with seed s from copies of its models
    (the weak one of autoguidance, too), which are called alike, trained with seed s and shared by the rows of one
    model.
    """

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        description="Beside each row's own seed, in models and samplings."
    )
    rows: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(description="Rows of samplings.")
    distances: bool = Field(
        False,
        description="How well centroids follow densities (A, B, correlations), too, for the feature-guided models.",
    )


class Copy(NamedTuple):
    """A row that ``repeats`` made: of which row, with which seed."""

    row: str
    seed: int


class Report(Settings):
    """What the report shows."""

    title: Annotated[str, Field(min_length=1)] | None = Field(None, description="Without one, it names the classes.")
    guided: Name
    baseline: Name
    images_per_class: Count = 24
    mixture: bool = Field(False, description="Show the guidance study, too: it runs before the report then.")
