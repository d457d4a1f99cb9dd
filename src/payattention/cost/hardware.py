"""Accelerators as data: how fast they compute, fetch and burn, and what an hour costs.

A peak is that of dense matrix products, as the maker prints it, and no program reaches it; a
bandwidth that of the memory next to the chip. Watts are the most that the chip or card is built to
draw, without the computer around it. Rates below 16 bits, which several have, are left out. Every
number has a source and a date; a price is one of many, and old within months.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from payattention.cost.arguments import one_of, positive
from payattention.cost.memory import BITS


@dataclass(frozen=True)
class Accelerator:
    """What computes: peak rates by dtype, bandwidth, memory, power, and dollars for an hour.

    `source` and `price_source` say where the numbers stand, and when they were read. Memory
    and watts are None where nobody knows them, as of what `measure.this_machine` has measured.

    Raises:
        TypeError, ValueError: for a quantity that is not a positive number, a dtype that is not in
            `memory.BITS`, no peak at all, or an empty source.
    """

    name: str
    flops_per_second: Mapping[str, float]
    bytes_per_second: float
    memory_bytes: float | None
    watts: float | None
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
        positive("bytes_per_second", self.bytes_per_second)
        for name in ("memory_bytes", "watts"):
            if getattr(self, name) is not None:
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


V100 = Accelerator(
    "NVIDIA V100 SXM2",
    {"float16": 125e12, "float32": 15.7e12},
    bytes_per_second=900e9,
    memory_bytes=32e9,
    watts=300,
    source="NVIDIA V100 datasheet, 2020, from a transcription read 2026-11; there is one of 16 GB",
    dollars_per_hour=1.5,
    price_source="Li, Lambda, 2020: the lowest price of a cloud, reserved for three years",
)
T4 = Accelerator(
    "NVIDIA T4",
    {"float16": 65e12, "float32": 8.1e12},
    bytes_per_second=320e9,
    memory_bytes=16e9,
    watts=70,
    source="NVIDIA T4 datasheet, 2019, from copies read 2026-11; one of them says 300 GB/s",
)
"""The card that Google Colab lends for nothing."""
A100 = Accelerator(
    "NVIDIA A100 SXM 80 GB",
    {"bfloat16": 312e12, "float16": 312e12, "float32": 19.5e12},
    bytes_per_second=2.039e12,
    memory_bytes=80e9,
    watts=400,
    source="NVIDIA A100 datasheet, dense rates, from a transcription read 2026-11",
    dollars_per_hour=1.79,
    price_source="RunPod, Secure Cloud, on demand, as listed by others 2026-11-09",
)
H100 = Accelerator(
    "NVIDIA H100 SXM",
    {"bfloat16": 989e12, "float16": 989e12, "float32": 67e12},
    bytes_per_second=3.35e12,
    memory_bytes=80e9,
    watts=700,
    source="NVIDIA H100 Tensor Core GPU datasheet, dense rates (half of the printed), read 2026-11",
    dollars_per_hour=3.99,
    price_source="RunPod, Secure Cloud, on demand, as listed by others 2026-11-09, who list 2.69 "
    "to 12.29 elsewhere",
)
H200 = Accelerator(
    "NVIDIA H200 SXM",
    {"bfloat16": 989e12, "float16": 989e12, "float32": 67e12},
    bytes_per_second=4.8e12,
    memory_bytes=141e9,
    watts=700,
    source="NVIDIA H200 datasheet, dense rates (half of the printed), from copies read 2026-11",
    dollars_per_hour=4.59,
    price_source="RunPod, on demand, as listed by others 2026-10-07",
)
"""An H100 with more and faster memory."""
RTX_4090 = Accelerator(
    "NVIDIA GeForce RTX 4090",
    {"bfloat16": 165.2e12, "float16": 165.2e12, "float32": 82.6e12},
    bytes_per_second=1.008e12,
    memory_bytes=24e9,
    watts=450,
    source="NVIDIA Ada GPU architecture, 2022: dense, summed in 32 bits; from copies read 2026-11",
)
"""Advertisements print 661e12: with half of the weights zero, and sums in 16 bits."""
TPU_V4 = Accelerator(
    "Google TPU v4",
    {"bfloat16": 275e12},
    bytes_per_second=1.2e12,
    memory_bytes=32 * 2**30,
    watts=192,
    source="Google Cloud documentation, TPU v4, read 2026-11: 90 W least, 170 W mean, 192 W most",
)
APPLE_M1 = Accelerator(
    "Apple M1, graphics of 8 cores",
    {"float32": 2.6e12},
    bytes_per_second=16 * 4266e6,
    memory_bytes=16e9,
    watts=10,
    source="Apple, 2020: 2.6 TFLOPS. Bandwidth by arithmetic: LPDDR4X-4266, 16 bytes wide. Apple "
    "gives no power; unconfirmed: 10 W, a reviewer's figure for a laptop without a fan, 2026-11",
)
LAPTOP_DDR4 = Accelerator(
    "laptop of 2020: AMD Ryzen 7 4800U",
    {"float32": 8 * 1.8e9 * 32},
    bytes_per_second=2 * 8 * 3200e6,
    memory_bytes=16e9,
    watts=15,
    source="By arithmetic: 8 cores at the 1.8 GHz that all can hold, 2 units of 8 multiply-adds; "
    "two channels of 8 bytes of DDR4-3200, a usual 16 GB. AMD's figures, from reports of 2020",
)
LAPTOP_DDR5 = Accelerator(
    "laptop of 2023: AMD Ryzen 7 7840U",
    {"float32": 8 * 3.3e9 * 32},
    bytes_per_second=2 * 8 * 5600e6,
    memory_bytes=32e9,
    watts=28,
    source="By arithmetic: 8 cores at the 3.3 GHz that all can hold, 2 units of 8 multiply-adds; "
    "two channels of 8 bytes of DDR5-5600, a usual 32 GB. AMD's figures, from reports of 2023",
)

ACCELERATORS = MappingProxyType(
    {
        "V100": V100,
        "T4": T4,
        "A100": A100,
        "H100": H100,
        "H200": H200,
        "RTX 4090": RTX_4090,
        "TPU v4": TPU_V4,
        "Apple M1": APPLE_M1,
        "laptop DDR4": LAPTOP_DDR4,
        "laptop DDR5": LAPTOP_DDR5,
    }
)
"""All of them by a short name, servers first."""


def accelerator(name: str) -> Accelerator:
    """The accelerator of that short name.

    >>> accelerator("T4").watts
    70

    Raises:
        ValueError: for a name that is not in `ACCELERATORS`.
    """
    return one_of("name", name, ACCELERATORS)
