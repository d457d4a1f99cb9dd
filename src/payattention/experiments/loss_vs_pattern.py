"""Which pattern suits which data: text and images, learned token by token.

Small Transformers that differ in who looks at whom (all of the past, a window, the strided and the
fixed pattern of Child et al. 2019) learn Shakespeare, 512 characters at a time, and clothes of
Fashion-MNIST, shrunk to 14 x 14 pixels of 16 greys and read row by row. Each is trained for as many
steps as the dense one, and once more for as many operations: what its pattern spares buys steps.
Child et al. give some heads or layers one part of a pattern and some another; here each head sees
both parts. Counted are all matrix products, with the scores that a pattern allows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from payattention import data, train, wording
from payattention import measure as clock
from payattention.cost import operations
from payattention.patterns import CAUSAL, Pattern, causal_window, fixed, strided
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

GREYS = 16
SIDE = 14
WAYS = ("dense", "window", "strided", "fixed")
EQUAL = ("steps", "operations")
TOLERANCE = {"bits": 0.05, "flops": 1e4, "steps": 0, "pairs": 0}
ELSEWHERE = {"bits": 0.2}


@dataclass(frozen=True)
class Config:
    """Patterns, sizes of text and model, and the training; images have 196 pixels.

    The size of a pattern is a row of pixels in images, and `size` in text; a fixed one has
    `summaries` in each block.
    """

    kinds: tuple[str, ...] = ("images", "text")
    ways: tuple[str, ...] = WAYS
    tokens: int = 512
    size: int = 32
    summaries: int = 2
    layers: int = 2
    d_model: int = 64
    heads: int = 4
    steps: int = 900
    cheap_steps: int = 4
    batch_tokens: int = 4096
    learning_rate: float = 4e-3
    tests: int = 100
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, kinds=("text",), ways=("dense", "window"), tokens=128, size=16, steps=60, seeds=1
)


def tokens_of(config: Config, kind: str) -> int:
    """Tokens that a model reads at once."""
    return config.tokens if kind == "text" else SIDE**2


def pattern(config: Config, kind: str, way: str) -> Pattern:
    """Who looks at whom."""
    size = config.size if kind == "text" else SIDE
    return {
        "dense": CAUSAL,
        "window": causal_window(size),
        "strided": strided(size),
        "fixed": fixed(size, count=config.summaries),
    }[way]


def shape(config: Config, kind: str) -> TransformerShape:
    """The shape of the models, with rotary positions.

    With learned ones they lag behind for so long that patterns differ in how fast they are learned,
    and in little else.
    """
    return TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=len(data.VOCABULARY) if kind == "text" else GREYS + 1,
        biases="none",
    )


def step_flops(config: Config, kind: str, way: str) -> int:
    """Operations of a step, with the scores that the pattern allows."""
    tokens = tokens_of(config, kind)
    pairs = pattern(config, kind, way).pairs(tokens)
    bill = operations.training(shape(config, kind), tokens=tokens, pairs=pairs)
    return batch(config, kind) * sum(bill.values())


def batch(config: Config, kind: str) -> int:
    """Texts or images in a step."""
    return max(1, config.batch_tokens // tokens_of(config, kind))


def points(config: Config) -> list[Record]:
    """A few steps, to be measured again by a test; then a training each, of images first."""
    cheap: list[Record] = [
        {"kind": config.kinds[0], "way": "strided", "equal": "a few steps", "seed": 0}
    ]
    return cheap + [
        {"kind": kind, "way": way, "equal": equal, "seed": seed}
        for kind in config.kinds
        for equal in EQUAL
        for way in config.ways
        if not (way == "dense" and equal == "operations")
        for seed in range(config.seeds)
    ]


def steps(config: Config, point: Record) -> int:
    """How long this training is."""
    if point["equal"] == "a few steps":
        return config.cheap_steps
    if point["equal"] == "steps":
        return config.steps
    of_dense = step_flops(config, point["kind"], "dense")
    return round(config.steps * of_dense / step_flops(config, point["kind"], point["way"]))


@lru_cache(maxsize=2)
def pixels(split: str) -> Int[Tensor, "images pixels"]:
    """Images as rows of greys from 0 to 15, four pixels of the original in each."""
    images, _ = data.fashion(split)
    small = F.avg_pool2d(images[:, None], 2)[:, 0]
    return (small * GREYS).long().clamp(max=GREYS - 1).flatten(1)


def examples(config: Config, kind: str, split: str, rows: int) -> Callable:
    """A function that draws what is read, and what follows each token of it."""
    if kind == "text":
        return data.language_batches(split, batch=rows, context=config.tokens)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        all_of_them = pixels("train" if split == "train" else "test")
        chosen = all_of_them[torch.randint(len(all_of_them), (rows,), generator=generator)]
        opening = torch.full((rows, 1), GREYS)
        return torch.cat([opening, chosen[:, :-1]], dim=1), chosen

    return draw


def measure(config: Config, point: Record) -> list[Record]:
    """Bits for a character or a pixel of new text or images, and what the training took."""
    kind, way = point["kind"], point["way"]
    mask, long = pattern(config, kind, way), steps(config, point)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Decoder(shape(config, kind))

    def bits(model: Decoder, given: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(given[0], mask).mT, given[1]) / math.log(2)

    def tested(model: Decoder) -> dict[str, float]:
        draw = examples(config, kind, "validation", config.tests)
        drawn = draw(torch.Generator().manual_seed(0))
        parts = zip(*(x.split(25) for x in drawn), strict=True)
        found = [bits(model, part).item() for part in parts]
        return {"bits": sum(found) / len(found)}

    recipe = train.Recipe(
        steps=long,
        learning_rate=config.learning_rate,
        warmup_steps=max(1, long // 10),
        seed=point["seed"],
        record_every=long,
    )
    draw = examples(config, kind, "train", batch(config, kind))
    records = train.train(model, draw, bits, recipe=recipe, evaluate=tested)
    spent = long * step_flops(config, kind, way)
    pairs = mask.pairs(tokens_of(config, kind))
    found = {"bits": records[-1]["bits"], "steps": long, "flops": float(spent), "pairs": pairs}
    return [found]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def over_dense(results: Results, kind: str, way: str, equal: str) -> clock.Interval:
    """Bits more than the dense model of the same seed needs."""
    dense = results.where(kind=kind, way="dense", equal="steps")
    sparse = results.where(kind=kind, way=way, equal=equal)
    by_seed = dict(zip(dense.column("seed").tolist(), dense.column("bits").tolist(), strict=True))
    differences = [
        bits - by_seed[seed]
        for seed, bits in zip(
            sparse.column("seed").tolist(), sparse.column("bits").tolist(), strict=True
        )
    ]
    return clock.interval(differences)


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits of each pattern, and how many more than the dense one's."""
    results = results.among(equal=EQUAL)
    found = {"seeds": str(FULL.seeds), "steps": f"{FULL.steps:,}"}
    found |= {"size": str(FULL.size), "tokens": str(FULL.tokens)}
    for kind in dict.fromkeys(results.column("kind").tolist()):
        for row in results.where(kind=kind, equal="steps").summary("bits", by="way"):
            found[f"{kind}_{row['way']}_bits"] = f"{row['mean']:.2f}"
        for way in dict.fromkeys(results.where(kind=kind).column("way").tolist()):
            rows = results.where(kind=kind, way=way)
            found[f"{kind}_{way}_pairs"] = f"{int(rows.column('pairs')[0]):,}"
            if way == "dense":
                continue
            for equal in dict.fromkeys(rows.column("equal").tolist()):
                more = over_dense(results, kind, way, equal)
                found[f"{kind}_{way}_{equal}_more"] = wording.with_bounds(
                    more.value, more.low, more.high, digits=3
                )
                found[f"{kind}_{way}_{equal}_less"] = f"{-more.value:.2f}"
                steps = int(rows.where(equal=equal).column("steps")[0])
                found[f"{kind}_{way}_{equal}_steps"] = f"{steps:,}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_pattern

    results.main(loss_vs_pattern)
