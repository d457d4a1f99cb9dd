"""A table of records gives back what was put in, and refuses what a file cannot keep."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from payattention import measure, records
from payattention.records import Results

values = some.none() | some.booleans() | some.integers() | some.floats(-1e9, 1e9) | some.text()
tables = some.integers(1, 4).flatmap(
    lambda width: some.lists(
        some.tuples(*[values] * width).map(
            lambda row: {f"column {index}": value for index, value in enumerate(row)}
        ),
        min_size=1,
        max_size=5,
    )
)
RUNS = [
    {"cell": cell, "gap": gap, "seed": seed, "recall": recall}
    for cell, gap, seed, recall in [
        ("gru", 4, 0, 0.9),
        ("rnn", 4, 0, 0.5),
        ("gru", 4, 1, 0.8),
        ("rnn", 8, 0, 0.1),
        ("gru", 4, 2, 1.0),
        ("rnn", 4, 1, 0.7),
    ]
]


@given(tables)
def test_records_come_back(table):
    results = Results.from_records("question", table)
    assert results.records() == table
    assert len(results) == len(table)


def test_missing_values_are_none_in_records_and_nan_in_columns():
    results = Results.from_records("question", [{"a": 1}, {"b": 2.5}, {"a": 3, "b": None}])
    assert results.records() == [{"a": 1, "b": None}, {"a": None, "b": 2.5}, {"a": 3, "b": None}]
    np.testing.assert_array_equal(results.column("a"), [1, math.nan, 3])
    assert results.column("a").dtype == float


def test_columns_keep_their_kind():
    results = Results.from_records("question", RUNS)
    assert results.column("gap").dtype.kind == "i"
    assert results.column("recall").tolist() == [run["recall"] for run in RUNS]
    assert results.column("cell").tolist() == [run["cell"] for run in RUNS]


def test_where_keeps_the_rows_that_agree_in_all():
    results = Results.from_records("question", RUNS, config={"width": 5})
    chosen = results.where(cell="rnn", gap=4)
    assert [run["recall"] for run in chosen.records()] == [0.5, 0.7]
    assert chosen.config == {"width": 5}
    assert len(results.where(cell="lstm")) == 0


def test_among_keeps_the_rows_with_one_of_the_values_in_the_order_of_the_values():
    results = Results.from_records("question", RUNS)
    chosen = results.among(cell=["rnn", "gru"], gap=[8, 4]).records()
    assert [(run["cell"], run["gap"], run["seed"]) for run in chosen] == [
        ("rnn", 8, 0),
        ("rnn", 4, 0),
        ("rnn", 4, 1),
        ("gru", 4, 0),
        ("gru", 4, 1),
        ("gru", 4, 2),
    ]


def test_summary_is_the_interval_of_each_group():
    found = Results.from_records("question", RUNS).where(gap=4).summary("recall", by=["cell"])
    assert [group["cell"] for group in found] == ["gru", "rnn"]
    for group, runs in zip(found, [[0.9, 0.8, 1.0], [0.5, 0.7]], strict=True):
        expected = measure.interval(runs)
        assert (group["mean"], group["low"], group["high"]) == (
            expected.value,
            expected.low,
            expected.high,
        )
        assert group["runs"] == len(runs)


def test_summary_groups_by_several_columns():
    found = Results.from_records("question", RUNS).summary("recall", by=["gap", "cell"])
    assert [(group["gap"], group["cell"]) for group in found] == [
        (4, "gru"),
        (4, "rnn"),
        (8, "rnn"),
    ]
    alone = found[-1]
    assert alone["mean"] == 0.1
    assert math.isnan(alone["low"])
    assert math.isnan(alone["high"])
    assert alone["runs"] == 1


def test_one_column_may_be_named_alone():
    results = Results.from_records("question", RUNS)
    assert results.summary("recall", by="cell") == results.summary("recall", by=["cell"])


def test_confidence_is_passed_on():
    results = Results.from_records("question", RUNS)
    narrow = results.summary("recall", by="cell", confidence=0.5)[0]
    assert narrow["high"] == measure.interval([0.9, 0.8, 1.0], confidence=0.5).high


@pytest.mark.parametrize(
    "ask",
    [
        lambda results: results.column("accuracy"),
        lambda results: results.where(accuracy=1),
        lambda results: results.among(accuracy=[1]),
        lambda results: results.summary("accuracy", by=["cell"]),
        lambda results: results.summary("recall", by=["accuracy"]),
    ],
)
def test_unknown_column_is_named_with_those_that_are_there(ask):
    with pytest.raises(ValueError, match=r"'accuracy'; expected one of \['cell', 'gap'"):
        ask(Results.from_records("question", RUNS))


def test_summary_of_missing_values_is_refused():
    with pytest.raises(ValueError, match="value: 'a' has missing values"):
        Results.from_records("question", [{"a": None, "b": 1}]).summary("a", by="b")


def test_numbers_of_numpy_become_pythons():
    plain = records.plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)})
    assert plain == {"a": 0.5, "b": 3, "c": True}
    assert [type(value) for value in plain.values()] == [float, int, bool]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match=r"its 'loss' is .*; expected a finite number, or None"):
        records.plain({"loss": value})


@pytest.mark.parametrize("value", [torch.ones(()), [1], (1,), {"a": 1}])
def test_what_a_column_cannot_hold_is_refused(value):
    with pytest.raises(TypeError, match=f"its 'loss' is a {type(value).__name__}"):
        records.plain({"loss": value})


def test_merged_record_tells_its_point():
    assert records.merged({"gap": 4}, {"recall": 0.5}) == {"gap": 4, "recall": 0.5}
    assert records.merged({"gap": 4}, {"gap": 4, "recall": 0.5}) == {"gap": 4, "recall": 0.5}
    with pytest.raises(ValueError, match="its 'gap' is 8; expected the point's 4"):
        records.merged({"gap": 4}, {"gap": 8})
