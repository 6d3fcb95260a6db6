"""A training set larger than memory: prepared and trained from, with how much memory and at what rate.

    python benchmarks/million.py [--images 1280000] [--folder FOLDER] [--out docs/tables/million.json]

Images are synthetic, 64 x 64 in colour, all different, a thousand classes, in one zip of PNG files. Each part runs in a
process of its own, whose anonymous memory (what no file backs: the system can't drop it) is sampled five times a
second. Beside preparation stand, on the first images, a plain loop with Pillow (open, convert, resize, crop, to an
array) and webdataset's writer (open, convert, encode, into tar files), and beside training from the mapped file the
same from an archive in memory. Rates are by the clock; parts that are compared take turns. The tables go into
docs/tables and docs/how-to/large.md.
"""

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE, CLASSES, KINDS, FEW = 64, 1000, 997, 20_000
STEPS = 150
ROOT = Path(__file__).resolve().parents[1]
PAGE, TABLE = ROOT / "docs/how-to/large.md", ROOT / "docs/tables/million.json"
BEGIN, END = "<!-- million: begin -->", "<!-- million: end -->"


def make(path: Path, count: int) -> None:
    """A zip of ``count`` PNG files in class folders; smooth colours, and each image's number in its first pixels."""
    rng, ramp = np.random.default_rng(0), np.linspace(0, 1, SIDE)
    low, high = rng.uniform(0, 248, (2, KINDS, 1, 1, 3))
    kinds = low + (high - low) * ramp[:, None, None] * ramp[None, :, None] + rng.integers(0, 8, (KINDS, SIDE, SIDE, 1))
    kinds = kinds.astype(np.uint8)
    rest = [_packed_rows(pixels) for pixels in kinds]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for number in range(count):
            first = kinds[number % KINDS][0]
            first[:4, 0] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
            packed.writestr(f"{number % CLASSES:04d}/{number // CLASSES:06d}.png", _png(first, *rest[number % KINDS]))


def _packed_rows(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """All rows of an image but the first, as PNG filters them (each pixel less its left neighbour), and the same
    deflated: those of a kind are alike, so they are compressed once."""
    rows = pixels[1:].copy()
    rows[:, 1:] -= pixels[1:, :-1]
    plain = np.pad(rows.reshape(SIDE - 1, -1), ((0, 0), (1, 0)), constant_values=1).tobytes()
    packer = zlib.compressobj(1, wbits=-15)
    return plain, packer.compress(plain) + packer.flush()


def _png(first: np.ndarray, plain: bytes, deflated: bytes) -> bytes:
    """A PNG file of a first row (SIDE, 3), stored as it is, and the rows of :func:`_packed_rows`."""
    row = b"\0" + first.tobytes()
    stored = b"\0" + struct.pack("<HH", len(row), len(row) ^ 0xFFFF) + row
    check = zlib.adler32(plain, zlib.adler32(row))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    body = b"\x78\x01" + stored + deflated + struct.pack(">I", check)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


@contextmanager
def watched(found: dict[str, Any]) -> Iterator[None]:
    """Seconds and the most anonymous memory, in bytes, of this process meanwhile."""
    done, most = threading.Event(), [0]

    def look() -> None:
        while not done.wait(0.2):
            lines = Path("/proc/self/status").read_text().splitlines()
            most[0] = max(most[0], *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")))

    watcher, start = threading.Thread(target=look), time.perf_counter()
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found.update(seconds=time.perf_counter() - start, anonymous=most[0])


def prepare(source: Path, out: Path) -> dict[str, Any]:
    from featdiff.data.prepare import prepare as run
    from featdiff.kinds.layouts import CropLayout
    from featdiff.settings.data import Dataset, ZipSource

    found: dict[str, Any] = {}
    layout = CropLayout(kind="crop", size=SIDE)
    with watched(found):
        run(Dataset(source=ZipSource(kind="zip", path=str(source)), layout=layout, mode="rgb", test_fraction=0.01), out)
    return found


def plain_loop(source: Path, count: int) -> dict[str, Any]:
    """What a script of ten lines does to the first files."""
    found: dict[str, Any] = {}
    with watched(found), zipfile.ZipFile(source) as packed:
        kept = []
        for name in packed.namelist()[:count]:
            image = Image.open(io.BytesIO(packed.read(name))).convert("RGB")
            kept.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
        with tempfile.TemporaryFile(dir=source.parent) as file:
            np.stack(kept).tofile(file)
    return found


def webdataset(source: Path, count: int) -> dict[str, Any]:
    import webdataset as wds

    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(dir=source.parent) as folder,
        watched(found),
        zipfile.ZipFile(source) as packed,
        wds.ShardWriter(f"{folder}/%06d.tar", maxcount=10_000, verbose=0) as writer,
    ):
        for number, name in enumerate(packed.namelist()[:count]):
            image = Image.open(io.BytesIO(packed.read(name))).convert("RGB")
            writer.write({"__key__": f"{number:08d}", "png": image, "cls": int(name[:4])})
    return found


def train(data: Path, steps: int) -> dict[str, Any]:
    """Steps of the training loop by the clock, after a few that are not counted; the reading of the archive apart."""
    import torch

    from featdiff.data import archive
    from featdiff.settings.network import Network
    from featdiff.settings.training import Training, TrainSpec
    from featdiff.training import loop, processes
    from featdiff.training.batches import Batches

    torch.set_num_threads(1)
    training = Training(images=64 * (steps + 10), batch=64, partners=3, precision="fp32", flip=True)
    spec = TrainSpec(network=Network(widths=(8, 16), patch=4), training=training, condition="feature", seed=0)
    memory: dict[str, Any] = {}
    with watched(memory):
        start = time.perf_counter()
        images = archive.read(data, "dataset", split="train")
        description = loop.describe(images)
        read = time.perf_counter() - start
        accelerator = processes.accelerator_of(training)
        run, objective = loop.start(spec, description, accelerator, Path("never-written"))
        batches = Batches(spec, images, accelerator.device)
        loop.steps(run, training.model_copy(update={"images": 640}), accelerator, objective, batches)
        start = time.perf_counter()
        loop.steps(run, training, accelerator, objective, batches)
        rate = 64 * steps / (time.perf_counter() - start)
    return {**memory, "read_s": read, "images_s": rate, "mapped": batches.mapped}


PARTS = {"prepare": prepare, "plain": plain_loop, "webdataset": webdataset, "train": train}


def part(name: str, *arguments: Any) -> dict[str, Any]:
    """A part in a process of its own."""
    command = [sys.executable, __file__, "--part", name, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_280_000)
    parser.add_argument(
        "--folder", type=Path, default=None, help="Where 50 GB are free; the system's temporary folder."
    )
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--part", nargs="+", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        print(json.dumps(PARTS[name](*(int(a) if a.isdigit() else Path(a) for a in arguments))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        make(folder / "all.zip", options.images)
        make(folder / "few.zip", FEW)
        found: dict[str, Any] = {"images": options.images, "raw_bytes": options.images * SIDE * SIDE * 3}
        found["prepare"] = part("prepare", folder / "all.zip", folder / "all-data.zip")
        os.unlink(folder / "all.zip")
        found["few"] = []
        for turn in range(3):
            row = {"ours": part("prepare", folder / "few.zip", folder / f"few-{turn}.zip")}
            row["plain loop"] = part("plain", folder / "few.zip", FEW)
            try:
                import webdataset  # noqa: F401

                row["webdataset"] = part("webdataset", folder / "few.zip", FEW)
            except ImportError:
                print("webdataset is not installed: pip install webdataset", file=sys.stderr)
            found["few"].append(row)
        found["train"] = [
            {
                "mapped": part("train", folder / "all-data.zip", STEPS),
                "in memory": part("train", folder / "few-0.zip", STEPS),
            }
            for _ in range(3)
        ]
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(tables(found))
    if options.out.resolve() == TABLE:
        write_page(tables(found))


def tables(found: dict[str, Any]) -> str:
    """The figures that the page shows."""
    count, trained, few = found["images"], found["train"], found["few"]
    ratios = [row["mapped"]["images_s"] / row["in memory"]["images_s"] for row in trained]
    read = np.median([row["mapped"]["read_s"] for row in trained])
    most = [max(row[kind]["anonymous"] for row in trained) / 1e9 for kind in ("mapped", "in memory")]
    lines = [
        f"| {count:,} images, {found['raw_bytes'] / 1e9:.1f} GB of pixels | |",
        "|---|---:|",
        f"| prepared, images/s | {count / found['prepare']['seconds']:,.0f} |",
        f"| anonymous memory of preparing, at most | {found['prepare']['anonymous'] / 1e9:.2f} GB |",
        f"| opened for training, every byte checked | {read:.0f} s |",
        f"| anonymous memory of training, at most, the network and all libraries included | {most[0]:.2f} GB |",
        f"| the same from {FEW:,} images in memory | {most[1]:.2f} GB |",
        f"| images/s of training over those from {FEW:,} images in memory, median of {len(ratios)} "
        f"| {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
        "",
        f"| The first {FEW:,} files | images/s | ours over it |",
        "|---|---:|---:|",
    ]
    for name in few[0]:
        rates = [FEW / row[name]["seconds"] for row in few]
        over = [row[name]["seconds"] / row["ours"]["seconds"] for row in few]
        lines.append(
            f"| {name} | {np.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) | {np.median(over):.2f} |"
        )
    return "\n".join(lines)


def write_page(text: str) -> None:
    before, after = PAGE.read_text(encoding="utf-8").split(BEGIN)[0], PAGE.read_text(encoding="utf-8").split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
