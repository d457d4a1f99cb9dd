"""What a model is made of: the same small object builds it and bills it.

A shape holds sizes and nothing else, so that arithmetic about a model (`payattention.cost`) needs
no torch, and so that the model and its bill cannot disagree about a size.
"""

from dataclasses import dataclass, fields

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
"""Affine maps in one step of each recurrent cell: one candidate, and the gates around it."""


def _require_positive_integers(shape) -> None:
    for field in fields(shape):
        value = getattr(shape, field.name)
        if field.type is not int:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{field.name}={value!r}: expected a whole number of at least 1")


@dataclass(frozen=True)
class RecurrentShape:
    """Sizes of one recurrent layer: which cell, how wide its input, how wide its state.

    >>> RecurrentShape("lstm", d_input=16, d_hidden=32).state_size
    64

    Raises:
        ValueError: for a cell that is not 'rnn', 'lstm' or 'gru', or a size below 1.
    """

    cell: str
    d_input: int
    d_hidden: int

    def __post_init__(self) -> None:
        if self.cell not in GATES:
            raise ValueError(f"cell={self.cell!r}: expected one of {', '.join(map(repr, GATES))}")
        _require_positive_integers(self)

    @property
    def state_size(self) -> int:
        """Numbers carried from one token to the next; an LSTM carries two vectors."""
        return self.d_hidden * (2 if self.cell == "lstm" else 1)


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a decoder-only Transformer; `d_head` is `d_model / heads`.

    >>> GPT2_SMALL.d_head
    64

    Raises:
        ValueError: for a size below 1, `heads` that do not divide `d_model`, or `kv_heads` that
            do not divide `heads`.
    """

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_ff: int
    vocab: int

    def __post_init__(self) -> None:
        _require_positive_integers(self)
        if self.d_model % self.heads:
            raise ValueError(f"heads={self.heads}: expected a divisor of d_model={self.d_model}")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads}: expected a divisor of heads={self.heads}")

    @property
    def d_head(self) -> int:
        """Width of one head's query, key and value."""
        return self.d_model // self.heads


GPT2_SMALL = TransformerShape(layers=12, d_model=768, heads=12, kv_heads=12, d_ff=3072, vocab=50257)
GPT3 = TransformerShape(
    layers=96, d_model=12288, heads=96, kv_heads=96, d_ff=4 * 12288, vocab=50257
)
"""The 175-billion-parameter model. Source: Brown et al. 2020, table 2.1 (arXiv:2005.14165)."""
