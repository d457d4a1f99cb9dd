"""Accelerators as data: how fast they compute, fetch and burn, and what an hour costs.

A peak is that of dense matrix products, as the maker prints it, and no program reaches it; a
bandwidth that of the memory next to the chip. Every number has a source and a date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from payattention.cost.arguments import one_of, positive
from payattention.cost.memory import BITS


@dataclass(frozen=True)
class Accelerator:
    """What computes: peak rates by dtype, bandwidth, memory, power, and dollars for an hour.

    `source` and `price_source` say where the numbers stand, and when they were read.

    Raises:
        TypeError, ValueError: for a quantity that is not a positive number, a dtype that is not in
            `memory.BITS`, no peak at all, or an empty source.
    """

    name: str
    flops_per_second: Mapping[str, float]
    bytes_per_second: float
    memory_bytes: float
    watts: float
    source: str
    dollars_per_hour: float | None = None
    price_source: str | None = None

    def __post_init__(self) -> None:
        if not self.flops_per_second:
            raise ValueError("flops_per_second: got none; expected a rate for at least one dtype")
        for dtype, rate in self.flops_per_second.items():
            one_of("dtype", dtype, BITS)
            positive(f"flops_per_second[{dtype!r}]", rate)
        object.__setattr__(self, "flops_per_second", MappingProxyType(dict(self.flops_per_second)))
        for name in ("bytes_per_second", "memory_bytes", "watts"):
            positive(name, getattr(self, name))
        if not self.source:
            raise ValueError("source: got none; expected where the numbers stand, and when")
        if self.dollars_per_hour is not None:
            positive("dollars_per_hour", self.dollars_per_hour)
            if not self.price_source:
                raise ValueError("price_source: got none; expected where the price stands")

    def peak(self, dtype: str) -> float:
        """Operations a second in matrix products of that dtype, at most.

        A dtype without a rate of its own, such as weights in four bits, is widened to 16 bits
        or, where there are none, 32. Two formats of 16 bits do not stand in for each other: a
        V100 multiplies bfloat16 no faster than float32.

        Raises:
            ValueError: for a dtype that is not in `memory.BITS`, or wider than all rates.
        """
        one_of("dtype", dtype, BITS)
        wider = ("bfloat16", "float16", "float32", "float64")
        for candidate in (dtype, *(w for w in wider if BITS[w] > BITS[dtype])):
            if candidate in self.flops_per_second:
                return self.flops_per_second[candidate]
        known = ", ".join(self.flops_per_second)
        raise ValueError(f"dtype={dtype!r}: {self.name} has rates for {known}")


H100 = Accelerator(
    "NVIDIA H100 SXM",
    {"bfloat16": 989e12, "float16": 989e12, "float32": 67e12},
    bytes_per_second=3.35e12,
    memory_bytes=80e9,
    watts=700,
    source="NVIDIA H100 Tensor Core GPU datasheet, dense rates, read 2026-11",
)
