"""Attention: every token asks every token how much it matters.

A score says how well a key fits a query; softmax turns each row of scores into weights that sum to
1; the output is the values, mixed by those weights. A mask says who may look at whom: True where a
row (a query) may look at a column (a key). `attend` is the readable form and stores every score;
`attend_fused` is the platform's kernel. `multi_head` runs either on several heads.

Sources: Bahdanau et al. 2014 (arXiv:1409.0473), appendix A.1.2, for additive scores; Vaswani et al.
2017 (arXiv:1706.03762), section 3.2, for scaled dot products and heads; Shazeer 2019
(arXiv:1911.02150) and Ainslie et al. 2023 (arXiv:2305.13245) for heads that share keys and values.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention.patterns import Pattern

# Masks


def full_mask(tokens: int) -> Bool[Tensor, "tokens tokens"]:
    """A mask in which every token may look at every token: tokens^2 pairs.

    >>> int(full_mask(3).sum())
    9
    """
    return torch.ones(tokens, tokens, dtype=torch.bool)


def causal_mask(tokens: int) -> Bool[Tensor, "tokens tokens"]:
    """A mask in which a token looks at itself and at the past: tokens (tokens + 1) / 2 pairs.

    >>> int(causal_mask(3).sum())
    6
    """
    return full_mask(tokens).tril()


def prefix_mask(tokens: int, *, prefix: int) -> Bool[Tensor, "tokens tokens"]:
    """A causal mask whose first `prefix` tokens, a question say, may be seen by every token.

    >>> int(prefix_mask(5, prefix=3).sum())
    18

    Raises:
        ValueError: for a prefix that is not between 0 and `tokens`.
    """
    if not 0 <= prefix <= tokens:
        raise ValueError(f"prefix={prefix}: expected 0 to tokens, {tokens}")
    mask = causal_mask(tokens)
    mask[:, :prefix] = True
    return mask


def padding_mask(lengths: Int[Tensor, " batch"], *, tokens: int) -> Bool[Tensor, "batch 1 tokens"]:
    """A mask for sequences filled up to `tokens`: nobody looks at what lies beyond the length.

    It is joined with another by `&`.

    >>> padding_mask(torch.tensor([2, 3]), tokens=3)[:, 0].int().tolist()
    [[1, 1, 0], [1, 1, 1]]

    Raises:
        ValueError: for a length that is not between 1 and `tokens`; it names the sequence.
    """
    wrong = (lengths < 1) | (lengths > tokens)
    if wrong.any():
        row = int(wrong.int().argmax())
        raise ValueError(f"lengths: sequence {row} has {int(lengths[row])}; expected 1 to {tokens}")
    return torch.arange(tokens, device=lengths.device) < lengths[:, None, None]


Mask = Tensor | Pattern | Literal["causal"] | None
"""True where a row may look, of a shape that fits the scores; a pattern; "causal"; or None, for
all."""


def _allowed(mask: Mask, scores: tuple[int, ...], device: torch.device) -> Tensor | None:
    """The mask as a tensor that fits scores of that shape, each of whose rows sees something."""
    if mask is None:
        return None
    rows, columns = scores[-2:]
    if isinstance(mask, str):
        if mask != "causal":
            raise ValueError(f"mask={mask!r}: expected a tensor, 'causal' or None")
        # the rows are the last of the columns
        mask = torch.ones(rows, columns, dtype=torch.bool, device=device).tril(columns - rows)
    if isinstance(mask, Pattern):
        at = torch.arange(columns, device=device)
        mask = mask.allows(at[columns - rows :, None], at)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask: got {got}; expected torch.bool, True where a row may look")
    mask = torch.atleast_2d(mask)
    # heads are an axis that a mask for each sequence does not have
    by_sequence = mask.ndim == 3 and len(scores) == 4
    _expect_fit("mask", mask.shape, (scores[0], rows, columns) if by_sequence else scores)
    blind = ~mask.any(dim=-1)
    if blind.any():
        *_, row = first = tuple(blind.nonzero()[0].tolist())
        where = f" of {first[:-1]}" if len(first) > 1 else ""
        raise ValueError(f"mask: row {row}{where} may look at nothing; expected at least one True")
    return mask[:, None] if by_sequence else mask


def _expect_fit(name: str, shape: torch.Size, scores: tuple[int, ...]) -> None:
    try:
        fits = torch.broadcast_shapes(shape, scores) == torch.Size(scores)
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name}: got shape {tuple(shape)}; expected one that fits scores {scores}"
        )


# Scores, weights, mixtures


def dot_product_scores(
    queries: Float[Tensor, "*batch rows d_head"], keys: Float[Tensor, "*batch columns d_head"]
) -> Float[Tensor, "*batch rows columns"]:
    """How well each key fits each query: their dot product over the root of their width."""
    return queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])


class AdditiveScores(nn.Module):
    """The scores of 2014: v · tanh(W q + U k), a network of `d_score` units for each pair."""

    def __init__(self, *, d_query: int, d_key: int, d_score: int) -> None:
        super().__init__()
        self.from_query = nn.Linear(d_query, d_score, bias=False)
        self.from_key = nn.Linear(d_key, d_score, bias=False)
        self.score = nn.Linear(d_score, 1, bias=False)

    def forward(
        self,
        queries: Float[Tensor, "*batch rows d_query"],
        keys: Float[Tensor, "*batch columns d_key"],
    ) -> Float[Tensor, "*batch rows columns"]:
        """How well each key fits each query; every pair needs a vector of `d_score` numbers."""
        pairs = self.from_query(queries)[..., :, None, :] + self.from_key(keys)[..., None, :, :]
        return self.score(torch.tanh(pairs))[..., 0]


def to_weights(
    scores: Float[Tensor, "*batch rows columns"], mask: Mask = None
) -> Float[Tensor, "*batch rows columns"]:
    """Softmax of each row: shares that sum to 1, and 0 where the row may not look.

    Raises:
        TypeError: for a mask that is not of type bool.
        ValueError: for a mask that does not fit, or has a row that may look at nothing.
    """
    allowed = _allowed(mask, tuple(scores.shape), scores.device)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return scores.softmax(dim=-1)


def attend(
    queries: Float[Tensor, "*batch rows d_head"],
    keys: Float[Tensor, "*batch columns d_head"],
    values: Float[Tensor, "*batch columns d_value"],
    mask: Mask = None,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch rows d_value"]:
    """For each query, the mixture of values whose keys fit it.

    The readable form: every score is computed and stored.
    `bias` is added to the scores.

    Raises:
        TypeError: for a mask that is not of type bool.
        ValueError: for shapes that do not fit, or a row that may look at nothing.
    """
    _expect_pairs(queries, keys, values)
    scores = _biased(dot_product_scores(queries, keys), bias)
    weights = to_weights(scores, mask)
    return weights @ values


def _biased(scores: Tensor, bias: Tensor | None) -> Tensor:
    """The scores with the bias added, where there is one; they keep their type."""
    if bias is None:
        return scores
    _expect_fit("bias", bias.shape, tuple(scores.shape))
    return scores + bias.to(scores.dtype)


def attend_fused(
    queries: Float[Tensor, "*batch rows d_head"],
    keys: Float[Tensor, "*batch columns d_head"],
    values: Float[Tensor, "*batch columns d_value"],
    mask: Mask = None,
    bias: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch rows d_value"]:
    """What `attend` gives, by the platform's fused kernel; its errors are the same.

    A causal mask without a bias is given to the kernel by name, so that it can leave out what the
    mask hides; a single row, the last of a text, sees all of it and needs none. The CPU's kernel
    is taken for four axes only: (batch, heads, tokens, d_head).
    """
    _expect_pairs(queries, keys, values)
    shape = (*queries.shape[:-1], keys.shape[-2])
    rows, columns = shape[-2:]
    if isinstance(mask, str) and mask == "causal" and bias is None and rows in (1, columns):
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=rows == columns)
    allowed = _allowed(mask, shape, queries.device)
    if bias is not None:
        _expect_fit("bias", bias.shape, shape)
        bias = torch.atleast_2d(bias).to(queries.dtype)
        allowed = bias if allowed is None else bias.masked_fill(~allowed, -math.inf)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed)


def _expect_pairs(queries: Tensor, keys: Tensor, values: Tensor) -> None:
    """Refuse queries, keys and values whose shapes do not belong together."""
    q, k, v = (tuple(x.shape) for x in (queries, keys, values))
    if min(len(q), len(k), len(v)) < 2:
        raise ValueError(
            f"queries, keys, values: got shapes {q}, {k}, {v}; expected two axes or more"
        )
    if k[:-2] != q[:-2] or k[-1] != q[-1]:
        raise ValueError(
            f"keys: got shape {k}; expected {(*q[:-2], 'columns', q[-1])} as of queries"
        )
    if v[:-1] != k[:-1]:
        raise ValueError(
            f"values: got shape {v}; expected {(*k[:-1], 'd_value')}, one for each key"
        )


# Heads


def _expect_divisor(name: str, value: int, of: str, size: int) -> None:
    if value < 1 or size % value:
        raise ValueError(f"{name}={value}: expected a divisor of {of}={size}")


def split_heads(
    x: Float[Tensor, "batch tokens width"], heads: int
) -> Float[Tensor, "batch heads tokens d_head"]:
    """The vector of each token cut into `heads` pieces.

    Raises:
        ValueError: for `heads` that do not divide the width.
    """
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"heads={heads}: expected a divisor of the width, {x.shape[-1]}")
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(
    x: Float[Tensor, "batch heads tokens d_head"],
) -> Float[Tensor, "batch tokens width"]:
    """What `split_heads` cut, put together again."""
    return x.transpose(1, 2).flatten(-2)


def multi_head(
    queries: Float[Tensor, "batch rows d_queries"],
    keys: Float[Tensor, "batch columns d_keys"],
    values: Float[Tensor, "batch columns d_values"],
    *,
    heads: int,
    kv_heads: int,
    mask: Mask = None,
    bias: Float[Tensor, "..."] | None = None,
    rotate: Callable[[Tensor], Tensor] | None = None,
    attend: Callable[..., Tensor] = attend,
) -> Float[Tensor, "batch rows d_mixed"]:
    """Attention by several heads side by side, each with its piece of these projections.

    With `kv_heads` equal to `heads` this is multi-head attention, with 1
    multi-query attention, in between grouped-query attention: consecutive
    heads share one piece of keys and values. `rotate` turns the pieces of
    queries and keys by their positions.

    Raises:
        ValueError: for `heads` that do not divide the width, `kv_heads` that
            do not divide `heads`, and as `attend` does.
    """
    _expect_divisor("kv_heads", kv_heads, "heads", heads)
    q = split_heads(queries, heads)
    k = split_heads(keys, kv_heads)
    v = split_heads(values, kv_heads)
    if rotate is not None:
        q, k = rotate(q), rotate(k)
    k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
    return join_heads(attend(q, k, v, mask, bias))


class KeysAndValues:
    """What one layer has read, kept: the keys and values of `length` tokens.

    Memory is taken ahead and doubles when it is full, so that a token more copies only itself.
    """

    def __init__(self) -> None:
        self.length = 0
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(
        self,
        keys: Float[Tensor, "batch kv_heads new d_head"],
        values: Float[Tensor, "batch kv_heads new d_head"],
    ) -> tuple[
        Float[Tensor, "batch kv_heads all d_head"], Float[Tensor, "batch kv_heads all d_head"]
    ]:
        """Keys and values of all tokens so far, the new ones last."""
        start, end = self.length, self.length + keys.shape[2]
        if self.keys is None or end > self.keys.shape[2]:
            self.keys = self._larger(self.keys, keys, end)
            self.values = self._larger(self.values, values, end)
        self.keys[:, :, start:end] = keys
        self.values[:, :, start:end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def _larger(self, kept: Tensor | None, new: Tensor, end: int) -> Tensor:
        room = 1 << (end - 1).bit_length()
        larger = new.new_empty(*new.shape[:2], max(room, 64), new.shape[3])
        if kept is not None:
            larger[:, :, : self.length] = kept[:, :, : self.length]
        return larger


class RollingKeysAndValues(KeysAndValues):
    """What one layer has read of late, kept: the keys and values of the last `size` tokens.

    Memory is taken once, for twice as many; when it is full, the last ones move to the front.

    Raises:
        ValueError: for a size below 1.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"size: got {size!r}; expected a whole number of at least 1")
        self.size, self._end = size, 0

    def append(
        self,
        keys: Float[Tensor, "batch kv_heads new d_head"],
        values: Float[Tensor, "batch kv_heads new d_head"],
    ) -> tuple[
        Float[Tensor, "batch kv_heads some d_head"], Float[Tensor, "batch kv_heads some d_head"]
    ]:
        """Keys and values of the new tokens, and of the `size` - 1 in front of them."""
        new = keys.shape[2]
        if self.keys is None:
            shape = *keys.shape[:2], 2 * self.size
            self.keys = keys.new_empty(*shape, keys.shape[3])
            self.values = values.new_empty(*shape, values.shape[3])
        before = slice(max(0, self._end - self.size + 1), self._end)
        self.length += new
        if new == 1 and self._end < 2 * self.size:
            start = before.start
        else:
            keys, values = (
                torch.cat([kept[:, :, before], x], dim=2)
                for kept, x in ((self.keys, keys), (self.values, values))
            )
            found, start, self._end = (keys, values), 0, 0
            keys, values = keys[:, :, -self.size :], values[:, :, -self.size :]
        end = self._end + keys.shape[2]
        self.keys[:, :, self._end : end] = keys
        self.values[:, :, self._end : end] = values
        self._end = end
        if new == 1:
            return self.keys[:, :, start:end], self.values[:, :, start:end]
        return found


class MultiHeadAttention(nn.Module):
    """Attention with trained maps to queries, keys, values and output; no biases unless asked for.

    `kv_heads` defaults to `heads`, and the width of all heads together, `d_attention`, to
    `d_model`. `fused` may be set to False, for the readable form; `mix`, to what mixes the values
    in place of attention, given queries, keys and values of each head.
    """

    def __init__(
        self,
        d_model: int,
        *,
        heads: int,
        kv_heads: int | None = None,
        d_attention: int | None = None,
        linear_bias: bool = False,
        rotate: Callable[..., Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, heads if kv_heads is None else kv_heads
        width = d_model if d_attention is None else d_attention
        _expect_divisor("heads", heads, "d_model" if d_attention is None else "d_attention", width)
        _expect_divisor("kv_heads", self.kv_heads, "heads", heads)
        d_kv = self.kv_heads * (width // heads)
        self.queries = nn.Linear(d_model, width, bias=linear_bias)
        self.keys = nn.Linear(d_model, d_kv, bias=linear_bias)
        self.values = nn.Linear(d_model, d_kv, bias=linear_bias)
        self.output = nn.Linear(width, d_model, bias=linear_bias)
        self.rotate = rotate
        self.fused = True
        self.mix: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def forward(
        self,
        x: Float[Tensor, "batch rows d_model"],
        context: Float[Tensor, "batch columns d_model"] | None = None,
        *,
        mask: Mask = None,
        bias: Float[Tensor, "..."] | None = None,
        kept: KeysAndValues | None = None,
    ) -> Float[Tensor, "batch rows d_model"]:
        """What each token of `x` gathers from the tokens of `context`, or of `x` itself.

        With `kept`, `x` follows what was read before: it looks at that as well, and is kept too.
        """
        context = x if context is None else context
        start = 0 if kept is None else kept.length
        q = split_heads(self.queries(x), self.heads)
        k = split_heads(self.keys(context), self.kv_heads)
        v = split_heads(self.values(context), self.kv_heads)
        if self.rotate is not None:
            q, k = self.rotate(q, start=start), self.rotate(k, start=start)
        if kept is not None:
            k, v = kept.append(k, v)
            if isinstance(mask, Pattern) and start > 0:
                k, v, mask = _looked_at(mask, k, v, rows=q.shape[2], end=kept.length)
        return self.output(join_heads(self.mixed(q, k, v, mask, bias)))

    def mixed(
        self,
        q: Float[Tensor, "batch heads rows d_head"],
        k: Float[Tensor, "batch kv_heads columns d_head"],
        v: Float[Tensor, "batch kv_heads columns d_head"],
        mask: Mask = None,
        bias: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch heads rows d_head"]:
        """What each head mixes of the values, given the pieces of queries, keys and values."""
        if self.mix is not None:
            return self.mix(q, *self._shared(k, v))
        if self.fused and isinstance(mask, Pattern) and bias is None:
            from payattention.sparse_attention import attend_sparse  # which builds on this module

            return attend_sparse(q, k, v, mask)
        plain = bias is None and (mask is None or isinstance(mask, str))
        if self.fused and plain and q.shape[2] == 1 and self.kv_heads < self.heads:
            # heads that share a key ask as so many rows: it is fetched once, and not copied
            rows = q.unflatten(1, (self.kv_heads, -1)).squeeze(3)
            return attend_fused(rows, k, v).flatten(1, 2).unsqueeze(2)
        return (attend_fused if self.fused else attend)(q, *self._shared(k, v), mask, bias)

    def weights(
        self,
        x: Float[Tensor, "batch rows d_model"],
        context: Float[Tensor, "batch columns d_model"] | None = None,
        *,
        mask: Mask = None,
        bias: Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch heads rows columns"]:
        """How each head shares its attention out: what `forward` mixes by."""
        context = x if context is None else context
        q = split_heads(self.queries(x), self.heads)
        k = split_heads(self.keys(context), self.kv_heads)
        if self.rotate is not None:
            q, k = self.rotate(q), self.rotate(k)
        return to_weights(_biased(dot_product_scores(q, *self._shared(k)), bias), mask)

    def _shared(self, *pieces: Tensor) -> tuple[Tensor, ...]:
        """The pieces of keys or values, one for each head: consecutive heads share one."""
        if self.kv_heads == self.heads:
            return pieces
        return tuple(x.repeat_interleave(self.heads // self.kv_heads, dim=1) for x in pieces)


def _looked_at(
    pattern: Pattern, keys: Tensor, values: Tensor, *, rows: int, end: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values that the last rows of a text of `end` tokens may look at, and their mask."""
    at = torch.arange(end - keys.shape[2], end, device=keys.device)
    mask = pattern.allows(at[-rows:, None], at)
    seen = mask.any(dim=0)
    if not seen.all():
        keys, values, mask = keys[:, :, seen], values[:, :, seen], mask[:, seen]
    return keys, values, None if mask.all() else mask


class CausalAttention(nn.Module):
    """One layer of causal attention, one head and no biases, by the platform's fused kernel."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.queries = nn.Linear(d_model, d_model, bias=False)
        self.keys = nn.Linear(d_model, d_model, bias=False)
        self.values = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    @property
    def inputs(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """The maps that make queries, keys and values."""
        return self.queries, self.keys, self.values

    def forward(
        self, x: Float[Tensor, "batch tokens d_model"]
    ) -> Float[Tensor, "batch tokens d_model"]:
        """What each token gathers from itself and the past, added to the token."""
        # with an axis for the one head: without it, the CPU's fused kernel is not taken
        queries, keys, values = (layer(x)[:, None] for layer in self.inputs)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return x + self.output(mixed[:, 0])

    def look_back(
        self,
        x: Float[Tensor, "batch d_model"],
        keys: Float[Tensor, "batch past d_model"],
        values: Float[Tensor, "batch past d_model"],
    ) -> Float[Tensor, "batch d_model"]:
        """What one token gathers from keys and values that were kept, added to the token."""
        mixed = attend(self.queries(x)[:, None], keys, values)[:, 0]
        return x + self.output(mixed)

    def step(
        self,
        x: Float[Tensor, "batch d_model"],
        cache: tuple[Float[Tensor, "batch past d_model"], Float[Tensor, "batch past d_model"]],
    ) -> tuple[Float[Tensor, "batch d_model"], tuple[Tensor, Tensor]]:
        """Output for one more token, and the cache of keys and values with this token in it."""
        keys = torch.cat([cache[0], self.keys(x)[:, None]], dim=1)
        values = torch.cat([cache[1], self.values(x)[:, None]], dim=1)
        return self.look_back(x, keys, values), (keys, values)
