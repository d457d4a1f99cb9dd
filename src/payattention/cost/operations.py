"""Floating-point operations, part by part.

Counts matrix products only, a multiply and an add as two operations; additive terms, non-linear
functions, normalisation and softmax are ignored. Attention over a whole sequence is billed in two
ways, told apart by how many pairs of a query and a key are counted: `executed_pairs`, the full
square, which the plain code multiplies also where a mask hides half of it; and `needed_pairs`,
only what the mask allows. A bill is of the first kind unless it is given `pairs`. A decoding step
is billed for the tokens that it reads, which is both.
Source of the convention: Chowdhery et al. 2022, PaLM, appendix B (arXiv:2204.02311).
"""

from payattention.cost.arguments import one_of, whole
from payattention.shape import GATES, RecurrentShape, TransformerShape


def matmul(rows: int, inner: int, columns: int) -> int:
    """Operations of a (rows x inner) by (inner x columns) matrix product.

    >>> matmul(2, 3, 5)
    60
    """
    return 2 * rows * inner * columns


Flops = dict[str, int]
"""Operations by part: a bill."""


def add(bill: Flops, more: Flops, times: int = 1) -> None:
    """Return nothing; put more on the bill, part by part, so many times.

    >>> bill = {"scores": 2}
    >>> add(bill, {"scores": 1, "doors": 4}, times=3)
    >>> bill
    {'scores': 5, 'doors': 12}
    """
    for part, count in more.items():
        bill[part] = bill.get(part, 0) + times * count


def recurrent(shape: RecurrentShape, *, tokens: int) -> dict[str, int]:
    """Operations of one recurrent layer over one sequence, by part: linear in `tokens`.

    >>> sum(recurrent(RecurrentShape("gru", d_input=5, d_hidden=7), tokens=11).values())
    5544
    """
    rows = GATES[shape.cell] * shape.d_hidden
    return {
        "input": matmul(tokens, shape.d_input, rows),
        "state": tokens * matmul(1, shape.d_hidden, rows),
    }


def convolution(*, d_model: int, kernel: int, layers: int, tokens: int) -> dict[str, int]:
    """Operations of a stack of convolutions of equal width over one sequence, by part.

    >>> convolution(d_model=3, kernel=2, layers=1, tokens=5)
    {'filters': 180}
    """
    return {"filters": layers * matmul(tokens, kernel * d_model, d_model)}


def executed_pairs(tokens: int) -> int:
    """Pairs of a query and a key that the plain code multiplies: all.

    >>> executed_pairs(4)
    16
    """
    return whole("tokens", tokens) ** 2


def needed_pairs(tokens: int, *, mask: str = "causal", window: int | None = None) -> int:
    """Pairs of a query and a key that the mask allows.

    The mask is "full" or "causal"; with a `window`, a causal one in which a token sees itself and
    the `window` - 1 tokens before it.

    >>> needed_pairs(4), needed_pairs(4, window=2), needed_pairs(4, mask="full")
    (10, 7, 16)

    Raises:
        ValueError: for another mask, and for a window in a full one.
    """
    whole("tokens", tokens)
    if not one_of("mask", mask, {"full": False, "causal": True}):
        if window is not None:
            raise ValueError(f"window={window!r}: expected None, for the mask is full")
        return tokens**2
    seen = tokens if window is None else min(whole("window", window), tokens)
    return seen * (seen + 1) // 2 + (tokens - seen) * seen


def attention(
    *,
    d_model: int,
    tokens: int,
    d_kv: int | None = None,
    d_attention: int | None = None,
    queries: int | None = None,
    pairs: int | None = None,
) -> dict[str, int]:
    """Operations of one attention layer over one sequence, by part; heads do not change the sum.

    `d_attention` is the width of all heads together, `d_model` if not given; `d_kv` that of the
    keys, and of the values, over their heads, `d_attention` if not given; `queries` how many of the
    tokens ask, all if not given; `pairs` those of a query and a key, each with each if not given.

    >>> attention(d_model=8, tokens=4)["scores"]
    256
    """
    width = d_model if d_attention is None else d_attention
    d_kv = width if d_kv is None else d_kv
    tokens = whole("tokens", tokens, least=0)
    queries = tokens if queries is None else whole("queries", queries, least=0)
    pairs = queries * tokens if pairs is None else whole("pairs", pairs, least=0)
    return {
        "queries": matmul(queries, d_model, width),
        "keys and values": 2 * matmul(tokens, d_model, d_kv),
        "scores": pairs * matmul(1, width, 1),
        "mixing": pairs * matmul(1, 1, width),
        "output": matmul(queries, width, d_model),
    }


def block(
    shape: TransformerShape, *, tokens: int, queries: int | None = None, pairs: int | None = None
) -> dict[str, int]:
    """Operations of one block over one sequence, by part; see `attention`.

    Keys and values are made for all `tokens`; `queries` of them ask and go through the feed-forward
    part, all if not given.

    >>> from payattention.shape import GPT2_SMALL
    >>> half = block(GPT2_SMALL, tokens=8, queries=4)
    >>> half["mlp"] / half["keys and values"]
    2.0
    """
    queries = tokens if queries is None else queries
    bill = attention(
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_attention=shape.heads * shape.d_head,
        tokens=tokens,
        queries=queries,
        pairs=pairs,
    )
    maps = 3 if shape.activation == "swiglu" else 2
    bill["mlp"] = (shape.chosen or 1) * maps * matmul(queries, shape.d_model, shape.d_ff)
    if shape.experts:
        bill["router"] = matmul(queries, shape.d_model, shape.experts)
    return bill


def attention_step(
    *, d_model: int, past: int, d_kv: int | None = None, d_attention: int | None = None
) -> dict[str, int]:
    """Operations to write one more token behind `past` tokens whose keys and values are kept.

    >>> [sum(attention_step(d_model=8, past=past).values()) for past in (2, 3)]
    [608, 640]
    """
    pairs = whole("past", past, least=0) + 1
    return attention(d_model=d_model, tokens=1, d_kv=d_kv, d_attention=d_attention, pairs=pairs)


def forward(shape: TransformerShape, *, tokens: int, pairs: int | None = None) -> dict[str, int]:
    """Operations of one forward pass of a Transformer that writes, over one sequence, by part.

    A shared block saves parameters and no operation: it runs `layers` times. Of experts, those that
    are chosen are billed, and the router.

    >>> from payattention.shape import GPT2_SMALL
    >>> sum(forward(GPT2_SMALL, tokens=1024).values())
    291648307200
    >>> pairs = needed_pairs(1024)
    >>> sum(forward(GPT2_SMALL, tokens=1024, pairs=pairs).values())
    272339828736

    Sources: Kaplan et al. 2020 (arXiv:2001.08361), table 1; Hoffmann et al. 2022
    (arXiv:2203.15556), appendix F, which adds a look-up of tokens and softmax.
    """
    bill = _blocks(shape, tokens=tokens, pairs=pairs) | embedding_map(shape, tokens=tokens)
    return bill | {"logits": matmul(tokens, shape.d_model, shape.vocab)}


def embedding_map(shape: TransformerShape, *, tokens: int) -> dict[str, int]:
    """Operations to widen the vectors of a narrower table; nothing where there is none.

    >>> from payattention.shape import GPT2_SMALL
    >>> embedding_map(GPT2_SMALL, tokens=8)
    {}
    """
    if not shape.d_embedding:
        return {}
    return {"embedding map": matmul(tokens, shape.d_embedding, shape.d_model)}


def classify(shape: TransformerShape, *, d_input: int) -> dict[str, int]:
    """Operations of one forward pass of a Vision Transformer over one image, by part.

    It reads `context` - 1 patches of `d_input` numbers, and one token of its own.

    >>> from payattention.shape import VIT_BASE
    >>> round(sum(classify(VIT_BASE, d_input=768).values()) / 1e9, 1)
    35.1

    Source: the fvcore counter of Touvron et al. 2021, DeiT (arXiv:2012.12877), table 5, gives half
    of it, 17.6, for it counts a multiply and an add as one.
    """
    if shape.context is None:
        raise ValueError("context=None: expected the number of patches and one")
    patches = whole("context", shape.context, least=2) - 1
    return {
        "input": matmul(patches, whole("d_input", d_input), shape.d_model),
        **_blocks(shape, tokens=shape.context, pairs=None),
        "classes": matmul(1, shape.d_model, shape.vocab),
    }


def encode(shape: TransformerShape, *, tokens: int) -> dict[str, int]:
    """Operations of one forward pass of a Transformer that reads, over one sequence, by part.

    It looks both ways and has no output; a pooler reads the first token alone.

    >>> from payattention.shape import BERT_BASE
    >>> round(sum(encode(BERT_BASE, tokens=512).values()) / 1e9, 1)
    96.6
    """
    bill = forward(shape, tokens=tokens)
    del bill["logits"]
    return bill | ({"pooler": matmul(1, shape.d_model, shape.d_model)} if shape.pooler else {})


def decode(shape: TransformerShape, *, past: int, window: int | None = None) -> dict[str, int]:
    """Operations to write one token behind `past` tokens whose keys and values are kept, by part.

    With a `window`, only so many tokens are looked at, the new one among them.

    >>> from payattention.shape import GPT2_SMALL
    >>> sum(decode(GPT2_SMALL, past=0).values()), sum(decode(GPT2_SMALL, past=1023).values())
    (247100928, 284812800)
    """
    seen = whole("past", past, least=0) + 1
    if window is not None:
        seen = min(seen, whole("window", window))
    return forward(shape, tokens=1, pairs=seen)


def backward(bill: dict[str, int]) -> dict[str, int]:
    """Operations of the backward pass that belongs to a forward pass: twice as many, by part.

    Each product has two gradients, one for either factor, and each is a product of its size.
    """
    return {part: 2 * flops for part, flops in bill.items()}


def training(
    shape: TransformerShape, *, tokens: int, pairs: int | None = None, checkpointing: bool = False
) -> dict[str, int]:
    """Operations of a training step on one sequence, forward and backward, by part.

    With `checkpointing` the blocks run forward twice. The optimiser, a few operations for each
    parameter, is ignored.

    >>> from payattention.shape import GPT2_SMALL
    >>> step = sum(training(GPT2_SMALL, tokens=1024).values())
    >>> step / (6 * 124_439_808 * 1024)
    1.1443...
    """
    bill = forward(shape, tokens=tokens, pairs=pairs)
    again = _blocks(shape, tokens=tokens, pairs=pairs) if checkpointing else {}
    back = backward(bill)
    return {part: flops + back[part] + again.get(part, 0) for part, flops in bill.items()}


def training_by_rule(parameters: int, *, tokens: int) -> int:
    """Operations of a whole training by the rule of six for each parameter and token.

    Two of them forward and four backward. It ignores scores and mixing, and is good where the text
    is much shorter than 6 d_model.

    >>> f"{training_by_rule(175_000_000_000, tokens=300_000_000_000):.3g}"
    '3.15e+23'

    Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1.
    """
    return 6 * whole("parameters", parameters) * whole("tokens", tokens)


def crossover_tokens(shape: TransformerShape, *, mask: str = "full") -> float:
    """Length at which scores and mixing take as many operations as all maps of a block.

    In a plain Transformer 6 d_model, or 12 d_model where half of the square is masked.

    >>> from payattention.shape import GPT3
    >>> crossover_tokens(GPT3), crossover_tokens(GPT3, mask="causal")
    (73728.0, 147456.0)

    Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1.
    """
    block = _blocks(shape, tokens=1, pairs=1)
    square = block.pop("scores") + block.pop("mixing")
    half = one_of("mask", mask, {"full": 1, "causal": 2})
    return half * sum(block.values()) / square


def _blocks(shape: TransformerShape, *, tokens: int, pairs: int | None) -> dict[str, int]:
    layer = block(shape, tokens=whole("tokens", tokens), pairs=pairs)
    return {part: shape.layers * flops for part, flops in layer.items()}
