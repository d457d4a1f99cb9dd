"""What do the parts of a block change: in how well a model learns, and in what it survives?

Small Transformers read Shakespeare, each at rates of learning that span two orders of magnitude:
with the norms in front of the parts or behind them, with warm-up and without, shallow and deep;
and the deep pre-norm one with a single thing changed: RMSNorm, SwiGLU at equal parameters, no norm
at all, and blocks that do not add to a stream but pass on what their parts say. Our linear maps
start as PyTorch starts `nn.Linear`; both orders are also started with larger ones, "Xavier", after
Glorot and Bengio 2010, as PyTorch starts `nn.Transformer`. A training fails that diverges, or that
ends no better than one who knows only how frequent each letter is.

What each model starts from is measured as well, by layer: the gradient of the matrix that ends the
feed-forward part, as in Xiong et al. 2020, figure 3 (arXiv:2002.04745), the size of the stream, and
how alike its tokens are, which Dong et al. 2021 (arXiv:2103.03404) find to be the end of attention
without a stream.
"""

import math
import statistics
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.measure import interval, paired_interval
from payattention.positions import Rotary
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Block, Decoder

DESIGNS: dict[str, dict[str, Any]] = {
    "pre-norm": {},
    "post-norm": {"order": "post"},
    "RMSNorm": {"norm": "rms"},
    "SwiGLU": {"activation": "swiglu"},
    "no norm": {},
    "no stream": {},
    "pre-norm, Xavier": {},
    "post-norm, Xavier": {"order": "post"},
}
"""What each design changes in the shape of the first; `build` does the rest."""
ORDERS = ("pre-norm", "post-norm")
NEAR_BITS = 0.1
"""A rate is near the best one if it costs no more than this."""
TOLERANCE = {"gradient": 1e-3, "stream": 1e-4, "alike": 1e-4, "bits": 0.1}


@dataclass(frozen=True)
class Config:
    """What is trained, at which rates, for how long, and on how much it is tested.

    `orders` are trained at each depth, `changed` at the largest, `broken` at each, all of these
    with warm-up; the orders without it as well.
    """

    orders: tuple[str, ...] = ORDERS
    changed: tuple[str, ...] = ("RMSNorm", "SwiGLU", "pre-norm, Xavier", "post-norm, Xavier")
    broken: tuple[str, ...] = ("no norm", "no stream")
    warmed: tuple[bool, ...] = (True, False)
    layers: tuple[int, ...] = (3, 12)
    started_layers: tuple[int, ...] = (3, 12, 24)
    d_model: int = 32
    heads: int = 4
    tokens: int = 32
    batch: int = 8
    steps: int = 200
    warmup_steps: int = 50
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    tests: int = 256
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL,
    changed=(),
    broken=(),
    warmed=(False,),
    layers=(12,),
    started_layers=(12,),
    steps=50,
    tests=64,
    learning_rates=(3e-3, 3e-2),
    seeds=1,
)


def points(config: Config) -> list[Record]:
    """What every design starts from, by seed; then one training each, the shallow ones first."""
    deepest = max(config.layers)
    trained = [
        (design, layers, warmed)
        for layers in config.layers
        for warmed in config.warmed
        for design in config.orders
    ]
    trained += [(design, layers, True) for layers in config.layers for design in config.broken]
    trained += [(design, deepest, True) for design in config.changed]
    started: list[Record] = [
        {"trained": False, "design": design, "layers": layers, "seed": seed}
        for design in DESIGNS
        for layers in config.started_layers
        for seed in range(config.seeds)
    ]
    return started + [
        {"trained": True, "design": design, "layers": layers, "warmed": warmed}
        | {"learning_rate": rate, "seed": seed}
        for design, layers, warmed in sorted(trained, key=lambda kind: kind[1])
        for rate in config.learning_rates
        for seed in range(config.seeds)
    ]


class Chain(Block):
    """A block without a stream: it passes on what its parts say, and adds it to nothing."""

    def forward(self, x: Tensor, **how: Any) -> Tensor:
        """What the feed-forward part says of what attention has gathered."""
        return self.mlp(self.mlp_norm(self.attention(self.norm(x), **how)))


def build(config: Config, design: str, layers: int, seed: int) -> Decoder:
    """The untrained model of the design."""
    changes = DESIGNS[design]
    matrices = 3 if changes.get("activation") == "swiglu" else 2
    shape = TransformerShape(
        layers=layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=round(8 * config.d_model / matrices),
        vocab=len(data.VOCABULARY),
        **changes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Decoder(shape)
        if design == "no stream":
            model.blocks = nn.ModuleList(Chain(shape, rotate=Rotary()) for _ in range(layers))
        if design.endswith("Xavier"):
            for weight in (w for w in model.blocks.parameters() if w.ndim == 2):
                nn.init.xavier_uniform_(weight)
    if design == "no norm":
        model.norm = nn.Identity()
        for block in model.blocks:
            block.norm = block.mlp_norm = nn.Identity()
    return model


def bits(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Bits that the model needs for a character, on average."""
    ids, following = batch
    return F.cross_entropy(model(ids).mT, following) / math.log(2)


def measure(config: Config, point: Record) -> list[Record]:
    """Gradient and stream by layer before training, or bits a character after it."""
    model = build(config, point["design"], point["layers"], point["seed"])
    return trained(config, point, model) if point["trained"] else started(config, point, model)


def started(config: Config, point: Record, model: Decoder) -> list[Record]:
    """By layer, from 1: norm of the gradient; and of the stream behind it, size and likeness.

    The size is the root mean square of its numbers.
    """
    fresh = torch.Generator().manual_seed(10_000 + point["seed"])
    draw = data.language_batches("train", batch=config.batch, context=config.tokens)
    ids, following = draw(fresh)
    stream = list(model.stream(ids))
    F.cross_entropy(model.output(model.norm(stream[-1])).mT, following).backward()
    return [
        {
            "layer": layer,
            "gradient": block.mlp.narrow.weight.grad.norm().item(),
            "stream": x.detach().square().mean().sqrt().item(),
            "alike": alike(x.detach()).mean().item(),
        }
        for layer, (block, x) in enumerate(zip(model.blocks, stream[1:], strict=True), 1)
    ]


def alike(x: Float[Tensor, "batch tokens d_model"]) -> Float[Tensor, " batch"]:
    """Mean cosine of the vectors of two different tokens of a text: 1 where all point one way.

    >>> alike(torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 3.0]]])).item()
    0.3333333432674408
    """
    directions, tokens = F.normalize(x, dim=-1), x.shape[1]
    cosines = (directions @ directions.mT).sum(dim=(1, 2))
    return (cosines - tokens) / (tokens * (tokens - 1))


def trained(config: Config, point: Record, model: Decoder) -> list[Record]:
    """Bits a character of validation text; None where the training diverged."""
    recipe = train.Recipe(
        steps=config.steps,
        learning_rate=point["learning_rate"],
        warmup_steps=min(config.warmup_steps, config.steps // 2) if point["warmed"] else 0,
        seed=point["seed"],
    )
    draw = data.language_batches("train", batch=config.batch, context=config.tokens)
    try:
        train.train(model, draw, bits, recipe=recipe)
    except train.DivergedError:
        return [{"diverged": True, "bits": None}]
    fresh = torch.Generator().manual_seed(20_000 + point["seed"])
    text = data.language_batches("validation", batch=config.tests, context=config.tokens)(fresh)
    with torch.no_grad():
        needed = bits(model, text).item()
    diverged = not math.isfinite(needed)  # by its last step, whose loss nobody has seen
    return [{"diverged": diverged, "bits": None if diverged else needed}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def after_training(results: Results) -> Results:
    """The trainings alone; one that diverged, or ended worse, counts as knowing letters alone."""
    letters = data.letter_bits("validation")
    rows = [
        row | {"bits": letters if row["diverged"] else min(letters, row["bits"])}
        for row in results.where(trained=True).records()
    ]
    return Results.from_records(results.question, rows, config=results.config)


def by_rate(results: Results, design: str, layers: int, *, warmed: bool) -> dict[float, list]:
    """Bits of each seed, in order, for each rate; see `after_training`."""
    chosen = after_training(results).where(design=design, layers=layers, warmed=warmed).records()
    found: dict[float, list] = {}
    for row in sorted(chosen, key=lambda row: (row["learning_rate"], row["seed"])):
        found.setdefault(row["learning_rate"], []).append(row["bits"])
    return found


def best(runs: dict[float, list]) -> float:
    """The rate with the fewest bits on average."""
    return min(runs, key=lambda rate: statistics.fmean(runs[rate]))


def near(runs: dict[float, list]) -> tuple[float, float]:
    """Lowest and highest of the rates around the best one that end within `NEAR_BITS` of it."""
    rates, top = list(runs), best(runs)
    limit = statistics.fmean(runs[top]) + NEAR_BITS
    low = high = rates.index(top)
    while low > 0 and statistics.fmean(runs[rates[low - 1]]) <= limit:
        low -= 1
    while high + 1 < len(rates) and statistics.fmean(runs[rates[high + 1]]) <= limit:
        high += 1
    return rates[low], rates[high]


def failures(runs: dict[float, list]) -> dict[float, int]:
    """Trainings at each rate that have learned no more than how frequent each letter is."""
    learned = data.letter_bits("validation") - NEAR_BITS
    return {rate: sum(bits > learned for bits in needed) for rate, needed in runs.items()}


def survived(runs: dict[float, list]) -> list[float]:
    """Rates at which no training has failed."""
    return [rate for rate, failed in failures(runs).items() if not failed]


def findings(results: Results) -> dict[str, str]:
    """What the text says: of each design its best bits, its rates, its failures; and its start.

    Names are a design, a depth and "cold" where there was no warm-up.
    """
    trainings = results.where(trained=True)
    found = {
        "seeds": str(len(set(results.column("seed").tolist()))),
        "steps": str(FULL.steps),
        "live_steps": str(LIVE.steps),
        "warmup_steps": str(FULL.warmup_steps),
        "d_model": str(FULL.d_model),
        "rates": str(len(FULL.learning_rates)),
        "lowest_rate": f"{min(FULL.learning_rates):g}",
        "highest_rate": f"{max(FULL.learning_rates):g}",
        "margin": f"{NEAR_BITS:g}",
        "letters": f"{data.letter_bits('validation'):.2f}",
        "trainings": str(len(trainings)),
        "diverged": str(sum(row["diverged"] for row in trainings.records())),
    }
    kinds = [(row["design"], row["layers"], row["warmed"]) for row in trainings.records()]
    for design, layers, warmed in dict.fromkeys(kinds):
        name = f"{_slug(design)}_{layers}" + ("" if warmed else "_cold")
        runs = by_rate(results, design, layers, warmed=warmed)
        base = by_rate(results, "pre-norm", layers, warmed=warmed)
        found |= {f"{name}_{key}": said for key, said in _rates(runs).items()}
        compared = design != "pre-norm" and survived(runs) and survived(base)
        if compared and len(base[best(base)]) > 1:
            found[f"{name}_behind"] = _difference(runs[best(runs)], base[best(base)])
        if not warmed:
            found |= _more_when_cold(name, runs, by_rate(results, design, layers, warmed=True))
    start = results.where(trained=False)
    for design, layers in dict.fromkeys((r["design"], r["layers"]) for r in start.records()):
        rows = start.where(design=design, layers=layers)
        for layer, place in ((1, "first"), (layers, "last")):
            for what in ("gradient", "stream", "alike"):
                value = rows.where(layer=layer).column(what).mean().item()
                key = f"{_slug(design)}_{layers}_{what}_{place}"
                found[key] = f"{value:.2f}" if what == "alike" else wording.two_digits(value)
        if one := _one_from(rows):
            found[f"{_slug(design)}_{layers}_one_from"] = str(one)
    return found


def _more_when_cold(name: str, cold: dict, warm: dict) -> dict[str, str]:
    """Bits more without a warm-up, each at its best rate, and both at the highest."""
    rates = {"more": (best(cold), best(warm)), "more_highest": (max(cold), max(warm))}
    found = {}
    for key, (first, second) in rates.items():
        if len(cold[first]) > 1:
            found[f"{name}_{key}"] = _difference(cold[first], warm[second])
    return found


def _difference(first: list[float], second: list[float]) -> str:
    by = paired_interval(first, second)
    # adding 0 makes a zero of what rounds to one from below
    return wording.with_bounds(*(round(number, 2) + 0.0 for number in (by.value, by.low, by.high)))


def _one_from(start: Results) -> int | None:
    """First layer from which on all tokens point the same way, to two decimals; if any does."""
    apart = [
        layer
        for layer in set(start.column("layer").tolist())
        if round(start.where(layer=layer).column("alike").mean().item(), 2) < 1
    ]
    layers = int(start.column("layer").max())
    return max(apart) + 1 if max(apart) < layers else None


def _rates(runs: dict[float, list]) -> dict[str, str]:
    """What is said of every design, and more of one that learns at some rate with every seed."""
    needed = runs[best(runs)]
    found = {
        "best": f"{statistics.fmean(needed):.2f}",
        "failed": str(sum(failures(runs).values())),
        "trainings": str(sum(map(len, runs.values()))),
    }
    if not survived(runs):
        return found
    if len(needed) > 1:
        bounds = interval(needed)
        found["best_bounds"] = wording.with_bounds(bounds.value, bounds.low, bounds.high)
    low, high = near(runs)
    return found | {
        "best_rate": f"{best(runs):g}",
        "near_from": f"{low:g}",
        "near_to": f"{high:g}",
        "near_factor": f"{high / low:.0f}",
        "near_rates": str(sum(low <= rate <= high for rate in runs)),
        "survived_to": f"{max(survived(runs)):g}",
        "survived_rates": str(len(survived(runs))),
    }


def _slug(design: str) -> str:
    return design.lower().replace(",", "").replace("-", "_").replace(" ", "_")


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_design

    results.main(loss_vs_design)
