"""Of many differences those are effects of which few are expected to be none; the text obeys."""

import numpy as np
import pytest
from scipy import stats

from payattention import results
from payattention.effects import NONE, RATE, Effect, judge
from payattention.experiments import (
    error_vs_attack,
    error_vs_mixing,
    error_vs_operations,
    error_vs_remedy,
    genre_vs_mixing,
)


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


# What the chapter on mixup says in words of its own stands in the stored intervals. Numbers and "no
# effect seen" come from the findings; should another run of the experiments find otherwise, these
# tests say which sentence around them has to be written again.

MODULES = {
    module.__name__.rpartition(".")[-1]: module
    for module in (
        error_vs_attack,
        error_vs_mixing,
        error_vs_operations,
        error_vs_remedy,
        genre_vs_mixing,
    )
}


@pytest.fixture(scope="module")
def found():
    return {name: module.findings(results.read(name)) for name, module in MODULES.items()}


@pytest.mark.parametrize(
    ("question", "finding", "verdict"),
    [
        # the map: where there is much to unlearn, where there is nothing, and where there is little
        ("error_vs_mixing", "digits_cnn_1000_40_2_error_said", "lower"),
        ("error_vs_mixing", "clothes_vit_1000_40_1_error_said", "lower"),
        ("error_vs_mixing", "clothes_cnn_5000_0_1_error_said", "higher"),
        ("error_vs_mixing", "clothes_vit_5000_0_1_error_said", "higher"),
        ("error_vs_mixing", "clothes_cnn_5000_40_1_error_said", "higher"),
        ("error_vs_mixing", "clothes_vit_5000_40_1_error_said", "higher"),
        ("error_vs_mixing", "digits_cnn_50_0_0.1_error_said", "lower"),
        ("error_vs_mixing", "clothes_cnn_200_0_0.2_error_said", "lower"),
        # how sure it is
        ("error_vs_mixing", "clothes_vit_200_40_1_ece_said", "lower"),
        ("error_vs_mixing", "digits_cnn_1000_0_1_ece_said", "higher"),
        ("error_vs_mixing", "digits_cnn_1000_40_2_ece_said", "higher"),
        # one large step is withstood better, twenty small ones are not
        ("error_vs_attack", "fgsm_0.08_0.2_error_said", "lower"),
        ("error_vs_attack", "fgsm_0.08_1_error_said", "lower"),
        ("error_vs_attack", "pgd_0.08_0.2_error_said", NONE),
        ("error_vs_attack", "pgd_0.08_1_error_said", NONE),
        ("error_vs_attack", "pgd_0.04_0.2_error_said", "lower"),
        ("error_vs_attack", "pgd_0.04_1_error_said", NONE),
        ("error_vs_attack", "noise_0.4_1_error_said", "lower"),
        ("error_vs_attack", "blur_5_1_error_said", "lower"),
        ("error_vs_attack", "patch_10_1_error_said", "lower"),
        ("error_vs_attack", "contrast_0.5_1_error_said", "lower"),
        ("error_vs_attack", "shift_4_1_error_said", "higher"),
        # the larger α loses to either adversary what it loses without any
        ("error_vs_attack", "fgsm_0.02_1_error_said", "higher"),
        ("error_vs_attack", "pgd_0.02_1_error_said", "higher"),
        ("error_vs_attack", "fgsm_0_1_error_said", "higher"),
        ("error_vs_attack", "contrast_0.5_0.2_error_said", "lower"),
        # on top of shifts
        ("error_vs_remedy", "shifts_mixup_40_error_over_shifts", "higher"),
        ("error_vs_remedy", "shifts_mixup_0_ece_over_shifts", "lower"),
        ("error_vs_mixing", "clothes_cnn_1000_40_0.2_error_said", "lower"),
        ("error_vs_remedy", "shifts_mixup_0_error_over_shifts", NONE),
        ("error_vs_remedy", "mixup_0_nll_over_none", "lower"),
        ("error_vs_remedy", "weight_decay_0_nll_over_none", "lower"),
        ("error_vs_remedy", "shifts_0_nll_over_none", "lower"),
        # words: no better reader, and a more modest one
        ("genre_vs_mixing", "300_words_1_error_said", NONE),
        ("genre_vs_mixing", "3000_words_1_error_said", NONE),
        ("genre_vs_mixing", "300_words_1_nll_said", "lower"),
        ("genre_vs_mixing", "3000_words_1_nll_said", "lower"),
        # operations: a short training pays, and a long one keeps its nats
        ("error_vs_operations", "200_1_error_said", "higher"),
        ("error_vs_operations", "3200_1_error_said", NONE),
        ("error_vs_operations", "1600_0.2_nll_said", "lower"),
        ("error_vs_operations", "3200_0.2_nll_said", "lower"),
        ("error_vs_mixing", "clothes_cnn_1000_0_0.4_error_said", "lower"),
        ("error_vs_mixing", "digits_cnn_50_20_0.1_error_said", NONE),
    ],
)
def test_help_and_hurt_are_what_the_intervals_say(found, question, finding, verdict):
    assert found[question][finding].endswith(verdict)


def test_at_no_length_is_the_error_seen_to_be_lower(found):
    said = [
        text for name, text in found["error_vs_operations"].items() if name.endswith("error_said")
    ]
    assert len(said) == 10 and not any(text.endswith("lower") for text in said)


def test_wrong_labels_are_kept_out_where_they_would_be_learned_and_can_be_kept_out():
    rows = results.read("memorised_vs_mixing")
    learned = {
        (row["kind"], row["labels"], row["alpha"]): row["mean"]
        for row in rows.summary("wrong_learned", by=["kind", "labels", "alpha"])
    }
    for (kind, labels, alpha), share in learned.items():
        if labels == 5000:
            assert share < 0.1
        elif labels <= 200:
            assert share > 0.9
        elif alpha:
            assert share < learned[kind, labels, 0.0] / 2
        else:
            assert share > 0.3


def test_where_few_labels_are_many_of_them_wrong_most_squares_are_white():
    effects = error_vs_mixing.effects(results.read("error_vs_mixing"))
    white = [
        effect.verdict == "none"
        for (kind, labels, wrong, _, metric), effect in effects.items()
        if metric == "error" and wrong > 0 and labels <= 200
    ]
    assert sum(white) / len(white) > 0.8


def test_with_wrong_labels_the_oldest_remedies_are_those_that_are_seen_to_help(found):
    seen = set(found["error_vs_remedy"]["40_helps"].split(", "))
    assert seen == {"shifts with smoothing", "shifts", "weight decay", "dropout"}


def test_nats_cross_and_errors_do_not():
    rows = error_vs_operations.whole(results.read("error_vs_operations"))
    plain = [row["mean"] for row in rows.where(alpha=0.0).summary("nll", by="steps")]
    mixed = [row["mean"] for row in rows.where(alpha=0.2).summary("nll", by="steps")]
    assert min(mixed) < min(plain) and mixed[0] > plain[0]
    assert plain[-1] > min(plain)  # it falls and rises again


def test_mixup_makes_less_sure_of_clothes(found):
    attack = found["error_vs_attack"]
    assert attack["fgsm_0_1_sure_said"].endswith("lower")
