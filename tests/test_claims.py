"""The claims: whole, well formed, settled by what they name; and their arithmetic, done again."""

import re
from collections import Counter
from pathlib import Path

import pytest

from extensions import claims as extension
from payattention import results

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

H100 = 0.4 * 989e12  # operations a second, at 40 % of the peak
HOUR, DAY = 3600, 86_400
YEAR = 365.25 * DAY
GPT3_PARAMETERS = 12 * 96 * 12_288**2 + (50_257 + 2_048) * 12_288
GPT3_WATT_SECONDS = 3.14e23 / 24.6e12 * 330 * 1.10
LENET_5 = {
    "C1": 6 * (25 + 1),  # six maps, each from the image
    "S2": 6 * 2,  # a factor and a bias for each map
    "C3": 6 * (3 * 25 + 1) + 9 * (4 * 25 + 1) + 1 * (6 * 25 + 1),  # from three, four or six maps
    "S4": 16 * 2,
    "C5": 120 * (16 * 25 + 1),
    "F6": 84 * (120 + 1),
}


def share(tokens, d_model, factor):
    return tokens / (factor * d_model + tokens)


SUMS = [
    ("0.01", 1.23e22 / 1.21e20, 0.02, 100, "a hundred times"),
    ("0.11", 2**-0.076, 5e-4, 0.949, "0.949"),
    ("0.11", 10**-0.076, 1e-3, 0.839, "0.839"),
    ("1.14", GPT3_PARAMETERS / 1e9, 5e-4, 174.6, "174.6 billion"),
    ("1.16", 1.21e20 / H100 / DAY, 0.02, 3.5, "3.5"),
    ("1.16", 1.23e22 / H100 / DAY, 1e-3, 360, "360 days"),
    ("1.18", [n * n for n in (2, 3, 4)], 0, [4, 9, 16], "$n^2$"),
    ("1.18", [n * (n + 1) // 2 for n in (2, 3, 4)], 0, [3, 6, 10], "3, 6 and 10"),
    ("1.19", 100 * share(2048, 12_288, 6), 2e-3, 2.7, "2.7 %"),
    ("1.19", 100 * share(2048, 12_288, 12), 0.03, 1.4, "1.4 %"),
    ("1.19", 6 * 12_288, 0, 73_728, "73,728"),
    ("1.19", 6 * 768, 0, 4_608, "4,608"),
    ("1.20", 7e9 / 2 / 1e9, 0, 3.5, "3.5 GB"),
    ("1.20", 50 / 3.5, 0.03, 14, "14 tokens"),
    ("1.21", 175e9 * 2 / 1e9, 0, 350, "350 GB"),
    ("1.21", 7 * 2, 0, 14, "14 GB"),
    ("1.21", 4 + 4 + 2 * 4, 0, 16, "16 bytes"),
    ("1.22", 350 / 3, 5e-3, 117, "117"),
    ("1.27", GPT3_WATT_SECONDS / 3.6e9, 1e-3, 1_287, "1,287"),
    ("1.29", 1.5e6 * 6.5 * 8760 / 1e9, 1e-3, 85.4, "85.4"),
    ("1.29", 1.5e6 * 10.2 * 8760 / 1e9, 1e-3, 134.0, "134.0 TWh"),
    ("2.05", 10 ** (15 / 10), 0.02, 32, "32-fold"),
    ("2.05", 10 ** (20 / 10), 0, 100, "100-fold"),
    ("2.05", [10 ** (years / 5) for years in (10, 15, 20)], 1e-9, [1e2, 1e3, 1e4], "a thousand"),
    ("2.20", 1e12 * 1e6 * 1e-18, 1e-9, 1, "= 1"),
    ("2.21", 2 * 500e9 / 1e12, 0, 1, "Two operations"),
    ("2.22", 1e18 / H100 / HOUR * 2, 0.02, 1.4, "1.4"),
    ("2.22", 1e18 / H100 / HOUR * 4, 0.02, 2.8, "2.8 dollars"),
    ("2.23", [10 / 80e3 * 1e6, 10 / 133e3 * 1e6], 5e-3, [125, 75], "75 to 125 dollars"),
    ("2.23", [60_000 * 4 / 3, 100_000 * 4 / 3], 3e-3, [80_000, 133_000], "80,000 to 133,000"),
    ("3.04", sum(LENET_5.values()), 0, 60_000, "60,000"),
    ("3.04", list(LENET_5.values()), 0, [156, 12, 1_516, 32, 48_120, 10_164], "48,120 + 10,164"),
    ("3.08", 6 * 1e14 * 20 * 1e14 / 1e30, 1e-9, 1.2, "1.2 × 10³⁰"),
    ("3.08", 1.2e30 / 3.14e23 / 1e6, 0.01, 3.8, "3.8 million"),
    ("3.09", 100 * (1 - 10**-0.076), 0.01, 16, "16 %"),
    ("3.09", 1e6**1.076 / 1e6, 0.02, 2.9, "2.9 million"),
    ("3.14", 6 * 1e6 * 20e6 / 1e14, 1e-9, 1.2, "1.2 × 10¹⁴"),
    ("3.14", 1.2e14 / 1e12 / 60, 1e-9, 2, "two minutes"),
    ("3.14", 1.2e14 / 50e9 / 60, 1e-9, 40, "40 minutes"),
    ("3.14", 1.2e30 / (4e6 * H100) / YEAR, 0.02, 24, "24 years"),
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
