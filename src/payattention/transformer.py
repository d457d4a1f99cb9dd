"""The Transformer: one block, and four models that are made of it.

A block is attention, which moves between tokens, and a feed-forward part, which works on each token
alone; both add to the stream of vectors that runs through the model. `Decoder` writes the next
token, `Encoder` reads a text both ways, `Classifier` reads a sequence of vectors (patches of an
image, frames of a sound), `EncoderDecoder` reads one sequence and writes another. What they are
made of stands in a `TransformerShape`; `cost.parameters` bills it. There is no dropout.

Sources: Vaswani et al. 2017 (arXiv:1706.03762); Radford et al. 2019 for the decoder alone; Devlin
et al. 2018 (arXiv:1810.04805) for the encoder alone; Dosovitskiy et al. 2020 (arXiv:2010.11929) for
images; Xiong et al. 2020 (arXiv:2002.04745) for the order of normalisation; Zhang and Sennrich 2019
(arXiv:1910.07467) for RMSNorm; Shazeer 2020 (arXiv:2002.05202) for SwiGLU.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import positions
from payattention.attention import (
    KeysAndValues,
    Mask,
    MultiHeadAttention,
    RollingKeysAndValues,
)
from payattention.experts import Experts
from payattention.patterns import Pattern
from payattention.positions import LearnedPositions, Rotary
from payattention.shape import TransformerShape

# The block


def norm(shape: TransformerShape, width: int | None = None) -> nn.Module:
    """A trained normalisation of each token's vector: LayerNorm, or RMSNorm, which keeps the mean.

    Both divide by the spread of the vector's numbers; LayerNorm takes their mean off before.
    """
    kind = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}[shape.norm]
    return kind(shape.d_model if width is None else width, eps=1e-5)


class FeedForward(nn.Module):
    """A wider layer and back, applied to each token alone.

    With "swiglu" a second map of the same width gates the first, so that there are three matrices.
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: str = "gelu", linear_bias: bool = True
    ) -> None:
        super().__init__()
        self.activation = activation
        self.widen = nn.Linear(d_model, d_ff, bias=linear_bias)
        self.gate = nn.Linear(d_model, d_ff, bias=linear_bias) if activation == "swiglu" else None
        self.narrow = nn.Linear(d_ff, d_model, bias=linear_bias)

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What the part adds to each token."""
        wide = self.widen(x)
        if self.gate is not None:
            return self.narrow(F.silu(self.gate(x)) * wide)
        if self.activation == "relu":
            return self.narrow(F.relu(wide))
        approximate = "tanh" if self.activation == "gelu_tanh" else "none"
        return self.narrow(F.gelu(wide, approximate=approximate))


class Block(nn.Module):
    """Self-attention, attention to a context where there is one, and the feed-forward part.

    In pre-norm, each part reads the normalised stream and adds to the stream itself, which nothing
    else touches. In post-norm, each part reads the stream, and the sum is normalised.
    """

    def __init__(
        self, shape: TransformerShape, *, rotate: Rotary | None = None, reads_context: bool = False
    ) -> None:
        super().__init__()

        def attention(rotate: Rotary | None) -> MultiHeadAttention:
            return MultiHeadAttention(
                shape.d_model,
                heads=shape.heads,
                kv_heads=shape.kv_heads,
                d_attention=shape.d_attention,
                linear_bias=shape.biases == "all",
                rotate=rotate,
            )

        self.pre_norm = shape.order == "pre"
        self.attention, self.norm = attention(rotate), norm(shape)
        self.cross = attention(None) if reads_context else None
        self.cross_norm = norm(shape) if reads_context else None
        self.mlp = _feed_forward(shape)
        self.mlp_norm = norm(shape)

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        *,
        mask: Mask = None,
        bias: Float[Tensor, "..."] | None = None,
        context: Float[Tensor, "batch columns d_model"] | None = None,
        context_mask: Mask = None,
        kept: KeysAndValues | None = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """The stream after the block."""
        if self.pre_norm:
            x = x + self.attention(self.norm(x), mask=mask, bias=bias, kept=kept)
            if self.cross is not None:
                x = x + self.cross(self.cross_norm(x), context, mask=context_mask)
            return x + self.mlp(self.mlp_norm(x))
        x = self.norm(x + self.attention(x, mask=mask, bias=bias, kept=kept))
        if self.cross is not None:
            x = self.cross_norm(x + self.cross(x, context, mask=context_mask))
        return self.mlp_norm(x + self.mlp(x))

    def attention_weights(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        *,
        mask: Mask = None,
        bias: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch heads tokens tokens"]:
        """How each head of the block shares its attention out."""
        return self.attention.weights(self.norm(x) if self.pre_norm else x, mask=mask, bias=bias)


def _feed_forward(shape: TransformerShape) -> nn.Module:
    made_of = {"activation": shape.activation, "linear_bias": shape.biases != "none"}
    parts = [FeedForward(shape.d_model, shape.d_ff, **made_of) for _ in range(shape.experts or 1)]
    if shape.experts is None:
        return parts[0]
    return Experts(parts, d_model=shape.d_model, chosen=shape.chosen)


class Blocks(nn.ModuleList):
    """The blocks of a shape in order; `shared` ones are the same block again and again."""

    def __init__(self, shape: TransformerShape, **kinds: bool) -> None:
        rotate = Rotary() if shape.positions == "rotary" else None
        if shape.shared:
            super().__init__([Block(shape, rotate=rotate, **kinds)] * shape.layers)
        else:
            super().__init__(Block(shape, rotate=rotate, **kinds) for _ in range(shape.layers))


def _final_norm(shape: TransformerShape) -> nn.Module:
    """A norm behind the last block; in post-norm, the block has one of its own there."""
    return norm(shape) if shape.order == "pre" else nn.Identity()


def _last(stream: Iterator[Tensor]) -> Tensor:
    """The last of the tensors; the others are let go as soon as they are used."""
    for x in stream:  # noqa: B007
        pass
    return x


# In front of the blocks


class Embedding(nn.Module):
    """Token vectors, with a vector for the position added where positions are of that kind.

    A tied table is scaled to suit the output, and a table of its own by the root of its width. In
    post-norm the sum is normalised. A narrower table is widened at the end.

    Raises:
        ValueError: for an id or a segment that is not in its table, segments where the shape has
            none, an empty text, and a text longer than a table of learned positions.
    """

    def __init__(self, shape: TransformerShape, *, vocab: int | None = None) -> None:
        super().__init__()
        width = shape.d_embedding or shape.d_model
        self.vocab = shape.vocab if vocab is None else vocab
        self.kind = shape.positions
        self.scale = 1.0 if shape.tied or shape.d_embedding else math.sqrt(width)
        self.table = nn.Embedding(self.vocab, width)
        nn.init.normal_(self.table.weight, std=0.02 if shape.tied else 1 / math.sqrt(width))
        learned = shape.positions == "learned"
        self.learned = LearnedPositions(shape.context, width) if learned else None
        self.segments = nn.Embedding(shape.segments, width) if shape.segments else None
        self.norm = norm(shape, width) if shape.order == "post" else None
        self.widen = nn.Linear(width, shape.d_model) if shape.d_embedding else None

    def forward(
        self,
        ids: Int[Tensor, "batch tokens"],
        *,
        start: int = 0,
        segments: Int[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """One vector a token; the first token stands at place `start`."""
        end = start + ids.shape[1]
        if end == start:
            raise ValueError("ids: got no tokens; expected at least one")
        if segments is not None and self.segments is None:
            raise ValueError("segments: expected None, for the shape has none")
        x = _looked_up("ids", ids, self.table)
        if self.scale != 1:
            x = self.scale * x
        if self.learned is not None:
            x = x + self.learned(end)[start:]
        if self.kind == "sinusoidal":
            x = x + positions.sinusoidal(end, x.shape[-1])[start:].to(x)
        if self.segments is not None:
            of = torch.zeros_like(ids) if segments is None else segments
            x = x + _looked_up("segments", of, self.segments)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.widen is None else self.widen(x)


def _looked_up(name: str, ids: Tensor, table: nn.Embedding) -> Tensor:
    try:
        return table(ids)
    except IndexError:
        last = table.num_embeddings - 1
        wrong = ids[(ids < 0) | (ids > last)]
        raise ValueError(f"{name}: got {int(wrong[0])}; expected 0 to {last}") from None


# A model that writes


class Decoder(nn.Module):
    """A model that writes: logits of the next token at every place.

    Raises:
        ValueError: as `Embedding` does; a text may be longer than `context` where positions are
            not learned.
    """

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Embedding(shape)
        self.blocks = Blocks(shape)
        self.norm = _final_norm(shape)
        self.output = _output(shape, self.embedding)

    def squeeze(self, factor: float) -> None:
        """Return nothing; from now on, divide the positions of a rotary model by `factor`.

        Raises:
            ValueError: for a model whose positions are not rotary.
        """
        if self.shape.positions != "rotary":
            raise ValueError(
                f"positions={self.shape.positions!r}: expected 'rotary' ones to squeeze"
            )
        for block in self.blocks:
            block.attention.rotate = Rotary(squeeze=factor)

    def room(self, mask: Mask = "causal") -> list[KeysAndValues]:
        """Room for the keys and values of a text, one for each layer, empty: the KV cache.

        For a pattern that looks back so far and no further, no more than that is kept.
        """
        furthest = mask.furthest if isinstance(mask, Pattern) else None
        if furthest is None:
            return [KeysAndValues() for _ in self.blocks]
        return [RollingKeysAndValues(furthest) for _ in self.blocks]

    def forward(
        self,
        ids: Int[Tensor, "batch tokens"],
        mask: Mask = "causal",
        *,
        kept: list[KeysAndValues] | None = None,
    ) -> Float[Tensor, "batch tokens vocab"]:
        """Logits of the token that follows each place; `mask` says who may look at whom.

        With `kept`, from `room`, these tokens follow those that were given before.
        """
        return self.output(self.norm(_last(self.stream(ids, mask, kept=kept))))

    def following(
        self,
        ids: Int[Tensor, "batch tokens"],
        mask: Mask = "causal",
        *,
        kept: list[KeysAndValues] | None = None,
    ) -> Float[Tensor, "batch vocab"]:
        """Logits of the token that follows the last one, and no others."""
        return self.output(self.norm(_last(self.stream(ids, mask, kept=kept))[:, -1]))

    def stream(
        self,
        ids: Int[Tensor, "batch tokens"],
        mask: Mask = "causal",
        *,
        kept: list[KeysAndValues] | None = None,
    ) -> Iterator[Float[Tensor, "batch tokens d_model"]]:
        """The stream as it leaves the embedding, and then each block: layers + 1 tensors."""
        start = 0 if kept is None else kept[0].length
        x = self.embedding(ids, start=start)
        bias = _bias(self.shape, start + ids.shape[1], rows=ids.shape[1], device=ids.device)
        yield x
        for layer, block in enumerate(self.blocks):
            x = block(x, mask=mask, bias=bias, kept=None if kept is None else kept[layer])
            yield x

    def attention_weights(
        self, ids: Int[Tensor, "batch tokens"], mask: Mask = "causal"
    ) -> Float[Tensor, "layers batch heads tokens tokens"]:
        """How every head of every layer shares its attention out."""
        return _attention_weights(self, self.stream(ids, mask), mask, ids.shape[1])


def _output(shape: TransformerShape, embedding: Embedding) -> nn.Linear:
    """The map to logits; a tied one is the table of the token vectors itself."""
    linear = nn.Linear(shape.d_model, shape.vocab, bias=not shape.tied and shape.biases != "none")
    if shape.tied:
        linear.weight = embedding.table.weight
    return linear


def _bias(
    shape: TransformerShape, tokens: int, *, rows: int, device: torch.device
) -> Tensor | None:
    if shape.positions != "alibi":
        return None
    return positions.alibi(shape.heads, tokens, rows=rows).to(device)


def _attention_weights(
    model: nn.Module, stream: Iterable[Tensor], mask: Mask, tokens: int
) -> Tensor:
    weights = []
    for x, block in zip(stream, model.blocks, strict=False):  # what leaves the last is not read
        bias = _bias(model.shape, tokens, rows=tokens, device=x.device)
        weights.append(block.attention_weights(x, mask=mask, bias=bias))
    return torch.stack(weights)


# A model that reads


class Encoder(nn.Module):
    """A model that reads: a vector for each token that knows what stands on both sides of it.

    `fill` gives logits of what each token is, for a model that has learned to fill gaps; the map
    to them is tied to the token vectors.

    Raises:
        ValueError: as `Embedding` does, and for ALiBi, which takes the past for granted.
    """

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        if shape.positions == "alibi":
            raise ValueError("positions='alibi': expected others; its penalty looks back only")
        self.shape = shape
        self.embedding = Embedding(shape)
        self.blocks = Blocks(shape)
        self.norm = _final_norm(shape)
        self.pooler = nn.Linear(shape.d_model, shape.d_model) if shape.pooler else None

    def forward(
        self,
        ids: Int[Tensor, "batch tokens"],
        mask: Mask = None,
        *,
        segments: Int[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """One vector for each token; `mask` hides padding, see `attention.padding_mask`."""
        return self.norm(_last(self.stream(ids, mask, segments=segments)))

    def stream(
        self,
        ids: Int[Tensor, "batch tokens"],
        mask: Mask = None,
        *,
        segments: Int[Tensor, "batch tokens"] | None = None,
    ) -> Iterator[Float[Tensor, "batch tokens d_model"]]:
        """The stream as it leaves the embedding, and then each block: layers + 1 tensors."""
        x = self.embedding(ids, segments=segments)
        yield x
        for block in self.blocks:
            x = block(x, mask=mask)
            yield x

    def pooled(self, x: Float[Tensor, "batch tokens d_model"]) -> Float[Tensor, "batch d_model"]:
        """One vector for the whole text, from that of its first token.

        Raises:
            ValueError: for a shape without a pooler.
        """
        if self.pooler is None:
            raise ValueError("pooler=False: expected a shape with a pooler")
        return torch.tanh(self.pooler(x[:, 0]))

    def fill(
        self, ids: Int[Tensor, "batch tokens"], mask: Mask = None
    ) -> Float[Tensor, "batch tokens vocab"]:
        """Logits of what stands at each place.

        Raises:
            ValueError: for a table of another width than the model's.
        """
        if self.shape.d_embedding not in (None, self.shape.d_model):
            raise ValueError(
                f"d_embedding={self.shape.d_embedding}: expected d_model={self.shape.d_model}, "
                "to fill gaps"
            )
        return F.linear(self(ids, mask), self.embedding.table.weight)

    def attention_weights(
        self, ids: Int[Tensor, "batch tokens"], mask: Mask = None
    ) -> Float[Tensor, "layers batch heads tokens tokens"]:
        """How every head of every layer shares its attention out."""
        return _attention_weights(self, self.stream(ids, mask), mask, ids.shape[1])


# A model that reads vectors


def patches(
    images: Float[Tensor, "batch height width"], *, size: int
) -> Float[Tensor, "batch patches pixels"]:
    """Each image cut into squares of `size` x `size` pixels, row by row: tokens of size^2 numbers.

    >>> patches(torch.arange(16.0).view(1, 4, 4), size=2)[0, 1].tolist()
    [2.0, 3.0, 6.0, 7.0]

    Raises:
        ValueError: for a size that does not divide height and width.
    """
    height, width = images.shape[1:]
    if size < 1 or height % size or width % size:
        raise ValueError(f"size={size}: expected a divisor of height={height} and width={width}")
    squares = images.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    return squares.transpose(2, 3).flatten(3).flatten(1, 2)


def frames(
    waves: Float[Tensor, "batch samples"], *, size: int
) -> Float[Tensor, "batch frames samples_per_frame"]:
    """Each wave cut into pieces of `size` samples: tokens of as many numbers.

    Raises:
        ValueError: for a size that does not divide the number of samples.
    """
    if size < 1 or waves.shape[1] % size:
        raise ValueError(f"size={size}: expected a divisor of samples={waves.shape[1]}")
    return waves.unflatten(1, (-1, size))


class Classifier(nn.Module):
    """A model that says what a sequence of vectors shows; on patches, a Vision Transformer.

    Each vector becomes a token by one linear map. A token of its own goes first, gathers what it
    needs, and is read at the end. `shape.vocab` is the number of classes.

    Raises:
        ValueError: for positions that are not learned.
    """

    def __init__(self, shape: TransformerShape, *, d_input: int) -> None:
        super().__init__()
        if shape.positions != "learned":
            raise ValueError(f"positions={shape.positions!r}: expected 'learned'")
        self.shape = shape
        self.input = nn.Linear(d_input, shape.d_model)
        self.first = nn.Parameter(torch.zeros(shape.d_model))
        self.learned = LearnedPositions(shape.context, shape.d_model)
        self.blocks = Blocks(shape)
        self.norm = _final_norm(shape)
        self.output = nn.Linear(shape.d_model, shape.vocab)

    def forward(self, x: Float[Tensor, "batch tokens d_input"]) -> Float[Tensor, "batch classes"]:
        """Logits of the classes."""
        return self.output(self.norm(_last(self.stream(x))[:, 0]))

    def stream(
        self, x: Float[Tensor, "batch tokens d_input"]
    ) -> Iterator[Float[Tensor, "batch tokens_and_first d_model"]]:
        """The stream in front of the blocks, and then as it leaves each: layers + 1 tensors."""
        first = self.first.expand(len(x), 1, -1)
        stream = torch.cat([first, self.input(x)], dim=1)
        stream = stream + self.learned(stream.shape[1])
        yield stream
        for block in self.blocks:
            stream = block(stream)
            yield stream

    def attention_weights(
        self, x: Float[Tensor, "batch tokens d_input"]
    ) -> Float[Tensor, "layers batch heads tokens_and_first tokens_and_first"]:
        """How every head of every layer shares its attention out; the first token goes first."""
        return _attention_weights(self, self.stream(x), None, x.shape[1] + 1)


# A model that reads and writes


class EncoderDecoder(nn.Module):
    """A model that reads one sequence, looking both ways, and writes another from it.

    `shape.vocab` is the vocabulary written, `vocab_read` the one read; both halves have
    `shape.layers` layers and sinusoidal positions, whatever the shape says.
    """

    def __init__(self, shape: TransformerShape, *, vocab_read: int) -> None:
        super().__init__()
        shape = replace(shape, positions="sinusoidal")
        self.shape = shape
        self.read = Embedding(shape, vocab=vocab_read)
        self.write = Embedding(shape)
        self.encoder = Blocks(shape)
        self.decoder = Blocks(shape, reads_context=True)
        self.read_norm, self.norm = _final_norm(shape), _final_norm(shape)
        self.output = _output(shape, self.write)

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
            if block.pre_norm:
                looking = block.cross_norm(x + block.attention(block.norm(x), mask="causal"))
            else:
                looking = block.norm(x + block.attention(x, mask="causal"))
            weights.append(block.cross.weights(looking, context, mask=context_mask))
            x = block(x, mask="causal", context=context, context_mask=context_mask)
        return torch.stack(weights)
