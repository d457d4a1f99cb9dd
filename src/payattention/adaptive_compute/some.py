"""A Transformer block for some of the tokens: they ask, and all of their sequence are looked at.

Keys and values of a token that does not take part stand as they were last made, from what it ended
as. Sequences in which as many tokens take part share a product, so that nothing is computed to be
thrown away; a sequence in which none does costs nothing.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from payattention.attention import join_heads, split_heads
from payattention.cost import operations
from payattention.cost.operations import Flops
from payattention.shape import TransformerShape
from payattention.transformer import Block

Mask = Bool[Tensor, "tokens tokens"] | str | None
"""Who may look at whom: all at all, only back ("causal"), or as a square says, row by row."""


def finish(
    block: Block, x: Float[Tensor, "*rows d_model"], mixed: Float[Tensor, "*rows d_model"]
) -> Float[Tensor, "*rows d_model"]:
    """The stream after the block, given what attention adds to it."""
    if block.pre_norm:
        x = x + mixed
        return x + block.mlp(block.mlp_norm(x))
    x = block.norm(x + mixed)
    return block.mlp_norm(x + block.mlp(x))


def read(block: Block, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
    """What attention reads of the stream."""
    return block.norm(x) if block.pre_norm else x


class Asking:
    """Sequences whose tokens ask a few at a time, and the keys and values that were made so far.

    A token is numbered sequence by sequence: token 3 of the second of two sequences of 10 is 13.
    `make` and `ask` refuse a block that mixes otherwise than by attention.

    Raises:
        ValueError: for a mask that is neither "causal" nor a square of `tokens`.
    """

    def __init__(self, *, batch: int, tokens: int, mask: Mask = None) -> None:
        if isinstance(mask, str) and mask != "causal":
            raise ValueError(f"mask={mask!r}: expected 'causal', a square or None")
        if isinstance(mask, Tensor) and mask.shape != (tokens, tokens):
            raise ValueError(f"mask: got shape {tuple(mask.shape)}; expected {tokens} x {tokens}")
        self.batch, self.tokens, self.mask = batch, tokens, mask
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def make(
        self, block: Block, x: Float[Tensor, "rows d_model"], rows: Int[Tensor, " rows"]
    ) -> None:
        """Return nothing; make the keys and values of these tokens, by this block."""
        attention = block.attention
        if attention.mix is not None:
            raise ValueError("block: got one with another mix; expected attention")
        seen = read(block, x)
        keys = self._turned(block, attention.keys(seen), attention.kv_heads, rows)
        values = attention.values(seen)
        if len(rows) == self.batch * self.tokens:
            self.keys, self.values = keys, values
            return
        if self.keys is None:
            self.keys, self.values = (
                made.new_zeros(self.batch * self.tokens, made.shape[1]) for made in (keys, values)
            )
        self.keys = self.keys.index_copy(0, rows, keys)
        self.values = self.values.index_copy(0, rows, values)

    def ask(
        self, block: Block, x: Float[Tensor, "rows d_model"], rows: Int[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows d_model"], int]:
        """The stream of these tokens after the block, and how many pairs were multiplied.

        `rows` rise.
        """
        attention = block.attention
        queries = attention.queries(read(block, x))
        queries = self._turned(block, queries, attention.heads, rows)
        keys, values = (made.view(self.batch, self.tokens, -1) for made in (self.keys, self.values))
        at = rows % self.tokens
        counts = torch.bincount(rows // self.tokens, minlength=self.batch)
        starts = counts.cumsum(0) - counts
        mixed, order, pairs = [], [], 0
        for count in counts[counts > 0].unique().tolist():
            sequences = (counts == count).nonzero()[:, 0]
            places = (starts[sequences, None] + torch.arange(count, device=rows.device)).flatten()
            whole = len(places) == len(rows)  # all take part alike: nothing has to be moved
            q = queries if whole else queries.index_select(0, places)
            every = len(sequences) == self.batch
            k, v = (made if every else made.index_select(0, sequences) for made in (keys, values))
            pieces = (
                split_heads(q.view(len(sequences), count, -1), attention.heads),
                split_heads(k, attention.kv_heads),
                split_heads(v, attention.kv_heads),
            )
            allowed = self._allowed(at[places].view(-1, count))
            mixed.append(join_heads(attention.mixed(*pieces, allowed)).flatten(0, 1))
            order.append(places)
            pairs += len(places) * self.tokens
        answers = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        if len(order) > 1:
            answers = answers[torch.cat(order).argsort()]
        return finish(block, x, attention.output(answers)), pairs

    def _turned(self, block: Block, x: Tensor, heads: int, rows: Tensor) -> Tensor:
        """Queries or keys, turned by their places where positions are of that kind."""
        rotate = block.attention.rotate
        if rotate is None:
            return x
        places = (rows % self.tokens)[:, None]
        return rotate.at(x.unflatten(1, (heads, -1)), places, tokens=self.tokens).flatten(1)

    def _allowed(self, at: Int[Tensor, "sequences count"]) -> Tensor | str | None:
        if self.mask is None:
            return None
        if at.shape[1] == self.tokens:
            return self.mask
        if not isinstance(self.mask, str):
            return self.mask[at][:, None]
        return at[:, None, :, None] >= torch.arange(self.tokens, device=at.device)


class QueriesOfSome:
    """The same block again and again, for those tokens that still run."""

    def __init__(
        self,
        block: Block,
        x: Float[Tensor, "batch tokens d_model"],
        *,
        shape: TransformerShape,
        mask: Mask = None,
    ) -> None:
        self.block, self.shape = block, shape
        self.asking = Asking(batch=x.shape[0], tokens=x.shape[1], mask=mask)
        self.changed: tuple[Tensor, Tensor] | None = None

    def __call__(
        self, state: Float[Tensor, "rows d_model"], rows: Int[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows d_model"], Flops]:
        """The next states of the rows, and what that took."""
        asking = self.asking
        changed, states = rows, state
        if self.changed is not None and len(rows) < asking.batch * asking.tokens:
            changed, states = self.changed
            alive = torch.bincount(rows // asking.tokens, minlength=asking.batch) > 0
            looked_at = alive[changed // asking.tokens]
            if not looked_at.all():
                changed, states = changed[looked_at], states[looked_at]
        asking.make(self.block, states, changed)
        after, pairs = asking.ask(self.block, state, rows)
        self.changed = rows, after
        flops = operations.block(self.shape, tokens=len(changed), queries=len(rows), pairs=pairs)
        return after, flops
