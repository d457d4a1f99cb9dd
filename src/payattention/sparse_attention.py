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
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

from payattention.attention import _expect_pairs
from payattention.patterns import Causal, Full, Pattern
from payattention.sparse_plan import LOW, MANY, Squares, plan
from payattention.square_kernels import Fused, Products, Room, wide

CHUNK_BACK = 16_384
"""Columns of squares that go back in one call: their gradients bound the memory."""
TILE_BACK = 64
"""Rows of a window that go back together: each tile has gradients for all of its columns, so that
higher tiles have fewer to add up."""
AT_ONCE = 65_536
"""Columns of squares that are computed by plain products in one call, of one head; more would take
memory, and gain nothing."""
TOGETHER = 8_192
"""Columns of squares up to which several heads go in one call: a short text has few, and many calls
for little work cost more than copying what the heads do not have side by side."""


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
        sums = queries.new_full((*queries.shape[:-1], 1), -math.inf, dtype=wide(queries))
        room = Room()
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
        room = Room()
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


def _calls(
    squares: Squares, queries: Tensor, values: Tensor, *, seen: bool = False
) -> Iterator[tuple[type[Products] | type[Fused], slice, Squares, Tensor | str | None]]:
    """How squares are computed: by which kernel, of which heads, how many at a time."""
    fits = queries.device.type == "cpu" and queries.shape[-1] == values.shape[-1]
    count, height = squares.rows.index.shape
    wide = queries.dtype in (torch.float32, torch.float64)
    if Fused.there() and fits and not (count >= MANY and height <= LOW and wide):
        yield Fused, slice(None), squares, _hidden(squares, queries, seen=seen)
        return
    parts = [
        (some, Products.corners(_hidden(some, queries, seen=seen), queries, height))
        for some in squares.some(AT_ONCE)
    ]
    together = max(1, TOGETHER // squares.columns.index.numel())
    for head in range(0, len(queries), together):
        for some, hidden in parts:
            yield Products, slice(head, head + together), some, hidden


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
