"""Does a pretrained encoder with a fixed vector make more errors on longer words?

The GRU encoder and decoder of the package g2p-en pronounces every plain word of CMUdict. Long words
are also rarer, and the dictionary is very probably what the model was trained on, so a second set
takes rarity out as well as it can: pairs of words that it pronounces without error one by one,
joined into one. Errors are edits per phoneme against the closest accepted pronunciation; stress
marks do not count, as nobody defines the stress of joined words.
"""

import random
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from payattention import data, wording
from payattention.pronunciation import Speller, phoneme_errors, without_stress
from payattention.records import Record, Results

TOLERANCE = {"words": 0, "error": 1e-9, "low": 1e-9, "high": 1e-9, "right": 1e-9}


@dataclass(frozen=True)
class Config:
    """Which words, and how many of each length at most."""

    shortest: int = 3
    longest: int = 18
    words: int = 100_000
    joined_lengths: tuple[int, ...] = (6, 8, 10, 12, 14, 16, 18)
    joined_words: int = 1000
    seeds: int = 3
    resamples: int = 2000


FULL = Config()
LIVE = replace(FULL, words=300, joined_lengths=(6, 12, 18), joined_words=200)


def points(config: Config) -> list[Record]:
    """One run for each length of dictionary words, longest first; then the joined ones."""
    lengths = range(config.longest, config.shortest - 1, -1)
    dictionary = [{"words_from": "dictionary", "length": n, "seed": 0} for n in lengths]
    joined = [
        {"words_from": "joined", "length": n, "seed": seed}
        for n in config.joined_lengths
        for seed in range(config.seeds)
    ]
    return dictionary + joined


def measure(config: Config, point: Record) -> list[Record]:
    """Errors per phoneme with their bootstrap bounds, and the share of words without error."""
    speller = Speller(data.speller_weights())
    if point["words_from"] == "dictionary":
        words = of_length(point["length"], config.words, point["seed"])
        accepted = [[without_stress(p) for p in dictionary()[word]] for word in words]
    else:
        words, accepted = joined(config, point, speller)
    said = [without_stress(phonemes) for phonemes in speller.pronounce(words)]
    counts = np.array([phoneme_errors(*pair) for pair in zip(said, accepted, strict=True)])
    error, low, high = ratio_with_bounds(counts, config.resamples)
    return [
        {
            "words": len(words),
            "error": error,
            "low": low,
            "high": high,
            "right": float((counts[:, 0] == 0).mean()),
        }
    ]


@cache
def dictionary() -> dict[str, tuple[tuple[str, ...], ...]]:
    """Every plain word of CMUdict: the speller, not being ours, knows nothing of our splits."""
    return {
        word: said for split in data.SPLITS for word, said in data.pronunciations(split).items()
    }


def of_length(length: int, most: int, seed: int) -> list[str]:
    """Dictionary words of that many letters, all of them or a random choice of `most`."""
    words = sorted(word for word in dictionary() if len(word) == length)
    return words if len(words) <= most else random.Random(seed).sample(words, most)


def joined(
    config: Config, point: Record, speller: Speller
) -> tuple[list[str], list[list[tuple[str, ...]]]]:
    """Pairs of faultless words of half the length, joined, and what they sound like one by one."""
    half = point["length"] // 2
    pool = of_length(half, 4 * config.joined_words, point["seed"])
    accepted = dictionary()
    faultless = [
        word
        for word, said in zip(pool, speller.pronounce(pool), strict=True)
        if phoneme_errors(said, accepted[word])[0] == 0
    ]
    choose = random.Random(point["seed"])
    pairs = [
        (choose.choice(faultless), choose.choice(faultless)) for _ in range(config.joined_words)
    ]
    spoken = [
        [without_stress((*a, *b)) for a in accepted[first] for b in accepted[second]]
        for first, second in pairs
    ]
    return [first + second for first, second in pairs], spoken


def ratio_with_bounds(counts: np.ndarray, resamples: int) -> tuple[float, float, float]:
    """First column over second, both summed, and 95 % bootstrap bounds over the rows."""
    drawn = np.random.default_rng(0).integers(len(counts), size=(resamples, len(counts)))
    ratios = [counts[rows, 0].sum() / counts[rows, 1].sum() for rows in drawn]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return counts[:, 0].sum() / counts[:, 1].sum(), float(low), float(high)


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: error by length, for dictionary words and joined ones."""
    dictionary = results.where(words_from="dictionary")
    found = {"words": f"{int(sum(dictionary.column('words'))):,}"}
    for record in dictionary.records():
        found[f"dictionary_{record['length']}"] = wording.percent_with_bounds(
            record["error"], record["low"], record["high"]
        )
        found[f"right_{record['length']}"] = wording.percent(record["right"])
        found[f"words_{record['length']}"] = f"{record['words']:,}"
    for row in results.where(words_from="joined").summary("error", by="length"):
        found[f"joined_{row['length']}"] = wording.percent_with_bounds(
            row["mean"], row["low"], row["high"]
        )
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import error_vs_length

    results.main(error_vs_length)
