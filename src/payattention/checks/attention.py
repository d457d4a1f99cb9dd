"""Checks of the exercises on attention: look-ups, masks, spread, weights, induction heads."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from payattention import attention
from payattention.checks.check import Check, Mistake


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# A look-up that mixes


def _soft_lookup(query, keys, values):
    """The mixture of all values, in shares that say how well each key fits the one query."""
    return attention.attend(query[None], keys, values)[0]


def _lookup_with(
    *,
    scale: Callable = lambda keys: math.sqrt(keys.shape[1]),
    share: Callable = lambda scores: scores.softmax(dim=0),
) -> Callable:
    """A soft look-up in which one thing may be other than it should be."""
    return lambda query, keys, values: share(keys @ query / scale(keys)) @ values


def _lookup_case(tokens: int, d_head: int, d_value: int) -> tuple:
    return _draw(d_head, seed=1), _draw(tokens, d_head, seed=2), _draw(tokens, d_value, seed=3)


soft_lookup = Check(
    _soft_lookup,
    cases=[_lookup_case(3, 2, 5), _lookup_case(7, 5, 3), _lookup_case(2, 11, 7)],
    mistakes={
        "no_root": Mistake(
            _lookup_with(scale=lambda keys: 1),
            "the dot products are not divided by the root of the width of a key.",
        ),
        "width_not_root": Mistake(
            _lookup_with(scale=lambda keys: keys.shape[1]),
            "you divided by the width of a key; it is the root of the width.",
        ),
        "root_of_keys": Mistake(
            _lookup_with(scale=lambda keys: math.sqrt(len(keys))),
            "that is the root of the number of keys; a dot product grows with the width of a key.",
        ),
        "multiplied": Mistake(
            _lookup_with(scale=lambda keys: 1 / math.sqrt(keys.shape[1])),
            "you multiplied by the root, which makes the scores larger still; divide by it.",
        ),
        "scaled_weights": Mistake(
            lambda query, keys, values: (
                (keys @ query).softmax(dim=0) / math.sqrt(len(query)) @ values
            ),
            "the root belongs in front of the softmax: divide the scores, not the weights.",
        ),
        "wrong_axis": Mistake(
            lambda query, keys, values: values.sum(dim=0),
            "every weight is 1: the softmax ran over an axis with a single number in it. "
            "It must run over the keys.",
        ),
        "not_normalised": Mistake(
            _lookup_with(share=torch.exp),
            "exp alone makes positive numbers; divide them by their sum, so that they are shares.",
        ),
        "divided_by_sum": Mistake(
            _lookup_with(share=lambda scores: scores / scores.sum()),
            "the scores are divided by their sum, but some are negative; exp comes first.",
        ),
        "hard_lookup": Mistake(
            lambda query, keys, values: values[(keys @ query).argmax()],
            "that is the value of the best key alone, a hard look-up; the soft one mixes them all.",
        ),
        "weights_only": Mistake(
            lambda query, keys, values: (keys @ query / math.sqrt(len(query))).softmax(dim=0),
            "these are the weights; what is asked for are the values, mixed by them.",
        ),
        "one_row": Mistake(
            lambda query, keys, values: attention.attend(query[None], keys, values),
            "the numbers are right, in a matrix of one row; return the row.",
        ),
    },
    hints=[
        "A score for each key: keys @ query, divided by the root of the length of the query.",
        "The softmax of the scores gives one weight for each key; together they are 1.",
        "The weights, a vector, times values, a matrix: weights @ values.",
    ],
)


# The mask and the softmax


def _causal_attention(queries, keys, values):
    """For each token, the mixture of the values of itself and of the tokens before it."""
    return attention.attend(queries, keys, values, "causal")


def _masked_with(
    *, mask: Callable = torch.tril, hide: Callable = lambda scores, mask: scores, axis: int = 1
) -> Callable:
    """Causal attention in which one thing may be other than it should be."""

    def answer(queries, keys, values):
        scores = attention.dot_product_scores(queries, keys)
        return hide(scores, mask(torch.ones_like(scores)).bool()).softmax(dim=axis) @ values

    return answer


def _hidden(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, -math.inf)


def _masked_after(share: Callable) -> Callable:
    def answer(queries, keys, values):
        weights = attention.dot_product_scores(queries, keys).softmax(dim=1).tril()
        return share(weights) @ values

    return answer


def _causal_case(tokens: int, d_head: int, d_value: int) -> tuple:
    return (
        _draw(tokens, d_head, seed=4),
        _draw(tokens, d_head, seed=5),
        _draw(tokens, d_value, seed=6),
    )


causal_attention = Check(
    _causal_attention,
    cases=[_causal_case(3, 2, 5), _causal_case(7, 5, 3), _causal_case(5, 13, 11)],
    mistakes={
        "masked_after": Mistake(
            _masked_after(lambda weights: weights),
            "the mask comes after the softmax: what a token may not see has taken its share of the "
            "weights with it, and the rest of a row no longer sums to 1.",
        ),
        "renormalised_columns": Mistake(
            _masked_after(lambda weights: weights / weights.sum(dim=0)),
            "you made the columns sum to 1; a token shares its attention out along its row.",
        ),
        "masked_with_zero": Mistake(
            _masked_with(hide=lambda scores, mask: scores * mask),
            "a score of 0 is not hidden, since exp(0) is 1; what may not be seen scores -inf.",
        ),
        "mask_added": Mistake(
            _masked_with(hide=lambda scores, mask: scores + mask),
            "adding a mask of ones and zeros hides nothing; add 0 and -inf.",
        ),
        "upside_down": Mistake(
            _masked_with(mask=torch.triu, hide=_hidden),
            "the mask is upside down: every token looks at itself and at the future.",
        ),
        "inverted": Mistake(
            _masked_with(hide=lambda scores, mask: scores.masked_fill(mask, -math.inf)),
            "you hid what may be seen and left the future, of which the last token has none: nan.",
        ),
        "diagonal_hidden": Mistake(
            _masked_with(mask=lambda ones: ones.tril(-1), hide=_hidden),
            "a token must see itself too; the first one has nothing else, and a softmax over "
            "nothing is nan.",
        ),
        "softmax_over_queries": Mistake(
            _masked_with(hide=_hidden, axis=0),
            "the softmax runs down the columns; each row, a query, shares out its own attention.",
        ),
        "no_mask": Mistake(
            _masked_with(),
            "nothing is hidden: every token sees the future.",
        ),
    },
    hints=[
        "Add up the rows of the weights that multiply the values. What should the sums be?",
        "Hide the future before the softmax: exp of what score is 0?",
        "scores.masked_fill(~mask, -math.inf), then softmax(dim=-1), then @ values.",
    ],
)


# Pairs that a prefix mask allows


def _pairs(tokens, prefix):
    """Pairs that may look, where all may see the prefix, and otherwise only the past."""
    return tokens * (tokens + 1) // 2 + prefix * (prefix - 1) // 2


pairs = Check(
    _pairs,
    cases=[(5, 3), (11, 7), (13, 2), (17, 0), (7, 7)],
    mistakes={
        "full_square": Mistake(
            lambda tokens, prefix: tokens**2,
            "that is the full square; behind the prefix nobody sees the future.",
        ),
        "causal_only": Mistake(
            lambda tokens, prefix: tokens * (tokens + 1) // 2,
            "that is the causal mask alone; within the prefix they look ahead as well.",
        ),
        "prefix_twice": Mistake(
            lambda tokens, prefix: tokens * (tokens + 1) // 2 + prefix**2,
            "you added the whole square of the prefix; the causal mask has half of it already.",
        ),
        "diagonal_twice": Mistake(
            lambda tokens, prefix: tokens * (tokens + 1) // 2 + prefix * (prefix + 1) // 2,
            "the diagonal of the prefix is counted twice: a token sees itself by the causal mask.",
        ),
        "columns_on_top": Mistake(
            lambda tokens, prefix: tokens * (tokens + 1) // 2 + tokens * prefix,
            "later tokens see the prefix by the causal mask already; count only what is new.",
        ),
        "blocks_apart": Mistake(
            lambda tokens, prefix: prefix**2 + (tokens - prefix) * (tokens - prefix + 1) // 2,
            "the tokens behind the prefix look at it as well.",
        ),
        "without_self": Mistake(
            lambda tokens, prefix: tokens * (tokens - 1) // 2 + prefix * (prefix - 1) // 2,
            "every token sees itself; the diagonal is missing.",
        ),
    },
    hints=[
        "Draw five tokens with a prefix of three, one square for each pair.",
        "Start with the causal half, diagonal included: tokens * (tokens + 1) / 2.",
        "What the prefix adds lies above the diagonal of its square: prefix * (prefix - 1) / 2.",
    ],
)


# The spread of a score


def _score_spread(d_head):
    """The standard deviation of q · k, both of ``d_head`` independent standard normal numbers."""
    return math.sqrt(d_head)


score_spread = Check(
    _score_spread,
    cases=[(2,), (5,), (17,), (101,)],
    mistakes={
        "variance": Mistake(
            lambda d_head: d_head,
            "that is the variance; the standard deviation is its root.",
        ),
        "one": Mistake(
            lambda d_head: 1.0,
            "one product has a standard deviation of 1; here d_head of them are added up.",
        ),
        "inverse": Mistake(
            lambda d_head: 1 / math.sqrt(d_head),
            "that is how a mean of d_head numbers spreads; q · k is a sum, and is not divided.",
        ),
        "two_each": Mistake(
            lambda d_head: math.sqrt(2 * d_head),
            "the variance of a product is not the sum of two variances; here 1 times 1 is 1.",
        ),
        "mean_of_size": Mistake(
            lambda d_head: math.sqrt(2 * d_head / math.pi),
            "that is the mean of the size |q · k|; the standard deviation is the root of the mean "
            "of the square.",
        ),
        "root_of_root": Mistake(
            lambda d_head: d_head**0.25,
            "one root too many: d_head is the variance already.",
        ),
    },
    hints=[
        "Draw some: (torch.randn(10_000, d) * torch.randn(10_000, d)).sum(1).std(), "
        "for d = 4 and d = 64.",
        "The product of two independent standard normal numbers has mean 0 and variance 1, "
        "and variances of independent numbers add up.",
        "The variance is d_head; take the root.",
    ],
)


# The weights of one layer


def _attention_parameters(d_model, heads, kv_heads):
    """Weights of one attention layer without biases, whose heads share keys and values."""
    d_kv = kv_heads * (d_model // heads)
    return 2 * d_model * d_model + 2 * d_model * d_kv


attention_parameters = Check(
    _attention_parameters,
    cases=[(6, 3, 1), (70, 14, 7), (165, 15, 3), (26, 13, 13)],
    mistakes={
        "all_whole": Mistake(
            lambda d_model, heads, kv_heads: 4 * d_model**2,
            "that holds when every head has keys and values of its own; here heads share them.",
        ),
        "heads_of_full_width": Mistake(
            lambda d_model, heads, kv_heads: 2 * d_model**2 * (heads + kv_heads),
            "a head is not d_model wide but d_model / heads; together they are d_model.",
        ),
        "kv_heads_of_full_width": Mistake(
            lambda d_model, heads, kv_heads: 2 * d_model**2 * (1 + kv_heads),
            "a head of keys is d_model / heads wide, not d_model.",
        ),
        "output_forgotten": Mistake(
            lambda d_model, heads, kv_heads: d_model**2 * (heads + 2 * kv_heads) // heads,
            "the map behind the heads, to the output, is missing.",
        ),
        "values_forgotten": Mistake(
            lambda d_model, heads, kv_heads: d_model**2 * (2 * heads + kv_heads) // heads,
            "keys and values have a map each; one of them is missing.",
        ),
        "swapped": Mistake(
            lambda d_model, heads, kv_heads: 2 * d_model**2 + 2 * d_model**2 * heads // kv_heads,
            "heads and kv_heads are swapped: fewer heads of keys need fewer weights.",
        ),
        "one_kv_head": Mistake(
            lambda d_model, heads, kv_heads: 2 * d_model**2 + 2 * d_model**2 // heads,
            "that is the count for one head of keys and values; there are kv_heads of them.",
        ),
        "from_a_piece": Mistake(
            lambda d_model, heads, kv_heads: (
                2 * d_model**2 + 2 * kv_heads * (d_model // heads) ** 2
            ),
            "a head makes its keys from the whole vector of d_model numbers, not from a piece.",
        ),
        "with_biases": Mistake(
            lambda d_model, heads, kv_heads: (
                2 * d_model * (d_model + 1) + 2 * (d_model + 1) * kv_heads * (d_model // heads)
            ),
            "you counted biases; this layer has none.",
        ),
    },
    hints=[
        "Four maps: to queries, keys and values, and from the mixed values to the output.",
        "A map from d_model to some width has d_model * width weights; a head is d_model // heads "
        "wide.",
        "Queries and output: d_model * d_model each. "
        "Keys and values: d_model * kv_heads * (d_model // heads) each.",
    ],
)


# Where an induction head looks


def _where_to_look(tokens):
    """The place right behind the latest earlier occurrence of the last token; None without one."""
    last = len(tokens) - 1
    earlier = [place for place in range(last) if tokens[place] == tokens[last]]
    return earlier[-1] + 1 if earlier else None


def _found(
    place: Callable, *, choose: Callable = max, otherwise: Callable = lambda tokens: None
) -> Callable:
    """A search for an earlier occurrence in which one thing may be other than it should be."""

    def answer(tokens):
        earlier = [at for at, token in enumerate(tokens[:-1]) if token == tokens[-1]]
        return place(tokens, choose(earlier)) if earlier else otherwise(tokens)

    return answer


where_to_look = Check(
    _where_to_look,
    cases=[
        (["the", "cat", "saw", "the"],),
        (["a", "b", "a", "c", "b", "d", "a"],),
        (["to", "be", "or", "not"],),
        (["b", "c", "a", "a", "c", "d", "c", "a", "b", "d", "c"],),
        (["a"],),
    ],
    mistakes={
        "the_occurrence_itself": Mistake(
            _found(lambda tokens, at: at),
            "that is the earlier occurrence; what came after it is one place further.",
        ),
        "one_before": Mistake(
            _found(lambda tokens, at: at - 1),
            "that is the place in front of the earlier occurrence; look behind it.",
        ),
        "earliest": Mistake(
            _found(lambda tokens, at: at + 1, choose=min),
            "you took the earliest occurrence; take the latest.",
        ),
        "finds_itself": Mistake(
            lambda tokens: len(tokens),
            "the last token found itself, and behind it there is nothing yet; "
            "search the tokens before it.",
        ),
        "index_of_list": Mistake(
            lambda tokens: tokens.index(tokens[-1]) + 1,
            "index gives the earliest place, and the last token itself where there is none before.",
        ),
        "the_token": Mistake(
            _found(lambda tokens, at: tokens[at + 1]),
            "that is the token found there, which the head would write; return its index.",
        ),
        "counted_from_the_end": Mistake(
            _found(lambda tokens, at: len(tokens) - 2 - at),
            "that is how many steps back it lies; count the index from the start.",
        ),
        "never_none": Mistake(
            _found(lambda tokens, at: at + 1, otherwise=lambda tokens: 0),
            "a symbol that never occurred before gives None; you return the first place.",
        ),
        "minus_one": Mistake(
            _found(lambda tokens, at: at + 1, otherwise=lambda tokens: -1),
            "a symbol that never occurred before gives None; -1 is the last place in Python.",
        ),
    },
    hints=[
        "The last token is tokens[-1]; look for it among tokens[:-1].",
        "Go backwards, from len(tokens) - 2 to 0, and stop at the first that is the same.",
        "Return that index plus 1; after the loop, None.",
    ],
)
