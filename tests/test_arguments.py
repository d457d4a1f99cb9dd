"""What the cost model accepts, and how it says what it does not."""

import inspect
import math
import re

import pytest

from payattention.cost import arguments
from payattention.shape import MOST

whole, positive, share = map(inspect.unwrap, (arguments.whole, arguments.positive, arguments.share))


@pytest.mark.parametrize("value", [1, 7, MOST])
def test_whole_numbers_come_back(value):
    assert whole("tokens", value) == value


@pytest.mark.parametrize("value", [1.0, 1e3, True, "7", None, math.nan])
def test_what_is_no_whole_number_is_named_with_its_type(value):
    with pytest.raises(TypeError, match=f"^tokens=.*got {type(value).__name__}; expected a whole"):
        whole("tokens", value)


@pytest.mark.parametrize("value", [0, -1, MOST + 1, 10**30])
def test_whole_numbers_out_of_bounds_are_told_the_bounds(value):
    with pytest.raises(ValueError, match=f"^tokens={value}: expected a whole number from 1 to"):
        whole("tokens", value)
    assert whole("tokens", 0, least=0) == 0


@pytest.mark.parametrize("check", [positive, share])
@pytest.mark.parametrize("value", [0, -0.5, math.inf, math.nan, 1e50])
def test_quantities_out_of_bounds_are_refused(check, value):
    with pytest.raises(ValueError, match=f"^watts={re.escape(str(value))}: expected"):
        check("watts", value)


@pytest.mark.parametrize("check", [positive, share])
@pytest.mark.parametrize("value", [True, "3", None, 1j])
def test_what_is_no_number_is_named_with_its_type(check, value):
    with pytest.raises(TypeError, match=f"got {type(value).__name__}; expected"):
        check("watts", value)


def test_bounds_belong_to_what_is_accepted():
    assert share("utilisation", 1) == 1 and positive("watts", 1e40) == 1e40
    assert positive("watts", 0, zero=True) == 0
    with pytest.raises(ValueError, match=r"utilisation=1\.01: expected a share"):
        share("utilisation", 1.01)


def test_a_name_is_one_of_the_choices():
    assert arguments.one_of("dtype", "a", {"a": 1}) == 1
    with pytest.raises(ValueError, match="dtype='c': expected one of a, b"):
        arguments.one_of("dtype", "c", {"a": 1, "b": 2})
