"""Readings fit their tokens, are found by token, and survive being packed."""

import inspect

import pytest
import torch

from payattention import attention, data
from payattention.attention_maps import AttentionMaps, pack, unpack

TOKENS = ("[CLS]", "a", "b", "a", "[SEP]")


def reading(layers=2, heads=3, d_head=7, vectors=True):
    many = len(TOKENS)
    queries, keys = torch.randn(2, layers, heads, many, d_head)
    weights = attention.to_weights(attention.dot_product_scores(queries, keys))
    kept = {"queries": queries, "keys": keys} if vectors else {}
    return AttentionMaps("a b a", TOKENS, weights, **kept)


def test_packed_and_unpacked_it_is_the_same_to_a_step():
    first, second = reading(), reading(layers=1, heads=2, vectors=False)
    again = unpack(pack([first, second]))
    assert [other.sentence for other in again] == ["a b a"] * 2
    for one, other in zip((first, second), again, strict=True):
        assert other.tokens == one.tokens
        # half a step, and half a step of each of the row's five when the row is made to sum to 1
        assert (other.weights - one.weights).abs().max() < 3 / 65535
        assert (other.weights.sum(dim=-1) - 1).abs().max() < 1e-6
    assert (again[0].queries - first.queries).abs().max() <= 0.5 / 1024 + 1e-6
    assert (again[0].keys - first.keys).abs().max() <= 0.5 / 1024 + 1e-6
    assert again[1].queries is None and again[1].keys is None


def test_what_does_not_fit_into_the_steps_is_refused():
    one = reading()
    too_large = AttentionMaps("a b a", TOKENS, one.weights, one.queries + 99, one.keys)
    with pytest.raises(ValueError, match=r"got numbers from .*; expected -32 to 32"):
        pack([too_large])


def test_a_weight_is_found_by_its_tokens():
    one = reading()
    assert one.place("a") == 1 and one.place("b") == 2  # the first of two
    assert one.weight(1, 2, "b", "[SEP]") == one.weights[1, 2, 2, 4].item()
    with pytest.raises(ValueError, match=r"token='c': expected one of \[CLS\], a, b"):
        one.weight(0, 0, "a", "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": TOKENS[:-1]}, r"weights: got shape \(2, 3, 5, 5\); expected .*, 4, 4\)"),
        ({"weights": torch.ones(3, 5, 5)}, r"weights: got shape \(3, 5, 5\)"),
        ({"keys": None}, "queries, keys: got one of them"),
        ({"queries": torch.ones(2, 2, 5, 7)}, r"queries: got shape .*; expected \(2, 3, 5, 'd_h"),
    ],
)
def test_parts_that_do_not_fit_are_named(change, message):
    good = reading()
    parts = {name: getattr(good, name) for name in ("sentence", "tokens", "weights")}
    parts |= {"queries": good.queries, "keys": good.keys} | change
    bare = object.__new__(AttentionMaps)
    for name, part in parts.items():
        object.__setattr__(bare, name, part)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(AttentionMaps.__post_init__)(bare)


class TestStored:
    def test_eight_readings_of_six_layers_of_twelve_heads(self):
        maps = data.attention_maps()
        assert len(maps) == 8
        for one in maps:
            assert one.weights.shape == (6, 12, len(one.tokens), len(one.tokens))
            assert one.tokens[0] == "[CLS]" and one.tokens[-1] == "[SEP]"
            assert one.weights.min() >= 0
            assert (one.weights.sum(dim=-1) - 1).abs().max() < 1e-6

    def test_two_sentences_differ_in_one_word_and_it_looks_at_the_animal(self):
        tired, wide = data.attention_maps()[:2]
        differing = [
            pair for pair in zip(tired.tokens, wide.tokens, strict=True) if len({*pair}) > 1
        ]
        assert differing == [("tired", "wide")]
        # found on another machine, straight from the model
        for layer, head, in_tired, in_wide in (
            (3, 1, (0.68, 0.05), (0.28, 0.12)),
            (5, 11, (0.67, 0.02), (0.56, 0.04)),
            (4, 0, (0.10, 0.08), (0.05, 0.19)),
        ):
            for maps, expected in ((tired, in_tired), (wide, in_wide)):
                found = [maps.weight(layer, head, "it", noun) for noun in ("animal", "street")]
                assert found == pytest.approx(expected, abs=0.006)

    def test_kept_queries_and_keys_give_the_weights(self):
        kept = [one for one in data.attention_maps() if one.queries is not None]
        assert [one.sentence for one in kept] == [
            "Attention is expensive.",
            "The cat sat on the mat.",
        ]
        for one in kept:
            scores = attention.dot_product_scores(one.queries, one.keys)
            # the vectors are kept in steps of 1/1024
            assert (attention.to_weights(scores) - one.weights).abs().max() < 1e-3
