"""How small dense squares of attention are computed, forward and backward.

`Products` are plain matrix products and a softmax: the form to read, and the fastest for many small
squares. `Fused` is the platform's kernel, which keeps no scores. Both take queries, keys and values
as (heads, squares, places, width), what is added to the scores to hide pairs, and the scale of the
scores; both give the mixtures, and the logarithm of each row's sum, by which parts of a softmax are
put together. The backward passes take the output and the sum of the whole row.

Source: Dao et al. 2022, FlashAttention (arXiv:2205.14135), algorithm 4, for the backward pass.
"""

import math

import torch
from torch import Tensor

Corner = tuple[slice, Tensor]
"""Some columns of a square, and what is added to their scores."""


class Room:
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


class Products:
    """Squares by matrix products and a softmax: the form to read, and the fastest for many small
    squares."""

    @staticmethod
    def corners(hidden: Tensor | str | None, like: Tensor, height: int) -> list[Corner]:
        """What hides pairs, cut down to the columns in which some are hidden: often two corners."""
        if isinstance(hidden, str):
            hidden = like.new_full((1, height, height), -math.inf).triu_(1)
        if hidden is None:
            return []
        some = (hidden < 0).any(dim=1).any(dim=0).int()
        edges = torch.diff(some, prepend=some.new_zeros(1), append=some.new_zeros(1)).nonzero()
        ends = edges.flatten().tolist()
        if len(ends) > 4:
            ends = [ends[0], ends[-1]]
        runs = [slice(*ends[at : at + 2]) for at in range(0, len(ends), 2)]
        return [(columns, hidden[:, :, columns]) for columns in runs]

    @staticmethod
    def scores(q, k, hidden: list[Corner], scale: float, room: Room) -> Tensor:
        """scale * q k, and the corners hidden, of squares one behind the other."""
        out = room.of("scores", q, len(q), q.shape[1], k.shape[1])
        torch.baddbmm(out, q, k.mT, beta=0, alpha=scale, out=out)
        for columns, hides in hidden:  # the same in each head
            out.unflatten(0, (-1, len(hides)))[..., columns].add_(hides)
        return out

    @classmethod
    def forward(
        cls, q, k, v, hidden, scale, room: Room, into: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        lead = q.shape[:2]
        q, k, v = (x.reshape(-1, *x.shape[2:]) for x in (q, k, v))
        scores = cls.scores(q, k, hidden, scale, room).to(wide(q))
        largest = scores.amax(dim=-1)
        weights = torch.softmax(scores, dim=-1, out=scores)
        # the largest weight is exp(the largest score) over the sum
        logs = largest - weights.amax(dim=-1).log()
        if into is None:
            into = room.of("mixed", v, *lead, q.shape[1], v.shape[2])
        torch.bmm(weights.to(v.dtype), v, out=into.view(-1, *into.shape[2:]))
        return into, logs.unflatten(0, lead)

    @classmethod
    def backward(
        cls, q, k, v, d_output, output, logs, hidden, scale, room: Room
    ) -> tuple[Tensor, ...]:
        lead = q.shape[:2]
        # what a row's scores have in common does not change its softmax
        common = (d_output * output).sum(dim=-1, keepdim=True)
        q, k, v, d_output, logs, common = (
            x.reshape(-1, *x.shape[2:]) for x in (q, k, v, d_output, logs, common)
        )
        scores = cls.scores(q, k, hidden, scale, room).to(wide(q))
        weights = scores.sub_(logs).exp_().to(q.dtype)
        d_scores = room.of("d_scores", q, *weights.shape)
        torch.baddbmm(-common, d_output, v.mT, out=d_scores).mul_(weights).mul_(scale)
        found = [room.of(name, x, *x.shape) for name, x in (("q", q), ("k", k), ("v", v))]
        torch.bmm(d_scores, k, out=found[0])
        torch.bmm(d_scores.mT, q, out=found[1])
        torch.bmm(weights.mT, d_output, out=found[2])
        return tuple(x.unflatten(0, lead) for x in found)


class Fused:
    """Squares by the CPU's kernel, which keeps no scores."""

    @staticmethod
    def there() -> bool:
        """Whether this PyTorch has the kernel, in both directions."""
        return FUSED is not None and FUSED_BACKWARD is not None

    @staticmethod
    def how(hidden: Tensor | str | None) -> tuple[bool, Tensor | None]:
        mask = hidden[None] if isinstance(hidden, Tensor) else None
        return isinstance(hidden, str), mask

    @classmethod
    def forward(
        cls, q, k, v, hidden, scale, room: Room, into: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        causal, mask = cls.how(hidden)
        return FUSED(q, k, v, 0.0, causal, attn_mask=mask, scale=scale)

    @classmethod
    def backward(
        cls, q, k, v, d_output, output, logs, hidden, scale, room: Room
    ) -> tuple[Tensor, ...]:
        causal, mask = cls.how(hidden)
        given = d_output, q, k, v, output, logs.squeeze(-1)
        return FUSED_BACKWARD(*given, 0.0, causal, attn_mask=mask, scale=scale)


FUSED = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
FUSED_BACKWARD = getattr(
    torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None
)


def wide(x: Tensor) -> torch.dtype:
    """The type in which sums of x are carried: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)
