"""Which words are pronounced, how their errors are counted, and what is made of the records."""

from dataclasses import replace

import pytest

from payattention import data, results
from payattention import sequence_to_sequence as s2s
from payattention.experiments import pronunciation_vs_length as experiment
from payattention.pronunciation import without_stress
from payattention.records import Results


def test_every_test_word_counts_once():
    config = experiment.FULL
    lengths = range(config.shortest, config.longest + 1)
    words = [word for length in lengths for word in experiment.of_length(config, length)]
    assert sorted(words) == sorted(
        word for word in data.pronunciations("test") if len(word) >= config.shortest
    )
    assert {len(w) for w in experiment.of_length(config, 5)} == {5}
    assert max(len(w) for w in experiment.of_length(config, config.longest)) == 19


def test_fewer_words_are_a_choice_of_them():
    few = experiment.of_length(replace(experiment.FULL, words=11), 7)
    assert len(set(few)) == 11 and set(few) < set(experiment.of_length(experiment.FULL, 7))


@pytest.mark.parametrize("length", experiment.FULL.joined_lengths)
def test_joined_words_are_two_of_the_training(length):
    pairs, accepted = experiment.joined(length, 13)
    train = data.pronunciations("train")
    for (first, second), spoken in zip(pairs, accepted, strict=True):
        assert len(first) == len(second) == length // 2
        assert without_stress((*train[first][0], *train[second][0])) == spoken[0]
        assert len(spoken) == len(train[first]) * len(train[second])
    assert experiment.joined(length, 13) == (pairs, accepted)


def test_errors_are_edits_per_phoneme():
    said = [("K", "AE", "T"), ("D", "AO")]
    accepted = [[("K", "AE", "T")], [("D", "AO", "G"), ("D", "AO", "G", "Z")]]
    assert experiment.errors(said, accepted) == {
        "words": 2,
        "error": pytest.approx(1 / 6),
        "said": pytest.approx(5 / 6),
        "right": 0.5,
    }


def test_first_point_is_the_cheap_one():
    points = experiment.points(experiment.FULL)
    assert [point["steps"] for point in points] == [100] + 9 * [2000]
    assert len({tuple(point.items()) for point in points}) == 10


def test_models_have_equal_parameters():
    sizes = [
        sum(weight.numel() for weight in build().parameters()) for build in s2s.MODELS.values()
    ]
    assert max(sizes) / min(sizes) < 1.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["additive", "transformer"])
def test_weights_that_come_along_err_like_the_stored_ones(name, monkeypatch):
    """They are those of seed 0, in half precision; a tenth of a point is all that may cost."""
    stored = results.read("pronunciation_vs_length").where(
        model=name, seed=0, words_from="test", steps=experiment.FULL.steps
    )
    monkeypatch.setattr(experiment, "trained", lambda config, point: s2s.trained(name))
    config = replace(experiment.FULL, joined_lengths=())
    found = Results.from_records("tiny", experiment.measure(config, {}))
    for made, kept in zip(found.column("error"), stored.column("error"), strict=True):
        assert made == pytest.approx(kept, abs=0.01)  # of one length, some have few words
    means = [(r.column("error") * r.column("words")).sum() for r in (found, stored)]
    assert means[0] == pytest.approx(means[1], abs=0.001 * found.column("words").sum())


def rows(**columns):
    names = ("model", "seed", "words_from", "length", "error", "right", "said", "words")
    return dict.fromkeys(names, 0) | columns


def test_overall_is_weighted():
    records = [
        rows(model="a", error=0.1, words=30, length=5),
        rows(model="a", error=0.4, words=10, length=9),
        rows(model="a", error=0.5, words=10, length=9, seed=1),
    ]
    made = experiment.overall(Results.from_records("tiny", records), "error")
    assert made.column("error").tolist() == pytest.approx([(3 + 4) / 40, 0.5])


def test_price_is_what_joining_adds():
    records = [
        rows(model="a", words_from=kind, length=length, error=error, seed=seed)
        for kind, length, error, seed in [
            ("joined", 8, 0.5, 0),
            ("parts", 8, 0.2, 0),
            ("joined", 8, 0.6, 1),
            ("parts", 8, 0.1, 1),
            ("test", 8, 0.9, 1),
        ]
    ]
    made = experiment.prices(Results.from_records("tiny", records))
    assert made.column("price").tolist() == pytest.approx([0.3, 0.5])


def test_the_training_of_few_steps_is_left_out_of_findings():
    records = [rows(model="a") | {"steps": steps} for steps in (100, 2000)]
    made = experiment.in_full(Results.from_records("tiny", records))
    assert made.column("steps").tolist() == [2000]
