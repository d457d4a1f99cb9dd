"""The recurrence h_t = a_t h_(t-1) + b_t, token after token, and all tokens at once.

Without a squashing function between the steps, two steps make one step of the same kind, and steps
may be combined in any grouping: a prefix scan takes about log2(tokens) rounds in place of `tokens`.

Sources: Blelloch 1990; Martin and Cundy 2018 (arXiv:1709.04057); Gu and Dao 2023
(arXiv:2312.00752).
"""

import torch
from jaxtyping import Float
from torch import Tensor

Sequence = Float[Tensor, "batch tokens d_hidden"]


Step = tuple[Tensor | float, Tensor | float]


def combine(first: Step, then: Step) -> Step:
    """The one step (a, b) that does what `first` and `then` do in turn.

    >>> combine((2.0, 1.0), (3.0, 5.0))  # 3 (2 h + 1) + 5
    (6.0, 8.0)
    """
    (a1, b1), (a2, b2) = first, then
    return a2 * a1, a2 * b1 + b2


def loop(a: Sequence, b: Sequence) -> Sequence:
    """Every state of the recurrence from h_0 = 0, one token after the other."""
    h, states = torch.zeros_like(b[:, 0]), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, dim=1)


def scan(a: Sequence, b: Sequence) -> Sequence:
    """Every state of the recurrence from h_0 = 0, in about log2(tokens) rounds.

    Each round joins every step with the one `reach` tokens before it and doubles `reach`
    (Hillis and Steele 1986): more multiplications than the loop, tokens x log2(tokens) in place of
    tokens, and far fewer that wait for one another.
    """
    reach, tokens = 1, b.shape[1]
    while reach < tokens:
        joined = combine((a[:, :-reach], b[:, :-reach]), (a[:, reach:], b[:, reach:]))
        a = torch.cat([a[:, :reach], joined[0]], dim=1)
        b = torch.cat([b[:, :reach], joined[1]], dim=1)
        reach *= 2
    return b


def rounds(tokens: int) -> int:
    """Rounds that `scan` takes, each of them waiting for the last.

    >>> [rounds(n) for n in (1, 2, 1000, 1024, 1025)]
    [0, 1, 10, 10, 11]
    """
    return (tokens - 1).bit_length()
