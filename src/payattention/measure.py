"""Clocks, counters and intervals: what a call costs, and how sure we are.

Times are wall-clock seconds; operations count a multiply-add as two; memory is in
bytes. A ratio of two times is only worth something when both were measured in
turn, under the same load: that is what ``compare`` is for.
"""

import datetime
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from payattention.cost.hardware import Accelerator

aten = torch.ops.aten


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds between which the truth lies, at the confidence asked for."""

    value: float
    low: float
    high: float


def seconds(
    function: Callable[[], Any],
    *,
    repeats: int = 5,
    warmup: int = 1,
    device: torch.device | None = None,
) -> list[float]:
    """Wall-clock seconds of each of the repeated calls, in order.

    The first ``warmup`` calls are not timed. With an accelerator as ``device``
    the clock waits until it has finished.
    """
    return compare({"": function}, repeats=repeats, warmup=warmup, device=device)[""]


def compare(
    functions: Mapping[str, Callable[[], Any]],
    *,
    repeats: int = 5,
    warmup: int = 1,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Wall-clock seconds of each call of each function, measured in turn.

    Each round calls every function once, and each round starts with another one,
    so that a busy machine slows all alike: round i of one function may be divided
    by round i of another.
    """
    if repeats < 1:
        raise ValueError(f"repeats: got {repeats}; expected at least 1")
    if warmup < 0:
        raise ValueError(f"warmup: got {warmup}; expected at least 0")
    if not functions:
        raise ValueError("functions: got none; expected at least one")
    names = list(functions)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warmup, repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            _finish(device)
            start = time.perf_counter()
            functions[name]()
            _finish(device)
            if turn >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def ratios(
    function: Callable[[], Any], beside: Callable[[], Any], *, repeats: int = 5, warmup: int = 1
) -> list[float]:
    """Seconds of one call as a multiple of those of another, round by round; see ``compare``."""
    times = compare({"beside": beside, "": function}, repeats=repeats, warmup=warmup)
    return [one / other for one, other in zip(times[""], times["beside"], strict=True)]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """PyTorch computes with so many threads within, and with as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _finish(device: torch.device | None) -> None:
    """Wait until the accelerator has done what it was asked to."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()


def flops(function: Callable[[], Any]) -> int:
    """Floating-point operations that the call executes in matrix products and convolutions.

    A multiply-add counts as two; element-wise arithmetic, softmax and the like count
    nothing. PyTorch's counter sees neither the CPU's fused attention
    (pytorch/pytorch#195460), nor its fused LSTM, nor a matrix times a vector. So
    attention runs here as the matmuls that it consists of, which is the full square
    also when it is causal, the fused LSTM is switched off, and the rest is added.
    """
    vectors = {aten.mv: _mv_flops, aten.addmv: _addmv_flops, aten.dot: _dot_flops}
    counter = FlopCounterMode(display=False, custom_mapping=vectors)
    with sdpa_kernel([SDPBackend.MATH]), _without_mkldnn(), counter:
        function()
    return counter.get_total_flops()


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def _mv_flops(matrix: Any, vector: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(matrix)


def _addmv_flops(added: Any, matrix: Any, vector: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(matrix)


def _dot_flops(vector: Any, other: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(vector)


class _LiveBytes(TorchDispatchMode):
    """Follows every storage that an operation makes, until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.live = WeakIdKeyDictionary()
        self.known = WeakIdKeyDictionary()
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            storage = tensor.untyped_storage()
            if storage not in self.live:
                self.known[storage] = True  # it was there before the call: not ours to bill
        results = func(*args, **kwargs)
        for tensor in _tensors(results):
            storage = tensor.untyped_storage()
            if storage not in self.known:
                self.live[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self.live.values()))
        return results


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def peak_bytes(function: Callable[[], Any], *, device: torch.device | None = None) -> int:
    """Most bytes of tensors that the call holds at one moment, beyond those that were there.

    On the CPU the storages of all tensors that operations return are followed:
    the number is exact and the same at each run. Not seen are what a kernel takes
    and gives back inside one operation, what is made without an operation (from a
    list or a NumPy array), and Python's own memory. With a CUDA ``device`` the
    allocator's own counter is read, which sees all tensors on that device.
    """
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _LiveBytes() as mode:
        function()
    return mode.peak


def this_machine(
    *, dtype: torch.dtype = torch.float32, size: int = 2048, matrix_bytes: int = 2**29
) -> Accelerator:
    """This processor, as fast as it was just now, with the threads that PyTorch uses.

    Its peak is the best of five products of two square matrices of `size`; its bandwidth the best
    of five rates at which a matrix of `matrix_bytes` is multiplied by a vector, which has to be
    read once and should be larger than the caches. Its memory and its watts are not measured.
    """
    sizes = dict(size=size, matrix_bytes=matrix_bytes)
    with torch.no_grad():
        times = compare(machine_calls(dtype=dtype, **sizes))
    best = {call: min(seconds) for call, seconds in times.items()}
    return as_machine(best["peak"], best["bandwidth"], dtype=dtype, **sizes)


def as_machine(
    peak_seconds: float,
    bandwidth_seconds: float,
    *,
    dtype: torch.dtype = torch.float32,
    size: int = 2048,
    matrix_bytes: int = 2**29,
) -> Accelerator:
    """What does the two `machine_calls` in that time."""
    return Accelerator(
        "this machine",
        {str(dtype).removeprefix("torch."): 2 * size**3 / peak_seconds},
        bytes_per_second=matrix_bytes / bandwidth_seconds,
        memory_bytes=None,
        watts=None,
        source=f"measured {datetime.date.today()}, {torch.get_num_threads()} threads",
    )


def machine_calls(
    *, dtype: torch.dtype = torch.float32, size: int = 2048, matrix_bytes: int = 2**29
) -> dict[str, Callable[[], Any]]:
    """What `this_machine` times: a product of two square matrices, and one by a vector."""
    rows = matrix_bytes // dtype.itemsize // 4096
    square, tall = torch.randn(size, size).to(dtype), torch.randn(rows, 4096).to(dtype)
    vector = torch.randn(4096).to(dtype)
    return {"peak": lambda: square @ square, "bandwidth": lambda: tall @ vector}


def t_quantile(probability: float, *, degrees: int) -> float:
    """Student's t below which lies the given share of its distribution.

    For a whole number of degrees of freedom the distribution has a closed form
    (Abramowitz and Stegun, 26.7.3 and 26.7.4), which is inverted by bisection.

    >>> round(t_quantile(0.975, degrees=2), 3)
    4.303
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability: got {probability}; expected a number between 0 and 1")
    if degrees < 1:
        raise ValueError(f"degrees: got {degrees}; expected at least 1")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees=degrees)
    low, high = 0.0, math.pi / 2  # t = sqrt(degrees) tan(angle)
    for _ in range(100):
        angle = (low + high) / 2
        low, high = (angle, high) if _t_below(angle, degrees) < probability else (low, angle)
    return math.sqrt(degrees) * math.tan(low)


def _t_below(angle: float, degrees: int) -> float:
    """Share of Student's distribution below t = sqrt(degrees) tan(angle), for angle >= 0."""
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(odd, degrees - 1, 2):
        total += term
        term *= (k + 1) / (k + 2) * math.cos(angle) ** 2
    within = math.sin(angle) * total
    if odd:
        within = 2 / math.pi * (angle + within)
    return (1 + within) / 2


def interval(values: Iterable[Real], *, confidence: float = 0.95) -> Interval:
    """Mean of independent runs, with Student's interval for the true mean.

    >>> round(interval([1, 2, 3]).high, 3)
    4.484
    """
    runs = [float(value) for value in values]
    if len(runs) < 2:
        raise ValueError(f"values: got {len(runs)}; an interval needs at least 2 runs")
    if not all(math.isfinite(run) for run in runs):
        raise ValueError("values: got one that is not finite; expected finite numbers")
    mean = math.fsum(runs) / len(runs)
    variance = math.fsum((run - mean) ** 2 for run in runs) / (len(runs) - 1)
    reach = t_quantile((1 + confidence) / 2, degrees=len(runs) - 1) * math.sqrt(
        variance / len(runs)
    )
    return Interval(mean, mean - reach, mean + reach)


def paired_interval(
    first: Iterable[Real], second: Iterable[Real], *, confidence: float = 0.95
) -> Interval:
    """Mean of first minus second, run by run, with its interval.

    For runs that share what makes them differ, such as the seed: their common
    noise cancels, and the interval is narrower than that of two separate means.
    """
    first, second = list(first), list(second)
    if len(first) != len(second):
        raise ValueError(
            f"second: got {len(second)} runs; expected {len(first)}, one for each of the first"
        )
    return interval([a - b for a, b in zip(first, second, strict=True)], confidence=confidence)


def loglog_slope(x: Iterable[Real], y: Iterable[Real], *, confidence: float = 0.95) -> Interval:
    """The power p in y = c · x^p, by least squares on logarithms, with its interval.

    >>> loglog_slope([1, 2, 4], [3, 12, 48]).value
    2.0
    """
    x, y = [float(value) for value in x], [float(value) for value in y]
    if len(x) != len(y):
        raise ValueError(f"y: got {len(y)} values; expected {len(x)}, one for each x")
    if len(x) < 3:
        raise ValueError(f"x: got {len(x)} points; a slope with an interval needs at least 3")
    for name, values in (("x", x), ("y", y)):
        if not all(0 < value < math.inf for value in values):
            raise ValueError(f"{name}: got a value that is not positive and finite")
    log_x, log_y = [math.log(value) for value in x], [math.log(value) for value in y]
    mean_x, mean_y = math.fsum(log_x) / len(x), math.fsum(log_y) / len(y)
    spread = math.fsum((a - mean_x) ** 2 for a in log_x)
    if spread == 0:
        raise ValueError("x: got the same value throughout; expected at least two different ones")
    pairs = list(zip(log_x, log_y, strict=True))
    slope = math.fsum((a - mean_x) * (b - mean_y) for a, b in pairs) / spread
    residual = math.fsum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in pairs)
    degrees = len(x) - 2
    error = math.sqrt(residual / degrees / spread)
    reach = t_quantile((1 + confidence) / 2, degrees=degrees) * error
    return Interval(slope, slope - reach, slope + reach)
