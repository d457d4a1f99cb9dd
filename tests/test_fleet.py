"""The fleet: the scenario's two ends, one arithmetic in two languages, and what is refused."""

import csv
import io
import json
import random
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from payattention.cost import assumptions, energy
from payattention.explorables import Fleet, bundle, fleet
from payattention.explorables.fleet import RANGES, sentence
from payattention.explorables.picture import Bar, bars

TERAWATT_HOUR = 1e9 * assumptions.JOULES_PER_KILOWATT_HOUR
NETHERLANDS = assumptions.NETHERLANDS_JOULES.value
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("fleet")}
      const formulas = window.payattentionExplorables.fleet;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def any_factors(draw: random.Random) -> dict:
    return {
        "servers": draw.randint(*RANGES["servers"][:2]),
        "watts": draw.randint(*RANGES["watts"][:2]),
        "utilisation": draw.uniform(*RANGES["utilisation"][:2]),
        "pue": draw.uniform(*RANGES["pue"][:2]),
    }


def least_and_most() -> list[dict]:
    return [{name: bounds[end] for name, bounds in RANGES.items()} for end in (0, 1)]


@needs_node
def test_browser_and_library_reckon_the_same_and_say_the_same():
    draw = random.Random(6)
    asked = least_and_most() + [any_factors(draw) for _ in range(1000)]
    theirs = javascript(
        """return asked.map((factors) => {
          const found = formulas.joules(factors);
          return [found, formulas.sentence(found, country)];
        });""",
        asked=asked,
        country=NETHERLANDS,
    )
    against = set()
    for factors, (joules, said) in zip(asked, theirs, strict=True):
        figure = Fleet(**factors)
        assert joules == pytest.approx(figure.joules(), rel=1e-12)
        assert said == figure.findings()[0]
        against.add("times" if "times" in said else "part" if "of the" in said else "same")
    assert against == {"times", "part", "same"}


@needs_node
def test_sliders_reach_both_ends_and_every_mark():
    figure = Fleet()
    opened = {name: getattr(figure, name) for name in RANGES}
    asked = [*least_and_most(), opened, opened | {"watts": 6_500}]
    again = javascript(
        """return asked.map((factors) => Object.fromEntries(Object.entries(factors).map(
          ([name, value]) => [
            name, formulas.valueAt(ranges[name], formulas.positionOf(ranges[name], value)),
          ])));""",
        asked=asked,
        ranges=figure.ranges,
    )
    assert again == asked
    assert set(figure.known_watts) == {"6500", "10200"}


@pytest.mark.parametrize(("watts", "terawatt_hours"), [(6_500, 85.4), (10_200, 134.0)])
def test_published_ends_of_the_scenario(watts, terawatt_hours):
    """Source: de Vries 2023 (doi:10.1016/j.joule.2023.09.004)."""
    found = Fleet(watts=watts)
    assert round(found.joules() / TERAWATT_HOUR, 1) == terawatt_hours
    drawn = [mark["joules"] for mark in found.marks]
    assert found.joules() in drawn and drawn[0] == NETHERLANDS


def test_electricity_is_proportional_to_each_factor():
    small = {"servers": 300_000, "watts": 1_700, "utilisation": 0.3, "pue": 1.0}
    once = Fleet(**small).joules()
    assert once == energy.fleet_joules(300_000, watts=1_700, utilisation=0.3)
    for name, value in small.items():
        assert Fleet(**small | {name: 2 * value}).joules() == pytest.approx(2 * once)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (0.05, "5\N{NO-BREAK SPACE}% of"),
        (0.994, "99\N{NO-BREAK SPACE}% of"),
        (0.996, "as much as"),
        (1.04, "as much as"),
        (1.06, "1.1 times"),
        (11.7, "12 times"),
    ],
)
def test_sentence_holds_the_fleet_against_the_country(times, said):
    assert f": {said} the Netherlands of 2020." in sentence(times * NETHERLANDS)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"servers": 0}, "servers: expected 100,000 to 5,000,000, got 0"),
        ({"servers": 5_000_001}, "servers: expected .*, got 5000001"),
        ({"watts": 999}, "watts: expected 1,000 to 15,000, got 999"),
        ({"utilisation": 0.0}, "utilisation: expected 0.05 to 1, got 0.0"),
        ({"utilisation": 1.2}, "utilisation: expected .*, got 1.2"),
        ({"pue": 0.9}, "pue: expected 1 to 2, got 0.9"),
        ({"pue": float("nan")}, "pue: expected .*, got nan"),
    ],
)
def test_what_no_slider_reaches_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        Fleet(**state)
    figure = Fleet()
    ((name, value),) = state.items()
    with pytest.raises(ValueError, match=message):
        setattr(figure, name, value)


def test_picture_findings_and_table_say_the_same():
    figure = Fleet(watts=6_500, utilisation=0.5, pue=1.2)
    rows = list(csv.DictReader(io.StringIO(figure.table)))
    found = {row["what"]: float(row["terawatt_hours"]) for row in rows}
    assert found == pytest.approx(
        {
            "this fleet": 0.6 * 85.41,
            "the Netherlands in 2020": 112.434,
            "the scenario at 6.5 kW": 85.41,
            "the scenario at 10.2 kW": 134.028,
        }
    )
    said = " ".join(figure.findings())
    assert "51.2 TWh a year: 46\N{NO-BREAK SPACE}% of" in said and "PUE of 1.2" in said
    assert "6.5 kW each, at full power 50\N{NO-BREAK SPACE}% of the time" in said
    assert assumptions.NETHERLANDS_JOULES.source in said and "doi:10.1016/j.joule" in said
    drawn = ET.fromstring(figure.picture())
    widths = [float(bar.attrib["width"]) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    longest = max(found.values())
    assert widths == pytest.approx([360 * value / longest for value in found.values()], abs=0.06)


def test_a_bar_of_nothing_is_still_seen():
    drawn = ET.fromstring(
        bars([Bar("a < b", 1e-9, "0", "money"), Bar("c", 1, "1", "muted")], alt="two")
    )
    widths = [bar.attrib["width"] for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == ["1.0", "360.0"]
    assert drawn.attrib["aria-label"] == "two"


def test_the_marks_are_read_from_the_assumptions(monkeypatch):
    half = assumptions.Assumption(NETHERLANDS / 2, "joules", "assumed", "a test")
    monkeypatch.setattr(fleet, "NETHERLANDS_JOULES", half)
    assert Fleet().findings()[0] == "134 TWh a year: 2.4 times the Netherlands of 2020."
    assert Fleet().marks[0]["joules"] == NETHERLANDS / 2 and "a test" in Fleet().source
