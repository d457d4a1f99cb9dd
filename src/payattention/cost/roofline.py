"""How long at least: for each part, computing or fetching, whichever takes longer.

A processor computes at most so many operations a second and fetches at most so many bytes. A part
that needs both takes at least as long as the slower of the two; parts run one after another. What
is ignored makes a program slower than that: calls, the time to start a kernel, matrices too small
to fill the processor. What makes it faster is a cache that holds what the bill says is fetched.

Source: Williams, Waterman and Patterson 2009, Communications of the ACM 52(4), 65-76.
"""

from dataclasses import dataclass

from payattention.cost import memory, operations, parameters
from payattention.cost.arguments import whole
from payattention.cost.hardware import Accelerator
from payattention.shape import TransformerShape


@dataclass(frozen=True)
class Work:
    """Operations in matrix products, and bytes to and from memory, of one part."""

    flops: float
    bytes: float

    def seconds(self, on: Accelerator, *, dtype: str = "float32") -> float:
        """The longer of computing and fetching.

        >>> from payattention.cost.hardware import H100
        >>> Work(flops=989e12, bytes=3.35e12 / 2).seconds(H100, dtype="bfloat16")
        1.0
        """
        return max(self.flops / on.peak(dtype), self.bytes / on.bytes_per_second)


def seconds(work: dict[str, Work], *, on: Accelerator, dtype: str = "float32") -> dict[str, float]:
    """Least time of each part."""
    return {part: piece.seconds(on, dtype=dtype) for part, piece in work.items()}


PRODUCTS = ("attention", "feed-forward", "logits")
"""Parts that are plain matrix products. Scores and mixing are not among them: they run in one
kernel, with a softmax in between."""


def share_of_matmuls(work: dict[str, Work], *, on: Accelerator, dtype: str = "float32") -> float:
    """Share of the predicted time that goes into plain products which compute, and do not fetch."""
    times = seconds(work, on=on, dtype=dtype)
    computing = {part: work[part].flops / on.peak(dtype) for part in PRODUCTS}
    return sum(t for part, t in computing.items() if t == times[part]) / sum(times.values())


def decode(
    shape: TransformerShape, *, past: int, batch: int = 1, dtype: str = "float32"
) -> dict[str, Work]:
    """Work to write one token in each of `batch` texts, `past` tokens long each, by part.

    Every weight is fetched once for all texts, and the keys and values of every text. Norms,
    softmax and the row of the embedding are ignored.

    >>> from payattention.shape import GPT2_SMALL
    >>> sum(work.bytes for work in decode(GPT2_SMALL, past=0).values()) / 4e6
    123.6...
    """
    whole("batch", batch)
    flops = operations.decode(shape, past=past)
    block = parameters.block(shape)
    fetched = {
        "attention": shape.layers * block["attention"],
        "feed-forward": shape.layers * block["feed-forward"],
        "logits": shape.vocab * shape.d_model,
    }
    work = {
        "attention": _sum(flops, "queries", "keys and values", "output"),
        "feed-forward": flops["mlp"],
        "logits": flops["logits"],
    }
    cache = memory.kv_cache_bytes(shape, tokens=past + 1, batch=batch, dtype=dtype)
    return {
        part: Work(batch * count, memory.bytes_of(fetched[part], dtype))
        for part, count in work.items()
    } | {"cache": Work(batch * _sum(flops, "scores", "mixing"), cache)}


def training(
    shape: TransformerShape, *, tokens: int, batch: int = 1, dtype: str = "float32"
) -> dict[str, Work]:
    """Work of a training step, forward, backward and Adam, by part.

    A product reads its two factors and writes the result, and so do its two gradients. What is not
    a product is counted by the bytes that it reads and writes, as plain code does, one function
    after another: norms, the bend, sums on the stream, the loss, Adam. The scores stay in the
    caches, as a fused kernel keeps them.
    """
    whole("batch", batch)
    rows, width, d_model = batch * tokens, shape.heads * shape.d_head, shape.d_model
    pairs = operations.needed_pairs(tokens)
    flops = operations.training(shape, tokens=tokens, pairs=pairs)
    layers = shape.layers
    maps = 3 if shape.activation == "swiglu" else 2
    moved = {
        "attention": _product(rows, d_model, width)
        + 2 * _product(rows, d_model, shape.d_kv)
        + _product(rows, width, d_model),
        "feed-forward": maps * _product(rows, d_model, shape.d_ff),
        "logits": _product(rows, d_model, shape.vocab),
        # forward four tensors; backward these, their gradients, and the gradient of the output
        "scores": 12 * rows * width,
    }
    times = {"attention": layers, "feed-forward": layers, "scores": layers, "logits": 1}
    work = {
        "attention": _sum(flops, "queries", "keys and values", "output"),
        "feed-forward": flops["mlp"],
        "logits": flops["logits"],
        "scores": _sum(flops, "scores", "mixing"),
    }
    numbers = {
        # read, write; read twice, write
        "norms": (2 * layers + 1) * 5 * rows * d_model,
        "bends": layers * 5 * rows * shape.d_ff,
        # two sums, each of two tensors into a third; backward, gradients that meet are added
        "sums": 2 * layers * 6 * rows * d_model,
        "loss": 5 * rows * shape.vocab,
        # weights, gradient and two means, read; all but the gradient written
        "optimiser": 7 * sum(parameters.decoder(shape).values()),
    }
    products = {
        part: Work(batch * count, memory.bytes_of(times[part] * moved[part], dtype))
        for part, count in work.items()
    }
    return products | {
        part: Work(0, memory.bytes_of(count, dtype)) for part, count in numbers.items()
    }


def _product(rows: int, inner: int, columns: int) -> int:
    """Numbers moved by a product, forward and backward: three tensors, three times."""
    return 3 * (rows * inner + inner * columns + rows * columns)


def _sum(bill: dict[str, int], *parts: str) -> int:
    return sum(bill[part] for part in parts)
