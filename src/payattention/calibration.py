"""Is a model as sure as it should be? Scores of its probabilities.

A model is calibrated when, of all that it is 80 % sure of, 80 % is right. The expected calibration
error puts examples into bins by how sure the model is of its first choice, and averages how far
what it is sure of and what is right lie apart. It depends on the bins, and a model that always says
how often each class occurs gets 0. So there are two scores that nothing but the truth makes least:
the negative logarithm of the probability of what was right, and Brier's.

Sources: Guo et al. 2017 (arXiv:1706.04599), equations 1 to 3, for the error and its bins; Brier
1950 for the score that bears his name.
"""

import math

import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor

from payattention.records import Record

BINS = 15
"""Bins of Guo et al., all equally wide."""

Probabilities = Float[Tensor, "batch classes"]
Classes = Int[Tensor, " batch"]


def reliability(
    probabilities: Probabilities, classes: Classes, *, bins: int = BINS
) -> list[Record]:
    """A record for each bin: from where to where it goes, how many, how sure, how often right.

    Bins are equally wide from 0 to 1; a bin has its upper edge and not its lower one. Of one in
    which nothing falls, `sure` and `right` are None.

    Raises:
        ValueError: for no bins, no examples, shapes that do not fit, numbers that are no
            probabilities, and classes that there are not.
    """
    _expect(probabilities, classes)
    if bins < 1:
        raise ValueError(f"bins: got {bins}; expected at least 1")
    sure, named = probabilities.double().max(dim=1)
    right = (named == classes).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.double, device=sure.device)
    place = torch.bucketize(sure, edges[1:-1])  # an edge belongs to the bin below
    count = torch.bincount(place, minlength=bins)
    means = [
        torch.bincount(place, weights=x, minlength=bins) / count.clamp(min=1) for x in (sure, right)
    ]
    return [
        {
            "low": edges[n].item(),
            "high": edges[n + 1].item(),
            "count": int(count[n]),
            "sure": means[0][n].item() if count[n] else None,
            "right": means[1][n].item() if count[n] else None,
        }
        for n in range(bins)
    ]


def expected_calibration_error(
    probabilities: Probabilities, classes: Classes, *, bins: int = BINS
) -> float:
    """How far sureness and success lie apart: the mean over the bins, weighed by their counts.

    Three are named with 0.9, one of them wrongly, and one with 0.6, rightly: from 2/3 to 0.9 three
    times in four, and from 0.6 to 1 once.

    >>> sure = torch.tensor([0.9, 0.9, 0.9, 0.6])
    >>> probabilities = torch.stack([1 - sure, sure], dim=1)
    >>> round(expected_calibration_error(probabilities, torch.tensor([1, 1, 0, 1])), 3)
    0.275

    Raises:
        ValueError: as `reliability`.
    """
    rows = [row for row in reliability(probabilities, classes, bins=bins) if row["count"]]
    return sum(row["count"] * abs(row["sure"] - row["right"]) for row in rows) / len(classes)


def negative_log_likelihood(logits: Probabilities, classes: Classes) -> float:
    """The mean of -ln of the probability of what was right, in nats, from logits.

    Raises:
        ValueError: for no examples, shapes that do not fit, and classes that there are not.
    """
    _expect_shapes(logits, classes)
    return torch.nn.functional.cross_entropy(logits.double(), classes.long()).item()


def temperature(logits: Probabilities, classes: Classes) -> float:
    """The number by which to divide all logits so that these classes are likeliest.

    Above 1 the model was too sure of itself, below 1 not sure enough. What it names stays the same.
    Fit it on examples that neither trained the model nor judge it (Guo et al., section 4.2). It is
    sought from 1/20 to 20.

    >>> sure, right = torch.tensor([[4.0, 0.0]]).expand(4, 2), torch.tensor([0, 0, 0, 1])
    >>> round(temperature(sure, right), 3)  # so that exp(4 / t) is 3, as 3 of 4 are right
    3.641

    Raises:
        ValueError: as `negative_log_likelihood`.
    """
    _expect_shapes(logits, classes)
    found = minimize_scalar(
        lambda power: negative_log_likelihood(logits / math.exp(power), classes),
        bounds=(-math.log(20), math.log(20)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)


def brier(probabilities: Probabilities, classes: Classes) -> float:
    """The mean squared distance of the probabilities from 1 for what was right and 0 for the rest.

    It is summed over classes: 0 at best, 2 at worst.

    >>> round(brier(torch.tensor([[0.8, 0.2]]), torch.tensor([1])), 2)  # 0.8² + 0.8²
    1.28

    Raises:
        ValueError: as `reliability`.
    """
    _expect(probabilities, classes)
    truth = torch.nn.functional.one_hot(classes.long(), probabilities.shape[1])
    return (probabilities.double() - truth).square().sum(dim=1).mean().item()


def _expect(probabilities: Tensor, classes: Tensor) -> None:
    _expect_shapes(probabilities, classes)
    sums = probabilities.double().sum(dim=1)
    wrong = ~((sums - 1).abs() < 1e-3) | (probabilities < 0).any(dim=1)
    if wrong.any():
        first = int(wrong.int().argmax())
        raise ValueError(
            f"probabilities: those of example {first} sum to {sums[first]:.6g}, the least is "
            f"{probabilities[first].min():.6g}; expected a sum of 1, and none below 0"
        )


def _expect_shapes(scores: Tensor, classes: Tensor) -> None:
    if scores.ndim != 2 or classes.shape != scores.shape[:1] or not len(classes):
        got = f"{tuple(classes.shape)} for scores {tuple(scores.shape)}"
        raise ValueError(f"classes: got shape {got}; expected one for each of at least one row")
    wrong = (classes < 0) | (classes >= scores.shape[1])
    if wrong.any():
        first = int(wrong.int().argmax())
        most = scores.shape[1] - 1
        raise ValueError(
            f"classes: example {first} has {int(classes[first])}; expected 0 to {most}"
        )
