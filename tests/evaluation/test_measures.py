import numpy as np
import pytest
from prdc import compute_prdc
from vendi_score import vendi

from featdiff.errors import UserError
from featdiff.evaluation import classifier, distances
from featdiff.evaluation.diversity import vendi_score
from featdiff.evaluation.kernel import kid, polynomial_mmd
from featdiff.evaluation.manifold import manifold


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that the test data need many."""
    monkeypatch.setattr(distances, "BLOCK_VALUES", 200)
    monkeypatch.setattr(distances, "TILE", 17)


def normal(seed, count, size=8, mean=0.0, std=1.0):
    return np.random.default_rng(seed).normal(mean, std, (count, size)).astype(np.float32)


def test_blocks_of_distances_cover_all_pairs(small_blocks):
    a, b = normal(0, 45), normal(1, 61)
    found = np.concatenate([block for _, block in distances.squared_distance_blocks(a, b)])
    direct = np.square(a[:, None].astype(float) - b[None]).sum(-1)
    assert found.shape == direct.shape
    assert np.abs(found - direct).max() < 1e-10


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_manifold_agrees_with_prdc(small_blocks, neighbours):
    real, generated = normal(2, 90), normal(3, 70, mean=0.3, std=0.8)
    theirs = compute_prdc(real.astype(float), generated.astype(float), nearest_k=neighbours)
    ours = manifold(real=real, generated=generated, neighbours=neighbours)._asdict()
    assert max(abs(ours[name] - theirs[name]) for name in theirs) < 1e-12


def test_precision_and_recall_do_not_change_places():
    real = normal(4, 200)
    collapsed = real[:1] + 0.01 * normal(5, 200)  # faithful, not diverse
    scattered = normal(6, 200, std=6.0)  # covers much, mostly wrong
    a = manifold(real=real, generated=collapsed, neighbours=5)
    b = manifold(real=real, generated=scattered, neighbours=5)
    assert a.precision > 0.95 and a.recall < 0.1 and a.coverage < 0.2
    assert b.precision < 0.1 and b.recall > 0.5
    with pytest.raises(TypeError):
        manifold(real, collapsed, neighbours=5)  # type: ignore[misc]


def test_too_few_images_for_their_neighbours_are_refused():
    with pytest.raises(UserError, match="5 images are too few for their 5"):
        manifold(real=normal(0, 5), generated=normal(1, 9), neighbours=5)


@pytest.mark.parametrize("shape", [(30, 50), (300, 20)])
def test_vendi_score_agrees_with_the_authors_package(shape):
    features = normal(7, *shape, mean=0.5).astype(float)
    assert vendi_score(features) == pytest.approx(vendi.score_dual(features), rel=1e-7)


def test_vendi_score_counts_different_images():
    assert vendi_score(np.eye(6)[[0, 1, 2, 3] * 5]) == pytest.approx(4, abs=1e-9)
    assert vendi_score(np.ones((9, 4))) == pytest.approx(1, abs=1e-9)
    assert vendi_score(np.eye(5)) == pytest.approx(5, abs=1e-9)


def test_kernel_distance_agrees_with_the_sum_over_all_pairs(small_blocks):
    x, y = normal(8, 40).astype(float), normal(9, 50, mean=0.2).astype(float)

    def k(a, b):
        return (a @ b / 8 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(40) for j in range(40) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(50) for j in range(50) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert polynomial_mmd(x, y) == pytest.approx(within_x + within_y - 2 * across, abs=1e-12)


def test_kernel_distance_is_unbiased_and_seeded():
    def generator():
        return np.random.default_rng(10)

    same = kid(normal(11, 2000), normal(12, 2000), subsets=60, size=50, generator=generator())
    other = kid(normal(11, 2000), normal(12, 2000, mean=0.5), subsets=60, size=50, generator=generator())
    assert abs(same.mean()) < 4 * same.std() / np.sqrt(60)
    assert other.mean() > 5 * other.std() / np.sqrt(60)
    again = kid(normal(11, 2000), normal(12, 2000), subsets=60, size=50, generator=generator())
    assert np.array_equal(same, again)


def test_the_judge_says_the_same_of_many_images_as_of_each_part():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    judge = classifier.fit(generator.standard_normal((80, 6)) + labels[:, None], labels)
    many = generator.standard_normal((distances.TILE + 10, 6)).astype(np.float32)
    found = judge.predict(many)
    assert found.dtype == np.int64 and len(found) == len(many)
    assert np.array_equal(found[:10], judge.predict(many[:10])) and np.array_equal(
        found[-10:], judge.predict(many[-10:])
    )
    assert np.allclose(judge.probabilities(many)[-10:], judge.probabilities(many[-10:]), atol=1e-12)


def test_the_kernel_distance_in_float32_is_that_in_float64():
    generator = np.random.default_rng(0)
    real = np.abs(generator.standard_normal((300, 64)))
    generated = np.abs(generator.standard_normal((200, 64))) * 1.02
    exact = polynomial_mmd(real, generated)
    assert abs(polynomial_mmd(real.astype(np.float32), generated.astype(np.float32)) - exact) < 2e-6
    assert abs(exact) > 1e-4
