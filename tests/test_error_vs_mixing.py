"""What the map of mixup says is what its trainings say, and no more than they can."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from payattention import plots
from payattention.effects import Effect
from payattention.experiments import error_vs_mixing
from payattention.experiments.error_vs_mixing import Map, effects, field, findings, labelled, said
from payattention.records import Results


def made(difference, *, seeds=8, cells=20, spread=0.01, seed=0):
    """A map of so many sizes; `difference(cell)` is what α = 1 adds to the error."""
    numbers, rows = np.random.default_rng(seed), []
    for cell in range(cells):
        for run in range(seeds):
            base = 0.2 + 0.05 * numbers.standard_normal()
            for alpha in (0.0, 1.0):
                more = difference(cell) + spread * numbers.standard_normal() if alpha else 0.0
                row = {"kind": "digits, CNN", "labels": cell, "wrong": 0.0, "alpha": alpha}
                scores = dict.fromkeys((*error_vs_mixing.METRICS, "fitted_ece"), base + more)
                rows.append(row | {"seed": run} | scores)
    return Results.from_records("error_vs_mixing", rows)


def test_a_difference_is_taken_seed_by_seed():
    """The runs differ by 0.05 from seed to seed, and the effect of 0.02 is seen all the same."""
    found = effects(made(lambda cell: 0.02 if cell % 2 else -0.02))
    assert all(effect.seen for effect in found.values())
    verdicts = {cell[1] % 2: effect.verdict for cell, effect in found.items()}
    assert verdicts == {1: "hurts", 0: "helps"}


def test_of_nothing_nearly_nothing_is_seen():
    """Without a correction one in twenty would be; with it none, in nearly all maps."""
    seen = uncorrected = 0
    for seed in range(20):
        found = effects(made(lambda cell: 0.0, seed=seed))
        seen += sum(effect.seen for effect in found.values()) > 0
        uncorrected += sum(effect.p < 0.05 for effect in found.values())
    assert seen <= 3
    assert uncorrected > 20


def test_the_rate_is_that_of_benjamini_and_hochberg():
    found = effects(made(lambda cell: 0.02 if cell < 5 else 0.0, spread=0.012, seed=3))
    ranked = sorted(effect.p for effect in found.values())
    below = [p for k, p in enumerate(ranked, 1) if p <= 0.05 * k / len(ranked)]
    limit = max(below, default=-1)
    assert all(effect.seen == (effect.p <= limit) for effect in found.values())
    assert 0 < sum(effect.seen for effect in found.values()) < len(found)


def test_the_test_is_students_on_pairs():
    results = made(lambda cell: 0.01)
    found = effects(results)["digits, CNN", 3, 0.0, 1.0, "error"]
    one = results.where(labels=3)
    mixed, plain = (one.where(alpha=alpha).column("error") for alpha in (1.0, 0.0))
    assert found.p == pytest.approx(stats.ttest_rel(mixed, plain).pvalue)
    assert found.low < found.more < found.high
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_what_no_training_changes_is_no_effect():
    results = made(lambda cell: 0.0, spread=0.0)
    assert not any(effect.seen for effect in effects(results).values())


def test_words_are_in_the_units_of_the_metric():
    helps = Effect(-0.046, -0.053, -0.039, 0.0001, seen=True)
    assert said(helps, "error") == "4.6 (3.9 to 5.3) points lower"
    assert said(helps, "nll") == "0.05 (0.04 to 0.05) nats lower"
    assert said(replace(helps, seen=False), "ece") == "no effect seen"


def test_findings_count_all_comparisons():
    results = made(lambda cell: 0.02 if cell % 2 else -0.02)
    found = findings(results)
    assert found["comparisons"] == "60" and found["seeds"] == "8"
    assert (found["error_helps"], found["error_hurts"], found["error_none"]) == ("10", "10", "0")
    assert found["fitted_comparisons"] == "20" and found["fitted_hurts"] == "10"
    assert found["digits_cnn_3_0_1_error_said"].endswith("points higher")
    worst = found["digits_cnn_error_worst"]
    assert worst.startswith("with ") and "labels, all right, and α = 1, " in worst
    only_worse = findings(made(lambda cell: 0.02))
    assert only_worse["error_best"] == "nowhere" and only_worse["error_hurts"] == "20"


def test_a_field_has_a_row_for_each_number_of_labels():
    part = Map("digits, CNN", (0, 1, 2), (0.0,), (0.0, 1.0))
    drawn = field(effects(made(lambda cell: 0.02)), part, "error")
    assert drawn["down"] == [
        "0, 0\N{NO-BREAK SPACE}%",
        "1, 0\N{NO-BREAK SPACE}%",
        "2, 0\N{NO-BREAK SPACE}%",
    ]
    assert np.shape(drawn["effects"]) == (3, 1) and drawn["effects"][0][0] == pytest.approx(
        2, abs=1
    )
    plots.effect_map(plots.axes()[1], **drawn)


@pytest.mark.parametrize("wrong", [0.0, 0.2, 0.4])
def test_so_many_labels_are_wrong(wrong):
    images, classes = labelled("digits, CNN", 200, wrong, 1)
    _, right = labelled("digits, CNN", 200, 0.0, 1)
    assert (classes != right).sum() == round(200 * wrong)
    assert torch.equal(right.bincount(), torch.full((10,), 20))
    assert classes.min() >= 0 and classes.max() <= 9 and len(images) == 200


def test_all_alphas_of_a_seed_see_the_same_images_and_begin_alike():
    first, again = (labelled("digits, CNN", 50, 0.2, 3) for _ in range(2))
    other = labelled("digits, CNN", 50, 0.2, 4)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    one, two = (error_vs_mixing.build("digits, CNN", 3).output.weight for _ in range(2))
    assert torch.equal(one, two)
