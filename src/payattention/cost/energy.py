"""What computing takes from the world: time, electricity, carbon dioxide, water, money.

Operations divided by a rate are seconds, seconds times watts are joules; carbon dioxide and water
are proportional to the joules, and rent to the seconds. Each factor is one of the `assumptions` and
can be replaced at every call. Ignored are runs that failed, the making of the machines and of the
building, time in which they stand idle, and all use of a model after its training; processors and
network around an accelerator only count if `watts` has them.

Sources: Patterson et al. 2021 (arXiv:2104.10350), section 2.5 and appendix A, for electricity and
carbon dioxide; Li et al. 2025 (arXiv:2304.03271) for water; de Vries 2023
(doi:10.1016/j.joule.2023.09.004) for a fleet.
"""

from dataclasses import dataclass

from payattention.cost.arguments import positive, share, whole
from payattention.cost.assumptions import (
    CO2E_KILOGRAMS_PER_KILOWATT_HOUR,
    JOULES_PER_KILOWATT_HOUR,
    PUE,
    TOKENS_PER_WORD,
    UTILISATION,
    WATER_OF_GENERATION,
    WATER_ON_SITE,
)
from payattention.cost.hardware import Accelerator

HOUR_SECONDS = 3600
YEAR_SECONDS = 365 * 24 * HOUR_SECONDS


@dataclass(frozen=True)
class DataCentre:
    """What a joule of a computer takes at one place: overhead of the building, gas, water.

    `pue` is the electricity of the whole building over that of its computers. Gas and water are
    counted for each kilowatt-hour of the building.

    Raises:
        TypeError, ValueError: for what is not a number, a `pue` below 1, or another number below 0.
    """

    pue: float = PUE.value
    co2e_kilograms_per_kilowatt_hour: float = CO2E_KILOGRAMS_PER_KILOWATT_HOUR.value
    litres_on_site_per_kilowatt_hour: float = WATER_ON_SITE.value
    litres_of_generation_per_kilowatt_hour: float = WATER_OF_GENERATION.value

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            positive(name, value, zero=True)
        if self.pue < 1:
            raise ValueError(f"pue={self.pue!r}: expected at least 1, the computers' own share")


def seconds(
    flops: float,
    *,
    on: Accelerator,
    dtype: str | None = None,
    utilisation: float = UTILISATION.value,
    accelerators: int = 1,
) -> float:
    """Time for so many operations, at a share of the peak rate: the fastest if no dtype is given.

    >>> from payattention.cost.hardware import H100
    >>> seconds(989e12, on=H100, utilisation=0.5, accelerators=4)
    0.5
    """
    rate = max(on.flops_per_second.values()) if dtype is None else on.peak(dtype)
    reached = rate * share("utilisation", utilisation) * whole("accelerators", accelerators)
    return positive("flops", flops) / reached


def joules(
    seconds: float, *, watts: float, accelerators: int = 1, place: DataCentre = DataCentre()
) -> float:
    """Electricity of the building in that time.

    >>> joules(3600, watts=1000, place=DataCentre(pue=1)) == JOULES_PER_KILOWATT_HOUR
    True
    """
    drawn = positive("watts", watts) * whole("accelerators", accelerators)
    return positive("seconds", seconds, zero=True) * drawn * place.pue


def kilowatt_hours(joules: float) -> float:
    """The same electricity in the unit of bills.

    >>> kilowatt_hours(7.2e6)
    2.0
    """
    return positive("joules", joules, zero=True) / JOULES_PER_KILOWATT_HOUR


def co2e_kilograms(joules: float, *, place: DataCentre = DataCentre()) -> float:
    """Carbon dioxide, and other gases by their effect, from making that electricity."""
    return kilowatt_hours(joules) * place.co2e_kilograms_per_kilowatt_hour


def water_litres(joules: float, *, place: DataCentre = DataCentre()) -> dict[str, float]:
    """Water that evaporates: to cool the building, and to make its electricity elsewhere."""
    used = kilowatt_hours(joules)
    return {
        "on site": used * place.litres_on_site_per_kilowatt_hour,
        "generation": used * place.litres_of_generation_per_kilowatt_hour,
    }


def rent_dollars(seconds: float, *, dollars_per_hour: float, accelerators: int = 1) -> float:
    """Rent of accelerators for that time.

    >>> rent_dollars(7200, dollars_per_hour=3, accelerators=10)
    60.0
    """
    price = positive("dollars_per_hour", dollars_per_hour) * whole("accelerators", accelerators)
    return positive("seconds", seconds, zero=True) / HOUR_SECONDS * price


def bill(
    flops: float,
    *,
    on: Accelerator,
    dtype: str | None = None,
    utilisation: float = UTILISATION.value,
    accelerators: int = 1,
    place: DataCentre = DataCentre(),
) -> dict[str, float]:
    """Seconds; joules, kilograms and litres where watts are known; dollars where a price is.

    Other watts or another price come with `dataclasses.replace` of the accelerator.

    >>> from dataclasses import replace
    >>> from payattention.cost.hardware import V100
    >>> measured = replace(V100, watts=330)
    >>> gpt3 = bill(3.14e23, on=measured, utilisation=24.6 / 125, accelerators=10_000)
    >>> round(gpt3["seconds"] / 86_400, 1), round(kilowatt_hours(gpt3["joules"]))
    (14.8, 1287060)
    >>> round(gpt3["co2e_kilograms"] / 1000), round(gpt3["water_litres"], -5)
    (552, 5400000.0)
    """
    time = seconds(flops, on=on, dtype=dtype, utilisation=utilisation, accelerators=accelerators)
    amounts = {"seconds": time}
    if on.watts is not None:
        electricity = joules(time, watts=on.watts, accelerators=accelerators, place=place)
        amounts |= {
            "joules": electricity,
            "co2e_kilograms": co2e_kilograms(electricity, place=place),
            "water_litres": sum(water_litres(electricity, place=place).values()),
        }
    if on.dollars_per_hour is not None:
        price = on.dollars_per_hour
        rent = rent_dollars(time, dollars_per_hour=price, accelerators=accelerators)
        amounts["dollars"] = rent
    return amounts


def dollars_per_flop(
    *, on: Accelerator, dollars_per_hour: float, utilisation: float = UTILISATION.value
) -> float:
    """Rent for one operation.

    >>> from payattention.cost.hardware import H100
    >>> f"{dollars_per_flop(on=H100, dollars_per_hour=2):.2g}"
    '1.4e-18'
    """
    busy = seconds(1, on=on, utilisation=utilisation)
    return rent_dollars(busy, dollars_per_hour=dollars_per_hour)


def dollars_per_million_tokens(flops_per_token: float, *, dollars_per_flop: float) -> float:
    """Price of a million tokens, if operations are all that is paid for.

    >>> dollars_per_million_tokens(1e12, dollars_per_flop=1e-18)
    1.0
    """
    tokens = 1e6
    operations = positive("flops_per_token", flops_per_token) * tokens
    return operations * positive("dollars_per_flop", dollars_per_flop)


def printed_dollars_per_million_tokens(
    dollars: float, *, words: int, tokens_per_word: float = TOKENS_PER_WORD.value
) -> float:
    """Price of a million tokens on paper, for a book of that price and length.

    >>> printed_dollars_per_million_tokens(10, words=75_000)
    100.0
    """
    tokens = whole("words", words) * positive("tokens_per_word", tokens_per_word)
    return positive("dollars", dollars) / tokens * 1e6


def fleet_joules(
    servers: int, *, watts: float, utilisation: float = 1.0, seconds: float = YEAR_SECONDS
) -> float:
    """Electricity of a fleet, in a year if no other time is given, without the building's.

    A utilisation of 1 is what no fleet reaches: every server draws all its watts day and night.

    >>> kilowatt_hours(fleet_joules(1, watts=1000)) == 365 * 24
    True
    """
    drawn = whole("servers", servers) * positive("watts", watts)
    return drawn * share("utilisation", utilisation) * positive("seconds", seconds)


def price_factor(years: float, *, factor: float = 10, per_years: float = 10) -> float:
    """How many times cheaper something is after `years`, if it falls `factor`-fold `per_years`.

    >>> price_factor(20), price_factor(20, per_years=5)
    (100.0, 10000.0)

    Raises:
        ValueError: also for a result that is too large for a number.
    """
    times = positive("years", years, zero=True) / positive("per_years", per_years)
    try:
        return float(positive("factor", factor)) ** times
    except OverflowError:
        message = f"years={years!r}: expected fewer, {times:g} times {factor:g}-fold is too much"
        raise ValueError(message) from None
