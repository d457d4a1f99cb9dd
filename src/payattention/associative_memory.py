"""Pairs of keys and values in a state of fixed size, and in a list that grows.

The state is the sum of the outer products k v^T, read by one matrix product: the oldest
associative memory there is, and what "linear attention" carries from token to token. The list
keeps every pair and asks softmax attention. Neither is trained here; `PairReader` trains both.

Sources: Kohonen 1972; Katharopoulos et al. 2020 (arXiv:2006.16236), section 3.4;
Schlag et al. 2021 (arXiv:2102.11174).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Vectors = Float[Tensor, "pairs d_model"]


def unit_vectors(count: int, d_model: int, generator: torch.Generator) -> Vectors:
    """`count` vectors of length 1 in random directions, shape (count, d_model)."""
    vectors = torch.randn(count, d_model, generator=generator)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def write(keys: Vectors, values: Vectors) -> Float[Tensor, "d_model d_model"]:
    """The state that holds all pairs: the sum of their outer products."""
    return keys.T @ values


def nearest(answers: Float[Tensor, "answers d_model"], values: Vectors) -> Int[Tensor, " answers"]:
    """For each answer, the index of the stored value with the largest dot product."""
    return (answers @ values.T).argmax(dim=-1)


def recalled_by_state(keys: Vectors, values: Vectors) -> float:
    """Share of pairs, between 0 and 1, whose own value is nearest to S^T k."""
    found = nearest(keys @ write(keys, values), values)
    return _share_correct(found)


def recalled_by_attention(keys: Vectors, values: Vectors, *, sharpness: float = 64.0) -> float:
    """Share of pairs whose own value is nearest to what softmax attention over all pairs returns.

    `sharpness` multiplies the scores, in place of the learned scale of queries and keys.
    """
    shares = (sharpness * keys @ keys.T).softmax(dim=-1)
    return _share_correct(nearest(shares @ values, values))


def _share_correct(found: Int[Tensor, " pairs"]) -> float:
    return (found == torch.arange(len(found))).float().mean().item()


class PairReader(nn.Module):
    """A trained memory: it reads pairs of symbols, is asked for a key, and gives logits of values.

    `d_head` is the width of keys, queries and values. With `softmax=False` all that is kept of the
    pairs is a state of d_head x d_head numbers; with `softmax=True` the pairs themselves are kept.
    The two have the same parameters.
    """

    def __init__(self, *, key_symbols: int, value_symbols: int, d_head: int, softmax: bool) -> None:
        super().__init__()
        d_model = 32
        self.key_embedding = nn.Embedding(key_symbols, d_model)
        self.value_embedding = nn.Embedding(value_symbols, d_model)
        self.queries = nn.Linear(d_model, d_head, bias=False)
        self.keys = nn.Linear(d_model, d_head, bias=False)
        self.values = nn.Linear(d_model, d_head, bias=False)
        self.output = nn.Linear(d_head, value_symbols)
        self.softmax = softmax

    def forward(
        self,
        keys: Int[Tensor, "batch pairs"],
        values: Int[Tensor, "batch pairs"],
        asked: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch value_symbols"]:
        """Logits of the value that was paired with `asked`."""
        query = self.queries(self.key_embedding(asked))[:, None]
        keys, values = (
            self.keys(self.key_embedding(keys)),
            self.values(self.value_embedding(values)),
        )
        if self.softmax:
            scores = query @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])
            answer = scores.softmax(dim=-1) @ values
        else:
            state = keys.transpose(1, 2) @ values  # all that is kept: d_head x d_head numbers
            answer = query @ state
        return self.output(answer[:, 0])
