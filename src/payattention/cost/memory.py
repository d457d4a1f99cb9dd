"""Bytes that a model holds: to train, and to write the next token.

Counts tensors: weights, gradients, the optimiser's, activations kept for the backward pass, the KV
cache, a recurrent state. What the allocator adds, buffers inside a kernel, the code and its
libraries are ignored. A training step holds what a forward pass has stored for the backward pass
together with all the rest at the moment between the two; gradients that come afterwards take the
place of activations that go.
"""

from payattention.cost.arguments import MOST_REAL, one_of, whole
from payattention.shape import RecurrentShape, TransformerShape

BITS = {
    "float64": 64,
    "float32": 32,
    "bfloat16": 16,
    "float16": 16,
    "float8": 8,
    "int8": 8,
    "int4": 4,
}
"""Bits of one number. Formats of four and eight bits add scales for groups of numbers, some three
to twelve per cent more, which are ignored here."""

OPTIMISERS = {"sgd": 0, "momentum": 1, "adam": 2}
"""Numbers in 32 bits that each optimiser keeps for a parameter."""


def bytes_of(numbers: int, dtype: str) -> int:
    """Bytes of so many numbers, the last byte full.

    >>> bytes_of(3, "float32"), bytes_of(3, "int4")
    (12, 2)

    Raises:
        ValueError: for a dtype that is not in `BITS`.
    """
    # more than one size may be: the scores of a long text are a product of many
    most = int(MOST_REAL)
    return -(-whole("numbers", numbers, least=0, most=most) * one_of("dtype", dtype, BITS) // 8)


def recurrent_state_bytes(shape: RecurrentShape, *, dtype: str = "float32") -> int:
    """Bytes that a recurrent layer carries from token to token, after ten as after a million.

    >>> recurrent_state_bytes(RecurrentShape("lstm", d_input=16, d_hidden=32))
    256
    """
    return bytes_of(shape.state_size, dtype)


def kv_cache_bytes(
    shape: TransformerShape,
    *,
    tokens: int,
    batch: int = 1,
    window: int | None = None,
    dtype: str = "float16",
) -> int:
    """Bytes of keys and values kept in all layers: linear in `tokens`, up to a `window`.

    >>> from payattention.shape import GPT3
    >>> kv_cache_bytes(GPT3, tokens=1)
    4718592

    Source: Shazeer 2019 (arXiv:1911.02150), section 2.4; the number is 2 x 96 x 12,288 x 2 bytes.
    """
    whole("batch", batch)
    kept = whole("tokens", tokens, least=0)
    if window is not None:
        kept = min(kept, whole("window", window))
    return batch * bytes_of(2 * shape.layers * shape.d_kv * kept, dtype)


def activations(
    shape: TransformerShape,
    *,
    tokens: int,
    batch: int = 1,
    stored_scores: bool = False,
    checkpointing: bool = False,
    dtype: str = "float32",
) -> dict[str, int]:
    """Bytes that a forward pass keeps for the backward pass of a model that writes, by part.

    What `transformer.Decoder` and its loss keep: the input of every map, of every norm and of every
    bend, the queries, keys and values, of which shared ones are repeated for each head, and the
    logits. With `stored_scores` the weights of attention as well, a square for each head; a fused
    kernel keeps one number a row in their place. With `checkpointing` only the input of each
    block, and the rest of one block at a time, computed once more.

    >>> from payattention.shape import GPT2_SMALL
    >>> bill = activations(GPT2_SMALL, tokens=1024)
    >>> round(sum(bill.values()) / 1e6)
    817

    Sources: Korthikanti et al. 2022 (arXiv:2205.05198), section 4.1, whose count this is without
    dropout; Chen et al. 2016 (arXiv:1604.06174) for checkpointing.
    """
    whole("tokens", tokens), whole("batch", batch)
    d_model, width = shape.d_model, shape.heads * shape.d_head
    norm = 2 * d_model + (2 if shape.norm == "layer" else 1 + d_model)
    bends = {"relu": 1, "swiglu": 4}
    block = {
        "norms": 2 * norm,
        # rotated queries and keys come in an order that a copy of the mixture has to undo
        "attention": (5 if shape.positions == "rotary" and not stored_scores else 4) * width,
        "scores": shape.heads * (tokens if stored_scores else 1),
        "feed-forward": bends.get(shape.activation, 2) * shape.d_ff,
    }
    if checkpointing:
        numbers = dict(block, inputs=shape.layers * d_model)
    else:
        numbers = {part: shape.layers * count for part, count in block.items()}
    numbers |= {"last norm": norm, "logits": shape.vocab}
    return {part: bytes_of(batch * tokens * count, dtype) for part, count in numbers.items()}


def training(parameters: int, *, optimiser: str = "adam", dtype: str = "float32") -> dict[str, int]:
    """Bytes of weights, gradients and optimiser, without activations.

    In 16 bits, an optimiser keeps a copy of the weights in 32 bits, so that Adam takes 16 bytes a
    parameter in either case.

    >>> training(1)
    {'weights': 4, 'gradients': 4, 'optimiser': 8}
    >>> sum(training(1, dtype="bfloat16").values())
    16

    Source: Rajbhandari et al. 2020, ZeRO (arXiv:1910.02054), section 3.1.
    """
    whole("parameters", parameters)
    kept = one_of("optimiser", optimiser, OPTIMISERS)
    if one_of("dtype", dtype, BITS) < 32:
        kept += 1
    return {
        "weights": bytes_of(parameters, dtype),
        "gradients": bytes_of(parameters, dtype),
        "optimiser": bytes_of(kept * parameters, "float32"),
    }
