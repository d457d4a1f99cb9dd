"""Accelerators: the rate that a dtype gets, what is refused, and the numbers next to each other."""

import pytest

from payattention.cost.hardware import H100, Accelerator

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
