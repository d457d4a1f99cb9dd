"""After how many layers is the book's GPT sure enough of each character of a play?

The GPT stays as it is, with doors behind all layers but the last, trained as in `loss_vs_exit`; a
character is foretold by the first door at which the likeliest answer leads by the threshold. Three
passages of the validation plays are read, chosen by rule: from the middle of a play on, the first
speech in verse of the one, the first in prose of the other; and of both the first stretch with the
most speakers.

Windows of `data.CONTEXT` characters are read with states copied, and the second half of each
counts, so that every character is foretold from half a context or more. A record is a passage at a
threshold: its text, and in the same order, of each character, a digit for where it stands
(`places`, counted in `PLACES`) and one for its layers (`depths`), hundredths of a bit for the right
one (`bits`), the likeliest one (`said`); then means. `flops` is what a character executes, doors,
copied keys and values and last map included. Without a threshold the record is that of the model
without doors.

The doors of one seed are shown; `loss_vs_exit` has their spread. Source: Schuster et al. 2022, CALM
(arXiv:2207.07061), figure 1.
"""

import math
import re
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from payattention import data, wording
from payattention.adaptive_compute.early_exit import EarlyExit
from payattention.cost import operations
from payattention.cost.operations import matmul
from payattention.experiments import loss_vs_exit
from payattention.records import Record, Results

TOLERANCE = {"depths": None, "bits": None, "said": None, "layers": 0.05, "loss": 0.02, "flops": 2e4}
ELSEWHERE = {"layers": 0.5, "loss": 0.2, "flops": 2e5}
KINDS = ("verse", "prose", "exchange")
STEP = data.CONTEXT // 2
"""Characters that a window adds."""


@dataclass(frozen=True)
class Config:
    """How the doors are trained, and what they are shown."""

    kinds: tuple[str, ...] = KINDS
    characters: int = 256
    thresholds: tuple[float, ...] = loss_vs_exit.SURE
    steps: int = loss_vs_exit.FULL.steps
    batch: int = loss_vs_exit.FULL.batch
    cheap_steps: int = 5
    cheap_characters: int = 64


FULL = Config()
LIVE = replace(FULL, kinds=("verse",), characters=64, steps=10, batch=4, cheap_steps=0)


def points(config: Config) -> list[Record]:
    """A few steps and a short text, cheap to repeat; then the doors that are shown."""
    cheap: list[Record] = [{"steps": config.cheap_steps, "seed": 0}]
    return [*(cheap if config.cheap_steps else []), {"steps": config.steps, "seed": 0}]


# The passages


def speeches(play: str) -> list[int]:
    """Where in the text of a play the name of a speaker begins."""
    return [match.start() for match in re.finditer(r"(?<=\n\n)[^\n]+:$", play, re.MULTILINE)]


def kind_of(speech: str) -> str | None:
    """Verse, whose lines all begin with a capital letter, or prose, or None for a mixture.

    >>> kind_of("VIOLA:\\nI thank thee: I will pay thee bounteously,\\nConceal me what I am")
    'verse'
    """
    small = [line[:1].islower() for line in speech.split("\n")[2:]]
    if sum(small) == 0:
        return "verse"
    return "prose" if 2 * sum(small) >= len(small) else None


def passage(kind: str, characters: int) -> tuple[str, int, int]:
    """The play of a passage of a kind, where it begins there, and where it ends.

    It has whole lines, together at most so many characters; none if the first is longer.

    Raises:
        ValueError: for a kind that is none of `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    if kind == "exchange":
        starts = [(name, start) for name in data.VALIDATION_PLAYS for start in _starts(name)]
        name, start = max(starts, key=lambda at: _names(*at))
    else:
        name = data.VALIDATION_PLAYS[KINDS.index(kind)]
        play = data.plays()[name]
        start = next(
            start
            for start in _starts(name)
            if start >= len(play) // 2
            and len(speech := play[start:].partition("\n\n")[0]) >= FULL.characters
            and kind_of(speech) == kind
        )
    play = data.plays()[name]
    whole = play[start : start + characters + 1].rpartition("\n")[0].rstrip()
    return name, start, start + len(whole)


def _starts(name: str) -> list[int]:
    """Where a passage may begin: at a name, with half a context in front of it."""
    last = len(data.plays()[name]) - FULL.characters - data.CONTEXT
    return [start for start in speeches(data.plays()[name]) if STEP < start <= last]


def _names(name: str, start: int) -> int:
    """How many names of speakers stand in a stretch."""
    return sum(start <= at < start + FULL.characters for at in speeches(data.plays()[name]))


def windows(
    play: str, start: int, end: int
) -> tuple[Int[Tensor, "windows context"], Int[Tensor, "windows step"]]:
    """What is read to foretell these characters, and they themselves; the last ones may be more.

    The second half of a window's answers counts.
    """
    firsts = range(start, end, STEP)
    ids = [data.encode(play[first - STEP - 1 : first + STEP]) for first in firsts]
    rows = torch.stack(ids)
    return rows[:, :-1], rows[:, -STEP:]


PLACES = ("names", "first letters", "further letters", "spaces and line ends", "other marks")
"""Where in a text a character may stand."""


def places(text: str) -> list[str]:
    """Of each character of a passage, where it stands: a name in `PLACES`.

    >>> places("VIOLA:\\nI do.")[5:9]
    ['names', 'spaces and line ends', 'first letters', 'spaces and line ends']
    """
    named = set()
    for match in re.finditer(r"(?:^|(?<=\n\n))[^\n]+:(?=\n|$)", text):
        named.update(range(*match.span()))
    found = []
    for at, character in enumerate(text):
        before = text[at - 1 : at] if at else "\n"
        inside = before.isalpha() or (before == "'" and text[: at - 1][-1:].isalpha())
        if at in named:
            found.append("names")
        elif character.isspace():
            found.append("spaces and line ends")
        elif character.isalpha():
            found.append("further letters" if inside else "first letters")
        elif character == "'" and inside and text[at + 1 : at + 2].isalpha():
            found.append("further letters")
        else:
            found.append("other marks")
    return found


# What is measured


def prices(exits: EarlyExit) -> list[int]:
    """Operations of a character that leaves after 1, 2, ... layers, where the context is full.

    All doors that it asked are in it, and the keys and values that it owes the layers behind: who
    writes cannot know that nobody will look at them. The last price is that of the end.
    """
    shape = exits.shape
    through, owed = (
        sum(operations.block(shape, tokens=1, queries=asks, pairs=asks * data.CONTEXT).values())
        for asks in (1, 0)
    )
    output = matmul(1, shape.d_model, shape.vocab)
    return [
        depth * through
        + (shape.layers - depth) * owed
        + output * (sum(layer <= depth for layer in exits.behind) + (depth == shape.layers))
        for depth in range(1, shape.layers + 1)
    ]


@torch.no_grad()
def measure(config: Config, point: Record) -> list[Record]:
    """Each passage by the model without doors, and at each threshold."""
    recipe = replace(loss_vs_exit.FULL, batch=config.batch)
    with torch.enable_grad():
        trained = loss_vs_exit.learn(recipe, {"model": "GPT"} | point)
    exits = loss_vs_exit.leaving(trained, "softmax")
    cheap = point["steps"] == config.cheap_steps
    characters = config.cheap_characters if cheap else config.characters
    found = []
    for kind in config.kinds[:1] if cheap else config.kinds:
        name, start, end = passage(kind, characters)
        text = data.plays()[name][start:end]
        ids, wanted = windows(data.plays()[name], start, end)
        for threshold in (None, *config.thresholds):
            found.append(
                {"kind": kind, "play": name, "threshold": threshold, "text": text}
                | {"places": "".join(str(PLACES.index(place)) for place in places(text))}
                | _read(exits, threshold, ids, wanted, len(text))
            )
    return found


def _read(
    exits: EarlyExit, threshold: float | None, ids: Tensor, wanted: Tensor, count: int
) -> Record:
    """What is foretold of the characters, by how many layers, and what that takes."""
    asked = {"threshold": threshold}
    if threshold is None:  # nobody may leave
        asked = {"threshold": 1.0, "whole": ids.shape[1]}
    left = exits.read(ids, **asked)
    logits = left.logits[:, -STEP:].flatten(0, 1)[:count].double()
    depth = left.depth[:, -STEP:].flatten()[:count]
    nats = F.cross_entropy(logits, wanted.flatten()[:count], reduction="none")
    bits = nats / math.log(2)
    price = torch.tensor(prices(exits)).double()[depth - 1].mean().item()
    if threshold is None:
        price -= len(exits.behind) * matmul(1, exits.shape.d_model, exits.shape.vocab)
    return {
        "depths": "".join(map(str, depth.tolist())),
        "bits": " ".join(str(round(100 * one)) for one in bits.tolist()),
        "said": data.decode(logits.argmax(dim=1)),
        "layers": depth.double().mean().item(),
        "loss": bits.mean().item(),
        "flops": price,
    }


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def shown(results: Results) -> Results:
    """The records without those of the cheap point."""
    return results.where(steps=max(results.columns["steps"]))


# What is found


def findings(results: Results) -> dict[str, str]:
    """What the text says: layers, bits and operations at each threshold, and where they are few."""
    rows = shown(results)
    found = {"passages": str(len(set(rows.columns["text"])))}
    whole = {row["text"]: row for row in rows.where(threshold=None).records()}
    deep: dict[tuple[str, str], list[int]] = {}
    for row in rows.records():
        if row["threshold"] is None:
            found[f"{row['kind']}_whole_loss"] = f"{row['loss']:.2f}"
            found[f"{row['kind']}_characters"] = str(len(row["text"]))
            continue
        at = f"{row['threshold']:g}"
        found[f"{row['kind']}_{at}_layers"] = f"{row['layers']:.1f}"
        found[f"{row['kind']}_{at}_loss"] = f"{row['loss']:.2f}"
        share = row["flops"] / whole[row["text"]]["flops"]
        found[f"{row['kind']}_{at}_flops"] = wording.percent(share)
        for place, depth in zip(row["places"], row["depths"], strict=True):
            deep.setdefault((at, PLACES[int(place)]), []).append(int(depth))
    for (at, place), depths in deep.items():
        name = place.replace(" ", "_")
        found[f"{at}_{name}_layers"] = f"{sum(depths) / len(depths):.1f}"
        found[f"{name}_characters"] = str(len(depths))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import depth_vs_character

    results.main(depth_vs_character)
