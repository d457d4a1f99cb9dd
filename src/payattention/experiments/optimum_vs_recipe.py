"""Does the best size depend on how well the models are trained?

The sweep of `loss_vs_flops` at its smaller budgets, again, with one thing done less well: the rate
of learning that suits the widest model for all of them, or the one that suits the narrowest; or a
warm-up of as many steps for a short training as for a long one. Porian et al. 2024
(arXiv:2406.19146) find that such things, and what is counted, make up the difference between the
exponents of Kaplan et al. 2020 and of Hoffmann et al. 2022.
"""

from dataclasses import dataclass, replace

from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, rate, recipe, spent, step_flops, trained
from payattention.records import Record

RECIPES = ("rate of the widest", "rate of the narrowest", "long warm-up")
SMALL_BUDGETS = replace(loss_vs_flops.FULL, budgets=loss_vs_flops.FULL.budgets[:3])
TOLERANCE = loss_vs_flops.TOLERANCE


@dataclass(frozen=True)
class Config:
    """Which recipes are tried; budgets and sizes are those of `runs`, and the rest as there.

    The rates of all models are those of the width `widest`, or `narrowest`; the long warm-up takes
    `warmup_steps`, or the whole training where that is shorter.
    """

    recipes: tuple[str, ...] = RECIPES
    widest: int = 64
    narrowest: int = 16
    warmup_steps: int = 500
    runs: loss_vs_flops.Config = SMALL_BUDGETS


FULL = Config()
LIVE = replace(FULL, recipes=RECIPES[:1], runs=loss_vs_flops.LIVE)


def points(config: Config) -> list[Record]:
    """A training each, the small budgets first."""
    return [
        point | {"recipe": name}
        for point in loss_vs_flops.points(config.runs)
        for name in config.recipes
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character after the budget is spent, and what it was spent on."""
    size = Size(point["layers"], point["d_model"])
    steps = max(1, round(point["budget"] / step_flops(config.runs, size)))
    how = recipe(config.runs, size, steps, point["seed"])
    if point["recipe"] == "long warm-up":
        how = replace(how, warmup_steps=min(steps, config.warmup_steps))
    else:
        widths = {"rate of the widest": config.widest, "rate of the narrowest": config.narrowest}
        other = Size(size.layers, widths[point["recipe"]])
        how = replace(how, learning_rate=rate(config.runs, other, steps))
    _, records = trained(config.runs, size, how)
    return [spent(config.runs, size, steps) | {"bits": records[-1]["bits"]}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]
