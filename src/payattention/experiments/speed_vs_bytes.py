"""How fast does a model write, and what does that depend on?

One text, float32 unless said, one token at a time behind a short prompt. The models have from half
a million bytes of weights to more than a thousand million. Beside each, in turn with it, the rate
at which this machine multiplies a matrix of 512 MB by a vector: so many bytes are fetched in a
second, and the weights over that rate are the least time of a token. The same model in 16 bits has
half of the bytes and as many operations. Then one matrix, the widest in the blocks of a model of
seven billion parameters, times a vector, in 32, 16, 8 and 4 bits, so many copies in turn that no
cache holds them; the formats of 8 and 4 bits are those that PyTorch packs for processors, and the
bytes of 4 bits include a scale and an offset for each 32 numbers. And one layer's attention, behind
pasts of several lengths, with 16 heads and as many keys, or 4, or 1, which all of them share.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import measure as clock
from payattention import wording
from payattention.attention import KeysAndValues, MultiHeadAttention
from payattention.cost import memory, parameters
from payattention.records import Record, Results
from payattention.shape import LLAMA_7B, TransformerShape, gpt
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"seconds": None, "bytes_per_second": None}
HEADS, D_HEAD = 16, 64
MATRIX = 512 * 2**20
COMPARED = (
    ("float32", "bfloat16"),
    ("float32", "int8"),
    ("float32", "int4"),
    ("16 keys", "4 keys"),
    ("16 keys", "1 keys"),
)


@dataclass(frozen=True)
class Config:
    """Layers and width of each model; pasts and keys of the layer; repeats and threads."""

    sizes: tuple[tuple[int, int], ...] = (
        (2, 64),
        (4, 128),
        (4, 256),
        (8, 512),
        (12, 768),
        (16, 1024),
        (24, 1024),
    )
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    past: tuple[int, ...] = (1024, 4096, 16384, 65536)
    kv_heads: tuple[int, ...] = (16, 4, 1)
    matrix: tuple[int, int] | None = (LLAMA_7B.d_ff, LLAMA_7B.d_model)
    copies_bytes: int = 2**30
    prompt: int = 16
    repeats: int = 9
    threads: int = 2


FULL = Config()
LIVE = replace(
    FULL,
    sizes=FULL.sizes[:4],
    dtypes=("float32",),
    past=(),
    matrix=None,
    repeats=3,
    threads=1,
)


def points(config: Config) -> list[Record]:
    """One point for each model and dtype, small ones first, then the layers."""
    models = [
        {"task": "model", "layers": layers, "d_model": d_model} for layers, d_model in config.sizes
    ]
    layers = [{"task": "layer", "past": past} for past in config.past]
    return [*models, *([{"task": "matrix"}] if config.matrix else []), *layers]


def shape(layers: int, d_model: int) -> TransformerShape:
    """A GPT-2 with a small vocabulary, so that nearly all of its weights are in the blocks."""
    return replace(gpt(layers, d_model, d_model // D_HEAD, context=128), vocab=96)


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of one token and bytes that it needs, in each repeat."""
    torch.manual_seed(0)
    with clock.threads(config.threads), torch.no_grad():
        calls, needed = TASKS[point["task"]](config, point)
        calls["bandwidth"] = clock.machine_calls(matrix_bytes=MATRIX)["bandwidth"]
        times = clock.compare(calls, repeats=config.repeats, warmup=2)
    rates = [MATRIX / seconds for seconds in times.pop("bandwidth")]
    return [
        {
            "kind": kind,
            "repeat": repeat,
            "seconds": seconds,
            "bytes": needed[kind],
            "bytes_per_second": rate,
        }
        for kind, all_seconds in times.items()
        for repeat, (seconds, rate) in enumerate(zip(all_seconds, rates, strict=True))
    ]


Calls = dict[str, Callable[[], Any]]


def models(config: Config, point: Record) -> tuple[Calls, dict[str, int]]:
    """For each dtype, a call that writes a token, and the bytes of the weights that it reads."""
    of = shape(point["layers"], point["d_model"])
    calls, needed = {}, {}
    for dtype in config.dtypes:
        model = Decoder(of).to(getattr(torch, dtype)).eval()
        calls[dtype] = next_token(model, prompt=config.prompt)
        bill = parameters.decoder(of)
        # of the table of positions one row is read; the table of tokens is the output as well
        read = sum(bill.values()) - bill["positions"]
        needed[dtype] = memory.bytes_of(read, dtype)
    return calls, needed


def next_token(model: Decoder, *, prompt: int) -> Callable[[], Tensor]:
    """A call that reads one token behind a prompt, again and again the same one."""
    kept = model.room()
    model.following(torch.zeros(1, prompt, dtype=torch.long), kept=kept)
    token = torch.zeros(1, 1, dtype=torch.long)

    def call() -> Tensor:
        logits = model.following(token, kept=kept)
        for pieces in kept:
            pieces.length = prompt
        return logits

    return call


def layers(config: Config, point: Record) -> tuple[Calls, dict[str, int]]:
    """For each number of keys, a call of a layer for one token, and the bytes that it reads."""
    d_model, past = HEADS * D_HEAD, point["past"]
    x = torch.randn(1, 1, d_model)
    calls, needed = {}, {}
    for kv_heads in config.kv_heads:
        layer = MultiHeadAttention(d_model, heads=HEADS, kv_heads=kv_heads).eval()
        kept = KeysAndValues()
        kept.append(*torch.randn(2, 1, kv_heads, past, D_HEAD))
        name = f"{kv_heads} keys"
        calls[name] = partial(one_more, layer, x, kept)
        weights = sum(p.numel() for p in layer.parameters())
        needed[name] = memory.bytes_of(weights + 2 * kv_heads * (past + 1) * D_HEAD, "float32")
    return calls, needed


def one_more(layer: MultiHeadAttention, x: Tensor, kept: KeysAndValues) -> Tensor:
    """What the layer gives for one more token, which is forgotten again."""
    past = kept.length
    mixed = layer(x, kept=kept)
    kept.length = past
    return mixed


def matrices(config: Config, point: Record) -> tuple[Calls, dict[str, int]]:
    """For each format that this PyTorch has, a call that multiplies the next copy by a vector."""
    rows, columns = config.matrix
    x = torch.randn(1, columns)
    calls, needed = {}, {}
    for name, (pack, multiply, bits) in FORMATS.items():
        needed[name] = rows * columns * bits // 8
        copies = max(2, config.copies_bytes // needed[name])
        try:
            packed = [pack(rows, columns) for _ in range(copies)]
            calls[name] = partial(_next_product, multiply, x, itertools.cycle(packed))
            calls[name]()
        except (AttributeError, NotImplementedError, RuntimeError):  # not for every processor
            del needed[name]
            calls.pop(name, None)
    return calls, needed


def _next_product(multiply: Callable[..., Tensor], x: Tensor, packed: Iterator[Any]) -> Tensor:
    return multiply(x, next(packed))


def _whole(dtype: torch.dtype) -> tuple[Callable, Callable, int]:
    """How a matrix of the dtype is made and multiplied, and its bits for a number."""
    return (
        lambda rows, columns: torch.randn(rows, columns).to(dtype),
        lambda x, matrix: F.linear(x.to(dtype), matrix),
        8 * dtype.itemsize,
    )


def _pack8(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    weights = torch.randint(-127, 128, (rows, columns), dtype=torch.int8)
    return weights, torch.rand(rows, dtype=torch.bfloat16)


def _pack4(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    weights = torch.randint(16, (rows, columns), dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weights, 1)
    return packed, torch.rand(columns // GROUP, rows, 2, dtype=torch.bfloat16)


GROUP = 32
"""Numbers of four bits that share a scale and an offset, of 16 bits each."""
FORMATS: dict[str, tuple[Callable, Callable, int]] = {
    "float32": _whole(torch.float32),
    "bfloat16": _whole(torch.bfloat16),
    "int8": (
        _pack8,
        lambda x, packed: torch.ops.aten._weight_int8pack_mm(x.bfloat16(), *packed),
        8,
    ),
    "int4": (
        _pack4,
        lambda x, packed: torch.ops.aten._weight_int4pack_mm_for_cpu(
            x.bfloat16(), packed[0], GROUP, packed[1]
        ),
        4 + 32 // GROUP,
    ),
}
TASKS = {"model": models, "layer": layers, "matrix": matrices}


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def shares(results: Results) -> Results:
    """The same records with megabytes, and the share of the speed that fetching alone allows."""
    rows = [
        row
        | {
            "megabytes": row["bytes"] / 1e6,
            "share": row["bytes"] / row["bytes_per_second"] / row["seconds"],
        }
        for row in results.records()
    ]
    return Results.from_records(results.question, rows)


def findings(results: Results) -> dict[str, str]:
    """What the text says: tokens a second, shares of the bound, and what halving bytes gains."""
    found = {
        "repeats": str(FULL.repeats),
        "matrix": f"{MATRIX / 2**20:.0f}",
        "bandwidth": f"{statistics.median(results.column('bytes_per_second').tolist()) / 1e9:.0f}",
        "longest_past": f"{max(FULL.past):,}",
    }
    for point in points(FULL):
        if not point.keys() <= results.columns.keys() or not len(results.where(**point)):
            continue  # a small run leaves some out
        rows = shares(results.where(**point))
        kinds = list(dict.fromkeys(row["kind"] for row in rows.records()))
        size = point.get("past") or point["task"]
        if point["task"] == "model":
            size = f"{point['layers']}_{point['d_model']}"
        seconds = {kind: rows.where(kind=kind).column("seconds").tolist() for kind in kinds}
        for kind in kinds:
            name = f"{size}_{kind}".replace(" ", "_")
            of_kind, middle = rows.where(kind=kind), statistics.median(seconds[kind])
            share = statistics.median(of_kind.column("share").tolist())
            found[f"{name}_megabytes"] = wording.two_digits(of_kind.column("megabytes")[0])
            found[f"{name}_milliseconds"] = wording.two_digits(1e3 * middle)
            found[f"{name}_per_second"] = wording.two_digits(1 / middle)
            found[f"{name}_share"] = wording.percent(share)
            if point["task"] == "matrix":
                at_once = (
                    middle * sum(parameters.decoder(LLAMA_7B).values()) / math.prod(FULL.matrix)
                )
                found[f"{name}_7b_per_second"] = wording.two_digits(1 / at_once)
        for first, second in COMPARED:
            if first in kinds and second in kinds and len(seconds[first]) > 1:
                by = clock.interval(
                    a / b for a, b in zip(seconds[first], seconds[second], strict=True)
                )
                name = f"{size}_{first}_over_{second}".replace(" ", "_")
                found[name] = wording.with_bounds(by.value, by.low, by.high, digits=1)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import speed_vs_bytes

    results.main(speed_vs_bytes)
