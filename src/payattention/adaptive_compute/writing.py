"""Writing by a model with doors: one token after another, each through as many layers as it takes.

A token that leaves early owes the layers behind its keys and values, for the tokens to come; see
`early_exit` for the two ways to pay. Where states are copied, one vector is read by all of those
layers: their maps, with the norms in front of them, stand in one matrix, so that all are paid for
by one product.

Texts side by side may leave at different layers. The layers behind then compute the others alone,
which have to be picked out of the memory of keys and values first: that copies them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention.adaptive_compute.early_exit import EarlyExit, Left, expect_threshold
from payattention.adaptive_compute.some import finish, read
from payattention.attention import join_heads, split_heads
from payattention.cost import operations
from payattention.cost.operations import Flops, add, matmul
from payattention.generation import GREEDY, Sampler
from payattention.transformer import Decoder

FILLS = ("copy", "compute")


@dataclass(frozen=True)
class Written:
    """Texts with what was added, by how many layers each new token was, and what it took."""

    ids: Int[Tensor, "batch longer"]
    logits: Float[Tensor, "batch new vocab"]
    depth: Int[Tensor, "batch new"]
    flops: Flops


def write(
    exits: EarlyExit,
    prompts: Int[Tensor, "batch tokens"],
    *,
    tokens: int,
    threshold: float,
    fill: str = "copy",
    sampler: Sampler = GREEDY,
    generator: torch.Generator | None = None,
) -> Written:
    """Each prompt with so many tokens more; all of a prompt but its last token goes all the way.

    The flops are those of the new tokens, without the prompt's.

    Raises:
        ValueError: for a threshold outside 0 to 1, another `fill`, `fill="compute"` with more than
            one prompt, an empty prompt, fewer than 1 token, and a text that does not fit the
            model's context.
    """
    writer = Writer(exits, prompts, room=prompts.shape[1] + tokens, fill=fill)
    expect_threshold(threshold)
    if tokens < 1:
        raise ValueError(f"tokens={tokens}: expected at least 1")
    written = [prompts]
    with torch.inference_mode():
        for _ in range(tokens):
            writer.step(written[-1][:, -1], threshold=threshold)
            written.append(sampler.draw(writer.logits[-1], generator)[:, None])
    logits, depth = torch.stack(writer.logits, dim=1), torch.stack(writer.depths, dim=1)
    return Written(torch.cat(written, dim=1), logits, depth, writer.flops)


class Writer:
    """A model with doors, and what it has read: keys and values of all layers in one memory.

    There is `room` for so many tokens, the prompt's among them; all of a prompt but its last token
    is read at once, through all layers.

    Raises:
        TypeError: for a model that does not write.
        ValueError: as `write` does, and for a model whose norms stand behind its parts.
    """

    def __init__(
        self,
        exits: EarlyExit,
        prompts: Int[Tensor, "batch tokens"],
        *,
        room: int,
        fill: str = "copy",
    ) -> None:
        shape, (batch, tokens) = exits.shape, prompts.shape
        if not isinstance(exits.model, Decoder):
            raise TypeError("model: got one that classifies; expected a Decoder")
        if fill not in FILLS:
            raise ValueError(f"fill={fill!r}: expected one of {FILLS}")
        if fill == "compute" and batch != 1:
            raise ValueError(f"prompts: got {batch}; expected 1 with fill='compute'")
        if tokens < 1:
            raise ValueError("prompts: got empty ones; expected at least one token")
        if shape.context is not None and room > shape.context + 1:
            raise ValueError(
                f"tokens: got a text of {room}; expected at most {shape.context + 1}, as the model "
                "reads all but the last"
            )
        self.exits, self.blocks, self.fill = exits, exits.model.blocks, fill
        self.at, self.room = 0, room
        self.logits: list[Tensor] = []
        self.depths: list[Tensor] = []
        self.flops: Flops = {}
        table = exits.model.embedding.table.weight
        size = (shape.layers, batch, shape.kv_heads, room, shape.d_head)
        self.keys, self.values = (table.new_zeros(size) for _ in range(2))
        self.waiting: list[list[Tensor]] = [[] for _ in range(shape.layers + 1)]
        with torch.inference_mode():
            self.copies = _copies(self.blocks)
            if tokens > 1:
                x = exits.model.embedding(prompts[:, :-1])
                for layer in range(shape.layers):
                    x = self._through(layer, x, start=0)
                self.at = tokens - 1
        self.read = self.at

    def rewind(self) -> None:
        """Return nothing; forget what was written behind the prompts, which stay read."""
        self.at = self.read
        self.waiting = [[] for _ in self.waiting]
        self.logits, self.depths, self.flops = [], [], {}

    @torch.inference_mode()
    def step(
        self,
        ids: Int[Tensor, " batch"],
        *,
        threshold: float,
        until: Int[Tensor, " batch"] | None = None,
    ) -> None:
        """Return nothing; read one token of each text, and keep what follows it in `logits`.

        With `until`, a text leaves by the first door from that layer on, whatever the door says.

        Raises:
            ValueError: for a threshold outside 0 to 1, and where there is no room left.
        """
        expect_threshold(threshold)
        if self.at >= self.room:
            raise ValueError(f"room={self.room}: expected more, for another token")
        exits, shape = self.exits, self.exits.shape
        add(self.flops, operations.embedding_map(shape, tokens=1), len(ids))
        x = exits.model.embedding(ids[:, None], start=self.at)
        left = Left(
            x.new_zeros(len(ids), shape.vocab),
            torch.full((len(ids),), shape.layers, device=ids.device),
            self.flops,
        )
        rows = None  # all of them
        for layer in range(shape.layers):
            before, x = x, self._deeper(layer, x, rows)
            if layer + 1 not in exits.behind:
                continue
            leave, said = exits.leaving(left, before[:, 0], x[:, 0], layer + 1, threshold)
            if until is not None:
                leave = (until if rows is None else until[rows]) <= layer + 1
            if not leave.any():
                continue
            gone = leave.nonzero()[:, 0] if rows is None else rows[leave]
            all_leave = len(gone) == len(x)
            out = x if all_leave else x[leave]
            logits = said if all_leave or said is None else said[leave]
            left.logits[gone] = exits.said(left, out[:, 0], layer + 1, logits)
            left.depth[gone] = layer + 1
            self._pay(layer + 1, out, None if len(gone) == len(ids) else gone)
            if all_leave:
                x = x[:0]
                break
            stay = (~leave).nonzero()[:, 0]
            rows, x = stay if rows is None else rows[stay], x[stay]
        if len(x):
            left.logits[slice(None) if rows is None else rows] = exits.logits(x[:, 0])
            left.spend({"logits": matmul(len(x), shape.d_model, shape.vocab)})
        self.at += 1
        self.logits.append(left.logits)
        self.depths.append(left.depth)

    def _deeper(self, layer: int, x: Tensor, rows: Tensor | None) -> Tensor:
        """The stream after one more layer, and after those that wait there, if there are any."""
        waiting = self.waiting[layer]
        x = torch.cat([*waiting, x], dim=1) if waiting else x
        new = x.shape[1]
        x = self._through(layer, x, start=self.at + 1 - new, rows=rows)
        add(
            self.flops,
            operations.block(self.exits.shape, tokens=new, pairs=new * (self.at + 1)),
            len(x),
        )
        if new > 1:
            waiting.clear()
            self.waiting[layer + 1].append(x[:, :-1])
        return x[:, -1:]

    def _through(self, layer: int, x: Tensor, *, start: int, rows: Tensor | None = None) -> Tensor:
        """The stream after a layer; keys and values of these tokens are kept."""
        block, end = self.blocks[layer], start + x.shape[1]
        attention = block.attention
        seen = read(block, x)
        keys = split_heads(attention.keys(seen), attention.kv_heads)
        values = split_heads(attention.values(seen), attention.kv_heads)
        queries = split_heads(attention.queries(seen), attention.heads)
        if attention.rotate is not None:
            queries, keys = (attention.rotate(made, start=start) for made in (queries, keys))
        kept = self.keys[layer], self.values[layer]
        if rows is None:
            for memory, made in zip(kept, (keys, values), strict=True):
                memory[:, :, start:end] = made
            mixed = attention.mixed(queries, *(memory[:, :, :end] for memory in kept), "causal")
        else:
            for memory, made in zip(kept, (keys, values), strict=True):
                memory[rows, :, start:end] = made
            some = (memory[:, :, :end].index_select(0, rows) for memory in kept)
            mixed = attention.mixed(queries, *some, "causal")
        return finish(block, x, attention.output(join_heads(mixed)))

    def _pay(self, layer: int, x: Tensor, rows: Tensor | None) -> None:
        """Give the layers from this one on their keys and values of tokens that have left."""
        if self.fill == "compute":
            self.waiting[layer].append(x)
            return
        shape = self.exits.shape
        owed = shape.layers - layer
        weight, bias = self.copies
        made = F.linear(_normalised(self.blocks[0].norm, x[:, 0]), weight[layer:].flatten(0, 1))
        made = made.view(len(x), owed, 2, shape.kv_heads, shape.d_head)
        if bias is not None:
            made = made + bias[layer:].view(owed, 2, shape.kv_heads, shape.d_head)
        keys, values = made.permute(2, 1, 0, 3, 4).unbind()
        rotate = self.blocks[0].attention.rotate
        if rotate is not None:
            keys = rotate(keys[..., None, :], start=self.at)[..., 0, :]
        if rows is None:
            self.keys[layer:, :, :, self.at], self.values[layer:, :, :, self.at] = keys, values
        else:
            self.keys[layer:, rows, :, self.at] = keys
            self.values[layer:, rows, :, self.at] = values
        copied = 2 * matmul(len(x), shape.d_model, shape.d_kv)
        add(self.flops, {"copied keys and values": owed * copied})


def _copies(blocks: nn.ModuleList) -> tuple[Tensor, Tensor | None]:
    """The maps to keys and values of each layer, with the norm's gains in them: layers x rows."""
    weights, biases = [], []
    for block in blocks:
        if not block.pre_norm:
            raise ValueError("model: expected one whose norms stand in front of its parts")
        gain, shift = block.norm.weight, getattr(block.norm, "bias", None)
        maps = block.attention.keys, block.attention.values
        weight = torch.cat([each.weight for each in maps])
        weights.append(weight * gain)
        bias = torch.zeros_like(weight[:, 0]) if shift is None else (weight * shift).sum(dim=1)
        if maps[0].bias is not None:
            bias = bias + torch.cat([each.bias for each in maps])
        biases.append(bias)
    bias = torch.stack(biases)
    return torch.stack(weights), bias if bias.any() else None


def _normalised(like: nn.Module, x: Tensor) -> Tensor:
    """The vector as a norm of this kind leaves it, without its gains."""
    if isinstance(like, nn.LayerNorm):
        return F.layer_norm(x, x.shape[-1:], eps=like.eps)
    return F.rms_norm(x, x.shape[-1:], eps=like.eps)
