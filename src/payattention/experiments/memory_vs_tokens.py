"""How much memory does attention need beside its input and output, and how long does it take?

One sequence and one head of width 64, no mask, float32, one thread. Three ways: every score stored,
as in `attention.attend`; in tiles that are forgotten, as in `online_softmax.attend_in_tiles`; and
the fused kernel of PyTorch. Forward without gradients, or forward and backward.

Memory is the most bytes of tensors that a call holds beyond its input, its result among them: exact
and the same at each run. It does not see what a kernel takes and gives back inside one operation.
So for some lengths the process is asked as well: by how much its resident memory grew at most, in a
fresh process, pages of the system's own and buffers of every kernel included. Times of one round,
measured in turn, are divided by that of stored scores.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from payattention import measure as clock
from payattention import wording
from payattention.attention import attend, attend_fused
from payattention.online_softmax import TILE, attend_in_tiles
from payattention.records import Record, Results

ALONE = True
TOLERANCE = {"seconds": None, "relative": None, "peak_bytes": 0.0}
WAYS = {"stored": attend, "tiles": attend_in_tiles, "fused": attend_fused}
SQUARES = {"forward": 2, "forward and backward": 3}
"""How many arrays of all scores are held at one moment where they are stored."""
MOST_BYTES = 12 * 2**30
"""Where these arrays would take more, the scores are not stored: with a backward pass, at 32,768
tokens."""
FITTED_FROM = 1024
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
FORGET_THE_PEAK = "5"
"""Of Linux: what this process is, and where it is asked to count its peak anew."""


@dataclass(frozen=True)
class Config:
    """Sizes of the measurement; beyond `timed_up_to` only memory is measured."""

    d_head: int = 64
    forward: tuple[int, ...] = (512, 1024, 2048, 4096, 8192, 16384, 32768)
    backward: tuple[int, ...] = (512, 1024, 2048, 4096, 8192, 16384, 32768)
    timed_up_to: int = 8192
    resident: tuple[int, ...] = (8192, 32768)
    repeats: int = 7


FULL = Config()
LIVE = replace(
    FULL,
    forward=(512, 1024, 2048, 4096, 8192),
    backward=(512, 1024, 2048, 4096),
    timed_up_to=4096,
    resident=(),
    repeats=3,
)


def points(config: Config) -> list[Record]:
    """One point for each length and kind of pass: what is compared was measured in turn."""
    lengths = {"forward": config.forward, "forward and backward": config.backward}
    return [
        {"passes": passes, "tokens": tokens} for passes in lengths for tokens in lengths[passes]
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """For each way its memory, and where time is measured, a record for each repeat."""
    ways = ways_at(point)
    calls = {way: call(config, point, way) for way in ways}
    resident = point["tokens"] in config.resident
    records = [
        {
            "way": way,
            "peak_bytes": clock.peak_bytes(calls[way]),
            "resident_bytes": resident_bytes(config, point, way) if resident else None,
        }
        for way in ways
    ]
    if point["tokens"] > config.timed_up_to:
        return records
    times = clock.compare(calls, repeats=config.repeats, warmup=0)  # memory was the first round
    return records + [
        {"way": way, "repeat": repeat, "seconds": seconds, "relative": seconds / stored}
        for way, all_seconds in times.items()
        for repeat, (seconds, stored) in enumerate(zip(all_seconds, times["stored"], strict=True))
    ]


def ways_at(point: Record) -> list[str]:
    """The ways that are tried: scores are stored where they fit."""
    stored_bytes = SQUARES[point["passes"]] * point["tokens"] ** 2 * 4
    return [way for way in WAYS if way != "stored" or stored_bytes < MOST_BYTES]


def call(config: Config, point: Record, way: str) -> Callable[[], Any]:
    """A call that reads one sequence in that way."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 1, point["tokens"], config.d_head)
    *inputs, d_output = (torch.randn(shape, generator=generator) for _ in range(4))
    if point["passes"] == "forward":
        return partial(WAYS[way], *inputs)
    for x in inputs:
        x.requires_grad_()

    def both() -> tuple[Tensor, ...]:
        return torch.autograd.grad(WAYS[way](*inputs), inputs, d_output)

    return both


# What the system says


def resident_bytes(config: Config, point: Record, way: str) -> int | None:
    """By how much the memory of a fresh process grows at most; None where no system tells."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_growth, config, point, way).result()


def _growth(config: Config, point: Record, way: str) -> int | None:
    torch.set_num_threads(1)
    call(config, point | {"tokens": 64}, way)()  # loads what is loaded once
    grow = call(config, point, way)
    try:
        CLEAR.write_text(FORGET_THE_PEAK, encoding="ascii")
        before = _status_bytes("VmRSS")
        grow()
        return _status_bytes("VmHWM") - before
    except OSError:
        return None


def _status_bytes(name: str) -> int:
    """A quantity of this process that Linux tells in kB."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
    return int(lines[name].split()[0]) * 1024


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


# What was found


def medians(results: Results, column: str, *, passes: str, way: str) -> dict[int, float]:
    """The median of a column at each length that has one."""
    found: dict[int, list[float]] = {}
    for row in results.where(passes=passes, way=way).records():
        if row[column] is not None:
            found.setdefault(row["tokens"], []).append(row[column])
    return {tokens: sorted(values)[len(values) // 2] for tokens, values in sorted(found.items())}


def megabytes(results: Results) -> Results:
    """What was measured of memory, in megabytes."""
    rows = [row for row in results.records() if row["peak_bytes"] is not None]
    kept = [row | {"megabytes": row["peak_bytes"] / 1e6} for row in rows]
    return Results.from_records(results.question, kept)


def times(results: Results) -> Results:
    """What was measured of time."""
    rows = [row for row in results.records() if row["relative"] is not None]
    return Results.from_records(results.question, rows)


def slope(results: Results, column: str, *, passes: str, way: str) -> clock.Interval:
    """Exponent of the growth of a column with tokens, over the lengths from `FITTED_FROM` up."""
    by_tokens = medians(results, column, passes=passes, way=way)
    kept = {tokens: value for tokens, value in by_tokens.items() if tokens >= FITTED_FROM}
    return clock.loglog_slope(kept.keys(), kept.values())


def relative(results: Results, *, passes: str, way: str) -> tuple[int, clock.Interval]:
    """The longest length that was timed, and the time there as a multiple of stored scores'."""
    timed = [
        row
        for row in results.where(passes=passes, way=way).records()
        if row["relative"] is not None
    ]
    longest = max(row["tokens"] for row in timed)
    return longest, clock.interval(row["relative"] for row in timed if row["tokens"] == longest)


def findings(results: Results) -> dict[str, str]:
    """What the text says: memory in MB and as a share, times as ratios, and how both grow."""
    found = {
        "tile": str(TILE),
        "fitted_from": f"{FITTED_FROM:,}",
        "most_gb": wording.two_digits(MOST_BYTES / 1e9),
    }
    for passes, short in (("forward", "forward"), ("forward and backward", "both")):
        for way in WAYS:
            said = _findings_of(results, passes=passes, way=way)
            found |= {f"{way}_{short}_{name}": text for name, text in said.items()}
        found[f"timed_{short}"] = f"{relative(results, passes=passes, way='stored')[0]:,}"
    return found


def _findings_of(results: Results, **of: str) -> dict[str, str]:
    """What is said of one way and kind of pass."""
    peaks = medians(results, "peak_bytes", **of)
    *_, before, last = peaks
    found = {"longest": f"{last:,}"}
    found |= {f"mb_{n}": wording.two_digits(peak / 1e6) for n, peak in peaks.items()}
    for tokens, grown in medians(results, "resident_bytes", **of).items():
        found[f"resident_mb_{tokens}"] = wording.two_digits(grown / 1e6)
    for column, called in (("seconds", "time"), ("peak_bytes", "memory")):
        fit = slope(results, column, **of)
        found[f"{called}_slope"] = wording.with_bounds(fit.value, fit.low, fit.high)
    timed, ratio = relative(results, **of)
    found["seconds"] = wording.two_digits(medians(results, "seconds", **of)[timed])
    if of["way"] == "stored":
        return found
    grown_bytes = (peaks[last] - peaks[before]) / (last - before)
    found["bytes_a_token"] = f"{grown_bytes:,.0f}"
    found["time"] = wording.with_bounds(ratio.value, ratio.low, ratio.high)
    stored = medians(results, "peak_bytes", passes=of["passes"], way="stored")
    for tokens in stored:  # one part in so many of what stored scores take
        found[f"memory_1_in_{tokens}"] = wording.two_digits(stored[tokens] / peaks[tokens])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import memory_vs_tokens

    results.main(memory_vs_tokens)
