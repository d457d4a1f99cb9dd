"""Do eight experts take the time of one?

A layer of 8 experts, of which each token uses the likeliest, next to one feed-forward part of an
expert's size, which does as many operations: `grouped`, the layer of this library, which sorts the
tokens by their expert; and `everywhere`, where all experts work on all tokens and a mask throws
seven eighths away. Forward alone, and forward and backward. The router is as it was drawn, and its
load is about even. Each time is a multiple of that of the one part, measured in turn with it, and
one way after the other: `everywhere` would push the weights of the others out of the caches.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from payattention import measure as clock
from payattention import wording
from payattention.experts import Experts
from payattention.records import Record, Results
from payattention.transformer import FeedForward

ALONE = True
TOLERANCE = {"ratio": None}
WAYS = ("grouped", "everywhere")
PASSES = ("forward", "forward and backward")


@dataclass(frozen=True)
class Config:
    """Sizes of the layer, lengths, repeats and threads."""

    experts: int = 8
    d_model: int = 256
    d_ff: int = 1024
    tokens: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    repeats: int = 7
    threads: int = 2


FULL = Config()
LIVE = replace(FULL, tokens=(256, 1024), repeats=3, threads=1)


def points(config: Config) -> list[Record]:
    """A point for each length and passes, so that what is compared was measured in turn."""
    return [{"tokens": tokens, "passes": passes} for tokens in config.tokens for passes in PASSES]


def calls(config: Config, point: Record) -> dict[str, Callable[[], None]]:
    """The one part and both ways to compute the experts, by name."""
    sizes = config.d_model, config.d_ff
    one = FeedForward(*sizes)
    parts = (FeedForward(*sizes) for _ in range(config.experts))
    mixture = Experts(parts, d_model=config.d_model)
    backward = point["passes"] == PASSES[1]
    x = torch.randn(1, point["tokens"], config.d_model, requires_grad=backward)
    towards = torch.randn_like(x)

    def both(layer: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        for weight in (x, *layer.parameters()):
            weight.grad = None
        forward(x).backward(towards)

    def alone(layer: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            forward(x)

    passes = both if backward else alone
    return {
        "one": partial(passes, one, one),
        "grouped": partial(passes, mixture, mixture),
        "everywhere": partial(passes, mixture, mixture.everywhere),
    }


def measure(config: Config, point: Record) -> list[Record]:
    """Time of each way and repeat, as a multiple of that of the one part."""
    torch.manual_seed(0)
    ways = calls(config, point)
    one, found = ways.pop("one"), []
    with clock.threads(config.threads):
        for way, call in ways.items():
            times = clock.compare({"one": one, way: call}, repeats=config.repeats, warmup=2)
            found += [
                {"way": way, "repeat": repeat, "ratio": seconds / of_one}
                for repeat, (seconds, of_one) in enumerate(
                    zip(times[way], times["one"], strict=True)
                )
            ]
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: the median multiple of each way and length, and its spread."""
    found = {
        "experts": str(FULL.experts),
        "repeats": str(len(set(results.column("repeat").tolist()))),
        "shortest": f"{min(results.column('tokens').tolist()):,}",
        "longest": f"{max(results.column('tokens').tolist()):,}",
    }
    for row in results.summary("ratio", by=("way", "passes", "tokens")):
        passes = "both" if row["passes"] == PASSES[1] else "forward"
        name = f"{row['way']}_{passes}_{row['tokens']}"
        runs = results.where(way=row["way"], passes=row["passes"], tokens=row["tokens"])
        found[name] = f"{statistics.median(runs.column('ratio').tolist()):.2f}"
        found[f"{name}_bounds"] = wording.of_runs(row)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_experts

    results.main(time_vs_experts)
