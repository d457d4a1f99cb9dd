"""Does mixup save operations? Error against what the training computes, with it and without.

A small CNN learns all the clothes that there are, in trainings of five lengths, each with a warm-up
and a decay of its own. Operations are the matrix products and convolutions of forward and backward
passes, counted by a counter in one step; mixing a batch is a few operations for each of its pixels,
a thousandth of them, and is left out. The model that comes out is the same size and costs the same
to use.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch.nn import functional as F

from payattention import measure as counters
from payattention import wording
from payattention.effects import judge
from payattention.experiments import error_vs_mixing
from payattention.experiments.error_vs_mixing import KINDS, METRICS
from payattention.records import Record, Results

KIND = "clothes, CNN"
TOLERANCE = dict.fromkeys(METRICS, 0.05) | {
    "nll": 0.2,
    "flops": 100,
}  # of which nine digits are kept
ELSEWHERE = dict.fromkeys(METRICS, 0.3) | {"nll": 1.0}


@dataclass(frozen=True)
class Config:
    """Lengths of the trainings, and α."""

    labels: int = 10_000
    steps: tuple[int, ...] = (200, 400, 800, 1600, 3200)
    alphas: tuple[float, ...] = (0.0, 0.2, 1.0)
    cheap_steps: int = 20
    judged: int = 2000
    seeds: int = 5


FULL = Config()
LIVE = replace(FULL, labels=1000, steps=(50, 100), alphas=(0.0, 1.0), seeds=1)


def points(config: Config) -> list[Record]:
    """A few steps, to be measured again by a test; then a training each, short ones first."""
    cheap: list[Record] = [{"steps": config.cheap_steps, "alpha": 0.0, "seed": 0}]
    return cheap + [
        {"steps": steps, "alpha": alpha, "seed": seed}
        for steps in config.steps
        for alpha in config.alphas
        for seed in range(config.seeds)
    ]


@cache
def step_flops() -> int:
    """Operations of one step: forward and backward, of a batch."""
    model = error_vs_mixing.build(KIND, 0)
    images = torch.zeros(error_vs_mixing.FULL.batch, 28, 28)
    classes = torch.zeros(len(images), dtype=torch.long)
    return counters.flops(lambda: F.cross_entropy(model(images), classes).backward())


def measure(config: Config, point: Record) -> list[Record]:
    """What the test images say, and what the training computed."""
    model = error_vs_mixing.learn(
        error_vs_mixing.FULL,
        {"kind": KIND, "labels": config.labels, "wrong": 0.0} | point,
        steps=point["steps"],
        rate=KINDS[KIND].rate,
    )
    found = error_vs_mixing.scores(model, *error_vs_mixing.judged(KIND, config.judged))
    return [found | {"flops": float(point["steps"] * step_flops())}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records without those of the few steps that a test measures again."""
    return results.among(steps=sorted(set(results.columns["steps"]))[1:])


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors at each length, and what mixup changes at equal operations.

    What it changes is judged together with all that it changes here; see `effects`.
    """
    results = whole(results)
    found = {
        "seeds": str(len(set(results.columns["seed"]))),
        "labels": f"{FULL.labels:,}",
        "step_flops": f"{step_flops() / 1e6:,.0f} million",
    }
    for steps in FULL.steps:
        found[f"{steps}_passes"] = f"{steps * error_vs_mixing.FULL.batch / FULL.labels:.0f}"
    pairs = {}
    for metric in ("error", "nll"):
        for row in results.summary(metric, by=["steps", "alpha"]):
            key = f"{row['steps']}_{row['alpha']:g}_{metric}"
            percent = wording.percent(row["mean"], digits=1)
            found[key] = percent if metric == "error" else f"{row['mean']:.2f}"
            if row["alpha"]:
                mixed, plain = (
                    results.where(steps=row["steps"], alpha=alpha).column(metric)
                    for alpha in (row["alpha"], 0.0)
                )
                pairs[key] = mixed, plain
    found["comparisons"] = str(len(pairs))
    for key, effect in judge(pairs).items():
        found[f"{key}_said"] = error_vs_mixing.said(effect, key.rpartition("_")[-1])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import error_vs_operations

    results.main(error_vs_operations)
