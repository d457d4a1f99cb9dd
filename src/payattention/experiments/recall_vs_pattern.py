"""What is recalled over a gap, by models that do not look everywhere?

A token that opens the text, noise, a symbol, a gap of noise, a question mark: which symbol was it?
Small Transformers of two layers, trained at the gap at which they are tested, differ in who looks
at whom: everybody, a window, the strided and the fixed pattern of Child et al. 2019; a window that
looks both ways, with and without the opening token as a global one, which looks at everybody and is
looked at; and linear attention, without a softmax. A training ends early once it recalls all.
"""

from collections import deque
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import linear_attention, train, wording
from payattention.patterns import CAUSAL, Global, Pattern, Window, causal_window, fixed, strided
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.tasks import Recall
from payattention.transformer import Decoder

TOLERANCE = {"recalled": 0.1, "pairs": 0, "steps": 60}
ENOUGH = 0.02


@dataclass(frozen=True)
class Config:
    """Which patterns are tried at which gaps; lengths, the model, and how it is trained."""

    ways: tuple[str, ...] = (
        "dense",
        "window",
        "strided",
        "fixed",
        "both ways",
        "global",
        "no softmax",
    )
    gaps: tuple[int, ...] = (8, 24, 56, 112)
    tokens: int = 128
    size: int = 16
    layers: int = 2
    d_model: int = 32
    steps: int = 600
    batch: int = 32
    learning_rate: float = 3e-3
    tests: int = 1000
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, ways=("dense", "window"), gaps=(8, 40), tokens=64, steps=250, seeds=1)


def pattern(config: Config, way: str) -> Pattern:
    """Who looks at whom."""
    return {
        "dense": CAUSAL,
        "window": causal_window(config.size),
        "strided": strided(config.size),
        "fixed": fixed(config.size),
        "both ways": Window(config.size),
        "global": Window(config.size) | Global(1),
        "no softmax": CAUSAL,
    }[way]


def points(config: Config) -> list[Record]:
    """A training each, short gaps first."""
    return [
        {"gap": gap, "way": way, "seed": seed}
        for gap in config.gaps
        for way in config.ways
        for seed in range(config.seeds)
    ]


def build(config: Config, way: str, seed: int) -> Decoder:
    """The untrained model of the seed."""
    shape = TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=2,
        kv_heads=2,
        d_ff=4 * config.d_model,
        vocab=Recall(0).vocab + 1,
        biases="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Decoder(shape)
    return linear_attention.use(model) if way == "no softmax" else model


def texts(
    config: Config, gap: int, batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Texts of `config.tokens` tokens that end with the task, and the symbols asked for."""
    task = Recall(gap)
    asked, answers = task.draw(batch, generator)
    before = config.tokens - asked.shape[1] - 1
    noise = torch.randint(task.distractors, (batch, before), generator=generator)
    opening = torch.full((batch, 1), task.vocab)
    return torch.cat([opening, task.symbols + noise, asked], dim=1), answers


def measure(config: Config, point: Record) -> list[Record]:
    """The share of symbols recalled, the steps that it took, and the pairs looked at."""
    mask, model = pattern(config, point["way"]), build(config, point["way"], point["seed"])
    losses: deque[float] = deque(maxlen=20)
    recipe = train.Recipe(
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.steps // 10,
        decay="constant",
        seed=point["seed"],
        record_every=1,
    )
    records = train.train(
        model,
        lambda generator: texts(config, point["gap"], config.batch, generator),
        lambda model, batch: F.cross_entropy(model.following(batch[0], mask), batch[1]),
        recipe=recipe,
        on_step=lambda share, records: losses.append(records[-1]["loss"]),
        stop=lambda: len(losses) == losses.maxlen and max(losses) < ENOUGH,
    )
    generator = torch.Generator().manual_seed(10_000 + point["seed"])
    ids, answers = texts(config, point["gap"], config.tests, generator)
    with torch.no_grad():
        found = torch.cat([model.following(part, mask) for part in ids.split(100)])
    right = (found.argmax(dim=-1) == answers).float().mean().item()
    return [{"recalled": right, "pairs": mask.pairs(config.tokens), "steps": len(records)}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def recalled_up_to(results: Results, way: str) -> int | None:
    """The longest gap up to which every training recalls nine in ten, and at all gaps before."""
    longest = None
    for gap in sorted(set(results.where(way=way).column("gap").tolist())):
        if results.where(way=way, gap=gap).column("recalled").min() < 0.9:
            break
        longest = gap
    return longest


def findings(results: Results) -> dict[str, str]:
    """What the text says: how far each way recalls, how much at each gap, what it looks at."""
    found = {
        "size": str(FULL.size),
        "tokens": str(FULL.tokens),
        "reach": str(FULL.layers * (FULL.size - 1)),
        "seeds": str(FULL.seeds),
        "chance": wording.percent(1 / Recall(0).symbols, digits=1),
        "steps": str(FULL.steps),
        "square": f"{FULL.tokens**2:,}",
    }
    for way in dict.fromkeys(results.column("way").tolist()):
        key, rows = way.replace(" ", "_"), results.where(way=way)
        longest = recalled_up_to(results, way)
        found[f"{key}_up_to"] = "no gap" if longest is None else str(longest)
        found[f"{key}_pairs"] = f"{int(rows.column('pairs')[0]):,}"
        for row in rows.summary("recalled", by="gap"):
            found[f"{key}_{row['gap']}"] = wording.percent(row["mean"])
        for row in rows.summary("steps", by="gap"):
            found[f"{key}_{row['gap']}_steps"] = f"{row['mean']:.0f}"
        found[f"{key}_worst"] = wording.percent(min(rows.column("recalled").tolist()))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import recall_vs_pattern

    results.main(recall_vs_pattern)
