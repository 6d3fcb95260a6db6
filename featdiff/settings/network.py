"""Settings of the network."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from featdiff.kinds.blocks import BLOCKS, ConvBlock, NetworkBlock
from featdiff.settings.base import Count, Settings


class Network(Settings):
    """The UNet with the projected score."""

    widths: Annotated[tuple[Count, ...], Field(min_length=2, max_length=7)] = Field(
        description="Channels of the encoder blocks and, last, of the middle block."
    )
    patch: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="Side of the pixel square that is one position of the network (space to depth); the paper's is 1.",
    )
    form: Literal["edm", "residual", "soft"] = Field(
        "edm", description="Preconditioned, the paper's literal residual, or soft: for models with a corruption."
    )
    noise_embedding: Annotated[int, Field(ge=0)] = Field(64, description="Width of the noise embedding; 0 is blind.")
    matched: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all", description="Blocks that take part in the feature vector: encoder0 ... middle ... decoder0."
    )
    initial_scale: float = Field(1.0, description="First value of the learned scales w.")
    learned_scale: bool = True
    deviation: bool = Field(False, description="Match the channels' standard deviations beside their means.")
    grid: Literal[1, 2, 4] = Field(
        1, description="Match the means of grid x grid regions of each channel, for images whose class is a shape."
    )
    zero_output: bool = Field(True, description="Start the output layer at zero.")
    block: Annotated[NetworkBlock, BLOCKS.field()] = Field(
        ConvBlock(kind="conv"), description="What blocks are made of."
    )

    @property
    def blocks(self) -> tuple[str, ...]:
        outer = range(len(self.widths) - 1)
        return (*(f"encoder{i}" for i in outer), "middle", *(f"decoder{i}" for i in reversed(outer)))

    @property
    def factor(self) -> int:
        """A network halves its images once a scale: their side has to be a multiple of this."""
        return self.patch * 2 ** (len(self.widths) - 1)

    @property
    def matched_blocks(self) -> tuple[str, ...]:
        return self.blocks if self.matched == "all" else self.matched

    @model_validator(mode="after")
    def _check(self) -> "Network":
        unknown = [b for b in self.matched_blocks if b not in self.blocks]
        if unknown:
            raise ValueError(f"matched names {unknown}, but the blocks of this network are {list(self.blocks)}")
        if self.deviation and self.grid > 1:
            raise ValueError("deviation and grid do not go together: match deviations or the means of regions")
        if self.form == "residual" and self.noise_embedding:
            raise ValueError("the residual form is blind to the noise level: set noise_embedding to 0")
        if self.form == "soft" and not self.noise_embedding:
            raise ValueError("the soft form is told the corruption's level: set noise_embedding above 0")
        return self
