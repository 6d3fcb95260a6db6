"""The arithmetic of the table of speeds, and the processes that take turns."""

import sys
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

SPEED = Path(__file__).resolve().parents[2] / "benchmarks" / "speed"


@pytest.fixture
def contest(monkeypatch):
    monkeypatch.syspath_prepend(str(SPEED))
    import contest

    return contest


def test_a_ratio_is_that_of_the_rates_at_the_median_round(contest):
    ours = contest.Result(seconds=[1.0, 4.0, 2.0], processor=[1, 1, 1], items=10)
    other = contest.Result(seconds=[6.0, 8.0, 5.0], processor=[2, 2, 2], items=20)
    found = contest.ratio(ours, other)
    assert found.value == pytest.approx((10 / 2) / (20 / 6))
    assert found.low <= found.value <= found.high
    assert contest.ratio(ours, other, clock="processor").value == pytest.approx(1.0)
    assert contest.ratio(ours, other, counting=2).value == pytest.approx(2 * found.value)


def test_a_line_of_time_is_turned_round_and_the_hardest_peer_is_marked(contest):
    import lines
    import table

    def result(seconds):
        return contest.Result(seconds=[seconds] * 3, processor=[seconds] * 3, items=1, peak=100)

    results = {"ours": result(2.0), "quick": result(1.0), "slow": result(8.0), "away": contest.Result(failed="no")}
    names = [contest.Contender(n, Path(sys.executable), "featdiff_" if n == "ours" else "x", "w") for n in results]
    some = [lines.Line("rate", "ours", target=1.3), lines.Line("time", "ours", ("slow",), target=1.05, slower=True)]
    held = lines.Contest("c", names, {}, some, rounds=3)
    rate_quick, rate_slow, away, time_slow = table.rows_of(held, results)
    assert rate_quick["by processor time"]["ratio"] == 0.5 and rate_quick["hardest"]
    assert rate_slow["by processor time"]["ratio"] == 4 and not rate_slow["hardest"]
    assert away["cannot"] == "no"
    assert time_slow["by processor time"]["ratio"] == 0.25 and time_slow["at most"]


@pytest.mark.slow
def test_processes_take_turns_and_one_that_cannot_is_left_out_with_the_reason(contest, tmp_path):
    python = Path(sys.executable)
    able = contest.Contender("able", python, "featdiff_", "vendi")
    unable = contest.Contender("unable", python, "no_such_module", "vendi")
    settings = {"seed": 0, "threads": 1, "count": 20, "dimension": 8}
    with (tmp_path / "log.txt").open("w") as log:
        results = contest.hold([able, unable], settings, rounds=3, log=log)
    assert results["able"].failed is None
    assert len(results["able"].seconds) == 3 and min(results["able"].seconds) > 0
    assert 1 <= results["able"].about["value"] <= 20
    assert "no_such_module" in results["unable"].failed


TINY = {"size": 8, "channels": 1, "images": 32, "widths": (4, 6), "batch": 16, "drawn": 8}


@pytest.fixture
def fresh_accelerator():
    """Accelerate allows one precision a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_operations_are_those_of_the_layers_forward_and_backward(contest, precision, fresh_accelerator):
    from contenders import common, featdiff_

    settings = {**TINY, "levels": 3, "seed": 0, "precision": precision, "operations": True}
    drawn = featdiff_.sampling({**settings, "condition": "feature", "guidance": "feature"})
    forward = 2 * drawn.about["multiplications"]
    assert drawn.items == drawn.about["operations"] == forward * settings["batch"] * common.EVALUATIONS
    trained = featdiff_.training({**settings, "condition": "none"})
    images = settings["batch"] * common.STEPS_A_RUN
    assert trained.about["images"] == images
    assert 2.5 * forward * images < trained.items < 3 * forward * images  # the first layer's input needs no gradient
    assert featdiff_.product({**settings, "side": 10, "products": 3}).items == 6000


def test_shares_have_a_table_of_their_own_with_images_and_operations_a_second(contest):
    import lines
    import table

    held = lines.shares("gpu", "bf16", TINY, side=16)
    results = {
        c.name: contest.Result(
            seconds=[2.0] * 3, processor=[1.0] * 3, items=4e9, peak=2**20, about={"images": 50, "operations": 4e9}
        )
        for c in held.contenders
    }
    results[lines.PEAK].items = 16e9
    rows = table.rows_of(held, results)
    report = {"rows": rows, "threads": 1, "contests": {held.name: {"contenders": table.contenders_of(held, results)}}}
    text = table._shares(report)
    assert text.count("| bf16 | 50 | 4 | 0.250 | 0.250 to 0.250 | 1 |") == 3


@pytest.mark.exhaustive
def test_the_lines_of_a_gpu_run_on_a_cpu_at_a_small_size(contest, tmp_path):
    import lines
    import table

    bf16, tf32, fp32 = lines.gpu(TINY, side=32, compiled=["sampling, guided"])
    assert [c.name for c in bf16.contenders][-2:] == ["sampling, guided, compiled", lines.PEAK]
    assert (tf32.settings["precision"], fp32.settings["precision"]) == ("tf32", "fp32")
    with (tmp_path / "log.txt").open("w+") as log:
        results = contest.hold(
            tf32.contenders, {**tf32.settings, "seed": 0, "threads": 1, "device": "cpu"}, rounds=2, log=log
        )
        log.seek(0)
        assert not [r.failed for r in results.values() if r.failed], log.read()[-2000:]
    shares = {row["line"]: row["by processor time"]["ratio"] for row in table.rows_of(tf32, results)}
    assert len(shares) == 4 and all(share > 0 for share in shares.values())
