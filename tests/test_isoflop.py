"""Valleys and envelopes: where a budget buys the least loss."""

import math

import numpy as np
import pytest

from payattention import isoflop
from payattention.isoflop import Curve, Valley
from payattention.scaling_laws import BESIROGLU_2024, OPERATIONS


def test_parabola_gives_its_bottom():
    sizes = np.array([1e3, 3e3, 1e4, 5e4])
    losses = 2.5 + 0.07 * (np.log(sizes) - math.log(7e3)) ** 2
    found = isoflop.valley(sizes, losses)
    assert found.parameters == pytest.approx(7e3)
    assert found.loss == pytest.approx(2.5)
    assert found.curvature == pytest.approx(0.07)
    assert found.inside
    assert found.at(5e4) == pytest.approx(losses[-1])


def test_bottom_outside_of_the_sizes_is_said_to_be():
    sizes = np.array([1e4, 2e4, 4e4])
    assert not isoflop.valley(sizes, (np.log(sizes) - math.log(1e3)) ** 2).inside


def test_valleys_of_a_law_move_with_its_exponent():
    law, rows = BESIROGLU_2024, []
    for budget in (1e19, 1e20, 1e21):
        best = law.optimum(budget).parameters
        for factor in (0.7, 0.85, 1, 1.2, 1.45):
            size = factor * best
            rows.append((budget, size, law.loss(size, budget / OPERATIONS / size)))
    found = isoflop.valleys(*np.array(rows).T)
    assert list(found) == [1e19, 1e20, 1e21]
    assert isoflop.exponent(found) == pytest.approx(law.parameters_exponent, abs=1e-3)
    for budget, valley in found.items():
        assert valley.parameters == pytest.approx(law.optimum(budget).parameters, rel=0.02)


def test_envelope_is_the_lowest_curve_at_each_budget():
    small = Curve(10, np.array([1.0, 100.0]), np.array([4.0, 1.0]))
    large = Curve(90, np.array([10.0, 1000.0]), np.array([8.0, 0.5]))
    found = isoflop.envelope([small, large], [1.0, 10.0, 100.0, 1000.0])
    assert found.parameters.tolist() == [10, 10, 10, 90]
    assert found.loss == pytest.approx([4, 2, 1, 0.5])  # straight on logarithmic axes


@pytest.mark.parametrize(
    ("sizes", "losses", "complaint"),
    [
        ([1, 2], [1, 2], "got 2 sizes; expected at least 3"),
        ([1, 2, 3], [1, 2], r"loss: got shape \(2,\)"),
        ([1, 2, 4], [1, 2, 1], "has no bottom"),
        ([0, 2, 4], [2, 1, 2], "a size below 0"),
        ([1, 2, 4], [2, math.nan, 2], "not finite"),
    ],
)
def test_bad_valleys_are_named(sizes, losses, complaint):
    with pytest.raises(ValueError, match=complaint):
        isoflop.valley(sizes, losses)


def test_bad_frontiers_are_named():
    with pytest.raises(ValueError, match="got 1 budgets"):
        isoflop.exponent({1.0: Valley(1, 1, 1, True)})
    with pytest.raises(ValueError, match="curves: got none"):
        isoflop.envelope([], [1.0])
    curve = Curve(10, np.array([1.0, 100.0]), np.array([4.0, 1.0]))
    with pytest.raises(ValueError, match="got 200, which no curve reaches"):
        isoflop.envelope([curve], [50.0, 200.0])
