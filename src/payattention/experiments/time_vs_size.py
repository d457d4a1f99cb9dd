"""How does the time of a training grow with the model, on the same text and on the best text?

A step of each size of `loss_vs_flops` is timed on one thread, all sizes in turn. A training on the
same text takes as many steps for every size; one on the text that is best for the size takes the
more steps the larger it is, by the line through the valleys of `loss_vs_flops`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from payattention import data, wording
from payattention import measure as clock
from payattention import results as stored
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, parameters, shape, step_flops
from payattention.experiments.speed_vs_peers import training_step
from payattention.records import Record, Results
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"parameters": 0, "step_flops": 0, "seconds": None}


@dataclass(frozen=True)
class Config:
    """Sizes, and how often each is timed; batch and tokens are those of `runs`."""

    sizes: tuple[tuple[int, int], ...] = (*loss_vs_flops.FULL.sizes, (4, 96))
    runs: loss_vs_flops.Config = loss_vs_flops.FULL
    repeats: int = 7
    threads: int = 1


FULL = Config()
LIVE = replace(FULL, sizes=((2, 8), (2, 32), (4, 64)), repeats=3)


def points(config: Config) -> list[Record]:
    """One point: all sizes take their turn in the same rounds."""
    return [{"sizes": len(config.sizes)}]


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of a step of each size in each repeat."""
    draw = data.language_batches(batch=config.runs.batch, context=config.runs.tokens)
    ids, following = draw(torch.Generator().manual_seed(0))
    ids = torch.cat([ids, following[:, -1:]], dim=1)
    sizes = [Size(*size) for size in config.sizes]
    with torch.random.fork_rng(devices=[]), clock.threads(config.threads):
        torch.manual_seed(0)
        steps = {str(size): training_step(Decoder(shape(size)), ids) for size in sizes}
        times = clock.compare(steps, repeats=config.repeats, warmup=2)
    return [
        {"parameters": parameters(size), "step_flops": step_flops(config.runs, size)}
        | {"repeat": repeat, "seconds": seconds}
        for size, all_seconds in zip(sizes, times.values(), strict=True)
        for repeat, seconds in enumerate(all_seconds)
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def best_text(runs: Results) -> tuple[float, float]:
    """c and p in D = c N^p: the text that is best for a size, through the valleys' bottoms."""
    sizes = [valley.parameters for valley in loss_vs_flops.best_sizes(runs).values()]
    texts = list(loss_vs_flops.best_tokens(runs).values())
    power, height = np.polyfit(np.log(sizes), np.log(texts), 1)
    return math.exp(height), float(power)


def slopes(results: Results, runs: Results) -> dict[str, clock.Interval]:
    """Powers of the size: operations and seconds, on the same text and on the best.

    The interval is over the repeats, each with all sizes.
    """
    _, power = best_text(runs)
    found = {}
    for name in ("step_flops", "seconds"):
        each = []
        for repeat in sorted(set(results.column("repeat").tolist())):
            rows = results.where(repeat=repeat)
            each.append(clock.loglog_slope(rows.column("parameters"), rows.column(name)).value)
        fixed = clock.interval(each)
        found[f"fixed_{name}"] = fixed
        found[f"best_{name}"] = clock.Interval(*(power + n for n in vars(fixed).values()))
    return found


def findings(results: Results, runs: Results | None = None) -> dict[str, str]:
    """What the text says: the powers with which a training's cost grows.

    The runs are the stored ones of `loss_vs_flops`, where no others are given.
    """
    runs = stored.read("loss_vs_flops") if runs is None else runs
    found = {"text_power": f"{best_text(runs)[1]:.2f}", "repeats": str(FULL.repeats)}
    for name, by in slopes(results, runs).items():
        exact = by.high - by.low < 0.005
        found[f"{name}_tenfold"] = wording.two_digits(10**by.value)
        found[name] = f"{by.value:.2f}" if exact else wording.with_bounds(*vars(by).values())
    largest = results.where(parameters=max(results.column("parameters").tolist()))
    smallest = results.where(parameters=min(results.column("parameters").tolist()))
    for name, rows in (("small", smallest), ("large", largest)):
        rate = rows.column("step_flops")[0] / np.median(rows.column("seconds"))
        found[f"{name}_gigaflops"] = wording.two_digits(float(rate) / 1e9)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_size

    results.main(time_vs_size)
