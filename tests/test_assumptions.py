"""Numbers from the world: none without its papers."""

import re
from dataclasses import replace

import pytest

from payattention.cost import assumptions
from payattention.cost.assumptions import ASSUMPTIONS, KINDS, PUE, Assumption


@pytest.mark.parametrize("assumption", ASSUMPTIONS.values(), ids=ASSUMPTIONS)
def test_every_assumption_has_a_unit_a_kind_and_a_dated_source(assumption):
    assert assumption.unit
    assert assumption.kind in KINDS
    assert re.search(r"\b20[12]\d\b", assumption.source)


def test_all_of_them_are_found_by_name():
    named = {name for name, value in vars(assumptions).items() if isinstance(value, Assumption)}
    assert set(ASSUMPTIONS) == named
    assert ASSUMPTIONS["PUE"] is PUE


def test_what_is_derived_is_not_typed():
    used = assumptions.GPT3_FLOPS.value / assumptions.GPT3_FLOPS_PER_SECOND.value
    used *= assumptions.GPT3_WATTS.value * PUE.value / assumptions.JOULES_PER_KILOWATT_HOUR
    assert used == pytest.approx(assumptions.GPT3_KILOWATT_HOURS.value, rel=1e-3)
    litres = assumptions.WATER_ON_SITE.value + assumptions.WATER_OF_GENERATION.value
    assert litres * assumptions.GPT3_KILOWATT_HOURS.value == pytest.approx(5.4e6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": 0.0}, "value=0.0: expected a number above 0"),
        ({"kind": "guessed"}, "kind='guessed': expected one of reported, derived, assumed"),
        ({"source": ""}, "source='': expected"),
        ({"unit": ""}, "unit='': expected"),
    ],
)
def test_one_without_its_papers_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        replace(PUE, **change)
