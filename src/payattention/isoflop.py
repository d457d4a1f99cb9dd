"""The best size at a budget, read off runs instead of from a law.

Runs that cost the same, drawn as loss against size on a logarithmic axis, make a valley: to the
left the models are too small, to the right there was too little text for them. A parabola through
the valley says where its bottom lies, and how that moves with the budget is the exponent a in
N ∝ C^a. Where there are curves of training instead of runs that end at a budget, their lower
envelope says the same.

Source: Hoffmann et al. 2022 (arXiv:2203.15556), approaches 1 and 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Valley:
    """A parabola through losses at one budget: its bottom, and how steep its sides are.

    `inside` says whether the bottom lies among the sizes that were tried; where it does not, it is
    a guess.

    >>> valley = Valley(parameters=100.0, loss=2.0, curvature=0.5, inside=True)
    >>> round(valley.at(100 * math.e), 3)
    2.5
    """

    parameters: float
    loss: float
    curvature: float
    inside: bool

    def at(self, parameters: float) -> float:
        """The parabola's loss at this size."""
        return self.loss + self.curvature * math.log(parameters / self.parameters) ** 2


def valley(parameters: ArrayLike, loss: ArrayLike) -> Valley:
    """The valley of runs that cost the same, by least squares.

    Raises:
        ValueError: for fewer than three sizes, and for a parabola that has no bottom.
    """
    sizes, losses = np.asarray(parameters, float), np.asarray(loss, float)
    if sizes.shape != losses.shape or sizes.ndim != 1:
        raise ValueError(f"loss: got shape {losses.shape}; expected that of parameters")
    if len(np.unique(sizes)) < 3:
        raise ValueError(f"parameters: got {len(np.unique(sizes))} sizes; expected at least 3")
    if not (np.isfinite(losses).all() and np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError("parameters, loss: got a number that is not finite, or a size below 0")
    middle = np.log(sizes).mean()
    x = np.log(sizes) - middle
    curvature, slope, height = np.polyfit(x, losses, 2)
    if curvature <= 0:
        raise ValueError("loss: the parabola through these runs has no bottom; try more sizes")
    bottom = -slope / (2 * curvature)
    return Valley(
        parameters=float(np.exp(middle + bottom)),
        loss=float(height - slope**2 / (4 * curvature)),
        curvature=float(curvature),
        inside=bool(x.min() <= bottom <= x.max()),
    )


def valleys(budgets: ArrayLike, parameters: ArrayLike, loss: ArrayLike) -> dict[float, Valley]:
    """The valley of each budget, in rising order.

    Raises:
        ValueError: as `valley`.
    """
    spent, sizes, losses = (np.asarray(column, float) for column in (budgets, parameters, loss))
    found = {}
    for budget in np.unique(spent):
        runs = spent == budget
        found[float(budget)] = valley(sizes[runs], losses[runs])
    return found


def exponent(best: dict[float, Valley]) -> float:
    """a in N ∝ C^a, by least squares on the logarithms of budgets and bottoms.

    >>> bottoms = {1e6: Valley(10, 2, 1, True), 1e8: Valley(100, 1, 1, True)}
    >>> round(exponent(bottoms), 6)
    0.5

    Raises:
        ValueError: for fewer than two budgets.
    """
    if len(best) < 2:
        raise ValueError(f"best: got {len(best)} budgets; expected at least 2")
    sizes = [found.parameters for found in best.values()]
    return float(np.polyfit(np.log(list(best)), np.log(sizes), 1)[0])


class Curve(NamedTuple):
    """A training's loss against the operations spent so far, and the size of its model."""

    parameters: float
    flops: np.ndarray
    loss: np.ndarray


class Frontier(NamedTuple):
    """The lowest loss of all curves at each of some budgets, and the size that reaches it."""

    flops: np.ndarray
    loss: np.ndarray
    parameters: np.ndarray


def envelope(curves: Sequence[Curve], flops: ArrayLike) -> Frontier:
    """What is lowest at each of these budgets, between the points of each curve on log axes.

    A curve says nothing of budgets outside its own.

    Raises:
        ValueError: for no curves, and for a budget that none reaches.
    """
    if not curves:
        raise ValueError("curves: got none; expected at least one")
    wanted = np.asarray(flops, float)
    table = np.array(
        [
            np.interp(np.log(wanted), np.log(c.flops), np.log(c.loss), left=np.inf, right=np.inf)
            for c in curves
        ]
    )
    if np.isinf(table.min(axis=0)).any():
        budget = wanted[np.isinf(table.min(axis=0))][0]
        raise ValueError(f"flops: got {budget:.3g}, which no curve reaches")
    sizes = np.array([curve.parameters for curve in curves])
    return Frontier(wanted, np.exp(table.min(axis=0)), sizes[table.argmin(axis=0)])
