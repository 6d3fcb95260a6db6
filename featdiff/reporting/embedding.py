"""How the class centroids lie: a flat map at some noise levels, and their distances against the noise level."""

from itertools import combinations

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.reporting.drawing import FAINT, GUIDED, INK, LINES, Figure, Panel, log_axis, panel, short

MAPS = 5  # noise levels that have a map
PAIRS = 6  # pairs of classes that have a line of their own
HALF = 0.1  # half the side of a thumbnail, as a share of the map
ROUNDS = 200
HEIGHT = 250


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
    """``flat`` (C, 2) turned or mirrored to lie as ``to`` does (orthogonal Procrustes): maps have no direction of their
    own."""
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
    """Maps and distances of centroids (C, L, D); ``thumbnails`` has an image (H, W, C) for some labels. None for one
    class."""
    if len(classes) < 2:
        return None
    parts: list[Panel] = []
    inner = np.linspace(0, len(sigmas) - 1, MAPS + 2).round().astype(int)[1:-1]
    levels = sorted(set(inner.tolist()))
    kept = []
    distances = pair_distances(values)
    for level, (flat, share) in zip(levels, maps(values, levels), strict=True):
        sigma = f"{sigmas[level]:.2g}"
        alt = f"Map of the class centroids at noise level {sigma}"
        with panel(f"map-{level}", alt, parts, width=360, height=HEIGHT) as axes:
            _map(axes, flat, classes, thumbnails, f"σ = {sigma}, largest distance {distances[:, level].max():.2g}")
        kept.append(share)
    if len(sigmas) > 1:
        alt = "Distances between class centroids against noise level"
        with panel("centroid-distances", alt, parts, width=360, height=HEIGHT) as axes:
            _distances(axes, distances, sigmas, classes)
    amount = "all" if min(kept) > 0.995 else f"at least {min(kept):.0%}"
    caption = (
        "<strong>Where the network puts the classes.</strong> A class is told to the network as a centroid: the mean "
        "feature vector of its training images ({dimension} numbers). A map shows the {count} centroids at one noise "
        "level (dots), flattened so that distances between them are kept as well as a plane can ({share} of their "
        "variance); each map has its own scale, and directions mean nothing. Pictures are real patches of the class, "
        "moved aside where they would cover each other. "
    )
    caption += (
        "The last panel has the distances themselves: where they shrink towards high noise, the classes can no longer "
        "be told apart."
        if len(sigmas) > 1
        else (
            "This model was trained with clean partners, so it knows one centroid for all "
            "noise levels, that of clean images."
        )
    )
    text = Markup(caption).format(dimension=values.shape[2], count=len(classes), share=amount)
    return Figure("embedding", parts, text, narrow=True)


def _map(axes: Axes, flat: np.ndarray, classes: list[str], thumbnails: dict[int, np.ndarray], title: str) -> None:
    half = HALF * (float(np.ptp(flat, axis=0).max()) or 1.0)
    axes.plot(*flat.T, "o", color=GUIDED, markersize=5, zorder=5)
    shown = sorted(thumbnails)
    for label, (x, y) in zip(shown, apart(flat[shown], half), strict=True):
        image = thumbnails[label]
        pixels = image if image.shape[-1] == 3 else np.repeat(image, 3, axis=-1)
        axes.plot([flat[label, 0], x], [flat[label, 1], y], color=FAINT, linewidth=1, zorder=2)
        axes.imshow(pixels, extent=(x - half, x + half, y - half, y + half), interpolation="none", zorder=3)
        axes.text(x, y - 1.15 * half, short(classes[label]), ha="center", va="top", color=INK, zorder=4)
    axes.set(title=title)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.1)
    axes.relim()
    axes.autoscale_view()
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(visible=True, color=FAINT)


def apart(places: np.ndarray, half: float) -> np.ndarray:
    """Places (N, 2) of thumbnails (half their width given, the name below), moved until none covers another."""
    room = half * np.array([2.3, 3.2])
    moved = places + np.array([0, 2.1 * half])
    for _ in range(ROUNDS):
        difference = moved[:, None] - moved[None]  # (N, N, 2)
        lacking = room - np.abs(difference)
        covering = (lacking > 0).all(-1) & ~np.eye(len(moved), dtype=bool)
        if not covering.any():
            break
        axis = lacking.argmin(-1)  # the shorter way out
        first = np.arange(len(moved))[:, None] < np.arange(len(moved))
        for k in (0, 1):
            sign = np.where(difference[..., k] == 0, np.where(first, 1, -1), np.sign(difference[..., k]))
            moved[:, k] += (np.where(covering & (axis == k), lacking[..., k], 0) * sign).sum(1) / 2
    return moved


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
