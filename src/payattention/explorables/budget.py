"""What a budget of operations buys by a scaling law: a size, a length of text, a loss, days, money.

The laws are those of `payattention.scaling_laws`, and one that was fitted to runs of one's own.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import traitlets

from payattention.cost import energy
from payattention.cost.arguments import one_of, positive, share, whole
from payattention.cost.assumptions import UTILISATION
from payattention.cost.hardware import ACCELERATORS
from payattention.explorables.budgeting import PUBLISHED, STOCKS, Law, Plan, about, law_state
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Axis, Dot, Line, line_chart
from payattention.explorables.quantities import amount, dollars_text, percent, quantity
from payattention.records import Results
from payattention.scaling_laws import AdditiveLaw, KaplanLaw

OURS = "book"
"""Name of the law that was fitted to the runs."""
RANGES = {"flops": (1e10, 1e27), "size": (0.01, 100.0), "accelerators": (1, 2**17)}
"""Least and most of each slider."""
BESIDE = {0.1: "a tenth", 10: "10 times", 100: "100 times"}
"""Budgets that are drawn beside the one that is asked about: its multiples."""
COLUMNS = ("budget", "parameters", "tokens", "bits")
OPENED_FLOPS = 1.3e22  # the largest run of the law that opens


class Budget(Explorable):
    """Choose a law, a budget, perhaps another size, and accelerators; see what it comes to.

    `law` was fitted to `runs`, records with ``budget`` (in operations), ``parameters``,
    ``tokens`` and ``bits``; it joins the published ones under the name "book", and the figure
    opens with it.
    `law_name` is a name in `PUBLISHED` or "book", `flops` the budget, `size` a multiple of the
    size that the law advises, `stock` a name in `STOCKS`, for laws that know of repeated text, and
    `accelerators` the number of those called `accelerator`. On a page the address holds what was
    chosen. `texts` replaces sentences of the figure.

    >>> round(Budget(law_name="besiroglu", flops=5.76e23).plan().advice().parameters / 1e9, 1)
    72.2

    Raises:
        TypeError, ValueError: for a value that no control reaches, runs without a law or without
            one of their columns, and a law of a kind that the figure does not know.
    """

    name = "budget"
    law_name = traitlets.Unicode("hoffmann").tag(sync=True)
    flops = traitlets.Float(OPENED_FLOPS).tag(sync=True)
    size = traitlets.Float(1.0).tag(sync=True)
    stock = traitlets.Unicode("endless").tag(sync=True)
    accelerator = traitlets.Unicode("H100").tag(sync=True)
    accelerators = traitlets.Int(1).tag(sync=True)
    utilisation = traitlets.Float(UTILISATION.value).tag(sync=True)
    laws = traitlets.Dict().tag(sync=True)
    runs = traitlets.List(traitlets.Dict()).tag(sync=True)
    machines = traitlets.Dict().tag(sync=True)
    stocks = traitlets.Dict().tag(sync=True)
    ranges = traitlets.Dict().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, runs: Results | None = None, law: AdditiveLaw | None = None, **state: Any):
        own = [] if runs is None else _records(runs)
        if own and law is None:
            raise ValueError("law: got none; expected the law that was fitted to the runs")
        self._laws: dict[str, Law] = dict(PUBLISHED)
        if law is not None:
            self._laws = {OURS: _with_range(law, own), **PUBLISHED}
            state.setdefault("law_name", OURS)
        opened = one_of("law_name", state.get("law_name", "hoffmann"), self._laws)
        state.setdefault("flops", opened.meaning.most_flops or OPENED_FLOPS)
        state.setdefault("title", "What the money buys")
        super().__init__(
            laws={name: law_state(one) for name, one in self._laws.items()},
            runs=own,
            machines={name: _machine(name) for name in ACCELERATORS},
            stocks={name: asdict(stock) for name, stock in STOCKS.items()},
            ranges={name: list(bounds) for name, bounds in RANGES.items()},
            **state,
        )

    @traitlets.validate("law_name", "stock", "accelerator")
    def _is_known(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        known = {"law_name": self._laws, "stock": STOCKS, "accelerator": ACCELERATORS}
        one_of(name, value, known[name])
        return value

    @traitlets.validate("flops", "size", "accelerators", "utilisation")
    def _in_range(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "utilisation":
            return share(name, value)
        least, most = RANGES[name]
        if name == "accelerators":
            return whole(name, value, least=least, most=most)
        if not least <= positive(name, value) <= most:
            raise ValueError(f"{name}={value!r}: expected {least:g} to {most:g}")
        return value

    def plan(self, law_name: str | None = None) -> Plan:
        """What is asked, of the chosen law or of another one."""
        law = self._laws[law_name or self.law_name]
        return Plan(law, self.flops, self.size, STOCKS[self.stock].tokens)

    def spent(self) -> dict[str, float]:
        """Seconds, and dollars where a price is known, on the chosen accelerators."""
        return energy.bill(
            self.flops,
            on=ACCELERATORS[self.accelerator],
            utilisation=self.utilisation,
            accelerators=self.accelerators,
        )

    def findings(self) -> list[str]:
        """The advice, what it takes, what the others advise, and what the letters mean."""
        plan = self.plan()
        said = [plan.sentence(), self._of_spent(), plan.of_halving()]
        if self.size != 1:
            said.append(plan.of_size())
        if isinstance(plan.law, KaplanLaw):
            said.append(plan.of_two_fits())
        others = "; ".join(self._advised(name) for name in self._laws if name != self.law_name)
        return [
            *said,
            f"For as many operations the others advise: {others}.",
            _letters(plan.law),
        ]

    def _of_spent(self) -> str:
        spent, on = self.spent(), ACCELERATORS[self.accelerator]
        money = f"${dollars_text(spent['dollars'])}" if "dollars" in spent else "no price is known"
        return (
            f"On {self.accelerators:,} {on.name}, at {percent(self.utilisation)} of the peak, that "
            f"takes {quantity(spent['seconds'], 'seconds')}: {money}."
        )

    def _advised(self, name: str) -> str:
        best = self.plan(name).advice()
        return (
            f"{self._laws[name].meaning.name} {about(best.parameters)} parameters and "
            f"{about(best.tokens / best.parameters)} tokens for each"
        )

    # What is drawn

    def shown_runs(self) -> list[dict]:
        """Runs of one's own, if the law is theirs and the budget not ten times beyond them."""
        if self.law_name != OURS or not self.runs:
            return []
        budgets = [run["budget"] for run in self.runs]
        return self.runs if min(budgets) / 10 <= self.flops <= 10 * max(budgets) else []

    def beside(self) -> dict[float, str]:
        """Budgets of the other curves, with their names: those of the runs, or multiples."""
        runs = self.shown_runs()
        if not runs:
            return {times * self.flops: name for times, name in BESIDE.items()}
        budgets = sorted({run["budget"] for run in runs})
        return {one: amount(one) for one in budgets if abs(one / self.flops - 1) > 0.03}

    def data(self) -> list[dict]:
        """Records of the curves, of the advised sizes, and of the runs that are drawn."""
        plan, rows = self.plan(), []
        for flops in (self.flops, *self.beside()):
            best = plan.advice(flops)
            for step in range(-10, 11):
                point = plan.at(best.parameters * 10 ** (step / 10), flops)
                rows.append(_row("curve", flops, *point))
            rows.append(_row("advised", flops, *best))
        for run in self.shown_runs():
            rows.append(_row("run", *(run[name] for name in COLUMNS)))
        return rows

    def picture(self) -> str:
        """The curve of the budget among others, the advised sizes, and the runs."""
        plan, beside, runs = self.plan(), self.beside(), self.shown_runs()
        low, high = min(self.flops, *beside), max(self.flops, *beside)
        sizes = [run["parameters"] for run in runs]
        x = plan.advice(low).parameters / 12, 12 * plan.advice(high).parameters
        x = min([x[0], *(0.8 * n for n in sizes)]), max([x[1], *(1.2 * n for n in sizes)])
        top = max([plan.at(2 * x[0], low).loss, *(run["bits"] for run in runs)])
        floor = min(plan.at(size, high).loss for size in _grid(*x))
        top = max(top, floor + 0.02)  # where all text is used up, no curve has a shape any more
        y = floor - 0.08 * (top - floor), top
        lines = []
        for flops, name in {**beside, self.flops: "chosen"}.items():
            curve = [plan.at(size, flops) for size in _grid(*x)]
            points = [(point.parameters, point.loss) for point in curve if point.loss <= top]
            idea = "money" if flops == self.flops else "muted"
            lines.append(Line(points, idea, name, name_at=points[-1]))
        path = [plan.advice(flops) for flops in _grid(low, high)]
        points = [(best.parameters, best.loss) for best in path]
        last = plan.advice(high).parameters, y[0]
        lines.append(Line(points, "ink", "advised", name_at=last, dashed=True))
        dots = [Dot((run["parameters"], run["bits"]), "money") for run in runs]
        advised = [plan.advice(flops) for flops in (self.flops, *beside)]
        dots += [Dot((best.parameters, best.loss), "ink") for best in advised]
        return line_chart(
            lines,
            x=Axis("parameters", x, _decades(*x), short, log=True),
            y=Axis(f"loss, {plan.law.meaning.loss}", y, _steps(*y), lambda tick: f"{tick:g}"),
            dots=dots,
            alt=self.alt or plan.sentence(),
        )


def _records(runs: Results) -> list[dict]:
    missing = [name for name in COLUMNS if name not in runs.columns]
    if missing:
        raise ValueError(f"runs: got columns {[*runs.columns]}; expected {', '.join(missing)} too")
    return [{name: record[name] for name in COLUMNS} for record in runs.records()]


def _with_range(law: Law, runs: Sequence[dict]) -> Law:
    """The law, whose runs are those at hand if it does not say how large they were."""
    if law.meaning.most_flops is not None or not runs:
        return law
    budgets = [run["budget"] for run in runs]
    meaning = replace(law.meaning, least_flops=min(budgets), most_flops=max(budgets))
    return replace(law, meaning=meaning)


def _machine(name: str) -> dict:
    on = ACCELERATORS[name]
    return {
        "name": on.name,
        "flops_per_second": max(on.flops_per_second.values()),
        "dollars_per_hour": on.dollars_per_hour,
        "source": on.source,
        "price_source": on.price_source,
    }


def _letters(law: Law) -> str:
    meaning = law.meaning
    return (
        f"{meaning.name[0].upper()}{meaning.name[1:]} counts {meaning.parameters}; "
        f"{meaning.tokens}; {meaning.flops}. Its runs: {meaning.runs}. Source: {meaning.source}."
    )


def _row(what: str, flops: float, parameters: float, tokens: float, loss: float) -> dict:
    numbers = {"flops": flops, "parameters": parameters, "tokens": tokens, "loss": loss}
    return {"what": what} | {name: _scientific(value) for name, value in numbers.items()}


def _scientific(value: float) -> str:
    mantissa, power = f"{value:.7e}".split("e")
    return f"{mantissa}e{int(power)}"


def _grid(low: float, high: float, steps: int = 120) -> list[float]:
    return [low * (high / low) ** (step / steps) for step in range(steps + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between the two, six at most."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    every = -(-(last - first + 1) // 6)
    return [10.0**power for power in range(first, last + 1) if power % every == 0]


def _steps(low: float, high: float) -> list[float]:
    """Round numbers between the two, three to seven."""
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def short(count: float) -> str:
    """A power of ten as an axis says it.

    >>> short(1e4), short(1e9), short(1e15)
    ('10k', '1B', '1,000T')
    """
    for letter, size in {"T": 1e12, "B": 1e9, "M": 1e6, "k": 1e3}.items():
        if count >= size:
            return f"{count / size:,.0f}{letter}"
    return f"{count:g}"
