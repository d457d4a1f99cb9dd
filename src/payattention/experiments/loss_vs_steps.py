"""How does the loss fall while models of several sizes train, and do larger ones learn slower?

Each model is trained once, at a rate that stays what it is after the warm-up, and tested on the
way. The lower envelope of these curves, as loss against operations, is the first approach of
Hoffmann et al. 2022 (arXiv:2203.15556) to the best size. A curve's point is not the end of a
training: no decay of the rate has come before it. What that is worth is the difference from
`loss_vs_flops`, where each run ends.
"""

from dataclasses import dataclass, replace

from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, recipe, spent, step_flops, trained
from payattention.records import Record

TOLERANCE = loss_vs_flops.TOLERANCE


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
