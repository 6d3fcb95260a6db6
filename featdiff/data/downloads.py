"""Files that lie at an address, pinned by SHA-256: the weights of FID, from where clean-fid takes them."""

import shutil
import tempfile
import urllib.request
from pathlib import Path

from featdiff import artifacts
from featdiff.errors import UserError


def download(address: str, sha256: str, out: Path) -> None:
    """Put the file at ``out``, whole and checked or not at all; what is there already stays if it is the right one."""
    if out.is_file() and artifacts.sha256_file(out) == sha256:
        return
    with tempfile.TemporaryDirectory() as folder:
        got = Path(folder) / "file"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer, open(got, "wb") as stream:
                shutil.copyfileobj(answer, stream)
        except OSError as error:
            raise UserError(
                f"{address} could not be fetched: {error}\nthis step needs a network: bring the file from a machine "
                f"that has one to {out}; its SHA-256 is {sha256}"
            ) from None
        if (found := artifacts.sha256_file(got)) != sha256:
            raise UserError(f"{address}: what came has the SHA-256 {found}, expected {sha256}; nothing was written")
        with artifacts.atomic(out) as aside:
            shutil.copyfile(got, aside)
