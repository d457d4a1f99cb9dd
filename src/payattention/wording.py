"""Numbers as prose says them: rounded to what the reader can use, with their uncertainty."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(number: float) -> str:
    """A positive number as the nearest power of ten.

    >>> power_of_ten(3e-20), power_of_ten(900.0)
    ('10⁻²⁰', '10³')

    Raises:
        ValueError: for zero and negative numbers.
    """
    if number <= 0:
        raise ValueError(f"number={number}: expected a positive number")
    return "10" + str(round(math.log10(number))).translate(SUPERSCRIPT)


def magnitude(number: float) -> str:
    """A positive number of any size: with one decimal from 0.1 up, as a power of ten below.

    >>> magnitude(0.94), magnitude(3e-20)
    ('0.9', '10⁻²⁰')
    """
    return f"{number:.1f}" if number >= 0.1 else power_of_ten(number)


def two_digits(number: float) -> str:
    """A positive number with the two digits that a timing is worth.

    >>> two_digits(0.653), two_digits(1.02), two_digits(187.3), two_digits(12345.0)
    ('0.65', '1.0', '190', '12,000')
    """
    rounded = float(f"{number:.2g}")
    if rounded >= 10:
        return f"{rounded:,.0f}"
    return f"{rounded:.1f}" if rounded >= 1 else f"{rounded:g}"


def percent(share: float, *, digits: int = 0) -> str:
    """A share as a percentage, whose sign does not leave its number at the end of a line.

    >>> percent(0.345), percent(-0.9984, digits=1)
    ('34\\xa0%', '−99.8\\xa0%')
    """
    said = f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"
    return said.replace("-", "\N{MINUS SIGN}")


def with_bounds(mean: float, low: float, high: float, *, digits: int = 2) -> str:
    """An estimate and its confidence bounds, with a minus sign where there must be one.

    >>> with_bounds(1.0, 0.91, 1.08), with_bounds(0.24, -0.03, 0.51)
    ('1.00 (0.91 to 1.08)', '0.24 (−0.03 to 0.51)')
    """
    said = f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    return said.replace("-", "\N{MINUS SIGN}")


def percent_with_bounds(mean: float, low: float, high: float, *, digits: int = 0) -> str:
    """A share as a percentage, and its confidence bounds.

    >>> percent_with_bounds(0.24, 0.204, 0.281)
    '24\\xa0% (20 to 28)'
    >>> percent_with_bounds(0.24, 0.204, 0.281, digits=1)
    '24.0\\xa0% (20.4 to 28.1)'
    >>> percent_with_bounds(-0.1, -0.16, 0.04)
    '−10\\xa0% (−16 to 4)'
    """
    bounds = f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"
    return f"{percent(mean, digits=digits)} ({bounds})".replace("-", "\N{MINUS SIGN}")


def of_runs(row: Mapping[str, Any], *, digits: int = 2, share: bool = False) -> str:
    """A row of `Results.summary`: its mean, and its bounds where more than one run gives some.

    A `share` is said as a percentage, whose bounds are no less than 0 and no more than 100.

    >>> of_runs({"mean": 0.25, "low": -0.03, "high": 0.53, "runs": 3}, digits=0, share=True)
    '25\\xa0% (0 to 53)'
    >>> of_runs({"mean": 0.25, "low": math.nan, "high": math.nan, "runs": 1})
    '0.25'
    """
    mean, low, high = row["mean"], row["low"], row["high"]
    if share:
        low, high = max(0.0, low), min(1.0, high)
    if row["runs"] > 1:
        said = percent_with_bounds if share else with_bounds
        return said(mean, low, high, digits=digits)
    return percent(mean, digits=digits) if share else f"{mean:.{digits}f}"


def of_values(values: Sequence[float], *, digits: int = 2, share: bool = False) -> str:
    """The mean of several runs, with its bounds, as `of_runs` says it.

    >>> of_values([0.2, 0.3, 0.25], digits=0, share=True)
    '25\\xa0% (13 to 37)'
    """
    from payattention.measure import interval  # which needs PyTorch; the words need none

    low = high = math.nan
    if len(values) > 1:
        bounds = interval(values)
        low, high = bounds.low, bounds.high
    row = {"mean": sum(values) / len(values), "low": low, "high": high, "runs": len(values)}
    return of_runs(row, digits=digits, share=share)
