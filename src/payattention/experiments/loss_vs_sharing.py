"""What does it cost that all layers are the same?

Small decoders read Shakespeare for equally many steps, with the same batches: four blocks, each
with weights of its own; one block that is applied four times (`shared`); such a block that is twice
as wide, and so has the parameters of four; and one block that is applied once. And the first with
an output that is the table of the tokens' vectors (`tied`). Counted are parameters, and the matrix
products of a training step with the scores that the mask allows; sharing takes the first off and
leaves the second. Measured are bits a character of the validation plays, as in `loss_vs_experts`,
and the time of a training step, of all designs in turn. The rate of learning is that of
`loss_vs_flops` for the width.

Sources: Lan et al. 2019, ALBERT (arXiv:1909.11942), for one block; Dehghani et al. 2018
(arXiv:1807.03819) for the same as a recurrence in depth; Press and Wolf 2016 (arXiv:1608.05859)
for the tied output. The vectors of the tokens start differently there, as `transformer` says.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, train, wording
from payattention import measure as clock
from payattention.cost import operations, parameters
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import bits
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"bits": 0.05, "seconds": None}
DESIGNS = {
    "unshared": {},
    "shared": {"shared": True},
    "shared and wide": {"shared": True, "width": 2},
    "one layer": {"layers": 1},
    "unshared, tied": {"tied": True},
}


@dataclass(frozen=True)
class Config:
    """Sizes of the models, how they learn, and how they are tested and timed."""

    designs: tuple[str, ...] = tuple(DESIGNS)
    layers: int = 4
    d_model: int = 48
    heads: int = 4
    tokens: int = 64
    batch: int = 16
    steps: int = 1200
    cheap_steps: int = 20
    tests: int = 256
    repeats: int = 9
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, designs=("unshared", "shared"), steps=120, cheap_steps=0, tests=64, repeats=3, seeds=1
)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; the clock; then a training for each design and seed."""
    cheap: list[Record] = [{"design": "shared", "steps": config.cheap_steps, "seed": 0}]
    return [
        *(cheap if config.cheap_steps else []),
        {"task": "time"},
        *(
            {"design": design, "steps": config.steps, "seed": seed}
            for design in config.designs
            for seed in range(config.seeds)
        ),
    ]


def shape(config: Config, design: str) -> TransformerShape:
    """The shape of a decoder of this design; twice the width has twice the heads."""
    of = DESIGNS[design]
    wider = of.get("width", 1)
    return TransformerShape(
        layers=of.get("layers", config.layers),
        d_model=wider * config.d_model,
        heads=wider * config.heads,
        kv_heads=wider * config.heads,
        d_ff=4 * wider * config.d_model,
        vocab=len(data.VOCABULARY),
        context=data.CONTEXT,
        biases="none",
        tied=of.get("tied", False),
        shared=of.get("shared", False),
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


def nats(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """What is trained for."""
    return F.cross_entropy(model(batch[0]).mT, batch[1])


def measure(config: Config, point: Record) -> list[Record]:
    """Sizes and bits of one training, or the seconds of a step of every design."""
    if point.get("task") == "time":
        return times(config)
    design, steps = point["design"], point["steps"]
    model = build(config, design, point["seed"])
    size = loss_vs_flops.Size(model.shape.layers, model.shape.d_model)
    train.train(
        model,
        data.language_batches("train", batch=config.batch, context=config.tokens),
        nats,
        recipe=train.Recipe(
            steps=steps,
            learning_rate=loss_vs_flops.rate(loss_vs_flops.FULL, size, steps),
            warmup_steps=max(1, steps // 10),
            seed=point["seed"],
            record_every=steps,
        ),
    )
    draw = data.language_batches("validation", batch=config.tests, context=config.tokens)
    with torch.no_grad():
        loss = bits(model.eval(), draw(torch.Generator().manual_seed(0))).item()
    bill = parameters.decoder(shape(config, design))
    return [
        {
            "parameters": sum(bill.values()),
            "step_flops": step_flops(config, design),
            "bits": loss,
        }
    ]


def times(config: Config) -> list[Record]:
    """Seconds of a training step of each design in each round."""
    batch = data.language_batches("train", batch=config.batch, context=config.tokens)(
        torch.Generator().manual_seed(0)
    )
    steps = {design: _step(build(config, design, 0), batch) for design in config.designs}
    measured = clock.compare(steps, repeats=config.repeats, warmup=2)
    return [
        {"timed": design, "repeat": repeat, "seconds": seconds}
        for design, all_seconds in measured.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def _step(model: Decoder, batch: tuple[Tensor, Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        nats(model, batch).backward()
        optimizer.step()

    return step


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: sizes, times and bits of each design, each next to the unshared."""
    trainings = [row for row in results.records() if row["bits"] is not None]
    most = max(row["steps"] for row in trainings)
    ends = Results.from_records(results.question, trainings).where(steps=most)
    base = ends.where(design="unshared")
    found = {"seeds": str(len(base)), "steps": f"{most:,}", "layers": str(FULL.layers)}
    for row in ends.summary("bits", by=("design", "parameters", "step_flops")):
        name = row["design"].replace(",", "").replace(" ", "_")
        runs = ends.where(design=row["design"])
        seconds = results.where(timed=row["design"]).column("seconds")
        ratios = seconds / results.where(timed="unshared").column("seconds")
        found |= {
            f"{name}_parameters": f"{row['parameters']:,}",
            f"{name}_parameters_share": wording.percent(
                row["parameters"] / base.column("parameters")[0]
            ),
            f"{name}_times_flops": f"{row['step_flops'] / base.column('step_flops')[0]:.2f}",
            f"{name}_times_seconds": f"{statistics.median(ratios.tolist()):.2f}",
            f"{name}_bits": wording.of_runs(row),
        }
        if row["design"] != "unshared" and row["runs"] > 1:
            by = paired_interval(runs.column("bits"), base.column("bits"))
            found[f"{name}_lost"] = wording.with_bounds(by.value, by.low, by.high, digits=3)
        if row["design"] != "unshared" and len(ratios) > 1:
            by = clock.interval(ratios.tolist())
            found[f"{name}_seconds_bounds"] = wording.with_bounds(by.value, by.low, by.high)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_sharing

    results.main(loss_vs_sharing)
