"""Checks of the exercises on sparse weights: a router, Wanda's choice, the size of a sparse map."""

from collections.abc import Callable

import torch
from torch import Tensor

from payattention.checks.check import Check, Mistake

# A router


def _gates(logits, chosen):
    """The weight of each expert for each token: a softmax over the `chosen` largest, 0 elsewhere.

    `logits` has a row for each token and a column for each expert.
    """
    best = logits.topk(chosen, dim=-1)
    return torch.zeros_like(logits).scatter(-1, best.indices, best.values.softmax(dim=-1))


def _kept(logits: Tensor, chosen: int, *, largest: bool = True, dim: int = -1) -> Tensor:
    """1 at the chosen experts and 0 elsewhere."""
    best = logits.topk(chosen, dim=dim, largest=largest)
    return torch.zeros_like(logits).scatter(dim, best.indices, 1.0)


gates = Check(
    _gates,
    cases=[
        (torch.tensor([[0.5, 2.0, -1.0, 1.0], [3.0, 0.1, 2.5, -2.0]]), 2),
        (torch.linspace(-2, 2, 35).sin().mul(3).view(7, 5), 3),
        (torch.linspace(0, 9, 18).cos().view(3, 6), 1),
    ],
    mistakes={
        "not_scaled": Mistake(
            lambda logits, chosen: logits.softmax(-1) * _kept(logits, chosen),
            "the weights of a token's experts do not sum to 1: what the idle ones had is missing.",
        ),
        "zeros_before_the_softmax": Mistake(
            lambda logits, chosen: (logits * _kept(logits, chosen)).softmax(-1),
            "you set logits to 0 before the softmax, and exp(0) is 1: the idle experts get a "
            "weight. Take the softmax of the chosen alone, or set the others to minus infinity.",
        ),
        "even": Mistake(
            lambda logits, chosen: _kept(logits, chosen) / chosen,
            "the right experts, all with the same weight: nothing would tell the router which of "
            "them was better.",
        ),
        "the_worst": Mistake(
            lambda logits, chosen: logits.masked_fill(
                _kept(logits, chosen, largest=False) == 0, -torch.inf
            ).softmax(-1),
            "those are the experts with the smallest logits.",
        ),
        "experts_choose": Mistake(
            lambda logits, chosen: (
                logits.softmax(-1) * _kept(logits, min(chosen, len(logits)), dim=0)
            ),
            "you chose tokens for each expert, down the columns; each token chooses experts, "
            "along its row.",
        ),
        "not_emptied": Mistake(
            lambda logits, chosen: logits.softmax(-1),
            "all experts have a weight, so that all of them would have to work.",
        ),
    },
    hints=[
        "logits.topk(chosen, dim=-1) gives the largest values of each row, and where they stand.",
        "A softmax of those values sums to 1 by itself.",
        "torch.zeros_like(logits).scatter(-1, best.indices, best.values.softmax(dim=-1))",
    ],
)

# What Wanda keeps


def _wanda_keeps(weights, inputs):
    """True for the half of each row that has the largest |weight| times norm of its input.

    `weights` has a row for each output and a column for each input, `inputs` a row for each token.
    """
    return _upper_half(weights.abs() * inputs.norm(dim=0))


def _upper_half(scores: Tensor) -> Tensor:
    order = scores.argsort(dim=1, descending=True)
    kept = torch.zeros_like(scores, dtype=torch.bool)
    return kept.scatter(1, order[:, : scores.shape[1] // 2], True)


def _upper_half_of_all(scores: Tensor) -> Tensor:
    order = scores.flatten().argsort(descending=True)
    kept = torch.zeros(scores.numel(), dtype=torch.bool)
    kept[order[: scores.shape[0] * (scores.shape[1] // 2)]] = True
    return kept.view_as(scores)


def _heard(tokens: int, columns: int) -> Tensor:
    """Inputs of unequal size; some of them swing about zero."""
    at = torch.arange(tokens * columns).view(tokens, columns)
    signs = torch.where((at // columns + at) % 2 == 0, 1.0, -1.0)
    sizes = torch.linspace(0.3, 4.0, columns).roll(3)
    return sizes * torch.where(torch.arange(columns) % 3 == 0, signs, 1.0) + 0.1 * at.sin()


def _weighed(rows: int, columns: int) -> Tensor:
    return torch.linspace(-7, 7, rows * columns).mul(5).sin().view(rows, columns) + 0.05


wanda_keeps = Check(
    _wanda_keeps,
    cases=[
        (_weighed(3, 8), _heard(5, 8)),
        (_weighed(11, 6), _heard(4, 6)),
        (_weighed(5, 14), _heard(17, 14)),
    ],
    mistakes={
        "mean": Mistake(
            lambda weights, inputs: _upper_half(weights.abs() * inputs.mean(dim=0).abs()),
            "you took the mean of each input: one that swings between large values of both signs "
            "has a mean near 0, and matters.",
        ),
        "signs_kept": Mistake(
            lambda weights, inputs: _upper_half(weights * inputs.norm(dim=0)),
            "a large negative weight matters as much as a large positive one: take its size.",
        ),
        "magnitude": Mistake(
            lambda weights, inputs: _upper_half(weights.abs()),
            "that is magnitude alone; nothing of the inputs has come in.",
        ),
        "over_the_map": Mistake(
            lambda weights, inputs: _upper_half_of_all(weights.abs() * inputs.norm(dim=0)),
            "the scores are right, and compared over the whole map: Wanda keeps half of each row.",
        ),
        "the_lower_half": Mistake(
            lambda weights, inputs: _upper_half(-weights.abs() * inputs.norm(dim=0)),
            "True stands where a weight goes; it should stand where one stays.",
        ),
        "last_token": Mistake(
            lambda weights, inputs: _upper_half(weights.abs() * inputs[-1].abs()),
            "you listened to the last token alone; take the norm over all of them.",
        ),
    },
    hints=[
        "An input has one value for each token: a column of `inputs`.",
        "The norm of a column is the root of the sum of its squares: inputs.norm(dim=0).",
        "scores = weights.abs() * inputs.norm(dim=0), and then the upper half of each row.",
    ],
)

# The size of a sparse map


def _csr_bytes(rows, columns, zeros):
    """Bytes of a map in compressed rows, values and indices of 4 bytes each."""
    kept = rows * columns - zeros
    return 4 * kept + 4 * kept + 4 * (rows + 1)


def _in_rows(
    *,
    each: int = 8,
    starts: Callable = lambda rows: 4 * (rows + 1),
    kept: Callable = lambda rows, columns, zeros: rows * columns - zeros,
) -> Callable:
    """An answer in which one thing may be other than it should be."""
    return lambda rows, columns, zeros: each * kept(rows, columns, zeros) + starts(rows)


csr_bytes = Check(
    _csr_bytes,
    cases=[(2, 3, 4), (5, 7, 0), (1024, 1024, 943_718), (3, 11, 33)],
    mistakes={
        "values_alone": Mistake(
            _in_rows(each=4, starts=lambda rows: 0),
            "those are the values; nobody could say where they stand.",
        ),
        "no_starts": Mistake(
            _in_rows(starts=lambda rows: 0),
            "the columns are there, and where each row begins is not.",
        ),
        "one_start_too_few": Mistake(
            _in_rows(starts=lambda rows: 4 * rows),
            "the format keeps the end of the last row too: rows + 1 numbers.",
        ),
        "rows_and_columns": Mistake(
            _in_rows(each=12, starts=lambda rows: 0),
            "with a row and a column for each value you have the format called COO; CSR keeps "
            "where each row begins instead.",
        ),
        "zeros_kept": Mistake(
            _in_rows(kept=lambda rows, columns, zeros: zeros),
            "you stored the zeros; what is kept are the others.",
        ),
        "eight_byte_indices": Mistake(
            _in_rows(each=12, starts=lambda rows: 8 * (rows + 1)),
            "indices of 8 bytes are what PyTorch takes by default; here they have 4.",
        ),
    },
    hints=[
        "Write down what is kept of the two rows (0, 5, 0) and (0, 0, 7).",
        "Values 5, 7; columns 1, 2; and where the rows begin and the last ends: 0, 1, 2.",
        "Each value that stays takes 4 + 4 bytes, and there are rows + 1 starts of 4.",
    ],
)
