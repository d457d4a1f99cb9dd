"""Does the best size depend on how well the models are trained?

The sweep of `loss_vs_flops` at its smaller budgets, again, with one thing done less well: the rate
of learning that suits the widest model for all of them, or the one that suits the narrowest; or a
warm-up of as many steps for a short training as for a long one. Porian et al. 2024
(arXiv:2406.19146) find that such things, and what is counted, make up the difference between the
exponents of Kaplan et al. 2020 and of Hoffmann et al. 2022.
"""

from dataclasses import dataclass, replace

from payattention import resampling, wording
from payattention import results as stored
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, rate, recipe, spent, step_flops, trained
from payattention.records import Record, Results

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


def exponents(
    results: Results, tuned: Results, *, repeats: int = resampling.REPEATS
) -> dict[str, resampling.Resampled]:
    """a in N ∝ C^a of each recipe, and of the tuned runs at the same budgets, as "tuned"."""
    budgets = sorted(set(results.column("budget").tolist()))
    tables = {"tuned": tuned.among(budget=budgets)} | {
        name: results.where(recipe=name)
        for name in dict.fromkeys(results.column("recipe").tolist())
    }
    return {
        name: loss_vs_flops.resampled_valleys(table, repeats=repeats)
        for name, table in tables.items()
    }


def dearer(results: Results, tuned: Results, recipe: str) -> float:
    """Bits more than tuned, at the budget and size where this recipe costs most."""
    rows = results.where(recipe=recipe)
    places = sorted({(row["budget"], row["parameters"]) for row in rows.records()})
    return max(
        float(
            rows.where(budget=budget, parameters=size).column("bits").mean()
            - tuned.where(budget=budget, parameters=size).column("bits").mean()
        )
        for budget, size in places
    )


def warmup_share(results: Results, budget: float, parameters: int) -> float:
    """Of the training of this size, how much a long warm-up takes."""
    rows = results.where(recipe="long warm-up", budget=budget, parameters=parameters)
    return min(1.0, FULL.warmup_steps / float(rows.column("steps")[0]))


def findings(results: Results, tuned: Results | None = None) -> dict[str, str]:
    """What the text says: each recipe's exponent, and its best size at each budget.

    The tuned runs are the stored ones of `loss_vs_flops`, where no others are given.
    """
    tuned = stored.read("loss_vs_flops") if tuned is None else tuned
    budgets = sorted(set(results.column("budget").tolist()))
    found = {
        "budgets": str(len(budgets)),
        "warmup_steps": str(FULL.warmup_steps),
        "widest": str(FULL.widest),
        "narrowest": str(FULL.narrowest),
    }
    for name, moves in exponents(results, tuned).items():
        key = name.replace(" ", "_").replace("-", "_")
        table = tuned.among(budget=budgets) if name == "tuned" else results.where(recipe=name)
        if name != "tuned":
            found[f"{key}_dearer"] = f"{dearer(results, tuned, name):.2f}"
        by = moves.interval("valleys")
        found[f"{key}_exponent"] = wording.with_bounds(by.value, by.low, by.high)
        for place, valley in enumerate(loss_vs_flops.best_sizes(table).values()):
            found[f"{key}_best_{place}"] = wording.two_digits(valley.parameters)
            found[f"{key}_bits_{place}"] = f"{valley.loss:.2f}"
    for place, budget in enumerate(budgets):
        rows = results.where(recipe="long warm-up", budget=budget)
        for size in sorted(set(rows.column("parameters").tolist())):
            share = warmup_share(results, budget, size)
            found[f"warmup_share_{place}_{size}"] = wording.percent(share)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import optimum_vs_recipe

    results.main(optimum_vs_recipe)
