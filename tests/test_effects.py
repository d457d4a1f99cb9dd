"""Of many differences those are called effects of which few are expected to be none."""

import numpy as np
import pytest
from scipy import stats

from payattention.effects import NONE, RATE, Effect, judge


def pairs(of, *, seeds=8, effect=0.0, spread=1.0, seed=0):
    """So many pairs of runs, of which the changed ones are higher by the effect."""
    numbers = np.random.default_rng(seed)
    made = {}
    for name in range(of):
        unchanged = 10 + 5 * numbers.standard_normal(seeds)
        made[name] = unchanged + effect + spread * numbers.standard_normal(seeds), unchanged
    return made


def test_the_baseline_may_vary_more_than_the_effect():
    """The seeds differ by 5, the change is 2: each is compared with its own."""
    assert {effect.verdict for effect in judge(pairs(20, effect=2.0, spread=0.5)).values()} == {
        "hurts"
    }
    assert {effect.verdict for effect in judge(pairs(20, effect=-2.0, spread=0.5)).values()} == {
        "helps"
    }


def test_the_interval_and_the_probability_are_students():
    for name, effect in judge(made := pairs(7, effect=0.5)).items():
        changed, unchanged = made[name]
        low, high = stats.ttest_rel(changed, unchanged).confidence_interval()
        assert (effect.low, effect.high) == pytest.approx((low, high))
        assert effect.more == pytest.approx((changed - unchanged).mean())
        assert effect.p == pytest.approx(stats.ttest_rel(changed, unchanged).pvalue)


@pytest.mark.parametrize("rate", [0.01, RATE, 0.3])
def test_those_are_seen_that_the_rule_lets_pass(rate):
    made = pairs(15, effect=1.2, seed=1) | {100 + k: v for k, v in pairs(25, seed=2).items()}
    found = judge(made, rate=rate)
    ranked = sorted(effect.p for effect in found.values())
    passed = [p for k, p in enumerate(ranked, 1) if p <= rate * k / len(ranked)]
    limit = max(passed, default=-1.0)
    assert all(effect.seen == (effect.p <= limit) for effect in found.values())
    assert 0 < sum(effect.seen for effect in found.values()) < len(found)


def test_few_of_those_that_are_seen_are_none():
    """Half of the pairs differ: over many maps at most about one in twenty seen is a false one."""
    false, seen = 0, 0
    for seed in range(60):
        made = pairs(10, effect=2.0, seed=seed) | {
            100 + k: v for k, v in pairs(10, seed=1_000 + seed).items()
        }
        found = judge(made)
        seen += sum(effect.seen for effect in found.values())
        false += sum(effect.seen for name, effect in found.items() if name >= 100)
    assert seen > 500
    assert false / seen < 0.05


def test_of_nothing_but_chance_most_maps_see_nothing():
    maps = [judge(pairs(30, seed=seed)) for seed in range(40)]
    with_some = sum(any(effect.seen for effect in found.values()) for found in maps)
    by_themselves = sum(effect.p < RATE for found in maps for effect in found.values())
    assert with_some <= 6
    assert by_themselves > 30  # of 1,200, one in twenty


def test_runs_that_are_the_same_are_no_effect():
    assert judge({"same": ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])})["same"].said("points") == NONE
    assert judge({}) == {}


@pytest.mark.parametrize("runs", [([1.0, 2.0], [1.0, 2.0, 3.0]), ([1.0], [2.0]), ([], [])])
def test_runs_without_a_partner_are_refused(runs):
    with pytest.raises(ValueError, match=r"runs|values|at least"):
        judge({"a": runs})


def test_words_give_the_size_its_interval_and_a_direction():
    higher = Effect(0.1, 0.05, 0.15, 0.001, seen=True)
    assert higher.said("nats", digits=2) == "0.10 (0.05 to 0.15) nats higher"
    assert Effect(-0.1, -0.25, 0.05, 0.001, seen=True).said("points", times=100) == (
        "10.0 (−5.0 to 25.0) points lower"
    )
