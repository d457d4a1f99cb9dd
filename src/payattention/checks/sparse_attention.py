"""Checks of the exercises on sparse attention: a rule, a count, a rolling cache."""

from collections.abc import Callable

import torch
from torch import Tensor

from payattention.checks.check import Check, Mistake
from payattention.patterns import causal_window

# A rule


def _near_in_a_picture(rows, columns, side, near):
    """Whether a pixel may look at another: not ahead, at most `near` away down and across."""
    down = (rows // side - columns // side).abs()
    across = (rows % side - columns % side).abs()
    return (columns <= rows) & (down <= near) & (across <= near)


def _looks(
    *,
    ahead: Callable = lambda rows, columns: columns <= rows,
    down: Callable = lambda rows, columns, side: (rows // side - columns // side).abs(),
    across: Callable = lambda rows, columns, side: (rows % side - columns % side).abs(),
    within: Callable = lambda distance, near: distance <= near,
    join: Callable = lambda a, b: a & b,
) -> Callable:
    """An answer in which one thing may be other than it should be."""

    def answer(rows, columns, side, near):
        close = join(
            within(down(rows, columns, side), near), within(across(rows, columns, side), near)
        )
        return close & ahead(rows, columns)

    return answer


def _places(side: int, near: int) -> tuple[Tensor, Tensor, int, int]:
    at = torch.arange(side * side)
    return at[:, None], at[None, :], side, near


near_in_a_picture = Check(
    _near_in_a_picture,
    cases=[_places(3, 1), _places(5, 2), _places(7, 1)],
    mistakes={
        "ahead": Mistake(
            _looks(ahead=lambda rows, columns: torch.ones_like(columns <= rows)),
            "it looks ahead as well: a pixel that is yet to come must not be seen.",
        ),
        "not_itself": Mistake(
            _looks(ahead=lambda rows, columns: columns < rows),
            "a pixel may look at itself too.",
        ),
        "along_the_text": Mistake(
            lambda rows, columns, side, near: (columns <= rows) & (rows - columns <= near),
            "that is near in the row of tokens; the pixel above is `side` places back.",
        ),
        "round_the_edge": Mistake(
            _looks(
                down=lambda rows, columns, side: (rows - columns).abs() // side,
                across=lambda rows, columns, side: (rows - columns).abs() % side,
            ),
            "you took the distance apart, not the places: from the end of a row to the beginning "
            "of the next is one place, and almost a whole row across.",
        ),
        "less_than": Mistake(
            _looks(within=lambda distance, near: distance < near),
            "at most `near` away means that `near` itself is allowed.",
        ),
        "either": Mistake(
            _looks(join=lambda a, b: a | b),
            "it must be near in its row and in its column; you allow whole stripes.",
        ),
        "one_sided": Mistake(
            _looks(across=lambda rows, columns, side: rows % side - columns % side),
            "to the right of a pixel, in the rows above it, the difference across is below 0: "
            "take its absolute value.",
        ),
    },
    hints=[
        "In which row of the picture does token i stand, and in which column?",
        "Its row is i // side, and its column i % side.",
        "Compare rows with rows and columns with columns, by their absolute difference; and "
        "columns <= rows, so that nobody looks ahead.",
    ],
)

# A count


def _window_pairs(tokens, size):
    """How many pairs a causal window of this size allows in a text of so many tokens."""
    return causal_window(size).pairs(tokens)


window_pairs = Check(
    _window_pairs,
    cases=[(10, 3), (1000, 256), (7, 7), (5, 9), (16, 1)],
    mistakes={
        "full_from_the_start": Mistake(
            lambda tokens, size: tokens * size,
            "the first tokens have less behind them than a window: 1, then 2, and so on.",
        ),
        "longer_than_the_text": Mistake(
            lambda tokens, size: tokens * size - size * (size - 1) // 2,
            "right while the window fits the text; a window longer than the text sees all of it.",
        ),
        "without_itself": Mistake(
            lambda tokens, size: sum(min(place, size - 1) for place in range(tokens)),
            "a token looks at itself too.",
        ),
        "one_too_wide": Mistake(
            lambda tokens, size: sum(min(place + 1, size + 1) for place in range(tokens)),
            "a window of `size` is the token itself and the `size` - 1 before it.",
        ),
        "all_of_the_past": Mistake(
            lambda tokens, size: tokens * (tokens + 1) // 2,
            "that is all of the past; the window ends after `size` tokens.",
        ),
    },
    hints=[
        "Count for a text of 4 tokens and a window of 2, arrow by arrow.",
        "The token at place i, from 0, looks at min(i + 1, size) tokens.",
        "sum(min(i + 1, size) for i in range(tokens))",
    ],
)

# A cache that rolls


def _rolling_step(kept, new, size):
    """What a rolling cache of `size` holds after one more key: the last `size`, oldest first."""
    return torch.cat([kept, new[None]])[-size:]


rolling_step = Check(
    _rolling_step,
    cases=[
        (torch.arange(6.0).view(3, 2), torch.tensor([9.0, 8.0]), 4),
        (torch.arange(8.0).view(4, 2), torch.tensor([9.0, 8.0]), 4),
        (torch.zeros(0, 3), torch.ones(3), 2),
        (torch.arange(5.0).view(5, 1), torch.tensor([7.0]), 5),
    ],
    mistakes={
        "never_forgets": Mistake(
            lambda kept, new, size: torch.cat([kept, new[None]]),
            "nothing is ever forgotten: what is kept grows with the text.",
        ),
        "forgets_the_new": Mistake(
            lambda kept, new, size: torch.cat([kept, new[None]])[:size],
            "when the cache is full, you drop the new key and keep the oldest.",
        ),
        "new_one_in_front": Mistake(
            lambda kept, new, size: torch.cat([new[None], kept])[:size],
            "the right keys are kept, and the newest stands in front: the order is turned round.",
        ),
        "forgets_too_early": Mistake(
            lambda kept, new, size: torch.cat([kept[1:], new[None]]),
            "you drop a key while there is still room.",
        ),
        "one_too_few": Mistake(
            lambda kept, new, size: torch.cat([kept, new[None]])[1 - size or len(kept) + 1 :],
            "one key too few is kept: the window counts the token itself.",
        ),
    },
    hints=[
        "Join what is kept and the new key along the first axis; new has one axis less.",
        "Of what is joined, the last `size` stay.",
        "torch.cat([kept, new[None]])[-size:]",
    ],
)
