"""Speed of guided paths on a plane mixture of three components: the package against a plain NumPy loop over whole
arrays.

    python benchmarks/mixture.py [--particles 1000000] [--steps 1000] [--measured 20] [--threads 2] [--rounds 5]
    [--whole]

Both run the same guided DDPM steps (Ornstein-Uhlenbeck, Euler) on as many particles, ``--measured`` of them (with
``--whole`` the package also runs all). They take turns, ``--rounds`` times, so that a busy machine is as busy for both;
what counts is the ratio within a round, of which the median and the extremes are printed.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import torch

from featdiff.diffusion.ornstein_uhlenbeck import euler_sde, times
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import guided_paths
from featdiff.mixture.processes import OrnsteinUhlenbeck

MEANS = np.array([[np.sqrt(3) / 2, 0.5], [-np.sqrt(3) / 2, 0.5], [0.0, -1.0]])
ETA, TIME = 2.0, 10.0


def plain_loop(particles: int, levels: np.ndarray) -> np.ndarray:
    """Guided DDPM as one would write it in NumPy: every step on arrays of all particles."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((particles, 2))
    for i, t in enumerate(levels):
        step = t - (levels[i + 1] if i + 1 < len(levels) else t - (levels[0] - levels[1]))
        means = np.exp(-t) * MEANS  # the covariance is the identity at every time
        away = x[:, None, :] - means[None]  # (N, 3, 2)
        logits = -0.5 * (away**2).sum(2)
        posterior = np.exp(logits - logits.max(1, keepdims=True))
        posterior /= posterior.sum(1, keepdims=True)
        conditional = means[0] - x
        unconditional = posterior @ means - x
        score = (1 + ETA) * conditional - ETA * unconditional
        x = x + step * (x + 2 * score) + np.sqrt(2 * step) * generator.standard_normal(x.shape)
    return x


def package(particles: int, levels: torch.Tensor, threads: int) -> torch.Tensor:
    """The same through the package's denoiser, guidance and sampler."""
    denoiser = MixtureDenoiser(GaussianMixture(MEANS, np.eye(2)), OrnsteinUhlenbeck())
    paths = guided_paths(denoiser, euler_sde, y=0, etas=[ETA], levels=levels, count=particles, seed=0, threads=threads)
    return paths.ends[0]


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def largest_memory() -> float:
    """Of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--measured", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="also run all steps with the package")
    options = parser.parse_args()
    torch.set_num_threads(1)
    levels = times(TIME, options.steps)
    some = levels[: options.measured]
    package(options.particles, some[:2], options.threads)
    memory = largest_memory()  # before the loop, which needs more
    threads = sorted({1, options.threads})
    taken: dict[int, list[float]] = {n: [] for n in (*threads, 0)}  # seconds, by threads of the package; 0 is the loop
    for _ in range(options.rounds):
        for n in threads:
            taken[n].append(timed(lambda n=n: package(options.particles, some, n)))  # type: ignore[misc]
        taken[0].append(timed(lambda: plain_loop(options.particles, some.numpy())))
    million = options.particles * options.measured / 1e6
    print(f"NumPy loop          {million / np.median(taken[0]):6.2f} million particle-steps/s")
    for n in threads:
        ratios = np.array(taken[0]) / taken[n]
        spread = f"{ratios.min():.1f} to {ratios.max():.1f}"
        print(f"package, {n} thread(s) {million / np.median(taken[n]):6.2f}, ratio {np.median(ratios):.1f} ({spread})")
    print(f"largest memory of the package {memory:.2f} GiB")
    if options.whole:
        seconds = timed(lambda: package(options.particles, levels, options.threads))
        print(
            f"whole run: {options.particles} particles, {options.steps} steps in {seconds:.1f} s, "
            f"{largest_memory():.2f} GiB"
        )


if __name__ == "__main__":
    main()
