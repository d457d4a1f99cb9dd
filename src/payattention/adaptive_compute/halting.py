"""Halting: the same step is taken again and again, until each row has had enough.

After every step a unit reads the state and says how much of the answer should be taken from here.
In ACT these amounts are added up, and a row halts when they reach 1; its answer is their mixture.
In PonderNet each is the chance to halt now, if the row has not halted before; one step is drawn,
and training takes the mean over all of them. Both end where `epsilon` or less is left, and give
what is left to the last step, so that shares sum to 1, but for rounding.

Rows that have halted are not computed any more: what still runs is packed together. With
`compact=False` everything is computed, and what has halted is weighed 0; the numbers are the same.

Sources: Graves 2016 (arXiv:1603.08983), equations 5 to 13; Banino et al. 2021, PonderNet
(arXiv:2107.05407), section 2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from payattention.cost.operations import Flops, add, matmul


@dataclass
class Run:
    """What is repeated, begun on some input: the state of each row, and what takes it further.

    `advance` is given the states of the rows that still run, and which rows they are; it returns
    their next states, and adds what it executed to `flops`. It knows which step comes next, so that
    a run is used once.
    """

    state: Float[Tensor, "rows *state"]
    advance: Callable[[Tensor, Tensor], Tensor]
    flops: Flops = field(default_factory=dict)
    used: bool = False

    def use(self) -> None:
        """Return nothing; refuse to be used twice."""
        if self.used:
            raise ValueError("run: got one that has been used; expected a new one, from `begin`")
        self.used = True

    def spend(self, flops: Flops) -> None:
        """Return nothing; add to what was executed, part by part."""
        add(self.flops, flops)


class Stage(NamedTuple):
    """One step: which rows took it, their states behind it, and the share of each it is given."""

    rows: Int[Tensor, " running"]
    state: Float[Tensor, "running *state"]
    share: Float[Tensor, " running"]


@dataclass(frozen=True)
class Thought:
    """All steps of some rows, and what they have spent.

    `depth` is how many steps each row took, `remainder` what was left for its last one.
    """

    stages: tuple[Stage, ...]
    depth: Int[Tensor, " rows"]
    remainder: Float[Tensor, " rows"]
    flops: Flops

    @cached_property
    def halt(self) -> Float[Tensor, "rows steps"]:
        """The share of each step in each row's answer; a row sums to 1."""
        of = self.remainder.new_zeros(len(self.depth))
        return torch.stack([of.index_add(0, s.rows, s.share) for s in self.stages], dim=1)

    @cached_property
    def mixed(self) -> Float[Tensor, "rows *state"]:
        """The mean of each row's states, by their shares: the answer of ACT."""
        first = self.stages[0].state
        mixed = torch.zeros_like(first)
        for rows, state, share in self.stages:
            mixed = mixed.index_add(0, rows, state * _along(share, state))
        return mixed

    @property
    def ponder(self) -> Float[Tensor, " rows"]:
        """ACT's cost of each row: steps, and the remainder, which alone has a gradient."""
        return self.depth + self.remainder

    def expected(self, loss: Callable[[Tensor, Tensor], Tensor]) -> Float[Tensor, ""]:
        """The mean over rows of `loss(state, rows)`, which gives one number a row, by shares."""
        parts = [(share * loss(state, rows)).sum() for rows, state, share in self.stages]
        return torch.stack(parts).sum() / len(self.depth)

    def divergence(self, prior: Float[Tensor, " steps"]) -> Float[Tensor, ""]:
        """PonderNet's cost: mean KL divergence, in nats, of the shares from a prior.

        Raises:
            ValueError: for a prior that is no list of numbers from 0 up, does not sum to 1, or is
                shorter than the steps taken. (A chance of 0 counts as one of 1e-12.)
        """
        if prior.ndim != 1:
            raise ValueError(f"prior: got shape {tuple(prior.shape)}; expected one number a step")
        if not (prior >= 0).all() or not abs(prior.sum().item() - 1) <= 1e-5:
            raise ValueError(
                f"prior: got a sum of {prior.sum().item():.6g}; expected numbers from 0 up that "
                "sum to 1"
            )
        if len(prior) < len(self.stages):
            raise ValueError(
                f"prior: got {len(prior)} steps; expected {len(self.stages)}, as were taken"
            )
        shares, prior = self.halt, prior.to(self.remainder)
        ratio = (shares.clamp_min(1e-12) / prior[: shares.shape[1]].clamp_min(1e-12)).log()
        return (shares * ratio).sum(dim=1).mean()


def geometric(rate: float, steps: int) -> Float[Tensor, " steps"]:
    """Chances to halt at each step, if it is `rate` at every one; cut off, and made to sum to 1.

    >>> geometric(0.5, 3)
    tensor([0.5714, 0.2857, 0.1429])

    Raises:
        ValueError: for a rate that is not between 0 and 1, or fewer than 1 step.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate}: expected more than 0 and less than 1")
    _expect_steps(steps, "steps")
    chances = rate * (1 - rate) ** torch.arange(steps)
    return chances / chances.sum()


class Halting(nn.Module):
    """A unit that reads the state after each step, and the rule by which a row halts.

    A state of several tokens is read as their mean. `bias` is where the unit begins: 1 says stop
    early, which Graves recommends for ACT.

    Raises:
        ValueError: for fewer than 1 step, and an epsilon that is not between 0 and 1.
    """

    def __init__(
        self, d_hidden: int, *, max_steps: int, epsilon: float = 0.01, bias: float = 1.0
    ) -> None:
        super().__init__()
        _expect_steps(max_steps)
        if not 0 < epsilon < 1:
            raise ValueError(f"epsilon={epsilon}: expected more than 0 and less than 1")
        self.max_steps, self.epsilon = max_steps, epsilon
        self.unit = nn.Linear(d_hidden, 1)
        nn.init.constant_(self.unit.bias, bias)

    def amounts(self, state: Float[Tensor, "rows *state"]) -> Float[Tensor, " rows"]:
        """What the unit says to each state, between 0 and 1."""
        read = state.flatten(1, -2).mean(dim=1) if state.ndim > 2 else state
        return torch.sigmoid(self.unit(read)[:, 0])

    def shares(self, amounts: Tensor, left: Tensor) -> Tensor:
        """What this step would be given, of what is `left`."""
        raise NotImplementedError

    @staticmethod
    def _stepped(run: Run, state: Tensor, rows: Tensor, running: Tensor) -> Tensor:
        """The states after a step; of rows that have halted, and are computed all the same, none
        changes."""
        after = run.advance(state, rows)
        return after if running.all() else torch.where(_along(running, state), after, state)

    def forward(
        self, run: Run, *, until: Int[Tensor, " rows"] | None = None, compact: bool = True
    ) -> Thought:
        """The run's steps, until every row has halted or taken `max_steps`.

        With `until`, each row halts after so many steps, or after `max_steps` if that is fewer,
        whatever the unit says, and is given all of its share there.

        Raises:
            ValueError: for a run that has been used, and an `until` that is not a number of at
                least 1 for each row.
        """
        run.use()
        count, d_hidden = len(run.state), self.unit.in_features
        if until is not None and (until.shape != (count,) or (until < 1).any()):
            raise ValueError(
                f"until: got shape {tuple(until.shape)}; expected {count} numbers of at least 1"
            )
        state, rows = run.state, torch.arange(count, device=run.state.device)
        left = run.state.new_ones(count)
        running = torch.ones(count, dtype=torch.bool, device=left.device)
        depth = torch.zeros(count, dtype=torch.long, device=left.device)
        remainder, stages = run.state.new_zeros(count), []
        for step in range(1, self.max_steps + 1):
            state = self._stepped(run, state, rows, running)
            run.spend({"halting": matmul(len(rows), d_hidden, 1)})
            wanted = self.shares(self.amounts(state), left)
            last = left - wanted <= self.epsilon
            if until is not None:
                wanted, last = torch.zeros_like(left), until[rows] <= step
            last = last | (step == self.max_steps)
            share = torch.where(last, left, wanted) * running
            stages.append(Stage(rows, state, share))
            ends, depth = running & last, depth.index_add(0, rows, running.long())
            remainder = remainder.index_add(0, rows, left * ends)
            left, running = left - share, running & ~last
            if compact:
                rows, state, left = rows[running], state[running], left[running]
                running = running[running]
            if not running.any():
                break
        return Thought(tuple(stages), depth, remainder, dict(run.flops))


class ACT(Halting):
    """Adaptive computation time: amounts are added up, and a row halts when they reach 1."""

    def shares(self, amounts: Tensor, left: Tensor) -> Tensor:
        """The amount itself."""
        return amounts


class PonderNet(Halting):
    """Each amount is the chance to halt now, of the rows that have not halted before."""

    def shares(self, amounts: Tensor, left: Tensor) -> Tensor:
        """The amount, of what is left."""
        return amounts * left

    def draw(
        self,
        run: Run,
        *,
        chances: Float[Tensor, "rows steps"] | None = None,
        compact: bool = True,
    ) -> tuple[Tensor, Int[Tensor, " rows"], Flops]:
        """State of each row where it halts, at which step that is, and what was spent.

        A row halts at the first step whose amount is above its number in `chances`, drawn evenly
        between 0 and 1, or where no more than `epsilon` of its shares is left; without any chances,
        where half of its shares are spent.

        Raises:
            ValueError: for a run that has been used.
        """
        run.use()
        count, d_hidden = len(run.state), self.unit.in_features
        state, rows = run.state, torch.arange(count, device=run.state.device)
        found, left = torch.zeros_like(run.state), run.state.new_ones(count)
        running = torch.ones(count, dtype=torch.bool, device=left.device)
        depth = torch.zeros(count, dtype=torch.long, device=left.device)
        for step in range(1, self.max_steps + 1):
            state = self._stepped(run, state, rows, running)
            run.spend({"halting": matmul(len(rows), d_hidden, 1)})
            amounts = self.amounts(state)
            left = left * (1 - amounts)
            halts = left <= 0.5 if chances is None else chances[rows, step - 1] < amounts
            ends = running & (halts | (left <= self.epsilon) | (step == self.max_steps))
            found = found.index_add(0, rows, state * _along(ends, state))
            depth = depth.index_add(0, rows, running.long())
            running = running & ~ends
            if compact:
                rows, state, left = rows[running], state[running], left[running]
                running = running[running]
            if not running.any():
                break
        return found, depth, dict(run.flops)


def _along(weights: Tensor, state: Tensor) -> Tensor:
    """One number a row, with as many axes as the state."""
    return weights.view(-1, *[1] * (state.ndim - 1))


def _expect_steps(steps: int, name: str = "max_steps") -> None:
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"{name}={steps!r}: expected a whole number of at least 1")
