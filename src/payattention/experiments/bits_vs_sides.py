"""What does the sight of both sides buy, and what does it cost?

Two small Transformers of one shape read Shakespeare. GPT names the next character at every place,
from what stands on its left. BERT gets stretches in which a share of the characters is hidden
behind a mask, and names these from both sides. All hidden characters are masked: Devlin et al. 2018
leave a tenth of them as they are and replace another tenth at random, for the sake of later tasks
in which no mask stands, and there are none here. A second GPT is told of as few characters as BERT,
in order to tell what sight gains from what a thin signal loses.

Each is judged on the same characters of plays that it has not read: on those that were hidden
during training's own game; on spans of hidden characters that grow; and as a writer, which has
nothing on the right. BERT writes by a mask behind the text, which it fills.
"""

import math
import statistics
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from payattention import data, generation, train, wording
from payattention.data import MASK
from payattention.generation import Sampler
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder, Encoder

MODELS = ("BERT", "GPT", "GPT, told as little")
PROMPT = "The king is "
TOLERANCE = {"bits": 0.1}


@dataclass(frozen=True)
class Config:
    """What is trained, for how long, and on how many stretches of text it is judged."""

    models: tuple[str, ...] = MODELS
    layers: int = 2
    d_model: int = 64
    heads: int = 4
    tokens: int = 64
    hidden: float = 0.15
    steps: int = 2000
    cheap_steps: int = 30
    batch: int = 16
    learning_rate: float = 5e-3
    records: int = 10
    tests: int = 256
    spans: tuple[int, ...] = (1, 3, 7)
    span_tests: int = 1024
    bucket: int = 8
    written: int = 240
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, models=("BERT", "GPT"), steps=120, cheap_steps=0, records=2, tests=64, spans=(), seeds=1
)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; then one for each model and seed."""
    cheap: list[Record] = [{"model": "BERT", "steps": config.cheap_steps, "seed": 0}]
    return (cheap if config.cheap_steps else []) + [
        {"model": model, "steps": config.steps, "seed": seed}
        for model in config.models
        for seed in range(config.seeds)
    ]


def build(config: Config, name: str, seed: int) -> Decoder | Encoder:
    """The untrained model of the name; BERT has one token more, the mask.

    Neither writes from more than it has read at once in training.
    """
    reads = name == "BERT"
    shape = TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=MASK + 1 if reads else MASK,
        context=config.tokens,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(shape) if reads else Decoder(shape)


def bits(
    model: Decoder | Encoder, blanked: Int[Tensor, "batch tokens"], ids: Int[Tensor, "batch tokens"]
) -> Float[Tensor, "batch places"]:
    """Bits for each character but the first: of BERT from what is not blanked, of GPT from before.

    A mask is never the answer, and BERT need not be told.
    """
    reads = isinstance(model, Encoder)
    logits = model.fill(blanked)[:, 1:, :MASK] if reads else model(ids[:, :-1])
    return F.cross_entropy(logits.mT, ids[:, 1:], reduction="none") / math.log(2)


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character in the course of training; then of spans, of writing, and a sample."""
    name, steps, seed = point["model"], point["steps"], point["seed"]
    model = build(config, name, seed)
    hide = {"context": config.tokens, "hidden": config.hidden}
    fresh = torch.Generator().manual_seed(10_000 + seed)
    test = data.masked_batches("validation", batch=config.tests, **hide)(fresh)

    def of_hidden(model: Decoder | Encoder, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        blanked, ids, hidden = batch
        return bits(model, blanked, ids)[hidden[:, 1:]].mean()

    def of_all(model: Decoder, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return bits(model, *batch[:2]).mean()

    curve = train.train(
        model,
        data.masked_batches("train", batch=config.batch, **hide),
        of_all if name == "GPT" else of_hidden,
        recipe=train.Recipe(
            steps=steps,
            learning_rate=config.learning_rate,
            warmup_steps=steps // 20,
            seed=seed,
            record_every=max(1, steps // config.records),
        ),
        evaluate=lambda model: {"bits": of_hidden(model, test).item()},
    )
    told = targets(config, name) * config.batch
    records: list[Record] = [
        {"tested": "hidden", "step": row["step"], "targets": told * row["step"]}
        | {"bits": row["bits"]}
        for row in curve
    ]
    if steps == config.cheap_steps:
        return records
    with torch.no_grad():
        records += [row for span in config.spans for row in of_span(config, model, span, seed)]
        return records + by_place(config, model, seed) + [{"sample": write(config, model, seed)}]


def targets(config: Config, name: str) -> int:
    """Characters of a stretch that a training of the model learns from.

    All but the first; or those hidden, of which one that stands first is left out: GPT has nothing
    from which to name it.
    """
    return config.tokens - 1 if name == "GPT" else round(config.hidden * config.tokens)


def of_span(config: Config, model: Decoder | Encoder, span: int, seed: int) -> list[Record]:
    """Bits for each of so many characters in a row, amid a stretch that is visible otherwise.

    BERT names them one after another, each being told before the next; and all at once. GPT, for
    which both are the same, sees the left side alone.
    """
    fresh = torch.Generator().manual_seed(20_000 + seed)
    draw = data.language_batches("validation", batch=config.span_tests, context=config.tokens)
    ids, first = draw(fresh)[0], config.tokens // 2

    def needed(start: int) -> Tensor:
        """Bits for each of the characters, where those from `start` on are hidden."""
        blanked = ids.clone()
        blanked[:, start : first + span] = MASK
        parts = zip(blanked.split(64), ids.split(64), strict=True)
        return torch.cat([bits(model, *part) for part in parts])[:, first - 1 : first + span - 1]

    together = needed(first)
    found: list[Record] = [{"tested": "at once", "span": span, "bits": together.mean().item()}]
    if isinstance(model, Decoder):
        turns = together
    else:
        turns = torch.stack([needed(first + turn)[:, turn] for turn in range(span)], dim=1)
    return [*found, {"tested": "in turn", "span": span, "bits": turns.mean().item()}]


def by_place(config: Config, model: Decoder | Encoder, seed: int) -> list[Record]:
    """Bits for the next character where nothing stands on its right, by characters before it.

    A place is the middle of a bucket.
    """
    fresh = torch.Generator().manual_seed(30_000 + seed)
    draw = data.language_batches("validation", batch=config.tests, context=config.tokens)
    ids = draw(fresh)[0]
    if isinstance(model, Decoder):
        needed = bits(model, ids, ids).mean(dim=0)
    else:
        masks = torch.full((len(ids), 1), MASK)
        needed = torch.stack(
            [
                bits(model, torch.cat([ids[:, :n], masks], dim=1), ids[:, : n + 1])[:, -1].mean()
                for n in range(1, config.tokens)
            ]
        )
    # nothing is named from no character at all, so that the first bucket has one place less
    buckets = [needed[max(0, end - config.bucket - 1) : end - 1] for end in _ends(config)]
    return [
        {"tested": "written", "place": end - config.bucket // 2, "bits": bucket.mean().item()}
        for end, bucket in zip(_ends(config), buckets, strict=True)
    ]


def _ends(config: Config) -> range:
    return range(config.bucket, config.tokens + 1, config.bucket)


def write(config: Config, model: Decoder | Encoder, seed: int) -> str:
    """The prompt and what the model writes behind it; BERT one filled mask after another."""
    sampler = Sampler(temperature=0.8)
    if isinstance(model, Decoder):
        return generation.write(
            model, PROMPT, characters=config.written, sampler=sampler, seed=seed
        )
    ids, generator = data.encode(PROMPT)[None], torch.Generator().manual_seed(seed)
    for _ in range(config.written):
        read = F.pad(ids[:, 1 - config.tokens :], (0, 1), value=MASK)
        drawn = sampler.draw(model.fill(read)[:, -1, :MASK], generator)
        ids = torch.cat([ids, drawn[:, None]], dim=1)
    return data.decode(ids[0])


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def longest(results: Results) -> Results:
    """The records of the full trainings, without the one that is there to be repeated."""
    return results.where(steps=max(results.column("steps").tolist()))


def samples(results: Results) -> dict[str, str]:
    """What each model writes, with the first seed."""
    rows = [row for row in longest(results).records() if row.get("sample") and row["seed"] == 0]
    return {row["model"]: row["sample"] for row in rows}


def by_seed(results: Results, model: str, **which: object) -> list[float]:
    """Bits of each seed, in order: the mean of the records that have these values."""
    rows = longest(results).where(model=model, **which).records()
    seeds = sorted({row["seed"] for row in rows})
    return [statistics.fmean(row["bits"] for row in rows if row["seed"] == seed) for seed in seeds]


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits of each model in each test, and the differences between them."""
    made = longest(results)
    last = max(made.where(tested="hidden").column("step").tolist())
    spans = sorted({row["span"] for row in made.records() if row.get("span")})
    tests: dict[str, dict[str, object]] = {
        "hidden": {"tested": "hidden", "step": last},
        "written": {"tested": "written"},
    }
    for how in ("in turn", "at once"):
        tests |= {f"{how.replace(' ', '_')}_{n}": {"tested": how, "span": n} for n in spans}
    found = {
        "seeds": str(FULL.seeds),
        "steps": f"{FULL.steps:,}",
        "tokens": str(FULL.tokens),
        "hidden": wording.percent(FULL.hidden),
        "gpt_targets": str(targets(FULL, "GPT")),
        "bert_targets": str(targets(FULL, "BERT")),
        "megabyte": f"{free_labels(1_000_000):,}",
        "corpus": f"{free_labels(len(data.shakespeare('train'))):,}",
        "letters": f"{data.letter_bits('validation'):.2f}",
        "pairs": f"{data.pair_bits('validation'):.2f}",
    }
    for test, which in tests.items():
        runs = {model: by_seed(results, model, **which) for model in MODELS}
        for model, needed in runs.items():
            if needed:
                found[f"{_slug(model)}_{test}"] = f"{statistics.fmean(needed):.2f}"
        pairs = {
            "sight": ("GPT", "BERT"),
            "sight_alone": ("GPT, told as little", "BERT"),
            "signal": ("GPT, told as little", "GPT"),
        }
        for name, (first, second) in pairs.items():
            if len(runs[first]) > 1 and len(runs[second]) > 1:
                by = paired_interval(runs[first], runs[second])
                found[f"{name}_{test}"] = wording.with_bounds(by.value, by.low, by.high)
    crossing = first_ahead(results)
    return found | ({"clearly_ahead_from": f"{crossing:,}"} if crossing else {})


def first_ahead(results: Results) -> int | None:
    """The first recorded step from which on BERT needs fewer bits than GPT beyond doubt, or None.

    Beyond doubt is a paired interval that lies above 0, which takes two runs of each.
    """
    course = longest(results).where(tested="hidden")
    steps = sorted(set(course.column("step").tolist()))
    ahead = []
    for step in steps:
        gpt, bert = (by_seed(results, m, tested="hidden", step=step) for m in ("GPT", "BERT"))
        ahead.append(len(gpt) > 1 and paired_interval(gpt, bert).low > 0)
    return next((step for place, step in enumerate(steps) if all(ahead[place:])), None)


def free_labels(size_bytes: int) -> int:
    """Characters in the first bytes of the training plays that have another one before them.

    >>> free_labels(1_000_000)
    999999
    """
    text = data.shakespeare("train").encode()[:size_bytes].decode()
    return data.encode(text)[1:].numel()


def _slug(model: str) -> str:
    return {"BERT": "bert", "GPT": "gpt", "GPT, told as little": "gpt_little"}[model]


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import bits_vs_sides

    results.main(bits_vs_sides)
