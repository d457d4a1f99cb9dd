"""Comparisons with and without mixup: what they must hold, what is called an effect, and in words.

What is compared is better when it is lower.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import product
from numbers import Real
from typing import Any, NamedTuple

from payattention.cost.arguments import one_of, positive, whole
from payattention.explorables.quantities import percent
from payattention.records import Record

Cell = Mapping[str, Any]
"""A comparison: a record with `COLUMNS`."""


class Metric(NamedTuple):
    """What is compared, its unit, how many of the unit are one, and how many digits are said."""

    name: str
    unit: str
    times: int
    digits: int


METRICS = {
    "error": Metric("error", "points", 100, 1),
    "nll": Metric("negative log-likelihood", "nats", 1, 2),
    "ece": Metric("calibration error", "points", 100, 1),
}
NAMES = {
    "digits, CNN": "Digits, a CNN",
    "clothes, CNN": "Clothes, a CNN",
    "clothes, ViT": "Clothes, a ViT",
}
"""Kinds in words; others are called what they are."""
VERDICTS = {"helps": "helps", "hurts": "hurts", "none": "none seen"}
PLACE = ("kind", "metric", "labels", "wrong", "alpha")
"""What tells a comparison from the others."""
AXES = ("labels", "wrong", "alpha")
NUMBERS = ("plain", "mixed", "more", "low", "high")
COLUMNS = (*PLACE, *NUMBERS, "seen")
KEPT_DIGITS = 6  # of every number, so that the page is light


# What a map is made of


def table(cells: Iterable[Cell]) -> dict[tuple, Record]:
    """The comparisons by their `PLACE`.

    Raises:
        TypeError, ValueError: for none, for one without a column or with a value that cannot be,
            for two of the same place, and for a place that a kind has not where others are.
    """
    found: dict[tuple, Record] = {}
    for record in map(_checked, cells):
        place = tuple(record[name] for name in PLACE)
        if place in found:
            raise ValueError(f"cells: got two of {_told(place)}; expected one")
        found[place] = record
    if not found:
        raise ValueError("cells: got none; expected a record of each comparison")
    metrics = {record["metric"]: None for record in found.values()}
    for kind in dict.fromkeys(record["kind"] for record in found.values()):
        for place in product([kind], metrics, *choices(found.values(), kind).values()):
            if place not in found:
                raise ValueError(f"cells: got none of {_told(place)}; expected every combination")
    return found


def choices(cells: Iterable[Cell], kind: str) -> dict[str, list]:
    """The labels, the shares of wrong ones and the α of a kind, each in order."""
    of_kind = [cell for cell in cells if cell["kind"] == kind]
    return {name: sorted({cell[name] for cell in of_kind}) for name in AXES}


def nearest(value: float, among: Sequence[float], *, by_ratio: bool) -> float:
    """The one that is nearest to the value; of two as near, the first.

    >>> nearest(20, [2, 50], by_ratio=True), nearest(20, [2, 50], by_ratio=False)
    (50, 2)
    """

    def apart(one: float) -> float:
        return max(one / value, value / one) if by_ratio else abs(one - value)

    return min(among, key=apart)


def _checked(cell: Cell) -> Record:
    missing = [name for name in COLUMNS if name not in cell]
    if missing:
        raise ValueError(f"cells: got one of {', '.join(cell)}; expected {', '.join(missing)} too")
    one_of("cells: metric", cell["metric"], METRICS)
    whole("cells: labels", cell["labels"])
    positive("cells: alpha", cell["alpha"])
    if positive("cells: wrong", cell["wrong"], zero=True) > 1:
        raise ValueError(f"cells: wrong={cell['wrong']!r}: expected a share, at most 1")
    for name in NUMBERS:
        if not isinstance(cell[name], Real) or not math.isfinite(cell[name]):
            raise ValueError(f"cells: {name}={cell[name]!r}: expected a finite number")
    if not cell["low"] <= cell["more"] <= cell["high"]:
        bounds = ", ".join(f"{name}={cell[name]!r}" for name in ("low", "more", "high"))
        raise ValueError(f"cells: {bounds}: expected them in this order")
    place = {name: cell[name] for name in PLACE}
    place |= {name: float(cell[name]) for name in ("wrong", "alpha")}
    numbers = {name: float(f"{cell[name]:.{KEPT_DIGITS}g}") for name in NUMBERS}
    return place | numbers | {"seen": bool(cell["seen"])}


def _told(place: tuple) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in zip(PLACE, place, strict=True))


# What is said of it


def verdict(cell: Cell) -> str:
    """Whether mixup "helps" or "hurts" there, or "none" is seen.

    >>> verdict({"seen": True, "more": -0.1}), verdict({"seen": False, "more": -0.1})
    ('helps', 'none')
    """
    if not cell["seen"]:
        return "none"
    return "helps" if cell["more"] < 0 else "hurts"


def sentence(cell: Cell) -> str:
    """A comparison in words, with its interval and what it is a difference of."""
    name, unit, times, digits = METRICS[cell["metric"]]
    wrong = f"{percent(cell['wrong'])} of them wrong" if cell["wrong"] else "all of them right"
    where = (
        f"{kind_name(cell['kind'])}, {cell['labels']:,} labels, {wrong}, {alpha_is(cell['alpha'])}"
    )
    less = cell["more"] < 0
    more, *ends = (times * cell[column] for column in ("more", "low", "high"))
    size, low, high = (-more, -ends[1], -ends[0]) if less else (more, *ends)
    by = f"{fixed(size, digits)} {unit}"
    bounds = f"({fixed(low, digits)} to {fixed(high, digits)})"
    sign = "\N{NO-BREAK SPACE}%" if unit == "points" else ""
    plain, mixed = (fixed(times * cell[column], digits) + sign for column in ("plain", "mixed"))
    if cell["seen"]:
        said = f"the {name} {'falls' if less else 'rises'} by {by} {bounds}"
    else:
        said = f"no effect on the {name} seen: {by} {'less' if less else 'more'} {bounds}"
    return f"{where}: {said}, from {plain} to {mixed}."


def count(cells: Iterable[Cell], kind: str, metric: str) -> str:
    """How many comparisons of the kind and metric help, hurt, and show nothing."""
    found = Counter(
        verdict(cell) for cell in cells if (cell["kind"], cell["metric"]) == (kind, metric)
    )
    helps, hurts = (found[name] or "none" for name in ("helps", "hurts"))
    said = (
        f"{kind_name(kind)}: mixup lowers the {METRICS[metric].name} in {helps} of "
        f"{found.total():,} comparisons and raises it in {hurts}"
    )
    return f"{said}; in {found['none']} no effect is seen." if found["none"] else f"{said}."


def in_short(cell: Cell) -> str:
    """A comparison as its square says it: the difference and the verdict."""
    where = f"{cell['labels']:,} labels, {percent(cell['wrong'])} wrong"
    return f"{where}: {signed(cell)}, {VERDICTS[verdict(cell)]}"


def kind_name(kind: str) -> str:
    """The kind in words."""
    return NAMES.get(kind, kind)


def alpha_is(alpha: float) -> str:
    """The α, on one line.

    >>> alpha_is(0.1)
    'α\\xa0=\\xa00.1'
    """
    return f"α = {alpha:g}".replace(" ", "\N{NO-BREAK SPACE}")


def signed(cell: Cell) -> str:
    """The difference with its sign, in its unit."""
    _, _, times, digits = METRICS[cell["metric"]]
    size = fixed(times * cell["more"], digits)
    return f"+{size}" if cell["more"] > 0 and float(size) else size


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals; one in the middle goes away from 0, as in a browser.

    >>> fixed(0.25, 1), fixed(-4.62, 1), fixed(-0.04, 1)
    ('0.3', '−4.6', '0.0')
    """
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded or abs(rounded)}".replace("-", "\N{MINUS SIGN}")
