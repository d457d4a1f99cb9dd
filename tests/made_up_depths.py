"""Readings of short passages by a model with doors, as `depth_vs_character` keeps them, made up."""

import random

from payattention.experiments.depth_vs_character import PLACES, places
from payattention.explorables import Depths
from payattention.records import Record, Results

THRESHOLDS = (0.0, 0.5, 0.9, 1.0)
LAYERS = 6
PASSAGES = {
    (
        "verse",
        "king-john",
    ): "KING JOHN:\nGood Hubert, throw thine eye\nOn yon young boy: I'll tell,",
    (
        "prose",
        "twelfth-night",
    ): "FABIAN:\nShe did show favour to the youth\nonly to exasperate you; a",
    (
        "exchange",
        "twelfth-night",
    ): "OLIVIA:\nHa!\n\nMALVOLIO:\n'Some achieve greatness,'--\n\nOLIVIA:",
}
FLOPS = 1000


def row(kind: str, play: str, text: str, threshold: float | None) -> Record:
    """A reading: the higher the threshold, the deeper; spaces leave before letters."""
    draw = random.Random(f"{kind}{threshold}")
    depths = []
    for character in text:
        deep = 2 if character.isspace() else draw.randint(3, 8)
        share = 1.0 if threshold is None else threshold
        depths.append(LAYERS if share == 1 else max(1, min(LAYERS, round(deep * share))))
    many = sum(depths) / len(depths)
    wrong = [draw.random() < 0.2 for _ in text]
    return {
        "steps": 400,
        "seed": 0,
        "kind": kind,
        "play": play,
        "text": text,
        "places": "".join(str(PLACES.index(place)) for place in places(text)),
        "threshold": threshold,
        "depths": "".join(map(str, depths)),
        "bits": " ".join(
            str(draw.choice((0, 3, 250, 412, 2000)) + (LAYERS - deep) * 20) for deep in depths
        ),
        "said": "".join("e" if miss else one for one, miss in zip(text, wrong, strict=True)),
        "layers": many,
        "flops": FLOPS * (many / LAYERS + (0.04 if threshold is not None else 0)),
    }


def rows(*, thresholds=THRESHOLDS, passages=None) -> list[Record]:
    """Readings of all passages, without doors and at each threshold."""
    chosen = PASSAGES if passages is None else passages
    return [
        row(*names, text, threshold)
        for names, text in chosen.items()
        for threshold in (None, *thresholds)
    ]


def measured(**options) -> Results:
    """The readings as results, with a row of the cheap point, which is not shown."""
    cheap = row("verse", "king-john", "KING JOHN:\nDo", 0.5) | {"steps": 5}
    return Results.from_records("depth_vs_character", [cheap, *rows(**options)])


def depths(**state) -> Depths:
    """The figure with these readings."""
    return Depths(measured(), **state)
