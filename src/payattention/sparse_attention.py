"""Attention that does not look everywhere, at the price of where it looks.

A mask on the full square saves nothing: every score is computed, and most are thrown away. Here a
`Pattern` is turned into a plan once, a list of small dense squares that hold the pairs which it
allows, and each square is computed by the platform's fused kernel. A row that has pairs in several
squares gets its softmax from the sums of each, as in `payattention.online_softmax`; the backward
pass asks the kernel for the gradients of each square, given the sums of the whole row. Rows and
columns in regular steps are views of the queries and keys, and not copied.

On a GPU the same call compiles PyTorch's `flex_attention` for the pattern.

Sources: Child et al. 2019 (arXiv:1904.10509); Dao et al. 2022 (arXiv:2205.14135) for softmax by
parts; Liu et al. 2023 (arXiv:2310.01889) for the backward pass by parts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

from payattention.attention import _expect_pairs
from payattention.patterns import TILE, Causal, Full, Grid, Pattern, allowed

CHUNK = 65_536
"""Columns of squares that are planned, and computed, in one call."""
CHUNK_BACK = 16_384
"""The same for the backward pass, whose gradients of columns bound the memory."""
TILE_BACK = 64
"""Rows of a window that go back together: each tile has gradients for all of its columns, so that
higher tiles have fewer to add up."""
VECTOR = 16
"""Numbers that a processor multiplies at once; widths are rounded up to them where that is free."""
MANY, LOW, AT_ONCE = 16, 64, 20_000
"""From so many squares on, no higher than that, they are computed by plain products, head by head
and so many columns at a time: the scores of a call then stay in the cache."""
LEAST_HEIGHT = 32
"""Rows below which a square is not cut any more to leave columns out."""
WORTH_CUTTING = 0.8
"""A square is cut in two where the halves together have less than this share of its area."""


# The plan


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
    (4161664, 1.25)

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
                yield from _cut(Grid(piece.rows[which], columns, grid.allows), mask[which])


def _cut(grid: Grid, mask: Tensor) -> Iterator[tuple[Grid, Tensor]]:
    """The grid without unseen columns, or its upper and lower half, if they need fewer."""
    seen = _rounded(mask.any(dim=(0, 1)), grid.columns)
    grid, mask = Grid(grid.rows, grid.columns[:, seen], grid.allows), mask[:, :, seen]
    middle = mask.shape[1] // 2
    if middle >= LEAST_HEIGHT and not _is_causal(mask):
        halves = slice(None, middle), slice(middle, None)
        widths = [int(mask[:, half].any(dim=(0, 1)).sum()) for half in halves]
        if sum(widths) < WORTH_CUTTING * 2 * mask.shape[2]:
            for half in halves:
                if mask[:, half].any():
                    yield from _cut(
                        Grid(grid.rows[:, half], grid.columns, grid.allows), mask[:, half]
                    )
            return
    yield grid, mask


def _rounded(seen: Tensor, columns: Tensor) -> Tensor:
    """The columns that are seen, and some in front of them, for a width that suits the kernel."""
    first, count = int(seen.int().argmax()), int(seen.sum())
    more = -count % VECTOR
    together = bool(seen[first : first + count].all())
    if together and more <= first and bool((columns[:, first - more] >= 0).all()):
        seen = seen.clone()
        seen[first - more : first] = True
    return seen


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


# What is computed


def attend_sparse(
    queries: Float[Tensor, "*batch heads tokens d_head"],
    keys: Float[Tensor, "*batch kv_heads tokens d_head"],
    values: Float[Tensor, "*batch kv_heads tokens d_value"],
    pattern: Pattern,
    *,
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "*batch heads tokens d_value"]:
    """What `attention.attend` gives with the pattern's mask; only its squares are computed.

    Consecutive heads may share one of fewer `kv_heads`. With `lengths`, nobody looks at what lies
    beyond a sequence's length, and what is asked from there is answered by zeros. There is a
    gradient, and no second one.

    >>> from payattention.patterns import causal_window
    >>> values = torch.arange(4.0).view(1, 4, 1)
    >>> attend_sparse(torch.zeros_like(values), torch.zeros_like(values), values, causal_window(2))
    tensor([[[0.0000],
             [0.5000],
             [1.5000],
             [2.5000]]])

    Raises:
        TypeError: for numbers that are not floating, or of unlike types.
        ValueError: for shapes that do not fit, `kv_heads` that do not divide `heads`, a row that
            may look at nothing, and lengths that are not between 1 and `tokens`.
        RuntimeError: when a second gradient is asked for, by `create_graph`.
    """
    group = _expect_heads(queries, keys, values)
    tokens, d_head = queries.shape[-2:]
    if lengths is not None:
        _expect_lengths(lengths, queries, plan(pattern, tokens).nearest)
    if queries.device.type == "cuda":
        return _attend_flexibly(queries, keys, values, pattern, lengths)
    if lengths is None and type(pattern) in (Full, Causal):  # the kernel knows these by itself
        k, v = (x.repeat_interleave(group, dim=-3) for x in (keys, values))
        causal = isinstance(pattern, Causal)
        return scaled_dot_product_attention(queries, k, v, is_causal=causal)
    q, k, v = queries, keys, values
    if lengths is not None:
        q, k, v = _with_lengths(q, k, v, lengths)
    q = q.unflatten(-3, (-1, group)).reshape(-1, group, tokens, q.shape[-1])
    k, v = (x.reshape(-1, tokens, x.shape[-1]) for x in (k, v))
    mixed = _Attend.apply(q, k, v, pattern, 1 / math.sqrt(d_head))
    mixed = mixed[..., : values.shape[-1]].reshape(*queries.shape[:-1], values.shape[-1])
    if lengths is None:
        return mixed
    inside = torch.arange(tokens, device=lengths.device) < lengths[:, None]
    return mixed * inside[:, None, :, None]


def _expect_heads(queries: Tensor, keys: Tensor, values: Tensor) -> int:
    """How many heads share a key; refuses what does not belong together."""
    for name, x in (("queries", queries), ("keys", keys), ("values", values)):
        if not x.is_floating_point() or x.dtype != queries.dtype:
            expected = "a floating type" if x is queries else f"{queries.dtype}, as of queries"
            raise TypeError(f"{name}: got {x.dtype}; expected {expected}")
        if x.ndim < 3:
            raise ValueError(f"{name}: got shape {tuple(x.shape)}; expected heads, tokens, width")
    heads, kv_heads = queries.shape[-3], keys.shape[-3]
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"keys: got {kv_heads} heads; expected a divisor of {heads}, of queries")
    _expect_pairs(queries[..., :: heads // kv_heads, :, :], keys, values)
    if keys.shape[-2] != queries.shape[-2]:
        got, tokens = keys.shape[-2], queries.shape[-2]
        raise ValueError(f"keys: got {got} tokens; expected {tokens}, as many as of queries")
    return heads // kv_heads


def _expect_lengths(lengths: Tensor, queries: Tensor, nearest: Tensor) -> None:
    tokens = queries.shape[-2]
    if queries.ndim != 4 or lengths.shape != queries.shape[:1]:
        got = f"{tuple(lengths.shape)} for queries {tuple(queries.shape)}"
        raise ValueError(f"lengths: got shape {got}; expected one for each sequence of a batch")
    at = torch.arange(tokens)
    for row, length in enumerate(lengths.tolist()):
        if not 1 <= length <= tokens:
            raise ValueError(f"lengths: sequence {row} has {length}; expected 1 to {tokens}")
        blind = (nearest >= length) & (at < length)
        if blind.any():
            first = int(blind.int().argmax())
            raise ValueError(
                f"lengths: sequence {row} has {length}, and its row {first} may look at nothing"
            )


def _with_lengths(
    queries: Tensor, keys: Tensor, values: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One more number in each query and key, which makes the scores of padding too low to count."""
    least = -1e4 if queries.dtype == torch.float16 else -1e30
    outside = torch.arange(keys.shape[-2], device=keys.device) >= lengths[:, None].to(keys.device)
    hidden = least * outside.to(keys.dtype)[:, None, :, None]
    return (
        pad(queries, (0, 1), value=math.sqrt(queries.shape[-1])),
        torch.cat([keys, hidden.expand(*keys.shape[:-1], 1)], dim=-1),
        pad(values, (0, 1)),
    )


class _Attend(torch.autograd.Function):
    """Both passes, square by square; `queries` are (heads, those that share a key, tokens, width).

    A row's softmax over all of its squares is known by one number, the logarithm of its sum.
    """

    @staticmethod
    def forward(ctx, queries, keys, values, pattern, scale):
        made = plan(pattern, queries.shape[2])
        # where some rows are written last that were not written first, there must be numbers
        new = values.new_empty if made.written else values.new_zeros
        output = new(*queries.shape[:-1], values.shape[-1])
        sums = queries.new_full((*queries.shape[:-1], 1), -math.inf, dtype=_wide(queries))
        room = _Room()
        for squares in made.squares:
            for kernel, heads, each, hidden in _calls(squares, queries, values, seen=True):
                q, k, v = _three(queries[heads], keys[heads], values[heads], each)
                into = _place_of(each, output[heads])
                mixed, logs = kernel.forward(q, k, v, hidden, scale, room, into)
                _merge(output[heads], sums[heads], each, mixed, logs, written=mixed is into)
        ctx.save_for_backward(queries, keys, values, output, sums)
        ctx.pattern, ctx.scale = pattern, scale
        return output

    @staticmethod
    def backward(ctx, d_output):
        if torch.is_grad_enabled():
            raise RuntimeError("attend_sparse: has no second gradient; got create_graph=True")
        queries, keys, values, output, sums = ctx.saved_tensors
        gradients = [torch.zeros_like(x) for x in (queries, keys, values)]
        made = plan(ctx.pattern, queries.shape[2], TILE_BACK)
        room = _Room()
        for squares in (some for all_ in made.squares for some in all_.some(CHUNK_BACK)):
            for kernel, heads, each, hidden in _calls(squares, queries, values):
                q, k, v = _three(queries[heads], keys[heads], values[heads], each)
                given = [_rows(x[heads], each) for x in (d_output, output, sums)]
                found = kernel.backward(q, k, v, *given, hidden, ctx.scale, room)
                for group, d_q in enumerate(found[0].chunk(queries.shape[1], dim=2)):
                    each.rows.add(gradients[0][heads, group], d_q)
                for whole, part in zip(gradients[1:], found[1:], strict=True):
                    each.columns.add(whole[heads], part)
        return *gradients, None, None


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _rows(x: Float[Tensor, "heads group tokens width"], squares: Squares) -> Tensor:
    """The rows of all heads that share a key, one below the other."""
    parts = [squares.rows.of(x[:, group]) for group in range(x.shape[1])]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _three(
    queries: Tensor, keys: Tensor, values: Tensor, squares: Squares
) -> tuple[Tensor, Tensor, Tensor]:
    return _rows(queries, squares), squares.columns.of(keys), squares.columns.of(values)


def _hidden(squares: Squares, queries: Tensor, *, seen: bool = False) -> Tensor | str | None:
    """What hides pairs of these squares, in the form that a kernel adds to the scores.

    Where each row must have been `seen` something, blind ones see all; what they hear is left out.
    """
    mask, group = squares.mask, queries.shape[1]
    if isinstance(mask, str) and group > 1:  # the rows of several heads are no longer one square
        height = squares.rows.index.shape[1]
        mask = torch.ones(1, height, height, dtype=torch.bool).tril()
    if not isinstance(mask, Tensor):
        return mask
    if seen and squares.blind is not None:
        mask = mask | squares.blind[..., None]
    zero = torch.zeros(mask.shape, dtype=queries.dtype, device=queries.device)
    hidden = zero.masked_fill_(~mask.to(queries.device), -math.inf)
    return hidden if group == 1 else hidden.repeat(1, group, 1)


def _place_of(squares: Squares, output: Tensor) -> Tensor | None:
    """Where a kernel may write what these rows hear first, if the place is one block of memory."""
    if not squares.first or squares.rows.steps is None or output.shape[1] > 1:
        return None
    place = squares.rows.of(output[:, 0])
    return place if place.is_contiguous() else None


def _merge(
    output: Tensor, sums: Tensor, squares: Squares, mixed: Tensor, logs: Tensor, *, written: bool
) -> None:
    """Add what these squares say to what the rows have heard before, if it is not `written` yet."""
    group = output.shape[1]
    for one, (mixed_, logs_) in enumerate(
        zip(mixed.chunk(group, dim=2), logs.chunk(group, dim=2), strict=True)
    ):
        so_far, logs_ = sums[:, one], logs_[..., None]
        if squares.blind is not None:
            logs_ = logs_.masked_fill(squares.blind[..., None].to(logs_.device), -math.inf)
        if squares.first:
            if not written:
                squares.rows.put(output[:, one], mixed_)
            squares.rows.put(so_far, logs_)
            continue
        before = squares.rows.of(so_far)
        share = torch.sigmoid(logs_ - before).nan_to_num_(0)  # where a row has heard nothing yet
        if squares.rows.steps is None:
            mixed_ = torch.lerp(squares.rows.of(output[:, one]), mixed_, share.to(mixed_.dtype))
            squares.rows.put(output[:, one], mixed_)
        else:
            squares.rows.of(output[:, one]).lerp_(mixed_, share.to(mixed_.dtype))
        squares.rows.put(so_far, torch.logaddexp(before, logs_))


# Kernels


class _Room:
    """Memory for what is used at once and forgotten: taken for the first squares, then used again.

    Fresh memory costs as much as the products that are written into it.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def of(self, name: str, like: Tensor, *sizes: int) -> Tensor:
        """Room for so many numbers; what was in it under this name is lost."""
        count = math.prod(sizes)
        if name not in self._kept or self._kept[name].numel() < count:
            self._kept[name] = like.new_empty(count)
        return self._kept[name][:count].view(sizes)


class _Products:
    """Squares by matrix products and a softmax: the form to read, and the fastest for many small
    squares, whose scores stay in the processor's cache."""

    @staticmethod
    def scores(q, k, hidden: Tensor | str | None, scale: float, room: _Room) -> Tensor:
        """scale * q k + hidden, of squares one behind the other."""
        out = room.of("scores", q, len(q), q.shape[1], k.shape[1])
        if hidden is None:
            return torch.baddbmm(q.new_zeros(1, 1, 1), q, k.mT, beta=0, alpha=scale, out=out)
        if isinstance(hidden, str):
            hidden = q.new_full((1, q.shape[1], q.shape[1]), -math.inf).triu_(1)
        return torch.baddbmm(hidden, q, k.mT, alpha=scale, out=out)

    @classmethod
    def forward(
        cls, q, k, v, hidden, scale, room: _Room, into: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        lead = q.shape[:2]
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))
        scores = cls.scores(q, k, hidden, scale, room).to(_wide(q))
        weights = torch.softmax(scores, dim=-1, out=room.of("weights", scores, *scores.shape))
        # the largest weight is exp(the largest score) over the sum
        logs = scores.amax(dim=-1) - weights.amax(dim=-1).log()
        if into is None:
            into = room.of("mixed", v, *lead, q.shape[1], v.shape[2])
        torch.bmm(weights.to(v.dtype), v, out=into.view(-1, *into.shape[2:]))
        return into, logs.unflatten(0, lead)

    @classmethod
    def backward(
        cls, q, k, v, d_output, output, logs, hidden, scale, room: _Room
    ) -> tuple[Tensor, ...]:
        lead = q.shape[:2]
        # what a row's scores have in common does not change its softmax
        common = (d_output * output).sum(dim=-1, keepdim=True)
        q, k, v, d_output, logs, common = (
            x.reshape(-1, *x.shape[2:]) for x in (q, k, v, d_output, logs, common)
        )
        scores = cls.scores(q, k, hidden, scale, room).to(_wide(q))
        weights = scores.sub_(logs).exp_().to(q.dtype)
        d_scores = room.of("d_scores", q, *weights.shape)
        torch.baddbmm(-common, d_output, v.mT, out=d_scores).mul_(weights).mul_(scale)
        found = [room.of(name, x, *x.shape) for name, x in (("q", q), ("k", k), ("v", v))]
        torch.bmm(d_scores, k, out=found[0])
        torch.bmm(d_scores.mT, q, out=found[1])
        torch.bmm(weights.mT, d_output, out=found[2])
        return tuple(x.unflatten(0, lead) for x in found)


class _Fused:
    """Squares by the CPU's kernel, which keeps no scores."""

    @staticmethod
    def how(hidden: Tensor | str | None) -> tuple[bool, Tensor | None]:
        mask = hidden[None] if isinstance(hidden, Tensor) else None
        return isinstance(hidden, str), mask

    @classmethod
    def forward(
        cls, q, k, v, hidden, scale, room: _Room, into: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        causal, mask = cls.how(hidden)
        return FUSED(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)

    @classmethod
    def backward(
        cls, q, k, v, d_output, output, logs, hidden, scale, room: _Room
    ) -> tuple[Tensor, ...]:
        causal, mask = cls.how(hidden)
        given = d_output, q, k, v, output, logs.squeeze(-1)
        return FUSED_BACKWARD(*given, 0.0, causal, attn_mask=mask, scale=scale)


FUSED = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
FUSED_BACKWARD = getattr(
    torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None
)


def _calls(
    squares: Squares, queries: Tensor, values: Tensor, *, seen: bool = False
) -> Iterator[tuple[type[_Products] | type[_Fused], slice, Squares, Tensor | str | None]]:
    """How squares are computed: by which kernel, of which heads, how many at a time."""
    there = FUSED is not None and FUSED_BACKWARD is not None
    fits = queries.device.type == "cpu" and queries.shape[-1] == values.shape[-1]
    count, height = squares.rows.index.shape
    wide = queries.dtype in (torch.float32, torch.float64)
    if there and fits and not (count >= MANY and height <= LOW and wide):
        yield _Fused, slice(None), squares, _hidden(squares, queries, seen=seen)
        return
    parts = [(some, _hidden(some, queries, seen=seen)) for some in squares.some(AT_ONCE)]
    for head in range(len(queries)):
        for some, hidden in parts:
            yield _Products, slice(head, head + 1), some, hidden


# On a GPU


def _attend_flexibly(
    queries: Tensor, keys: Tensor, values: Tensor, pattern: Pattern, lengths: Tensor | None
) -> Tensor:
    """The same by `flex_attention`, which compiles a kernel for the pattern."""
    lead = queries.shape[:-3]
    q, k, v = (x.reshape(-1, *x.shape[-3:]) for x in (queries, keys, values))
    blocks = _blocks(pattern, q.shape[-2], q.device)
    if lengths is not None:
        ends = lengths.to(q.device)

        def allows(batch, head, row, column):
            return pattern.allows(row, column) & (column < ends[batch])

        blocks = create_block_mask(allows, len(q), None, q.shape[-2], q.shape[-2], device=q.device)
    gqa = q.shape[1] != k.shape[1]
    mixed = _compiled()(q, k, v, block_mask=blocks, enable_gqa=gqa)
    if lengths is not None:
        inside = torch.arange(q.shape[-2], device=q.device) < ends[:, None]
        mixed = mixed.where(inside[:, None, :, None], 0)
    return mixed.reshape(*lead, *mixed.shape[-3:])


@lru_cache(maxsize=32)
def _blocks(pattern: Pattern, tokens: int, device: torch.device):
    return create_block_mask(
        lambda batch, head, row, column: pattern.allows(row, column),
        None,
        None,
        tokens,
        tokens,
        device=device,
    )


@lru_cache(maxsize=1)
def _compiled():
    return torch.compile(flex_attention)
