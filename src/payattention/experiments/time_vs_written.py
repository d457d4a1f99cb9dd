"""What does the next token cost, after a thousand and after sixteen thousand?

A small decoder with rotary positions writes one token after the other, greedily, and keeps the
keys and values of all that it has written, or, with a window, of the last 256. Timed is each
stretch of tokens, the two models in turn, and counted what is kept. One thread, batch 1, float32.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from payattention import generation, wording
from payattention import measure as clock
from payattention.patterns import causal_window
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"seconds": None}
WAYS = ("all", "window")


@dataclass(frozen=True)
class Config:
    """The model, its window, and how much it writes, in stretches of `stretch` tokens."""

    layers: int = 2
    d_model: int = 256
    heads: int = 4
    window: int = 256
    stretch: int = 1024
    stretches: int = 16
    repeats: int = 3
    threads: int = 1


FULL = Config()
LIVE = replace(FULL, d_model=64, stretch=128, stretches=4)


def points(config: Config) -> list[Record]:
    """One stretch of the first repeat, to be measured again by a test; then whole texts."""
    cheap: list[Record] = [{"stretches": 1, "repeat": 0}]
    return cheap + [
        {"stretches": config.stretches, "repeat": repeat} for repeat in range(config.repeats)
    ]


def shape(config: Config) -> TransformerShape:
    """The shape of the model: no `context`, so that its text has no end."""
    return TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=96,
        biases="none",
    )


def writers(config: Config, seed: int) -> tuple[dict[str, Iterator[Tensor]], dict[str, list]]:
    """Endless texts of one model, with all kept and with a window, and what each keeps."""
    torch.manual_seed(seed)
    model, kept = Decoder(shape(config)).eval(), {}
    texts = {}
    for way in WAYS:
        mask = "causal" if way == "all" else causal_window(config.window)
        room = model.room(mask)
        kept[way] = room
        first = torch.zeros(1, 1, dtype=torch.long)
        texts[way] = generation.stream(model, first, mask=mask, kept=room)
    return texts, kept


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of a token in each stretch, and bytes of the keys and values behind it."""
    found = []
    with clock.threads(config.threads):
        texts, kept = writers(config, point["repeat"])
        for number in range(point["stretches"]):
            for way, text in texts.items():
                start = time.perf_counter()
                for _ in islice(text, config.stretch):
                    pass
                seconds = (time.perf_counter() - start) / config.stretch
                kept_bytes = sum(x.nbytes for room in kept[way] for x in (room.keys, room.values))
                found.append(
                    {
                        "way": way,
                        "written": (number + 1) * config.stretch,
                        "seconds": seconds,
                        "kept_bytes": kept_bytes,
                    }
                )
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def growth(results: Results, way: str) -> clock.Interval:
    """Time of a token in the last stretch over that in the second, whole texts."""
    rows = results.where(stretches=int(results.column("stretches").max()), way=way)
    written = sorted(set(rows.column("written").tolist()))
    ends = rows.where(written=written[-1]).column("seconds")
    starts = rows.where(written=written[min(1, len(written) - 1)]).column("seconds")
    return clock.interval((ends / starts).tolist())


def findings(results: Results) -> dict[str, str]:
    """What the text says: how much dearer tokens get, and what is kept."""
    found = {"window": str(FULL.window), "repeats": str(FULL.repeats)}
    whole = results.where(stretches=int(results.column("stretches").max()))
    found["written"] = f"{int(whole.column('written').max()):,}"
    for way in WAYS:
        by = growth(results, way)
        found[f"{way}_growth"] = wording.with_bounds(by.value, by.low, by.high)
        last = whole.where(way=way, written=int(whole.column("written").max()))
        found[f"{way}_kept_megabytes"] = f"{float(last.column('kept_bytes')[0]) / 1e6:.1f}"
        for row in whole.where(way=way).summary("seconds", by="written"):
            found[f"{way}_{int(row['written'])}"] = wording.two_digits(1e3 * row["mean"])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_written

    results.main(time_vs_written)
