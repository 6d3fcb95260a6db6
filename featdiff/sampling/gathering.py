"""The shards of a sampling put together. It starts without torch: it only sorts."""

from pathlib import Path

import numpy as np
import pandas as pd

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.settings.sampling import Sampling


def gather(shards: list[Path], out: Path) -> None:
    """Put the shards of one sampling together, in the order of label and index; refuse strangers and gaps."""
    parts = [archive.read(path, "shard") for path in shards]
    first = parts[0].made
    for path, part in zip(shards, parts, strict=True):
        if (part.made.settings, part.made.inputs) != (first.settings, first.inputs):
            raise UserError(f"{path}: a shard of another sampling than {shards[0]}; delete it and run again")
    index = pd.concat([p.index for p in parts], ignore_index=True)
    settings = Sampling.model_validate(first.settings)
    labels = sorted(index["label"].unique())
    expected = {(label, i) for label in labels for i in range(settings.images)}
    found = set(zip(index["label"], index["index"], strict=True))
    if len(shards) != settings.shards or found != expected or len(index) != len(expected):
        raise UserError(f"{out}: {len(shards)} shards hold {len(index)} images, {len(expected)} were expected")
    order = np.lexsort((index["index"], index["label"]))
    images = np.concatenate([p.images for p in parts if len(p.images)])[order]
    made = artifacts.manifest("samples", settings, by=gather).model_copy(update={"inputs": first.inputs})
    archive.write(out, images, index.iloc[order].reset_index(drop=True), made)
