"""Every layout of a data set: its settings, and how :mod:`featdiff.data.layouts` cuts an image by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from featdiff.kinds.base import Kind, Table
from featdiff.settings.base import Count

if TYPE_CHECKING:
    from PIL.Image import Image

    from featdiff.data.layouts import Laid

Side = Annotated[int, Field(ge=8, le=1024)]


class Layout(Kind):
    """How squares of ``size`` pixels are made of the images of a source."""

    whole: ClassVar[bool] = (
        True  # one image in, one out, split by image; else each image is cut into patches of both splits
    )
    size: Side = Field(description="Side of an image, in pixels.")

    def lay(self, image: Image, test_fraction: float) -> Laid:
        """The pixels of an image, of whole ones (size, size, C) uint8; :class:`featdiff.data.sources.BadImage` if it
        can't be."""
        raise NotImplementedError


class PatchLayout(Layout):
    """Cut each photograph into square patches; train and test patches come from disjoint regions of it."""

    kind: Literal["patches"] = "patches"
    label = "patches of photographs"
    whole = False
    size: Side = Field(description="Side of a patch, in pixels after scaling.")
    stride: Count = Field(description="Distance between neighbouring training patches, in pixels.")
    test_stride: Count = Field(description="Distance between neighbouring test patches, in pixels.")
    scale: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Resize factor before cutting (Lanczos).")

    def lay(self, image: Image, test_fraction: float) -> Laid:
        from featdiff.data.layouts import patches

        return patches(image, self, test_fraction)


class CropLayout(Layout):
    """Resize the shorter side of each image to ``size`` and crop the centre: one image in, one image out."""

    kind: Literal["crop"]
    label = "centre crops"

    def lay(self, image: Image, test_fraction: float) -> Laid:
        from featdiff.data.layouts import Laid, centre_crop

        return Laid(*centre_crop(image, self))


LAYOUTS = Table("layout", Layout, PatchLayout, CropLayout)
