"""Settings of what is measured on a trained network: class centroids, denoising, distances between classes."""

from typing import Annotated

from pydantic import Field, model_validator

from featdiff.settings.base import Count, Positive, Seed, Settings


class Centroids(Settings):
    """The table of class centroids of ``phi`` on a logarithmic grid of noise levels."""

    sigma_min: Positive = 0.01
    sigma_max: Positive = 5.0
    levels: Annotated[int, Field(ge=2)] = 24
    images_per_class: Count = Field(512, description="Training images a centroid is averaged over, at most.")
    draws: Count = Field(2, description="Noise draws for each image.")
    shrink: bool = Field(
        False,
        description="Move centroids of new classes, given by examples, towards the mean of the known ones, each column "
        "by its reliability; takes six known classes.",
    )
    batch: Count = 256
    seed: Seed = 0


class Denoising(Settings):
    """PSNR against noise level and scatter of phi, on test images."""

    sigmas: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    levels: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = Field(
        (0.1, 0.25, 0.4, 0.55, 0.7, 0.85), description="The same for models with a corruption: levels of it."
    )
    images_per_class: Count = 128
    seed: Seed = 0


class Distances(Settings):
    """Integrated score distances between class densities, to compare with the distances of centroids; on test
    images."""

    sigma_min: Positive = 0.03
    sigma_max: Positive = 5.0
    images_per_class: Annotated[int, Field(ge=2)] = 96
    draws: Count = Field(8, description="Noise levels an image meets.")
    classes: Annotated[int, Field(ge=2, description="Of more classes a random choice takes part.")] = 40
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> "Distances":
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must be below sigma_max ({self.sigma_max})")
        return self
