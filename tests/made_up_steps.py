"""What two machines say to every vector, step by step, as `shares_vs_step` keeps it, made up."""

import random
from itertools import product

from payattention.explorables import HaltingMachine
from payattention.records import Record, Results

MOST = 7


def vectors(bits: int) -> list[str]:
    """All vectors as text, shortest first."""
    return [
        "".join(signs) + "0" * (bits - places)
        for places in range(1, bits + 1)
        for signs in product("+-", repeat=places)
    ]


def act(draw: random.Random) -> list[tuple[float, float]]:
    """Amounts and shares, until the sum is enough or no step is left."""
    found, given = [], 0.0
    for step in range(1, MOST + 1):
        amount = draw.random() ** draw.choice((0.2, 1, 5))
        last = given + amount > 0.99 or step == MOST
        found.append((amount, 1 - given if last else amount))
        if last:
            break
        given += amount
    return found


def ponder(draw: random.Random) -> tuple[list[tuple[float, float]], int]:
    """Chances and shares, and the step at which half of them are spent."""
    found, left, depth = [], 1.0, 0
    while left > 0.01:
        chance = draw.uniform(0.05 + 0.1 * len(found), 0.6)
        if len(found) == MOST - 1:
            chance = max(chance, 1 - 0.4 / left)
        found.append((chance, chance * left))
        left *= 1 - chance
        if left <= 0.5 and not depth:
            depth = len(found)
    return found, depth


def measured(*, bits: int = 4, seed: int = 1, wrong: float = 0.05) -> Results:
    """Records of both machines; a share of the answers is wrong."""
    draw, rows = random.Random(seed), []
    for rule in ("ACT", "PonderNet"):
        for text in vectors(bits):
            steps, depth = ponder(draw) if rule == "PonderNet" else (act(draw), 0)
            depth = depth or len(steps)
            odd = (text.count("+") % 2 == 1) != (draw.random() < wrong)
            said = [draw.random() for _ in steps]
            answer = said[depth - 1] = abs(odd - 0.4 * draw.random() ** 3)
            if rule == "ACT":  # of which no single state is the answer
                said[depth - 1] = draw.random()
            rows += [
                {"rule": rule, "penalty": 0.1, "steps": 9, "seed": 0, "vector": text, "step": step}
                | {"amount": amount, "share": share, "odd": said[step - 1]}
                | {"answer": answer if step == depth else None, "depth": depth}
                for step, (amount, share) in enumerate(steps, start=1)
            ]
    return Results.from_records("shares_vs_step", rows)


def one_vector(rule: str, numbers: list[tuple[float, float, float]], answer: float) -> Results:
    """Both vectors of one place, by both rules; of the one, "+", what each step says by a rule.

    A number of each step: amount, share, chance of "odd".
    """
    plain: dict[str, list[tuple[float, float, float]]] = {
        "ACT": [(1.0, 1.0, 0.2)],
        "PonderNet": [(0.6, 0.6, 0.2)],
    }
    rows: list[Record] = []
    for name, ordinary in plain.items():
        for text in "+-":
            steps, ends = (numbers, answer) if (name, text) == (rule, "+") else (ordinary, 0.2)
            rows += [
                {"rule": name, "vector": text, "step": step, "amount": amount, "share": share}
                | {"odd": odd, "answer": ends if step == len(steps) else None}
                | {"depth": len(steps)}
                for step, (amount, share, odd) in enumerate(steps, start=1)
            ]
    return Results.from_records("shares_vs_step", rows)


def machine(**state) -> HaltingMachine:
    """The figure with these numbers."""
    return HaltingMachine(measured(), **state)
