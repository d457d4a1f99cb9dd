"""Checks of the exercises on adaptive compute: shares of ACT and PonderNet, the bill of a door."""

import torch

from payattention.checks.check import Check, Mistake

# ACT, one row


def _act(amounts, epsilon):
    """The shares that ACT gives to the steps of one row, of which `amounts` are what its unit says.

    It halts at the first step at which the amounts add up to 1 - epsilon or more, and gives that
    step what is left of 1; the last of the amounts is that of the last step that it may take.
    Returned is a share for each step that is taken.
    """
    shares, left = [], 1.0
    for amount in amounts[:-1]:
        if left - amount <= epsilon:
            break
        shares.append(amount)
        left -= amount
    return torch.tensor([*shares, left])


def _amounts_as_they_are(amounts, epsilon):
    shares = []
    for amount in amounts:
        shares.append(amount)
        if sum(shares) >= 1 - epsilon:
            break
    return torch.tensor(shares)


def _one_step_late(amounts, epsilon):
    shares, left = [], 1.0
    for amount in amounts[:-1]:
        if left <= epsilon:
            break
        shares.append(min(amount, left))
        left -= shares[-1]
    return torch.tensor([*shares, left])


act = Check(
    _act,
    cases=[
        ([0.3, 0.5, 0.4, 0.9], 0.01),
        ([0.995, 0.2, 0.3], 0.01),
        ([0.2, 0.1, 0.25, 0.15], 0.01),
        ([0.4, 0.35, 0.1, 0.6, 0.2], 0.2),
        ([0.7], 0.01),
    ],
    mistakes={
        "amounts_as_they_are": Mistake(
            _amounts_as_they_are,
            "the last step keeps its own amount, so that the shares add up to more than 1, or to "
            "less. It is given what is left.",
        ),
        "never_forced": Mistake(
            lambda amounts, epsilon: _act([*amounts, 1.0], epsilon),
            "when there are no more steps, the last one has to take all that is left.",
        ),
        "no_epsilon": Mistake(
            lambda amounts, epsilon: _act(amounts, 0.0),
            "it halts as soon as the sum has come to 1 - epsilon, not only at 1: else an amount "
            "that is a hair short of 1 would cost a second step.",
        ),
        "amounts_of_what_is_left": Mistake(
            lambda amounts, epsilon: _pondered(amounts),
            "each amount is taken of what is left: that is PonderNet. ACT adds them as they are.",
        ),
        "one_step_late": Mistake(
            _one_step_late,
            "it looks at what was left before the step; a step that fills the sum is the last one.",
        ),
    },
    hints=[
        "Keep what is left, 1.0 at first. Would this step take it down to epsilon or below?",
        "If so, or if it is the last step that there is, it gets all that is left, and you stop.",
        "if left - amount <= epsilon: shares.append(left); break",
    ],
)

# PonderNet, one row


def _pondered(chances):
    """The shares of PonderNet: how likely one row halts at each step, given its `chances`.

    A chance is that of halting now, of a row that has not halted before. At the last step all that
    have not halted do.
    """
    shares, running = [], 1.0
    for chance in chances[:-1]:
        shares.append(running * chance)
        running *= 1 - chance
    return torch.tensor([*shares, running])


def _running(chances):
    """How many still run when each step begins."""
    return (1 - torch.tensor([0.0, *chances[:-1]])).cumprod(0)


def _halting(chances):
    """Chances to halt now, of those who would go on."""
    return torch.tensor(chances) * (1 - torch.tensor(chances))


pondered = Check(
    _pondered,
    cases=[
        ([0.5, 0.5, 0.5],),
        ([0.1, 0.2, 0.7, 0.4],),
        ([0.9, 0.3],),
        ([0.25],),
    ],
    mistakes={
        "chances_as_shares": Mistake(
            torch.tensor,
            "these are chances of rows that still run; of all rows, fewer and fewer do.",
        ),
        "chances_normalised": Mistake(
            lambda chances: torch.tensor(chances) / sum(chances),
            "made to add up to 1, but a chance of a half at each step does not halt as many at the "
            "third step as at the first: most have halted by then.",
        ),
        "rest_lost": Mistake(
            lambda chances: _running(chances) * torch.tensor(chances),
            "the last step has its own chance, and those who would go on are lost: the shares add "
            "up to less than 1.",
        ),
        "one_step_too_far": Mistake(
            lambda chances: torch.cat(
                [(_running(chances) * _halting(chances))[:-1], _running(chances)[-1:]]
            ),
            "those who halt at this step are taken off before they are counted: at step 1 all of "
            "the rows still run.",
        ),
    },
    hints=[
        "How many rows of a hundred still run when step n begins?",
        "The share of step n is what still runs, times its chance; then less runs.",
        "shares.append(running * chance); running *= 1 - chance; the last step gets `running`.",
    ],
)

# The bill of a door


def _door_flops(layers, left_behind, d_model, vocab):
    """Operations for one token that leaves a model of so many layers `left_behind` one of them.

    A layer takes 24 d_model² operations (scores aside). There is a door behind every layer but the
    last, a map from d_model numbers to `vocab`, and the token asks each that it comes to, the one
    that it leaves by among them; a token that goes all the way asks all of them, and then the last
    map, which is as large. For each layer that it skips, it owes the two maps that make keys and
    values of its vector.
    """
    return _bill(layers, left_behind, d_model, vocab)


def _bill(layers, left_behind, d_model, vocab, *, owed=2, doors=None):
    doors = left_behind if doors is None else doors
    return (
        left_behind * 24 * d_model**2
        + doors * 2 * d_model * vocab
        + (layers - left_behind) * owed * 2 * d_model**2
    )


door_flops = Check(
    _door_flops,
    cases=[(6, 2, 128, 65), (8, 2, 512, 32_128), (12, 12, 768, 50_257), (5, 1, 40, 1000)],
    mistakes={
        "nothing_owed": Mistake(
            lambda *given: _bill(*given, owed=0),
            "the tokens to come will look at this one in every layer: the layers that it skips "
            "still need its keys and values.",
        ),
        "one_map_owed": Mistake(
            lambda *given: _bill(*given, owed=1),
            "a layer needs keys and values: two maps.",
        ),
        "one_door": Mistake(
            lambda *given: _bill(*given, doors=1),
            "only the door by which the token leaves is counted; those that it passed were asked "
            "as well.",
        ),
        "no_doors": Mistake(
            lambda *given: _bill(*given, doors=0),
            "asking costs, too: a door maps d_model numbers to one for each word.",
        ),
        "multiplications_alone": Mistake(
            lambda layers, left_behind, d_model, vocab: (
                left_behind * 24 * d_model**2
                + left_behind * d_model * vocab
                + (layers - left_behind) * 2 * d_model**2
            ),
            "a multiplication and an addition are two operations, in doors and owed maps as in "
            "the layer's 24.",
        ),
    },
    hints=[
        "Three lines: layers computed, doors asked, layers skipped.",
        "A map from a to b numbers takes 2ab operations; a door goes from d_model to vocab.",
        "left_behind * 24 d², left_behind * 2 d vocab, (layers - left_behind) * 2 * 2 d².",
    ],
)
