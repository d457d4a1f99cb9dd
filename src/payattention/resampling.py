"""How sure is a fit? Ask the runs again, with some drawn twice and some left out.

The bootstrap draws as many runs as there are, each time any of them, fits again, and looks how far
the answers scatter: it needs no formula for the fit, and takes the runs for all the runs that there
could be. So it says nothing of what is the same in all of them, such as the text, and little where
the runs are few.

Source: Efron 1979; the percentile interval, Efron and Tibshirani 1993, their thirteenth part.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from payattention.measure import Interval

REPEATS = 200
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Resampled:
    """What a fit gave on the runs, and on each resample of them; `failed` resamples had no fit."""

    value: dict[str, float]
    again: dict[str, np.ndarray]
    failed: int

    def interval(self, name: str, *, confidence: float = 0.95) -> Interval:
        """The value, and between which bounds so many of the resamples lie.

        Raises:
            ValueError: for a name that the fit did not give, or where more resamples failed than
                the interval leaves out.
        """
        if name not in self.value:
            raise ValueError(f"name: got {name!r}; expected one of {list(self.value)}")
        tail = (1 - confidence) / 2
        total = len(self.again[name]) + self.failed
        if self.failed > tail * total:
            raise ValueError(f"{name}: {self.failed} of {total} resamples had no fit")
        low, high = np.quantile(self.again[name], (tail, 1 - tail))
        return Interval(self.value[name], float(low), float(high))


def bootstrap(
    fit: Callable[..., Mapping[str, float]],
    columns: Mapping[str, ArrayLike],
    *,
    strata: ArrayLike | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Resampled:
    """The numbers that `fit(**columns)` gives, on these runs and on resamples of them.

    With `strata`, as many runs are drawn of each as it has. A resample on which `fit` raises a
    ``ValueError`` is counted as failed.

    >>> draws = bootstrap(lambda x: {"mean": x.mean()}, {"x": [1.0, 2.0, 3.0, 4.0]})
    >>> draws.interval("mean").value
    2.5

    Raises:
        ValueError: for columns of unlike lengths, no repeats, or runs that have no fit.
    """
    arrays = _arrays(columns)
    if repeats < 1:
        raise ValueError(f"repeats: got {repeats}; expected at least 1")
    count = len(next(iter(arrays.values())))
    groups = np.zeros(count) if strata is None else np.asarray(strata)
    if len(groups) != count:
        raise ValueError(f"strata: got {len(groups)}; expected one for each of {count} runs")
    value = {name: float(number) for name, number in fit(**arrays).items()}
    generator = np.random.default_rng(seed)
    again: dict[str, list[float]] = {name: [] for name in value}
    failed = 0
    for _ in range(repeats):
        rows = _drawn(groups, generator)
        try:
            found = fit(**{name: array[rows] for name, array in arrays.items()})
        except ValueError:
            failed += 1
            continue
        for name in value:
            again[name].append(float(found[name]))
    return Resampled(value, {name: np.array(runs) for name, runs in again.items()}, failed)


def _arrays(columns: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if not arrays or len(set(lengths.values())) > 1:
        raise ValueError(f"columns: got lengths {lengths}; expected one length")
    return arrays


def _drawn(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows of a resample, as many of each group as there are."""
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    return np.concatenate([generator.choice(own, size=len(own)) for own in rows])


@dataclass(frozen=True)
class Verdict:
    """Which of two laws foretells runs better that it has not seen, if the runs can tell.

    `difference` is the first law's mean error minus the second's, of logarithms, on runs left out
    of its resample, with its interval.
    """

    first: str
    second: str
    difference: Interval

    @property
    def better(self) -> str | None:
        """Name of the law that is better for certain, or None."""
        if self.difference.low > 0:
            return self.second
        return self.first if self.difference.high < 0 else None

    def __str__(self) -> str:
        if self.better is None:
            return f"These runs cannot tell {self.first} and {self.second} apart."
        worse = self.first if self.better == self.second else self.second
        return f"These runs are foretold better by {self.better} than by {worse}."


def tell_apart(
    laws: Mapping[str, Callable[..., Callable[..., np.ndarray]]],
    inputs: Mapping[str, ArrayLike],
    loss: ArrayLike,
    *,
    repeats: int = REPEATS,
    confidence: float = 0.95,
    seed: int = 0,
) -> Verdict:
    """Whether the runs can tell two laws apart, each fitted to resamples and asked of the rest.

    ``laws`` holds two functions by name; each takes the inputs and ``loss`` and returns a function
    that foretells the loss of other inputs.

    Raises:
        ValueError: unless there are two laws, and for columns of unlike lengths.
    """
    if len(laws) != 2:
        raise ValueError(f"laws: got {len(laws)}; expected two")
    arrays = _arrays({**inputs, "loss": loss})
    count = len(arrays["loss"])
    generator = np.random.default_rng(seed)
    differences = []
    for _ in range(repeats):
        rows = generator.choice(count, size=count)
        left = np.setdiff1d(np.arange(count), rows)
        if not len(left):
            continue
        errors = []
        for law in laws.values():
            foretell = law(**{name: array[rows] for name, array in arrays.items()})
            asked = {name: arrays[name][left] for name in inputs}
            errors.append(np.abs(np.log(foretell(**asked)) - np.log(arrays["loss"][left])).mean())
        differences.append(errors[0] - errors[1])
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, (tail, 1 - tail))
    first, second = laws
    return Verdict(first, second, Interval(float(np.mean(differences)), float(low), float(high)))
