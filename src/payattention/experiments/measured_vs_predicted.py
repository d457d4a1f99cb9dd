"""How well does the roofline foretell a training step and a new token, on this machine?

Five shapes of GPT, from one to forty million parameters. A training step is forward, loss, backward
and fused AdamW; a decoding step reads one token behind a prompt that is kept. Each is measured in
turn with the two rates that the prediction rests on: a product of two matrices of 2,048 by 2,048,
and a matrix of 512 MB by a vector. The bytes of a training step are those that plain code moves,
one function after another, as if no cache kept anything.
"""

import statistics
from dataclasses import dataclass, replace

import torch

from payattention import measure as clock
from payattention import wording
from payattention.cost import parameters, roofline
from payattention.experiments.speed_vs_bytes import next_token
from payattention.experiments.speed_vs_peers import training_step
from payattention.records import Record, Results
from payattention.shape import TransformerShape, gpt
from payattention.transformer import Decoder

ALONE = True
TOLERANCE = {
    "seconds": None,
    "predicted": None,
    "matmuls": None,
    "flops_per_second": None,
    "bytes_per_second": None,
}
TASKS = ("training", "writing")


@dataclass(frozen=True)
class Config:
    """Layers, width and batch of each shape by name; tokens, repeats and threads."""

    shapes: tuple[tuple[str, int, int, int], ...] = (
        ("narrow", 4, 128, 4),
        ("deep and narrow", 16, 128, 4),
        ("middle", 4, 256, 4),
        ("wide", 4, 512, 4),
        ("widest", 3, 1024, 4),
    )
    vocab: int = 512
    tokens: int = 256
    repeats: int = 9
    threads: int = 2


FULL = Config()
LIVE = replace(FULL, shapes=FULL.shapes[:1], repeats=3, threads=1)


def points(config: Config) -> list[Record]:
    """One point for each shape and task, small shapes first."""
    return [{"shape": name, "task": task} for name, *_ in config.shapes for task in TASKS]


def shape(config: Config, name: str) -> tuple[TransformerShape, int]:
    """The shape of that name, and its batch in training."""
    _, layers, d_model, batch = next(s for s in config.shapes if s[0] == name)
    usual = gpt(layers, d_model, d_model // 64, context=config.tokens + 1)
    # the exact bend is one pass over memory; GPT-2's, by tanh, takes five times as long here
    return replace(usual, vocab=config.vocab, activation="gelu"), batch


def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of the step in each repeat, and what the rates of that repeat foretell."""
    torch.manual_seed(0)
    of, batch = shape(config, point["shape"])
    with clock.threads(config.threads):
        model = Decoder(of)
        if point["task"] == "training":
            step = training_step(model, torch.randint(of.vocab, (batch, config.tokens + 1)))
            work = roofline.training(of, tokens=config.tokens, batch=batch)
        else:
            step = torch.no_grad()(next_token(model, prompt=config.tokens))
            work = roofline.decode(of, past=config.tokens)
        times = clock.compare(
            {"step": step, **clock.machine_calls()}, repeats=config.repeats, warmup=3
        )
    found = []
    for repeat in range(config.repeats):
        machine = clock.as_machine(times["peak"][repeat], times["bandwidth"][repeat])
        record = {
            "repeat": repeat,
            "parameters": sum(parameters.decoder(of).values()),
            "seconds": times["step"][repeat],
            "predicted": sum(roofline.seconds(work, on=machine).values()),
            "matmuls": roofline.share_of_matmuls(work, on=machine),
            "flops_per_second": machine.peak("float32"),
            "bytes_per_second": machine.bytes_per_second,
        }
        found.append(record)
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: median of measured over predicted, and how much of it is matmuls."""
    rates = {name: results.column(f"{name}_per_second").tolist() for name in ("flops", "bytes")}
    found = {
        "repeats": str(FULL.repeats),
        "tokens": str(FULL.tokens),
        "gigaflops": wording.two_digits(statistics.median(rates["flops"]) / 1e9),
        "gigabytes": wording.two_digits(statistics.median(rates["bytes"]) / 1e9),
    }
    for name, layers, d_model, _ in FULL.shapes:
        slug = name.replace(" ", "_")
        found |= {
            f"{slug}_layers": str(layers),
            f"{slug}_d_model": f"{d_model:,}",
        }
        for task in TASKS:
            rows = results.where(shape=name, task=task).records()
            if not rows:
                continue
            ratios = [row["seconds"] / row["predicted"] for row in rows]
            middle = {
                key: statistics.median(row[key] for row in rows)
                for key in rows[0]
                if key in TOLERANCE
            }
            found |= {
                f"{slug}_parameters": wording.two_digits(rows[0]["parameters"] / 1e6),
                f"{slug}_{task}_milliseconds": wording.two_digits(1e3 * middle["seconds"]),
                f"{slug}_{task}_predicted": wording.two_digits(1e3 * middle["predicted"]),
                f"{slug}_{task}_matmuls": wording.percent(middle["matmuls"]),
            }
            if len(ratios) > 1:
                bounds = clock.interval(ratios)
                found[f"{slug}_{task}_bounds"] = wording.with_bounds(
                    bounds.value, bounds.low, bounds.high
                )
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import measured_vs_predicted

    results.main(measured_vs_predicted)
