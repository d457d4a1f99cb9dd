"""Which rate of learning is best, for a narrow model and a wide, in a short training and a long?

A comparison of sizes is one of rates too, unless each size has a good one. Decoders of two layers
and four widths are trained for few steps and for many, at rates that are twice as large each time.
The best rate is the bottom of a parabola through the losses against the rate's logarithm; it falls
with the width, as Yang et al. 2022 (arXiv:2203.03466) say it must, and with the length. The rule
that `loss_vs_flops` uses for all its runs was made from a first trial of this.
"""

from dataclasses import dataclass, replace

from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, recipe, trained
from payattention.records import Record

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
