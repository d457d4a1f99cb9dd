"""Does a longer sum take more steps of thought, and do they pay?

Two numbers of one to eight digits stand one above the other, as on paper, and a small model writes
the sum below, all columns at once. A column is a token; the model is one Transformer block, applied
again and again. It is applied a fixed number of times, or each column halts by itself, by ACT, for
a penalty on every step. In one kind a column `sees` all others, in the other only its right
neighbour and itself, so that what is carried has to travel step by step, as it does on paper.

Judged is on pairs of numbers that training never draws, one in seven of all. `exact`
is the share of sums that are right in all columns, `depth` the mean over columns, `filled` that
over columns in which there are digits. `operations` are those of a sum: the block, the halting unit
and the output. `times` are the seconds in which some sums of all lengths are written together, next
to those of an untrained block that is applied twice and sees as much, in the same round; they are
the same in all records of a training. The longest sums are also told apart by their `reach`, how
many columns to its right one of their columns has to look at to know its digit.

Sources: Graves 2016 (arXiv:1603.08983); Dehghani et al. 2018 (arXiv:1807.03819).
"""

import statistics
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import measure as clock
from payattention import train, wording
from payattention.adaptive_compute.halting import ACT, Flops, Thought
from payattention.adaptive_compute.repeated import RepeatedBlock
from payattention.cost import operations
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.tasks import Addition

TOLERANCE = {
    "exact": 0.1,
    "depth": 1.0,
    "filled": 1.0,
    "sums": 0,
    "operations": None,
    "times": None,
}
ELSEWHERE = TOLERANCE | {"exact": 1.0, "depth": 6.0, "filled": 6.0}
TIMED, ROUNDS = 256, 7
"""How many sums are timed, and how often."""


@dataclass(frozen=True)
class Config:
    """How deep, for which penalties, and how the models are trained and judged."""

    digits: int = 8
    fixed: tuple[int, ...] = (1, 2, 3, 4)
    taus: tuple[float, ...] = (0.001, 0.01, 0.03)
    near_fixed: tuple[int, ...] = (2, 3, 4)
    near_taus: tuple[float, ...] = (0.001, 0.01)
    max_steps: int = 12
    d_model: int = 64
    heads: int = 4
    batch: int = 64
    steps: int = 1500
    cheap_steps: int = 20
    judged: int = 2000
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, fixed=(2,), taus=(0.01,), near_fixed=(), near_taus=(), steps=250, cheap_steps=0, seeds=1
)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; then a training each: τ is None where depth is fixed."""

    def point(sees: str, fixed: int | None, tau: float | None, steps: int, seed: int) -> Record:
        return {"sees": sees, "fixed": fixed, "tau": tau, "steps": steps, "seed": seed}

    ways = [("all", fixed, None) for fixed in config.fixed]
    ways += [("all", None, tau) for tau in config.taus]
    ways += [("its neighbour", fixed, None) for fixed in config.near_fixed]
    ways += [("its neighbour", None, tau) for tau in config.near_taus]
    cheap = [point("all", None, 0.01, config.cheap_steps, 0)] if config.cheap_steps else []
    return cheap + [point(*way, config.steps, seed) for way in ways for seed in range(config.seeds)]


class Adder(nn.Module):
    """A block that is applied to the columns of a sum, so many times or until each has halted."""

    def __init__(self, config: Config, *, fixed: int | None, sees: str) -> None:
        super().__init__()
        task = Addition(config.digits)
        d, columns = config.d_model, task.places
        self.task, self.fixed = task, fixed
        self.shape = TransformerShape(
            layers=1,
            d_model=d,
            heads=config.heads,
            kv_heads=config.heads,
            d_ff=4 * d,
            vocab=task.vocab,
            biases="none",
            positions="none",
        )
        self.upper, self.lower = nn.Embedding(task.vocab, d), nn.Embedding(task.vocab, d)
        self.places = nn.Parameter(0.3 * torch.randn(columns, d))
        self.step = RepeatedBlock(self.shape, halts="token")
        self.halting = ACT(d, max_steps=config.max_steps, bias=-1.0)
        self.norm, self.output = nn.LayerNorm(d), nn.Linear(d, task.vocab)
        near = torch.eye(columns, dtype=torch.bool)
        near |= near.roll(1, dims=1)  # the column to the right; of the last one, itself
        near[-1, 0] = False
        self.register_buffer("near", near if sees == "its neighbour" else None)

    def columns(
        self, problems: Int[Tensor, "batch read"]
    ) -> Float[Tensor, "batch columns d_model"]:
        """The two digits of each column, and its place, as one vector."""
        digits, blank = self.task.digits, self.task.BLANK
        upper, lower = problems[:, :digits], problems[:, digits + 1 : -1]
        upper, lower = (F.pad(row, (1, 0), value=blank) for row in (upper, lower))
        return self.upper(upper) + self.lower(lower) + self.places

    def forward(
        self, problems: Int[Tensor, "batch read"]
    ) -> tuple[Float[Tensor, "batch columns vocab"], Thought | None]:
        """Logits of each column of the sum, and how they were come by, where depth is not fixed."""
        x = self.columns(problems)
        if self.fixed is not None:
            for _ in range(self.fixed):
                x = self.step.block(x, mask=self.near)
            return self.output(self.norm(x)), None
        thought = self.halting(self.step.begin(x, mask=self.near))
        return self.output(self.norm(thought.mixed)).view(*x.shape[:2], -1), thought

    def flops(self, thought: Thought | None, *, batch: int) -> Flops:
        """Operations of one forward pass, by part."""
        columns = len(self.places)
        rows = batch * columns
        out = {"digits": operations.matmul(rows, self.shape.d_model, self.shape.vocab)}
        if thought is not None:
            return thought.flops | out
        once = operations.block(self.shape, tokens=columns)
        return {part: batch * self.fixed * flops for part, flops in once.items()} | out


def learn(config: Config, point: Record) -> Adder:
    """The trained model of a point."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Adder(config, fixed=point["fixed"], sees=point["sees"])

    def loss(model: Adder, batch: tuple[Tensor, Tensor]) -> Tensor:
        logits, thought = model(batch[0])
        answer = F.cross_entropy(logits.mT, batch[1])
        return answer if thought is None else answer + point["tau"] * thought.ponder.mean()

    train.train(
        model,
        lambda generator: model.task.draw(config.batch, generator)[:2],
        loss,
        recipe=train.Recipe(
            steps=point["steps"],
            learning_rate=2e-3,
            warmup_steps=min(150, point["steps"]),
            weight_decay=0.01,
            seed=point["seed"],
            record_every=point["steps"],
        ),
    )
    return model.eval()


def seconds(config: Config, model: Adder, sees: str) -> float:
    """Seconds to write some sums, next to those of the block twice: the median of the rounds."""
    problems, _, _ = model.task.draw(TIMED, torch.Generator().manual_seed(0), held_out=True)
    twice = Adder(config, fixed=2, sees=sees).eval()
    return statistics.median(
        clock.ratios(lambda: model(problems), lambda: twice(problems), repeats=ROUNDS, warmup=2)
    )


@torch.no_grad()
def measure(config: Config, point: Record) -> list[Record]:
    """Exact sums, depth, operations and seconds, by how many digits the numbers have."""
    with torch.enable_grad():
        model = learn(config, point)
    found, times = [], seconds(config, model, point["sees"])
    for digits in range(1, config.digits + 1):
        chance = torch.Generator().manual_seed(digits)
        problems, answers, _ = model.task.draw(config.judged, chance, digits=digits, held_out=True)
        logits, thought = model(problems)
        right = (logits.argmax(dim=-1) == answers).all(dim=1).double()
        depth = torch.full(answers.shape, float(model.fixed or 0))
        if thought is not None:
            depth = thought.depth.view(answers.shape)
        filled = depth[:, -digits:].double().mean(dim=1)
        found.append(
            {
                "digits": digits,
                "exact": right.mean().item(),
                "depth": depth.double().mean().item(),
                "filled": filled.mean().item(),
                "operations": sum(model.flops(thought, batch=len(problems)).values())
                / len(problems),
                "times": times,
            }
        )
    reach = model.task.reach(problems).amax(dim=1)
    found += [
        {
            "digits": digits,
            "reach": far,
            "sums": int(rows.sum()),
            "exact": right[rows].mean().item(),
            "filled": filled[rows].mean().item(),
        }
        for far in range(1, digits + 1)
        if (rows := reach == far).any()
    ]
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def ends(results: Results) -> Results:
    """The records by number of digits, without the short training."""
    return results.where(steps=int(max(results.column("steps"))), reach=None)


def by_reach(results: Results) -> Results:
    """The records of the longest sums, by reach, without the short training."""
    rows = results.where(steps=int(max(results.column("steps")))).records()
    return Results.from_records(results.question, [row for row in rows if row["reach"] is not None])


def findings(results: Results) -> dict[str, str]:
    """What the text says: exact sums, depth and operations of each way, short and long sums."""
    rows = ends(results)
    found = {"seeds": str(len(set(rows.columns["seed"])))}
    near = rows.where(sees="its neighbour")
    act, three = (
        [row["mean"] for row in runs.summary("exact", by="seed")]
        for runs in (near.where(tau=0.01), near.where(fixed=3))
    )
    if len(act) == len(three) > 1:
        ahead = clock.paired_interval(act, three)
        points = (100 * bound for bound in (ahead.value, ahead.low, ahead.high))
        found["near_ahead"] = wording.with_bounds(*points)
    ways = dict.fromkeys(
        zip(*(rows.columns[name] for name in ("sees", "fixed", "tau")), strict=True)
    )
    for sees, fixed, tau in ways:
        of = rows.where(sees=sees, fixed=fixed, tau=tau)
        way = f"fixed_{fixed}" if tau is None else f"tau_{tau:g}"
        name = f"{'near_' if sees != 'all' else ''}{way}"
        by_seed = [of.where(seed=seed) for seed in dict.fromkeys(of.columns["seed"])]
        exact = [runs.column("exact").mean() for runs in by_seed]
        found[f"{name}_exact"] = wording.of_values(exact, digits=1, share=True)
        found[f"{name}_depth"] = f"{of.column('depth').mean():.1f}"
        found[f"{name}_operations"] = f"{of.column('operations').mean() / 1e6:.1f} million"
        times = [runs.column("times").mean() for runs in by_seed]
        found[f"{name}_times"] = wording.of_values(times)
        for digits in sorted(set(of.columns["digits"])):
            some = of.where(digits=digits)
            found[f"{name}_{digits}_exact"] = wording.percent(some.column("exact").mean())
            found[f"{name}_{digits}_depth"] = f"{some.column('depth').mean():.1f}"
            found[f"{name}_{digits}_filled"] = f"{some.column('filled').mean():.1f}"
        reached = by_reach(results).where(sees=sees, fixed=fixed, tau=tau)
        for far in sorted(set(reached.columns["reach"])):
            some = reached.where(reach=far)
            found[f"reach_{far}_sums"] = str(some.columns["sums"][0])
            found[f"{name}_reach_{far}_exact"] = wording.percent(some.column("exact").mean())
            found[f"{name}_reach_{far}_filled"] = f"{some.column('filled').mean():.1f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import depth_vs_digits

    results.main(depth_vs_digits)
