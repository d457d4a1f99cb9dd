"""Exact attention whose scores are never stored: softmax in one pass, tile by tile.

Softmax seems to need a whole row before it can divide by its sum. It does not: what some of the
keys say is kept as a largest score, a sum and a mixture (`Part`), and two such parts make one
(`merge`). So a square of scores may be computed, used and forgotten. The backward pass computes it
again, from the two numbers that each row has kept, its largest score and its sum.

Memory grows with the tokens, time still with their square.

Sources: Milakov and Gimelshein 2018 (arXiv:1805.02867) for the sum in one pass; Rabe and Staats
2021 (arXiv:2112.05682) for attention in linear memory; Dao et al. 2022, FlashAttention
(arXiv:2205.14135), algorithms 1 and 4, for the tiles and the backward pass.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from payattention.attention import Mask, _allowed, _expect_pairs

TILE = 512
"""Rows and columns of a square of scores: in float32 a megabyte, which a core's cache holds."""


class Part(NamedTuple):
    """What some of the keys say to each query: all that a softmax has to know of them.

    `total` is the sum of exp(score - largest), and `mixture` that of the values times it.
    """

    largest: Float[Tensor, "*batch rows 1"]
    total: Float[Tensor, "*batch rows 1"]
    mixture: Float[Tensor, "*batch rows d_value"]


def summarise(
    scores: Float[Tensor, "*batch rows columns"], values: Float[Tensor, "*batch columns d_value"]
) -> Part:
    """What these keys say; the scores are overwritten."""
    largest = scores.amax(dim=-1, keepdim=True)
    # a row that sees none of these keys has -inf; from a finite number, exp makes zeros of it
    largest = largest.clamp(min=torch.finfo(scores.dtype).min)
    weights = scores.sub_(largest).exp_()
    return Part(largest, weights.sum(dim=-1, keepdim=True), weights @ values)


def merge(first: Part, then: Part) -> Part:
    """What the keys of both parts say: either is shrunk to the larger of the two maxima."""
    largest = torch.maximum(first.largest, then.largest)
    shrink, shrink_then = (first.largest - largest).exp(), (then.largest - largest).exp()
    return Part(
        largest,
        shrink * first.total + shrink_then * then.total,
        shrink * first.mixture + shrink_then * then.mixture,
    )


def attend_in_tiles(
    queries: Float[Tensor, "*batch rows d_head"],
    keys: Float[Tensor, "*batch columns d_head"],
    values: Float[Tensor, "*batch columns d_value"],
    mask: Mask = None,
    *,
    tile: int = TILE,
) -> Float[Tensor, "*batch rows d_value"]:
    """What `attention.attend` gives, from `tile` x `tile` scores at a time.

    Tiles that lie wholly behind a causal mask are not computed. Sums are carried in float32 at
    least. There is a gradient, and no second one.

    >>> queries, keys, values = torch.ones(3, 2, 4)
    >>> attend_in_tiles(queries, keys, values, tile=1).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]

    Raises:
        TypeError: for numbers that are not floating, or of unlike types; for a mask not of bool.
        ValueError: for shapes that do not fit, no keys, a row that may look at nothing, or a
            `tile` below 1.
        RuntimeError: when a second gradient is asked for, by `create_graph`.
    """
    _expect_pairs(queries, keys, values)
    for name, x in (("queries", queries), ("keys", keys), ("values", values)):
        if not x.is_floating_point() or x.dtype != queries.dtype:
            expected = "a floating type" if x is queries else f"{queries.dtype}, as of queries"
            raise TypeError(f"{name}: got {x.dtype}; expected {expected}")
    if isinstance(tile, bool) or not isinstance(tile, int) or tile < 1:
        raise ValueError(f"tile={tile!r}: expected a whole number of at least 1")
    rows, columns = queries.shape[-2], keys.shape[-2]
    if columns < 1:
        raise ValueError("keys: got none; expected at least one")
    if not (isinstance(mask, str) and mask == "causal"):
        mask = _allowed(mask, (*queries.shape[:-1], columns), queries.device)
        mask = None if mask is None else mask.expand(*mask.shape[:-2], rows, columns)
    elif rows > columns:  # told here, for written out the mask would be a square as well
        raise ValueError(
            f"mask: row 0 may look at nothing; expected at most {columns} rows, one for each key"
        )
    return _Attend.apply(queries, keys, values, mask, tile)


@dataclass(frozen=True)
class _Scores:
    """The scores of all pairs, of which a tile is computed when it is asked for."""

    queries: Tensor
    keys: Tensor
    mask: Tensor | str | None
    tile: int

    @property
    def ahead(self) -> int:
        """Keys in front of that of the first query: the rows are the last of the columns."""
        return self.keys.shape[-2] - self.queries.shape[-2]

    def rows(self) -> Iterator[slice]:
        """The rows, so many at a time."""
        return _slices(self.queries.shape[-2], self.tile)

    def columns(self, rows: slice) -> Iterator[slice]:
        """The columns that some of these rows may see, so many at a time."""
        causal = isinstance(self.mask, str)
        return _slices(self.ahead + rows.stop if causal else self.keys.shape[-2], self.tile)

    def at(self, rows: slice, columns: slice) -> Tensor:
        """One tile, -inf where a row may not look."""
        queries = _widened(self.queries, rows) / math.sqrt(self.queries.shape[-1])
        scores = queries @ _widened(self.keys, columns).mT
        if isinstance(self.mask, Tensor):
            scores.masked_fill_(~self.mask[..., rows, columns], -math.inf)
        elif self.mask is not None and columns.stop > (seen := self.ahead + rows.start + 1):
            every = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
            scores.masked_fill_(every.triu(seen - columns.start), -math.inf)
        return scores


def _slices(size: int, tile: int) -> Iterator[slice]:
    return (slice(start, min(start + tile, size)) for start in range(0, size, tile))


def _wide(x: Tensor) -> torch.dtype:
    """The type in which sums of x are carried: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def _widened(x: Tensor, tokens: slice) -> Tensor:
    return x[..., tokens, :].to(_wide(x))


class _Attend(torch.autograd.Function):
    """Both passes. The first keeps its output and two numbers a row, from which the second goes.

    Dao et al. keep one, largest + log(total); apart, they are as exact where scores are large.
    """

    @staticmethod
    def forward(ctx, queries, keys, values, mask, tile):
        scores = _Scores(queries, keys, mask, tile)
        output = values.new_empty(*queries.shape[:-1], values.shape[-1])
        largests, totals = queries.new_empty(2, *queries.shape[:-1], 1, dtype=_wide(queries))
        for rows in scores.rows():
            parts = (
                summarise(scores.at(rows, columns), _widened(values, columns))
                for columns in scores.columns(rows)
            )
            part = reduce(merge, parts)
            output[..., rows, :] = part.mixture / part.total
            largests[..., rows, :], totals[..., rows, :] = part.largest, part.total
        ctx.save_for_backward(queries, keys, values, output, largests, totals)
        ctx.mask, ctx.tile = mask, tile
        return output

    @staticmethod
    def backward(ctx, d_output):
        if torch.is_grad_enabled():
            raise RuntimeError("attend_in_tiles: has no second gradient; got create_graph=True")
        queries, keys, values, output, largests, totals = ctx.saved_tensors
        scores = _Scores(queries, keys, ctx.mask, ctx.tile)
        d_queries, d_keys, d_values = (
            torch.zeros_like(x, dtype=_wide(x)) for x in (queries, keys, values)
        )
        for rows in scores.rows():
            q, d_mixture = _widened(queries, rows), _widened(d_output, rows) / totals[..., rows, :]
            # what a row's scores have in common does not change its softmax
            common = (d_mixture * output[..., rows, :]).sum(dim=-1, keepdim=True)
            for columns in scores.columns(rows):
                k, v = _widened(keys, columns), _widened(values, columns)
                weights = scores.at(rows, columns).sub_(largests[..., rows, :]).exp_()
                d_values[..., columns, :] += weights.mT @ d_mixture
                d_scores = (d_mixture @ v.mT).sub_(common).mul_(weights)
                d_queries[..., rows, :] += d_scores @ k
                d_keys[..., columns, :] += d_scores.mT @ q
        root = math.sqrt(queries.shape[-1])
        gradients = d_queries.div_(root), d_keys.div_(root), d_values
        return *(d.to(values.dtype) for d in gradients), None, None
