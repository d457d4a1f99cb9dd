"""Comparisons with numbers that nobody measured, on the map that the experiment has."""

import random

from payattention.experiments import error_vs_mixing
from payattention.records import Record

SPREAD = {"error": 0.02, "nll": 0.12, "ece": 0.015}


def made_up(seed: int = 1) -> list[Record]:
    """Every comparison of the map: mixup helps among wrong labels, and costs a little elsewhere."""
    draw = random.Random(seed)
    cells = []
    for part in error_vs_mixing.FULL.maps:
        for labels in part.labels:
            for wrong in part.wrong:
                plain = {
                    "error": 0.9 / labels**0.35 + 0.5 * wrong,
                    "nll": 4 / labels**0.5 + 2.5 * wrong,
                    "ece": 0.03 + 0.4 * wrong,
                }
                for alpha in filter(None, part.alphas):
                    for metric, level in plain.items():
                        cells.append(
                            {"kind": part.kind, "labels": labels, "wrong": wrong, "alpha": alpha}
                            | {"metric": metric, "plain": level}
                            | _effect(draw, metric, level, wrong=wrong, alpha=alpha)
                        )
    return cells


def _effect(
    draw: random.Random, metric: str, level: float, *, wrong: float, alpha: float
) -> Record:
    gain = 0.3 * wrong * level * min(alpha, 1.0)
    more = draw.gauss(0.1 * SPREAD[metric] * alpha - gain, SPREAD[metric] / 2)
    more = max(more, -0.9 * level)
    half = SPREAD[metric] * draw.uniform(0.4, 1.0)
    bounds = {"low": more - half, "high": more + half}
    return {"mixed": level + more, "more": more} | bounds | {"seen": abs(more) > 1.3 * half}
