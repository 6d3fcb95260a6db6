"""How the class centroids lie: a flat map at some noise levels, and their distances against the noise level."""

from itertools import combinations

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.reporting.drawing import FAINT, GUIDED, INK, LINES, Figure, Panel, log_axis, panel

MAPS = 4  # noise levels that have a map
PAIRS = 6  # pairs of classes that have a line of their own
HALF = 0.12  # half the side of a thumbnail, as a share of the map


def classical_mds(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Points (C, D) on the plane that keeps most of their variance: coordinates (C, 2) and the share kept.

    Classical multidimensional scaling of Euclidean distances is the projection on the principal axes.
    """
    centred = points.astype(np.float64) - points.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(points), 2))
    axes = min(2, len(s))
    flat[:, :axes] = u[:, :axes] * s[:axes]
    total = float(np.square(s).sum())
    return flat, float(np.square(s[:2]).sum() / total) if total else 1.0


def aligned(flat: np.ndarray, to: np.ndarray) -> np.ndarray:
    """``flat`` (C, 2) turned or mirrored to lie as ``to`` does (orthogonal Procrustes): maps have no direction of their own."""
    u, _, v = np.linalg.svd(flat.T @ to)
    return flat @ (u @ v)


def maps(values: np.ndarray, levels: list[int]) -> list[tuple[np.ndarray, float]]:
    """Flat maps of centroids (C, L, D) at some levels, each turned to lie as the one before."""
    found = [classical_mds(values[:, level]) for level in levels]
    for i in range(1, len(found)):
        found[i] = aligned(found[i][0], found[i - 1][0]), found[i][1]
    return found


def pair_distances(values: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs of classes (P, L), pairs in the order of ``itertools.combinations``."""
    return np.array([np.linalg.norm(values[a] - values[b], axis=1) for a, b in combinations(range(len(values)), 2)])


def embedding(
    values: np.ndarray, sigmas: np.ndarray, classes: list[str], thumbnails: dict[int, np.ndarray]
) -> Figure | None:
    """Maps and distances of centroids (C, L, D); ``thumbnails`` has an image (H, W, C) for some labels. None for one class."""
    if len(classes) < 2:
        return None
    parts: list[Panel] = []
    inner = np.linspace(0, len(sigmas) - 1, MAPS + 2).round().astype(int)[1:-1]
    levels = sorted(set(inner.tolist()))
    kept = []
    for level, (flat, share) in zip(levels, maps(values, levels), strict=True):
        sigma = f"{sigmas[level]:.2g}"
        with panel(f"map-{level}", f"Map of the class centroids at noise level {sigma}", parts, height=380) as axes:
            _map(axes, flat, classes, thumbnails, f"σ = {sigma}")
        kept.append(share)
    distances = pair_distances(values)
    with panel("centroid-distances", "Distances between class centroids against noise level", parts) as axes:
        _distances(axes, distances, sigmas, classes)
    caption = (
        "<strong>Where the network puts the classes.</strong> A class is told to the network as a centroid: the mean feature "
        "vector of its training images ({dimension} numbers), at each noise level. The maps show the {count} centroids at some noise "
        "levels, flattened so that distances between them are kept as well as a plane can ({kept:.0%} of their variance at "
        "least); each map has its own scale, and directions mean nothing. Pictures are real patches of the class. The "
        "last panel has the distances themselves: at high noise classes cannot be told apart and come together."
    )
    text = Markup(caption).format(dimension=values.shape[2], count=len(classes), kept=min(kept))
    return Figure("embedding", parts, text, narrow=True)


def _map(axes: Axes, flat: np.ndarray, classes: list[str], thumbnails: dict[int, np.ndarray], title: str) -> None:
    reach = float(np.abs(flat).max()) or 1.0
    half = 1.6 * reach * HALF
    for label, (x, y) in enumerate(flat):
        if label not in thumbnails:
            axes.plot(x, y, "o", color=GUIDED, markersize=4)
            continue
        image = thumbnails[label]
        pixels = image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1)
        axes.imshow(pixels, extent=(x - half, x + half, y - half, y + half), interpolation="none", zorder=3)
        axes.text(x, y - 1.25 * half, short(classes[label]), ha="center", va="top", color=INK, zorder=4)
    edge = reach * 1.15 + 1.4 * half
    axes.set(xlim=(-edge, edge), ylim=(-edge - half / 2, edge - half / 2), aspect="equal", title=title)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=FAINT)


def _distances(axes: Axes, distances: np.ndarray, sigmas: np.ndarray, classes: list[str]) -> None:
    if len(distances) <= PAIRS:
        styles = ("-", "--", ":", "-.", (0, (6, 1, 1, 1)), (0, (1, 1)))
        for i, (a, b) in enumerate(combinations(classes, 2)):
            label = f"{short(a)} to {short(b)}"
            axes.plot(sigmas, distances[i], linestyle=styles[i], color=LINES[i], label=label)
    else:
        low, middle, high = np.quantile(distances, [0.1, 0.5, 0.9], axis=0)
        axes.plot(sigmas, middle, color=GUIDED, label="median pair")
        axes.fill_between(sigmas, low, high, color=GUIDED, alpha=0.15, linewidth=0, label="80% of the pairs")
        axes.plot(sigmas, distances.min(0), ":", color=GUIDED, label="closest pair")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    log_axis(axes.xaxis)
    axes.set(title="Distance between centroids", xlabel="noise level σ", ylabel="Euclidean distance")
    axes.legend()


def short(name: str, length: int = 18) -> str:
    """A class name that fits below a thumbnail."""
    return name if len(name) <= length else name[: length - 1] + "…"
