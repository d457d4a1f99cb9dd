"""What is recalled after a gap of 4 to 512 tokens, by models of about equally many parameters?

One symbol, a gap of distractors, a question mark; the model is trained at the gap at which it is
tested. Every model gets the same steps and batch; training ends early once the loss is near zero.
Up to a gap of 32 each model that is sensitive to it is trained at three learning rates and judged
by its best; at longer gaps it is trained at the rate that was best for it at 32. The recurrent
layers appear as PyTorch initialises them and, where they have one, with the memory gate set for the
longest gap. As initialised they have failed well before it; to spare time, they are trained at
every other of the long gaps.
"""

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from payattention import recurrence, train, wording
from payattention.attention import CausalAttention
from payattention.convolution import CausalConvolution, receptive_field
from payattention.records import Record, Results
from payattention.recurrence import Recurrent
from payattention.shape import RecurrentShape
from payattention.tasks import Recall

WIDTHS = {
    "rnn": 70,
    "lstm": 32,
    "gru": 38,
    "lstm_open": 32,
    "gru_open": 38,
    "convolution": 20,
    "attention": 39,
}
"""Width of each model, so that all have about 7,000 parameters."""
RATES = {
    "rnn": 1e-2,
    "lstm": 3e-3,
    "gru": 1e-2,
    "lstm_open": 3e-3,
    "gru_open": 3e-3,
    "convolution": 3e-3,
    "attention": 1e-3,
}
"""Learning rate of each model beyond `tuned_up_to`: one that was best, or among the best, there."""
TUNED = ("rnn", "lstm", "gru", "attention")
"""Models whose recall hangs on the learning rate; the others recall all up to 32 at any."""
AS_THEY_COME = ("rnn", "lstm", "gru")
SPARED = 256
D_EMBEDDING = 16
DILATIONS = tuple(2**layer for layer in range(8))
TOLERANCE = {"recalled": 0.02, "parameters": 0, "steps": 20}


@dataclass(frozen=True)
class Config:
    """What is trained, and for how long."""

    models: tuple[str, ...] = tuple(WIDTHS)
    gaps: tuple[int, ...] = (4, 8, 16, 32, 64, 128, 256, 512)
    steps: int = 600
    batch: int = 32
    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    tuned_up_to: int = 32
    enough: float = 0.02
    tests: int = 1000
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL,
    models=("rnn", "lstm", "lstm_open", "attention"),
    gaps=(4, 16, 64),
    learning_rates=(3e-3,),
    steps=300,
    seeds=3,
)


class Reader(nn.Module):
    """Embeds the tokens, lets one layer read them, and names the symbol from the last output."""

    def __init__(self, name: str, task: Recall, generator: torch.Generator, longest: int) -> None:
        super().__init__()
        width = WIDTHS[name]
        cell, _, start = name.partition("_")
        if cell in recurrence.CELLS:
            self.embedding = nn.Embedding(task.vocab, D_EMBEDDING)
            shape = RecurrentShape(cell, d_input=D_EMBEDDING, d_hidden=width)
            self.layer = Recurrent(shape)
            if start == "open":
                bias = recurrence.memory_gate_for(longest, width, generator)
                recurrence.set_memory_gate(self.layer, bias)
        else:
            self.embedding = nn.Embedding(task.vocab, width)
            self.layer = (
                CausalAttention(width)
                if name == "attention"
                else CausalConvolution(width, kernel=2, dilations=DILATIONS)
            )
        self.output = nn.Linear(width, task.symbols)

    def forward(self, tokens):
        """Logits of the symbols, shape (batch, symbols)."""
        return self.output(self.layer(self.embedding(tokens))[:, -1])


def points(config: Config) -> list[Record]:
    """One training for each gap, model, learning rate and seed; short gaps first."""
    return [
        {"model": model, "gap": gap, "learning_rate": rate, "seed": seed}
        for gap in config.gaps
        for model in config.models
        if not (gap == SPARED and model in AS_THEY_COME)
        for rate in rates(config, model, gap)
        for seed in range(config.seeds)
    ]


def rates(config: Config, model: str, gap: int) -> tuple[float, ...]:
    """Learning rates to try: one where only one is configured, or the choice is made."""
    tried = len(config.learning_rates) > 1
    if tried and (gap > config.tuned_up_to or model not in TUNED):
        return (RATES[model],)
    return config.learning_rates


def measure(
    config: Config,
    point: Record,
    *,
    longest: int = max(FULL.gaps),
    on_step: Callable[[float, list[Record]], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Record]:
    """Share of fresh sequences whose symbol is named rightly after training.

    `longest` is the length in tokens for which open gates are set.
    """
    task = Recall(gap=point["gap"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        generator = torch.Generator().manual_seed(point["seed"])
        model = Reader(point["model"], task, generator, longest=longest)
    losses: deque[float] = deque(maxlen=10)

    def watch(share: float, records: list[Record]) -> None:
        losses.append(records[-1]["loss"])
        if on_step is not None:
            on_step(share, records)

    def enough() -> bool:
        learned = len(losses) == losses.maxlen and statistics.fmean(losses) < config.enough
        return learned or (stop is not None and stop())

    records = train.train(
        model,
        lambda generator: task.draw(config.batch, generator),
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        recipe=train.Recipe(
            steps=config.steps,
            learning_rate=point["learning_rate"],
            decay="constant",
            seed=point["seed"],
            record_every=1,
        ),
        on_step=watch,
        stop=enough,
    )
    tokens, answer = task.draw(config.tests, torch.Generator().manual_seed(10_000 + point["seed"]))
    with torch.no_grad():
        right = model(tokens).argmax(dim=-1) == answer
    return [
        {
            "recalled": right.float().mean().item(),
            "steps": len(records),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
    ]


def train_live(
    parameters: dict[str, Any],
    *,
    on_step: Callable[[float, list[Record]], None],
    stop: Callable[[], bool],
) -> list[Record]:
    """Records of one training, and behind its last step what it recalls: for a panel.

    `parameters` holds model, gap, learning_rate, steps and seed.
    """
    seen: list[Record] = []

    def watch(share: float, records: list[Record]) -> None:
        seen[:] = records
        on_step(share, records)

    point = {name: parameters[name] for name in ("model", "gap", "learning_rate", "seed")}
    config = replace(FULL, steps=parameters["steps"])
    (outcome,) = measure(config, point, on_step=watch, stop=stop)
    return [*seen[:-1], seen[-1] | {"recalled": outcome["recalled"]}] if seen else []


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def tuned(results: Results) -> Results:
    """The records of each model's best learning rate at each gap, by the mean over its runs."""
    rows = results.summary("recalled", by=["model", "gap", "learning_rate"])
    best: dict[tuple, Record] = {}
    for row in rows:
        place = row["model"], row["gap"]
        if place not in best or row["mean"] > best[place]["mean"]:
            best[place] = row
    kept = [
        record
        for record in results.records()
        if record["learning_rate"] == best[record["model"], record["gap"]]["learning_rate"]
    ]
    return Results.from_records(results.question, kept)


def longest_recalled(results: Results, model: str, *, share: float = 0.95) -> int:
    """The longest gap up to which the model recalls at least `share` at every gap, in every run."""
    longest = 0
    for gap in sorted(set(results.column("gap"))):
        if min(results.where(model=model, gap=gap).column("recalled")) < share:
            break
        longest = int(gap)
    return longest


def findings(results: Results) -> dict[str, str]:
    """What the text says: how far each model recalls, and the shares at some gaps."""
    sizes = results.column("parameters")
    results = tuned(results)
    found = {
        "chance": wording.percent(1 / Recall(gap=1).symbols, digits=1),
        "seeds": str(len(set(results.column("seed")))),
        "fewest_parameters": f"{int(min(sizes)):,}",
        "most_parameters": f"{int(max(sizes)):,}",
        "steps": str(FULL.steps),
        "batch": str(FULL.batch),
        "convolution_field": str(receptive_field(2, DILATIONS)),
    }
    for model in dict.fromkeys(results.column("model").tolist()):
        found[f"{model}_longest"] = str(longest_recalled(results, model))
        for row in results.where(model=model).summary("recalled", by="gap"):
            found[f"{model}_{row['gap']}"] = wording.percent(row["mean"])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import recall_vs_gap

    results.main(recall_vs_gap)
