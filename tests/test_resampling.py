"""The bootstrap: its intervals hold the truth as often as they say."""

import math

import numpy as np
import pytest

from payattention import fits
from payattention.measure import Interval
from payattention.resampling import Verdict, bootstrap, tell_apart


def mean(x):
    return {"mean": x.mean()}


def test_interval_of_a_mean_covers_it():
    covered = 0
    for seed in range(200):
        x = np.random.default_rng(seed).normal(3.0, 1.0, 40)
        found = bootstrap(mean, {"x": x}, repeats=200, seed=seed).interval("mean")
        assert found.value == pytest.approx(x.mean())
        covered += found.low <= 3.0 <= found.high
    assert 176 <= covered <= 198  # of 200 at 95 %; the bootstrap of a mean is a little short


def test_same_seed_same_interval_and_wider_at_more_confidence():
    x = np.arange(20.0)
    first, again = (bootstrap(mean, {"x": x}, seed=1).interval("mean") for _ in range(2))
    other = bootstrap(mean, {"x": x}, seed=2).interval("mean")
    assert first == again != other
    narrow = bootstrap(mean, {"x": x}, seed=1).interval("mean", confidence=0.5)
    assert first.low < narrow.low < narrow.high < first.high


def test_rows_stay_together_and_strata_keep_their_number():
    seen = []

    def look(x, y, group):
        assert (y == 10 * x).all()
        seen.append((group == 1).sum())
        return {"count": len(x)}

    x = np.arange(7.0)
    group = np.array([0, 0, 0, 0, 0, 1, 1])
    bootstrap(look, {"x": x, "y": 10 * x, "group": group}, strata=group, repeats=30)
    assert set(seen) == {2}
    seen.clear()
    bootstrap(look, {"x": x, "y": 10 * x, "group": group}, repeats=30)
    assert len(set(seen)) > 1


def test_resamples_without_a_fit_are_counted():
    def fussy(x):
        if len(set(x.tolist())) < 3:
            raise ValueError("too few")
        return {"mean": x.mean()}

    found = bootstrap(fussy, {"x": [1.0, 2.0, 3.0]}, repeats=100)
    assert 0 < found.failed < 100
    assert len(found.again["mean"]) == 100 - found.failed
    with pytest.raises(ValueError, match="of 100 resamples had no fit"):
        found.interval("mean")


def power(floor):
    def law(x, loss):
        found = fits.power_law(x, loss, floor=floor, starts=2)
        return lambda x: np.array([found.at(value) for value in x])

    return law


LAWS = {"a power law": power(False), "one with a floor": power(True)}


def test_laws_that_differ_are_told_apart():
    x = np.repeat(np.geomspace(1e2, 1e7, 10), 2)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(len(x)))
    verdict = tell_apart(LAWS, {"x": x}, (1.0 + (1e3 / x) ** 0.5) * noise, repeats=30)
    assert verdict.better == "one with a floor"
    assert str(verdict) == (
        "These runs are foretold better by one with a floor than by a power law."
    )


def test_laws_that_agree_where_the_runs_lie_are_not():
    x = np.repeat(np.geomspace(1e3, 3e3, 6), 2)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(len(x)))
    verdict = tell_apart(LAWS, {"x": x}, (0.5 + (1e3 / x) ** 0.3) * noise, repeats=12)
    assert verdict.better is None
    assert "cannot tell a power law and one with a floor apart" in str(verdict)


def test_verdict_takes_the_smaller_error():
    assert Verdict("a", "b", Interval(-1, -2, -0.5)).better == "a"
    assert Verdict("a", "b", Interval(1, 0.5, 2)).better == "b"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"columns": {"x": [1.0], "y": [1.0, 2.0]}}, "columns: got lengths"),
        ({"columns": {}}, "columns: got lengths"),
        ({"columns": {"x": [1.0, 2.0]}, "repeats": 0}, "repeats: got 0"),
        ({"columns": {"x": [1.0, 2.0]}, "strata": [1]}, "strata: got 1"),
    ],
)
def test_bad_input_is_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        bootstrap(mean, **arguments)


def test_two_laws_and_known_names():
    with pytest.raises(ValueError, match="laws: got 1"):
        tell_apart({"one": power(True)}, {"x": [1.0]}, [1.0])
    found = bootstrap(mean, {"x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="name: got 'median'"):
        found.interval("median")
    assert math.isfinite(found.interval("mean").low)
