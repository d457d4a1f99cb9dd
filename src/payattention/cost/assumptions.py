"""Numbers from the world that arithmetic cannot give, each with its unit, kind, source and date.

They are the defaults of `payattention.cost.energy`, and the inputs of the published numbers that it
is tested on.
"""

from dataclasses import dataclass
from types import MappingProxyType

from payattention.cost.arguments import positive

JOULES_PER_KILOWATT_HOUR = 3.6e6
KINDS = ("reported", "derived", "assumed")


@dataclass(frozen=True)
class Assumption:
    """A number from the world: what it counts, how it came about, where and when.

    It is "reported" by those who ran or measured it, "derived" by arithmetic from two such numbers,
    or "assumed", for it depends on whom one asks.

    Raises:
        TypeError, ValueError: for a value that is not a positive number, another kind, or no unit
            or source.
    """

    value: float
    unit: str
    kind: str
    source: str

    def __post_init__(self) -> None:
        positive("value", self.value)
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r}: expected one of {', '.join(KINDS)}")
        for name, expected in {"unit": "what it counts", "source": "where and when"}.items():
            if not getattr(self, name):
                raise ValueError(f"{name}='': expected {expected}")


UTILISATION = Assumption(
    0.4,
    "of the peak rate",
    "assumed",
    "Chowdhery et al. 2022 (arXiv:2204.02311), table 3: 0.21 for GPT-3, 0.46 for PaLM",
)
PUE = Assumption(
    1.10,
    "joules of the building for a joule of its computers",
    "reported",
    "Patterson et al. 2021 (arXiv:2104.10350), table 4, for GPT-3",
)
CO2E_KILOGRAMS_PER_KILOWATT_HOUR = Assumption(
    0.429,
    "kilograms of CO2e for a kilowatt-hour",
    "reported",
    "Patterson et al. 2021 (arXiv:2104.10350), table 4, for GPT-3",
)
GPT3_FLOPS = Assumption(
    3.14e23, "operations", "reported", "Brown et al. 2020 (arXiv:2005.14165), table D.1"
)
GPT3_FLOPS_PER_SECOND = Assumption(
    24.6e12,
    "operations a second on each V100",
    "reported",
    "Patterson et al. 2021 (arXiv:2104.10350), appendix A",
)
GPT3_WATTS = Assumption(
    330,
    "watts for each V100 and its share of the server",
    "reported",
    "Patterson et al. 2021 (arXiv:2104.10350), appendix A",
)
GPT3_ACCELERATORS = Assumption(
    10_000,
    "V100",
    "assumed",
    "Patterson et al. 2021 (arXiv:2104.10350), appendix A: NVIDIA's suggestion; changes days only",
)
GPT3_KILOWATT_HOURS = Assumption(
    1.287e6,
    "kilowatt-hours",
    "derived",
    "Patterson et al. 2021 (arXiv:2104.10350), table 4; from the four numbers above",
)
WATER_ON_SITE = Assumption(
    700_000 / GPT3_KILOWATT_HOURS.value,
    "litres for a kilowatt-hour",
    "derived",
    "Li et al. 2025 (arXiv:2304.03271): 700,000 litres for GPT-3, divided by its kilowatt-hours",
)
WATER_OF_GENERATION = Assumption(
    (5_400_000 - 700_000) / GPT3_KILOWATT_HOURS.value,
    "litres for a kilowatt-hour",
    "derived",
    "Li et al. 2025 (arXiv:2304.03271): 5.4 million litres for GPT-3 in all, without those on site",
)
TOKENS_PER_WORD = Assumption(
    4 / 3, "tokens", "assumed", "OpenAI Help Center, for English, read 2026-11: 100 for 75 words"
)
SERVERS_2027 = Assumption(
    1_500_000,
    "servers for AI that NVIDIA ships in a year",
    "assumed",
    "de Vries 2023 (doi:10.1016/j.joule.2023.09.004), a scenario for 2027",
)
SERVER_WATTS_LEAST = Assumption(
    6_500,
    "watts for a server of eight accelerators",
    "reported",
    "NVIDIA's DGX A100, in de Vries 2023 (doi:10.1016/j.joule.2023.09.004)",
)
SERVER_WATTS_MOST = Assumption(
    10_200,
    "watts for a server of eight accelerators",
    "reported",
    "NVIDIA's DGX H100, in de Vries 2023 (doi:10.1016/j.joule.2023.09.004)",
)
NETHERLANDS_JOULES = Assumption(
    112_434e6 * JOULES_PER_KILOWATT_HOUR,
    "joules of electricity in 2020",
    "reported",
    "Statistics Netherlands, electricity balance sheet, table 84575ENG, provisional, read 2026-11",
)

ASSUMPTIONS = MappingProxyType(
    {name: value for name, value in globals().items() if isinstance(value, Assumption)}
)
"""All of the above by name, to be printed."""
