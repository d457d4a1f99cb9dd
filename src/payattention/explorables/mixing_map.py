"""A map of what mixup changes: where it helps, where it hurts, and where no effect is seen.

Each square is a comparison with training without mixup: so many labels, a share of them wrong. It
says the difference at one α; for the square that is chosen, the differences at every α are drawn.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any

import traitlets

from payattention.cost.arguments import one_of
from payattention.explorables import mixing
from payattention.explorables.explorable import Explorable
from payattention.explorables.mixing import AXES, COLUMNS, METRICS, PLACE, VERDICTS, Cell
from payattention.explorables.picture import Square, squares
from payattention.explorables.quantities import percent
from payattention.records import Record

IDEAS = {"helps": "recurrence", "hurts": "attention", "none": "grid"}
"""Colours of the verdicts: the two of the palette that lie furthest apart for any kind of eye."""
OPENED_ALPHA = 1.0


class MixingMap(Explorable):
    """Choose a kind, a metric and α; see where mixup helps and hurts, and by how much.

    `cells` are records of comparisons: ``kind``, ``labels``, ``wrong`` (the share of wrong ones),
    ``alpha``, ``metric`` (a name in `mixing.METRICS`), its means without mixup (``plain``) and with
    it (``mixed``), their difference ``more`` with the ends of its 95 % interval, ``low`` and
    ``high``, and whether an effect is ``seen``. A kind has every combination of its labels, its
    shares, its α and all metrics.

    `kind`, `metric` and `alpha` are what is shown, `labels` and `wrong` the square that is chosen;
    left alone, the figure opens at α = 1 and at the largest effect there. On a page the address
    holds what was chosen. `texts` replaces sentences of the figure.

    >>> place = {"kind": "digits, CNN", "labels": 200, "wrong": 0.0, "alpha": 1.0}
    >>> numbers = {"plain": 0.379, "mixed": 0.333, "more": -0.046, "low": -0.053, "high": -0.039}
    >>> MixingMap([place | numbers | {"metric": "error", "seen": True}]).findings()[1]
    'Digits, a CNN: mixup lowers the error in 1 of 1 comparisons and raises it in none.'

    Raises:
        TypeError, ValueError: for a value that no control reaches, and for cells that are none,
            lack a column, hold what cannot be, are twice the same or leave a combination out.
    """

    name = "mixing_map"
    kind = traitlets.Unicode().tag(sync=True)
    metric = traitlets.Unicode().tag(sync=True)
    alpha = traitlets.Float().tag(sync=True)
    labels = traitlets.Int().tag(sync=True)
    wrong = traitlets.Float().tag(sync=True)
    cells = traitlets.List(traitlets.Dict()).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, cells: Iterable[Cell], **state: Any):
        self._table = mixing.table(cells)
        records = list(self._table.values())
        kinds = dict.fromkeys(cell["kind"] for cell in records)
        self._choices = {kind: mixing.choices(records, kind) for kind in kinds}
        known = {cell["metric"] for cell in records}
        self._metrics = [metric for metric in METRICS if metric in known]
        state.setdefault("title", "Where mixup helps, and where it does not")
        super().__init__(cells=records, **state | self._opened(state))

    def _opened(self, state: dict) -> dict:
        """Where the map opens: what the state says of it, and for the rest the largest effect."""
        kind = self._known("kind", state.get("kind", next(iter(self._choices))))
        metric = self._known("metric", state.get("metric", self._metrics[0]))
        alphas = self._choices[kind]["alpha"]
        given = {"alpha": OPENED_ALPHA if OPENED_ALPHA in alphas else alphas[-1]} | state
        fixed = {name: self._among(name, given[name], kind) for name in AXES if name in given}
        fixed |= {"kind": kind, "metric": metric}
        left = [
            cell
            for cell in self._table.values()
            if all(cell[name] == value for name, value in fixed.items())
        ]
        largest = max(left, key=lambda cell: cell["seen"] * abs(cell["more"]))
        return {name: largest[name] for name in PLACE}

    def _known(self, name: str, value: str) -> str:
        one_of(name, value, {"kind": self._choices, "metric": dict.fromkeys(self._metrics)}[name])
        return value

    def _among(self, name: str, value: float, kind: str) -> float:
        found = self._choices[kind][name]
        if isinstance(value, bool) or value not in found:
            known = ", ".join(f"{one:g}" for one in found)
            raise ValueError(f"{name}={value!r}: expected one of {known}, as {kind!r} has them")
        return value

    @traitlets.validate("kind", "metric")
    def _is_known(self, proposal):
        return self._known(proposal["trait"].name, proposal["value"])

    @traitlets.validate(*AXES)
    def _is_among(self, proposal):
        return self._among(proposal["trait"].name, proposal["value"], self.kind)

    @traitlets.observe("kind")
    def _settle(self, change):
        """Another kind has other numbers of labels, shares and α: the nearest is taken."""
        for name, found in self._choices[change["new"]].items():
            value = mixing.nearest(getattr(self, name), found, by_ratio=name != "wrong")
            setattr(self, name, value)

    def cell(self, *, labels: int | None = None, wrong: float | None = None) -> Record:
        """The comparison of the chosen square, or of another one."""
        labels = self.labels if labels is None else labels
        wrong = self.wrong if wrong is None else wrong
        return self._table[self.kind, self.metric, labels, wrong, self.alpha]

    def findings(self) -> list[str]:
        """The chosen square, how often mixup helps of each kind and metric, and what is seen."""
        cells, shown = self._table.values(), (self.kind, self.metric)
        others = [pair for pair in product(self._choices, self._metrics) if pair != shown]
        return [
            mixing.sentence(self.cell()),
            *(mixing.count(cells, *pair) for pair in (shown, *others)),
            f"An effect is seen where it holds up once all {len(cells):,} comparisons of the map "
            "are judged together.",
        ]

    def data(self) -> list[dict]:
        """Records of all comparisons of the map, with their verdicts."""
        return [
            {name: cell[name] for name in COLUMNS} | {"verdict": mixing.verdict(cell)}
            for cell in self._table.values()
        ]

    def picture(self) -> str:
        """The squares of the chosen kind, metric and α, with their differences and verdicts."""
        found, metric = self._choices[self.kind], METRICS[self.metric]
        labels, shares = found["labels"], found["wrong"]
        rows = [[self.cell(labels=n, wrong=share) for n in labels] for share in shares]
        titles = (
            f"{mixing.kind_name(self.kind)}, {mixing.alpha_is(self.alpha)}",
            f"Change of the {metric.name} in {metric.unit}",
        )
        told = "; ".join(mixing.in_short(cell) for row in rows for cell in row)
        return squares(
            [[_square(cell) for cell in row] for row in rows],
            rows=[f"{percent(share)} wrong" for share in shares],
            columns=[f"{many:,} labels" for many in labels],
            titles=titles,
            marked=(shares.index(self.wrong), labels.index(self.labels)),
            alt=self.alt or f"{titles[0]}. {titles[1]}: {told}.",
        )


def _square(cell: Cell) -> Square:
    verdict = mixing.verdict(cell)
    return Square(mixing.signed(cell), VERDICTS[verdict], IDEAS[verdict])
