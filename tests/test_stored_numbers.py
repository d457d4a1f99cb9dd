"""The role ``number``: the right string, or an error that says what is missing."""

import sys
import types

import pytest

from extensions import stored_numbers


@pytest.fixture
def question(monkeypatch):
    """An experiment with stored results, as the book's own are."""
    results = types.ModuleType("payattention.results")
    results.read = lambda name: {"question": name, "records": {"slope": [1.98]}}
    experiment = types.ModuleType("payattention.experiments.stand_in")
    experiment.findings = lambda read: {"slope": f"{read['records']['slope'][0]:.1f}"}
    monkeypatch.setitem(sys.modules, "payattention.results", results)
    monkeypatch.setattr("payattention.results", results, raising=False)
    monkeypatch.setitem(sys.modules, "payattention.experiments.stand_in", experiment)
    stored_numbers.findings.cache_clear()
    yield
    stored_numbers.findings.cache_clear()


def test_a_number_is_what_the_experiment_finds(question):
    assert stored_numbers.look_up("stand_in.slope") == "2.0"


def test_a_reference_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"'slope' is not of the form question\.name"):
        stored_numbers.look_up("slope")


def test_an_unknown_name_lists_the_known_ones(question):
    with pytest.raises(LookupError, match=r"finds no 'width', only \['slope'\]"):
        stored_numbers.look_up("stand_in.width")


def test_powers_are_raised_in_every_font():
    parts = stored_numbers.raised("10⁻¹² to 10³ of 2")
    assert [type(part).__name__ for part in parts] == [
        "Text",
        "superscript",
        "Text",
        "superscript",
        "Text",
    ]
    assert "".join(part.astext() for part in parts) == "10−12 to 103 of 2"


def test_an_unknown_experiment_says_so():
    with pytest.raises(LookupError, match="no stored results for 'nobody_asked'"):
        stored_numbers.look_up("nobody_asked.slope")
