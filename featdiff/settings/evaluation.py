"""Settings of the image measures: the protocol that is printed beside each number."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from featdiff.settings.base import Count, Seed, Settings


class Lite0(Settings):
    """EfficientNet-Lite0 features from a PyPI package; distances are called Lite0 Frechet distance, never FID."""

    kind: Literal["lite0"] = "lite0"
    resize: Annotated[int, Field(ge=32, le=1024)] = Field(
        128, description="Side the images are resized to (bicubic), in pixels."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 is twice as quick, but moves the distance.")


class Inception(Settings):
    """clean-fid's Inception-v3 and resize; the weights file is fetched beforehand and checked by digest."""

    kind: Literal["inception"]
    weights: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Evaluation(Settings):
    """The protocol of the image measures; it is printed beside each number."""

    extractor: Lite0 | Inception = Field(Lite0(), discriminator="kind")
    images: Annotated[int, Field(ge=2)] = Field(192, description="Images of each class on each side of a comparison.")
    images_all: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Images on each side over all classes, the same share of each; without it as many as of a class.",
    )
    repeats: Annotated[int, Field(ge=3)] = Field(3, description="Seeded draws that a value and its spread come from.")
    neighbours: Count = Field(5, description="k of precision, recall, density and coverage.")
    kid_subsets: Count = 50
    kid_subset_size: Annotated[int, Field(ge=2)] = 100
    classifier_images: Count = Field(400, description="Training images a class of the held-out classifier.")
    memorisation_shift: Annotated[int, Field(ge=0, le=3)] = Field(
        1, description="Largest shift, in pixels, at which a copy of a training image is looked for."
    )
    seed: Seed = 0

    def embedding(self, kind: str) -> dict[str, Any]:
        """What the features of an archive depend on; ``kind`` is "samples" or that of a data set, where some rows are
        left out."""
        chosen = {"extractor"} if kind == "samples" else {"extractor", "images", "repeats", "classifier_images", "seed"}
        return self.model_dump(mode="json", include=chosen)

    @model_validator(mode="after")
    def _check(self) -> "Evaluation":
        if self.images_all is not None and self.images_all <= self.neighbours:
            raise ValueError(
                f"images_all ({self.images_all}) must be above neighbours ({self.neighbours}): an image has that many "
                "others"
            )
        return self
