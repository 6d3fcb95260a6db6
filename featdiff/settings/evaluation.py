"""Settings of the image measures: the protocol that is printed beside each number."""

from typing import Annotated, Any, Literal

from pydantic import Field

from featdiff.settings.base import Count, Seed, Settings


class Lite0(Settings):
    """EfficientNet-Lite0 features from a PyPI package; distances are called Lite0 Frechet distance, never FID."""

    kind: Literal["lite0"] = "lite0"
    resize: Annotated[int, Field(ge=32, le=1024)] = Field(
        128, description="Side the images are resized to (bicubic), in pixels."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 is twice as quick, but moves the distance.")


INCEPTION_FILE = "inception-2015-12-05.pt"
INCEPTION_URL = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{INCEPTION_FILE}"
INCEPTION_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
INCEPTION_VARIABLE = "FEATDIFF_INCEPTION"  # names the file of the weights
FETCHED = "assets/inception.pt"  # where the workflow's rule puts them
SHA256 = r"^[0-9a-f]{64}$"


class Inception(Settings):
    """clean-fid's Inception-v3 and resize, checked by digest. With its own weights the distance is called FID, with
    others never."""

    kind: Literal["inception"] = "inception"
    weights: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="The TorchScript file; without it the one that the environment variable FEATDIFF_INCEPTION names, "
        "or assets/inception.pt, where the workflow and 'featdiff fetch-weights' put it.",
        json_schema_extra={"changes_bits": False},
    )
    sha256: Annotated[str, Field(pattern=SHA256)] = Field(INCEPTION_SHA256, description="Of the weights.")


class Dinov2(Settings):
    """DINOv2 features of a folder that transformers has saved, ViT-L/14 as in arXiv 2306.04675 and EDM2; the distance
    is called DINOv2 Frechet distance."""

    kind: Literal["dinov2"]
    weights: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A folder with config.json and model.safetensors; without it the one that the environment variable "
        "FEATDIFF_DINOV2 names.",
        json_schema_extra={"changes_bits": False},
    )
    sha256: Annotated[str, Field(pattern=SHA256)] = Field(description="Of model.safetensors.")


Extractor = Lite0 | Inception | Dinov2


class Evaluation(Settings):
    """The protocol of the image measures; it is printed beside each number."""

    extractor: Extractor = Field(Lite0(), discriminator="kind")
    images: Annotated[int, Field(ge=2)] = Field(192, description="Images of each class on each side of a comparison.")
    images_all: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Images on each side over all classes, the same share of each; without it as many as of a class.",
    )
    repeats: Annotated[int, Field(ge=3)] = Field(3, description="Seeded draws that a value and its spread come from.")
    neighbours: Count = Field(
        5, description="k of precision, recall, density and coverage; fewer where there are not so many other images."
    )
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
