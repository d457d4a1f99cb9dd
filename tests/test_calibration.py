"""Scores of probabilities: by hand, against a published implementation, and by their laws."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from payattention import calibration
from payattention.calibration import brier, expected_calibration_error, negative_log_likelihood


def said(seed, batch=53, classes=7, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(batch, classes, generator=generator)
    return logits, torch.randint(classes, (batch,), generator=generator)


def test_by_hand():
    probabilities = torch.tensor([[0.95, 0.05], [0.3, 0.7], [0.65, 0.35], [0.08, 0.92]])
    classes = torch.tensor([0, 1, 1, 1])
    # two bins: all are above a half; sure 0.805 on average, right 0.75
    assert expected_calibration_error(probabilities, classes, bins=2) == pytest.approx(0.055)
    # ten bins: (0.95 and 0.92) right, 0.7 in (0.6, 0.7] with 0.65, one of them right
    expected = 2 / 4 * (1 - 0.935) + 2 / 4 * (0.675 - 0.5)
    assert expected_calibration_error(probabilities, classes, bins=10) == pytest.approx(expected)
    squares = 2 * (0.05**2 + 0.3**2 + 0.65**2 + 0.08**2) / 4
    assert brier(probabilities, classes) == pytest.approx(squares)
    nats = -(math.log(0.95) + math.log(0.7) + math.log(0.35) + math.log(0.92)) / 4
    assert negative_log_likelihood(probabilities.log(), classes) == pytest.approx(nats)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("seed", range(3))
def test_as_torchmetrics_has_it(seed, bins):
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, classes = said(seed, batch=301)
    probabilities = logits.softmax(dim=1)
    theirs = multiclass_calibration_error(probabilities, classes, num_classes=7, n_bins=bins)
    ours = expected_calibration_error(probabilities, classes, bins=bins)
    assert ours == pytest.approx(theirs.item(), abs=1e-5)


@given(st.integers(0, 2**30), st.integers(1, 40), st.floats(0.1, 20))
def test_bins_hold_all_and_say_their_means(seed, bins, sharpness):
    logits, classes = said(seed, sharpness=sharpness)
    probabilities = logits.softmax(dim=1)
    rows = calibration.reliability(probabilities, classes, bins=bins)
    assert sum(row["count"] for row in rows) == len(classes)
    for row in rows:
        if row["count"]:
            assert row["low"] < row["sure"] + 1e-9 and row["sure"] <= row["high"] + 1e-9
            assert 0 <= row["right"] <= 1
        else:
            assert row["sure"] is None and row["right"] is None
    accuracy = (logits.argmax(dim=1) == classes).double().mean().item()
    found = sum(row["count"] * row["right"] for row in rows if row["count"]) / len(classes)
    assert found == pytest.approx(accuracy)
    assert 0 <= expected_calibration_error(probabilities, classes, bins=bins) <= 1


@pytest.mark.parametrize("times", [0.3, 1.0, 5.0])
def test_a_temperature_takes_back_what_was_multiplied(times):
    """Classes drawn by the model's own probabilities: then 1 is right, and scale is found out."""
    logits = 2 * torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)).double()
    chance = torch.Generator().manual_seed(1)
    classes = torch.multinomial(logits.softmax(dim=1), 1, generator=chance)[:, 0]
    found = calibration.temperature(times * logits, classes)
    assert found == pytest.approx(times, rel=0.03)
    before, after = (negative_log_likelihood(times * logits / by, classes) for by in (1.0, found))
    assert after <= before + 1e-9
    assert expected_calibration_error((times * logits / found).softmax(1), classes) < 0.01


def test_an_edge_belongs_to_the_bin_below():
    rows = calibration.reliability(torch.tensor([[0.5, 0.5]]), torch.tensor([0]), bins=4)
    assert [row["count"] for row in rows] == [0, 1, 0, 0]


def test_sure_and_right_of_all_is_perfect():
    truth = torch.eye(5)
    classes = torch.arange(5)
    assert expected_calibration_error(truth, classes) == 0 == brier(truth, classes)
    assert brier(truth, classes.roll(1)) == 2


def test_saying_how_often_each_class_occurs_is_calibrated_and_useless():
    classes = torch.tensor([0] * 6 + [1] * 4)
    probabilities = torch.tensor([[0.6, 0.4]]).expand(10, 2)
    assert expected_calibration_error(probabilities, classes) == pytest.approx(0, abs=1e-7)
    assert brier(probabilities, classes) == pytest.approx(2 * (0.6 * 0.16 + 0.4 * 0.36))


@pytest.mark.parametrize(
    "change, told",
    [
        (dict(bins=0), "bins: got 0"),
        (dict(classes=torch.tensor([0])), r"classes: got shape \(1,\)"),
        (dict(classes=torch.tensor([0, 2])), "classes: example 1 has 2; expected 0 to 1"),
        (dict(probabilities=torch.tensor([[0.5, 0.5], [1.5, -0.5]])), "the least is -0.5"),
        (dict(probabilities=torch.tensor([[3.0, 2.0], [0.5, 0.5]])), "example 0 sum to 5"),
        (dict(probabilities=torch.tensor([[math.nan, 1], [0.5, 0.5]])), "example 0"),
        (
            dict(probabilities=torch.empty(0, 2), classes=torch.empty(0, dtype=torch.long)),
            "at least one row",
        ),
    ],
)
def test_bad_input_is_named(change, told):
    given = dict(probabilities=torch.tensor([[0.5, 0.5], [1.0, 0.0]]), classes=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=told):
        inspect.unwrap(calibration.reliability)(**(given | change))
