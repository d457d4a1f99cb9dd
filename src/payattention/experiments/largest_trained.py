"""The largest model, trained: is its loss what was foretold?

The model of `largest_foretold`, by the recipe of `loss_vs_flops`, three times, after what should
come of it had been stored.
"""

from dataclasses import dataclass, replace

from payattention import results as stored
from payattention import wording
from payattention.experiments import largest_foretold, loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, recipe, spent, trained
from payattention.measure import interval
from payattention.records import Record, Results

TOLERANCE = loss_vs_flops.TOLERANCE


@dataclass(frozen=True)
class Config:
    """The model and its training; no `steps` are one pass over the training plays."""

    layers: int = largest_foretold.FULL.layers
    d_model: int = largest_foretold.FULL.d_model
    cheap_steps: int = 20
    runs: loss_vs_flops.Config = loss_vs_flops.FULL
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, seeds=0)


def points(config: Config) -> list[Record]:
    """A training of a few steps, to be measured again by a test; then the whole ones."""
    cheap: list[Record] = [{"whole": False, "seed": 0}]
    return cheap + [{"whole": True, "seed": seed} for seed in range(config.seeds)]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character at the end, and what the training was made of."""
    size = Size(config.layers, config.d_model)
    whole = largest_foretold.steps(largest_foretold.Config(runs=config.runs))
    steps = whole if point["whole"] else config.cheap_steps
    _, records = trained(config.runs, size, recipe(config.runs, size, steps, point["seed"]))
    return [spent(config.runs, size, steps) | {"bits": records[-1]["bits"]}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results, foretold: Results | None = None) -> dict[str, str]:
    """What the text says: what came, what had been foretold, and by how much that was off.

    What was foretold is stored, where no other is given.
    """
    foretold = stored.read("largest_foretold") if foretold is None else foretold
    told = foretold.records()[0]
    bits = [row["bits"] for row in results.where(whole=True).records()]
    inside = [told["low"] <= b <= told["high"] for b in bits]
    found = {
        "seeds": str(len(bits)),
        "inside": str(sum(inside)),
        "date": str(results.environment.get("date", "not yet")),
    }
    if len(bits) > 1:
        by = interval(bits)
        found["bits"] = wording.with_bounds(by.value, by.low, by.high)
        found["mean"] = f"{by.value:.2f}"
        found["off"] = f"{abs(by.value - told['bits']):.2f}"
        found["off_share"] = wording.percent(abs(by.value / told["bits"] - 1), digits=1)
        found["direction"] = "higher" if by.value > told["bits"] else "lower"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import largest_trained

    results.main(largest_trained)
