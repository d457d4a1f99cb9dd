"""Checks of the exercises on the Transformer: blocks, counts, a cache, drawing, filling gaps."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import attention
from payattention.attention import MultiHeadAttention, join_heads, split_heads
from payattention.checks.check import Check, Mistake
from payattention.generation import Sampler
from payattention.shape import TransformerShape
from payattention.transformer import Block


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _drawn(make: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """A module with drawn weights, those of its norms too, so that no two norms are the same."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        module = make().requires_grad_(False)
        for part in module.modules():
            if isinstance(part, nn.LayerNorm):
                part.weight.normal_(1.0, 0.5)
                part.bias.normal_(0.0, 0.5)
    return module


# The bug in a block


def _pre_norm_block(block, x):
    """The stream behind a pre-norm block: each part reads it normalised, and adds to it."""
    return block(x, mask="causal")


def _attend(block: Block, x: Tensor) -> Tensor:
    return block.attention(x, mask="causal")


def _adds_to_normalised(block: Block, x: Tensor) -> Tensor:
    x = block.norm(x)
    x = block.mlp_norm(x + _attend(block, x))
    return x + block.mlp(x)


def _first_adds_to_normalised(block: Block, x: Tensor) -> Tensor:
    x = block.norm(x)
    x = x + _attend(block, x)
    return x + block.mlp(block.mlp_norm(x))


def _second_adds_to_normalised(block: Block, x: Tensor) -> Tensor:
    x = block.mlp_norm(x + _attend(block, block.norm(x)))
    return x + block.mlp(x)


def _post_norm(block: Block, x: Tensor) -> Tensor:
    x = block.norm(x + _attend(block, x))
    return block.mlp_norm(x + block.mlp(x))


def _side_by_side(block: Block, x: Tensor) -> Tensor:
    return x + _attend(block, block.norm(x)) + block.mlp(block.mlp_norm(x))


def _with_parts(attend: Callable, feed: Callable) -> Callable:
    """A block that puts one part behind the other, each of which is given the block and x."""
    return lambda block, x: feed(block, attend(block, x))


def _right_attention(block: Block, x: Tensor) -> Tensor:
    return x + _attend(block, block.norm(x))


def _right_mlp(block: Block, x: Tensor) -> Tensor:
    return x + block.mlp(block.mlp_norm(x))


def _block_case(d_model: int, heads: int, tokens: int, *, seed: int) -> tuple:
    shape = TransformerShape(
        layers=1, d_model=d_model, heads=heads, kv_heads=heads, d_ff=7, vocab=2, positions="none"
    )
    return _drawn(lambda: Block(shape), seed=seed), _draw(2, tokens, d_model, seed=seed)


pre_norm_block = Check(
    _pre_norm_block,
    cases=[_block_case(10, 2, 3, seed=1), _block_case(15, 3, 5, seed=2)],
    mistakes={
        "adds_to_normalised": Mistake(
            _adds_to_normalised,
            "both parts add to the normalised x, so that what was in the stream is lost. "
            "Normalise what a part reads, not what it adds to.",
        ),
        "first_adds_to_normalised": Mistake(
            _first_adds_to_normalised,
            "attention still adds to the normalised x; the stream itself is lost there.",
        ),
        "second_adds_to_normalised": Mistake(
            _second_adds_to_normalised,
            "the feed-forward part still adds to the normalised x; the stream itself is lost.",
        ),
        "post_norm": Mistake(
            _post_norm,
            "that is post-norm: the sum is normalised. In pre-norm nothing but sums touches "
            "the stream.",
        ),
        "side_by_side": Mistake(
            _side_by_side,
            "both parts read the same x, side by side; the feed-forward part comes second, "
            "and reads what attention has added too.",
        ),
        "nothing_added": Mistake(
            _with_parts(
                lambda block, x: _attend(block, block.norm(x)),
                lambda block, x: block.mlp(block.mlp_norm(x)),
            ),
            "the parts replace the stream; they must add to it.",
        ),
        "no_norm": Mistake(
            _with_parts(lambda block, x: x + _attend(block, x), lambda block, x: x + block.mlp(x)),
            "nothing is normalised: each part reads the normalised stream.",
        ),
        "norms_swapped": Mistake(
            _with_parts(
                lambda block, x: x + _attend(block, block.mlp_norm(x)),
                lambda block, x: x + block.mlp(block.norm(x)),
            ),
            "the two norms are swapped; each part has its own.",
        ),
        "same_norm_twice": Mistake(
            _with_parts(_right_attention, lambda block, x: x + block.mlp(block.norm(x))),
            "the feed-forward part has a norm of its own, block.mlp_norm.",
        ),
        "no_mask": Mistake(
            _with_parts(
                lambda block, x: x + block.attention(block.norm(x)),
                _right_mlp,
            ),
            'the future is in sight; block.attention takes mask="causal".',
        ),
    },
    hints=[
        "Draw the stream as a line from x to the result. What stands on that line, besides +?",
        "In pre-norm: x plus a part of the norm of x. Twice.",
        'x = x + block.attention(block.norm(x), mask="causal"), and the same with block.mlp.',
    ],
)


# The parameters of a model


def _count_parameters(config):
    """Trained numbers of a GPT-2 from its sizes: layers, d_model, d_ff, vocab and context."""
    return _billed()(config)


def _billed(**other: Callable[[dict], int]) -> Callable[[dict], int]:
    """A bill in which some parts may be other than they should be."""
    parts: dict[str, Callable[[dict], int]] = {
        "tables": lambda c: (c["vocab"] + c["context"]) * c["d_model"],
        "attention": lambda c: 4 * c["d_model"] ** 2 + 4 * c["d_model"],
        "mlp": lambda c: 2 * c["d_model"] * c["d_ff"] + c["d_ff"] + c["d_model"],
        "norms": lambda c: 4 * c["d_model"],
        "final": lambda c: 2 * c["d_model"],
        "blocks": lambda c: c["layers"],
    } | other

    def count(config: dict) -> int:
        bill = {name: part(config) for name, part in parts.items()}
        block = bill["attention"] + bill["mlp"] + bill["norms"]
        return bill["tables"] + bill["blocks"] * block + bill["final"]

    return count


def _config(layers: int, d_model: int, d_ff: int, vocab: int, context: int) -> tuple:
    names = dict(layers=layers, d_model=d_model, d_ff=d_ff, vocab=vocab, context=context)
    return (names,)


count_parameters = Check(
    _count_parameters,
    cases=[_config(12, 768, 3072, 50257, 1024), _config(3, 10, 17, 23, 7), _config(1, 6, 5, 2, 3)],
    mistakes={
        "no_biases": Mistake(
            _billed(
                attention=lambda c: 4 * c["d_model"] ** 2,
                mlp=lambda c: 2 * c["d_model"] * c["d_ff"],
            ),
            "the biases are missing: each map has one for each number that it gives.",
        ),
        "no_biases_at_all": Mistake(
            _billed(
                attention=lambda c: 4 * c["d_model"] ** 2,
                mlp=lambda c: 2 * c["d_model"] * c["d_ff"],
                norms=lambda c: 2 * c["d_model"],
                final=lambda c: c["d_model"],
            ),
            "all biases are missing, of the maps and of the norms; for GPT-2 that gives "
            "124,337,664, a count that is in print as well.",
        ),
        "norms_without_biases": Mistake(
            _billed(norms=lambda c: 2 * c["d_model"], final=lambda c: c["d_model"]),
            "a norm has two vectors, a gain and a bias.",
        ),
        "no_norms": Mistake(
            _billed(norms=lambda c: 0, final=lambda c: 0),
            "the norms are trained too: two vectors each, two norms in a block, one at the end.",
        ),
        "one_norm": Mistake(
            _billed(norms=lambda c: 2 * c["d_model"]),
            "a block has two norms, one in front of each part.",
        ),
        "no_final_norm": Mistake(
            _billed(final=lambda c: 0),
            "the norm behind the last block is missing.",
        ),
        "output_twice": Mistake(
            _billed(tables=lambda c: (2 * c["vocab"] + c["context"]) * c["d_model"]),
            "the output is tied: it is the table of token vectors, which you counted twice.",
        ),
        "no_positions": Mistake(
            _billed(tables=lambda c: c["vocab"] * c["d_model"]),
            "the positions are missing: a trained vector for each place of the context.",
        ),
        "no_output_map": Mistake(
            _billed(attention=lambda c: 3 * c["d_model"] ** 2 + 3 * c["d_model"]),
            "attention has four maps: the one behind the heads is missing.",
        ),
        "four_times_as_wide": Mistake(
            _billed(mlp=lambda c: 8 * c["d_model"] ** 2 + 5 * c["d_model"]),
            "you took the feed-forward part to be four times as wide; d_ff says how wide it is.",
        ),
        "one_block": Mistake(
            _billed(blocks=lambda c: 1),
            "that is one block; there are as many as layers.",
        ),
        "rule_of_thumb": Mistake(
            lambda config: 12 * config["layers"] * config["d_model"] ** 2,
            "that is the rule of thumb for the matrices of the blocks; the tables, the biases and "
            "the norms are missing.",
        ),
    },
    hints=[
        "Three heaps: the tables in front, the blocks, and one norm at the end.",
        "A map from a to b numbers has a * b + b parameters. A block has four of them in "
        "attention, two in the feed-forward part, and two norms of 2 * d_model.",
        "(vocab + context) * d_model + layers * (4 * d * (d + 1) + 2 * d * d_ff + d_ff + d "
        "+ 4 * d) + 2 * d, where d is d_model.",
    ],
)


# Attention that goes on


def _continued_attention(queries, keys, values):
    """Causal attention of tokens that are the last of those with keys and values."""
    return attention.attend(queries, keys, values, "causal")


def _seen(
    offset: Callable[[int], int] = lambda kept: kept,
    *,
    allow: Callable[[Tensor, int], Tensor] = lambda mask, kept: mask,
    scale: Callable[[Tensor], float] = lambda queries: math.sqrt(queries.shape[1]),
) -> Callable:
    """Attention with a triangle that is moved by `offset` of the number of tokens kept."""

    def answer(queries, keys, values):
        kept = len(keys) - len(queries)
        scores = queries @ keys.T / scale(queries)
        mask = allow(torch.ones_like(scores).tril(offset(kept)).bool(), kept)
        return scores.masked_fill(~mask, -math.inf).softmax(dim=1) @ values

    return answer


def _mask_behind_softmax(queries, keys, values):
    weights = attention.dot_product_scores(queries, keys).softmax(dim=1)
    return weights.tril(len(keys) - len(queries)) @ values


def _continued_case(rows: int, columns: int, d_head: int, d_value: int) -> tuple:
    sizes = ((rows, d_head), (columns, d_head), (columns, d_value))
    return tuple(_draw(*shape, seed=seed) for seed, shape in enumerate(sizes))


continued_attention = Check(
    _continued_attention,
    cases=[
        _continued_case(3, 7, 2, 5),
        _continued_case(1, 5, 11, 3),
        _continued_case(5, 5, 7, 2),
        _continued_case(2, 13, 3, 7),
    ],
    mistakes={
        "first_columns": Mistake(
            _seen(lambda kept: 0),
            "you took the rows for the first tokens; they are the last, and see all that was kept. "
            "Move the triangle to the right: tril(columns - rows).",
        ),
        "no_mask": Mistake(
            _seen(lambda kept: kept, allow=lambda mask, kept: torch.ones_like(mask)),
            "nothing is hidden; of several new tokens, the first may not see the others.",
        ),
        "not_itself": Mistake(
            _seen(lambda kept: kept - 1),
            "a token must see itself too: the triangle is one place too far to the left.",
        ),
        "sees_the_next": Mistake(
            _seen(lambda kept: kept + 1),
            "each token sees the next one: the triangle is one place too far to the right.",
        ),
        "other_way": Mistake(
            _seen(lambda kept: -kept),
            "the triangle was moved to the left; the first rows see nothing: nan.",
        ),
        "only_new": Mistake(
            _seen(allow=lambda mask, kept: mask & (torch.arange(mask.shape[1]) >= kept)),
            "the new tokens see each other alone; what was kept is what they should look at too.",
        ),
        "only_kept": Mistake(
            _seen(allow=lambda mask, kept: mask & (torch.arange(mask.shape[1]) < kept)),
            "the new tokens see what was kept, but neither themselves nor each other.",
        ),
        "masked_after": Mistake(
            _mask_behind_softmax,
            "the mask comes after the softmax: what is left of a row no longer sums to 1.",
        ),
        "no_root": Mistake(
            _seen(scale=lambda queries: 1.0),
            "the dot products are not divided by the root of the width of a key.",
        ),
    },
    hints=[
        "Draw three rows and seven columns. The last row is the last token: it sees all seven.",
        "The first of the new tokens sees all that was kept, and itself.",
        "torch.ones(rows, columns, dtype=torch.bool).tril(columns - rows)",
    ],
)


# The KV cache


def _kv_cache_step(layer, x, kept):
    """Output of the layer for one more token, and what is to be kept; nothing was, if None."""
    q, k, v = _mapped(layer, x)
    if kept is not None:
        k, v = torch.cat([kept[0], k], dim=2), torch.cat([kept[1], v], dim=2)
    return layer.output(join_heads(attention.attend(q, k, v))), (k, v)


def _mapped(layer: MultiHeadAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of each token, by head."""
    q, k, v = (split_heads(to(x), layer.heads) for to in (layer.queries, layer.keys, layer.values))
    return q, k, v


ONCE, AGAIN = "each token mapped once", "earlier tokens mapped again"


def _write_on(step: Callable, layer: MultiHeadAttention, text: Tensor) -> Any:
    """The layer's outputs for a text given token by token, and in words what a step maps.

    What is not a pair is given back as it came.
    """
    mapped: list[int] = []  # tokens that went through the maps, at each step

    def count(part: nn.Module, given: tuple[Tensor]) -> None:
        mapped[-1] += given[0].shape[1]

    for part in (layer.queries, layer.keys, layer.values):
        part.register_forward_pre_hook(count)
    kept, outputs = None, []
    for x in text.split(1, dim=1):
        mapped.append(0)
        came = step(layer, x, kept)
        if not isinstance(came, (tuple, list)) or len(came) != 2:
            return came
        outputs.append(came[0])
        kept = came[1]
    return torch.cat(outputs, dim=1), AGAIN if mapped[-1] > mapped[0] else ONCE


def _step_with(
    *,
    keep: Callable = lambda old, new: torch.cat([old, new], dim=2),
    see: Callable = lambda everything, kept, new: everything,
    mix: Callable = attention.attend,
) -> Callable:
    """A step with a cache in which one thing may be other than it should be."""

    def step(layer, x, kept):
        q, k, v = _mapped(layer, x)
        old = (k[:, :, :0], v[:, :, :0]) if kept is None else kept
        pair = keep(old[0], k), keep(old[1], v)
        seen = (see(*three) for three in zip(pair, old, (k, v), strict=True))
        return layer.output(join_heads(mix(q, *seen))), pair

    return step


def _all_again(layer, x, kept):
    kept = x if kept is None else torch.cat([kept, x], dim=1)
    return layer(kept, mask="causal")[:, -1:], kept


def _whole_width(layer, x, kept):
    q, k, v = (to(x) for to in (layer.queries, layer.keys, layer.values))
    if kept is not None:
        k, v = torch.cat([kept[0], k], dim=1), torch.cat([kept[1], v], dim=1)
    return layer.output(attention.attend(q, k, v)), (k, v)


def _no_output(layer, x, kept):
    q, k, v = _mapped(layer, x)
    if kept is not None:
        k, v = torch.cat([kept[0], k], dim=2), torch.cat([kept[1], v], dim=2)
    return join_heads(attention.attend(q, k, v)), (k, v)


def _layer_case(d_model: int, heads: int, tokens: int, *, seed: int) -> tuple:
    layer = _drawn(lambda: MultiHeadAttention(d_model, heads=heads, linear_bias=True), seed=seed)
    return layer, _draw(2, tokens, d_model, seed=seed)


kv_cache_step = Check(
    _kv_cache_step,
    cases=[_layer_case(10, 2, 7, seed=1), _layer_case(15, 3, 13, seed=2)],
    use=_write_on,
    mistakes={
        "mapped_again": Mistake(
            _all_again,
            "the outputs are right, but at every step the earlier tokens go through the maps once "
            "more. Keep their keys and values, not the tokens.",
        ),
        "nothing_kept": Mistake(
            _step_with(keep=lambda old, new: new),
            "the token sees itself alone: put its key and value behind those that were kept.",
        ),
        "only_the_last_kept": Mistake(
            _step_with(keep=lambda old, new: torch.cat([old[:, :, -1:], new], dim=2)),
            "only the token before is remembered; return all keys and values, the new ones last.",
        ),
        "not_itself": Mistake(
            _step_with(see=lambda everything, kept, new: kept if kept.shape[2] else new),
            "the token looks at those before it, but not at itself: add its key and value first.",
        ),
        "no_new_kept": Mistake(
            lambda layer, x, kept: (
                (out := _step_with()(layer, x, kept))[0],
                out[1] if kept is None else kept,
            ),
            "you return what was kept before; the new key and value must be in it.",
        ),
        "whole_width": Mistake(
            _whole_width,
            "one head over the whole width; split_heads cuts queries, keys and values into "
            "layer.heads pieces.",
        ),
        "no_output": Mistake(
            _no_output,
            "the map behind the heads is missing: layer.output.",
        ),
        "no_root": Mistake(
            _step_with(mix=lambda q, k, v: (q @ k.mT).softmax(dim=-1) @ v),
            "the dot products are not divided by the root of the width of a head.",
        ),
    },
    hints=[
        "Only x is new: make its query, key and value, and split each into heads.",
        "Put key and value behind those kept, along the axis of tokens: torch.cat(..., dim=2). "
        "At the first token, kept is None.",
        "attention.attend(q, k, v) needs no mask: what is kept is the past. Then join_heads, "
        "layer.output, and return (output, (k, v)).",
    ],
)


# The fewest tokens with a share


def _top_p(probabilities, share):
    """The fewest likeliest tokens that have the share together, in proportion; 0 for the others."""
    return Sampler(top_p=share).probabilities(probabilities.log()[None])[0]


def _ranked(
    *,
    left: Callable = lambda before, own, share: before < share,
    finish: Callable = lambda kept: kept / kept.sum(),
    descending: bool = True,
) -> Callable:
    """A choice by rank in which one thing may be other than it should be."""

    def answer(probabilities, share):
        ranked, order = probabilities.sort(descending=descending)
        before = ranked.cumsum(dim=0) - ranked
        kept = torch.zeros_like(probabilities)
        kept[order] = ranked * left(before, ranked, share)
        return finish(kept)

    return answer


def _left_in_order(probabilities, share):
    ranked = probabilities.sort(descending=True).values
    kept = ranked * (ranked.cumsum(dim=0) - ranked < share)
    return kept / kept.sum()


def _unsorted(probabilities, share):
    kept = probabilities * (probabilities.cumsum(dim=0) - probabilities < share)
    return kept / kept.sum()


def _own_share(probabilities, share):
    kept = probabilities * (probabilities >= 1 - share)
    return kept / kept.sum()


top_p = Check(
    _top_p,
    cases=[
        (torch.tensor([0.125, 0.5, 0.125, 0.25]), 0.75),
        (torch.tensor([0.125, 0.1875, 0.6875]), 0.5),
        (_draw(7, seed=1).softmax(dim=0), 0.9),
        (_draw(11, seed=2).softmax(dim=0), 0.4),
    ],
    mistakes={
        "not_renormalised": Mistake(
            _ranked(finish=lambda kept: kept),
            "what is left no longer sums to 1; divide it by its sum.",
        ),
        "stops_short": Mistake(
            _ranked(left=lambda before, own, share: before + own <= share),
            "the token that reaches the share belongs to it; you leave it out, and where the first "
            "has more than the share, nothing is left.",
        ),
        "one_too_many": Mistake(
            _ranked(left=lambda before, own, share: before <= share),
            "where the share is reached exactly, you take one more; the fewest are asked for.",
        ),
        "left_in_order": Mistake(
            _left_in_order,
            "the numbers are right, but in order of size; put each back at the place of its token.",
        ),
        "unsorted": Mistake(
            _unsorted,
            "you added up in the order of the vocabulary; sort by probability first.",
        ),
        "least_likely": Mistake(
            _ranked(descending=False),
            "you began with the least likely; sort(descending=True).",
        ),
        "own_share": Mistake(
            _own_share,
            "each token was judged by its own probability; what counts is what the likelier ones "
            "have together.",
        ),
        "softmax_again": Mistake(
            _ranked(finish=lambda kept: kept.softmax(dim=0)),
            "softmax gives even a 0 a share, since exp(0) is 1; divide by the sum.",
        ),
        "mask_only": Mistake(
            _ranked(finish=lambda kept: kept > 0),
            "these are the tokens that stay; return their probabilities.",
        ),
    },
    hints=[
        "ranked, order = probabilities.sort(descending=True)",
        "A token stays if the likelier ones together have less than the share: "
        "ranked.cumsum(0) - ranked < share.",
        "kept = torch.zeros_like(probabilities); kept[order] = ranked * stays; kept / kept.sum()",
    ],
)


# The loss of a model that fills gaps


def _masked_loss(logits, ids, hidden):
    """Mean over the hidden places of minus the log of the probability of what stands there."""
    return F.cross_entropy(logits[hidden], ids[hidden])


def _losses(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits.mT, ids, reduction="none")


def _gap_case(batch: int, tokens: int, vocab: int, *, gaps: list[int], seed: int) -> tuple:
    """`gaps` are the hidden places, counted through all rows."""
    ids = torch.randint(vocab, (batch, tokens), generator=torch.Generator().manual_seed(seed))
    hidden = torch.zeros(batch * tokens, dtype=torch.bool)
    hidden[gaps] = True
    return _draw(batch, tokens, vocab, seed=seed), ids, hidden.view(batch, tokens)


masked_loss = Check(
    _masked_loss,
    cases=[
        _gap_case(2, 5, 7, gaps=[1, 5, 6, 8], seed=1),
        _gap_case(3, 7, 11, gaps=[3, 6, 9, 15, 17, 20], seed=2),
    ],
    mistakes={
        "every_place": Mistake(
            lambda logits, ids, hidden: _losses(logits, ids).mean(),
            "every place counts, also those whose token the model was shown; only the hidden ones "
            "may.",
        ),
        "visible_places": Mistake(
            lambda logits, ids, hidden: _losses(logits, ids)[~hidden].mean(),
            "these are the places that the model saw; hidden is True where it did not.",
        ),
        "summed": Mistake(
            lambda logits, ids, hidden: _losses(logits, ids)[hidden].sum(),
            "that is the sum over the hidden places; take their mean.",
        ),
        "over_all_places": Mistake(
            lambda logits, ids, hidden: (_losses(logits, ids) * hidden).mean(),
            "you divided by the number of all places; divide by that of the hidden ones.",
        ),
        "row_by_row": Mistake(
            lambda logits, ids, hidden: torch.stack(
                [_losses(logits, ids)[row][hidden[row]].mean() for row in range(len(ids))]
            ).mean(),
            "a mean of each text, and then of these: a gap in a text with few gaps counts more. "
            "Take one mean over all gaps.",
        ),
        "next_token": Mistake(
            lambda logits, ids, hidden: _losses(logits[:, :-1], ids[:, 1:])[hidden[:, 1:]].mean(),
            "you compared with the next token, as for a model that writes; here the logits of a "
            "place are about that place.",
        ),
        "softmax_twice": Mistake(
            lambda logits, ids, hidden: _losses(logits.softmax(dim=-1), ids)[hidden].mean(),
            "cross_entropy takes logits and does the softmax itself; here it is done twice.",
        ),
        "no_minus": Mistake(
            lambda logits, ids, hidden: -_losses(logits, ids)[hidden].mean(),
            "the minus is missing: a loss falls as the probability rises.",
        ),
        "bits": Mistake(
            lambda logits, ids, hidden: _losses(logits, ids)[hidden].mean() / math.log(2),
            "that is in bits; the natural logarithm is asked for.",
        ),
    },
    hints=[
        "logits[hidden] has one row for each hidden place; ids[hidden] has what stands there.",
        "The loss of one place is -logits.log_softmax(-1) at the index of its token.",
        "torch.nn.functional.cross_entropy(logits[hidden], ids[hidden])",
    ],
)
