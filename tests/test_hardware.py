"""Accelerators: the rate that a dtype gets, what is refused, and the numbers next to each other."""

import json
import re
from dataclasses import fields

import pytest

from payattention.cost.hardware import (
    A100,
    ACCELERATORS,
    APPLE_M1,
    H100,
    H200,
    LAPTOP_DDR4,
    LAPTOP_DDR5,
    RTX_4090,
    V100,
    Accelerator,
    accelerator,
)

SIZES = {"bytes_per_second": 5.0, "memory_bytes": 7.0, "watts": 11.0, "source": "a sheet of 2026"}


def test_a_dtype_without_a_rate_is_widened():
    card = Accelerator("card", {"float16": 3.0, "float32": 2.0}, **SIZES)
    assert [card.peak(dtype) for dtype in ("float16", "float32")] == [3.0, 2.0]
    assert [card.peak(dtype) for dtype in ("int4", "int8", "float8")] == [3.0] * 3
    assert H100.peak("int4") == H100.peak("bfloat16")


def test_two_formats_of_16_bits_do_not_stand_in_for_each_other():
    card = Accelerator("card", {"float16": 3.0, "float32": 2.0}, **SIZES)
    assert card.peak("bfloat16") == 2.0


def test_a_dtype_wider_than_all_rates_is_refused():
    card = Accelerator("card", {"float16": 3.0}, **SIZES)
    with pytest.raises(ValueError, match="dtype='float32': card has rates for float16"):
        card.peak("float32")
    with pytest.raises(ValueError, match="dtype='fp16': expected one of float64, float32"):
        card.peak("fp16")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"flops_per_second": {}}, "flops_per_second: got none"),
        ({"flops_per_second": {"fp16": 3.0}}, "dtype='fp16': expected one of"),
        ({"flops_per_second": {"float16": 0.0}}, r"flops_per_second\['float16'\]=0.0"),
        ({"bytes_per_second": -5.0}, "bytes_per_second=-5.0: expected a number above 0"),
        ({"memory_bytes": float("inf")}, "memory_bytes=inf: expected a number above 0"),
        ({"watts": 0.0}, "watts=0.0: expected a number above 0"),
        ({"source": ""}, "source: got none"),
        ({"dollars_per_hour": 2.0}, "price_source: got none"),
        ({"dollars_per_hour": -2.0, "price_source": "x"}, "dollars_per_hour=-2.0: expected"),
    ],
)
def test_what_cannot_be_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        Accelerator(**{"name": "card", "flops_per_second": {"float16": 3.0}} | SIZES | change)


# The numbers, next to each other

YEAR = re.compile(r"\b20[12]\d\b")


@pytest.mark.parametrize("card", ACCELERATORS.values(), ids=ACCELERATORS)
def test_every_source_names_a_year(card):
    assert YEAR.search(card.source)
    assert (card.dollars_per_hour is None) == (card.price_source is None)
    assert card.price_source is None or YEAR.search(card.price_source)


@pytest.mark.parametrize("card", ACCELERATORS.values(), ids=ACCELERATORS)
def test_every_number_has_its_size(card):
    """A slip of a unit, GB for bytes or TFLOPS with sparsity, would fall out of these."""
    fastest = max(card.flops_per_second.values())
    assert 1e9 < fastest / card.watts < 2e12  # operations a joule
    assert 5 < fastest / card.bytes_per_second < 400  # operations for each byte fetched
    assert 0.01 < card.memory_bytes / card.bytes_per_second < 1  # seconds to read all of it
    assert {"float16", "bfloat16"} & card.flops_per_second.keys() or card.watts < 30


def test_numbers_agree_with_each_other():
    assert dict(H200.flops_per_second) == dict(H100.flops_per_second)
    assert H200.bytes_per_second > H100.bytes_per_second > A100.bytes_per_second
    years = [V100, A100, H100]
    assert sorted(years, key=lambda card: card.peak("float16")) == years
    assert sorted(years, key=lambda card: card.peak("float16") / card.watts) == years
    assert sorted(years, key=lambda card: card.dollars_per_hour)[-1] == H100
    assert LAPTOP_DDR4.bytes_per_second == pytest.approx(51.2e9)
    assert LAPTOP_DDR5.bytes_per_second == pytest.approx(89.6e9)
    assert LAPTOP_DDR4.peak("float32") < LAPTOP_DDR5.peak("float32") < APPLE_M1.peak("float32")


def test_they_are_found_by_a_short_name():
    assert accelerator("RTX 4090") is RTX_4090
    assert all(accelerator(name) is card for name, card in ACCELERATORS.items())
    assert len({card.name for card in ACCELERATORS.values()}) == len(ACCELERATORS)
    with pytest.raises(ValueError, match="name='A1000': expected one of V100, T4, A100"):
        accelerator("A1000")


def test_they_can_be_written_as_json():
    """Rates are whole or plain numbers, so that a script on a page can read them."""
    card = {field.name: getattr(H100, field.name) for field in fields(H100)}
    card["flops_per_second"] = dict(card["flops_per_second"])
    assert json.loads(json.dumps(card)) == card
