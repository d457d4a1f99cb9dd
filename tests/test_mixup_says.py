"""What the chapter on mixup says in words of its own stands in the stored intervals.

Numbers and "no effect seen" come from the findings. Sentences around them say that something helps,
hurts, or is not seen to; should another run of the experiments find otherwise, these tests say
which sentence has to be written again.
"""

import pytest

from payattention import results
from payattention.effects import NONE
from payattention.experiments import (
    error_vs_attack,
    error_vs_mixing,
    error_vs_operations,
    error_vs_remedy,
    genre_vs_mixing,
)

MODULES = {
    module.__name__.rpartition(".")[-1]: module
    for module in (
        error_vs_attack,
        error_vs_mixing,
        error_vs_operations,
        error_vs_remedy,
        genre_vs_mixing,
    )
}


@pytest.fixture(scope="module")
def found():
    return {name: module.findings(results.read(name)) for name, module in MODULES.items()}


@pytest.mark.parametrize(
    ("question", "finding", "verdict"),
    [
        # the map: where there is much to unlearn, where there is nothing, and where there is little
        ("error_vs_mixing", "digits_cnn_1000_40_2_error_said", "lower"),
        ("error_vs_mixing", "clothes_vit_1000_40_1_error_said", "lower"),
        ("error_vs_mixing", "clothes_cnn_5000_0_1_error_said", "higher"),
        ("error_vs_mixing", "clothes_vit_5000_0_1_error_said", "higher"),
        ("error_vs_mixing", "clothes_cnn_5000_40_1_error_said", "higher"),
        ("error_vs_mixing", "clothes_vit_5000_40_1_error_said", "higher"),
        ("error_vs_mixing", "digits_cnn_50_0_0.1_error_said", "lower"),
        ("error_vs_mixing", "clothes_cnn_200_0_0.2_error_said", "lower"),
        # how sure it is
        ("error_vs_mixing", "clothes_vit_200_40_1_ece_said", "lower"),
        ("error_vs_mixing", "digits_cnn_1000_0_1_ece_said", "higher"),
        ("error_vs_mixing", "digits_cnn_1000_40_2_ece_said", "higher"),
        # one large step is withstood better, twenty small ones are not
        ("error_vs_attack", "fgsm_0.08_0.2_error_said", "lower"),
        ("error_vs_attack", "fgsm_0.08_1_error_said", "lower"),
        ("error_vs_attack", "pgd_0.08_0.2_error_said", NONE),
        ("error_vs_attack", "pgd_0.08_1_error_said", NONE),
        ("error_vs_attack", "pgd_0.04_0.2_error_said", "lower"),
        ("error_vs_attack", "pgd_0.04_1_error_said", NONE),
        ("error_vs_attack", "noise_0.4_1_error_said", "lower"),
        ("error_vs_attack", "blur_5_1_error_said", "lower"),
        ("error_vs_attack", "patch_10_1_error_said", "lower"),
        ("error_vs_attack", "contrast_0.5_1_error_said", "lower"),
        ("error_vs_attack", "shift_4_1_error_said", "higher"),
        # the larger α loses to either adversary what it loses without any
        ("error_vs_attack", "fgsm_0.02_1_error_said", "higher"),
        ("error_vs_attack", "pgd_0.02_1_error_said", "higher"),
        ("error_vs_attack", "fgsm_0_1_error_said", "higher"),
        ("error_vs_attack", "contrast_0.5_0.2_error_said", "lower"),
        # on top of shifts
        ("error_vs_remedy", "shifts_mixup_40_error_over_shifts", "higher"),
        ("error_vs_remedy", "shifts_mixup_0_ece_over_shifts", "lower"),
        ("error_vs_mixing", "clothes_cnn_1000_40_0.2_error_said", "lower"),
        ("error_vs_remedy", "shifts_mixup_0_error_over_shifts", NONE),
        ("error_vs_remedy", "mixup_0_nll_over_none", "lower"),
        ("error_vs_remedy", "weight_decay_0_nll_over_none", "lower"),
        ("error_vs_remedy", "shifts_0_nll_over_none", "lower"),
        # words: no better reader, and a more modest one
        ("genre_vs_mixing", "300_words_1_error_said", NONE),
        ("genre_vs_mixing", "3000_words_1_error_said", NONE),
        ("genre_vs_mixing", "300_words_1_nll_said", "lower"),
        ("genre_vs_mixing", "3000_words_1_nll_said", "lower"),
        # operations: a short training pays, and a long one keeps its nats
        ("error_vs_operations", "200_1_error_said", "higher"),
        ("error_vs_operations", "3200_1_error_said", NONE),
        ("error_vs_operations", "1600_0.2_nll_said", "lower"),
        ("error_vs_operations", "3200_0.2_nll_said", "lower"),
        ("error_vs_mixing", "clothes_cnn_1000_0_0.4_error_said", "lower"),
        ("error_vs_mixing", "digits_cnn_50_20_0.1_error_said", NONE),
    ],
)
def test_help_and_hurt_are_what_the_intervals_say(found, question, finding, verdict):
    assert found[question][finding].endswith(verdict)


def test_at_no_length_is_the_error_seen_to_be_lower(found):
    said = [
        text for name, text in found["error_vs_operations"].items() if name.endswith("error_said")
    ]
    assert len(said) == 10 and not any(text.endswith("lower") for text in said)


def test_wrong_labels_are_kept_out_where_they_would_be_learned_and_can_be_kept_out():
    rows = results.read("memorised_vs_mixing")
    learned = {
        (row["kind"], row["labels"], row["alpha"]): row["mean"]
        for row in rows.summary("wrong_learned", by=["kind", "labels", "alpha"])
    }
    for (kind, labels, alpha), share in learned.items():
        if labels == 5000:
            assert share < 0.1
        elif labels <= 200:
            assert share > 0.9
        elif alpha:
            assert share < learned[kind, labels, 0.0] / 2
        else:
            assert share > 0.3


def test_where_few_labels_are_many_of_them_wrong_most_squares_are_white():
    effects = error_vs_mixing.effects(results.read("error_vs_mixing"))
    white = [
        effect.verdict == "none"
        for (kind, labels, wrong, _, metric), effect in effects.items()
        if metric == "error" and wrong > 0 and labels <= 200
    ]
    assert sum(white) / len(white) > 0.8


def test_with_wrong_labels_the_oldest_remedies_are_those_that_are_seen_to_help(found):
    seen = set(found["error_vs_remedy"]["40_helps"].split(", "))
    assert seen == {"shifts with smoothing", "shifts", "weight decay", "dropout"}


def test_nats_cross_and_errors_do_not():
    rows = error_vs_operations.whole(results.read("error_vs_operations"))
    plain = [row["mean"] for row in rows.where(alpha=0.0).summary("nll", by="steps")]
    mixed = [row["mean"] for row in rows.where(alpha=0.2).summary("nll", by="steps")]
    assert min(mixed) < min(plain) and mixed[0] > plain[0]
    assert plain[-1] > min(plain)  # it falls and rises again


def test_mixup_makes_less_sure_of_clothes(found):
    attack = found["error_vs_attack"]
    assert attack["fgsm_0_1_sure_said"].endswith("lower")
