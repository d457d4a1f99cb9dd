"""From how many zeros on is leaving them out worth anything?

One map, float32, times one vector, as in writing a token, and times 64, as in reading some; on one
thread, and on two, where PyTorch makes a dense matrix times one vector on one of them. Zeros
stand anywhere, as pruning by magnitude leaves them, and the product is: of the whole matrix with
its zeros stored; of compressed rows (CSR, indices of 32 bits). Or whole blocks of 16 x 16 or 32 x
32 are zero, and the others stored (BSR). At a half there is also two of four, stored whole: PyTorch
packs that pattern for GPUs of NVIDIA alone, and nothing on a processor makes use of it. Each time
is a multiple of that of the same product without a zero, measured in turn with it. It is the same
map again and again, so that caches hold what they can of it.

Counted beside it are the bytes of each format: values, and what says where they are. A mask of bits
is the smallest of them for most shares, and no product is made from it directly; two bits for each
of two kept values of four is what GPUs read.

Source: Mishra et al. 2021 (arXiv:2104.08378) for two of four.
"""

import itertools
import math
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from payattention import measure as clock
from payattention import pruning, wording
from payattention.experiments.time_vs_tokens import repeated
from payattention.records import Record, Results

ALONE = True
TOLERANCE = {"ratio": None}
FORMATS = ("stored", "CSR", "BSR 16", "BSR 32", "two of four")


@dataclass(frozen=True)
class Config:
    """Rows and columns of the maps, vectors that they are multiplied by, shares, threads."""

    maps: tuple[tuple[int, int], ...] = ((1024, 1024), (4096, 1024))
    vectors: tuple[int, ...] = (1, 64)
    sparsities: tuple[float, ...] = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
    repeats: int = 15
    times: int = 16
    threads: tuple[int, ...] = (1, 2)


FULL = Config()
LIVE = replace(
    FULL, maps=((1024, 1024),), sparsities=(0.0, 0.5, 0.9, 0.99), repeats=3, threads=(1,)
)


def points(config: Config) -> list[Record]:
    """A point for each product and share of zeros, small ones first."""
    return [
        {"rows": rows, "columns": columns, "vectors": vectors, "threads": threads}
        | {"sparsity": sparsity}
        for rows, columns in config.maps
        for vectors in config.vectors
        for threads in config.threads
        for sparsity in config.sparsities
    ]


# Where the zeros are


def scattered(rows: int, columns: int, sparsity: float) -> Bool[Tensor, "rows columns"]:
    """A mask that leaves out this share, anywhere."""
    return pruning.keep_largest({"": torch.rand(rows, columns)}, sparsity)[""]


def in_blocks(
    rows: int, columns: int, sparsity: float, *, size: int
) -> Bool[Tensor, "rows columns"]:
    """A mask that leaves out this share of the blocks, whole."""
    blocks = scattered(rows // size, columns // size, sparsity)
    return blocks.repeat_interleave(size, dim=0).repeat_interleave(size, dim=1)


def csr(matrix: Float[Tensor, "rows columns"]) -> Tensor:
    """The matrix as compressed rows, with indices of 32 bits."""
    with _in_beta():
        packed = matrix.to_sparse_csr()
        return torch.sparse_csr_tensor(
            packed.crow_indices().int(),
            packed.col_indices().int(),
            packed.values(),
            matrix.shape,
            check_invariants=True,
        )


def bsr(matrix: Float[Tensor, "rows columns"], *, size: int) -> Tensor:
    """The matrix as compressed rows of blocks."""
    with _in_beta():
        return matrix.to_sparse_bsr((size, size))


@contextmanager
def _in_beta() -> Iterator[None]:
    """PyTorch warns once that these formats may change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|BSR|invariant)")
        yield


def products(config: Config, point: Record) -> dict[str, Callable[[], Tensor]]:
    """The product in every format, by name; "full" is that without zeros."""
    rows, columns, sparsity = point["rows"], point["columns"], point["sparsity"]
    full, x = torch.randn(rows, columns), torch.randn(columns, point["vectors"])
    x = x[:, 0] if point["vectors"] == 1 else x
    matrices = {"full": full, "stored": full * scattered(rows, columns, sparsity)}
    matrices["CSR"] = csr(matrices["stored"])
    for size in (16, 32):
        blocks = full * in_blocks(rows, columns, sparsity, size=size)
        matrices[f"BSR {size}"] = bsr(blocks, size=size)
    if sparsity == 0.5:
        matrices["two of four"] = full * pruning.two_of_four({"": full.abs()})[""]
    return {name: partial(torch.matmul, matrix, x) for name, matrix in matrices.items()}


def measure(config: Config, point: Record) -> list[Record]:
    """Time of each format and repeat, as a multiple of that of the full product."""
    torch.manual_seed(0)
    with clock.threads(point["threads"]), torch.no_grad(), _in_beta():
        calls = products(config, point)
        many = {name: repeated(call, times=config.times) for name, call in calls.items()}
        times = clock.compare(many, repeats=config.repeats, warmup=2)
    full = times.pop("full")
    return [
        {"format": name, "repeat": repeat, "ratio": seconds / full[repeat]}
        for name, all_seconds in times.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


# What they take up


def stored_bytes(
    kind: str, rows: int, columns: int, sparsity: float, *, value_bytes: int = 4
) -> int:
    """Bytes of a map of which this share is zero, in a format; a BSR's zeros are whole blocks.

    >>> [stored_bytes(kind, 1024, 1024, 0.5) // 1024 for kind in ("dense", "CSR", "bits")]
    [4096, 4100, 2176]
    >>> stored_bytes("two of four", 1024, 1024, 0.5) // 1024
    2176

    Raises:
        ValueError: for another format.
    """
    size, kept = rows * columns, rows * columns - round(sparsity * rows * columns)
    if kind == "dense":
        return value_bytes * size
    if kind == "CSR":
        return (value_bytes + 4) * kept + 4 * (rows + 1)
    if kind == "bits":
        return value_bytes * kept + math.ceil(size / 8)
    if kind == "two of four":  # two bits for each value that is kept, whatever else is zero
        return value_bytes * size // 2 + size // 2 * 2 // 8
    if kind.startswith("BSR "):
        block = int(kind.removeprefix("BSR "))
        blocks = size // block**2
        left = blocks - round(sparsity * blocks)
        return (value_bytes * block**2 + 8) * left + 8 * (rows // block + 1)
    raise ValueError(f"kind: got {kind!r}; expected 'dense', 'CSR', 'bits', 'two of four', 'BSR …'")


def smaller_from(
    kind: str, *, value_bytes: int = 4, rows: int = 1024, columns: int = 1024
) -> float:
    """The share of zeros, in thousandths, from which the format takes fewer bytes than the whole.

    >>> smaller_from("CSR"), smaller_from("CSR", value_bytes=2), smaller_from("bits")
    (0.501, 0.668, 0.032)
    """
    whole = stored_bytes("dense", rows, columns, 0.0, value_bytes=value_bytes)
    shares = (n / 1000 for n in range(1001))
    return next(
        share
        for share in shares
        if stored_bytes(kind, rows, columns, share, value_bytes=value_bytes) < whole
    )


# What follows


def ratios(results: Results, kind: str, **product: int) -> dict[float, float]:
    """By share of zeros: the median of the times, as multiples of the full product's."""
    rows = results.where(format=kind, **product)
    shares = sorted(set(rows.column("sparsity").tolist()))
    return {s: statistics.median(rows.where(sparsity=s).column("ratio").tolist()) for s in shares}


def crossover(results: Results, kind: str, **product: int) -> float | None:
    """The share of zeros from which on the format is faster than the full product; None if never.

    Between the shares measured, time is taken for a power of the share that is left.
    """
    found = ratios(results, kind, **product)
    shares = sorted(found, reverse=True)
    if found[shares[0]] >= 1:
        return None
    for faster, slower in itertools.pairwise(shares):
        if found[slower] >= 1:
            part = math.log(found[slower]) / math.log(found[slower] / found[faster])
            left = [math.log(1 - slower), math.log(1 - faster)]
            return 1 - math.exp(left[0] + part * (left[1] - left[0]))
    return shares[-1]


def findings(results: Results) -> dict[str, str]:
    """What the text says: where each format begins to pay, in time and in bytes."""
    found = {"repeats": str(len(set(results.column("repeat").tolist())))}
    names = ("rows", "columns", "vectors", "threads")
    products = dict.fromkeys(tuple(row[name] for name in names) for row in results.records())
    for sizes in products:
        product = dict(zip(names, sizes, strict=True))
        at = f"{product['rows']}_{product['vectors']}_on_{product['threads']}"
        for kind in FORMATS:
            if not len(results.where(format=kind, **product)):
                continue
            name = f"{kind.replace(' ', '_').lower()}_{at}"
            if kind not in ("stored", "two of four"):
                start = crossover(results, kind, **product)
                found[f"{name}_from"] = "never" if start is None else wording.percent(start)
            for row in results.where(format=kind, **product).summary("ratio", by="sparsity"):
                share = f"{100 * row['sparsity']:g}".replace(".", "_")
                found[f"{name}_at_{share}"] = wording.of_runs(row)
    for kind in ("CSR", "bits", "BSR 16", "BSR 32"):
        for value_bytes in (4, 2):
            name = f"{kind.replace(' ', '_').lower()}_bytes_from_{8 * value_bytes}"
            share = smaller_from(kind, value_bytes=value_bytes)
            found[name] = wording.percent(share, digits=1)
    for value_bytes in (4, 2):
        half = stored_bytes("bits", 1024, 1024, 0.5, value_bytes=value_bytes)
        whole = stored_bytes("dense", 1024, 1024, 0.5, value_bytes=value_bytes)
        found[f"bits_half_{8 * value_bytes}"] = wording.percent(half / whole)
        half = stored_bytes("two of four", 1024, 1024, 0.5, value_bytes=value_bytes)
        found[f"two_of_four_bytes_{8 * value_bytes}"] = wording.percent(half / whole)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_sparsity

    results.main(time_vs_sparsity)
