"""Can a model copy what it has read once: with one layer of attention, with two?

A stretch of different symbols, a random number of others, the same stretch again
(`tasks.Repeat`). The model is trained and judged on the second copy alone, from its second symbol
on, where the next symbol is certain. One layer is also trained with the copies always equally far
apart, which it can learn by position. In the trained models of two layers each head is struck out
in turn, and each pair of heads of one layer, without training again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import induction, train, wording
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.tasks import Repeat
from payattention.transformer import Decoder

TOLERANCE = {"right": 0.02, "previous": 0.02, "induction": 0.02, "without": 0.02}


@dataclass(frozen=True)
class Config:
    """What is trained, and for how long."""

    stretch: int = 24
    spare: int = 16
    symbols: int = 64
    d_model: int = 64
    heads: int = 2
    steps: int = 1000
    fixed_steps: int = 300
    warmup_steps: int = 50
    batch: int = 32
    learning_rate: float = 2e-3
    tests: int = 500
    every: int = 50
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, stretch=12, spare=8, steps=450, tests=200, seeds=1)


def points(config: Config) -> list[Record]:
    """One training each; the cheapest, one layer with copies at a fixed distance, first."""
    kinds = [(1, True), (1, False), (2, False)]
    return [
        {"layers": layers, "fixed": fixed, "seed": seed}
        for layers, fixed in kinds
        for seed in range(config.seeds)
    ]


def trained(
    config: Config,
    point: Record,
    *,
    on_step: Callable[[float, list[Record]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[Decoder, list[Record]]:
    """The model after its training, and the share of symbols that it got right on the way."""
    task = task_of(config, point)
    shape = TransformerShape(
        layers=point["layers"],
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=2 * config.d_model,
        vocab=config.symbols,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Decoder(shape)
    held_out = task.draw(config.tests, torch.Generator().manual_seed(10_000 + point["seed"]))[0]

    def loss(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
        logits, targets = second_copy(model, batch[0], task)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    records = train.train(
        model,
        lambda generator: task.draw(config.batch, generator),
        loss,
        recipe=train.Recipe(
            steps=config.fixed_steps if point["fixed"] else config.steps,
            learning_rate=config.learning_rate,
            warmup_steps=min(config.warmup_steps, config.fixed_steps),
            seed=point["seed"],
            record_every=config.every,
        ),
        evaluate=lambda model: {"right": share_right(model, held_out, task)},
        on_step=on_step,
        stop=stop,
    )
    return model, records


def task_of(config: Config, point: Record) -> Repeat:
    """The task of the point."""
    return Repeat(config.stretch, config.spare, config.symbols, fixed=point["fixed"])


def second_copy(model: Decoder, tokens: Tensor, task: Repeat) -> tuple[Tensor, Tensor]:
    """Logits and true symbols from the second symbol of the second copy on."""
    last = task.stretch - 1
    return model(tokens[:, :-1])[:, -last:], tokens[:, -last:]


def share_right(model: Decoder, tokens: Tensor, task: Repeat) -> float:
    """Share of the second copy's symbols that the model gives most weight."""
    logits, targets = second_copy(model, tokens, task)
    return (logits.argmax(dim=-1) == targets).float().mean().item()


def measure(config: Config, point: Record) -> list[Record]:
    """Share right during the training; for two layers, what each head does and is worth."""
    model, records = trained(config, point)
    course = [{"step": row["step"], "right": row["right"]} for row in records]
    return course if point["layers"] == 1 else course + heads(config, point, model)


@torch.no_grad()
def heads(config: Config, point: Record, model: Decoder) -> list[Record]:
    """For each head its scores, and what the model gets right without it; then by whole layers."""
    task = task_of(config, point)
    fresh = torch.Generator().manual_seed(20_000 + point["seed"])
    tokens, distance = task.draw(config.tests, fresh)
    weights = model.attention_weights(tokens[:, :-1])
    previous = induction.previous_token_scores(weights)
    copying = induction.induction_scores(weights, distance, last=task.stretch - 1)
    found = []
    for layer in range(model.shape.layers):
        for head in range(model.shape.heads):
            with induction.without_heads(model, layer, [head]):
                without = share_right(model, tokens, task)
            scores = {
                "previous": previous[layer, head].item(),
                "induction": copying[layer, head].item(),
            }
            found.append({"layer": layer, "head": head, "without": without} | scores)
        with induction.without_heads(model, layer, range(model.shape.heads)):
            found.append({"layer": layer, "without": share_right(model, tokens, task)})
    return found


def train_live(
    parameters: dict[str, Any],
    *,
    on_step: Callable[[float, list[Record]], None],
    stop: Callable[[], bool],
) -> list[Record]:
    """Records of one training: for a panel.

    `parameters` holds layers, fixed, steps and seed.
    """
    point = {name: parameters[name] for name in ("layers", "fixed", "seed")}
    steps = parameters["steps"]
    config = replace(LIVE, steps=steps, fixed_steps=steps, warmup_steps=min(50, steps))
    return trained(config, point, on_step=on_step, stop=stop)[1]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def course(results: Results) -> Results:
    """The records of the trainings' course, with the kind of model in one column."""
    names = {(1, True): "one layer, fixed", (1, False): "one layer", (2, False): "two layers"}
    rows = [
        {
            "model": names[row["layers"], row["fixed"]],
            "seed": row["seed"],
            "step": row["step"],
            "right": row["right"],
        }
        for row in results.records()
        if row["step"] is not None
    ]
    return Results.from_records(results.question, rows)


def final(results: Results, layers: int, *, fixed: bool) -> list[float]:
    """What each training got right at its end."""
    chosen = [row for row in results.records() if row["step"] is not None]
    chosen = [row for row in chosen if (row["layers"], row["fixed"]) == (layers, fixed)]
    last = max(row["step"] for row in chosen)
    return [row["right"] for row in chosen if row["step"] == last]


def findings(results: Results) -> dict[str, str]:
    """What the text says: shares right, when two layers learn it, and what striking out does."""
    rows = results.records()
    single = [row for row in rows if row.get("head") is not None]
    whole = [row for row in rows if row.get("without") is not None and row.get("head") is None]
    seeds = sorted({row["seed"] for row in rows})
    learned = [_first_step(rows, seed) for seed in seeds]

    def without(rows: list[Record], layer: int) -> list[float]:
        return [row["without"] for row in rows if row["layer"] == layer]

    best = [
        max((row for row in single if row["layer"] == 0 and row["seed"] == seed), key=previous)
        for seed in seeds
    ]
    looks_back = [row["induction"] for row in single if row["layer"] == 1]
    return {
        "seeds": str(len(learned)),
        "stretch": str(FULL.stretch),
        "steps": f"{FULL.steps:,}",
        "fixed_steps": str(FULL.fixed_steps),
        "symbols": str(FULL.symbols),
        # to name the next symbol, one looks behind the earlier copy of this one
        "fixed_back": str(FULL.stretch + FULL.spare - FULL.spare // 2 - 1),
        "two_layers": wording.percent(min(final(results, 2, fixed=False)), digits=1),
        "one_layer": wording.percent(max(final(results, 1, fixed=False)), digits=1),
        "one_layer_fixed": wording.percent(min(final(results, 1, fixed=True)), digits=1),
        "chance": wording.percent(1 / FULL.symbols, digits=1),
        "not_yet_used": wording.percent(_by_elimination(FULL.stretch), digits=0),
        "learned_from": str(min(learned)),
        "learned_to": str(max(learned)),
        "previous_least": wording.percent(min(map(previous, best))),
        "previous_most": wording.percent(max(map(previous, best))),
        "induction_least": wording.percent(min(looks_back)),
        "induction_most": wording.percent(max(looks_back)),
        "without_one_late_least": wording.percent(min(without(single, 1))),
        "without_one_late_most": wording.percent(max(without(single, 1))),
        "without_both_late": wording.percent(max(without(whole, 1)), digits=1),
        "without_previous_least": wording.percent(min(row["without"] for row in best)),
        "without_previous_most": wording.percent(max(row["without"] for row in best)),
        "without_both_early": wording.percent(max(without(whole, 0)), digits=1),
    }


def _first_step(rows: list[Record], seed: int) -> int:
    """The first step after which two layers get more than half right, or the last one."""
    seen = [r for r in rows if r["step"] is not None and (r["layers"], r["seed"]) == (2, seed)]
    return min((r["step"] for r in seen if r["right"] > 0.5), default=seen[-1]["step"])


def previous(row: Record) -> float:
    """How much of its attention the head gives to the token before."""
    return row["previous"]


def _by_elimination(stretch: int) -> float:
    """What one gets right who knows which symbols are still to come, and not their order."""
    return sum(1 / left for left in range(1, stretch)) / (stretch - 1)


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import induction_vs_layers

    results.main(induction_vs_layers)
