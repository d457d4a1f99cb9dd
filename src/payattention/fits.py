"""Scaling laws from runs: fits, their intervals, and whether the runs can tell two laws apart.

A loss is taken to be a sum of terms that are powers, L = E + A / N^α + …, and the fit makes the
logarithms of what is foretold and what was measured agree: the sum, over the runs, of Huber's
function of their difference is as small as L-BFGS finds it from many starts. Huber's function is a
square for small differences and a straight line for large ones, so that a run that went wrong does
not draw the law to itself. The sum is not divided by the number of runs: the mean of so small
numbers looks flat to an optimiser that stops when little changes, which is how Besiroglu et al.
2024 (arXiv:2404.10102) explain the constants of Hoffmann et al. 2022.

Sources: Hoffmann et al. 2022 (arXiv:2203.15556), section 3 and D.3; for intervals, Efron 1979.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from payattention.scaling_laws import AdditiveLaw, Meaning

DELTA = 1e-3
"""Where Huber's function turns from a square into a line; that of Hoffmann et al."""
STARTS = 50
"""Starts of a fit: the best, by the objective, of a grid of several hundred."""
ROUGH, FINE, FINISHED = 1e-7, 1e-13, 2
"""A search ends when it gains less, as a share: at first, and for the best few once more."""
EXPONENTS = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)
SHARES = (0.02, 0.3, 0.6, 0.9)
"""Of the loss in the middle of the runs: how much of it is the floor, in the grid of starts."""


@dataclass(frozen=True)
class PowerLaw:
    """y = floor + (scale / x)^exponent.

    >>> PowerLaw(floor=1.0, scale=100.0, exponent=0.5).at(25.0)
    3.0
    """

    floor: float
    scale: float
    exponent: float

    def at(self, x: float) -> float:
        """The y of this x."""
        return self.floor + (self.scale / x) ** self.exponent


@dataclass(frozen=True)
class Fit:
    """Terms of a sum of powers as they were fitted, and how well.

    The law is log L = log Σ exp(term), with the floor's logarithm first, where there is one, and
    then height - exponent · (log input - centre) for each input.
    """

    floor: float | None
    heights: tuple[float, ...]
    exponents: tuple[float, ...]
    centres: tuple[float, ...]
    objective: float

    def coefficient(self, term: int) -> float:
        """A in A / N^α."""
        return math.exp(self.heights[term] + self.exponents[term] * self.centres[term])


def huber(difference: np.ndarray, delta: float = DELTA) -> np.ndarray:
    """Half of the square within delta, and a line beyond it that goes on with the same slope.

    >>> huber(np.array([0.5, 3.0]), delta=1.0).tolist()
    [0.125, 2.5]
    """
    size = np.abs(difference)
    near = np.minimum(size, delta)
    return near * (size - near / 2)


def additive(
    parameters: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    floor: bool = True,
    starts: int = STARTS,
    near: AdditiveLaw | None = None,
    meaning: Meaning | None = None,
) -> AdditiveLaw:
    """The law L = E + A / N^α + B / D^β that fits these runs best; without a `floor`, E is 0.

    With a law that is `near`, the fit starts there only: for resamples of runs that were fitted
    before.

    Raises:
        ValueError: for columns of unlike lengths, fewer than 6 runs, or numbers that are not
            positive and finite.
    """
    n, d, y = _columns(parameters=parameters, tokens=tokens, loss=loss, least=6)
    inputs = [np.log(n), np.log(d)]
    guess = None if near is None else _guess(near, inputs, floor=floor)
    fit = _fit(inputs, np.log(y), floor=floor, starts=starts, guess=guess)
    return AdditiveLaw(
        E=0.0 if fit.floor is None else math.exp(fit.floor),
        A=fit.coefficient(0),
        B=fit.coefficient(1),
        alpha=fit.exponents[0],
        beta=fit.exponents[1],
        meaning=meaning or Meaning("fitted", f"{len(y)} runs"),
    )


def _guess(near: AdditiveLaw, inputs: Sequence[np.ndarray], *, floor: bool) -> np.ndarray:
    """The law's constants as a start of the fit."""
    exponents = near.alpha, near.beta
    heights = [
        math.log(coefficient) - exponent * x.mean()
        for coefficient, exponent, x in zip((near.A, near.B), exponents, inputs, strict=True)
    ]
    return np.array([*([math.log(max(near.E, 1e-3))] if floor else []), *heights, *exponents])


def objective(law: AdditiveLaw, parameters: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> float:
    """Sum over the runs of Huber's function of log foretold minus log measured: what is smallest.

    Raises:
        ValueError: as `additive`.
    """
    n, d, y = _columns(parameters=parameters, tokens=tokens, loss=loss, least=1)
    foretold = law.E + law.A / n**law.alpha + law.B / d**law.beta
    return float(huber(np.log(foretold) - np.log(y)).sum())


def power_law(x: ArrayLike, y: ArrayLike, *, floor: bool = True, starts: int = STARTS) -> PowerLaw:
    """The law y = floor + (scale / x)^exponent that fits best; without a `floor`, it is 0.

    Raises:
        ValueError: for columns of unlike lengths, fewer than 4 runs, or numbers that are not
            positive and finite.
    """
    x, y = _columns(x=x, y=y, least=4)
    fit = _fit([np.log(x)], np.log(y), floor=floor, starts=starts)
    exponent = fit.exponents[0]
    return PowerLaw(
        floor=0.0 if fit.floor is None else math.exp(fit.floor),
        scale=math.exp(fit.heights[0] / exponent + fit.centres[0]),
        exponent=exponent,
    )


def _columns(*, least: int, **columns: ArrayLike) -> list[np.ndarray]:
    """The columns as arrays, of one length, of numbers above 0."""
    arrays = {name: np.asarray(column, dtype=float) for name, column in columns.items()}
    first, *_ = arrays
    for name, array in arrays.items():
        if array.ndim != 1 or len(array) != len(arrays[first]):
            raise ValueError(
                f"{name}: got shape {array.shape}; expected as many as {first}, "
                f"{arrays[first].shape}"
            )
        if not (np.isfinite(array) & (array > 0)).all():
            raise ValueError(f"{name}: got a number that is not positive and finite")
    if len(arrays[first]) < least:
        raise ValueError(f"{first}: got {len(arrays[first])} runs; expected at least {least}")
    return list(arrays.values())


def _fit(
    inputs: Sequence[np.ndarray],
    log_loss: np.ndarray,
    *,
    floor: bool,
    starts: int,
    guess: np.ndarray | None = None,
) -> Fit:
    """The sum of powers of these inputs, given as logarithms, that fits best."""
    if starts < 1:
        raise ValueError(f"starts: got {starts}; expected at least 1")
    centres = [x.mean() for x in inputs]
    centred = np.array([x - centre for x, centre in zip(inputs, centres, strict=True)])
    if not np.ptp(centred, axis=1).all():
        raise ValueError("an input is the same in all runs; expected one that differs")
    grid = [guess] if guess is not None else _grid(len(inputs), log_loss, floor=floor)

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return _objective(theta, centred, log_loss, floor=floor)

    ranked = sorted(grid, key=lambda theta: value(theta)[0])[:starts] if grid[1:] else grid
    ends = sorted(
        (_descend(value, theta, len(inputs), ftol=ROUGH) for theta in ranked),
        key=lambda end: end[0],
    )
    best = min(
        (_descend(value, theta, len(inputs), ftol=FINE) for _, theta in ends[:FINISHED]),
        key=lambda end: end[0],
    )
    theta = best[1]
    terms = len(inputs)
    return Fit(
        floor=float(theta[0]) if floor else None,
        heights=tuple(theta[-2 * terms : -terms].tolist()),
        exponents=tuple(theta[-terms:].tolist()),
        centres=tuple(float(centre) for centre in centres),
        objective=float(best[0]),
    )


def _grid(terms: int, log_loss: np.ndarray, *, floor: bool) -> list[np.ndarray]:
    """Starts: several exponents, and several ways to share the middle loss among the terms."""
    middle = float(np.median(log_loss))
    grid = []
    for exponents in product(EXPONENTS, repeat=terms):
        for of_floor in SHARES if floor else (0.0,):
            splits = ((1.0,),) if terms == 1 else ((0.2, 0.8), (0.5, 0.5), (0.8, 0.2))
            for split in splits:
                heights = [middle + math.log((1 - of_floor) * part) for part in split]
                start = [middle + math.log(of_floor)] if floor else []
                grid.append(np.array([*start, *heights, *exponents]))
    return grid


def _objective(
    theta: np.ndarray, centred: np.ndarray, log_loss: np.ndarray, *, floor: bool
) -> tuple[float, np.ndarray]:
    """Huber's function summed over the runs, and its gradient by floor, heights and exponents."""
    terms = len(centred)
    heights, exponents = theta[-2 * terms : -terms], theta[-terms:]
    logs = heights[:, None] - exponents[:, None] * centred
    if floor:
        logs = np.vstack([np.full(centred.shape[1], theta[0]), logs])
    largest = logs.max(axis=0)
    powers = np.exp(logs - largest)
    total = powers.sum(axis=0)
    difference = largest + np.log(total) - log_loss
    shares = powers / total * np.clip(difference, -DELTA, DELTA)
    by_height = shares.sum(axis=1)
    by_exponent = -(shares[-terms:] * centred).sum(axis=1)
    return float(huber(difference).sum()), np.concatenate([by_height, by_exponent])


def _descend(
    value: Callable[[np.ndarray], tuple[float, np.ndarray]],
    theta: np.ndarray,
    terms: int,
    *,
    ftol: float,
) -> tuple[float, np.ndarray]:
    """Where L-BFGS ends that starts here: the objective, and the constants."""
    bounds = [(-12.0, 12.0)] * (len(theta) - terms) + [(1e-3, 5.0)] * terms
    scale = 1 / DELTA**2  # an objective near one, so that no tolerance ends the search early

    def scaled(theta: np.ndarray) -> tuple[float, np.ndarray]:
        found, gradient = value(theta)
        return scale * found, scale * gradient

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": ftol, "gtol": 1e-6, "maxcor": 20}
    end = minimize(scaled, theta, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return end.fun / scale, end.x
