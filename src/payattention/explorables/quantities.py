"""Numbers in words, as a page writes them: three digits, and the largest unit that fits."""

import math
from decimal import ROUND_HALF_UP, Context

from payattention.cost.energy import YEAR_SECONDS
from payattention.wording import SUPERSCRIPT

UNITS = {
    "bytes": {"PB": 1e15, "TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "bytes": 1},
    "seconds": {
        "years": YEAR_SECONDS,
        "days": 24 * 3600,
        "hours": 3600,
        "minutes": 60,
        "s": 1,
        "ms": 1e-3,
        "µs": 1e-6,
        "ns": 1e-9,
    },
    "kilowatt_hours": {"TWh": 1e9, "GWh": 1e6, "MWh": 1e3, "kWh": 1, "Wh": 1e-3, "mWh": 1e-6},
    "kilograms": {"t": 1e3, "kg": 1, "g": 1e-3, "mg": 1e-6},
    "litres": {"m³": 1e3, "l": 1, "ml": 1e-3, "µl": 1e-6},
}


def amount(value: float) -> str:
    """A number with three digits that count, in words up to a thousand trillions.

    >>> amount(1024), amount(291_648_307_200), amount(3.14e23), amount(4.0)
    ('1,024', '292 billion', '3.14 × 10²³', '4')
    """
    if value == 0 or 1e-4 <= value < 1e5:
        return _grouped(value)
    for name, size in {"trillion": 1e12, "billion": 1e9, "million": 1e6}.items():
        if size <= rounded(value) < 1e15:
            return f"{_grouped(rounded(value) / size)} {name}"
    if 1e5 <= value < 1e6:
        return _grouped(rounded(value))
    mantissa, power = f"{rounded(value):.2e}".split("e")
    return f"{float(mantissa):g} × 10{str(int(power)).translate(SUPERSCRIPT)}"


def quantity(value: float, unit: str) -> str:
    """A quantity in the largest of its units of which there is one at least.

    >>> quantity(4718592, "bytes"), quantity(0.00123, "seconds"), quantity(1.12e10, "seconds")
    ('4.72 MB', '1.23 ms', '355 years')
    """
    sizes = UNITS[unit]
    name = next((name for name, size in sizes.items() if rounded(value) >= size), [*sizes][-1])
    return f"{amount(value / sizes[name])} {name}"


def dollars_text(dollars: float) -> str:
    """Dollars without their sign: cents up to a hundred, then as `amount`.

    >>> dollars_text(4.5), dollars_text(0.00123), dollars_text(4.6e6)
    ('4.50', '0.00123', '4.6 million')
    """
    return f"{dollars:.2f}" if 1 <= dollars < 100 else amount(dollars)


def percent(share: float) -> str:
    """A share of one as per cent, two digits below ten, three above.

    >>> percent(0.132), percent(0.0271)
    ('13.2\N{NO-BREAK SPACE}%', '2.7\N{NO-BREAK SPACE}%')
    """
    value = 100 * share
    digits = 4 if value >= 99 else 3 if value >= 10 else 2
    return f"{_plain(rounded(value, digits))}\N{NO-BREAK SPACE}%"


def counted(many: int, noun: str) -> str:
    """So many of them: 1 text, 2 texts."""
    return f"{many:,} {noun}" if many == 1 else f"{many:,} {noun}s"


def rounded(value: float, digits: int = 3) -> float:
    """The number with so many digits that count; one in the middle goes up, as in a browser.

    >>> rounded(0.12345), rounded(1.125), rounded(1024)
    (0.123, 1.13, 1020.0)
    """
    return float(Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(value))


def exact(value: float) -> str:
    """A number in a table: whole ones digit by digit while that is exact, others to ten digits.

    >>> exact(291_648_307_200), exact(2.5e-7), exact(10**21)
    ('291648307200', '2.500000000e-7', '1.000000000e21')
    """
    if value == int(value) and abs(value) < 2**53:
        return str(int(value))
    mantissa, power = f"{value:.9e}".split("e")
    return f"{mantissa}e{int(power)}"


def _grouped(value: float) -> str:
    """Whole from a hundred on, with commas; below, three digits that count."""
    return f"{math.floor(value + 0.5):,}" if value >= 100 else _plain(rounded(value))


def _plain(value: float) -> str:
    """A number without an exponent and without zeros at its end."""
    return f"{value:.10f}".rstrip("0").rstrip(".")
