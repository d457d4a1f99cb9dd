"""The claims: whole, well formed, settled by what they name; and their arithmetic, done again."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from extensions import claims as extension
from payattention import results
from payattention.cost import assumptions, energy, memory, operations, parameters
from payattention.cost.energy import kilowatt_hours
from payattention.cost.hardware import H100, V100
from payattention.scaling_laws import BESIROGLU_2024, HOFFMANN_2022, KAPLAN_2020, MUENNIGHOFF_2023
from payattention.shape import GPT2_SMALL, GPT3

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = extension.read(ROOT / extension.FILE)
BY_ID = {claim["id"]: claim for claim in CLAIMS}
NUMBERS = (28, 29, 32, 32)
"""How many claims each article holds; they are numbered from 01."""
TALLY = {"true": 40, "imprecise": 39, "misleading": 13, "false": 20, "unverifiable": 9}
CITED = re.compile(r"\{cite\}`([^`]+)`")


@pytest.fixture(scope="module")
def works():
    text = (ROOT / "references.bib").read_text(encoding="utf8")
    return set(re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE))


def test_every_claim_is_there_once_and_in_order():
    wanted = [f"{a}.{n:02}" for a, count in enumerate(NUMBERS) for n in range(1, count + 1)]
    assert [claim["id"] for claim in CLAIMS] == wanted


def test_the_tally():
    assert Counter(claim["verdict"] for claim in CLAIMS) == TALLY
    assert sum(extension.counted(CLAIMS, verdict) for verdict in TALLY) == 121
    assert extension.counted(CLAIMS, "all") == 121


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
class TestClaim:
    def test_its_sources_exist_and_are_those_that_it_cites(self, claim, works):
        cited = [key for keys in CITED.findall(claim["answer"]) for key in keys.split(",")]
        assert set(claim["sources"]) <= works
        assert set(cited) <= set(claim["sources"])

    def test_what_is_settled_by_measurement_says_a_measured_number(self, claim):
        numbers = re.findall(r"\{number\}`(\w+)\.\w+`", claim["answer"])
        assert set(numbers) <= set(claim.get("results", []))
        assert (claim["by"] == "measurement") == bool(numbers)
        assert set(claim.get("results", [])) <= set(results.stored())

    def test_it_reads_as_text(self, claim):
        """Short, quoted from a Chinese article, and without the notes of whoever checked it."""
        assert len(claim["answer"].split()) <= 90
        assert re.search(r"[\u4e00-\u9fff]", claim["quote"])
        assert not re.search(r"[\u4e00-\u9fff]", claim["english"] + claim["answer"])
        assert not re.search(r"\bmem\b|TODO|§|!", claim["answer"] + claim.get("unchecked", ""))
        for text in (claim["answer"], claim.get("unchecked", "X.")):
            assert text.strip()[-1] in ".)" and not re.match(r"(?!mixup)[a-z]", text.strip())

    def test_its_chapter_draws_it(self, claim):
        chapter = ROOT / "chapters" / f"{claim.get('topic')}.md"
        if chapter.exists():
            assert f"```{{claims}} {claim['topic']}" in chapter.read_text(encoding="utf8")


# Arithmetic: what is computed here, and how the answer prints it

DAY = 86_400
GPT3_PARAMETERS = sum(parameters.decoder(GPT3).values())
GPT3_FLOPS = assumptions.GPT3_FLOPS.value
GPT3_BILL = energy.bill(GPT3_FLOPS, on=replace(V100, watts=330), utilisation=24.6 / 125)
FIVES = [energy.price_factor(years, per_years=5) for years in (10, 15, 20)]
PAPERBACKS = [energy.printed_dollars_per_million_tokens(10, words=w) for w in (60_000, 100_000)]
ONE_V100 = energy.seconds(GPT3_FLOPS, on=V100, utilisation=28 / 125)
LENET_5 = {
    "C1": 6 * (25 + 1),  # six maps, each from the image
    "S2": 6 * 2,  # a factor and a bias for each map
    "C3": 6 * (3 * 25 + 1) + 9 * (4 * 25 + 1) + 1 * (6 * 25 + 1),  # from three, four or six maps
    "S4": 16 * 2,
    "C5": 120 * (16 * 25 + 1),
    "F6": 84 * (120 + 1),
}


GOPHER_FLOPS = 5.76e23  # as Hoffmann et al. took it from Gopher's authors
TABLE_3 = {400e6: 8.0e9, 1e9: 20.2e9, 10e9: 205.1e9, 67e9: 1.5e12, 10e12: 216.2e12}
"""Hoffmann et al. 2022: tokens that are best for so many parameters, by their first method."""
PUBLIC_TEXT_TOKENS = 300e12  # Villalobos et al. 2024


def square(shape, tokens, mask):
    """Share of scores and mixing, in per cent, logits aside."""
    pairs = operations.needed_pairs(tokens, mask=mask)
    bill = operations.forward(shape, tokens=tokens, pairs=pairs)
    return 100 * (bill["scores"] + bill["mixing"]) / (sum(bill.values()) - bill["logits"])


def training(parameters):
    return operations.training_by_rule(parameters, tokens=300 * 10**9)


def h100_days(flops):
    return energy.seconds(flops, on=H100, utilisation=0.4) / DAY


def fleet(watts):
    return kilowatt_hours(energy.fleet_joules(1_500_000, watts=watts)) / 1e9


def best_parameters(law):
    return law.optimum(GOPHER_FLOPS).parameters / 1e9


def readings(times):
    """New texts that are worth as much as one that is read so often."""
    return MUENNIGHOFF_2023.effective_tokens(times, unique_tokens=1)


def by_kaplan(parameters):
    return (KAPLAN_2020.N_c / parameters) ** KAPLAN_2020.alpha_N


def million_tokens(dollars_per_hour):
    price = energy.dollars_per_flop(on=H100, dollars_per_hour=dollars_per_hour, utilisation=0.4)
    return energy.dollars_per_million_tokens(1e12, dollars_per_flop=price)


SUMS = [
    ("0.01", training(10**10) / training(10**9), 0, 10, "ten times as much"),
    ("0.01", 1.23e22 / 1.21e20, 0.02, 100, "a hundred times"),
    ("0.01", [6 * n * TABLE_3[n] for n in (1e9, 10e9)], 2e-3, [1.21e20, 1.23e22], "1.23 × 10²²"),
    ("0.10", [d / n for n, d in TABLE_3.items()], 0.13, [20] * 5, "some 20 tokens"),
    ("0.10", 1 - HOFFMANN_2022.parameters_exponent, 0.01, 0.54, "and 0.54"),
    ("0.11", by_kaplan(2e9) / by_kaplan(1e9), 5e-4, 0.949, "0.949"),
    ("0.11", by_kaplan(1e10) / by_kaplan(1e9), 1e-3, 0.839, "0.839"),
    ("0.12", ONE_V100 / energy.YEAR_SECONDS, 2e-3, 355, "355 years"),
    ("0.12", energy.rent_dollars(ONE_V100, dollars_per_hour=1.5) / 1e6, 0.02, 4.6, "4.6 million"),
    ("0.12", training(175 * 10**6) / training(175 * 10**9), 1e-9, 1e-3, "a thousandth"),
    ("0.28", 20 * 10**6 / 10**6, 0, 20, "20 million"),
    ("0.28", BESIROGLU_2024.tokens_per_parameter(GOPHER_FLOPS), 0.1, 20, "about 20 tokens"),
    ("1.13", 70e9 * 1.4e12 / (280e9 * 300e9), 0.17, 1, "about the same budget"),
    ("1.14", GPT3_PARAMETERS / 1e9, 5e-4, 174.6, "174.6 billion"),
    ("1.16", training(10**10) / training(10**9), 0, 10, "ten times as long"),
    ("1.16", h100_days(1.21e20), 0.02, 3.5, "3.5"),
    ("1.16", h100_days(1.23e22), 1e-3, 360, "360 days"),
    ("1.18", [n * n for n in (2, 3, 4)], 0, [4, 9, 16], "$n^2$"),
    ("1.18", [n * (n + 1) // 2 for n in (2, 3, 4)], 0, [3, 6, 10], "3, 6 and 10"),
    ("1.19", square(GPT3, 2048, "full"), 2e-3, 2.7, "2.7 %"),
    ("1.19", square(GPT3, 2048, "causal"), 0.03, 1.4, "1.4 %"),
    ("1.19", operations.crossover_tokens(GPT3), 0, 73_728, "73,728"),
    ("1.19", operations.crossover_tokens(GPT2_SMALL), 0, 4_608, "4,608"),
    ("1.20", memory.bytes_of(7 * 10**9, "int4") / 1e9, 0, 3.5, "3.5 GB"),
    ("1.20", 50 / 3.5, 0.03, 14, "14 tokens"),
    ("1.21", memory.bytes_of(175 * 10**9, "float16") / 1e9, 0, 350, "350 GB"),
    ("1.21", memory.bytes_of(7 * 10**9, "float16") / 1e9, 0, 14, "14 GB"),
    ("1.21", sum(memory.training(1).values()), 0, 16, "16 bytes"),
    ("1.22", 350 / 3, 5e-3, 117, "117"),
    ("1.24", memory.kv_cache_bytes(GPT3, tokens=10**6) / 1e12, 5e-3, 4.7, "4.7 TB"),
    ("1.26", assumptions.WATER_ON_SITE.value, 0.1, 0.5, "half a litre"),
    ("1.26", GPT3_BILL["water_litres"] / 1.287e6, 2e-3, 4.2, "4.2 litres"),
    ("1.27", kilowatt_hours(GPT3_BILL["joules"]) / 1e3, 1e-3, 1_287, "1,287"),
    ("1.27", GPT3_BILL["co2e_kilograms"] / 1e3, 1e-3, 552, "552 tonnes"),
    ("1.28", kilowatt_hours(energy.bill(GPT3_FLOPS, on=H100)["joules"]) / 1e3, 2e-3, 170, "170"),
    ("1.29", fleet(watts=6_500), 1e-3, 85.4, "85.4"),
    ("1.29", fleet(watts=10_200), 1e-3, 134.0, "134.0 TWh"),
    ("1.29", kilowatt_hours(assumptions.NETHERLANDS_JOULES.value) / 1e9, 1e-3, 112.4, "112.4"),
    ("2.05", energy.price_factor(15), 0.02, 32, "32-fold"),
    ("2.05", energy.price_factor(20), 0, 100, "100-fold"),
    ("2.05", FIVES, 1e-9, [1e2, 1e3, 1e4], "a thousand"),
    ("2.20", 1e12 * 1e6 * 1e-18, 1e-9, 1, "= 1"),
    ("2.21", 2 * 500e9 / 1e12, 0, 1, "Two operations"),
    ("2.22", million_tokens(2), 0.02, 1.4, "1.4"),
    ("2.22", million_tokens(4), 0.02, 2.8, "2.8 dollars"),
    ("2.23", PAPERBACKS, 5e-3, [125, 75], "75 to 125 dollars"),
    ("2.23", [60_000 * 4 / 3, 100_000 * 4 / 3], 3e-3, [80_000, 133_000], "80,000 to 133,000"),
    ("2.25", 15e12 / 8e9, 0, 1_875, "1,875 for each"),
    ("3.04", sum(LENET_5.values()), 0, 60_000, "60,000"),
    ("3.04", list(LENET_5.values()), 0, [156, 12, 1_516, 32, 48_120, 10_164], "48,120 + 10,164"),
    ("3.06", [p**10 for p in (0.7, 0.9, 0.99)], 0.07, [0.03, 0.35, 0.90], "0.03; with 0.9"),
    ("3.08", 20 * 1e14 / PUBLIC_TEXT_TOKENS, 0.05, 7, "some seven times"),
    ("3.08", 6 * 1e14 * 20 * 1e14 / 1e30, 1e-9, 1.2, "1.2 × 10³⁰"),
    ("3.08", 1.2e30 / 3.14e23 / 1e6, 0.01, 3.8, "3.8 million"),
    ("3.09", 100 * (1 - by_kaplan(1e10) / by_kaplan(1e9)), 0.01, 16, "16 %"),
    ("3.09", 1e6**1.076 / 1e6, 0.02, 2.9, "2.9 million"),
    ("3.10", TABLE_3[67e9] / 67e9, 0.13, 20, "some 20 tokens"),
    ("3.10", best_parameters(HOFFMANN_2022), 0.02, 40, "40 billion"),
    ("3.10", best_parameters(BESIROGLU_2024), 0.01, 72, "correction 72"),
    ("3.11", 280 / 70, 0, 4, "four times"),
    ("3.13", sum(memory.training(1).values()), 0, 16, "16 in training"),
    ("3.14", operations.training_by_rule(10**6, tokens=20 * 10**6) / 1e14, 0, 1.2, "1.2 × 10¹⁴"),
    ("3.14", 1.2e14 / 1e12 / 60, 1e-9, 2, "two minutes"),
    ("3.14", 1.2e14 / 50e9 / 60, 1e-9, 40, "40 minutes"),
    ("3.14", h100_days(1.2e30) / 4e6 / 365, 0.02, 24, "24 years"),
    ("3.16", readings(4), 0.01, 3.7, "3.7 times"),
    ("3.16", readings(16), 2e-3, 10.6, "10.6"),
    ("3.16", readings(10**6), 1e-3, 16.4, "more than 16.4"),
    ("3.17", PUBLIC_TEXT_TOKENS / 20 / 1e12, 0, 15, "15 trillion"),
]


@pytest.mark.parametrize(("claim", "value", "tolerance", "stated", "words"), SUMS)
def test_the_sum_comes_out(claim, value, tolerance, stated, words):
    assert words in " ".join(BY_ID[claim]["answer"].split())
    assert value == pytest.approx(stated, rel=tolerance or 1e-12)


def test_every_claim_settled_by_arithmetic_is_computed():
    computed = {claim for claim, *_ in SUMS}
    assert {claim["id"] for claim in CLAIMS if claim["by"] == "arithmetic"} <= computed


# What the reader of a broken file is told

GOOD = dict(BY_ID["0.06"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verdict": "True"}, "verdict: got 'True'; expected one of true, imprecise"),
        ({"verdict": True}, "verdict: got True"),
        ({"by": "guess"}, "by: got 'guess'; expected one of source"),
        ({"topic": "rnn"}, "topic: got 'rnn'; expected one of recurrence"),
        ({"id": "4.01"}, "id: got '4.01'; expected article and number"),
        ({"answer": " "}, "answer: empty"),
        ({"anwser": "x"}, "anwser: not a field of a claim"),
        ({"by": "source", "sources": []}, "sources: empty; expected at least one"),
        ({"results": []}, "results: empty; expected at least one"),
        ({"results": ["nothing"]}, "results: got 'nothing'; expected the name of a stored"),
        ({"by": "none"}, "by: none is for claims that are unverifiable"),
    ],
)
def test_a_fault_is_named(change, told):
    assert list(extension.faults(GOOD)) == []
    assert any(fault.startswith(told) for fault in extension.faults(GOOD | change))


def test_a_missing_field_is_named():
    del (claim := dict(GOOD))["english"]
    assert list(extension.faults(claim)) == ["english: missing"]


def test_a_claim_that_stands_there_twice_is_named(tmp_path):
    path = tmp_path / "claims.yml"
    fields = "id: '0.01', quote: q, english: e, verdict: 'true', answer: A., sources: [x]"
    one = f"- {{{fields}, by: source}}\n"
    path.write_text(one + one)
    with pytest.raises(ValueError, match=r"claims\.yml: claim 0\.01: stands there 2 times"):
        extension.read(path)


def test_an_unknown_count_is_refused():
    with pytest.raises(ValueError, match="claims-count: got 'wrong'"):
        extension.counted(CLAIMS, "wrong")
