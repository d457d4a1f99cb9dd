"""Checks of the exercises on recurrence: cells, memory, reach, scans, and what is kept."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from payattention import convolution, linear_recurrence
from payattention.checks.check import Check, Mistake


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# One step of a GRU


def _gru_step(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    """The next state of a GRU; the rows of the weights are reset, update, candidate."""
    return torch.gru_cell(x, h, weight_ih, weight_hh, bias_ih, bias_hh)


def _gru_with(
    *,
    gates: str = "rzn",
    keep: Callable = lambda z, h, n: z * h + (1 - z) * n,
    candidate: Callable = lambda x_part, h_part, bias, r: torch.tanh(x_part + r * (h_part + bias)),
) -> Callable:
    """A GRU step in which one thing may be other than it should be."""

    def step(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        from_x = dict(zip(gates, (x @ weight_ih.T + bias_ih).chunk(3, dim=-1), strict=True))
        from_h = dict(zip(gates, (h @ weight_hh.T).chunk(3, dim=-1), strict=True))
        bias = dict(zip(gates, bias_hh.chunk(3), strict=True))
        r, z = (torch.sigmoid(from_x[gate] + from_h[gate] + bias[gate]) for gate in "rz")
        return keep(z, h, candidate(from_x["n"], from_h["n"], bias["n"], r))

    return step


def _gru_reset_before(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    from_x, from_h = x @ weight_ih.T + bias_ih, h @ weight_hh.T + bias_hh
    r, z, _ = torch.sigmoid(from_x + from_h).chunk(3, dim=-1)
    recurrent, bias = weight_hh.chunk(3)[2], bias_hh.chunk(3)[2]
    n = torch.tanh(from_x.chunk(3, dim=-1)[2] + (r * h) @ recurrent.T + bias)
    return z * h + (1 - z) * n


def _gru_case(batch: int, d_input: int, d_hidden: int) -> tuple:
    rows = 3 * d_hidden
    shapes = [(batch, d_input), (batch, d_hidden), (rows, d_input), (rows, d_hidden)]
    shapes += [(rows,), (rows,)]
    return tuple(_draw(*shape, seed=seed) for seed, shape in enumerate(shapes))


gru_step = Check(
    _gru_step,
    cases=[_gru_case(1, 3, 2), _gru_case(2, 3, 5), _gru_case(7, 5, 3)],
    mistakes={
        "no_transpose": Mistake(
            lambda x, h, weight_ih, weight_hh, bias_ih, bias_hh: x @ weight_ih + bias_ih,
            "you forgot the transpose: a weight has a row for each output, so it is x @ weight.T.",
        ),
        "reset_before": Mistake(
            _gru_reset_before,
            "the reset gate multiplies h before the product with the weights, as in the first "
            "paper; here it multiplies the product, its bias included.",
        ),
        "bias_outside_reset": Mistake(
            _gru_with(candidate=lambda x, h, bias, r: torch.tanh(x + r * h + bias)),
            "the hidden bias of the candidate stands outside the reset gate; it belongs inside.",
        ),
        "update_swapped": Mistake(
            _gru_with(keep=lambda z, h, n: (1 - z) * h + z * n),
            "the update gate is the share that is kept of h; you gave that share to the candidate.",
        ),
        "gates_swapped": Mistake(
            _gru_with(gates="zrn"),
            "reset and update gate are swapped; the rows come as reset, update, candidate.",
        ),
        "no_reset": Mistake(
            _gru_with(candidate=lambda x, h, bias, r: torch.tanh(x + h + bias)),
            "the reset gate is not used: it scales what the old state adds to the candidate.",
        ),
        "candidate_sigmoid": Mistake(
            _gru_with(candidate=lambda x, h, bias, r: torch.sigmoid(x + r * (h + bias))),
            "the candidate went through a sigmoid; the gates do, the candidate takes tanh.",
        ),
    },
    hints=[
        "Make the two affine maps first, x @ weight_ih.T + bias_ih and h @ weight_hh.T + bias_hh, "
        "and cut each into three with chunk(3, dim=-1).",
        "Gates: r and z are sigmoids of the sums of their parts. "
        "Candidate: n = tanh(part of x + r * part of h).",
        "The new state is z * h + (1 - z) * n.",
    ],
)


# Half-life of a gate


def _half_life(gate):
    """Steps after which half is left of a memory that is multiplied by ``gate`` at each step."""
    return math.log(0.5) / math.log(gate)


half_life = Check(
    _half_life,
    cases=[(0.5,), (0.9,), (0.95,), (0.999,)],
    mistakes={
        "upside_down": Mistake(
            lambda gate: math.log(gate) / math.log(0.5),
            "the fraction is upside down: a gate nearer to 1 must give more steps.",
        ),
        "e_folding": Mistake(
            lambda gate: -1 / math.log(gate),
            "that is when 1/e is left, about 37 %; the logarithm of one half is missing.",
        ),
        "only_the_logarithm": Mistake(
            lambda gate: math.log(gate),
            "that is the logarithm of the gate alone; which number of steps turns it into "
            "the logarithm of one half?",
        ),
        "one_over_one_minus": Mistake(
            lambda gate: 1 / (1 - gate),
            "1 / (1 - gate) is how long a memory lasts on average; half is gone earlier.",
        ),
        "linear": Mistake(
            lambda gate: 0.5 / (1 - gate),
            "the memory does not lose the same amount at each step, but the same share.",
        ),
        "negative": Mistake(
            lambda gate: math.log(2) / math.log(gate),
            "the sign: the logarithm of a gate below one is negative, and so is that of one half.",
        ),
        "rounded": Mistake(
            lambda gate: math.ceil(math.log(0.5) / math.log(gate)),
            "rounded up to whole steps; leave the fraction as it is.",
        ),
    },
    hints=[
        "After n steps gate ** n is left. Set it equal to one half.",
        "Take the logarithm of both sides: n * log(gate) = log(1/2).",
        "n = log(1/2) / log(gate), in any base.",
    ],
)


# Receptive field of a stack of dilated convolutions


def _receptive_field(kernel, dilations):
    """Tokens that one output of a stack of causal convolutions depends on."""
    return convolution.receptive_field(kernel, dilations)


receptive_field = Check(
    _receptive_field,
    cases=[(2, [1]), (3, [1, 2, 4]), (2, [1, 2, 4, 8]), (5, [1, 3, 2])],
    mistakes={
        "kernel_in_full": Mistake(
            lambda kernel, dilations: kernel * sum(dilations),
            "each layer adds kernel - 1 steps, not kernel: its own token is there already.",
        ),
        "kernel_in_full_and_one": Mistake(
            lambda kernel, dilations: 1 + kernel * sum(dilations),
            "a kernel of k tokens has k - 1 gaps between them.",
        ),
        "own_token_forgotten": Mistake(
            lambda kernel, dilations: (kernel - 1) * sum(dilations),
            "the token itself is missing: add 1.",
        ),
        "dilation_ignored": Mistake(
            lambda kernel, dilations: 1 + (kernel - 1) * len(dilations),
            "you counted the layers, as if no layer were dilated; "
            "a layer reaches (kernel - 1) * dilation back.",
        ),
        "last_layer_only": Mistake(
            lambda kernel, dilations: 1 + (kernel - 1) * max(dilations),
            "that is the reach of the widest layer alone; layers add up.",
        ),
        "exponential": Mistake(
            lambda kernel, dilations: kernel ** len(dilations),
            "kernel ** layers holds only when each dilation is kernel times the last.",
        ),
    },
    hints=[
        "Start with one layer, kernel 2, dilation 1: it sees two tokens.",
        "A layer with dilation d reaches (kernel - 1) * d further back than the one below.",
        "Sum that over the layers, and add the token itself.",
    ],
)


# The operator of a linear recurrence


def _combine(first, then):
    """The one step (a, b) that does what two steps h -> a * h + b do, first and then second."""
    return linear_recurrence.combine(first, then)


combine = Check(
    _combine,
    cases=[
        ((2.0, 1.0), (3.0, 5.0)),
        ((0.5, -7.0), (-3.0, 0.25)),
        (
            (_draw(2, 3, seed=1), _draw(2, 3, seed=2)),
            (_draw(2, 3, seed=3), _draw(2, 3, seed=4)),
        ),
    ],
    mistakes={
        "order_swapped": Mistake(
            lambda first, then: (first[0] * then[0], first[0] * then[1] + first[1]),
            "the order is swapped: the first step comes first, and the second acts on its result.",
        ),
        "first_b_not_scaled": Mistake(
            lambda first, then: (first[0] * then[0], first[1] + then[1]),
            "b1 goes through the second step as well, so it is multiplied by a2.",
        ),
        "factors_added": Mistake(
            lambda first, then: (first[0] + then[0], then[0] * first[1] + then[1]),
            "the factors multiply: h is scaled by a1, and the result by a2.",
        ),
        "both_scaled": Mistake(
            lambda first, then: (first[0] * then[0], then[0] * (first[1] + then[1])),
            "b2 is added after the second scaling; it is not multiplied by a2.",
        ),
    },
    hints=[
        "Write it out: the second step of (the first step of h) is a2 * (a1 * h + b1) + b2.",
        "Multiply out, and read off what multiplies h and what is left.",
        "(a2 * a1, a2 * b1 + b2)",
    ],
)


# Recall from a state of fixed size


def _recall_from_state(keys, values, queries):
    """For each query, the index of the stored value nearest to S^T q, where S = sum of k v^T."""
    answers = queries @ (keys.T @ values)
    return (answers @ values.T).argmax(dim=-1)


def _memory_case(pairs: int, queries: int, d_key: int, d_value: int) -> tuple:
    keys = torch.nn.functional.normalize(_draw(pairs, d_key, seed=1), dim=-1)
    values = torch.nn.functional.normalize(_draw(pairs, d_value, seed=2), dim=-1)
    asked = torch.arange(queries) * 3 % pairs
    return keys, values, keys[asked] + 0.05 * _draw(queries, d_key, seed=3)


recall_from_state = Check(
    _recall_from_state,
    # few pairs; many more than fit; keys and values of unlike widths
    cases=[_memory_case(3, 5, 17, 17), _memory_case(41, 23, 7, 7), _memory_case(11, 13, 29, 19)],
    mistakes={
        "state_transposed": Mistake(
            lambda keys, values, queries: (queries @ (values.T @ keys) @ values.T).argmax(-1),
            "the state is transposed: with S = keys.T @ values, a query as a row reads q @ S.",
        ),
        "nearest_key": Mistake(
            lambda keys, values, queries: (queries @ keys.T @ values @ keys.T).argmax(-1),
            "you compared the answer with the keys; what the state returns is a value.",
        ),
        "farthest": Mistake(
            lambda keys, values, queries: (queries @ keys.T @ values @ values.T).argmin(-1),
            "you took the farthest value: the nearest has the largest dot product, "
            "or the smallest distance.",
        ),
        "looked_up_the_keys": Mistake(
            lambda keys, values, queries: (queries @ keys.T).argmax(-1),
            "you searched the stored keys, which is what attention does; "
            "a fixed state has only S to answer from.",
        ),
        "values_not_indices": Mistake(
            lambda keys, values, queries: queries @ (keys.T @ values),
            "these are the answers S^T q themselves; return the index of the nearest value.",
        ),
    },
    hints=[
        "First S, which is all that is kept: keys.T @ values sums k v^T over the pairs.",
        "Then the answers: queries @ S has one row for each query.",
        "Then, for each answer, the argmax of its dot products with all values.",
    ],
)


# What attention keeps while it generates


def _kv_cache_bytes(layers, kv_heads, d_head, tokens, bytes_per_number):
    """Bytes of the keys and values that attention keeps of ``tokens`` past tokens."""
    return 2 * layers * kv_heads * d_head * tokens * bytes_per_number


kv_cache_bytes = Check(
    _kv_cache_bytes,
    cases=[(2, 3, 5, 7, 2), (1, 1, 64, 1, 4), (32, 8, 128, 8192, 2)],
    mistakes={
        "keys_only": Mistake(
            lambda *factors: math.prod(factors),
            "keys and values are both kept: there is a factor of 2 missing.",
        ),
        "tokens_squared": Mistake(
            lambda layers, kv_heads, d_head, tokens, size: (
                2 * layers * kv_heads * d_head * tokens**2 * size
            ),
            "tokens stands there squared; the scores are squared, what is kept is one key and one "
            "value for each token.",
        ),
        "one_layer": Mistake(
            lambda layers, kv_heads, d_head, tokens, size: 2 * kv_heads * d_head * tokens * size,
            "that is one layer; each layer keeps its own.",
        ),
        "one_head": Mistake(
            lambda layers, kv_heads, d_head, tokens, size: 2 * layers * d_head * tokens * size,
            "that is one head; each head of keys and values keeps its own.",
        ),
        "numbers_not_bytes": Mistake(
            lambda layers, kv_heads, d_head, tokens, size: 2 * layers * kv_heads * d_head * tokens,
            "that counts numbers; multiply by the bytes of each.",
        ),
        "bits": Mistake(
            lambda layers, kv_heads, d_head, tokens, size: (
                16 * layers * kv_heads * d_head * tokens * size
            ),
            "that is bits: eight times too many.",
        ),
    },
    hints=[
        "How many numbers is one key? d_head, for each head of keys and values.",
        "A token leaves a key and a value in each layer.",
        "2 * layers * kv_heads * d_head * tokens * bytes_per_number",
    ],
)
