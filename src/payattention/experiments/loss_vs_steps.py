"""How does the loss fall while models of several sizes train, and do larger ones learn slower?

Each model is trained once, at a rate that stays what it is after the warm-up, and tested on the
way. The lower envelope of these curves, as loss against operations, is the first approach of
Hoffmann et al. 2022 (arXiv:2203.15556) to the best size. A curve's point is not the end of a
training: no decay of the rate has come before it. What that is worth is the difference from
`loss_vs_flops`, where each run ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from payattention import isoflop, wording
from payattention import results as stored
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, recipe, spent, step_flops, trained
from payattention.isoflop import Curve
from payattention.records import Record, Results

TOLERANCE = loss_vs_flops.TOLERANCE
REACHED_BITS = 3.1
"""A loss that most sizes come down to: in how many steps?"""


@dataclass(frozen=True)
class Config:
    """Sizes, up to which budget each is trained, and how often it is tested until there."""

    sizes: tuple[tuple[int, int], ...] = (
        (2, 8),
        (2, 12),
        (2, 16),
        (2, 24),
        (2, 32),
        (3, 40),
        (3, 48),
    )
    budget: float = 1.5e11
    least_budget: float = 1.5e10
    tests_by_then: int = 2
    runs: loss_vs_flops.Config = loss_vs_flops.FULL
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL,
    sizes=((2, 8), (2, 32)),
    budget=1.5e10,
    least_budget=7.5e9,
    runs=loss_vs_flops.LIVE,
    seeds=1,
)


def points(config: Config) -> list[Record]:
    """A training each, the large models first, which take the least time."""
    return [
        {"layers": layers, "d_model": d_model, "seed": seed}
        for layers, d_model in reversed(config.sizes)
        for seed in range(config.seeds)
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character at several steps of the training, and what had been spent by then."""
    size = Size(point["layers"], point["d_model"])
    each = step_flops(config.runs, size)
    every = max(1, round(config.least_budget / each / config.tests_by_then))
    steps = every * max(1, round(config.budget / each / every))
    how = recipe(config.runs, size, steps, point["seed"])
    how = replace(
        how,
        decay="constant",
        record_every=every,
        warmup_steps=max(1, round(config.runs.warmup * every)),
    )
    _, records = trained(config.runs, size, how)
    return [spent(config.runs, size, row["step"]) | {"bits": row["bits"]} for row in records]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def curves(results: Results) -> list[Curve]:
    """Each size's curve of training: the mean of its seeds."""
    found = []
    for size in sorted(set(results.column("parameters").tolist())):
        rows = sorted(
            results.where(parameters=size).summary("bits", by="flops"), key=lambda r: r["flops"]
        )
        flops, bits = (np.array([row[name] for row in rows]) for name in ("flops", "mean"))
        found.append(Curve(float(size), flops, bits))
    return found


def best_sizes(results: Results, budgets: Sequence[float]) -> dict[float, isoflop.Valley]:
    """The valley at each budget through what the curves say there, between their points."""
    found = {}
    for budget in budgets:
        reached = [c for c in curves(results) if c.flops[0] <= 1.01 * budget <= 1.02 * c.flops[-1]]
        losses = [
            np.exp(np.interp(np.log(budget), np.log(c.flops), np.log(c.loss))) for c in reached
        ]
        found[budget] = isoflop.valley([c.parameters for c in reached], losses)
    return found


def steps_to(results: Results, bits: float) -> dict[float, float]:
    """Steps that each size needs to come down to this loss, for those that do."""
    found = {}
    for size in sorted(set(results.column("parameters").tolist())):
        rows = sorted(
            results.where(parameters=size).summary("bits", by="steps"), key=lambda r: r["steps"]
        )
        steps, losses = (np.array([row[name] for row in rows]) for name in ("steps", "mean"))
        if losses.min() <= bits <= losses[0]:
            falling = np.minimum.accumulate(losses)
            found[float(size)] = float(np.exp(np.interp(-bits, -falling, np.log(steps))))
    return found


def findings(results: Results, ended: Results | None = None) -> dict[str, str]:
    """What the text says: the exponent that the curves give, what a decay is worth, and steps.

    Trainings that ended, with a decay, are the stored ones of `loss_vs_flops`, where no others are
    given.
    """
    ended = stored.read("loss_vs_flops") if ended is None else ended
    budgets = [b for b in FULL.runs.budgets if FULL.least_budget <= b <= FULL.budget]
    valleys = best_sizes(results, budgets)
    found = {"exponent": f"{isoflop.exponent(valleys):.2f}"}
    for place, (budget, valley) in enumerate(valleys.items()):
        same = loss_vs_flops.best_sizes(ended.where(budget=budget))[budget]
        found |= {
            f"best_{place}": wording.two_digits(valley.parameters),
            f"decay_{place}": f"{valley.loss - same.loss:.2f}",
        }
    needed = steps_to(results, REACHED_BITS)
    if needed:
        small, large = min(needed), max(needed)
        found |= {
            "reached": f"{REACHED_BITS:g}",
            "small": wording.two_digits(small),
            "large": wording.two_digits(large),
            "small_steps": wording.two_digits(needed[small]),
            "large_steps": wording.two_digits(needed[large]),
        }
        fewest = min(needed, key=needed.__getitem__)
        cheapest = min(needed, key=lambda size: size * needed[size])
        found |= {
            "fewest": wording.two_digits(fewest),
            "fewest_steps": wording.two_digits(needed[fewest]),
            "cheapest": wording.two_digits(cheapest),
        }
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_steps

    results.main(loss_vs_steps)
