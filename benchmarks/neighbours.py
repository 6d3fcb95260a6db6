"""How long does an evaluation of whole sets take, and how much memory, beside prdc and by other means?

    python benchmarks/neighbours.py prdc --counts 5000 10000 20000    # beside prdc, in turns
    python benchmarks/neighbours.py radii --counts 5000               # by other libraries, where they are installed
    python benchmarks/neighbours.py judge                             # of 50 to 800 classes
    python benchmarks/neighbours.py whole --counts 50000              # each part of a whole evaluation

Each puts its numbers into docs/tables/neighbours.json. The k-nearest measures (precision, recall, density, coverage)
take turns with prdc, round by round, each in a process of its own with one thread for arithmetic; so what else the
machine does meets both alike. prdc has eight threads of its own: processor time is what is compared. Other libraries
find the radii alone, two thirds of the work. Features are synthetic: 64 hidden directions, 2048 positive features. The
judge's time is that of one fit of a fixed number of images. Memory is the peak above that of the input.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FEATURES, HIDDEN, NEIGHBOURS = 2048, 64, 5
JUDGED, JUDGES_FEATURES = 8000, 1280
CLASSES = (50, 100, 101, 200, 400, 800)


def features(count: int, seed: int) -> Any:
    import numpy as np

    mixing = np.random.default_rng(9).standard_normal((HIDDEN, FEATURES), dtype=np.float32) / 8
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((count, HIDDEN), dtype=np.float32) @ mixing
    values += 0.2 * draw.standard_normal((count, FEATURES), dtype=np.float32)
    return np.maximum(values, 0, out=values)


def pictures(count: int, seed: int) -> Any:
    """Smooth colour images of 32 x 32 (N, 32, 32, 3) uint8 with a little noise."""
    import numpy as np

    draw = np.random.default_rng(seed)
    coarse = draw.normal(128, 50, (count, 4, 4, 3)).astype(np.float32)
    noise = draw.normal(0, 8, (count, 32, 32, 3)).astype(np.float32)
    return np.clip(coarse.repeat(8, 1).repeat(8, 2) + noise, 0, 255).astype(np.uint8)


# --- the contenders; each makes its input and returns what is timed ---------------------------------------------------


def ours(count: int) -> Callable[[], Any]:
    from featdiff.evaluation.manifold import manifold

    real, generated = features(count, 1), features(count, 2)
    return lambda: tuple(manifold(real=real, generated=generated, neighbours=NEIGHBOURS))


def prdc(count: int) -> Callable[[], Any]:
    from prdc import compute_prdc

    real, generated = features(count, 1), features(count, 2)
    return lambda: tuple(float(value) for value in compute_prdc(real, generated, NEIGHBOURS).values())


def faiss(count: int) -> Callable[[], Any]:
    import faiss as library

    sides = features(count, 1), features(count, 2)

    def run() -> None:
        for side in sides:
            index = library.IndexFlatL2(FEATURES)
            index.add(side)
            index.search(side, NEIGHBOURS + 1)

    return run


def scikit(count: int) -> Callable[[], Any]:
    from sklearn.neighbors import NearestNeighbors

    sides = features(count, 1), features(count, 2)

    def run() -> None:
        for side in sides:
            NearestNeighbors(n_neighbors=NEIGHBOURS + 1, algorithm="brute").fit(side).kneighbors(side)

    return run


def torch_blocks(count: int) -> Callable[[], Any]:
    import torch

    sides = [torch.from_numpy(features(count, seed)) for seed in (1, 2)]

    def run() -> None:
        for side in sides:
            squares = side.square().sum(1)
            for start in range(0, count, 1024):
                block = side[start : start + 1024]
                distances = torch.addmm(squares[None], block, side.T, alpha=-2)
                distances.topk(NEIGHBOURS + 1, largest=False)

    return run


def our_radii(count: int) -> Callable[[], Any]:
    from featdiff.evaluation.manifold import _radii

    sides = features(count, 1), features(count, 2)
    return lambda: [_radii(side, NEIGHBOURS) for side in sides] and None


RADII = {
    "featdiff": our_radii,
    "torch, float32 in blocks": torch_blocks,
    "faiss-cpu": faiss,
    "scikit-learn": scikit,
}


def nearest(count: int) -> Callable[[], Any]:
    from featdiff.evaluation.memorisation import nearest_training

    images, training = pictures(count, 1), pictures(count, 2)
    return lambda: nearest_training(images, training).distance.mean()


def frechet(count: int) -> Callable[[], Any]:
    from featdiff.evaluation.influence import Draw, extrapolated, half_width, influences

    real, generated = features(count, 1), features(count, 2)

    def run() -> list[float]:
        import numpy as np

        found = influences(real, generated)
        rows = np.arange(count)
        width = half_width([Draw((rows, rows), ((), ()), found)])
        return [found.value, width, extrapolated(real, generated, found).value]

    return run


def others(count: int) -> Callable[[], Any]:
    import numpy as np

    from featdiff.evaluation.diversity import vendi_score
    from featdiff.evaluation.kernel import kid

    real, generated = features(count, 1), features(count, 2)
    draw = np.random.default_rng(0)
    return lambda: [vendi_score(generated), kid(real, generated, subsets=100, size=1000, generator=draw).mean()]


def judge(classes: int) -> Callable[[], Any]:
    import numpy as np

    from featdiff.evaluation import classifier

    draw = np.random.default_rng(0)
    labels = np.arange(JUDGED) % classes
    centres, mixing = draw.standard_normal((classes, 40)), draw.standard_normal((40, JUDGES_FEATURES)) / 8
    hidden = centres[labels] + 1.3 * draw.standard_normal((JUDGED, 40))
    values = np.maximum(hidden @ mixing + 0.3 * draw.standard_normal((JUDGED, JUDGES_FEATURES)), 0).astype(np.float32)
    return lambda: classifier.fit(values, labels) and classifier.described(classes, JUDGED // classes)


WHOLE = {
    "precision, recall, density, coverage": ours,
    "nearest training images": nearest,
    "Frechet distance, its interval and limit": frechet,
    "Vendi score and KID": others,
}


def _alone(make: Callable[[int], Callable[[], Any]], count: int, answer: Any) -> None:
    try:
        run = make(count)
    except ImportError as error:
        answer.put({"failed": str(error)})
        return
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock, processor = time.perf_counter(), time.process_time()
    found = run()
    spent = {"processor": time.process_time() - processor, "clock": time.perf_counter() - clock}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
    answer.put({**spent, "bytes": memory * 1024, "found": found})


def measured(make: Callable[[int], Callable[[], Any]], count: int) -> dict[str, Any]:
    """Processor and clock seconds, and memory above the start, in a process of its own; ``failed`` where it ended."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_alone, args=(make, count, answer))
    process.start()
    while process.is_alive() and answer.empty():
        time.sleep(0.1)
    found: dict[str, Any] = {"failed": f"ended with {process.exitcode}"} if answer.empty() else answer.get()
    process.join()
    return found


def beside(count: int, rounds: int) -> dict[str, Any]:
    """Ours and prdc's in turns, as medians, with their ratios."""
    runs: dict[str, list[dict[str, Any]]] = {"featdiff": [], "prdc": []}
    for turn in range(rounds):
        for name in sorted(runs, reverse=bool(turn % 2)):
            runs[name].append(measured({"featdiff": ours, "prdc": prdc}[name], count))
    if failed := [run["failed"] for of_one in runs.values() for run in of_one if "failed" in run]:
        return {"failed": failed[0]}
    ratios = [a["processor"] / b["processor"] for a, b in zip(runs["featdiff"], runs["prdc"], strict=True)]
    middle = {
        name: {key: statistics.median(run[key] for run in of_one) for key in ("processor", "clock", "bytes")}
        for name, of_one in runs.items()
    }
    differ = max(abs(a - b) for a, b in zip(runs["featdiff"][0]["found"], runs["prdc"][0]["found"], strict=True))
    memory = middle["featdiff"]["bytes"] / middle["prdc"]["bytes"]
    return {**middle, "time of prdc": statistics.median(ratios), "memory of prdc": memory, "largest difference": differ}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "part", choices=["radii", "prdc", "judge", "whole"], help="what is measured and put in the file"
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[5000], help="images on each side")
    parser.add_argument("--rounds", type=int, default=3, help="turns of ours and prdc")
    parser.add_argument("--only", default="", help="the start of the name of the one part of a whole evaluation")
    parser.add_argument("--out", type=Path, default=Path("docs/tables/neighbours.json"))
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    table = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    table["setting"] = {"features": FEATURES, "neighbours": NEIGHBOURS, "threads": 1}
    for key, made in measurements(arguments.part, arguments.counts, arguments.rounds, arguments.only):
        place = table
        for name in key[:-1]:
            place = place.setdefault(name, {})
        place[key[-1]] = made
        print(*key, made, flush=True)
        arguments.out.write_text(json.dumps(table, indent=1) + "\n")


def measurements(part: str, counts: list[int], rounds: int, only: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The places in the table and what belongs there, one after another."""
    for count in counts:
        if part == "prdc":
            yield ("beside prdc", str(count)), {"rounds": rounds, **beside(count, rounds)}
        elif part == "radii":
            for name, make in RADII.items():
                yield ("radii alone", str(count), name), measured(make, count)
        elif part == "whole":
            for name, make in ((n, m) for n, m in WHOLE.items() if n.startswith(only)):
                yield ("whole evaluation", str(count), name), measured(make, count)
    if part == "judge":
        for classes in CLASSES:
            yield (f"judge on {JUDGED} images", f"{classes} classes"), measured(judge, classes)


if __name__ == "__main__":
    main()
