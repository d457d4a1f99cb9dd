"""How much of what early exit saves on paper does a clock see?

Texts are written one character after another by the same model with the same doors, once all the
way, and once leaving early. What is timed is the machinery, and not the decision: models of several
widths, untrained, write so many characters, and leave by a door that is given by turns, so that the
mean depth is the same at every width; each door that a text passes is asked, as it would be. States
are copied. One text is written at a time, or several side by side, each of which leaves where it
likes. The prompt has been read before the clock starts.

`counted` is the share of operations that is left out, doors and copied keys and values taken off.
The book's own GPT is of the second width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from payattention import data, wording
from payattention import measure as clock
from payattention.adaptive_compute.early_exit import EarlyExit
from payattention.adaptive_compute.writing import Writer
from payattention.measure import interval
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"seconds": None, "counted": 1e-9}


@dataclass(frozen=True)
class Config:
    """Widths, texts side by side, and what each writes."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    batches: tuple[int, ...] = (1, 8, 64)
    behind: tuple[int, ...] = (2, 4)
    layers: int = 6
    prompt: int = 16
    characters: int = 60
    repeats: int = 9


FULL = Config()
LIVE = replace(FULL, widths=(64, 512), batches=(1,), characters=16, repeats=3)


def points(config: Config) -> list[Record]:
    """A width and a number of texts each; the smallest first."""
    return [
        {"d_model": width, "batch": batch} for width in config.widths for batch in config.batches
    ]


def build(config: Config, d_model: int) -> EarlyExit:
    """An untrained model of this width, with doors."""
    heads = max(1, d_model // 32)
    shape = TransformerShape(
        layers=config.layers,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * d_model,
        vocab=len(data.VOCABULARY),
        context=data.CONTEXT,
        biases="none",
        tied=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EarlyExit(Decoder(shape), behind=config.behind).eval()


def depths(config: Config, batch: int) -> Int[Tensor, "characters batch"]:
    """Which door each character of each text leaves by, as many by each, in no order."""
    ends = torch.tensor([*config.behind, config.layers])
    even = ends[torch.arange(config.characters * batch) % len(ends)]
    order = torch.randperm(len(even), generator=torch.Generator().manual_seed(0))
    return even[order].view(config.characters, batch)


def writing(
    config: Config, exits: EarlyExit, batch: int, *, early: bool
) -> Callable[[], dict[str, int]]:
    """A function that writes, and returns what that executed."""
    prompts = torch.randint(
        exits.shape.vocab, (batch, config.prompt), generator=torch.Generator().manual_seed(1)
    )
    leave = depths(config, batch)
    room = config.prompt + config.characters
    writer = Writer(exits if early else EarlyExit(exits.model, behind=()), prompts, room=room)

    def write() -> dict[str, int]:
        writer.rewind()
        ids = prompts[:, -1]
        for until in leave:
            writer.step(ids, threshold=1.0, until=until if early else None)
            ids = writer.logits[-1].argmax(dim=1)
        return writer.flops

    return write


@torch.inference_mode()
def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of both in each round, and the share of operations that is left out."""
    exits = build(config, point["d_model"])
    ways = {
        name: writing(config, exits, point["batch"], early=name == "early")
        for name in ("whole", "early")
    }
    spent = {name: sum(way().values()) for name, way in ways.items()}
    measured = clock.compare(ways, repeats=config.repeats, warmup=1)
    return [
        {
            "way": name,
            "repeat": repeat,
            "seconds": seconds,
            "counted": 1 - spent[name] / spent["whole"],
        }
        for name, all_seconds in measured.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: counted and timed savings, and how much of the one is in the other."""
    found = {"mean_layers": f"{sum((*FULL.behind, FULL.layers)) / (len(FULL.behind) + 1):g}"}
    for d_model, batch in dict.fromkeys(
        zip(results.columns["d_model"], results.columns["batch"], strict=True)
    ):
        of = results.where(d_model=d_model, batch=batch)
        early, whole = of.where(way="early"), of.where(way="whole")
        saved = 1 - early.column("seconds") / whole.column("seconds")
        counted = early.column("counted")[0]
        kept = interval((saved / counted).tolist())
        name = f"{d_model}_{batch}"
        found[f"{name}_counted"] = wording.percent(counted)
        found[f"{name}_timed"] = wording.percent(saved.mean())
        found[f"{name}_kept"] = wording.percent_with_bounds(kept.value, kept.low, kept.high)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_exit

    results.main(time_vs_exit)
