"""What does softmax do with scores that are not divided by the root of d_head?

First without training: queries and keys of independent standard normal numbers, and those that a
layer of attention makes of such vectors as PyTorch starts it; their scores divided and not. How
far do the scores spread, how evenly does softmax share out, and how large is the gradient that
reaches a query? Then trained: Transformers of one width, cut into heads of different widths, with
the division and without, each at two learning rates.

The gradient is that of the weights with respect to their query, of which we take the Frobenius
norm; its mean over the queries and its median tell different stories, and both are kept.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from payattention import attention, data, train, wording
from payattention.attention import MultiHeadAttention
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

SCORES = ("divided", "undivided")
TOLERANCE = {
    "deviation": 1e-4,
    "entropy_bits": 1e-4,
    "largest": 1e-4,
    "gradient": 1e-3,
    "gradient_median": 1e-3,
    "settled": 1e-6,
    "bits": 0.05,
}
ELSEWHERE = {"gradient": 2e-3, "gradient_median": 3e-3}
"""Few logits that are nearly settled: their gradients are differences of numbers near 1."""


@dataclass(frozen=True)
class Config:
    """What is drawn, and what is trained."""

    d_heads: tuple[int, ...] = (1, 4, 16, 64, 256, 1024)
    columns: int = 64
    queries: int = 256
    untrained_seeds: int = 5
    settled: float = 0.99
    layers: int = 2
    d_model: int = 64
    trained_d_heads: tuple[int, ...] = (4, 16, 64)
    tokens: int = 64
    steps: int = 300
    batch: int = 16
    learning_rates: tuple[float, ...] = (3e-3, 1e-2)
    tests: int = 256
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, untrained_seeds=3, trained_d_heads=())


def points(config: Config) -> list[Record]:
    """The untrained scores of all seeds first; then one training each."""
    untrained = [{"trained": False, "seed": seed} for seed in range(config.untrained_seeds)]
    return untrained + [
        {"trained": True, "d_head": d, "scores": scores, "learning_rate": rate, "seed": seed}
        for d in config.trained_d_heads
        for scores in SCORES
        for rate in config.learning_rates
        for seed in range(config.seeds)
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """What softmax makes of the scores, by width; or bits a character after training."""
    return _trained(config, point) if point["trained"] else _untrained(config, point)


def entropy_bits(weights: Float[Tensor, "*batch columns"]) -> Float[Tensor, "*batch"]:
    """How evenly each row shares out: log2 of the columns where evenly, 0 where one takes all.

    >>> entropy_bits(torch.tensor([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]])).tolist()
    [2.0, 0.0]
    """
    return torch.special.entr(weights).sum(dim=-1) / math.log(2)


def query_gradient(
    weights: Float[Tensor, "*batch rows columns"],
    keys: Float[Tensor, "*batch columns d_head"],
    *,
    scale: float,
) -> Float[Tensor, "*batch rows"]:
    """Frobenius norm of the derivative of each row of weights by its query.

    The scores are the products of query and keys times `scale`. The derivative's row i is
    scale p_i (k_i - mean of the keys under p): 0 where one key takes all.

    >>> keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> query_gradient(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), keys, scale=2.0).tolist()
    [1.0, 0.0]
    """
    means = weights @ keys
    between = keys.square().sum(dim=-1)[..., None, :] - 2 * means @ keys.mT
    squares = between + means.square().sum(dim=-1, keepdim=True)
    # rounding can go below 0
    return scale * (weights.square() * squares.clamp(min=0)).sum(dim=-1).sqrt()


def _untrained(config: Config, point: Record) -> list[Record]:
    generator = torch.Generator().manual_seed(point["seed"])
    widest = max(config.d_heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        layer = MultiHeadAttention(widest, heads=1)
    records = []
    for d_head in config.d_heads:
        # keys of their own for every few queries, so that no single draw of keys decides
        queries = torch.randn(config.queries // 16, 16, d_head, generator=generator)
        keys = torch.randn(config.queries // 16, config.columns, d_head, generator=generator)
        records += softmax_records(config, "drawn", queries, keys)
    x = torch.randn(1, config.columns, widest, generator=generator)
    with torch.no_grad():
        queries, keys = layer.queries(x), layer.keys(x)
    for d_head in config.d_heads:
        # one large layer, cut into heads of each width; a few heads say enough
        pieces = (attention.split_heads(y, widest // d_head)[0, :16] for y in (queries, keys))
        records += softmax_records(config, "as PyTorch starts", *pieces)
    return records


def softmax_records(config: Config, source: str, queries: Tensor, keys: Tensor) -> list[Record]:
    """What softmax makes of the scores of these queries and keys, divided and not."""
    divided = attention.dot_product_scores(queries, keys)
    d_head = queries.shape[-1]
    records = []
    for name, scores in zip(SCORES, (divided, divided * math.sqrt(d_head)), strict=True):
        weights = attention.to_weights(scores)
        scale = 1 / math.sqrt(d_head) if name == "divided" else 1.0
        gradient = query_gradient(weights, keys, scale=scale)
        largest = weights.max(dim=-1).values
        numbers = {
            "deviation": scores.std(),
            "entropy_bits": entropy_bits(weights).mean(),
            "largest": largest.mean(),
            "gradient": gradient.mean(),
            "gradient_median": gradient.median(),
            "settled": (largest > config.settled).float().mean(),
        }
        about = {"source": source, "d_head": d_head, "scores": name}
        records.append(about | {name: number.item() for name, number in numbers.items()})
    return records


@dataclass(frozen=True)
class Undivided:
    """Turns queries and keys as `turn` does, and makes up for the division of their scores."""

    turn: Callable[..., Tensor]

    def __call__(
        self, x: Float[Tensor, "*batch tokens d_head"], *, start: int = 0
    ) -> Float[Tensor, "*batch tokens d_head"]:
        """The vectors, longer by the fourth root of their width: their products by its root."""
        return self.turn(x, start=start) * x.shape[-1] ** 0.25


def _trained(config: Config, point: Record) -> list[Record]:
    model = build(config, point)

    def bits(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]).mT, batch[1]) / math.log(2)

    train.train(
        model,
        data.language_batches("train", batch=config.batch, context=config.tokens),
        bits,
        recipe=train.Recipe(
            steps=config.steps,
            learning_rate=point["learning_rate"],
            warmup_steps=config.steps // 20,
            seed=point["seed"],
        ),
    )
    fresh = torch.Generator().manual_seed(10_000 + point["seed"])
    text = data.language_batches("validation", batch=config.tests, context=config.tokens)(fresh)
    with torch.no_grad():
        return [{"bits": bits(model, text).item()}]


def build(config: Config, point: Record) -> Decoder:
    """The untrained Transformer of the point: the same weights for each kind of scores."""
    heads = config.d_model // point["d_head"]
    shape = TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * config.d_model,
        vocab=len(data.VOCABULARY),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Decoder(shape)
    if point["scores"] == "undivided":
        for block in model.blocks:
            block.attention.rotate = Undivided(block.attention.rotate)
    return model


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def tuned(results: Results) -> Results:
    """The trained records of each width and kind of scores at its best learning rate, by mean."""
    trained = results.where(trained=True)
    best: dict[tuple, Record] = {}
    for row in trained.summary("bits", by=["d_head", "scores", "learning_rate"]):
        place = row["d_head"], row["scores"]
        if place not in best or row["mean"] < best[place]["mean"]:
            best[place] = row
    kept = [
        record
        for record in trained.records()
        if record["learning_rate"] == best[record["d_head"], record["scores"]]["learning_rate"]
    ]
    return Results.from_records(results.question, kept)


def findings(results: Results) -> dict[str, str]:
    """What the text says: spread, evenness and gradient by width, and what training loses."""
    untrained = results.where(trained=False)
    found = {
        "untrained_seeds": str(len(set(untrained.column("seed").tolist()))),
        "seeds": str(FULL.seeds),
        "steps": str(FULL.steps),
        "settled": wording.percent(FULL.settled),
        "columns": str(FULL.columns),
        "even_bits": f"{math.log2(FULL.columns):.0f}",
    }
    for source, prefix in (("drawn", ""), ("as PyTorch starts", "start_")):
        for column in (
            "deviation",
            "entropy_bits",
            "largest",
            "gradient",
            "gradient_median",
            "settled",
        ):
            rows = untrained.where(source=source).summary(column, by=["scores", "d_head"])
            for row in rows:
                name = f"{prefix}{row['scores']}_{row['d_head']}_{column}"
                share = column in ("largest", "settled")
                found[name] = wording.percent(row["mean"]) if share else f"{row['mean']:.2f}"
    return found | _trained_findings(results)


def _trained_findings(results: Results) -> dict[str, str]:
    if True not in results.column("trained"):
        return {}
    found, best = {}, tuned(results)
    for d_head in dict.fromkeys(best.column("d_head").tolist()):
        runs = {name: best.where(d_head=d_head, scores=name).column("bits") for name in SCORES}
        for name, needed in runs.items():
            found[f"trained_{name}_{d_head}"] = f"{needed.mean():.2f}"
        lost = paired_interval(runs["undivided"], runs["divided"])
        found[f"lost_{d_head}"] = wording.with_bounds(lost.value, lost.low, lost.high)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import softmax_vs_width

    results.main(softmax_vs_width)
