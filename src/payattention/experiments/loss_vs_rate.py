"""Which rate of learning is best, for a narrow model and a wide, in a short training and a long?

A comparison of sizes is one of rates too, unless each size has a good one. Decoders of two layers
and four widths are trained for few steps and for many, at rates that are twice as large each time.
The best rate is the bottom of a parabola through the losses against the rate's logarithm; it falls
with the width, as Yang et al. 2022 (arXiv:2203.03466) say it must, and with the length. The rule
that `loss_vs_flops` uses for all its runs was made from a first trial of this.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from payattention import isoflop, wording
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, recipe, trained
from payattention.measure import Interval, paired_interval
from payattention.records import Record, Results

LAYERS = 2
TOLERANCE = {"bits": 0.05}


@dataclass(frozen=True)
class Config:
    """Widths, lengths of the training and rates that are tried; the rest is as in the sweep."""

    widths: tuple[int, ...] = (8, 16, 32, 64)
    steps: tuple[int, ...] = (150, 1200)
    learning_rates: tuple[float, ...] = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
    runs: loss_vs_flops.Config = loss_vs_flops.FULL
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, widths=(8, 64), steps=(60,), learning_rates=(0.004, 0.016, 0.064), seeds=1)


def points(config: Config) -> list[Record]:
    """A training each, the short ones first."""
    return [
        {"steps": steps, "width": width, "learning_rate": learning_rate, "seed": seed}
        for steps in config.steps
        for width in config.widths
        for learning_rate in config.learning_rates
        for seed in range(config.seeds)
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character at the end of the training."""
    size = Size(LAYERS, point["width"])
    how = recipe(config.runs, size, point["steps"], point["seed"])
    how = replace(how, learning_rate=point["learning_rate"])
    _, records = trained(config.runs, size, how)
    return [{"bits": records[-1]["bits"]}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def best_rate(results: Results, *, width: int, steps: int) -> float:
    """The rate of the least loss: the bottom of a parabola through the three means around it.

    Where the least loss is at an end of the rates, it is that end.
    """
    rows = results.where(width=width, steps=steps).summary("bits", by="learning_rate")
    rates, losses = zip(*sorted((row["learning_rate"], row["mean"]) for row in rows), strict=True)
    lowest = int(np.argmin(losses))
    if not 0 < lowest < len(rates) - 1:
        return rates[lowest]
    near = slice(lowest - 1, lowest + 2)
    return isoflop.valley(list(rates[near]), list(losses[near])).parameters


def lost(results: Results, *, width: int, steps: int, learning_rate: float) -> Interval:
    """Bits more at this rate than at the best that was tried, seed by seed."""
    runs = results.where(width=width, steps=steps)
    means = {row["learning_rate"]: row["mean"] for row in runs.summary("bits", by="learning_rate")}
    best = min(means, key=means.__getitem__)
    here, there = (
        runs.where(learning_rate=r).column("bits").tolist() for r in (learning_rate, best)
    )
    return paired_interval(here, there)


def findings(results: Results) -> dict[str, str]:
    """What the text says: the best rates, how they fall with the width, what a wrong one costs."""
    widths, lengths = (sorted(set(results.column(name).tolist())) for name in ("width", "steps"))
    found = {
        "seeds": str(len(set(results.column("seed").tolist()))),
        "narrowest": str(widths[0]),
        "widest": str(widths[-1]),
        "short": f"{lengths[0]:,}",
        "long": f"{lengths[-1]:,}",
    }
    for name, steps in (("short", lengths[0]), ("long", lengths[-1])):
        best = {width: best_rate(results, width=width, steps=steps) for width in widths}
        found |= {f"{name}_best_{width}": f"{rate:.2g}" for width, rate in best.items()}
        found[f"{name}_times"] = wording.two_digits(best[widths[0]] / best[widths[-1]])
        if int(found["seeds"]) > 1:
            rates = sorted(set(results.column("learning_rate").tolist()))
            for width in (widths[0], widths[-1]):
                other = widths[-1] if width == widths[0] else widths[0]
                swapped = min(rates, key=lambda rate: abs(math.log(rate / best[other])))
                by = lost(results, width=width, steps=steps, learning_rate=swapped)
                found[f"{name}_lost_{width}"] = wording.with_bounds(by.value, by.low, by.high)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_rate

    results.main(loss_vs_rate)
