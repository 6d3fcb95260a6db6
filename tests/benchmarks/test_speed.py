"""The arithmetic of the table of speeds, and the processes that take turns."""

import sys
from pathlib import Path

import pytest

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
