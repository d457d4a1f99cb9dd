"""How does time grow with the number of tokens, reading and writing?

Reading: a whole sequence by n dependent steps of an LSTM (our loop, and PyTorch's compiled kernel);
by one matrix product that does as many operations as those steps, without the waiting; by a linear
recurrence (loop, and parallel scan); and by one layer of causal attention. Writing: one more token
behind a past of n, by an LSTM step and by attention over kept keys and values. One thread, batch 1,
float32, no gradients. Every time is given as a multiple of one 512 x 512 matrix product, measured
in turn with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from payattention import linear_recurrence, wording
from payattention import measure as clock
from payattention.attention import CausalAttention
from payattention.records import Record, Results
from payattention.recurrence import Recurrent
from payattention.shape import RecurrentShape

ALONE = True
TOLERANCE = {"relative": None}
FITTED_FROM = 256
READERS = ("lstm loop", "lstm kernel", "one matmul", "linear loop", "linear scan", "attention")
WRITERS = ("lstm step", "attention step")


@dataclass(frozen=True)
class Config:
    """Sizes of the measurement."""

    d_model: int = 64
    reading: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
    writing: tuple[int, ...] = (64, 1024, 4096, 16384, 65536, 262144)
    repeats: int = 7


FULL = Config()
LIVE = replace(FULL, reading=(64, 256, 1024, 4096), writing=(64, 4096, 65536), repeats=3)


def points(config: Config) -> list[Record]:
    """One point for each length, so that what is compared was measured in turn."""
    reading = [{"task": "reading", "tokens": tokens} for tokens in config.reading]
    return reading + [{"task": "writing", "tokens": tokens} for tokens in config.writing]


def measure(config: Config, point: Record) -> list[Record]:
    """Time of each method and repeat, relative to the unit."""
    torch.manual_seed(0)
    lstm = Recurrent(RecurrentShape("lstm", d_input=config.d_model, d_hidden=config.d_model))
    attention = CausalAttention(config.d_model)
    calls = (readers if point["task"] == "reading" else writers)(config, point, lstm, attention)
    calls["unit"] = partial(torch.matmul, *torch.randn(2, 512, 512))
    with torch.no_grad():
        times = clock.compare(calls, repeats=config.repeats, warmup=2)
    units = times.pop("unit")
    reference = sorted(units)[len(units) // 2]
    return [
        {"method": method, "repeat": repeat, "relative": seconds / reference}
        for method, all_seconds in times.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def readers(
    config: Config, point: Record, lstm: Recurrent, attention: CausalAttention
) -> dict[str, Callable[[], Tensor]]:
    """Calls that read a whole sequence, by name."""
    x = torch.randn(1, point["tokens"], config.d_model)
    a = torch.rand_like(x)
    both = torch.cat([lstm.weights.weight_ih, lstm.weights.weight_hh], dim=1)
    return {
        "lstm loop": partial(lstm.unroll, x),
        "lstm kernel": partial(lstm, x),
        "one matmul": partial(torch.matmul, torch.cat([x, x], dim=-1), both.T),
        "linear loop": partial(linear_recurrence.loop, a, x),
        "linear scan": partial(linear_recurrence.scan, a, x),
        "attention": partial(attention, x),
    }


def writers(
    config: Config, point: Record, lstm: Recurrent, attention: CausalAttention
) -> dict[str, Callable[[], Tensor]]:
    """Calls that add one token to a past, by name, often enough for the clock.

    The cache already has room for the token. An LSTM step is the same computation behind every
    past: its times say how far the clock can be trusted.
    """
    x = torch.randn(1, config.d_model)
    keys, values = torch.randn(2, 1, point["tokens"], config.d_model)

    def attention_step() -> Tensor:
        keys[:, -1], values[:, -1] = attention.keys(x), attention.values(x)
        return attention.look_back(x, keys, values)

    return {
        "lstm step": repeated(partial(lstm.step, x, lstm.start(1))),
        "attention step": repeated(attention_step),
    }


def repeated(call: Callable[[], Any], *, times: int = 32) -> Callable[[], None]:
    """A call that makes the call so many times."""

    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def medians(results: Results, method: str) -> tuple[list[int], list[float]]:
    """Token counts and the median relative time at each."""
    chosen = results.where(method=method)
    tokens = sorted({int(n) for n in chosen.column("tokens")})
    times = []
    for n in tokens:
        runs = sorted(chosen.where(tokens=n).column("relative"))
        times.append(float(runs[len(runs) // 2]))
    return tokens, times


def slope(results: Results, method: str, *, least: int = 0) -> clock.Interval:
    """Exponent of the growth of time with tokens, over the lengths from `least` up."""
    tokens, times = medians(results, method)
    kept = [(n, t) for n, t in zip(tokens, times, strict=True) if n >= least]
    return clock.loglog_slope(*zip(*kept, strict=True))


def findings(results: Results) -> dict[str, str]:
    """What the text says: slopes over the longer sequences, and ratios at the ends."""
    found = {"fitted_from": str(FITTED_FROM)}
    by_method = {m: dict(zip(*medians(results, m), strict=True)) for m in READERS + WRITERS}
    for method in READERS:
        name = method.replace(" ", "_")
        fit = slope(results, method, least=FITTED_FROM)
        found[f"{name}_slope"] = wording.with_bounds(fit.value, fit.low, fit.high, digits=1)
        for tokens in by_method[method]:
            ratio = by_method[method][tokens] / by_method["one matmul"][tokens]
            found[f"{name}_over_matmul_{tokens}"] = wording.two_digits(ratio)
    for tokens in by_method["attention"]:
        loop = by_method["linear loop"][tokens] / by_method["linear scan"][tokens]
        kernel = by_method["attention"][tokens] / by_method["lstm kernel"][tokens]
        found[f"loop_over_scan_{tokens}"] = wording.two_digits(loop)
        found[f"attention_over_kernel_{tokens}"] = wording.two_digits(kernel)
    for method in WRITERS:
        first, *_, last = sorted(by_method[method])
        growth = by_method[method][last] / by_method[method][first]
        found[f"{method.replace(' ', '_')}_growth"] = wording.two_digits(growth)
        found["shortest_past"], found["longest_past"] = f"{first:,}", f"{last:,}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_tokens

    results.main(time_vs_tokens)
