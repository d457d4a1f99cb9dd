"""Ten times the parameters, the same tokens: ten times the time?

Training steps of four GPTs of the kind that comes with the book, on batches of its Shakespeare: a
tenth of that model, the model, ten times and a hundred times as much. Counted are the operations by
formula, and measured the time of a step, forward, backward and fused AdamW, each in turn. What a
whole training takes, twenty tokens for each parameter, follows from the time of its steps.
"""

import statistics
from dataclasses import dataclass, replace

import torch

from payattention import data, trained, wording
from payattention import measure as clock
from payattention.cost import operations, parameters
from payattention.experiments.speed_vs_peers import training_step
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {"seconds": None}
TOKENS_A_PARAMETER = 20
"""Source: Hoffmann et al. 2022 (arXiv:2203.15556), table 3, read as a rule."""


@dataclass(frozen=True)
class Config:
    """Layers, width and heads of each model by name; batch, repeats and threads."""

    sizes: tuple[tuple[str, int, int, int], ...] = (
        ("tenth", 3, 56, 2),
        ("book", 6, 128, 4),
        ("tenfold", 8, 352, 11),
        ("hundredfold", 12, 912, 24),
    )
    batch: int = 32
    repeats: int = 5
    threads: int = 2


FULL = Config()
LIVE = replace(FULL, sizes=FULL.sizes[:2], repeats=3, threads=1)


def points(config: Config) -> list[Record]:
    """The smallest model alone, to be measured again by a test; then all, in the same rounds."""
    return [{"sizes": 1}, {"sizes": len(config.sizes)}]


def shape(config: Config, name: str) -> TransformerShape:
    """The shape of that name."""
    _, layers, d_model, heads = next(s for s in config.sizes if s[0] == name)
    return replace(
        trained.GPT_SHAPE,
        layers=layers,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * d_model,
    )


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of a step of each of the first models in each repeat."""
    names = [name for name, *_ in config.sizes[: point["sizes"]]]
    torch.manual_seed(0)
    draw = data.language_batches(batch=config.batch, context=trained.GPT_SHAPE.context)
    ids, following = draw(torch.Generator().manual_seed(0))
    ids = torch.cat([ids, following[:, -1:]], dim=1)
    with clock.threads(config.threads):
        steps = {name: training_step(Decoder(shape(config, name)), ids) for name in names}
        times = clock.compare(steps, repeats=config.repeats, warmup=2)
    found = []
    for name, all_seconds in times.items():
        of = shape(config, name)
        pairs = operations.needed_pairs(of.context)
        bill = operations.training(of, tokens=of.context, pairs=pairs)
        of_step = {
            "size": name,
            "parameters": sum(parameters.decoder(of).values()),
            "tokens": config.batch * of.context,
            "flops": config.batch * sum(bill.values()),
        }
        found += [
            of_step | {"repeat": repeat, "seconds": s} for repeat, s in enumerate(all_seconds)
        ]
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: sizes, times, ratios of each size to the one before, whole trainings."""
    found = {"repeats": str(FULL.repeats), "tokens_a_parameter": str(TOKENS_A_PARAMETER)}
    results = results.where(sizes=int(results.column("sizes").max()))
    before: list[Record] = []
    for name, *_ in FULL.sizes:
        rows = results.where(size=name).records()
        if not rows:
            continue
        first, seconds = rows[0], [row["seconds"] for row in rows]
        rate = first["flops"] / statistics.median(seconds)
        whole = TOKENS_A_PARAMETER * first["parameters"]
        flops = operations.training_by_rule(first["parameters"], tokens=whole)
        minutes = whole / first["tokens"] * statistics.median(seconds) / 60
        found |= {
            f"{name}_parameters": f"{first['parameters']:,}",
            f"{name}_milliseconds": wording.two_digits(1e3 * statistics.median(seconds)),
            f"{name}_gigaflops": wording.two_digits(rate / 1e9),
            f"{name}_whole_tokens": wording.two_digits(whole / 1e6),
            f"{name}_whole_flops": f"{flops:.1e}",
            f"{name}_whole_minutes": wording.two_digits(minutes),
            f"{name}_whole_hours": wording.two_digits(minutes / 60),
        }
        if before:
            more = first["parameters"] / before[0]["parameters"]
            found[f"{name}_times_parameters"] = f"{more:.1f}"
            found[f"{name}_times_flops"] = f"{first['flops'] / before[0]['flops']:.1f}"
            ratios = [a / b["seconds"] for a, b in zip(seconds, before, strict=True)]
            if len(ratios) > 1:
                by = clock.interval(ratios)
                found[f"{name}_times_seconds"] = wording.with_bounds(
                    by.value, by.low, by.high, digits=1
                )
        before = rows
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_parameters

    results.main(time_vs_parameters)
