"""Who may look at whom: rules of attention that do not look everywhere, and what is made of them.

A pattern says, from two places alone, whether a row (a query) may look at a column (a key). Two of
them are joined by `|` (either allows it) and cut by `&` (both do), so that a window that looks back
is ``CAUSAL & Window(256)``, and the patterns of Child et al. are two lines. What a pattern allows
in a short text it allows in a long one as well.

Besides its rule a pattern knows where its pairs lie, as `Grid`s of rows and columns that hold all
of them: `payattention.sparse_attention` computes those and never the rest of the square.

Sources: Child et al. 2019 (arXiv:1904.10509) for strided and fixed; Beltagy et al. 2020
(arXiv:2004.05150) for windows with global tokens; Zaheer et al. 2020 (arXiv:2007.14062) for random
blocks.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

TILE = 32
"""Rows of a window that are computed together: enough for a matrix product to be worth it, and few
enough that little is computed beside the window."""
MARGIN = 15
"""Columns in front of a window that may be computed with it, where a round number is faster."""
BAND = 256
"""Rows that are computed together where what they may look at differs little."""
SUMMED = 2048
"""Rows that look at the ends of blocks together; few columns more are computed for each."""
PRIME = 2**31 - 1


@dataclass(frozen=True)
class Grid:
    """Squares of scores side by side: those of rows[i] with columns[i], where `allows` says so.

    A column may lie outside of the text, and is nobody's then; a row may not. With one row of
    `columns`, all squares share it.
    """

    rows: Int[Tensor, "squares height"]
    columns: Int[Tensor, "squares width"]
    allows: "Pattern"


class Pattern(ABC):
    """A rule of who may look at whom.

    A pattern of your own needs `allows` alone; with `grids` as well it is fast.
    """

    @abstractmethod
    def allows(self, rows: Int[Tensor, "*a"], columns: Int[Tensor, "*b"]) -> Bool[Tensor, "..."]:
        """Whether each row may look at each column; the two are broadcast against each other."""

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        """Grids that hold each pair that the pattern allows once, and may hold others.

        Where it is free to choose, squares are `height` rows high.
        """
        for rows, columns in _bands(tokens, lambda end: tokens):
            yield Grid(rows, columns, self)

    @property
    def furthest(self) -> int | None:
        """How far back a row may look, itself counted; None where there is no end."""
        return None

    def mask(self, tokens: int) -> Bool[Tensor, "tokens tokens"]:
        """The whole square: True where a row may look at a column.

        >>> (CAUSAL & Window(2)).mask(3).int().tolist()
        [[1, 0, 0], [1, 1, 0], [0, 1, 1]]

        Raises:
            ValueError: for fewer than one token.
        """
        at = torch.arange(_whole("tokens", tokens))
        return self.allows(at[:, None], at).expand(tokens, tokens)

    def pairs(self, tokens: int) -> int:
        """How many pairs of a row and a column it allows: scores, in each head.

        >>> CAUSAL.pairs(4), (CAUSAL & Window(2)).pairs(4)
        (10, 7)

        Raises:
            ValueError: for fewer than one token.
        """
        _whole("tokens", tokens)
        return sum(int(allowed(grid, tokens).sum()) for grid in self.grids(tokens))

    def reach(self, tokens: int, *, layers: int) -> Int[Tensor, " tokens"]:
        """For each token, in how many layers news of it gets to the last; 0 where `layers` do not.

        The last token is its own neighbour in one layer if it may look at itself.

        >>> (CAUSAL & Window(2)).reach(4, layers=2).tolist()
        [0, 2, 1, 1]

        Raises:
            ValueError: for fewer than one token or layer.
        """
        mask = self.mask(tokens)
        found = torch.zeros(tokens, dtype=torch.long)
        asked = torch.zeros(tokens, dtype=torch.bool)
        asked[-1] = True
        for layer in range(1, _whole("layers", layers) + 1):
            asked = mask[asked].any(dim=0)
            found[asked & (found == 0)] = layer
        return found

    def __or__(self, other: "Pattern") -> "Pattern":
        return _Either(self, other)

    def __and__(self, other: "Pattern") -> "Pattern":
        return _Both(self, other)

    def __invert__(self) -> "Pattern":
        return _Not(self)


def allowed(grid: Grid, tokens: int) -> Bool[Tensor, "squares height width"]:
    """Which pairs of a grid are allowed; none with a column outside of the text."""
    columns = grid.columns[:, None, :]
    inside = (columns >= 0) & (columns < tokens)
    return grid.allows.allows(grid.rows[:, :, None], columns) & inside


# Rules


@dataclass(frozen=True)
class Full(Pattern):
    """Everybody may look at everybody."""

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return torch.ones_like(rows - columns, dtype=torch.bool)


@dataclass(frozen=True)
class Causal(Pattern):
    """A token may look at itself and at what came before."""

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return columns <= rows

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        for rows, columns in _bands(tokens, lambda end: end):
            yield Grid(rows, columns, self)


@dataclass(frozen=True)
class Window(Pattern):
    """A token may look at itself and at `size` - 1 neighbours on either side.

    >>> int((CAUSAL & Window(256)).mask(1000)[-1].sum())
    256
    """

    size: int

    def __post_init__(self) -> None:
        _whole("size", self.size)

    @property
    def furthest(self) -> int:
        return self.size

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return (rows - columns).abs() < self.size

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        for starts, height_ in _tiles(tokens, max(16, min(height, self.size // 4))):
            rows = starts[:, None] + torch.arange(height_)
            # some columns more than needed, of which as many are taken as suit a kernel
            beside = torch.arange(1 - self.size - MARGIN, height_ + self.size - 1)
            yield Grid(rows, starts[:, None] + beside, self)


@dataclass(frozen=True)
class Strided(Pattern):
    """A token may look at every token that is a multiple of `stride` away."""

    stride: int

    def __post_init__(self) -> None:
        _whole("stride", self.stride)

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return (rows - columns) % self.stride == 0

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        whole, rest = divmod(tokens, self.stride)
        for first, last, length in ((0, rest, whole + 1), (rest, self.stride, whole)):
            if first < last and length:
                at = torch.arange(first, last)[:, None] + self.stride * torch.arange(length)
                yield Grid(at, at, self)


@dataclass(frozen=True)
class Blocks(Pattern):
    """The text is cut into blocks of `size` tokens; a token may look at those of its own."""

    size: int

    def __post_init__(self) -> None:
        _whole("size", self.size)

    @property
    def furthest(self) -> int:
        return self.size

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return rows // self.size == columns // self.size

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        for starts, size in _tiles(tokens, self.size):
            block = starts[:, None] + torch.arange(size)
            for rows in block.split(height, dim=1):
                yield Grid(rows, block, self)


@dataclass(frozen=True)
class Summaries(Pattern):
    """Everybody may look at the last `count` tokens of each block of `size`."""

    size: int
    count: int = 1

    def __post_init__(self) -> None:
        if _whole("count", self.count) > _whole("size", self.size):
            raise ValueError(f"count: got {self.count}; expected at most size, {self.size}")

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        last = columns % self.size >= self.size - self.count
        return last.expand(torch.broadcast_shapes(rows.shape, columns.shape))

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        at = torch.arange(tokens)
        columns = at[at % self.size >= self.size - self.count]
        if len(columns):
            for rows in at.split(SUMMED):
                yield Grid(rows[None], columns[None], self)


@dataclass(frozen=True)
class Global(Pattern):
    """The first `count` tokens may look at everybody, and everybody at them."""

    count: int

    def __post_init__(self) -> None:
        _whole("count", self.count)

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return (rows < self.count) | (columns < self.count)

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        count, at = min(self.count, tokens), torch.arange(tokens)
        yield Grid(at[None], at[None, :count], self)
        if count < tokens:
            yield Grid(at[None, :count], at[None, count:], self)


@dataclass(frozen=True)
class RandomBlocks(Pattern):
    """A block of `size` tokens may look at `count` blocks of a text of `tokens`, drawn once.

    With `past`, they are drawn from the block itself and those before it. The same block may be
    drawn twice.
    """

    count: int
    size: int
    tokens: int
    past: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("count", "size", "tokens"):
            _whole(name, getattr(self, name))

    def drawn(self, blocks: Int[Tensor, "*blocks"], choice: int) -> Int[Tensor, "*blocks"]:
        """The block that each of these looks at by its choice of that number.

        Arithmetic of whole numbers, so that a GPU draws the same without a table.
        """
        number = blocks.long() * 69_621 + choice * 40_692 + self.seed * 16_807 + 1
        for _ in range(4):  # squared, so that neighbours do not draw neighbours
            number = number % PRIME
            number = (number * number + 48_271) % PRIME
        among = blocks + 1 if self.past else -(-self.tokens // self.size)
        return number % among

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        blocks, asked = rows // self.size, columns // self.size
        found = self.drawn(blocks, 0) == asked
        for choice in range(1, self.count):
            found = found | (self.drawn(blocks, choice) == asked)
        return found

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        within = torch.arange(self.size)
        for starts, height in _tiles(tokens, self.size):
            draws = [self.drawn(starts // self.size, choice) for choice in range(self.count)]
            drawn = torch.stack(draws, dim=1).sort(dim=1).values
            again = torch.zeros_like(drawn, dtype=torch.bool)
            again[:, 1:] = drawn[:, 1:] == drawn[:, :-1]
            columns = self.size * drawn[..., None] + within
            columns = columns.masked_fill(again[..., None], -1).flatten(1)
            yield Grid(starts[:, None] + torch.arange(height), columns, self)


# Rules made of rules


@dataclass(frozen=True)
class _Either(Pattern):
    first: Pattern
    second: Pattern

    @property
    def furthest(self) -> int | None:
        both = self.first.furthest, self.second.furthest
        return None if None in both else max(both)

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.first.allows(rows, columns) | self.second.allows(rows, columns)

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        yield from self.first.grids(tokens, height=height)
        for grid in self.second.grids(tokens, height=height):  # what both allow is the first one's
            yield Grid(grid.rows, grid.columns, _Both(grid.allows, _Not(self.first)))


@dataclass(frozen=True)
class _Both(Pattern):
    first: Pattern
    second: Pattern

    @property
    def furthest(self) -> int | None:
        ends = [p.furthest for p in (self.first, self.second) if p.furthest is not None]
        return min(ends, default=None)

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.first.allows(rows, columns) & self.second.allows(rows, columns)

    def grids(self, tokens: int, *, height: int = TILE) -> Iterator[Grid]:
        smaller, other = sorted((self.first, self.second), key=lambda p: _area(p, tokens))
        for grid in smaller.grids(tokens, height=height):
            yield Grid(grid.rows, grid.columns, _Both(grid.allows, other))


@dataclass(frozen=True)
class _Not(Pattern):
    pattern: Pattern

    def allows(self, rows: Tensor, columns: Tensor) -> Tensor:
        return ~self.pattern.allows(rows, columns)


def _area(pattern: Pattern, tokens: int) -> int:
    """Scores that a pattern's grids hold, allowed or not."""
    return sum(grid.rows.numel() * grid.columns.shape[1] for grid in pattern.grids(tokens))


# The usual ones

CAUSAL = Causal()
FULL = Full()


def causal_window(size: int) -> Pattern:
    """A token looks at itself and at the `size` - 1 tokens before it."""
    return CAUSAL & Window(size)


def strided(stride: int) -> Pattern:
    """The strided pattern of Child et al. 2019: the last `stride` tokens, and each stride-th.

    >>> strided(3).mask(7)[-1].int().tolist()
    [1, 0, 0, 1, 1, 1, 1]
    """
    return CAUSAL & (Window(stride) | Strided(stride))


def fixed(size: int, *, count: int = 1) -> Pattern:
    """The fixed pattern of Child et al. 2019: one's own block, and the ends of all before it.

    >>> fixed(3).mask(7)[-1].int().tolist()
    [0, 0, 1, 0, 0, 1, 1]
    """
    return CAUSAL & (Blocks(size) | Summaries(size, count))


def _tiles(tokens: int, height: int) -> Iterator[tuple[Int[Tensor, " tiles"], int]]:
    """Where tiles of that height begin, and the height: all whole ones, then what is left."""
    whole = tokens - tokens % height
    if whole:
        yield torch.arange(0, whole, height), height
    if whole < tokens:
        yield torch.tensor([whole]), tokens - whole


def _bands(tokens: int, width) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of some tiles at a time, and the columns up to `width` of their end."""
    height = BAND
    for start in range(0, tokens, height):
        end = min(start + height, tokens)
        yield torch.arange(start, end)[None], torch.arange(width(end))[None]


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: got {value!r}; expected a whole number of at least 1")
    return value
