"""Early exit: leave a deep model by a door behind one of its layers.

A door is a map from the stream to logits, and a measure of how sure they are; a row that is sure
enough leaves there, and the layers behind are not computed for it. Three measures: `softmax`, the
lead of the likeliest answer over the next; `state`, how little the last layer turned the vector;
`learned`, a unit of the door's own.

In a text, those that come later still look at a token that has left, on every layer. With
`fill="copy"` its state is taken for that of all layers behind, and its keys and values there are
made of it: two maps a layer, which is not nothing. With `fill="compute"` the layers are made good
when somebody goes deeper, for all tokens that wait there in one pass; then the numbers are those of
the whole model, and what is saved is time more than operations.

Doors may be the model's own last map, for models that were trained with all doors at once, or maps
of their own on a model that stays as it is.

Sources: Teerapittayanon et al. 2016, BranchyNet (arXiv:1709.01686); Schuster et al. 2022, CALM
(arXiv:2207.07061), section 3, for the measures and the copied state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention.adaptive_compute.some import Asking
from payattention.cost import operations
from payattention.cost.operations import Flops, add, matmul
from payattention.transformer import Classifier, Decoder, norm

CONFIDENCES = ("softmax", "state", "learned")


@dataclass
class Left:
    """What came out, by how many layers each row went through, and what that took.

    `unpaid` are operations for copied keys and values at which nobody looked; who writes token by
    token pays them too, not knowing that.
    """

    logits: Float[Tensor, "*rows classes"]
    depth: Int[Tensor, "*rows"]
    flops: Flops = field(default_factory=dict)
    unpaid: int = 0

    def spend(self, flops: Flops, times: int = 1) -> None:
        """Return nothing; add to what was executed, part by part."""
        add(self.flops, flops, times)


class EarlyExit(nn.Module):
    """A `Decoder` or a `Classifier` with doors behind some of its layers.

    `behind` says behind which, counted from 1; `own` gives each door a norm and a map of its own,
    else it has the model's last ones.

    Raises:
        TypeError: for a model of another kind.
        ValueError: for a layer that does not exist, or is the last one, which needs no door; for
            another measure of confidence; and for ALiBi, whose distances are those of all tokens.
    """

    def __init__(
        self,
        model: Decoder | Classifier,
        *,
        behind: Sequence[int],
        confidence: str = "softmax",
        own: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(model, Decoder | Classifier):
            raise TypeError(f"model: got {type(model).__name__}; expected a Decoder or Classifier")
        shape = model.shape
        for layer in behind:
            if not isinstance(layer, int) or not 1 <= layer < shape.layers:
                those = f"1 to {shape.layers - 1}" if shape.layers > 1 else "none, of one layer"
                raise ValueError(f"behind: got layer {layer!r}; expected {those}")
        if shape.positions == "alibi":
            raise ValueError("model: got positions of alibi; expected others")
        if confidence not in CONFIDENCES:
            raise ValueError(f"confidence={confidence!r}: expected one of {CONFIDENCES}")
        self.model, self.shape, self.confidence = model, shape, confidence
        self.behind = tuple(sorted(set(behind)))
        self.norms, self.outputs, self.units = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for layer in map(str, self.behind):
            if own:
                self.norms[layer] = norm(shape)
                self.outputs[layer] = nn.Linear(shape.d_model, shape.vocab)
            if confidence == "learned":
                self.units[layer] = nn.Linear(shape.d_model, 1)

    # Doors

    def logits(
        self, x: Float[Tensor, "*rows d_model"], layer: int | None = None
    ) -> Float[Tensor, "*rows classes"]:
        """What the door behind a layer says, or the end of the model."""
        name = str(layer)
        if layer is not None and name in self.outputs:
            return self.outputs[name](self.norms[name](x))
        return self.model.output(self.model.norm(x))

    def sure(
        self,
        before: Float[Tensor, "rows d_model"],
        x: Float[Tensor, "rows d_model"],
        logits: Float[Tensor, "rows classes"] | None,
        layer: int,
    ) -> Float[Tensor, " rows"]:
        """How sure the door is of each row, from 0 to 1; `before` is in front of the layer."""
        if self.confidence == "softmax":
            first, second = logits.softmax(dim=-1).topk(2, dim=-1).values.unbind(dim=-1)
            return first - second
        if self.confidence == "state":
            return F.cosine_similarity(before, x, dim=-1).clamp(0, 1)
        return torch.sigmoid(self.units[str(layer)](x)[:, 0])

    def everywhere(self, x: Tensor) -> list[Float[Tensor, "*rows classes"]]:
        """Logits of every door in order, and of the end: what is trained.

        Of a text all tokens, of an image one row.
        """
        streams = list(self.model.stream(x))
        if isinstance(self.model, Classifier):
            streams = [stream[:, 0] for stream in streams]
        doors = [self.logits(streams[layer], layer) for layer in self.behind]
        return [*doors, self.logits(streams[-1])]

    def _door_flops(self, rows: int) -> Flops:
        """Operations of the door behind a layer, for rows that ask whether they may leave."""
        d_model = self.shape.d_model
        if self.confidence == "softmax":
            return {"doors": matmul(rows, d_model, self.shape.vocab)}
        return {"doors": matmul(rows, d_model, 1) if self.confidence == "learned" else 0}

    def leaving(
        self,
        left: Left,
        before: Float[Tensor, "rows d_model"],
        x: Float[Tensor, "rows d_model"],
        layer: int,
        threshold: float,
    ) -> tuple[Bool[Tensor, " rows"], Float[Tensor, "rows classes"] | None]:
        """Which rows leave, and what the door says of all rows, if it has been asked already.

        At a threshold of 1 nobody leaves, however sure.
        """
        logits = self.logits(x, layer) if self.confidence == "softmax" else None
        left.spend(self._door_flops(len(x)))
        sure = self.sure(before, x, logits, layer)
        return (sure >= threshold) & (threshold < 1), logits

    def said(
        self,
        left: Left,
        x: Float[Tensor, "rows d_model"],
        layer: int,
        logits: Float[Tensor, "rows classes"] | None,
    ) -> Float[Tensor, "rows classes"]:
        """The logits of rows that leave, which are made now if they have not been."""
        if logits is not None:
            return logits
        left.spend({"doors": matmul(len(x), self.shape.d_model, self.shape.vocab)})
        return self.logits(x, layer)

    # Images

    @torch.no_grad()
    def classify(
        self, x: Float[Tensor, "rows tokens d_input"], *, threshold: float, compact: bool = True
    ) -> Left:
        """Logits of images, each by the first door that is sure of it.

        With `compact=False` all layers are computed for all.

        Raises:
            TypeError: for a model that does not classify.
            ValueError: for a threshold outside 0 to 1.
        """
        expect_threshold(threshold)
        if not isinstance(self.model, Classifier):
            raise TypeError("model: got one that writes; expected a Classifier, or call `read`")
        tokens, shape = x.shape[1] + 1, self.shape
        left = Left(
            x.new_zeros(len(x), shape.vocab), torch.full((len(x),), shape.layers, device=x.device)
        )
        rows = torch.arange(len(x), device=x.device)
        stream = next(iter(self.model.stream(x)))
        left.spend({"input": matmul(tokens - 1, x.shape[2], shape.d_model)}, len(x))
        block_flops = operations.block(shape, tokens=tokens)
        running = torch.ones_like(rows, dtype=torch.bool)
        for layer, block in enumerate(self.model.blocks, start=1):
            before, stream = stream, block(stream)
            left.spend(block_flops, len(rows))
            if layer not in self.behind:
                continue
            leave, said = self.leaving(left, before[:, 0], stream[:, 0], layer, threshold)
            leave &= running
            if leave.any():
                logits = None if said is None else said[leave]
                left.logits[rows[leave]] = self.said(left, stream[leave, 0], layer, logits)
                left.depth[rows[leave]] = layer
            running = running & ~leave
            if compact:
                rows, stream, running = rows[running], stream[running], running[running]
                if not len(rows):
                    break
        left.logits[rows[running]] = self.logits(stream[running, 0])
        left.spend({"classes": matmul(int(running.sum()), shape.d_model, shape.vocab)})
        return left

    # A text, all at once

    @torch.no_grad()
    def read(
        self,
        ids: Int[Tensor, "batch tokens"],
        *,
        threshold: float,
        whole: int = 0,
        compact: bool = True,
    ) -> Left:
        """Logits behind every token of texts that are known, with states copied.

        The first `whole` tokens go through all layers. It gives what writing one token after
        another would. With `compact=False` all layers are computed for all tokens.

        Raises:
            TypeError: for a model that does not write.
            ValueError: for a threshold outside 0 to 1.
        """
        expect_threshold(threshold)
        if not isinstance(self.model, Decoder):
            raise TypeError("model: got one that classifies; expected a Decoder, or `classify`")
        (batch, tokens), shape = ids.shape, self.shape
        state = self.model.embedding(ids).flatten(0, 1)
        left = Left(
            state.new_zeros(batch * tokens, shape.vocab),
            torch.full((batch * tokens,), shape.layers, device=ids.device),
        )
        rows = torch.arange(batch * tokens, device=ids.device)
        running = torch.ones_like(rows, dtype=torch.bool)
        may_leave = rows % tokens >= whole
        everyone, owed = rows, 2 * matmul(1, shape.d_model, shape.d_kv)
        left.spend(operations.embedding_map(shape, tokens=batch * tokens))
        for layer, block in enumerate(self.model.blocks, start=1):
            if not len(rows):
                left.unpaid += len(everyone) * owed
                continue
            asking = Asking(batch=batch, tokens=tokens, mask="causal")
            looked_at = everyone[_up_to_the_last(rows, batch, tokens)]
            asking.make(block, state[looked_at], looked_at)
            left.unpaid += (len(everyone) - len(looked_at)) * owed
            before = state[rows]
            after, pairs = asking.ask(block, before, rows)
            left.spend(
                operations.block(shape, tokens=len(looked_at), queries=len(rows), pairs=pairs)
            )
            after = torch.where(running[:, None], after, before)
            state = state.index_copy(0, rows, after)
            if layer not in self.behind:
                continue
            leave, said = self.leaving(left, before, after, layer, threshold)
            leave &= running & may_leave[rows]
            if leave.any():
                logits = None if said is None else said[leave]
                left.logits[rows[leave]] = self.said(left, after[leave], layer, logits)
                left.depth[rows[leave]] = layer
            running = running & ~leave
            if compact:
                rows, running = rows[running], running[running]
        left.logits[rows[running]] = self.logits(state[rows[running]])
        left.spend({"logits": matmul(int(running.sum()), shape.d_model, shape.vocab)})
        left.logits = left.logits.view(batch, tokens, shape.vocab)
        left.depth = left.depth.view(batch, tokens)
        return left


def _up_to_the_last(rows: Tensor, batch: int, tokens: int) -> Bool[Tensor, " all_rows"]:
    """Which tokens may be looked at by the rows: those in front of the last one of each text."""
    last = rows.new_full((batch,), -1).scatter_reduce(0, rows // tokens, rows % tokens, "amax")
    return (torch.arange(tokens, device=rows.device) <= last[:, None]).flatten()


def expect_threshold(threshold: float) -> None:
    """Return nothing; refuse a threshold outside 0 to 1."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected 0 to 1")
