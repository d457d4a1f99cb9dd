"""Numbers as prose says them; the examples stand in the docstrings."""

import pytest

from payattention import wording


def test_zero_has_no_power_of_ten():
    with pytest.raises(ValueError, match="number=0: expected a positive number"):
        wording.power_of_ten(0)


def test_signs_and_rounding():
    assert wording.power_of_ten(0.5) == "10⁰"
    assert wording.power_of_ten(0.05) == "10⁻¹"
    assert wording.percent(1) == "100\N{NO-BREAK SPACE}%"
    assert wording.with_bounds(-1.25, -2, 0.5, digits=1) == "−1.2 (−2.0 to 0.5)"
