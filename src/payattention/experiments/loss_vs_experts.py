"""What do experts buy, most of which are idle?

Small decoders read Shakespeare for equally many steps, with the same batches. Their layers have one
feed-forward part; or 4 or 8 of that size, of which each character uses the likeliest; or 8 of half
the width, of which it uses two; or one as wide as 8 together. All but the last multiply each
character with equally many numbers, apart from the router. Experts are trained with a loss that
asks for an even load, and 8 also without.

Operations are the matrix products of forward and backward passes, with the scores that the mask
allows. Loss is in bits a character, of the validation plays in stretches of 64 characters, each
from its first. On the same text, `largest` is the share of characters that the busiest expert of a
layer takes, `dead` the share of experts that take less than a tenth of an equal share; both are
means over the layers. One recipe serves all designs. They are narrow, so that their size is what
limits them: at twice the width and a quarter of the steps, more parameters hardly helped in a
trial, idle ones or not.

Sources: Fedus et al. 2021, Switch (arXiv:2101.03961), for one expert a token and the weight of the
balance; Shazeer et al. 2017 (arXiv:1701.06538) for more than one, and for what happens without it.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import data, experts, train, wording
from payattention.cost import operations, parameters
from payattention.experiments.loss_vs_flops import bits
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

TOLERANCE = {
    "bits": 0.05,
    "largest": 0.1,
    "dead": 0.2,
    "parameters": 0,
    "active": 0,
    "flops": 1e3,  # of 1e9 and more: nine digits are stored
}


class Design(NamedTuple):
    """What a layer has behind its attention: so many experts, so wide, of which so many work."""

    experts: int | None = None
    chosen: int | None = None
    width: float = 1.0
    balanced: bool = False


DESIGNS = {
    "one": Design(),
    "4 experts": Design(4, 1, balanced=True),
    "8 experts": Design(8, 1, balanced=True),
    "8 experts, no balance": Design(8, 1),
    "8 half experts, two chosen": Design(8, 2, width=0.5, balanced=True),
    "one as large as 8": Design(width=8.0),
}


@dataclass(frozen=True)
class Config:
    """Sizes of the models, how they learn, and on how many stretches they are tested."""

    designs: tuple[str, ...] = tuple(DESIGNS)
    layers: int = 2
    d_model: int = 32
    heads: int = 4
    tokens: int = 64
    batch: int = 16
    steps: int = 2500
    cheap_steps: int = 20
    learning_rate: float = 1e-2
    balance: float = 0.01
    looks: int = 10
    tests: int = 256
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, designs=("one", "8 experts"), steps=150, cheap_steps=0, looks=3, tests=64, seeds=1
)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; then one for each design and seed."""
    cheap: list[Record] = [{"design": "8 experts", "steps": config.cheap_steps, "seed": 0}]
    return (cheap if config.cheap_steps else []) + [
        {"design": design, "steps": config.steps, "seed": seed}
        for design in config.designs
        for seed in range(config.seeds)
    ]


def shape(config: Config, design: str) -> TransformerShape:
    """The shape of a decoder of this design."""
    of = DESIGNS[design]
    return TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=round(4 * config.d_model * of.width),
        vocab=len(data.VOCABULARY),
        context=data.CONTEXT,
        biases="none",
        experts=of.experts,
        chosen=of.chosen,
    )


def step_flops(config: Config, design: str) -> int:
    """Operations of one step: matrix products, with the scores that the mask allows."""
    pairs = operations.needed_pairs(config.tokens)
    bill = operations.training(shape(config, design), tokens=config.tokens, pairs=pairs)
    return config.batch * sum(bill.values())


def build(config: Config, design: str, seed: int) -> Decoder:
    """The untrained model of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder(shape(config, design))


def loads(model: Decoder) -> dict[str, float]:
    """How the experts share the characters of the last forward pass; nothing without experts."""
    shares = [layer.routing.load for layer in experts.experts_of(model)]
    if not shares:
        return {}
    load = torch.stack(shares)
    dead = load < 0.1 / load.shape[1]
    return {"largest": load.amax(dim=1).mean().item(), "dead": dead.float().mean().item()}


def trained(
    config: Config, design: str, *, steps: int, seed: int, looks: int
) -> tuple[Decoder, list[Record]]:
    """A decoder of this design that has learned, and its records along the way."""
    model = build(config, design, seed)
    weight = config.balance if DESIGNS[design].balanced else 0.0
    draw = data.language_batches("validation", batch=config.tests, context=config.tokens)
    text = draw(torch.Generator().manual_seed(0))  # the same for every model

    def loss(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
        nats = F.cross_entropy(model(batch[0]).mT, batch[1])
        return nats + weight * experts.balance(model) if weight else nats

    records = train.train(
        model,
        data.language_batches("train", batch=config.batch, context=config.tokens),
        loss,
        recipe=train.Recipe(
            steps=steps,
            learning_rate=config.learning_rate,
            warmup_steps=max(1, steps // 10),
            seed=seed,
            record_every=max(1, steps // looks),
        ),
        evaluate=lambda model: {"bits": bits(model, text).item()} | loads(model),
    )
    return model.eval(), records


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character and the experts' load, at several steps of the training."""
    design, steps = point["design"], point["steps"]
    looks = 1 if steps == config.cheap_steps else config.looks
    _, records = trained(config, design, steps=steps, seed=point["seed"], looks=looks)
    of = shape(config, design)
    sizes = {
        "parameters": sum(parameters.decoder(of).values()),
        "active": sum(parameters.active(of).values()),
    }
    return [
        sizes
        | {"step": row["step"], "flops": float(row["step"] * step_flops(config, design))}
        | {name: row.get(name) for name in ("bits", "largest", "dead")}
        for row in records
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def last(results: Results) -> Results:
    """The records at the end of the whole trainings."""
    steps = max(results.column("steps").tolist())
    return results.where(steps=steps, step=steps)


def sooner(results: Results, design: str, seed: int) -> float | None:
    """How many times fewer steps the design took to the loss at which "one" ended; None if never.

    Read off between the records, at a rate that had not yet decayed: what a schedule of just that
    length would have given is lower still.
    """
    goal = last(results).where(design="one", seed=seed).column("bits")[0]
    runs = results.where(design=design, seed=seed, steps=max(results.column("steps").tolist()))
    steps, losses = runs.column("step").astype(float), runs.column("bits")
    if losses.min() > goal:
        return None
    falling = np.minimum.accumulate(losses)
    return float(steps[-1] / np.interp(-goal, -falling, steps))


def findings(results: Results) -> dict[str, str]:
    """What the text says: sizes, bits, gains over one feed-forward part, load of the experts."""
    ends = last(results)
    seeds = sorted(set(ends.column("seed").tolist()))
    made = [design for design in DESIGNS if len(ends.where(design=design))]
    found = {"seeds": str(len(seeds)), "steps": f"{max(ends.column('steps').tolist()):,}"}
    found["step_tokens"] = f"{FULL.batch * FULL.tokens:,}"
    one = ends.where(design="one")
    for design in made:
        runs, name = ends.where(design=design), slug(design)
        first = runs.records()[0]
        found[f"{name}_parameters"] = f"{first['parameters']:,}"
        found[f"{name}_active"] = f"{first['active']:,}"
        found[f"{name}_times_parameters"] = (
            f"{first['parameters'] / one.column('parameters')[0]:.1f}"
        )
        found[f"{name}_times_flops"] = f"{first['flops'] / one.column('flops')[0]:.2f}"
        row = runs.summary("bits", by="design")[0]
        found[f"{name}_bits"] = wording.of_runs(row)
        if design != "one" and len(seeds) > 1:
            gain = paired_interval(one.column("bits"), runs.column("bits"))
            found[f"{name}_gain"] = wording.with_bounds(gain.value, gain.low, gain.high, digits=3)
        speeds = [sooner(results, design, seed) for seed in seeds]
        if design != "one" and None not in speeds:
            found[f"{name}_sooner"] = f"{sum(speeds) / len(speeds):.1f}"
        if DESIGNS[design].experts:
            for value in ("largest", "dead"):
                row = runs.summary(value, by="design")[0]
                found[f"{name}_{value}"] = wording.of_runs(row, digits=0, share=True)
    return found | _share_of_large(ends)


def _share_of_large(ends: Results) -> dict[str, str]:
    """Of what one part as large as 8 gains, the share that each design with experts has."""
    means = {row["design"]: row["mean"] for row in ends.summary("bits", by="design")}
    large = means["one"] - means["one as large as 8"] if "one as large as 8" in means else 0
    if large <= 0:
        return {}
    return {
        f"{slug(design)}_share": wording.percent((means["one"] - mean) / large)
        for design, mean in means.items()
        if DESIGNS[design].experts
    }


def slug(design: str) -> str:
    """The design's name in a finding's."""
    return design.replace(",", "").replace(" ", "_")


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_experts

    results.main(loss_vs_experts)
