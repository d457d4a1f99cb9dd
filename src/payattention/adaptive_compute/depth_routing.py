"""Depth routing: a block takes some of the tokens, and the others pass it by.

A router gives each token a weight. While the model learns, those of a text that have the largest
weights go through the block, as many as its `capacity` allows, and look at one another alone; what
the block adds to them is multiplied by their weights, so that the router learns. So every block
costs the same for every text, and that cost is known beforehand.

The largest of a whole text are known when it is over. A model that writes has to decide token by
token: a predictor, which learns from the same vectors and sends no gradient into them, says whether
a token would have been among the largest. (Where the length of all gradients together is clipped,
weigh its loss so little that it does not decide about that; Adam learns as fast from a small one.)

Source: Raposo et al. 2024, Mixture-of-Depths (arXiv:2404.02258), section 3.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention.adaptive_compute.early_exit import Left
from payattention.adaptive_compute.some import finish, read
from payattention.attention import KeysAndValues, Mask, join_heads, split_heads
from payattention.cost import operations
from payattention.cost.operations import Flops, add, matmul
from payattention.shape import TransformerShape
from payattention.transformer import Block, Decoder

Group = tuple[Tensor | None, Tensor]
"""Some texts (None: all of them), and the places of the same number of tokens in each."""


class RoutedKeysAndValues(KeysAndValues):
    """What a routed block has read, kept: of each text the tokens that it took."""

    def __init__(self) -> None:
        super().__init__()
        self.of_text: list[KeysAndValues] = []


class Routed(nn.Module):
    """A block that takes some of the tokens; `causal` says by whom: the router, or the predictor.

    `taken` are the tokens that the last forward pass took, `largest` those that the router would
    take, `lesson` is what the predictor has to learn from it, and `flops` what it executed.
    """

    def __init__(self, block: Block, shape: TransformerShape, *, capacity: float) -> None:
        super().__init__()
        self.block, self.shape, self.capacity = block, shape, capacity
        self.router = nn.Linear(shape.d_model, 1, bias=False)
        self.predictor = nn.Linear(shape.d_model, 1)
        self.causal, self.compact = False, True
        self.taken: Bool[Tensor, "batch tokens"] | None = None
        self.largest: Bool[Tensor, "batch tokens"] | None = None
        self.lesson: Float[Tensor, ""] | None = None
        self.flops: Flops = {}

    @property
    def attention(self) -> nn.Module:
        """The block's attention."""
        return self.block.attention

    def forward(
        self,
        x: Float[Tensor, "batch tokens d_model"],
        *,
        mask: Mask = "causal",
        bias: Float[Tensor, "..."] | None = None,
        kept: RoutedKeysAndValues | None = None,
    ) -> Float[Tensor, "batch tokens d_model"]:
        """The stream after the block; what it does not take is as it was.

        Raises:
            ValueError: for another mask than the causal one; for ALiBi, whose distances are those
                of all tokens; and for keys and values to be kept while the router decides, which
                has to see the whole text.
        """
        if not isinstance(mask, str) or mask != "causal" or bias is not None:
            raise ValueError(f"mask={mask!r}: expected 'causal', and no bias")
        if kept is not None and not self.causal:
            raise ValueError("kept: got room while the router decides; call by('predictor') first")
        batch, tokens, d_model = x.shape
        weights = self.router(x)[..., 0]
        guess = self.predictor(x.detach())[..., 0]
        rows = batch * tokens
        self.flops = {
            "routers": matmul(rows, d_model, 1),
            "predictors": matmul(rows, d_model, 1),
        }
        # of a text that is read piece by piece, these are the largest of the piece
        self.largest = self._largest(weights)
        self.lesson = F.binary_cross_entropy_with_logits(guess, self.largest.to(guess.dtype))
        self.taken = guess > 0 if self.causal else self.largest
        if kept is not None:
            return self._after_kept(x, weights, kept)
        if not self.compact:
            return self._everywhere(x, weights)
        for texts, places in _groups(self.taken):
            some = x if texts is None else x[texts]
            index = places[..., None].expand(-1, -1, d_model)
            before = some.gather(1, index)
            added = self._some(before, places, tokens=tokens) - before
            added = (
                added * (weights if texts is None else weights[texts]).gather(1, places)[..., None]
            )
            some = some.scatter_add(1, index, added)
            x = some if texts is None else x.index_copy(0, texts, some)
        return x

    def _largest(self, weights: Float[Tensor, "batch tokens"]) -> Bool[Tensor, "batch tokens"]:
        """The tokens of each text that have the largest weights, as many as there is room for."""
        room = taken_of(weights.shape[1], self.capacity)
        places = weights.topk(room, dim=1).indices
        return torch.zeros_like(weights, dtype=torch.bool).scatter(1, places, True)

    def _some(
        self,
        x: Float[Tensor, "texts some d_model"],
        places: Int[Tensor, "texts some"],
        *,
        tokens: int,
        kept: KeysAndValues | None = None,
    ) -> Float[Tensor, "texts some d_model"]:
        """These tokens after the block; they look at one another, and at what was kept."""
        attention, seen = self.block.attention, read(self.block, x)
        q = split_heads(attention.queries(seen), attention.heads)
        k = split_heads(attention.keys(seen), attention.kv_heads)
        v = split_heads(attention.values(seen), attention.kv_heads)
        if attention.rotate is not None:
            q, k = (attention.rotate.at(made, places[:, None], tokens=tokens) for made in (q, k))
        if kept is not None:
            k, v = kept.append(k, v)
        rows, columns = x.shape[1], k.shape[2]
        add(self.flops, operations.block(self.shape, tokens=rows, pairs=rows * columns), len(x))
        mixed = attention.mixed(q, k, v, "causal")
        return finish(self.block, x, attention.output(join_heads(mixed)))

    def _after_kept(self, x: Tensor, weights: Tensor, kept: RoutedKeysAndValues) -> Tensor:
        """The stream after the block, text by text, as each has kept tokens of its own."""
        start, (batch, tokens, _) = kept.length, x.shape
        kept.of_text = kept.of_text or [KeysAndValues() for _ in range(batch)]
        kept.length += tokens
        after = x.clone()
        for text in range(batch):
            places = self.taken[text].nonzero()[:, 0]
            if not len(places):
                continue
            before = x[text : text + 1, places]
            out = self._some(
                before, places[None] + start, tokens=start + tokens, kept=kept.of_text[text]
            )
            added = (out - before)[0] * weights[text, places, None]
            after[text, places] = x[text, places] + added
        return after

    def _everywhere(self, x: Tensor, weights: Tensor) -> Tensor:
        """The same, the plain way: all tokens go through, and what was not taken is left out."""
        tokens = x.shape[1]
        square = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device)
        itself = torch.eye(tokens, dtype=torch.bool, device=x.device)
        seen = self.taken[:, None, None, :] & square.tril()
        seen = seen | itself  # a row has to look at something
        out = self.block(x, mask=seen)
        add(self.flops, operations.block(self.shape, tokens=tokens), len(x))
        return x + (out - x) * (weights * self.taken)[..., None]


class DepthRouted(Decoder):
    """A model that writes, every second one of whose blocks takes some of the tokens.

    `every` counts from 1: with 2, blocks 2, 4 and so on are routed; with 1, all are.

    Raises:
        ValueError: for a capacity that is not above 0 and up to 1, an `every` below 1 or above the
            number of layers, shared blocks, and positions by ALiBi.
    """

    def __init__(self, shape: TransformerShape, *, capacity: float, every: int = 2) -> None:
        super().__init__(shape)
        _expect(shape, capacity=capacity, every=every)
        self.capacity, self.every = capacity, every
        for layer in range(every - 1, shape.layers, every):
            self.blocks[layer] = Routed(self.blocks[layer], shape, capacity=capacity)

    @property
    def routed(self) -> list[Routed]:
        """The blocks that take some of the tokens, in order."""
        return [block for block in self.blocks if isinstance(block, Routed)]

    @property
    def lesson(self) -> Float[Tensor, ""]:
        """What the predictors have to learn from the last forward pass, to be added to the loss."""
        return torch.stack([block.lesson for block in self.routed]).mean()

    def by(self, who: str, *, compact: bool = True) -> "DepthRouted":
        """The model itself; from now on the "router" decides, or the "predictor".

        With `compact=False` all tokens are computed.

        Raises:
            ValueError: for anyone else.
        """
        if who not in ("router", "predictor"):
            raise ValueError(f"who={who!r}: expected 'router' or 'predictor'")
        for block in self.routed:
            block.causal, block.compact = who == "predictor", compact
        return self

    def room(self, mask: Mask = "causal") -> list[KeysAndValues]:
        """Room for the keys and values of a text, empty; a routed block keeps those it takes."""
        return [
            RoutedKeysAndValues() if isinstance(block, Routed) else KeysAndValues()
            for block in self.blocks
        ]

    def read(self, ids: Int[Tensor, "batch tokens"]) -> Left:
        """Logits behind every token, how many blocks each went through, and what that took."""
        logits = self(ids)
        batch, tokens = ids.shape
        plain = self.shape.layers - len(self.routed)
        left = Left(logits, torch.full((batch, tokens), plain, device=ids.device))
        left.spend(operations.block(self.shape, tokens=tokens), plain * batch)
        for block in self.routed:
            left.depth = left.depth + block.taken
            left.spend(block.flops)
        left.spend(operations.embedding_map(self.shape, tokens=batch * tokens))
        left.spend({"logits": matmul(batch * tokens, self.shape.d_model, self.shape.vocab)})
        return left


def taken_of(tokens: int, capacity: float) -> int:
    """How many of so many tokens a block takes: the capacity's share, rounded up.

    >>> taken_of(100, 0.07), taken_of(10, 0.25)
    (7, 3)
    """
    return math.ceil(round(capacity * tokens, 6))


def _expect(shape: TransformerShape, *, capacity: float, every: int) -> None:
    if not 0 < capacity <= 1:
        raise ValueError(f"capacity={capacity}: expected more than 0 and at most 1")
    if not 1 <= every <= shape.layers:
        raise ValueError(f"every={every}: expected 1 to {shape.layers}, the number of layers")
    if shape.shared or shape.positions == "alibi":
        raise ValueError("shape: expected blocks of their own, and positions other than alibi")


def bill(shape: TransformerShape, *, tokens: int, capacity: float, every: int = 2) -> Flops:
    """Operations of a forward pass over one text by the router, by part.

    >>> from payattention.shape import GPT2_SMALL
    >>> all_of_it = operations.forward(GPT2_SMALL, tokens=1024)
    >>> eighth = bill(GPT2_SMALL, tokens=1024, capacity=0.125)
    >>> round(sum(eighth.values()) / sum(all_of_it.values()), 2)
    0.67

    Raises:
        ValueError: as `DepthRouted` does.
    """
    _expect(shape, capacity=capacity, every=every)
    routed = shape.layers // every
    whole = operations.block(shape, tokens=tokens)
    some = operations.block(shape, tokens=taken_of(tokens, capacity))
    return operations.embedding_map(shape, tokens=tokens) | {
        **{part: (shape.layers - routed) * whole[part] + routed * some[part] for part in whole},
        "logits": matmul(tokens, shape.d_model, shape.vocab),
        "routers": routed * matmul(tokens, shape.d_model, 1),
        "predictors": routed * matmul(tokens, shape.d_model, 1),
    }


def _groups(taken: Bool[Tensor, "batch tokens"]) -> list[Group]:
    """Texts of which as many tokens are taken, and the places of those."""
    counts = taken.sum(dim=1)
    order = taken.long().argsort(dim=1, descending=True, stable=True)  # the taken first, in order
    groups: list[Group] = []
    for count in counts[counts > 0].unique().tolist():
        texts = (counts == count).nonzero()[:, 0]
        every = len(texts) == len(taken)
        groups.append((None if every else texts, (order if every else order[texts])[:, :count]))
    return groups
