"""At which length do the pairs take over from the maps, by width of the model?

One block of a decoder, forward, batch 1, float32, heads of 64. Its maps take time in proportion to
the tokens, its attention in proportion to their pairs. The block is timed as the plain code runs
it, with every score stored and the full square multiplied, and with the platform's fused kernel,
which leaves out what the causal mask hides; beside it, its maps alone. All are timed in turn. The
crossover is the length at which a block takes twice as long as its maps.
"""

import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from payattention import measure as clock
from payattention import wording
from payattention.cost import operations
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Block

ALONE = True
TOLERANCE = {"seconds": None}
WAYS = {"stored scores": "full", "fused": "causal"}
"""How a block runs, and whether it multiplies the full square or what the mask leaves."""
D_HEAD = 64


@dataclass(frozen=True)
class Config:
    """Widths of the block, lengths of the text, and how often each is timed."""

    widths: tuple[int, ...] = (128, 256, 512)
    tokens: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096, 8192)
    repeats: int = 5


FULL = Config()
LIVE = replace(FULL, widths=FULL.widths[:1], tokens=FULL.tokens[:-1:2], repeats=3)


def shape(width: int) -> TransformerShape:
    """One block of the width, in the usual proportions."""
    return TransformerShape(
        layers=1,
        d_model=width,
        heads=width // D_HEAD,
        kv_heads=width // D_HEAD,
        d_ff=4 * width,
        vocab=1,
    )


def points(config: Config) -> list[Record]:
    """One point for each width and length, short texts first."""
    return [{"width": width, "tokens": n} for n in config.tokens for width in config.widths]


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of the block in both ways and of its maps, in each repeat."""
    torch.manual_seed(0)
    times = clock.compare(calls(point), repeats=config.repeats, warmup=1)
    return [
        {"way": way, "repeat": repeat, "seconds": seconds}
        for way, all_seconds in times.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def calls(point: Record) -> dict[str, Callable[[], Tensor]]:
    """The block in both ways, and what it does to each token alone, by name."""
    x = torch.randn(1, point["tokens"], point["width"])
    blocks = {way: Block(shape(point["width"])).eval() for way in WAYS}
    blocks["stored scores"].attention.fused = False
    found = {way: partial(block, x, mask="causal") for way, block in blocks.items()}
    found["maps"] = partial(maps, blocks["fused"], x)
    return {name: torch.no_grad()(call) for name, call in found.items()}


def maps(block: Block, x: Tensor) -> Tensor:
    """What a block does if nobody looks at anybody: each token's value is its mixture."""
    attention, normed = block.attention, block.norm(x)
    attention.queries(normed), attention.keys(normed)
    x = x + attention.output(attention.values(normed))
    return x + block.mlp(block.mlp_norm(x))


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def medians(results: Results, way: str, width: int) -> dict[int, float]:
    """Median seconds by tokens, of a way to run the block of the width."""
    found: dict[int, list[float]] = {}
    for row in results.where(way=way, width=width).records():
        found.setdefault(row["tokens"], []).append(row["seconds"])
    return {tokens: statistics.median(seconds) for tokens, seconds in sorted(found.items())}


def relative(results: Results) -> Results:
    """The same records, each time a multiple of what the maps take in the shortest text."""
    units = {w: next(iter(medians(results, "maps", w).values())) for w in _widths(results)}
    rows = [row | {"relative": row["seconds"] / units[row["width"]]} for row in results.records()]
    return Results.from_records(results.question, rows)


def foretold(results: Results, way: str) -> Results:
    """Times relative as in `relative`, if every operation took as long as one of the maps does."""
    rows = []
    for width in _widths(results):
        of_maps = medians(results, "maps", width)
        unit = next(iter(of_maps.values()))
        bend = operations.crossover_tokens(shape(width), mask=WAYS[way])
        rows += [
            {"width": width, "tokens": n, "relative": seconds / unit * (1 + n / bend)}
            for n, seconds in of_maps.items()
        ]
    return Results.from_records(results.question, rows)


def _widths(results: Results) -> list[int]:
    return sorted({int(width) for width in results.column("width")})


def crossover(results: Results, way: str, width: int) -> float | None:
    """Tokens at which the block takes twice the time of its maps, between two lengths; or None."""
    block, of_maps = medians(results, way, width), medians(results, "maps", width)
    ratios = [(n, block[n] / of_maps[n]) for n in block]
    for (shorter, low), (longer, high) in itertools.pairwise(ratios):
        if low < 2 <= high:
            at = math.log(2 / low) / math.log(high / low)
            return shorter * (longer / shorter) ** at
    return None


def slope(results: Results, way: str, width: int, *, longest: bool) -> float:
    """Power of the tokens by which time grows over the two shortest or the two longest texts."""
    times = list(medians(results, way, width).items())
    (n, a), (m, b) = times[-2:] if longest else times[:2]
    return math.log(b / a) / math.log(m / n)


def findings(results: Results) -> dict[str, str]:
    """What the text says: slopes at both ends, and crossovers beside the predicted ones."""
    tokens = sorted(set(results.column("tokens").tolist()))
    found = {
        "shortest": f"{int(tokens[0]):,}",
        "longest": f"{int(tokens[-1]):,}",
        "repeats": str(FULL.repeats),
    }
    for width in _widths(results):
        for way, mask in WAYS.items():
            name = f"{way.replace(' ', '_')}_{width}"
            found[f"{name}_first_slope"] = f"{slope(results, way, width, longest=False):.1f}"
            found[f"{name}_last_slope"] = f"{slope(results, way, width, longest=True):.1f}"
            expected = operations.crossover_tokens(shape(width), mask=mask)
            found[f"{name}_predicted"] = f"{expected:,.0f}"
            if measured := crossover(results, way, width):
                found[f"{name}_measured"] = f"{wording.two_digits(measured)}"
                found[f"{name}_share"] = f"{measured / expected:.2f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_width

    results.main(time_vs_width)
