"""What the count of scores saves, does the clock save it too?

Causal attention over 1,024 to 32,768 tokens, all of the past by PyTorch's fused kernel, and by the
tiles of four patterns: a window, the strided and the fixed pattern of Child et al. 2019, and a
window with global tokens. Forward, and forward and backward, each in turn; float32, four heads of
64, batch 1. Counted are the pairs of a query and a key that each pattern allows, and the scores
that its tiles compute; projections and the rest of a layer are not.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import measure as clock
from payattention import wording
from payattention.patterns import CAUSAL, Global, Pattern, Window, causal_window, fixed, strided
from payattention.records import Record, Results
from payattention.sparse_attention import attend_sparse
from payattention.sparse_plan import plan

ALONE = True
TOLERANCE = {"seconds": None, "executed": 0, "scores": 0, "size": 0}
TASKS = ("forward", "forward and backward")


@dataclass(frozen=True)
class Config:
    """Lengths, sizes of the patterns and of the heads, repeats and threads.

    The backward pass of all of the past is timed up to `backward_up_to` tokens.
    """

    tokens: tuple[int, ...] = (1024, 2048, 4096, 8192, 16384, 32768)
    size: int = 256
    summaries: int = 8
    globals_: int = 16
    heads: int = 4
    d_head: int = 64
    backward_up_to: int = 16384
    repeats: int = 7
    threads: int = 2


FULL = Config()
LIVE = replace(FULL, tokens=(1024, 4096), repeats=3, threads=1)


def patterns(config: Config) -> dict[str, Pattern]:
    """The pattern of each way, but for the dense one."""
    return {
        "window": causal_window(config.size),
        "strided": strided(config.size),
        "fixed": fixed(config.size, count=config.summaries),
        "global": CAUSAL & (Window(config.size) | Global(config.globals_)),
    }


def points(config: Config) -> list[Record]:
    """All ways at one length, so that what is compared was measured in turn; the short first."""
    return [
        {"tokens": tokens, "task": task}
        for tokens in config.tokens
        for task in TASKS
        if task == "forward" or tokens <= config.backward_up_to
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of each way and repeat, and the scores that are needed and computed."""
    tokens, backward = point["tokens"], point["task"] != "forward"
    torch.manual_seed(0)
    size = (1, config.heads, tokens, config.d_head)
    inputs = [torch.randn(size, requires_grad=backward) for _ in range(3)]
    dense = partial(F.scaled_dot_product_attention, is_causal=True)
    ways: dict[str, Callable[..., Tensor]] = {"dense": dense}
    for name, pattern in patterns(config).items():
        ways[name] = partial(_sparse, pattern)
    towards = torch.randn(size)
    with clock.threads(config.threads):
        calls = {
            name: partial(_passes if backward else _forward, way, inputs, towards)
            for name, way in ways.items()
        }
        times = clock.compare(calls, repeats=config.repeats, warmup=1)
    counted = {"dense": (CAUSAL.pairs(tokens),) * 2} | {
        name: plan(pattern, tokens)[1:3] for name, pattern in patterns(config).items()
    }
    return [
        {
            "way": name,
            "size": config.size,
            "scores": counted[name][0],
            "executed": counted[name][1],
            "repeat": repeat,
            "seconds": seconds,
        }
        for name, all_seconds in times.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def _sparse(pattern: Pattern, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return attend_sparse(queries, keys, values, pattern)


def _forward(way: Callable[..., Tensor], inputs: list[Tensor], towards: Tensor) -> None:
    with torch.no_grad():
        way(*inputs)


def _passes(way: Callable[..., Tensor], inputs: list[Tensor], towards: Tensor) -> None:
    torch.autograd.grad(way(*inputs), inputs, towards)


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def savings(results: Results, task: str, way: str) -> dict[int, tuple[float, clock.Interval]]:
    """By length: how many times fewer scores than dense, and how many times less time."""
    found = {}
    for tokens in sorted(set(results.where(task=task).column("tokens").tolist())):
        rows = results.where(task=task, tokens=tokens)
        dense, sparse = (rows.where(way=name) for name in ("dense", way))
        counted = float(dense.column("scores")[0] / sparse.column("scores")[0])
        ratios = dense.column("seconds") / sparse.column("seconds")
        found[tokens] = counted, clock.interval(ratios.tolist())
    return found


def even_from(results: Results, task: str, way: str) -> int | None:
    """The shortest length measured from which the pattern takes less time than dense."""
    faster = [n for n, (_, clocked) in savings(results, task, way).items() if clocked.low > 1]
    return min(faster, default=None)


def findings(results: Results) -> dict[str, str]:
    """What the text says: savings counted and clocked, rates, of each way, task and length.

    Rates are of a forward pass; backward they would count too little.
    """
    found = {"size": str(FULL.size), "repeats": str(FULL.repeats)}
    for task in dict.fromkeys(results.column("task").tolist()):
        key = "back" if task != "forward" else "forth"
        for way in patterns(FULL):
            for tokens, (counted, clocked) in savings(results, task, way).items():
                name = f"{way}_{key}_{tokens}"
                found[f"{name}_counted"] = wording.two_digits(counted)
                found[f"{name}_clocked"] = wording.with_bounds(
                    clocked.value, clocked.low, clocked.high, digits=1
                )
                found[f"{name}_share"] = wording.percent(clocked.value / counted)
            start = even_from(results, task, way)
            found[f"{way}_{key}_even"] = "none" if start is None else f"{start:,}"
        for tokens in sorted(set(results.where(task=task).column("tokens").tolist())):
            for way in ("dense", *patterns(FULL)):
                rows = results.where(task=task, tokens=tokens, way=way)
                middle = statistics.median(rows.column("seconds").tolist())
                found[f"{way}_{key}_{tokens}_milliseconds"] = wording.two_digits(1e3 * middle)
                # two products, of a multiply and an add, for each score that is computed
                flops = 4 * FULL.d_head * FULL.heads * int(rows.column("executed")[0])
                rate = wording.two_digits(flops / middle / 1e9)
                found[f"{way}_{key}_{tokens}_billion_a_second"] = rate
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_pattern

    results.main(time_vs_pattern)
