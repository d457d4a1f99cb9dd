"""Induction: find the last place where this token stood, and say what came after it there.

The usual way takes two layers. A head of the first looks at the token before and writes down what
it was; a head of the second looks for places at which the token now is written down as the one
before. One layer would have to be far larger (Sanford et al. 2024, arXiv:2408.14332).
Source: Olsson et al. 2022 (arXiv:2209.11895).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from payattention.transformer import Decoder


def previous_token_scores(
    weights: Float[Tensor, "layers batch heads tokens tokens"],
) -> Float[Tensor, "layers heads"]:
    """Share of its attention that each head gives to the token before, on average."""
    return weights.diagonal(-1, dim1=-2, dim2=-1).mean(dim=(1, 3))


def induction_scores(
    weights: Float[Tensor, "layers batch heads tokens tokens"],
    distance: Int[Tensor, " batch"],
    *,
    last: int,
) -> Float[Tensor, "layers heads"]:
    """Share of its attention that each head gives to the token behind the earlier copy of this one.

    Averaged over the `last` places, at which the token stood `distance` places earlier as well.
    """
    tokens = weights.shape[-1]
    rows = torch.arange(tokens - last, tokens)
    columns = rows - distance[:, None] + 1
    batch = torch.arange(len(distance))[:, None]
    looked = [layer[batch, :, rows, columns].mean(dim=(0, 1)) for layer in weights]
    return torch.stack(looked)


@contextmanager
def without_heads(model: Decoder, layer: int, heads: Iterable[int]) -> Iterator[Decoder]:
    """The model with what these heads of a layer write struck out; afterwards it is as before.

    Raises:
        ValueError: for a layer or a head that the model does not have.
    """
    heads = list(heads)
    for name, values, size in (
        ("layer", [layer], model.shape.layers),
        ("heads", heads, model.shape.heads),
    ):
        if not all(0 <= value < size for value in values):
            raise ValueError(f"{name}: got {values}; expected 0 to {size - 1}")
    weight = model.blocks[layer].attention.output.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        for head in heads:
            weight[:, head * model.shape.d_head : (head + 1) * model.shape.d_head] = 0
    try:
        yield model
    finally:
        with torch.no_grad():
            weight.copy_(kept)
