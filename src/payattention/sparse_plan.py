"""Where the pairs of a pattern lie: small dense squares of scores, planned once and kept.

A pattern says where its pairs are, roughly, as grids of rows and columns. A plan makes of them what
a processor can multiply: squares without columns that nobody looks at, cut where the halves need
fewer, and sorted by what is hidden in them: nothing, the future, or pairs by a mask, which squares
that look alike share. Rows and columns in regular steps become views of queries and keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from payattention.patterns import TILE, Grid, Pattern, allowed

CHUNK = 65_536
"""Columns of squares that are planned together."""
VECTOR = 16
"""Numbers that a processor multiplies at once; widths are rounded up to them where that is free."""
LEAST_HEIGHT = 32
"""Rows below which a square is not cut any more to leave columns out."""
WORTH_CUTTING = 0.8
"""A square is cut in two where the halves together have less than this share of its area."""


MANY, LOW = 16, 64
"""So many squares, no higher than that, are computed by plain products, which do not leave the
future out by themselves."""


@dataclass(frozen=True)
class Places:
    """Where the rows or columns of some squares stand in the text.

    Where they stand in regular steps, so many from square to square and from place to place, the
    steps are known, and `of` copies nothing.
    """

    index: Int[Tensor, "squares places"]
    steps: tuple[int, int] | None
    _alone: bool

    @staticmethod
    def at(index: Int[Tensor, "squares places"]) -> "Places":
        """Places at these positions."""
        across = int(index[1, 0] - index[0, 0]) if len(index) > 1 else 0
        along = int(index[0, 1] - index[0, 0]) if index.shape[1] > 1 else 1
        squares, places = (torch.arange(size) for size in index.shape)
        regular = index[0, 0] + across * squares[:, None] + along * places
        alone = len(index.unique()) == index.numel()
        known = torch.equal(index, regular) and along > 0 and across >= 0
        known = known and (alone or across == 0 or across >= along)
        return Places(index, (across, along) if known else None, alone)

    def some(self, part: slice) -> "Places":
        """The places of some of the squares."""
        return Places(self.index[part], self.steps, self._alone)

    def of(self, x: Float[Tensor, "heads tokens width"]) -> Float[Tensor, "heads squares places w"]:
        """What stands there: a view, if the steps are regular."""
        if self.steps is None:
            return x[:, self.index.to(x.device)]
        across, along = (step * x.stride(1) for step in self.steps)
        shape = (x.shape[0], *self.index.shape, x.shape[2])
        start = x.storage_offset() + int(self.index[0, 0]) * x.stride(1)
        return x.as_strided(shape, (x.stride(0), across, along, x.stride(2)), start)

    def put(self, to: Tensor, x: Float[Tensor, "heads squares places width"]) -> None:
        """Write `x` over what stands there, in place."""
        if self.steps is None:
            to[:, self.index.to(to.device)] = x
        else:
            self.of(to).copy_(x)

    def add(self, to: Tensor, x: Float[Tensor, "heads squares places width"]) -> None:
        """Add `x` to what stands there, in place; several squares may share a place."""
        if self.steps is None:
            to.index_add_(1, self.index.flatten().to(to.device), x.flatten(1, 2))
        elif self._alone:
            self.of(to).add_(x)
        elif self.steps[0] == 0:
            Places(self.index[:1], self.steps, True).of(to).add_(x.sum(dim=1, keepdim=True))
        else:
            size = self.steps[0] // self.steps[1]  # of so many places, no two squares share one
            for start in range(0, self.index.shape[1], size):
                part = slice(start, start + size)
                Places(self.index[:, part], self.steps, True).of(to).add_(x[:, :, part])


@dataclass(frozen=True)
class Squares:
    """Some squares of one size, and what is hidden in them: nothing, the future, or by a mask."""

    rows: Places
    columns: Places
    mask: Bool[Tensor, "squares_or_one height width"] | str | None
    blind: Bool[Tensor, "squares height"] | None
    first: bool

    @property
    def area(self) -> int:
        """Scores that are computed."""
        return self.rows.index.numel() * self.columns.index.shape[1]

    def some(self, columns: int) -> Iterator["Squares"]:
        """The squares, as many at a time as have so many columns together."""
        at_once = max(1, columns // self.columns.index.shape[1])
        for start in range(0, len(self.rows.index), at_once):
            part = slice(start, start + at_once)
            shared = not isinstance(self.mask, Tensor) or len(self.mask) == 1
            yield Squares(
                self.rows.some(part),
                self.columns.some(part),
                self.mask if shared else self.mask[part],
                None if self.blind is None else self.blind[part],
                self.first,
            )


class Plan(NamedTuple):
    """What is computed of the square of a text's scores."""

    squares: list[Squares]
    pairs: int
    executed: int
    nearest: Int[Tensor, " tokens"]
    """The first column that each row may look at."""
    written: bool
    """Whether each row is in one of the squares that are the `first` of their rows."""


@lru_cache(maxsize=32)
def plan(pattern: Pattern, tokens: int, height: int = TILE) -> Plan:
    """The squares that hold what the pattern allows, with their masks; made once and kept.

    `pairs` is how many scores the pattern allows, `executed` how many the squares have.

    >>> from payattention.patterns import causal_window
    >>> made = plan(causal_window(256), 16_384)
    >>> made.pairs, round(made.executed / made.pairs, 2)
    (4161664, 1.13)

    Raises:
        ValueError: for a row that may look at nothing; it names the row.
    """
    nearest = torch.full((tokens,), tokens)
    squares, pairs = [], 0
    for grid in pattern.grids(tokens, height=height):
        for piece, mask in _pieces(grid, tokens):
            seen = nearest[piece.rows] < tokens
            columns = piece.columns[:, None, :].expand(mask.shape)
            least = columns.where(mask, tokens).amin(dim=-1)
            nearest.scatter_reduce_(0, piece.rows.flatten(), least.flatten(), "amin")
            pairs += int(mask.sum())
            squares.append(_squares(piece, mask, tokens, first=not seen.any()))
    if (nearest == tokens).any():
        row = int((nearest == tokens).int().argmax())
        raise ValueError(f"pattern: row {row} of {tokens} may look at nothing: {pattern}")
    written = sum(each.rows.index.numel() for each in squares if each.first) == tokens
    return Plan(squares, pairs, sum(each.area for each in squares), nearest, written)


def _pieces(grid: Grid, tokens: int) -> Iterator[tuple[Grid, Tensor]]:
    """Parts of a grid and their masks, without the columns that nobody in the part may look at."""
    at_once = max(1, CHUNK // grid.columns.shape[1])
    for start in range(0, len(grid.rows), at_once):
        part = slice(start, start + at_once)
        columns = grid.columns if len(grid.columns) == 1 else grid.columns[part]
        piece = Grid(grid.rows[part], columns, grid.allows)
        mask = allowed(piece, tokens)
        some = mask.any(dim=(1, 2))
        # squares that look alike go together, with one mask; those at the edges by themselves
        alike = (mask == mask[-1]).all(dim=(1, 2))
        for which in (some & alike, some & ~alike):
            if which.any():
                columns = piece.columns if len(piece.columns) == 1 else piece.columns[which]
                yield from _cut(Grid(piece.rows[which], columns, grid.allows), mask[which], tokens)


def _cut(grid: Grid, mask: Tensor, tokens: int) -> Iterator[tuple[Grid, Tensor]]:
    """The grid without unseen columns, or its upper and lower half, if they need fewer."""
    seen = _rounded(mask.any(dim=(0, 1)), grid.columns, tokens)
    grid, mask = Grid(grid.rows, grid.columns[:, seen], grid.allows), mask[:, :, seen]
    middle = mask.shape[1] // 2
    low = len(mask) >= MANY and mask.shape[1] <= LOW
    if middle >= LEAST_HEIGHT and (low or not _is_causal(mask)):
        halves = slice(None, middle), slice(middle, None)
        widths = [int(mask[:, half].any(dim=(0, 1)).sum()) for half in halves]
        if sum(widths) < WORTH_CUTTING * 2 * mask.shape[2]:
            for half in halves:
                if mask[:, half].any():
                    rows = grid.rows[:, half]
                    yield from _cut(Grid(rows, grid.columns, grid.allows), mask[:, half], tokens)
            return
    yield grid, mask


def _rounded(seen: Tensor, columns: Tensor, tokens: int) -> Tensor:
    """The columns that are seen, and some next to them, for a width that suits the kernel."""
    first, count = int(seen.int().argmax()), int(seen.sum())
    more, end = -count % VECTOR, first + count
    if not more or not bool(seen[first:end].all()):
        return seen
    wider = seen.clone()
    if more <= first and bool((columns[:, first - more] >= 0).all()):
        wider[first - more : first] = True
    elif (
        len(columns) >= MANY
        and VECTOR * more <= count <= len(seen) - first - more
        and bool((columns[:, end + more - 1] < tokens).all())
    ):
        wider[end : end + more] = True
    return wider


def _squares(grid: Grid, mask: Tensor, tokens: int, *, first: bool) -> Squares:
    blind = ~mask.any(dim=-1)
    kind: Tensor | str | None = mask
    if mask.all():
        kind = None
    elif _is_causal(mask):
        kind = "causal"
    elif (mask == mask[:1]).all():
        kind = mask[:1]
    return Squares(
        rows=Places.at(grid.rows),
        columns=Places.at(grid.columns.clamp(0, tokens - 1).expand(len(grid.rows), -1)),
        mask=kind,
        blind=blind if blind.any() else None,
        first=first,
    )


def _is_causal(mask: Tensor) -> bool:
    return mask.shape[1] == mask.shape[2] and torch.equal(mask, torch.ones_like(mask).tril())
