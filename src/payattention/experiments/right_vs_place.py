"""Is a fact found wherever it stands in a text, and however long the text is?

Facts, each a key with a value, are hidden in characters of Shakespeare, and the text ends with all
keys (`tasks.Needle`). A Transformer of two layers with rotary positions is trained on texts of up
to `longest` tokens; the loss counts the answers alone. It is tested at every place of shorter and
longer texts on the last question, the longer ones also with positions squeezed into the trained
length.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.tasks import Needle
from payattention.transformer import Decoder

TOLERANCE = {"right": 0.03}


@dataclass(frozen=True)
class Config:
    """What is trained and where it is tested; `facts` are hidden in each text."""

    d_model: int = 64
    heads: int = 4
    facts: int = 8
    longest: int = 64
    steps: int = 1000
    cheap_steps: int = 60
    batch: int = 32
    learning_rate: float = 2e-3
    tested: tuple[int, ...] = (32, 64, 128, 256, 512)
    places: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    tests: int = 300
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, longest=32, steps=500, tested=(32, 64, 128), tests=100, seeds=1)


def points(config: Config) -> list[Record]:
    """A short training that is not meant to succeed, cheap to repeat; then one for each seed."""
    return [
        {"steps": steps, "seed": seed}
        for steps, seeds in ((config.cheap_steps, 1), (config.steps, config.seeds))
        for seed in range(seeds)
    ]


def task_of(config: Config, split: str) -> Needle:
    """The task, in characters of one split of Shakespeare."""
    hay = data.encode(data.shakespeare(split))
    return Needle(hay, text_symbols=len(data.VOCABULARY), facts=config.facts)


def trained(config: Config, point: Record) -> tuple[Decoder, Needle]:
    """The model after its training, and the task it was trained on."""
    task = task_of(config, "train")
    shape = TransformerShape(
        layers=2,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=2 * config.d_model,
        vocab=task.vocab,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Decoder(shape)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        tokens = torch.randint(3 * config.facts, config.longest + 1, (), generator=generator).item()
        return task.draw(config.batch, generator, tokens=tokens)

    train.train(
        model,
        draw,
        lambda model, batch: F.cross_entropy(
            answers(model, batch[0], task).flatten(0, 1), batch[1].flatten()
        ),
        recipe=train.Recipe(
            steps=point["steps"],
            learning_rate=config.learning_rate,
            warmup_steps=min(50, point["steps"]),
            seed=point["seed"],
        ),
    )
    return model, task


def answers(model: Decoder, ids: Tensor, task: Needle) -> Tensor:
    """Logits of the values at each question, shape (batch, facts, values)."""
    return model(ids)[:, -task.facts :, -task.values :]


def measure(config: Config, point: Record) -> list[Record]:
    """Share of right answers by length and place, positions as they are and squeezed."""
    model, _ = trained(config, point)
    task = task_of(config, "test")
    with torch.no_grad():
        return tested(config, point, model, task)


def tested(config: Config, point: Record, model: Decoder, task: Needle) -> list[Record]:
    """The records of a trained model."""
    generator = torch.Generator().manual_seed(10_000 + point["seed"])
    records = []
    # the training that is there to be repeated is tested on short texts alone, to spare time
    cheap = point["steps"] == config.cheap_steps
    for tokens in config.tested[:1] if cheap else config.tested:
        for squeezed in (False, True) if tokens > config.longest else (False,):
            model.squeeze(tokens / config.longest if squeezed else 1.0)
            for place in config.places:
                ids, answer = task.draw(config.tests, generator, tokens=tokens, place=place)
                found = [answers(model, part, task)[:, -1] for part in ids.split(100)]
                right = (torch.cat(found).argmax(-1) == answer[:, -1]).float().mean().item()
                records.append(
                    {"tokens": tokens, "place": place, "squeezed": squeezed, "right": right}
                )
    return records


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def grid(results: Results, *, squeezed: bool) -> tuple[list[int], list[float], list[list[float]]]:
    """Lengths, places, and the mean share right for each length (a row) and place (a column).

    With `squeezed`, texts up to the trained length stand as they are.
    """
    steps = max(results.column("steps"))
    rows = [row for row in results.records() if row["steps"] == steps]
    kept: dict[tuple[int, float], list[float]] = {}
    longer = {row["tokens"] for row in rows if row["squeezed"]}
    for row in rows:
        if row["squeezed"] == (squeezed and row["tokens"] in longer):
            kept.setdefault((row["tokens"], row["place"]), []).append(row["right"])
    lengths = sorted({tokens for tokens, _ in kept})
    places = sorted({place for _, place in kept})
    means = [[sum(kept[n, p]) / len(kept[n, p]) for p in places] for n in lengths]
    return lengths, places, means


def findings(results: Results) -> dict[str, str]:
    """What the text says: chance, and the share right by length: first, last and worst place."""
    found = {
        "seeds": str(FULL.seeds),
        "facts": str(FULL.facts),
        "longest": str(FULL.longest),
        "times": str(max(FULL.tested) // FULL.longest),
        "steps": f"{FULL.steps:,}",
        "chance": wording.percent(1 / Needle.values),
        "by_guessing_a_fact": wording.percent(1 / FULL.facts),
    }
    for squeezed in (False, True):
        lengths, _, means = grid(results, squeezed=squeezed)
        for tokens, row in zip(lengths, means, strict=True):
            name = f"{tokens}_squeezed" if squeezed else str(tokens)
            found[f"first_{name}"] = wording.percent(row[0])
            found[f"middle_{name}"] = wording.percent(row[len(row) // 2])
            found[f"last_{name}"] = wording.percent(row[-1])
            found[f"worst_{name}"] = wording.percent(min(row))
            found[f"mean_{name}"] = wording.percent(sum(row) / len(row))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import right_vs_place

    results.main(right_vs_place)
