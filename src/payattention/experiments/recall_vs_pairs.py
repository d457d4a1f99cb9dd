"""How many pairs can a state of fixed size hold?

First without training: unit vectors of `width` dimensions as keys and values, summed up as outer
products into one matrix, against softmax attention over the stored pairs. Then trained: readers of
pairs of symbols with a state of d_head x d_head numbers, beside readers of the same parameters that
keep every pair, and an LSTM, whose state is a vector.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from payattention import associative_memory, recurrence, train, wording
from payattention.associative_memory import PairReader
from payattention.records import Record, Results
from payattention.recurrence import Recurrent
from payattention.shape import RecurrentShape
from payattention.tasks import PairRecall

TOLERANCE = {"recalled": 1e-6}
UNTRAINED = {
    "state": associative_memory.recalled_by_state,
    "attention": associative_memory.recalled_by_attention,
}


@dataclass(frozen=True)
class Config:
    """What is measured: pairs, widths, training steps, seeds."""

    width: int = 64
    untrained_pairs: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    untrained_seeds: int = 10
    pairs: tuple[int, ...] = (4, 8, 16, 32, 64)
    d_heads: tuple[int, ...] = (4, 8, 16, 32)
    lstm_d_hidden: int = 64
    steps: int = 1000
    lstm_steps: int = 3000
    lstm_pairs: tuple[int, ...] = (2, 4, 8)
    batch: int = 64
    learning_rate: float = 5e-3
    tests: int = 2000
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, untrained_seeds=3, pairs=(4, 16, 64), d_heads=(8,), steps=200, lstm_pairs=())


class LSTMReader(nn.Module):
    """A reader of pairs whose memory is the state of an LSTM: two vectors of d_hidden numbers."""

    def __init__(self, task: PairRecall, d_hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        d_embedding = 32
        self.blank = task.value_symbols  # stands where the value is asked for
        self.key_embedding = nn.Embedding(task.key_symbols, d_embedding)
        self.value_embedding = nn.Embedding(task.value_symbols + 1, d_embedding)
        self.layer = Recurrent(RecurrentShape("lstm", d_input=2 * d_embedding, d_hidden=d_hidden))
        bias = recurrence.memory_gate_for(2 * task.key_symbols, d_hidden, generator)
        recurrence.set_memory_gate(self.layer, bias)
        self.output = nn.Linear(d_hidden, task.value_symbols)

    def forward(self, keys, values, asked):
        """Logits of the value that was paired with `asked`."""
        keys = torch.cat([keys, asked[:, None]], dim=1)
        values = F.pad(values, (0, 1), value=self.blank)
        x = torch.cat([self.key_embedding(keys), self.value_embedding(values)], dim=-1)
        return self.output(self.layer(x)[:, -1])


def points(config: Config) -> list[Record]:
    """The untrained memories of all seeds first; then one training each."""
    untrained = [{"trained": False, "seed": seed} for seed in range(config.untrained_seeds)]
    sizes = [("state", d) for d in config.d_heads]
    sizes += [("attention", d) for d in sorted(config.d_heads)[:2]]
    trained = [
        {"memory": memory, "trained": True, "size": size, "pairs": pairs, "seed": seed}
        for memory, size in sizes
        for pairs in config.pairs
        for seed in range(config.seeds)
    ]
    lstm = [
        {
            "memory": "lstm",
            "trained": True,
            "size": config.lstm_d_hidden,
            "pairs": pairs,
            "seed": seed,
        }
        for pairs in config.lstm_pairs
        for seed in range(config.seeds)
    ]
    return untrained + trained + lstm


def measure(config: Config, point: Record) -> list[Record]:
    """Share of pairs recalled, by number of pairs."""
    return _trained(config, point) if point["trained"] else _untrained(config, point)


def _untrained(config: Config, point: Record) -> list[Record]:
    generator = torch.Generator().manual_seed(point["seed"])
    records = []
    for pairs in config.untrained_pairs:
        keys = associative_memory.unit_vectors(pairs, config.width, generator)
        values = associative_memory.unit_vectors(pairs, config.width, generator)
        for memory, recall in UNTRAINED.items():
            sizes = {"memory": memory, "size": config.width, "pairs": pairs}
            records.append(sizes | {"recalled": recall(keys, values)})
    return records


def _trained(config: Config, point: Record) -> list[Record]:
    task = PairRecall(pairs=point["pairs"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = build(config, point, task)
    is_lstm = point["memory"] == "lstm"
    train.train(
        model,
        lambda generator: task.draw(config.batch, generator),
        lambda model, batch: F.cross_entropy(model(*batch[:3]), batch[3]),
        recipe=train.Recipe(
            steps=config.lstm_steps if is_lstm else config.steps,
            learning_rate=config.learning_rate,
            decay="cosine",
            seed=point["seed"],
        ),
    )
    fresh = torch.Generator().manual_seed(10_000 + point["seed"])
    keys, values, asked, answer = task.draw(config.tests, fresh)
    with torch.no_grad():
        right = model(keys, values, asked).argmax(dim=-1) == answer
    return [{"recalled": right.float().mean().item(), "state_numbers": state_numbers(point)}]


def build(config: Config, point: Record, task: PairRecall) -> nn.Module:
    """The model of the point."""
    if point["memory"] == "lstm":
        generator = torch.Generator().manual_seed(point["seed"])
        return LSTMReader(task, point["size"], generator)
    return PairReader(
        key_symbols=task.key_symbols,
        value_symbols=task.value_symbols,
        d_head=point["size"],
        softmax=point["memory"] == "attention",
    )


def state_numbers(point: Record) -> int:
    """Numbers that the memory keeps once it has read all pairs."""
    size = point["size"]
    return {"state": size**2, "lstm": 2 * size, "attention": 2 * size * point["pairs"]}[
        point["memory"]
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: recalled shares by number of pairs."""
    found = {
        "seeds": str(len(set(results.where(trained=True).column("seed")))),
        "lstm_size": str(FULL.lstm_d_hidden),
        "steps": f"{FULL.steps:,}",
        "lstm_steps": f"{FULL.lstm_steps:,}",
    }
    untrained = results.where(trained=False)
    found["untrained_seeds"] = str(len(set(untrained.column("seed"))))
    for row in untrained.summary("recalled", by=["memory", "pairs"]):
        found[f"untrained_{row['memory']}_{row['pairs']}"] = wording.percent(row["mean"])
    for row in results.where(trained=True).summary("recalled", by=["memory", "size", "pairs"]):
        name = f"{row['memory']}_{row['size']}_{row['pairs']}"
        found[name] = wording.percent(row["mean"])
        found[f"{name}_numbers"] = f"{state_numbers(row):,}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import recall_vs_pairs

    results.main(recall_vs_pairs)
