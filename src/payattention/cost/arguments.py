"""What the cost model accepts: whole numbers, sizes of things that could exist, shares.

A formula gives an answer for any number. One that was asked about minus three tokens, or about
more than there are atoms to store them in, should say so instead.
"""

import math
from collections.abc import Mapping
from numbers import Real
from typing import TypeVar

from payattention.shape import MOST

T = TypeVar("T")

MOST_REAL = 1e40
"""Largest quantity with a unit: far beyond all operations that machines have done so far."""


def whole(name: str, value: int, *, least: int = 1, most: int = MOST) -> int:
    """The value, if it is a whole number from `least` to `most`.

    Raises:
        TypeError: for anything but an int: 1e3 is a float, and True is an answer.
        ValueError: for one that is out of bounds.
    """
    expected = f"expected a whole number from {least} to {most:,}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: got {type(value).__name__}; {expected}")
    if not least <= value <= most:
        raise ValueError(f"{name}={value!r}: {expected}")
    return value


def positive(name: str, value: float, *, zero: bool = False) -> float:
    """The value, if it is a finite number above 0, or at 0 where `zero` is allowed.

    Raises:
        TypeError: for anything but a number.
        ValueError: for one that is out of bounds.
    """
    expected = f"expected a number {'from' if zero else 'above'} 0, at most {MOST_REAL:g}"
    _expect_number(name, value, expected)
    if not (value >= 0 if zero else value > 0) or value > MOST_REAL:
        raise ValueError(f"{name}={value!r}: {expected}")
    return value


def share(name: str, value: float) -> float:
    """The value, if it is a number above 0 and at most 1.

    Raises:
        TypeError: for anything but a number.
        ValueError: for one that is out of bounds.
    """
    expected = "expected a share, above 0 and at most 1"
    _expect_number(name, value, expected)
    if not 0 < value <= 1:
        raise ValueError(f"{name}={value!r}: {expected}")
    return value


def one_of(name: str, value: str, choices: Mapping[str, T]) -> T:
    """What the choices hold under that name.

    Raises:
        ValueError: for a name that they do not hold.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(choices)}")
    return choices[value]


def _expect_number(name: str, value: object, expected: str) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r}: got {type(value).__name__}; {expected}")
    if not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: {expected}")
