"""How much sooner is a model done whose rows leave by the doors of `loss_vs_exit`?

The book's ViT and GPT with the doors that are trained there, at some of the thresholds at which
their quality is known, each next to the same model without doors, in the same round. `one` is one
image after another, or one text that is written character by character; `many` are 64 images
together, or eight texts side by side. The texts are real: what the model would write is not looked
at, and the next character of the play is read in its place, so that all ways read the same. Their
first characters, which all ways read through all layers, have been read before the clock starts.

`fixed` is the rival that asks nobody: all leave by the same door (its threshold is the layer).
`times` are the seconds next to those of the whole model, the median over the rounds; `flops` are
the operations next to those of the whole model, `layers` the mean depth, of what is timed.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from payattention import data, trained, wording
from payattention import measure as clock
from payattention.adaptive_compute.early_exit import EarlyExit, Left
from payattention.adaptive_compute.writing import Writer
from payattention.experiments import loss_vs_exit
from payattention.records import Record, Results
from payattention.transformer import Decoder, patches

ALONE = True
TOLERANCE = {"times": None, "flops": 0.3, "layers": 1.5}
ELSEWHERE = TOLERANCE
SETTINGS = {
    "softmax": (0.4, 0.6, 0.8, 0.9),
    "learned": (0.6, 0.8, 0.9),
    "fixed": (3.0, 5.0),
}


@dataclass(frozen=True)
class Config:
    """What is timed, and how often; doors are trained as in `loss_vs_exit`."""

    models: tuple[str, ...] = ("ViT", "GPT")
    steps: int = loss_vs_exit.FULL.steps
    cheap_steps: int = 5
    together: int = 64
    images: int = 16
    texts: int = 8
    prompt: int = 16
    characters: int = 48
    repeats: int = 7
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, models=("ViT",), steps=20, cheap_steps=0, images=4, repeats=3, seeds=1)


def points(config: Config) -> list[Record]:
    """A few steps of the ViT's doors and one setting, cheap to repeat; then a training each."""
    cheap: list[Record] = [{"model": "ViT", "steps": config.cheap_steps, "seed": 0}]
    return [
        *(cheap if config.cheap_steps else []),
        *(
            {"model": model, "steps": config.steps, "seed": seed}
            for model in config.models
            for seed in range(config.seeds)
        ),
    ]


def at(exits: EarlyExit, measure_of: str, threshold: float) -> tuple[EarlyExit, float]:
    """The doors and the threshold of one setting."""
    if measure_of == "fixed":
        return loss_vs_exit.one_door(exits, int(threshold)), 0.0
    return loss_vs_exit.leaving(exits, measure_of), threshold


def spent(left: Left) -> Record:
    """What classifying or reading took, and how deep it went."""
    return {"flops": sum(left.flops.values()), "depth": left.depth.double().mean().item()}


def classifying(
    config: Config, exits: EarlyExit, threshold: float, rows: str
) -> Callable[[], list[Record]]:
    """A function that classifies some images, and returns what each batch took."""
    images = patches(data.fashion("test")[0][: config.together], size=trained.VIT_PATCH)
    batches = images[: config.images].split(1) if rows == "one" else [images]
    return lambda: [spent(exits.classify(batch, threshold=threshold)) for batch in batches]


def writing(
    config: Config, exits: EarlyExit, threshold: float, rows: str
) -> Callable[[], list[Record]]:
    """A function that goes on behind the beginning of some texts, and returns what that took."""
    batch = config.texts if rows == "many" else 1
    draw = data.language_batches("validation", batch=batch)
    ids, _ = draw(torch.Generator().manual_seed(0))
    end = config.prompt + config.characters
    writer = Writer(exits, ids[:, : config.prompt], room=end)

    def write() -> list[Record]:
        writer.rewind()
        for place in range(config.prompt, end):
            writer.step(ids[:, place - 1], threshold=threshold)
        depth = torch.stack(writer.depths).double().mean().item()
        return [{"flops": sum(writer.flops.values()), "depth": depth}]

    return write


def working(
    config: Config, exits: EarlyExit, threshold: float, rows: str
) -> Callable[[], list[Record]]:
    """What the model is for, as a function of nothing."""
    make = writing if isinstance(exits.model, Decoder) else classifying
    return make(config, exits, threshold, rows)


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds, operations and layers of each setting, next to the whole model."""
    exits = loss_vs_exit.learn(loss_vs_exit.FULL, point)
    whole = EarlyExit(exits.model, behind=()).eval()
    settings = [
        (rows, name, threshold)
        for rows in ("one", "many")
        for name, thresholds in SETTINGS.items()
        for threshold in thresholds
    ]
    if point["steps"] == config.cheap_steps:
        settings = settings[:1]
    with torch.inference_mode():
        return [_timed(config, exits, whole, *setting) for setting in settings]


def _timed(
    config: Config, exits: EarlyExit, whole: EarlyExit, rows: str, name: str, threshold: float
) -> Record:
    ways: dict[str, Callable[[], Any]] = {
        "whole": working(config, whole, 1.0, rows),
        "early": working(config, *at(exits, name, threshold), rows),
    }
    bills = {way: work() for way, work in ways.items()}
    times = clock.ratios(ways["early"], ways["whole"], repeats=config.repeats)
    flops = {way: sum(each["flops"] for each in bills[way]) for way in ways}
    return {
        "rows": rows,
        "measure": name,
        "threshold": threshold,
        "flops": flops["early"] / flops["whole"],
        "layers": statistics.mean(each["depth"] for each in bills["early"]),
        "times": statistics.median(times),
    }


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: seconds and operations of each setting, next to the whole model."""
    most = int(max(results.column("steps")))
    found = {}
    for model in dict.fromkeys(results.columns["model"]):
        for rows in ("one", "many"):
            for name, thresholds in SETTINGS.items():
                for threshold in thresholds:
                    of = results.where(
                        steps=most, model=model, rows=rows, measure=name, threshold=threshold
                    )
                    key = f"{model.lower()}_{name}_{threshold:g}_{rows}"
                    found[f"{key}_seconds"] = wording.percent(of.column("times").mean())
                    found[f"{key}_flops"] = wording.percent(of.column("flops").mean())
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_threshold

    results.main(time_vs_threshold)
