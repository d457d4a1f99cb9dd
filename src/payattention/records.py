"""Records: what runs give, one dict each, and the table that they make."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from payattention import measure

Record = dict[str, Any]


def plain(record: Record) -> Record:
    """The record with Python's own numbers, as files keep them.

    Raises ``TypeError`` for a value that is no number, string, truth value or None,
    and ``ValueError`` for a number that is not finite: a run that diverged says so
    in a column of its own, and writes None where it has no number.
    """
    kept = {}
    for name, value in record.items():
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, bool | int | float | str | None):
            raise TypeError(
                f"record: its {name!r} is a {type(value).__name__}; "
                "expected a number, a string, a truth value or None"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(
                f"record: its {name!r} is {value}; expected a finite number, or None for none"
            )
        kept[name] = value
    return kept


def merged(point: Record, record: Record) -> Record:
    """The record with what tells its point apart, so that each record can stand alone."""
    for name in point.keys() & record.keys():
        if point[name] != record[name]:
            raise ValueError(
                f"record: its {name!r} is {record[name]!r}; expected the point's {point[name]!r}"
            )
    return point | record


@dataclass(frozen=True)
class Results:
    """Records by column, with the question, the configuration and where they were measured."""

    question: str
    columns: dict[str, list]
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_records(cls, question: str, records: Iterable[Record], **about: Any) -> "Results":
        """Results of the records at hand; a column that a record lacks is None there."""
        records = [plain(record) for record in records]
        names = dict.fromkeys(name for record in records for name in record)
        columns = {name: [record.get(name) for record in records] for name in names}
        return cls(question, columns, **about)

    def __len__(self) -> int:
        return max(map(len, self.columns.values()), default=0)

    def records(self) -> list[Record]:
        """One dict per record, in the order in which they were measured."""
        return [
            dict(zip(self.columns, row, strict=True))
            for row in zip(*self.columns.values(), strict=True)
        ]

    def column(self, name: str) -> np.ndarray:
        """The column as an array; None becomes NaN in a column of numbers."""
        values = self._values(name)
        if all(value is None or isinstance(value, int | float) for value in values):
            return np.array([np.nan if value is None else value for value in values])
        return np.array(values)

    def where(self, **equal: Any) -> "Results":
        """The records whose columns have these values.

        >>> results = Results("which", {"cell": ["gru", "rnn"], "seed": [0, 0]})
        >>> results.where(cell="rnn").records()
        [{'cell': 'rnn', 'seed': 0}]
        """
        rows = range(len(self))
        for name, value in equal.items():
            values = self._values(name)
            rows = [row for row in rows if values[row] == value]
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return dataclasses.replace(self, columns=columns)

    def among(self, **allowed: Iterable[Any]) -> "Results":
        """The records whose columns have one of these values, in the order of the values.

        >>> results = Results("which", {"cell": ["gru", "rnn", "lstm"]})
        >>> results.among(cell=["lstm", "gru"]).column("cell").tolist()
        ['lstm', 'gru']
        """
        rows = list(range(len(self)))
        for name, wanted in allowed.items():
            values = self._values(name)
            rows = [row for value in wanted for row in rows if values[row] == value]
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return dataclasses.replace(self, columns=columns)

    def summary(
        self, value: str, *, by: str | Sequence[str], confidence: float = 0.95
    ) -> list[Record]:
        """One record per group: the columns ``by``, then mean, low, high, and the number of runs.

        Groups come in the order of their first record. One run alone says nothing
        of the spread: its low and high are NaN.
        """
        by = [by] if isinstance(by, str) else list(by)
        values = self._values(value)
        if None in values:
            raise ValueError(f"value: {value!r} has missing values; choose records that have one")
        groups: dict[tuple, list[float]] = {}
        for key, number in zip(zip(*map(self._values, by), strict=True), values, strict=True):
            groups.setdefault(key, []).append(number)
        table = []
        for key, runs in groups.items():
            bounds = measure.Interval(float(runs[0]), np.nan, np.nan)
            if len(runs) > 1:
                bounds = measure.interval(runs, confidence=confidence)
            spread = {"mean": bounds.value, "low": bounds.low, "high": bounds.high}
            table.append(dict(zip(by, key, strict=True)) | spread | {"runs": len(runs)})
        return table

    def _values(self, name: str) -> list:
        if name not in self.columns:
            raise ValueError(f"column: got {name!r}; expected one of {list(self.columns)}")
        return self.columns[name]
