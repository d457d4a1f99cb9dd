"""Floating-point operations, part by part.

Counts matrix products only, a multiply and an add as two operations; additive terms, non-linear
functions, normalisation and softmax are ignored. Causal attention over a whole sequence is billed
for the full square, as the plain code executes it; a decoding step for the tokens that it reads.
Source of the convention: Chowdhery et al. 2022, PaLM, appendix B (arXiv:2204.02311).
"""

from payattention.shape import GATES, RecurrentShape, TransformerShape


def matmul(rows: int, inner: int, columns: int) -> int:
    """Operations of a (rows x inner) by (inner x columns) matrix product.

    >>> matmul(2, 3, 5)
    60
    """
    return 2 * rows * inner * columns


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


def attention(
    *, d_model: int, tokens: int, d_kv: int | None = None, d_attention: int | None = None
) -> dict[str, int]:
    """Operations of one attention layer over one sequence, by part; heads do not change the sum.

    `d_attention` is the width of all heads together, `d_model` if not given; `d_kv` that of the
    keys, and of the values, over their heads, `d_attention` if not given.

    >>> attention(d_model=8, tokens=4)["scores"]
    256
    """
    width = d_model if d_attention is None else d_attention
    d_kv = width if d_kv is None else d_kv
    return {
        "queries": matmul(tokens, d_model, width),
        "keys and values": 2 * matmul(tokens, d_model, d_kv),
        "scores": matmul(tokens, width, tokens),
        "mixing": matmul(tokens, tokens, width),
        "output": matmul(tokens, width, d_model),
    }


def attention_step(*, d_model: int, past: int) -> dict[str, int]:
    """Operations to write one more token behind `past` tokens whose keys and values are kept.

    >>> [sum(attention_step(d_model=8, past=past).values()) for past in (2, 3)]
    [608, 640]
    """
    return {
        "queries": matmul(1, d_model, d_model),
        "keys and values": 2 * matmul(1, d_model, d_model),
        "scores": matmul(1, d_model, past + 1),
        "mixing": matmul(1, past + 1, d_model),
        "output": matmul(1, d_model, d_model),
    }


def forward(shape: TransformerShape, *, tokens: int) -> dict[str, int]:
    """Operations of one forward pass of a Transformer that writes, over one sequence, by part.

    A shared block saves parameters and no operation: it runs `layers` times.

    >>> from payattention.shape import GPT2_SMALL
    >>> sum(forward(GPT2_SMALL, tokens=1024).values())
    291648307200
    """
    width = shape.heads * shape.d_head
    layer = attention(d_model=shape.d_model, d_kv=shape.d_kv, d_attention=width, tokens=tokens)
    maps = 3 if shape.activation == "swiglu" else 2
    layer["mlp"] = maps * matmul(tokens, shape.d_model, shape.d_ff)
    bill = {part: shape.layers * flops for part, flops in layer.items()}
    if shape.d_embedding:
        bill["embedding map"] = matmul(tokens, shape.d_embedding, shape.d_model)
    return bill | {"logits": matmul(tokens, shape.d_model, shape.vocab)}
