"""What does it cost that every second block takes only some of the tokens?

Small decoders read Shakespeare, with the batches, steps and rates of `loss_vs_sharing`: a plain
one, and two whose second and fourth block take a quarter or an eighth of the tokens of a text
(Mixture-of-Depths). They are trained for as many steps as the plain one, again for as many
seconds, as `time_vs_capacity` has timed a step, and for as many operations: each is more steps. As
a model that writes does not know what comes, each is judged twice: by its router, which looks at
the whole text to choose, and by its predictor, which does not. A third kind has blocks that are
left out altogether: what is the choosing worth?

Bits are those of the validation plays; `flops` are those of reading a text, by formula, with the
full square of scores; `agreed` is the share of choices in which predictor and router agree.

Source: Raposo et al. 2024 (arXiv:2404.02258), sections 3 and 4.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.adaptive_compute.depth_routing import DepthRouted, bill
from payattention.cost import operations
from payattention.effects import judge
from payattention.experiments import loss_vs_flops
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

TOLERANCE = {"bits": 0.05, "bits_by_router": 0.05, "flops": 0, "agreed": 0.1}
ELSEWHERE = {"bits": 0.3, "bits_by_router": 0.3, "flops": 0, "agreed": 0.3}
EVERY = 2
NAMES = {1.0: "all", 0.25: "quarter", 0.125: "eighth", 0.0: "none"}
STEP_TIMES = {0.25: 0.77, 0.125: 0.73, 0.0: 0.53}
"""Seconds of a training step, next to one of the plain model: what `time_vs_capacity` found."""
LESSON = 0.01
"""Of the predictors' loss: so little that it does not trip the clipping of gradients."""


@dataclass(frozen=True)
class Config:
    """Capacities, and how the models learn and are tested; capacity 1 is the plain model."""

    capacities: tuple[float, ...] = (1.0, 0.25, 0.125, 0.0)
    layers: int = 4
    d_model: int = 48
    heads: int = 4
    tokens: int = 64
    batch: int = 16
    steps: int = 1200
    cheap_steps: int = 20
    tests: int = 256
    seeds: int = 4


FULL = Config()
LIVE = replace(FULL, capacities=(1.0, 0.25), steps=100, cheap_steps=0, tests=64, seeds=1)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; then one for each capacity, length and seed."""
    cheap: list[Record] = [{"capacity": 0.25, "equal": "steps", "steps": config.cheap_steps}]
    ways = [(capacity, "steps", config.steps) for capacity in config.capacities]
    for equal in ("time", "flops"):
        ways += [
            (capacity, equal, longer(config, capacity, equal))
            for capacity in config.capacities
            if capacity < 1
        ]
    return [
        *([each | {"seed": 0} for each in cheap] if config.cheap_steps else []),
        *(
            {"capacity": capacity, "equal": equal, "steps": steps, "seed": seed}
            for capacity, equal, steps in ways
            for seed in range(config.seeds)
        ),
    ]


def shape(config: Config, capacity: float) -> TransformerShape:
    """The shape of the plain model, or of one without its second blocks, for a capacity of 0."""
    return TransformerShape(
        layers=config.layers if capacity else config.layers - config.layers // EVERY,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=len(data.VOCABULARY),
        context=data.CONTEXT,
        biases="none",
        tied=True,
    )


def flops(config: Config, capacity: float) -> int:
    """Operations to read one text."""
    if capacity in (0, 1):
        return sum(operations.forward(shape(config, capacity), tokens=config.tokens).values())
    return sum(
        bill(shape(config, capacity), tokens=config.tokens, capacity=capacity, every=EVERY).values()
    )


def longer(config: Config, capacity: float, equal: str) -> int:
    """So many steps take the plain training's operations ("flops"), or its seconds ("time")."""
    if equal == "time":
        return round(config.steps / STEP_TIMES[capacity])
    return round(config.steps * flops(config, 1.0) / flops(config, capacity))


def build(config: Config, capacity: float, seed: int) -> Decoder:
    """The untrained model of the seed."""
    of = shape(config, capacity)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if capacity in (0, 1):
            return Decoder(of)
        return DepthRouted(of, capacity=capacity, every=EVERY)


def nats(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
    """What is trained for: the loss, and what predictors have to learn."""
    loss = F.cross_entropy(model(batch[0]).mT, batch[1])
    return loss + LESSON * model.lesson if isinstance(model, DepthRouted) else loss


def measure(config: Config, point: Record) -> list[Record]:
    """Bits by predictor and by router, and operations."""
    model = build(config, point["capacity"], point["seed"])
    size = loss_vs_flops.Size(config.layers, config.d_model)
    train.train(
        model,
        data.language_batches("train", batch=config.batch, context=config.tokens),
        nats,
        recipe=train.Recipe(
            steps=point["steps"],
            learning_rate=loss_vs_flops.rate(loss_vs_flops.FULL, size, point["steps"]),
            warmup_steps=max(1, point["steps"] // 10),
            seed=point["seed"],
            record_every=point["steps"],
        ),
    )
    draw = data.language_batches("validation", batch=config.tests, context=config.tokens)
    ids, following = draw(torch.Generator().manual_seed(0))
    with torch.no_grad():
        by_router = _bits(model.eval()(ids), following)
        found = {"bits": by_router, "bits_by_router": by_router, "agreed": 1.0}
        if isinstance(model, DepthRouted):
            found |= _by_predictor(model, ids, following)
    return [found | {"flops": flops(config, point["capacity"])}]


def _by_predictor(model: DepthRouted, ids: Tensor, following: Tensor) -> Record:
    """Bits of one who knows no future, and how often it takes what the router would."""
    agreed = []
    bits = _bits(model.by("predictor")(ids), following)
    for block in model.routed:
        agreed.append((block.taken == block.largest).double().mean())
    return {"bits": bits, "agreed": torch.stack(agreed).mean().item()}


def _bits(logits: Tensor, following: Tensor) -> float:
    return F.cross_entropy(logits.mT, following).item() / math.log(2)


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records without the short training."""
    rows = [row for row in results.records() if row["steps"] > FULL.cheap_steps]
    return Results.from_records(results.question, rows)


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits and operations, next to the plain model, and to one of no choice."""
    rows = whole(results)
    plain = rows.where(capacity=1.0)
    found = {"seeds": str(len(plain)), "plain_bits": f"{plain.column('bits').mean():.3f}"}
    pairs = {}
    for capacity, equal in dict.fromkeys(
        zip(rows.columns["capacity"], rows.columns["equal"], strict=True)
    ):
        of = rows.where(capacity=capacity, equal=equal)
        key = f"{NAMES[capacity]}_{equal}"
        found[f"{key}_bits"] = f"{of.column('bits').mean():.3f}"
        found[f"{key}_by_router"] = f"{of.column('bits_by_router').mean():.3f}"
        found[f"{key}_agreed"] = wording.percent(of.column("agreed").mean())
        found[f"{key}_flops"] = wording.percent(
            of.column("flops").mean() / plain.column("flops").mean()
        )
        found[f"{key}_steps"] = f"{int(of.column('steps')[0]):,}"
        if capacity < 1:
            pairs[key] = of.column("bits"), plain.column("bits")
        if 0 < capacity < 1:
            none = rows.where(capacity=0.0, equal=equal)
            pairs[f"{key}_over_none"] = of.column("bits"), none.column("bits")
    for key, effect in judge(pairs).items():
        found[f"{key}_said"] = effect.said("bits", digits=3)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_routing

    results.main(loss_vs_routing)
