"""Parameters, part by part.

Counts every trained number of a layer, biases included. Embeddings and output heads are counted
where a function says so.
"""

from collections.abc import Sequence
from dataclasses import replace

from payattention.shape import GATES, Printed, RecurrentShape, TransformerShape


def recurrent(shape: RecurrentShape) -> dict[str, int]:
    """Parameters of one recurrent layer, by part, with PyTorch's two bias vectors for each gate.

    >>> sum(recurrent(RecurrentShape("lstm", d_input=16, d_hidden=32)).values())
    6400
    """
    rows = GATES[shape.cell] * shape.d_hidden
    return {
        "input weights": rows * shape.d_input,
        "state weights": rows * shape.d_hidden,
        "biases": 2 * rows,
    }


def convolution(*, d_model: int, kernel: int, layers: int) -> dict[str, int]:
    """Parameters of a stack of convolutions of equal width, by part; dilation changes nothing.

    >>> sum(convolution(d_model=3, kernel=2, layers=4).values())
    84
    """
    return {"filters": layers * kernel * d_model**2, "biases": layers * d_model}


def convolutional_classifier(
    widths: Sequence[int], *, classes: int, kernel: int = 3
) -> dict[str, int]:
    """Parameters of a small CNN that reads grey images, by part; their size does not appear.

    >>> convolutional_classifier((2, 3), classes=5)
    {'filters': 72, 'biases': 5, 'output': 20}
    """
    places = kernel**2
    return {
        "filters": sum(places * a * b for a, b in zip((1, *widths), widths, strict=False)),
        "biases": sum(widths),
        "output": (widths[-1] + 1) * classes,
    }


def attention(*, d_model: int) -> dict[str, int]:
    """Parameters of one attention layer with as many key heads as heads, by part, no biases.

    The number of tokens does not appear: attention over a million tokens has the same weights.

    >>> sum(attention(d_model=36).values())
    5184
    """
    return dict.fromkeys(("queries", "keys", "values", "output"), d_model**2)


def block(shape: TransformerShape, *, reads_context: bool = False) -> dict[str, int]:
    """Parameters of one block, by part; `reads_context` adds the second attention of a decoder.

    >>> from payattention.shape import GPT2_SMALL
    >>> sum(block(GPT2_SMALL).values())
    7087872

    Source of the rule 12 d_model^2: Kaplan et al. 2020 (arXiv:2001.08361), table 1.
    """
    d_model, width = shape.d_model, shape.heads * shape.d_head
    attentions = 2 if reads_context else 1
    attention = d_model * (2 * width + 2 * shape.d_kv)
    if shape.biases == "all":
        attention += width + 2 * shape.d_kv + d_model
    feed_forward = 2 * d_model * shape.d_ff
    if shape.biases != "none":
        feed_forward += shape.d_ff + d_model
    if shape.activation == "swiglu":
        feed_forward += d_model * shape.d_ff + (shape.d_ff if shape.biases != "none" else 0)
    bill = {
        "attention": attentions * attention,
        "feed-forward": (shape.experts or 1) * feed_forward,
        "norms": (attentions + 1) * _norm(shape, d_model),
    }
    return bill | ({"router": shape.experts * d_model} if shape.experts else {})


def _norm(shape: TransformerShape, width: int) -> int:
    return width if shape.norm == "rms" else 2 * width


def _blocks(shape: TransformerShape, **kinds: bool) -> dict[str, int]:
    times = 1 if shape.shared else shape.layers
    return {part: times * count for part, count in block(shape, **kinds).items()}


def _embedding(shape: TransformerShape) -> dict[str, int]:
    width = shape.d_embedding or shape.d_model
    bill = {"tokens": shape.vocab * width}
    if shape.positions == "learned":
        bill["positions"] = shape.context * width
    if shape.segments:
        bill["segments"] = shape.segments * width
    if shape.order == "post":
        bill["embedding norm"] = _norm(shape, width)
    if shape.d_embedding:
        bill["embedding map"] = (width + 1) * shape.d_model
    return bill


def _final_norm(shape: TransformerShape) -> dict[str, int]:
    return {"final norm": _norm(shape, shape.d_model)} if shape.order == "pre" else {}


def decoder(shape: TransformerShape) -> dict[str, int]:
    """Parameters of a model that writes, by part; a tied output costs nothing.

    >>> from payattention.shape import GPT2_SMALL
    >>> sum(decoder(GPT2_SMALL).values())
    124439808
    """
    bill = _embedding(shape) | _blocks(shape) | _final_norm(shape)
    if shape.tied:
        return bill
    biases = shape.vocab if shape.biases != "none" else 0
    return bill | {"output": shape.vocab * shape.d_model + biases}


def active(shape: TransformerShape) -> dict[str, int]:
    """Parameters of a model that writes which work on one token, by part: `chosen` experts of all.

    >>> from payattention.shape import MIXTRAL
    >>> sum(decoder(MIXTRAL).values()), sum(active(MIXTRAL).values())
    (46702792704, 12879925248)

    Source: the two are what Jiang et al. 2024 (arXiv:2401.04088) round to 47 and 13 billion.
    """
    bill = decoder(shape)
    if shape.experts:
        bill["feed-forward"] = bill["feed-forward"] // shape.experts * shape.chosen
    return bill


def encoder(shape: TransformerShape) -> dict[str, int]:
    """Parameters of a model that reads, by part, without an output.

    >>> from payattention.shape import BERT_BASE
    >>> sum(encoder(BERT_BASE).values())
    109482240
    """
    bill = _embedding(shape) | _blocks(shape) | _final_norm(shape)
    return bill | ({"pooler": (shape.d_model + 1) * shape.d_model} if shape.pooler else {})


def classifier(shape: TransformerShape, *, d_input: int) -> dict[str, int]:
    """Parameters of a model that reads vectors of `d_input` numbers, by part.

    A Vision Transformer reads patches: 16 x 16 pixels in three colours are 768 numbers.

    >>> from payattention.shape import VIT_BASE
    >>> sum(classifier(VIT_BASE, d_input=768).values())
    86567656
    """
    return {
        "input": (d_input + 1) * shape.d_model,
        "first token": shape.d_model,
        "positions": shape.context * shape.d_model,
        **_blocks(shape),
        **_final_norm(shape),
        "output": (shape.d_model + 1) * shape.vocab,
    }


def encoder_decoder(shape: TransformerShape, *, vocab_read: int) -> dict[str, int]:
    """Parameters of a model that reads one sequence and writes another, by part."""
    halves = {
        "encoder": sum(_blocks(shape).values()),
        "decoder": sum(_blocks(shape, reads_context=True).values()),
    }
    embedded = replace(shape, positions="sinusoidal")
    rest = {
        "tokens read": sum(_embedding(replace(embedded, vocab=vocab_read)).values()),
        "tokens written": sum(_embedding(embedded).values()),
        "final norms": 2 * sum(_final_norm(shape).values()),
    }
    output = 0 if shape.tied else shape.vocab * (shape.d_model + (shape.biases != "none"))
    return halves | rest | {"output": output}


def chinchilla(row: Printed, *, vocab: int = 32_000) -> dict[str, int]:
    """Parameters of a model of `CHINCHILLA_TABLE` by its sizes, by part, without norms and biases.

    Its attention knows positions relative to each other, as Transformer-XL does, from vectors of
    distances that one more map turns into keys: five maps in place of four. The output is tied.

    >>> from payattention.shape import CHINCHILLA_TABLE
    >>> row = CHINCHILLA_TABLE[-1]
    >>> row.name, sum(chinchilla(row).values())
    ('16183M', 16180838400)

    Sources: Hoffmann et al. 2022, table A9 (arXiv:2203.15556), whose models are those of Rae et al.
    2021 (arXiv:2112.11446); Dai et al. 2019 (arXiv:1901.02860) for the positions.
    """
    attention = row.layers * row.d_model * row.heads * row.d_head
    return {
        "attention": 4 * attention,
        "relative positions": attention,
        "feed-forward": row.layers * 2 * row.d_model * 4 * row.d_model,
        "tokens": vocab * row.d_model,
    }
