"""Is it the place of the weights that are left, their first values, or neither?

A small GPT is trained, half of the weights of each map of its blocks are left out, those of the
least magnitude, and the others go back to the values that they had before any training: a ticket of
Frankle and Carbin 2019 (arXiv:1803.03635). It is trained like the first, and pruned again, round by
round. Each ticket has controls with as many weights in each map, trained for as long with the same
batches: its places with other first values ("fresh values"), its first values in other places
("shuffled places"), and the places that the first training alone would have chosen at once ("one
shot"). And the whole is trained once more for as many steps as finding the last ticket took. Loss
is in bits a character of the validation plays, as in `loss_vs_experts`.

In models of this kind and larger, Frankle et al. 2020 (arXiv:1912.05671) go back not to the first
values but to those of an early step; here it is the first.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import data, pruning, train, trained, wording
from payattention.cost import parameters
from payattention.experiments.loss_vs_flops import bits
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.transformer import Decoder

TOLERANCE = {"bits": 0.05, "sparsity": 1e-9}
CONTROLS = ("fresh values", "shuffled places", "one shot")


@dataclass(frozen=True)
class Config:
    """How the models learn; their size is that of the book's small GPT, but for the text."""

    tokens: int = 64
    batch: int = 16
    steps: int = 500
    cheap_steps: int = 15
    rounds: int = 4
    learning_rate: float = 5e-3
    tests: int = 256
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, steps=60, cheap_steps=0, rounds=1, tests=64, seeds=1)


def points(config: Config) -> list[Record]:
    """One short round, cheap to repeat; then all rounds for each seed."""
    cheap: list[Record] = [{"steps": config.cheap_steps, "rounds": 1, "seed": 0}]
    return (cheap if config.cheap_steps else []) + [
        {"steps": config.steps, "rounds": config.rounds, "seed": seed}
        for seed in range(config.seeds)
    ]


def build(seed: int) -> Decoder:
    """The untrained model of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder(trained.SMALL_GPT.shape)


def learned(
    config: Config, model: Decoder, masks: pruning.Masks, *, steps: int, seed: int
) -> float:
    """Bits a character after a training in which what the masks leave out stays 0."""

    def nats(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]).mT, batch[1])

    draw = data.language_batches("train", batch=config.batch, context=config.tokens)
    recipe = train.Recipe(
        steps=steps,
        learning_rate=config.learning_rate,
        warmup_steps=max(1, steps // 10),
        seed=seed,
        record_every=steps,
    )
    with pruning.pruned(model, masks):
        train.train(model, draw, nats, recipe=recipe)
    tests = data.language_batches("validation", batch=config.tests, context=config.tokens)
    with torch.no_grad():
        return bits(model.eval(), tests(torch.Generator().manual_seed(0))).item()


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character of the whole model, of each round's ticket and of its controls."""
    steps, seed = point["steps"], point["seed"]

    def of(model: Decoder, masks: pruning.Masks) -> float:
        return learned(config, model, masks, steps=steps, seed=seed)

    first = build(seed)
    all_steps = steps * (point["rounds"] + 1)
    longer = learned(config, build(seed), {}, steps=all_steps, seed=seed)
    wholes = {"whole": of(first, {}), "whole, all steps": longer}
    found = [
        {"kind": kind, "round": 0, "sparsity": 0.0, "bits": loss} for kind, loss in wholes.items()
    ]
    learned_first = pruning.magnitudes(first)
    ticket, masks = first, pruning.keep_largest(learned_first, 0.0)
    for number in range(1, point["rounds"] + 1):
        share = 1 - 0.5**number
        scores = pruning.magnitudes(ticket)
        masks = pruning.keep_largest(scores, share, among="map", within=masks)
        generator = torch.Generator().manual_seed(1000 * seed + number)
        elsewhere = pruning.shuffled(masks, generator=generator)
        at_once = pruning.keep_largest(learned_first, share, among="map")
        ticket = build(seed)
        losses = {
            "ticket": of(ticket, masks),
            "fresh values": of(build(10_000 + seed), masks),
            "shuffled places": of(build(seed), elsewhere),
        }
        # the first round is at once by itself
        losses["one shot"] = losses["ticket"] if number == 1 else of(build(seed), at_once)
        about = {"round": number, "sparsity": pruning.sparsity(masks)}
        found += [{"kind": kind, **about, "bits": loss} for kind, loss in losses.items()]
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole_runs(results: Results) -> Results:
    """The records of the trainings of full length."""
    return results.where(steps=max(results.column("steps").tolist()))


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits by round and kind, and what a ticket is ahead, seed by seed."""
    runs = whole_runs(results)
    seeds = set(runs.column("seed").tolist())
    rounds = sorted(set(runs.column("round").tolist()))[1:]
    found = {
        "seeds": str(len(seeds)),
        "steps": f"{max(runs.column('steps').tolist()):,}",
        "rounds": str(len(rounds)),
        "trainings": str(rounds[-1] + 1),
        "parameters": f"{sum(parameters.decoder(trained.SMALL_GPT.shape).values()):,}",
        "all_steps": f"{(rounds[-1] + 1) * max(runs.column('steps').tolist()):,}",
    }
    for row in runs.where(round=0).summary("bits", by="kind"):
        found[f"{row['kind'].replace(', ', '_').replace(' ', '_')}_bits"] = wording.of_runs(row)
    whole = runs.where(kind="whole").column("bits")
    for number in rounds:
        of = runs.where(round=number)
        name = f"round_{number}"
        found[f"{name}_left"] = wording.percent(1 - of.column("sparsity")[0])
        for row in of.summary("bits", by="kind"):
            found[f"{name}_{row['kind'].replace(' ', '_')}"] = wording.of_runs(row)
        if len(seeds) > 1:
            ticket = of.where(kind="ticket").column("bits")
            controls = CONTROLS if number > 1 else CONTROLS[:-1]
            others = {"whole": whole} | {c: of.where(kind=c).column("bits") for c in controls}
            for kind, losses in others.items():
                by = paired_interval(losses, ticket)
                ahead = wording.with_bounds(by.value, by.low, by.high, digits=3)
                found[f"{name}_ahead_of_{kind.replace(' ', '_')}"] = ahead
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import ticket_vs_control

    results.main(ticket_vs_control)
