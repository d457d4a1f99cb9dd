"""Checks of the exercises on the bill: softmax in one pass, operations, a cache, a roofline."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from payattention import online_softmax as online
from payattention.checks.check import Check, Mistake
from payattention.cost import memory, operations
from payattention.shape import TransformerShape

# Softmax in one pass


def _online_softmax(first, then):
    """What two parts of a row say together: (largest, total, mixture), as each of them is."""
    return tuple(online.merge(online.Part(*first), online.Part(*then)))


def _merged(
    *,
    total: Callable = lambda a, b, shrink, shrink_then: shrink * a + shrink_then * b,
    mixture: Callable = lambda a, b, shrink, shrink_then: shrink * a + shrink_then * b,
    largest: Callable = torch.maximum,
) -> Callable:
    """A merge in which one thing may be other than it should be."""

    def answer(first, then):
        common = largest(first[0], then[0])
        shrinks = (first[0] - common).exp(), (then[0] - common).exp()
        return (
            common,
            total(first[1], then[1], *shrinks),
            mixture(first[2], then[2], *shrinks),
        )

    return answer


def _both(combine: Callable) -> Callable:
    """A merge whose totals and mixtures are combined in the same way."""
    return _merged(total=combine, mixture=combine)


def _normalised(first, then):
    largest, total, mixture = _online_softmax(first, then)
    return largest, total, mixture / total


def _from_zero(first, then):
    lifted = first[0].exp(), then[0].exp()
    total, mixture = (lifted[0] * first[i] + lifted[1] * then[i] for i in (1, 2))
    return torch.maximum(first[0], then[0]), total, mixture


def _part_case(columns: tuple[int, int], d_value: int, *, size: float, seed: int) -> tuple:
    """The parts of one row that is cut in two; the scores are about as large as `size`."""
    generator = torch.Generator().manual_seed(seed)

    def part(count: int) -> tuple[Tensor, Tensor, Tensor]:
        scores = size * torch.randn(1, count, generator=generator, dtype=torch.float64)
        values = torch.randn(count, d_value, generator=generator, dtype=torch.float64)
        largest, total, mixture = online.summarise(scores, values)
        return largest[0, 0], total[0, 0], mixture[0]

    return tuple(map(part, columns))


online_softmax = Check(
    _online_softmax,
    cases=[
        _part_case((3, 5), 2, size=1.0, seed=1),
        _part_case((7, 2), 3, size=1.0, seed=2),
        _part_case((5, 11), 1, size=1000.0, seed=3),
    ],
    mistakes={
        "not_shrunk": Mistake(
            _both(lambda a, b, shrink, shrink_then: a + b),
            "the parts were added as they are, but each was made with a largest score of its own; "
            "bring both to the larger one first.",
        ),
        "total_not_shrunk": Mistake(
            _merged(total=lambda a, b, shrink, shrink_then: a + b),
            "the mixtures are brought to the larger score, and the totals are not; both need it.",
        ),
        "mixture_not_shrunk": Mistake(
            _merged(mixture=lambda a, b, shrink, shrink_then: a + b),
            "the totals are brought to the larger score, and the mixtures are not; both need it.",
        ),
        "only_first_shrunk": Mistake(
            _both(lambda a, b, shrink, shrink_then: shrink * a + b),
            "only the first part is shrunk; where the larger score is in it, the other must be.",
        ),
        "shrinks_swapped": Mistake(
            _both(lambda a, b, shrink, shrink_then: shrink_then * a + shrink * b),
            "each part is shrunk by what the other one needs.",
        ),
        "upside_down": Mistake(
            _both(lambda a, b, shrink, shrink_then: a / shrink + b / shrink_then),
            "the difference has the wrong sign: exp(own - larger) is at most 1.",
        ),
        "smaller": Mistake(
            _merged(largest=torch.minimum),
            "you brought both to the smaller of the two scores: the other one grows, and "
            "overflows where scores are large.",
        ),
        "from_zero": Mistake(
            _from_zero,
            "exp(largest) undoes what the largest score is there for: it overflows where scores "
            "are large. Take only exp of differences that are not positive.",
        ),
        "normalised": Mistake(
            _normalised,
            "the mixture is divided by the total already; another part may follow, so divide "
            "once, at the end of the row.",
        ),
    },
    hints=[
        "A total is a sum of exp(score - largest). What turns it into one of exp(score - larger)?",
        "exp(score - larger) is exp(score - largest) times exp(largest - larger).",
        "larger = max of the two; total = exp(first's - larger) * first's total + the same of the "
        "second; the mixture likewise.",
    ],
)


# The operations of a training step


def _training_flops(config, tokens):
    """Operations in matrix products of a training step on one text, with the full square."""
    shape = TransformerShape(
        layers=config["layers"],
        d_model=config["d_model"],
        heads=config["heads"],
        kv_heads=config["heads"],
        d_ff=config["d_ff"],
        vocab=config["vocab"],
    )
    return sum(operations.training(shape, tokens=tokens).values())


def _billed(**other: Callable[[dict, int], float]) -> Callable[[dict, int], float]:
    """A bill in which some parts may be other than they should be."""
    parts: dict[str, Callable[[dict, int], float]] = {
        "maps": lambda c, n: 4 * c["d_model"] ** 2 + 2 * c["d_model"] * c["d_ff"],
        "square": lambda c, n: 2 * n * c["d_model"],
        "blocks": lambda c, n: c["layers"],
        "ends": lambda c, n: c["d_model"] * c["vocab"],
        "texts": lambda c, n: n,
        "passes": lambda c, n: 3,
        "each": lambda c, n: 2,
    } | other

    def count(config: dict, tokens: int) -> float:
        bill = {name: part(config, tokens) for name, part in parts.items()}
        pairs = bill["blocks"] * (bill["maps"] + bill["square"]) + bill["ends"]
        return bill["each"] * bill["passes"] * bill["texts"] * pairs

    return count


def _config_case(tokens: int, **config: int) -> tuple:
    return config, tokens


training_flops = Check(
    _training_flops,
    cases=[
        _config_case(1024, layers=12, d_model=768, heads=12, d_ff=3072, vocab=50257),
        _config_case(13, layers=3, d_model=10, heads=2, d_ff=17, vocab=23),
        _config_case(29, layers=2, d_model=15, heads=5, d_ff=7, vocab=11),
    ],
    mistakes={
        "forward_only": Mistake(
            _billed(passes=lambda c, n: 1),
            "that is the forward pass; the backward pass has two products for each of its.",
        ),
        "backward_once": Mistake(
            _billed(passes=lambda c, n: 2),
            "the backward pass was counted like the forward pass; it is twice that, a gradient "
            "for either factor of a product.",
        ),
        "multiply_adds": Mistake(
            _billed(each=lambda c, n: 1),
            "a multiply and an add were counted as one operation; they are two.",
        ),
        "no_square": Mistake(
            _billed(square=lambda c, n: 0),
            "scores and mixing are missing: each token meets each token.",
        ),
        "scores_without_mixing": Mistake(
            _billed(square=lambda c, n: n * c["d_model"]),
            "the square is there once; it is needed twice, for the scores and to mix the values. "
            "Or did you take half of it? The plain code multiplies what the mask hides as well.",
        ),
        "causal": Mistake(
            _billed(square=lambda c, n: (n + 1) * c["d_model"]),
            "you billed the pairs that a causal mask allows; the plain code multiplies all of them "
            "and hides half afterwards.",
        ),
        "heads_of_full_width": Mistake(
            _billed(square=lambda c, n: 2 * n * c["heads"] * c["d_model"]),
            "a head is d_model / heads wide; together they cost what one of full width does.",
        ),
        "square_once": Mistake(
            _billed(square=lambda c, n: 2 * c["d_model"]),
            "each token meets one token in that bill; it meets all of them.",
        ),
        "no_logits": Mistake(
            _billed(ends=lambda c, n: 0),
            "the output is missing: d_model numbers to vocab logits, for each token.",
        ),
        "embedding_multiplied": Mistake(
            _billed(ends=lambda c, n: 2 * c["d_model"] * c["vocab"]),
            "the table of token vectors is looked up, not multiplied; only the output is.",
        ),
        "no_output_map": Mistake(
            _billed(maps=lambda c, n: 3 * c["d_model"] ** 2 + 2 * c["d_model"] * c["d_ff"]),
            "attention has four maps: the one behind the heads is missing.",
        ),
        "four_times_as_wide": Mistake(
            _billed(maps=lambda c, n: 12 * c["d_model"] ** 2),
            "you took the feed-forward part to be four times as wide; d_ff says how wide it is.",
        ),
        "one_block": Mistake(
            _billed(blocks=lambda c, n: 1),
            "that is one block; there are as many as layers.",
        ),
        "one_token": Mistake(
            _billed(texts=lambda c, n: 1),
            "that is for one token; multiply by the number of them.",
        ),
        "rule_of_thumb": Mistake(
            lambda config, tokens: 6 * 12 * config["layers"] * config["d_model"] ** 2 * tokens,
            "that is the rule 6 N n, where N are the matrices of blocks four times as wide inside; "
            "the square and the logits are missing.",
        ),
    },
    hints=[
        "A map from a to b numbers costs 2 * a * b operations a token. Which maps has a block?",
        "Scores cost 2 * tokens * d_model a token and block, all heads together, and mixing the "
        "values as much again; the logits cost 2 * d_model * vocab a token.",
        "The backward pass is twice the forward pass: three times the sum, times tokens.",
    ],
)


# The tokens that fit


def _kv_cache_tokens(config, memory_bytes):
    """Whole tokens whose keys and values fit into the memory beside the weights."""
    shape = TransformerShape(
        layers=config["layers"],
        d_model=config["heads"] * config["d_head"],
        heads=config["heads"],
        kv_heads=config["kv_heads"],
        d_ff=1,
        vocab=1,
    )
    dtype = {2: "float16", 4: "float32"}[config["bytes_per_number"]]
    left = memory_bytes - memory.bytes_of(config["parameters"], dtype)
    return max(left, 0) // memory.kv_cache_bytes(shape, tokens=1, dtype=dtype)


def _bytes_a_token(*times: str, tensors: int = 2) -> Callable[[dict], int]:
    """Bytes of so many tensors of width d_head, times some other sizes of the config."""
    sizes = (*times, "d_head", "bytes_per_number")
    return lambda config: tensors * math.prod(config[name] for name in sizes)


_TOKEN = _bytes_a_token("layers", "kv_heads")


def _fitting(
    *,
    weights: Callable[[dict], int] = lambda c: c["parameters"] * c["bytes_per_number"],
    token: Callable[[dict], int] = _TOKEN,
    divide: Callable[[int, int], float] = lambda left, token: max(left, 0) // token,
) -> Callable[[dict, int], float]:
    """A count in which one thing may be other than it should be."""
    return lambda config, memory_bytes: divide(memory_bytes - weights(config), token(config))


def _memory_case(memory_bytes: int, **config: int) -> tuple:
    return config, memory_bytes


kv_cache_tokens = Check(
    _kv_cache_tokens,
    cases=[
        _memory_case(
            24 * 10**9,
            parameters=8_030_261_248,
            layers=32,
            heads=32,
            kv_heads=8,
            d_head=128,
            bytes_per_number=2,
        ),
        _memory_case(
            99_991,
            parameters=1009,
            layers=3,
            heads=14,
            kv_heads=7,
            d_head=5,
            bytes_per_number=4,
        ),
        _memory_case(
            3000, parameters=1009, layers=2, heads=6, kv_heads=3, d_head=11, bytes_per_number=4
        ),
    ],
    mistakes={
        "no_weights": Mistake(
            _fitting(weights=lambda c: 0),
            "the weights are in the same memory; only what they leave is free.",
        ),
        "weights_in_numbers": Mistake(
            _fitting(weights=lambda c: c["parameters"]),
            "you took away the number of weights; each takes bytes_per_number bytes.",
        ),
        "keys_only": Mistake(
            _fitting(token=_bytes_a_token("layers", "kv_heads", tensors=1)),
            "keys and values are both kept: there is a factor of 2 missing.",
        ),
        "numbers_not_bytes": Mistake(
            _fitting(token=lambda c: 2 * c["layers"] * c["kv_heads"] * c["d_head"]),
            "a token was counted in numbers; each takes bytes_per_number bytes.",
        ),
        "all_heads": Mistake(
            _fitting(token=_bytes_a_token("layers", "heads")),
            "every head was given keys and values of its own; only kv_heads have them.",
        ),
        "one_layer": Mistake(
            _fitting(token=_bytes_a_token("kv_heads")),
            "that is one layer; each layer keeps its own.",
        ),
        "below_zero": Mistake(
            _fitting(divide=lambda left, token: left // token),
            "where the weights alone are too large, no token fits: 0, not fewer than none.",
        ),
        "rounded_up": Mistake(
            _fitting(divide=lambda left, token: -(-max(left, 0) // token)),
            "the last token fits only in part; round down.",
        ),
        "not_rounded": Mistake(
            _fitting(divide=lambda left, token: max(left, 0) / token),
            "a part of a token is no use; round down to a whole number.",
        ),
        "bytes_left": Mistake(
            _fitting(divide=lambda left, token: max(left, 0)),
            "those are the bytes that are left; divide by the bytes of a token.",
        ),
    },
    hints=[
        "First what is left: memory_bytes less the bytes of the weights.",
        "A token leaves a key and a value in each layer, kv_heads times d_head numbers each.",
        "max(left, 0) // (2 * layers * kv_heads * d_head * bytes_per_number)",
    ],
)


# The roofline


def _seconds_at_least(flops, bytes, flops_per_second, bytes_per_second):
    """The least time of parts that run one after another, each of which computes and fetches."""
    return sum(
        max(count / flops_per_second, size / bytes_per_second)
        for count, size in zip(flops, bytes, strict=True)
    )


def _roof(part: Callable = max, whole: Callable = sum) -> Callable:
    """A time made of the parts' times, each of them made of computing and fetching."""
    return lambda flops, bytes, flops_per_second, bytes_per_second: whole(
        [
            part(count / flops_per_second, size / bytes_per_second)
            for count, size in zip(flops, bytes, strict=True)
        ]
    )


seconds_at_least = Check(
    _seconds_at_least,
    cases=[
        ([6.0, 2.0], [4.0, 20.0], 2.0, 4.0),
        ([4e9, 7e9, 1e9], [3e8, 1e8, 5e8], 1e11, 1e10),
        ([2e12, 0.0, 3e12, 5e12, 7e11], [1e9, 8e9, 9e9, 2e9, 7e8], 1e13, 3e10),
    ],
    mistakes={
        "max_of_sums": Mistake(
            lambda flops, bytes, flops_per_second, bytes_per_second: max(
                sum(flops) / flops_per_second, sum(bytes) / bytes_per_second
            ),
            "that is the larger of two sums: it lets one part compute while another one fetches. "
            "Parts run one after another; take the larger time of each, then the sum.",
        ),
        "sum_of_both": Mistake(
            _roof(part=lambda computing, fetching: computing + fetching),
            "computing and fetching were added up; within a part they go on at the same time, and "
            "the longer one counts.",
        ),
        "smaller": Mistake(
            _roof(part=min),
            "of the two times of a part the longer one counts, not the shorter.",
        ),
        "only_computing": Mistake(
            _roof(part=lambda computing, fetching: computing),
            "that is the time to compute; some parts wait for their bytes.",
        ),
        "only_fetching": Mistake(
            _roof(part=lambda computing, fetching: fetching),
            "that is the time to fetch; some parts compute for longer.",
        ),
        "longest_part": Mistake(
            _roof(whole=max),
            "that is the longest part; they run one after another, so add them up.",
        ),
        "not_added": Mistake(
            _roof(whole=list),
            "these are the times of the parts; add them up.",
        ),
        "rates_swapped": Mistake(
            lambda flops, bytes, flops_per_second, bytes_per_second: _seconds_at_least(
                flops, bytes, bytes_per_second, flops_per_second
            ),
            "the rates are swapped: operations go by flops_per_second.",
        ),
        "larger_count": Mistake(
            lambda flops, bytes, flops_per_second, bytes_per_second: sum(
                count / flops_per_second if count > size else size / bytes_per_second
                for count, size in zip(flops, bytes, strict=True)
            ),
            "operations were compared with bytes; compare the seconds that they take.",
        ),
        "upside_down": Mistake(
            lambda flops, bytes, flops_per_second, bytes_per_second: sum(
                max(flops_per_second / count, bytes_per_second / size)
                for count, size in zip(flops, bytes, strict=True)
            ),
            "rate over amount is one over a time; divide the amount by the rate.",
        ),
    },
    hints=[
        "How long does one part compute, and how long does it fetch?",
        "Both go on at the same time: a part takes as long as the longer of the two.",
        "sum(max(f / flops_per_second, b / bytes_per_second) for f, b in zip(flops, bytes))",
    ],
)
