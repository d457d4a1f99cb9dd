"""How long does a training step take whose blocks leave out some of the tokens?

The models of `loss_vs_routing`, untrained: a quarter or an eighth of the tokens, or none, in every
second block. A step is a batch read forward and backward, with what the predictors have to learn;
what the optimiser does with the gradients is left out. Each time is a multiple of that of the plain
model, measured in turn with it; `flops` are the operations of the forward pass, as a share of the
plain model's.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from payattention import data, wording
from payattention import measure as clock
from payattention.experiments import loss_vs_routing
from payattention.experiments.loss_vs_routing import NAMES
from payattention.records import Record, Results

ALONE = True
TOLERANCE = {"times": None, "flops": 1e-6}


@dataclass(frozen=True)
class Config:
    """What is timed, and how often; models and batches are those of `loss_vs_routing`."""

    capacities: tuple[float, ...] = (0.25, 0.125, 0.0)
    models: loss_vs_routing.Config = loss_vs_routing.FULL
    repeats: int = 31


FULL = Config()
LIVE = replace(FULL, capacities=(0.25,), repeats=5)


def points(config: Config) -> list[Record]:
    """A point for each capacity, which is timed in turn with the plain model."""
    return [{"capacity": capacity} for capacity in config.capacities]


def step(config: loss_vs_routing.Config, capacity: float) -> Callable[[], None]:
    """A function that computes the gradients of one batch."""
    model = loss_vs_routing.build(config, capacity, seed=0)
    draw = data.language_batches("train", batch=config.batch, context=config.tokens)
    batch = draw(torch.Generator().manual_seed(0))

    def once() -> None:
        model.zero_grad()
        loss_vs_routing.nats(model, batch).backward()

    return once


def measure(config: Config, point: Record) -> list[Record]:
    """Time of a step in each round, as a multiple of the plain one, and its operations."""
    models, capacity = config.models, point["capacity"]
    times = clock.ratios(
        step(models, capacity), step(models, 1.0), repeats=config.repeats, warmup=3
    )
    share = loss_vs_routing.flops(models, capacity) / loss_vs_routing.flops(models, 1.0)
    return [
        {"repeat": repeat, "times": ratio, "flops": share} for repeat, ratio in enumerate(times)
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: a step of each capacity, as a multiple of a step of the plain model."""
    return {
        f"{NAMES[capacity]}_times": wording.of_values(
            results.where(capacity=capacity).column("times").tolist()
        )
        for capacity in dict.fromkeys(results.columns["capacity"])
    }


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_capacity

    results.main(time_vs_capacity)
