"""What is saved on paper, and what on the clock?

Rows halt at depths from 1 to 12, as many at each, in no order. The plain form computes all of them
to the end; four others compute what is needed: `packed` picks out what still runs after every step,
`ACT` is the library's, which does so too and keeps the shares of all steps, `sorted` knows the
depths beforehand and has put the rows in order, so that what still runs is the front of a tensor
and nothing has to be picked out, and `alone` takes one row after another.
The rows are vectors, for a GRU cell, or texts, for a Transformer block; nothing is trained, and the
depths are given, so that all forms compute the same.

`counted` is the share of operations that is left out, `seconds` those of a forward pass; a form
keeps so much of the promise as its saved share of the time is of the saved share of operations.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from payattention import measure as clock
from payattention import wording
from payattention.adaptive_compute.halting import ACT
from payattention.adaptive_compute.repeated import RepeatedBlock, RepeatedCell
from payattention.measure import interval
from payattention.records import Record, Results
from payattention.shape import RecurrentShape, TransformerShape

ALONE = True
TOLERANCE = {"seconds": None, "counted": 1e-9}
FORMS = ("plain", "packed", "ACT", "sorted", "alone")


@dataclass(frozen=True)
class Config:
    """Sizes of what is repeated, how many rows, and how often each form is timed."""

    cells: tuple[int, ...] = (64, 128, 256, 512, 1024)
    blocks: tuple[tuple[int, int], ...] = (
        *((32, 16), (64, 16), (128, 16), (256, 16)),
        *((64, 32), (128, 32), (64, 64), (128, 64)),
    )
    """Width, and tokens of a text."""
    rows: int = 64
    max_steps: int = 12
    repeats: int = 15


FULL = Config()
LIVE = replace(FULL, cells=(64, 512), blocks=((64, 16), (128, 16)), repeats=3)


def points(config: Config) -> list[Record]:
    """A size each; the smallest first."""
    return [
        *({"kind": "cell", "d_model": d, "tokens": 1} for d in config.cells),
        *({"kind": "block", "d_model": d, "tokens": tokens} for d, tokens in config.blocks),
    ]


def depths(config: Config) -> Int[Tensor, " rows"]:
    """As many rows of each depth as there can be, in no order."""
    even = torch.arange(config.rows) % config.max_steps + 1
    return even[torch.randperm(config.rows, generator=torch.Generator().manual_seed(0))]


def forms(config: Config, point: Record) -> dict[str, Callable[[], Tensor]]:
    """The ways to compute the same states, as functions of nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _forms(config, point)


def _forms(config: Config, point: Record) -> dict[str, Callable[[], Tensor]]:
    d, tokens, given = point["d_model"], point["tokens"], depths(config)
    if point["kind"] == "cell":
        step = RepeatedCell(RecurrentShape("gru", d_input=d, d_hidden=d))
        x = torch.randn(config.rows, d)
    else:
        heads = max(1, d // 32)
        step = RepeatedBlock(
            TransformerShape(
                layers=1,
                d_model=d,
                heads=heads,
                kv_heads=heads,
                d_ff=4 * d,
                vocab=1,
                biases="none",
                positions="none",
            )
        )
        x = torch.randn(config.rows, tokens, d)
    halting = ACT(step.state_size, max_steps=config.max_steps)
    order = given.argsort(descending=True, stable=True)

    def all_of_them() -> Tensor:
        run = step.begin(x)
        state, found = run.state, torch.zeros_like(run.state)
        rows = torch.arange(len(state))
        for depth in range(1, config.max_steps + 1):
            state = run.advance(state, rows)
            halting.amounts(state)
            here = (given == depth).view(-1, *[1] * (state.ndim - 1))
            found = torch.where(here, state, found)
        return found

    def picked_out() -> Tensor:
        run = step.begin(x)
        state, rows = run.state, torch.arange(len(x))
        found, until = torch.empty_like(state), given
        for depth in range(1, config.max_steps + 1):
            state = run.advance(state, rows)
            halting.amounts(state)
            ends = until <= depth
            if ends.any():
                found[rows[ends]] = state[ends]
                going = ~ends
                state, rows, until = state[going], rows[going], until[going]
            if not len(rows):
                break
        return found

    def in_order() -> Tensor:
        run = step.begin(x[order])
        state, deepest = run.state, given[order]
        out = torch.empty_like(state)
        rows = torch.arange(len(state))
        for depth in range(1, config.max_steps + 1):
            state = run.advance(state, rows)
            halting.amounts(state)
            going = int((deepest > depth).sum())
            out[going : len(state)] = state[going:]
            state, rows = state[:going], rows[:going]
        return out[order.argsort()]

    def one_by_one() -> Tensor:
        found = []
        for row, depth in zip(x, given.tolist(), strict=True):
            run = step.begin(row[None])
            state, rows = run.state, torch.zeros(1, dtype=torch.long)
            for _ in range(depth):
                state = run.advance(state, rows)
                halting.amounts(state)
            found.append(state)
        return torch.cat(found)

    return {
        "plain": all_of_them,
        "packed": picked_out,
        "ACT": lambda: halting(step.begin(x), until=given).mixed,
        "sorted": in_order,
        "alone": one_by_one,
    }


@torch.inference_mode()
def measure(config: Config, point: Record) -> list[Record]:
    """Seconds of each form in each round, and the share of operations that it leaves out."""
    ways = forms(config, point)
    saved = 1 - depths(config).double().mean().item() / config.max_steps
    measured = clock.compare(ways, repeats=config.repeats, warmup=2)
    return [
        {
            "form": form,
            "repeat": repeat,
            "seconds": seconds,
            "counted": 0.0 if form == "plain" else saved,
        }
        for form, all_seconds in measured.items()
        for repeat, seconds in enumerate(all_seconds)
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def kept(results: Results) -> list[Record]:
    """How much of the counted saving each form keeps on the clock, by size, with its interval."""
    found = []
    sizes = dict.fromkeys(
        zip(*(results.columns[name] for name in ("kind", "d_model", "tokens")), strict=True)
    )
    for kind, d_model, tokens in sizes:
        of = results.where(kind=kind, d_model=d_model, tokens=tokens)
        plain = of.where(form="plain").column("seconds")
        for form in FORMS[1:]:
            rows = of.where(form=form)
            saved = 1 - rows.column("seconds") / plain
            share = interval((saved / rows.column("counted")[0]).tolist())
            times = rows.column("seconds") / plain
            found.append(
                {
                    "kind": kind,
                    "d_model": d_model,
                    "tokens": tokens,
                    "form": form,
                    "kept": share.value,
                    "low": share.low,
                    "high": share.high,
                    "times": times.mean().item(),
                }
            )
    return found


def findings(results: Results) -> dict[str, str]:
    """What the text says: the share of the saving that is kept, and from which size it is some."""
    found = {
        "rows": str(FULL.rows),
        "counted": wording.percent(results.where(form="packed").column("counted")[0]),
    }
    for row in kept(results):
        name = f"{row['kind']}_{row['d_model']}_{row['tokens']}_{row['form']}"
        found[name] = wording.percent_with_bounds(row["kept"], row["low"], row["high"])
        found[f"{name}_times"] = f"{row['times']:.1f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import time_vs_halting

    results.main(time_vs_halting)
