"""Answers of two models to images between two, as `answer_vs_share` keeps them, made up."""

import math
import random

from payattention.explorables import Between
from payattention.records import Record, Results

PLACES = [(9, 0), (1, 3), (8, 5), (2, 7), (6, 4), (0, 3)]
"""Test images whose classes are their places."""


def softmax(scores: list[float]) -> list[float]:
    """Shares of a whole."""
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def rows(pair: int, share: float, alpha: float) -> list[Record]:
    """One model's probabilities: steep without mixup, with a third class half-way; gentle with."""
    one, other = PLACES[pair]
    draw = random.Random(100 * pair + alpha)
    scores = [draw.uniform(-1, 1) + 4 * share * (1 - share) for _ in range(10)]
    steep, ground = (12, 4) if not alpha else (4, 3)
    middle = draw.uniform(0.4, 0.6)
    scores[one] = ground + steep * (share - middle)
    scores[other] = ground - steep * (share - middle)
    if not alpha:
        scores[(one + 3) % 10] += 8 * (share * (1 - share)) * (pair % 3)
    return [
        {"alpha": alpha, "steps": 1500, "seed": 0, "share": share, "pair": pair}
        | {"named": named, "probability": probability}
        for named, probability in enumerate(softmax(scores))
    ]


def measured(*, alphas=(0.0, 1.0), pairs: int = len(PLACES), shares: int = 21) -> Results:
    """Answers of two models, and a row of the kind that has no pair."""
    along = [place / (shares - 1) for place in range(shares)]
    found = [
        row
        for alpha in alphas
        for pair in range(pairs)
        for share in along
        for row in rows(pair, share, alpha)
    ]
    mean = {"alpha": 0.0, "steps": 20, "seed": 0, "share": 0.0, "sure": 0.9}
    return Results.from_records("answer_vs_share", [mean, *found])


def between(**state) -> Between:
    """The figure with these answers."""
    return Between(measured(), PLACES, **state)
