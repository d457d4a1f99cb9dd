"""What a model is made of: the same small object builds it and bills it.

A shape holds sizes and nothing else, so that arithmetic about a model (`payattention.cost`) needs
no torch, and so that the model and its bill cannot disagree about a size.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

MOST = 2**53 - 1
"""Largest size or count: the last whole number that 64-bit floats, and JavaScript, hold exactly."""

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
"""Affine maps in one step of each recurrent cell: one candidate, and the gates around it."""


def _require_positive_integers(shape) -> None:
    for field in fields(shape):
        value = getattr(shape, field.name)
        if field.type not in (int, int | None) or (value is None and field.type is not int):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
            raise ValueError(
                f"{field.name}={value!r}: expected a whole number of at least 1, at most {MOST:,}"
            )


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


CHOICES = {
    "positions": ("none", "sinusoidal", "learned", "rotary", "alibi"),
    "norm": ("layer", "rms"),
    "order": ("pre", "post"),
    "activation": ("gelu", "gelu_tanh", "relu", "swiglu"),
    "biases": ("all", "feed-forward", "none"),
}
"""What the parts of a Transformer may be made of."""


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a Transformer, and what its parts are made of.

    `vocab` is what the output tells apart: tokens, or classes. `context` is the longest text: a
    table of learned positions ends there, and so does generation. `d_attention` is the width of
    all heads together, `d_model` if not given. The stream is normalised in front of each part
    ("pre") or behind it ("post"), and then the embedding is as well. `biases` has those of the
    linear maps; a norm of layers always has one. A `tied` output is the table of token vectors;
    without it, that table is scaled by the root of its width, as in Vaswani et al. 2017. BERT adds
    `segments` (first or second text) and a `pooler`; ALBERT a narrower table of width
    `d_embedding`, and one `shared` block that is applied `layers` times. With `experts`, so many
    feed-forward parts of width `d_ff` stand side by side, of which a token uses `chosen`.

    >>> GPT2_SMALL.d_head
    64

    Raises:
        ValueError: for a size below 1, `heads` that do not divide the width, `kv_heads` that do
            not divide `heads`, a choice that is not in `CHOICES`, learned positions without a
            `context`, a `tied` output to a table of another width, or more `chosen` experts than
            there are.
    """

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_ff: int
    vocab: int
    context: int | None = None
    positions: str = "rotary"
    norm: str = "layer"
    order: str = "pre"
    activation: str = "gelu"
    biases: str = "feed-forward"
    tied: bool = False
    d_attention: int | None = None
    d_embedding: int | None = None
    segments: int | None = None
    pooler: bool = False
    shared: bool = False
    experts: int | None = None
    chosen: int | None = None

    def __post_init__(self) -> None:
        _require_positive_integers(self)
        if (self.experts is None) != (self.chosen is None):
            raise ValueError(
                f"experts={self.experts}, chosen={self.chosen}: expected both, or neither"
            )
        if self.experts is not None and self.chosen > self.experts:
            raise ValueError(f"chosen={self.chosen}: expected at most experts={self.experts}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: expected one of {', '.join(choices)}"
                )
        width = "d_model" if self.d_attention is None else "d_attention"
        if getattr(self, width) % self.heads:
            raise ValueError(
                f"heads={self.heads}: expected a divisor of {width}={getattr(self, width)}"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads}: expected a divisor of heads={self.heads}")
        if self.positions == "learned" and self.context is None:
            raise ValueError("context=None: learned positions need the length of their table")
        if self.tied and self.d_embedding not in (None, self.d_model):
            raise ValueError(f"tied=True: expected d_embedding to be d_model={self.d_model}")

    @property
    def d_head(self) -> int:
        """Width of one head's query, key and value."""
        return (self.d_attention or self.d_model) // self.heads

    @property
    def d_kv(self) -> int:
        """Width of the keys, and of the values, of all heads together."""
        return self.kv_heads * self.d_head


def gpt(layers: int, d_model: int, heads: int, *, context: int) -> TransformerShape:
    """The shape of GPT-2 and GPT-3: learned positions, biases everywhere, a tied output.

    >>> gpt(12, 768, 12, context=1024) == GPT2_SMALL
    True
    """
    return TransformerShape(
        layers=layers,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * d_model,
        vocab=50257,
        context=context,
        positions="learned",
        activation="gelu_tanh",
        biases="all",
        tied=True,
    )


def bert(layers: int, d_model: int, heads: int, *, vocab: int = 30522) -> TransformerShape:
    """The shape of BERT: norms behind the parts, two segments, a pooler."""
    return TransformerShape(
        layers=layers,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * d_model,
        vocab=vocab,
        context=512,
        positions="learned",
        order="post",
        biases="all",
        tied=True,
        segments=2,
        pooler=True,
    )


def albert(layers: int, d_model: int) -> TransformerShape:
    """The shape of ALBERT: BERT with one shared block, heads of 64, token vectors of width 128."""
    unshared = bert(layers, d_model, d_model // 64, vocab=30000)
    return replace(unshared, d_embedding=128, tied=False, shared=True)


def vit(layers: int, d_model: int, heads: int, *, patches: int) -> TransformerShape:
    """The shape of a Vision Transformer: `patches` and a class token, 1,000 classes."""
    return replace(
        gpt(layers, d_model, heads, context=patches + 1),
        vocab=1000,
        activation="gelu",
        tied=False,
    )


GPT2_SMALL = gpt(12, 768, 12, context=1024)
GPT3 = gpt(96, 12288, 96, context=2048)
"""The 175-billion-parameter model. Source: Brown et al. 2020, table 2.1 (arXiv:2005.14165)."""
BERT_BASE, BERT_LARGE = bert(12, 768, 12), bert(24, 1024, 16)
"""Source: Devlin et al. 2018, section 3 (arXiv:1810.04805), and the authors' repository."""
ALBERT_BASE, ALBERT_LARGE = albert(12, 768), albert(24, 1024)
ALBERT_XLARGE, ALBERT_XXLARGE = albert(24, 2048), albert(12, 4096)
"""Source: Lan et al. 2019, tables 1 and 2 (arXiv:1909.11942)."""
VIT_BASE, VIT_LARGE = vit(12, 768, 12, patches=14**2), vit(24, 1024, 16, patches=14**2)
VIT_HUGE = vit(32, 1280, 16, patches=16**2)
"""For 224 x 224 pixels in patches of 16 (Huge: 14). Source: Dosovitskiy et al. 2020, table 1
(arXiv:2010.11929)."""


LLAMA_7B = TransformerShape(
    layers=32,
    d_model=4096,
    heads=32,
    kv_heads=32,
    d_ff=11008,
    vocab=32000,
    context=2048,
    norm="rms",
    activation="swiglu",
    biases="none",
)
"""Source: Touvron et al. 2023, sections 2.2 and 2.3, table 2 (arXiv:2302.13971); `d_ff`, two thirds
of four times the width, is rounded up to a multiple of 256, as in the authors' repository."""


MIXTRAL = TransformerShape(
    layers=32,
    d_model=4096,
    heads=32,
    kv_heads=8,
    d_ff=14336,
    vocab=32000,
    context=32768,
    norm="rms",
    activation="swiglu",
    biases="none",
    experts=8,
    chosen=2,
)
"""Source: Jiang et al. 2024, table 1 (arXiv:2401.04088)."""

SWITCH_C = TransformerShape(
    layers=15,
    d_model=2080,
    heads=32,
    kv_heads=32,
    d_ff=6144,
    vocab=32128,
    norm="rms",
    activation="relu",
    biases="none",
    tied=True,
    d_attention=2048,
    experts=2048,
    chosen=1,
)
"""An encoder and a decoder of so many layers each, all with experts. Source: Fedus et al. 2021,
table 9 (arXiv:2101.03961); the vocabulary is T5's."""


class Printed(NamedTuple):
    """One row of a published table, as printed."""

    name: str
    parameters: float
    layers: int
    d_model: int
    heads: int
    d_head: int


GPT3_TABLE = (
    Printed("Small", 125e6, 12, 768, 12, 64),
    Printed("Medium", 350e6, 24, 1024, 16, 64),
    Printed("Large", 760e6, 24, 1536, 16, 96),
    Printed("XL", 1.3e9, 24, 2048, 24, 128),
    Printed("2.7B", 2.7e9, 32, 2560, 32, 80),
    Printed("6.7B", 6.7e9, 32, 4096, 32, 128),
    Printed("13B", 13.0e9, 40, 5140, 40, 128),
    Printed("175B", 175.0e9, 96, 12288, 96, 128),
)
"""All eight models; in XL and 13B, heads times d_head is not d_model. Source: Brown et al. 2020,
table 2.1 (arXiv:2005.14165)."""


# fmt: off
CHINCHILLA_TABLE = tuple(
    Printed(f"{millions}M", millions * 1e6, *sizes)
    for millions, *sizes in (
        (44, 8, 512, 8, 64), (57, 9, 576, 9, 64), (74, 10, 640, 10, 64), (90, 13, 640, 10, 64),
        (106, 16, 640, 10, 64), (117, 12, 768, 12, 64), (140, 15, 768, 12, 64),
        (163, 18, 768, 12, 64), (175, 14, 896, 14, 64), (196, 16, 896, 14, 64),
        (217, 18, 896, 14, 64), (251, 16, 1024, 16, 64), (278, 18, 1024, 16, 64),
        (306, 20, 1024, 16, 64), (425, 18, 1280, 10, 128), (489, 21, 1280, 10, 128),
        (509, 18, 1408, 11, 128), (552, 24, 1280, 10, 128), (587, 21, 1408, 11, 128),
        (632, 19, 1536, 12, 128), (664, 24, 1408, 11, 128), (724, 22, 1536, 12, 128),
        (816, 25, 1536, 12, 128), (893, 20, 1792, 14, 128), (1018, 23, 1792, 14, 128),
        (1143, 26, 1792, 14, 128), (1266, 22, 2048, 16, 128), (1424, 22, 2176, 17, 128),
        (1429, 25, 2048, 16, 128), (1593, 28, 2048, 16, 128), (1609, 25, 2176, 17, 128),
        (1731, 24, 2304, 18, 128), (1794, 28, 2176, 17, 128), (2007, 28, 2304, 18, 128),
        (2283, 32, 2304, 18, 128), (2298, 26, 2560, 20, 128), (2639, 30, 2560, 20, 128),
        (2980, 34, 2560, 20, 128), (3530, 36, 2688, 22, 128), (3802, 36, 2816, 22, 128),
        (4084, 36, 2944, 22, 128), (4516, 36, 3072, 24, 128), (6796, 40, 3584, 28, 128),
        (9293, 42, 4096, 32, 128), (11452, 47, 4352, 32, 128), (12295, 44, 4608, 36, 128),
        (12569, 47, 4608, 32, 128), (13735, 47, 4864, 32, 128), (14940, 49, 4992, 32, 128),
        (16183, 47, 5120, 40, 128),
    )
)
# fmt: on
"""All fifty models, millions of parameters first; d_ff is 4 d_model in each, and in six of them
heads times d_head is not d_model. Source: Hoffmann et al. 2022, table A9 (arXiv:2203.15556)."""
