"""Every stored result is still what its code gives, at the point that is cheapest to repeat."""

import importlib

import pytest

from payattention import results

MISSING = object()


def differences(stored, fresh, tolerance):
    """What the fresh records have otherwise than the stored ones, in words.

    A column without a tolerance must agree to the nine digits that a file keeps;
    one whose tolerance is None depends on the machine and is only there or not.
    """
    if len(stored) != len(fresh):
        return [f"{len(fresh)} records instead of {len(stored)}"]
    found = []
    for row, (old, new) in enumerate(zip(stored, fresh, strict=True)):
        for name in dict.fromkeys([*old, *new]):
            before, now = old.get(name), new.get(name)
            allowed = tolerance.get(name, MISSING)
            if allowed is None:
                agree = (before is None) == (now is None)
            elif isinstance(before, float) and isinstance(now, int | float):
                agree = abs(now - before) <= (1e-8 * abs(before) if allowed is MISSING else allowed)
            else:
                agree = before == now
            if not agree:
                found.append(f"record {row}: {name} is {now}, and {before} is stored")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("question", results.stored())
def test_cheapest_point_gives_what_is_stored(question):
    experiment = importlib.import_module(f"{results.EXPERIMENTS}.{question}")
    tolerance = experiment.TOLERANCE
    if results.read(question).environment["cpu"] != results.processor():
        tolerance = tolerance | getattr(experiment, "ELSEWHERE", {})
    stored, fresh = results.recompute(question)
    assert stored, f"nothing stored for the cheapest point of {question}"
    assert differences(stored, fresh, tolerance) == []


def test_every_question_has_a_stored_answer_and_every_answer_its_question():
    assert results.stored() == results.questions()


@pytest.mark.parametrize("question", results.stored())
def test_findings_are_words(question):
    findings = importlib.import_module(f"{results.EXPERIMENTS}.{question}").findings(
        results.read(question)
    )
    assert findings
    assert all(isinstance(said, str) and said for said in findings.values())


@pytest.mark.parametrize(
    ("fresh", "complaints"),
    [
        ([{"cell": "gru", "recall": 0.5, "seconds": 3.0}], 0),
        ([{"cell": "gru", "recall": 0.505, "seconds": 3.0}], 0),
        ([{"cell": "gru", "recall": 0.52, "seconds": 3.0}], 1),
        ([{"cell": "rnn", "recall": 0.5, "seconds": 3.0}], 1),
        ([{"cell": "gru", "recall": None, "seconds": None}], 2),
        ([{"cell": "gru", "recall": 0.5}], 1),
        ([{"cell": "gru", "recall": 0.5, "seconds": 3.0, "gap": 4}], 1),
        ([], 1),
    ],
)
def test_differences_are_seen(fresh, complaints):
    stored = [{"cell": "gru", "recall": 0.5, "seconds": 1.0}]
    assert len(differences(stored, fresh, {"recall": 0.01, "seconds": None})) == complaints


def test_without_a_tolerance_nine_digits_must_agree():
    stored = [{"slope": 0.333333333}]
    assert differences(stored, [{"slope": 1 / 3}], {}) == []
    assert differences(stored, [{"slope": 0.33333}], {}) != []
