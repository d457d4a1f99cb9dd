"""Do errors still grow with the length of a word when the decoder may look back at its letters?

Three models of about equally many parameters learn to pronounce from the same batches: a GRU whose
decoder gets one vector, the same with additive attention, and a small Transformer. They are tested
on words that none has seen, by length, and on pairs of training words joined into one. Each pair is
pronounced twice, joined and part by part; letters and phonemes are the same both times, so that the
difference is the price of the length and of the seam. Errors are edits per phoneme against the
closest accepted pronunciation, without stress. The learning rate is that at which each model did
best, or nearly so, on validation words: 0.002, 0.004, 0.008 and, but for the Transformer, 0.016
were tried for 600 steps, and for the model with one vector 0.004 and 0.008 for 2,000; one seed.
"""

import random
from dataclasses import dataclass, replace

from payattention import data, sequence_to_sequence, train, wording
from payattention.pronunciation import phoneme_errors, without_stress
from payattention.records import Record, Results
from payattention.sequence_to_sequence import Pronouncer

COMMON = 6
"""Letters of a word of common length, against which the longest are held."""
TOLERANCE = {"error": 0.03, "said": 0.05, "right": 0.05}


@dataclass(frozen=True)
class Config:
    """What is trained and for how long, and the words of the test.

    Test words of `longest` letters and more count as one length. A first training of `few_steps`
    is there to be repeated at little cost.
    """

    models: tuple[str, ...] = tuple(sequence_to_sequence.MODELS)
    steps: int = 2000
    few_steps: int = 100
    batch: int = 64
    learning_rate: float = 4e-3
    warmup_steps: int = 100
    shortest: int = 3
    longest: int = 14
    words: int = 2000
    joined_lengths: tuple[int, ...] = (8, 12, 16, 20, 24)
    joined_words: int = 500
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL,
    steps=100,
    few_steps=0,
    words=100,
    longest=10,
    joined_lengths=(8, 16),
    joined_words=50,
    seeds=1,
)


def points(config: Config) -> list[Record]:
    """A training of few steps, then one in full for each model and seed."""
    few = {"model": config.models[0], "steps": config.few_steps, "seed": 0}
    full = [
        {"model": model, "steps": config.steps, "seed": seed}
        for model in config.models
        for seed in range(config.seeds)
    ]
    return [few, *full] if config.few_steps else full


def trained(config: Config, point: Record) -> Pronouncer:
    """The point's model after its training."""
    model = sequence_to_sequence.build(point["model"], seed=point["seed"])
    recipe = train.Recipe(
        steps=point["steps"],
        learning_rate=config.learning_rate,
        warmup_steps=min(config.warmup_steps, point["steps"] // 2),
        seed=point["seed"],
        record_every=point["steps"],
    )
    draw = sequence_to_sequence.batches("train", batch=config.batch)
    train.train(model, draw, sequence_to_sequence.loss, recipe=recipe)
    return model.eval()


def measure(config: Config, point: Record) -> list[Record]:
    """Errors per phoneme and the share of words without error, for each length and kind of words.

    `words_from` is "test", "joined", or "parts": those of the joined words, one by one.
    """
    model = trained(config, point)
    parameters = sum(weight.numel() for weight in model.parameters())
    records = []
    for length in range(config.shortest, config.longest + 1):
        words = of_length(config, length)
        dictionary = data.pronunciations("test")
        accepted = [[without_stress(said) for said in dictionary[word]] for word in words]
        row = {"words_from": "test", "length": length}
        records.append(row | errors(model.pronounce(words), accepted))
    for length in config.joined_lengths:
        pairs, accepted = joined(length, config.joined_words)
        whole = model.pronounce([first + second for first, second in pairs])
        halves = model.pronounce([part for pair in pairs for part in pair])
        parts = [(*a, *b) for a, b in zip(halves[::2], halves[1::2], strict=True)]
        for words_from, said in (("joined", whole), ("parts", parts)):
            row = {"words_from": words_from, "length": length}
            records.append(row | errors(said, accepted))
    return [record | {"parameters": parameters} for record in records]


def of_length(config: Config, length: int) -> list[str]:
    """Test words of that many letters, or of at least as many where it is the longest."""
    last = length == config.longest
    words = sorted(
        word
        for word in data.pronunciations("test")
        if len(word) == length or (last and len(word) > length)
    )
    return words if len(words) <= config.words else random.Random(0).sample(words, config.words)


def joined(length: int, words: int) -> tuple[list[tuple[str, str]], list[list[tuple[str, ...]]]]:
    """Pairs of training words of half the length, and what they sound like one after the other.

    They are the same for every model.
    """
    dictionary = data.pronunciations("train")
    pool = sorted(word for word in dictionary if len(word) == length // 2)
    choose = random.Random(length)
    pairs = [(choose.choice(pool), choose.choice(pool)) for _ in range(words)]
    accepted = [
        [without_stress((*a, *b)) for a in dictionary[first] for b in dictionary[second]]
        for first, second in pairs
    ]
    return pairs, accepted


def errors(said: list[tuple[str, ...]], accepted: list[list[tuple[str, ...]]]) -> Record:
    """Edits per phoneme, phonemes said for each to be said, and the share of words without error.

    The phonemes to be said are those of the closest accepted pronunciation of each word.
    """
    counts = [phoneme_errors(*pair) for pair in zip(said, accepted, strict=True)]
    edits, phonemes = (sum(column) for column in zip(*counts, strict=True))
    return {
        "words": len(counts),
        "error": edits / phonemes,
        "said": sum(map(len, said)) / phonemes,
        "right": sum(edits == 0 for edits, _ in counts) / len(counts),
    }


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def in_full(results: Results) -> Results:
    """The records of the trainings in full, without the one of few steps."""
    return results.where(steps=int(results.column("steps").max()))


def overall(results: Results, column: str) -> Results:
    """The column's mean over all lengths, each with the weight of its words, by model and seed."""
    sums: dict[tuple[str, int], list[float]] = {}
    for record in results.records():
        run = sums.setdefault((record["model"], record["seed"]), [0.0, 0.0])
        run[0] += record[column] * record["words"]
        run[1] += record["words"]
    rows = [
        {"model": model, "seed": seed, column: total / words}
        for (model, seed), (total, words) in sums.items()
    ]
    return Results.from_records(results.question, rows)


def prices(results: Results) -> Results:
    """Errors per phoneme of joined words beyond those of their parts: column `price`."""
    parts = {
        (row["model"], row["seed"], row["length"]): row["error"]
        for row in results.where(words_from="parts").records()
    }
    rows = [
        row | {"price": row["error"] - parts[row["model"], row["seed"], row["length"]]}
        for row in results.where(words_from="joined").records()
    ]
    return Results.from_records(results.question, rows)


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors by model and length, on unseen words, joined ones and parts."""
    results = in_full(results)
    sizes = results.column("parameters")
    lengths = [len(word) for word in data.pronunciations("train")]
    test = results.where(words_from="test")
    longest = int(test.column("length").max())
    one = test.where(model=FULL.models[0], seed=0)
    found = {
        "fewest_parameters": f"{int(min(sizes)):,}",
        "most_parameters": f"{int(max(sizes)):,}",
        "steps": f"{int(results.column('steps')[0]):,}",
        "batch": str(FULL.batch),
        "live_steps": str(LIVE.steps),
        "seeds": str(len(set(results.column("seed")))),
        "training_words": f"{len(lengths):,}",
        "test_words": f"{int(sum(one.column('words'))):,}",
        "longest": str(longest),
        "longest_words": str(int(one.where(length=longest).column("words")[0])),
    }
    for length in (14, 16, 20):
        share = sum(n > length for n in lengths) / len(lengths)
        found[f"trained_beyond_{length}"] = wording.percent(share, digits=2)
    right = overall(test, "right").summary("right", by="model")
    short = overall(test.among(length=range(5, 10)), "error")
    errors = results.summary("error", by=["model", "words_from", "length"])
    said = results.where(words_from="joined").summary("said", by=["model", "length"])
    named = {
        **{f"{row['model']}_right": row for row in right},
        **{f"{row['model']}_5_to_9": row for row in short.summary("error", by="model")},
        **{f"{row['model']}_{row['words_from']}_{row['length']}": row for row in errors},
        **{f"{row['model']}_said_{row['length']}": row for row in said},
        **{
            f"{row['model']}_price_{row['length']}": row
            for row in prices(results).summary("price", by=["model", "length"])
        },
    }
    for name, row in named.items():
        found[name] = wording.percent_with_bounds(row["mean"], row["low"], row["high"])
        if row.get("length") == longest and "_test_" in name:
            shorter = named[name.replace(str(longest), str(COMMON))]
            found[f"{row['model']}_growth"] = f"{row['mean'] / shorter['mean']:.1f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import pronunciation_vs_length

    results.main(pronunciation_vs_length)
