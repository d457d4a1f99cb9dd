"""A small Transformer: attention and a feed-forward part, one block upon the other.

Each part reads the layer-normalised stream and adds to it (pre-norm). `Decoder` writes the next
token; `EncoderDecoder` reads one sequence and writes another. Dropout is not used.

Sources: Vaswani et al. 2017 (arXiv:1706.03762); for the order of normalisation, Xiong et al. 2020
(arXiv:2002.04745).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import positions
from payattention.attention import Mask, MultiHeadAttention
from payattention.positions import LearnedPositions, Rotary
from payattention.shape import TransformerShape

POSITIONS = ("none", "sinusoidal", "learned", "rotary", "alibi")


class FeedForward(nn.Module):
    """Two linear maps with a GELU in between, applied to each token alone."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What the part adds to each token."""
        return self.narrow(F.gelu(self.widen(x)))


class Block(nn.Module):
    """Self-attention, attention to a context where there is one, and the feed-forward part."""

    def __init__(
        self, shape: TransformerShape, *, rotate: Rotary | None = None, reads_context: bool = False
    ) -> None:
        super().__init__()

        def attention(rotate: Rotary | None) -> MultiHeadAttention:
            return MultiHeadAttention(
                shape.d_model, heads=shape.heads, kv_heads=shape.kv_heads, rotate=rotate
            )

        self.attention, self.norm = attention(rotate), nn.LayerNorm(shape.d_model)
        self.cross = attention(None) if reads_context else None
        self.cross_norm = nn.LayerNorm(shape.d_model) if reads_context else None
        self.mlp, self.mlp_norm = (
            FeedForward(shape.d_model, shape.d_ff),
            nn.LayerNorm(shape.d_model),
        )

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        *,
        mask: Mask = None,
        bias: Float[Tensor, "..."] | None = None,
        context: Float[Tensor, "batch columns d_model"] | None = None,
        context_mask: Mask = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """The stream after the block."""
        x = x + self.attention(self.norm(x), mask=mask, bias=bias)
        if self.cross is not None:
            x = x + self.cross(self.cross_norm(x), context, mask=context_mask)
        return x + self.mlp(self.mlp_norm(x))


class Embedding(nn.Module):
    """Token vectors, with a vector for the position added where positions are of that kind."""

    def __init__(self, vocab: int, d_model: int, *, kind: str, longest: int | None) -> None:
        super().__init__()
        if kind not in POSITIONS:
            raise ValueError(f"positions={kind!r}: expected one of {', '.join(POSITIONS)}")
        if kind == "learned" and longest is None:
            raise ValueError("longest=None: learned positions need the length of their table")
        self.kind, self.d_model = kind, d_model
        self.table = nn.Embedding(vocab, d_model)
        nn.init.normal_(self.table.weight, std=1 / math.sqrt(d_model))
        self.learned = LearnedPositions(longest, d_model) if kind == "learned" else None

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens d_model"]:
        """One vector a token."""
        x = math.sqrt(self.d_model) * self.table(ids)
        if self.learned is not None:
            return x + self.learned(ids.shape[1])
        if self.kind == "sinusoidal":
            return x + positions.sinusoidal(ids.shape[1], self.d_model).to(x)
        return x


class Decoder(nn.Module):
    """A model that writes: logits of the next token at every place.

    `positions` is "none", "sinusoidal", "learned" (with a table of `longest` places), "rotary" or
    "alibi". `squeeze` is the factor of position interpolation; it may be changed after training.

    Raises:
        ValueError: for positions of no such kind, and for a text longer than a learned table.
    """

    def __init__(
        self,
        shape: TransformerShape,
        *,
        positions: Literal["none", "sinusoidal", "learned", "rotary", "alibi"] = "rotary",
        longest: int | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.positions = shape, positions
        self.embedding = Embedding(shape.vocab, shape.d_model, kind=positions, longest=longest)
        rotate = Rotary() if positions == "rotary" else None
        self.blocks = nn.ModuleList(Block(shape, rotate=rotate) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.d_model)
        self.output = nn.Linear(shape.d_model, shape.vocab)

    def squeeze(self, factor: float) -> None:
        """Return nothing; from now on, divide the positions of a rotary model by `factor`.

        Raises:
            ValueError: for a model whose positions are not rotary.
        """
        if self.positions != "rotary":
            raise ValueError(f"positions={self.positions!r}: expected 'rotary' ones to squeeze")
        for block in self.blocks:
            block.attention.rotate = Rotary(squeeze=factor)

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Mask = "causal"
    ) -> Float[Tensor, "batch tokens vocab"]:
        """Logits of the token that follows each place; `mask` says who may look at whom."""
        x, bias = self.embedding(ids), self._bias(ids)
        for block in self.blocks:
            x = block(x, mask=mask, bias=bias)
        return self.output(self.norm(x))

    def attention_weights(
        self, ids: Int[Tensor, "batch tokens"], mask: Mask = "causal"
    ) -> Float[Tensor, "layers batch heads tokens tokens"]:
        """How every head of every layer shares its attention out."""
        x, bias, weights = self.embedding(ids), self._bias(ids), []
        for block in self.blocks:
            weights.append(block.attention.weights(block.norm(x), mask=mask, bias=bias))
            x = block(x, mask=mask, bias=bias)
        return torch.stack(weights)

    def _bias(self, ids: Tensor) -> Tensor | None:
        if self.positions != "alibi":
            return None
        return positions.alibi(self.shape.heads, ids.shape[1]).to(ids.device)


class EncoderDecoder(nn.Module):
    """A model that reads one sequence, looking both ways, and writes another from it.

    `shape.vocab` is the vocabulary written, `vocab_read` the one read; both halves have
    `shape.layers` layers and sinusoidal positions.
    """

    def __init__(self, shape: TransformerShape, *, vocab_read: int) -> None:
        super().__init__()
        d_model = shape.d_model
        self.read = Embedding(vocab_read, d_model, kind="sinusoidal", longest=None)
        self.write = Embedding(shape.vocab, d_model, kind="sinusoidal", longest=None)
        self.encoder = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.decoder = nn.ModuleList(Block(shape, reads_context=True) for _ in range(shape.layers))
        self.read_norm, self.norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, shape.vocab)

    def encode(
        self, ids: Int[Tensor, "batch columns"], mask: Mask = None
    ) -> Float[Tensor, "batch columns d_model"]:
        """One vector for each token read."""
        x = self.read(ids)
        for block in self.encoder:
            x = block(x, mask=mask)
        return self.read_norm(x)

    def decode(
        self,
        ids: Int[Tensor, "batch rows"],
        context: Float[Tensor, "batch columns d_model"],
        context_mask: Mask = None,
    ) -> Float[Tensor, "batch rows vocab"]:
        """Logits of what follows each token written so far."""
        x = self.write(ids)
        for block in self.decoder:
            x = block(x, mask="causal", context=context, context_mask=context_mask)
        return self.output(self.norm(x))

    def alignment(
        self,
        ids: Int[Tensor, "batch rows"],
        context: Float[Tensor, "batch columns d_model"],
        context_mask: Mask = None,
    ) -> Float[Tensor, "layers batch heads rows columns"]:
        """Where each token written looks in the sequence read, by layer and head."""
        x, weights = self.write(ids), []
        for block in self.decoder:
            looking = block.cross_norm(x + block.attention(block.norm(x), mask="causal"))
            weights.append(block.cross.weights(looking, context, mask=context_mask))
            x = block(x, mask="causal", context=context, context_mask=context_mask)
        return torch.stack(weights)
