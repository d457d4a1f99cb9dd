"""The electricity of a fleet of servers, beside what a country uses: a scenario with four sliders.

The scenario is de Vries's of 2023: so many servers in a year, so many watts each, all of them at
full power day and night, and nothing for the building. Each of the four can be moved. Source and
kind of each number: `payattention.cost.assumptions`.
"""

import traitlets

from payattention.cost import energy
from payattention.cost.assumptions import (
    NETHERLANDS_JOULES,
    SERVER_WATTS_LEAST,
    SERVER_WATTS_MOST,
    SERVERS_2027,
)
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Bar, bars
from payattention.explorables.quantities import amount, percent, rounded

RANGES = {
    "servers": (100_000, 5_000_000, 100_000),
    "watts": (1_000, 15_000, 100),
    "utilisation": (0.05, 1, 0.01),
    "pue": (1, 2, 0.01),
}
"""Least, most and step of each slider."""
KNOWN_WATTS = {SERVER_WATTS_LEAST.value: "DGX A100", SERVER_WATTS_MOST.value: "DGX H100"}
"""Servers of eight accelerators, the two ends of the scenario."""


def marks() -> list[dict]:
    """Name and joules of what the fleet is held against: the Netherlands, the scenario's ends.

    >>> [round(energy.kilowatt_hours(mark["joules"]) / 1e9, 1) for mark in marks()]
    [112.4, 85.4, 134.0]
    """
    country = {"name": "the Netherlands in 2020", "joules": NETHERLANDS_JOULES.value}
    ends = [
        {
            "name": f"the scenario at {watts / 1000:g} kW",
            "joules": energy.fleet_joules(SERVERS_2027.value, watts=watts),
        }
        for watts in KNOWN_WATTS
    ]
    return [country, *ends]


def sentence(joules: float) -> str:
    """So much electricity in a year, in words.

    >>> sentence(energy.fleet_joules(1_500_000, watts=10_200))
    '134 TWh a year: 1.2 times the Netherlands of 2020.'
    """
    times = rounded(joules / NETHERLANDS_JOULES.value, 2)
    if times == 1:
        held_against = "as much as"
    else:
        held_against = f"{percent(times)} of" if times < 1 else f"{amount(times)} times"
    return f"{_terawatt_hours(joules)} a year: {held_against} the Netherlands of 2020."


def _terawatt_hours(joules: float) -> str:
    return f"{amount(energy.kilowatt_hours(joules) / 1e9)} TWh"


class Fleet(Explorable):
    """Four assumptions to move, and the electricity of a year that follows from them.

    It opens with the scenario's upper end. `utilisation` is the share of the time at full power,
    `pue` the electricity of the building over that of its computers. `texts` replaces sentences of
    the figure.

    >>> Fleet(watts=6_500).findings()[0]
    '85.4 TWh a year: 76\\xa0% of the Netherlands of 2020.'
    """

    name = "fleet"
    servers = traitlets.Int(SERVERS_2027.value).tag(sync=True)
    watts = traitlets.Int(SERVER_WATTS_MOST.value).tag(sync=True)
    utilisation = traitlets.Float(1.0).tag(sync=True)
    pue = traitlets.Float(1.0).tag(sync=True)
    ranges = traitlets.Dict().tag(sync=True)
    known_watts = traitlets.Dict().tag(sync=True)
    marks = traitlets.List(traitlets.Dict()).tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, **state):
        state.setdefault("title", "What it takes to use as much electricity as the Netherlands")
        super().__init__(
            ranges={name: list(bounds) for name, bounds in RANGES.items()},
            known_watts={str(watts): f"({name})" for watts, name in KNOWN_WATTS.items()},
            marks=marks(),
            source=f"Scenario: {SERVERS_2027.source}. Netherlands: {NETHERLANDS_JOULES.source}.",
            **state,
        )

    @traitlets.validate(*RANGES)
    def _in_range(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        least, most, _ = RANGES[name]
        if not least <= value <= most:
            raise ValueError(f"{name}: expected {least:,} to {most:,}, got {value!r}")
        return value

    def joules(self) -> float:
        """Electricity of fleet and building in a year."""
        fleet = energy.fleet_joules(self.servers, watts=self.watts, utilisation=self.utilisation)
        return fleet * self.pue

    def findings(self) -> list[str]:
        """The result, what it is made of, the marks, and where the numbers are from."""
        ends = ", ".join(f"{mark['name']} {_terawatt_hours(mark['joules'])}" for mark in self.marks)
        return [
            sentence(self.joules()),
            f"It is a product: {amount(self.servers)} servers shipped in a year, "
            f"{self.watts / 1000:g} kW each, at full power {percent(self.utilisation)} of the "
            f"time, in a building with a PUE of {self.pue:g}. Halve one of the first three, "
            "and the electricity halves.",
            f"To be held against: {ends}.",
            self.source,
        ]

    def data(self) -> list[dict]:
        """The fleet as it opens, and the marks, in terawatt-hours a year."""
        drawn = [{"name": "this fleet", "joules": self.joules()}, *self.marks]
        return [
            {
                "what": one["name"],
                "terawatt_hours": round(energy.kilowatt_hours(one["joules"]) / 1e9, 6),
            }
            for one in drawn
        ]

    def picture(self) -> str:
        """A bar for the fleet, and one for each mark."""
        fleet = self.joules()
        drawn = [Bar("this fleet", fleet, _terawatt_hours(fleet), "money")]
        drawn += [
            Bar(mark["name"], mark["joules"], _terawatt_hours(mark["joules"]), "muted")
            for mark in self.marks
        ]
        return bars(drawn, alt=self.alt or " ".join(self.findings()[::2]))
