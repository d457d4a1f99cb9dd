"""Time, electricity, gas, water and money: published numbers, laws, and what is refused."""

import inspect
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payattention.cost import arguments, assumptions, energy
from payattention.cost.energy import DataCentre, kilowatt_hours
from payattention.cost.hardware import A100, H100, LAPTOP_DDR4, V100

DAY = 86_400
PLAIN = DataCentre(pue=1)
MEASURED_V100 = replace(V100, watts=assumptions.GPT3_WATTS.value)
GPT3_UTILISATION = assumptions.GPT3_FLOPS_PER_SECOND.value / V100.peak("float16")
SIZES = st.floats(1e-3, 1e30)


# Published numbers


def test_published_training_of_gpt3():
    """Patterson et al. 2021: 14.8 days, 1,287 MWh, 552 t. Li et al. 2025: 5.4 million litres."""
    settings = {"utilisation": GPT3_UTILISATION, "accelerators": 10_000}
    bill = energy.bill(3.14e23, on=MEASURED_V100, **settings)
    assert bill["seconds"] / DAY == pytest.approx(14.8, abs=0.05)
    assert kilowatt_hours(bill["joules"]) == pytest.approx(1_287e3, abs=500)
    assert bill["co2e_kilograms"] == pytest.approx(552e3, abs=500)
    water = energy.water_litres(bill["joules"])
    assert water["on site"] == pytest.approx(700e3, rel=1e-3)
    assert sum(water.values()) == bill["water_litres"] == pytest.approx(5.4e6, rel=1e-3)


def test_electricity_for_one_operation_of_gpt3():
    busy = energy.seconds(1, on=MEASURED_V100, utilisation=GPT3_UTILISATION)
    assert energy.joules(busy, watts=330) == pytest.approx(1.48e-11, abs=5e-14)


def test_published_rent_of_gpt3():
    """Li, Lambda, 2020: 355 years of one V100 at 28 TFLOP/s, and $4.6 million at $1.50 an hour."""
    busy = energy.seconds(3.14e23, on=V100, utilisation=28 / 125)
    assert busy / energy.YEAR_SECONDS == pytest.approx(355, abs=1)
    dollars = energy.rent_dollars(busy, dollars_per_hour=1.5)
    assert dollars == pytest.approx(4.6e6, rel=0.02)
    assert dollars == energy.bill(3.14e23, on=V100, utilisation=28 / 125)["dollars"]


def test_published_electricity_of_bloom():
    """Luccioni et al. 2023: 1,082,990 hours of A100 cards, 433 MWh and 24.7 tonnes at 57 g/kWh."""
    france = DataCentre(pue=1, co2e_kilograms_per_kilowatt_hour=0.057)
    used = energy.joules(1_082_990 * 3600, watts=A100.watts, place=france)
    assert kilowatt_hours(used) == pytest.approx(433_196)
    assert energy.co2e_kilograms(used, place=france) == pytest.approx(24.7e3, abs=50)


def test_the_same_operations_on_newer_cards():
    bill = energy.bill(3.14e23, on=H100)
    assert kilowatt_hours(bill["joules"]) == pytest.approx(170e3, abs=500)


def test_published_fleet():
    """De Vries 2023: 85.4 to 134.0 TWh; in 2020, the Netherlands used 112.4."""
    servers = assumptions.SERVERS_2027.value
    least, most = (
        energy.fleet_joules(servers, watts=watts.value)
        for watts in (assumptions.SERVER_WATTS_LEAST, assumptions.SERVER_WATTS_MOST)
    )
    assert kilowatt_hours(least) == pytest.approx(85.4e9, abs=5e7)
    assert kilowatt_hours(most) == pytest.approx(134.0e9, abs=5e7)
    assert least < assumptions.NETHERLANDS_JOULES.value < most
    assert energy.fleet_joules(servers, watts=6_500, utilisation=0.5) == least / 2


def test_published_price_of_tokens():
    """10^-18 dollars an operation, 10^12 operations a token, a dollar for a million tokens."""
    assert energy.dollars_per_million_tokens(1e12, dollars_per_flop=1e-18) == 1
    rented = [energy.dollars_per_flop(on=H100, dollars_per_hour=price) for price in (2, 4)]
    assert rented == pytest.approx([1.4e-18, 2.81e-18], abs=5e-21)


@pytest.mark.parametrize(
    ("dollars", "words", "printed"),
    [(10, 60_000, 125), (10, 80_000, 94), (10, 100_000, 75), (15, 100_000, 112.5)],
)
def test_price_of_a_paperback(dollars, words, printed):
    price = energy.printed_dollars_per_million_tokens(dollars, words=words)
    assert price == pytest.approx(printed, abs=0.5)


def test_trainings_far_apart():
    """A million parameters on 20 tokens each, and 100 trillion on all the H100s of a few years."""
    operations = 6 * 1e6 * 20e6
    laptop = replace(LAPTOP_DDR4, flops_per_second={"float32": 1e12})
    assert energy.seconds(operations, on=laptop, utilisation=1) == pytest.approx(120)
    assert energy.seconds(operations, on=laptop, utilisation=0.05) == pytest.approx(40 * 60)
    years = energy.seconds(1.2e30, on=H100, accelerators=4_000_000) / energy.YEAR_SECONDS
    assert years == pytest.approx(24, abs=0.1)


def test_a_series_of_prices_that_cannot_be():
    """Tenfold in ten years is no thousandfold in fifteen; tenfold in five is."""
    tens = [energy.price_factor(years) for years in (10, 15, 20)]
    fives = [energy.price_factor(years, per_years=5) for years in (10, 15, 20)]
    assert tens == pytest.approx([10, 31.6, 100], abs=0.03)
    assert fives == pytest.approx([100, 1_000, 10_000])


# Laws


@given(flops=SIZES, accelerators=st.integers(1, 10**6), times=st.integers(2, 97))
def test_more_cards_take_less_time_and_the_same_electricity(flops, accelerators, times):
    few = energy.bill(flops, on=H100, accelerators=accelerators)
    many = energy.bill(flops, on=H100, accelerators=accelerators * times)
    assert few["seconds"] == pytest.approx(times * many["seconds"])
    rest = ("joules", "co2e_kilograms", "water_litres", "dollars")
    assert [few[name] for name in rest] == pytest.approx([many[name] for name in rest])


@given(flops=SIZES, times=st.floats(1.5, 97))
def test_all_is_proportional_to_the_operations(flops, times):
    once, more = (energy.bill(f, on=A100) for f in (flops, times * flops))
    assert {name: times * amount for name, amount in once.items()} == pytest.approx(more)


@given(utilisation=st.floats(0.01, 1), pue=st.floats(1, 3))
def test_each_factor_acts_where_it_should(utilisation, pue):
    plain = energy.bill(1e20, on=H100, utilisation=1, place=PLAIN)
    bill = energy.bill(1e20, on=H100, utilisation=utilisation, place=replace(PLAIN, pue=pue))
    assert bill["seconds"] == pytest.approx(plain["seconds"] / utilisation)
    assert bill["dollars"] == pytest.approx(plain["dollars"] / utilisation)
    for name in ("joules", "co2e_kilograms", "water_litres"):
        assert bill[name] == pytest.approx(plain[name] / utilisation * pue)


@given(years=st.floats(0, 50), more=st.floats(0, 50), factor=st.floats(0.1, 100))
def test_factors_multiply(years, more, factor):
    both = energy.price_factor(years + more, factor=factor)
    separate = energy.price_factor(years, factor=factor) * energy.price_factor(more, factor=factor)
    assert both == pytest.approx(separate)


def test_what_is_not_known_is_not_billed():
    assert "dollars" not in energy.bill(1e15, on=LAPTOP_DDR4)
    unknown = replace(LAPTOP_DDR4, watts=None)
    assert energy.bill(989e12, on=unknown, utilisation=1).keys() == {"seconds"}


def test_the_fastest_rate_is_taken_unless_a_dtype_is_given():
    assert energy.seconds(125e12, on=V100, utilisation=1) == 1
    assert energy.seconds(15.7e12, on=V100, utilisation=1, dtype="float32") == 1


def test_defaults_are_the_assumptions():
    for function in (energy.seconds, energy.bill, energy.dollars_per_flop):
        default = inspect.signature(function).parameters["utilisation"].default
        assert default == assumptions.UTILISATION.value
    assert DataCentre().pue == assumptions.PUE.value


# What is refused


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: energy.seconds(0, on=H100), "flops=0: expected a number above 0"),
        (lambda: energy.seconds(-1e20, on=H100), "flops=-1e[+]20: expected"),
        (lambda: energy.seconds(1e41, on=H100), "flops=1e[+]41: expected .* at most 1e[+]40"),
        (lambda: energy.seconds(float("nan"), on=H100), "flops=nan: expected"),
        (lambda: energy.seconds(1e9, on=H100, utilisation=40), "utilisation=40: expected a share"),
        (lambda: energy.seconds(1e9, on=H100, accelerators=0), "accelerators=0: expected a whole"),
        (lambda: energy.seconds(1e9, on=H100, dtype="fp8"), "dtype='fp8': expected one of"),
        (lambda: energy.joules(-1, watts=7), "seconds=-1: expected a number from 0"),
        (lambda: energy.joules(1, watts=0), "watts=0: expected a number above 0"),
        (lambda: DataCentre(pue=0.9), "pue=0.9: expected at least 1"),
        (
            lambda: DataCentre(litres_on_site_per_kilowatt_hour=-1),
            "litres_on_site_per_kilowatt_hour=-1: expected a number from 0",
        ),
        (lambda: kilowatt_hours(float("inf")), "joules=inf: expected"),
        (lambda: energy.rent_dollars(1, dollars_per_hour=0), "dollars_per_hour=0: expected"),
        (
            lambda: energy.dollars_per_million_tokens(0, dollars_per_flop=1e-18),
            "flops_per_token=0: expected",
        ),
        (
            lambda: energy.printed_dollars_per_million_tokens(10, words=0),
            "words=0: expected a whole number from 1",
        ),
        (lambda: energy.fleet_joules(0, watts=7), "servers=0: expected a whole number"),
        (lambda: energy.fleet_joules(1, watts=7, utilisation=0), "utilisation=0: expected a share"),
        (lambda: energy.price_factor(-1), "years=-1: expected a number from 0"),
        (lambda: energy.price_factor(5, per_years=0), "per_years=0: expected a number above 0"),
        (lambda: energy.price_factor(1e9), "years=1000000000.0: expected fewer"),
    ],
)
def test_what_cannot_be_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()


@pytest.fixture
def unhooked(monkeypatch):
    """The checks as a reader runs them, without the tests' own check of types in front."""
    for name in ("positive", "share", "whole", "_expect_number"):
        plain = inspect.unwrap(getattr(arguments, name))
        monkeypatch.setattr(arguments, name, plain)
        monkeypatch.setattr(energy, name, plain, raising=False)


@pytest.mark.usefixtures("unhooked")
@pytest.mark.parametrize(
    ("function", "named", "told"),
    [
        (energy.seconds, {"flops": "many", "on": H100}, "flops='many': got str"),
        (energy.seconds, {"flops": 1e9, "on": H100, "accelerators": 4e6}, "got float"),
        (energy.seconds, {"flops": 1e9, "on": H100, "utilisation": True}, "utilisation=True"),
        (energy.kilowatt_hours, {"joules": None}, "joules=None: got NoneType"),
        (energy.price_factor, {"years": "ten"}, "years='ten': got str"),
    ],
)
def test_what_is_no_number_is_refused(function, named, told):
    with pytest.raises(TypeError, match=told):
        inspect.unwrap(function)(**named)
