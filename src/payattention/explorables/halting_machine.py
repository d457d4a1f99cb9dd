"""The parity machine, step by step: how much of its answer it gives after each, and when it halts.

Two cells have learned whether the number of ones in a vector is odd, one by ACT and one by
PonderNet. All that they say to every vector was measured. Amounts travel in hundredths, rounded so
that their sums are right, and enough exactly where a cell halts; chances of "odd" in thousandths.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import traitlets

from payattention.cost.arguments import one_of, whole
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Part, Stack, stacked_bars
from payattention.explorables.quantities import percent
from payattention.records import Record, Results

COLUMNS = ("rule", "vector", "step", "amount", "share", "odd", "answer", "depth")
RULES = ("ACT", "PonderNet")
ENOUGH = {"ACT": 99, "PonderNet": 50}
"""Hundredths that a cell must have given before it halts: 1 - ε, and half of all shares."""
HUNDRED, THOUSAND = 100, 1000
NEAR = 1e-4
"""How far a share may be from what its rule gives."""
FEW = 6
"""Numbers of a sum that are all written out."""
SPACE = "\N{NO-BREAK SPACE}"


class HaltingMachine(Explorable):
    """Give the machine a vector, and let it take step after step until it halts.

    `results` hold what `shares_vs_step` measures: ``rule`` ("ACT" or "PonderNet"), ``vector`` (as
    "+-0", with a 0 for every place behind the last 1 or -1), ``step``, ``amount``, ``share``,
    ``odd``, ``answer`` (in the row of the step at which the vector halts) and ``depth``. Where
    ``steps`` tell trainings of several lengths apart, the longest are taken.

    The figure opens with `rule` and `vector` (ones and minus ones, without the zeros) after `step`
    steps; with none given, ACT has taken one on the vector that takes it longest. After it has
    halted, further steps change nothing. On a page the address holds what was chosen. `texts`
    replaces sentences of the figure.

    Raises:
        TypeError, ValueError: for results without one of their columns, without one of the rules,
            without some vector, with a step that is missing or given twice, with what is no share,
            or not the one that its rule gives, or that halt elsewhere than their rule says; and for
            a rule, a vector or a step that was not measured.
    """

    name = "halting_machine"
    rule = traitlets.Unicode("ACT").tag(sync=True)
    vector = traitlets.List(traitlets.Int()).tag(sync=True)
    step = traitlets.Int(1).tag(sync=True)
    bits = traitlets.Int(1).tag(sync=True)
    most = traitlets.Int(1).tag(sync=True)
    runs = traitlets.Dict().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, results: Results, **state: Any):
        runs, bits = _runs(results)
        most = max(len(run["steps"]) for of in runs.values() for run in of.values())
        longest = max(runs["ACT"], key=lambda text: len(runs["ACT"][text]["steps"]))
        state.setdefault("title", "As long as it takes: a machine that says when it has had enough")
        state.setdefault("vector", signs(longest))
        super().__init__(runs=runs, bits=bits, most=most, **state)

    @traitlets.validate("rule")
    def _is_a_rule(self, proposal):
        one_of("rule", proposal["value"], self.runs)
        return proposal["value"]

    @traitlets.validate("vector")
    def _was_asked(self, proposal):
        vector = proposal["value"]
        if not all(place in (1, -1) for place in vector) or not 1 <= len(vector) <= self.bits:
            raise ValueError(f"vector={vector!r}: expected 1 to {self.bits} places of 1 or -1")
        return vector

    @traitlets.validate("step")
    def _may_be_taken(self, proposal):
        return whole("step", proposal["value"], most=self.most)

    # What is said

    def findings(self) -> list[str]:
        """What the machine says to the vector in the end, and how often each rule is right."""
        last = self._depth()
        return [self.sentence(last), self.reckoning(last), *map(self.tally, self.runs)]

    def sentence(self, step: int | None = None) -> str:
        """The right answer, and where the machine stands after a step; the figure's if none."""
        step = self._taken(step)
        ones, run = self.vector.count(1), self._run()
        given = _decimal(self._given(step))
        state = _said(run["steps"][step - 1][2])
        label = (
            f"Ones: {ones} of {len(self.vector)}, so the right answer is "
            f"{'odd' if ones % 2 else 'even'}."
        )
        if step < self._depth():
            has = {
                "ACT": f"the cell has given {given} of its answer",
                "PonderNet": f"{given} of its shares are spent",
            }
            return f"{label} After step {step}, {has[self.rule]}; this state says {state}."
        answer = f"{_said(run['answer'])}, which is {self._verdict(run['answer'])}"
        if self.rule == "PonderNet":
            return f"{label} PonderNet halts at step {step}. This state is the answer: {answer}."
        remainder = run["steps"][-1][1]
        cost = f"N + R = {step} + {_decimal(remainder)} = {_decimal(HUNDRED * step + remainder)}"
        return (
            f"{label} ACT halts at step {step}. This state says {state}; the answer, a mixture of "
            f"all states, says {answer}. It costs {_joined(cost)}."
        )

    def reckoning(self, step: int | None = None) -> str:
        """Why the machine goes on after a step, or halts; after the figure's if none is given."""
        step = self._taken(step)
        run, ends = self._run()["steps"], step == self._depth()
        if self.rule == "ACT":
            return self._added([amount for amount, _, _ in run[:step]], ends=ends)
        chance, share, _ = run[step - 1]
        before = self._given(step) - share
        says = (
            f"Its chance to halt now is {_decimal(chance)}, if it has not before: "
            f"{_decimal(chance)} × {_decimal(HUNDRED - before)} ≈ {_decimal(share)}. Spent are "
            f"{_decimal(before)} + {_decimal(share)} = {_decimal(before + share)}, "
        )
        if not ends:
            return f"{says}less than half: it goes on."
        return f"{says}half or more: it halts."

    def _added(self, amounts: list[int], *, ends: bool) -> str:
        """The sum of ACT's amounts, against 1 - ε."""
        terms, total = [*map(_decimal, amounts)], sum(amounts)
        if len(terms) > FEW:
            terms = [*terms[:2], "…", terms[-1]]
        says = " + ".join(terms) + (f" = {_decimal(total)}" if len(terms) > 1 else "")
        bound = _joined("1 − ε = 0.99")
        if not ends:
            return f"{says}, less than {bound}: it goes on."
        before = total - amounts[-1]
        rest = _joined(f"R = 1 − {_decimal(before)} = {_decimal(HUNDRED - before)}")
        if total < ENOUGH["ACT"]:
            return (
                f"{says}, less than {bound}, but no further step is allowed. This one is given "
                f"what is left, {rest}."
            )
        return f"{says}, at least {bound}: it halts. The last step is given what is left, {rest}."

    def tally(self, rule: str) -> str:
        """How often a rule is right over all vectors, and in how many steps."""
        run = self.runs[rule]
        depths = [len(one["steps"]) for one in run.values()]
        right = sum((one["answer"] >= THOUSAND / 2) == _is_odd(text) for text, one in run.items())
        places = len(self.vector)
        some = [len(one["steps"]) for text, one in run.items() if len(text) == places]
        zero = "1 place that is not zero" if places == 1 else f"{places} places that are not zero"
        return (
            f"{rule} answers {right} of {len(run)} vectors rightly, in {min(depths)} to "
            f"{max(depths)} steps, {_mean(depths)} on average; with {zero}, {_mean(some)}."
        )

    def _run(self) -> dict[str, Any]:
        return self.runs[self.rule][text_of(self.vector)]

    def _depth(self) -> int:
        return len(self._run()["steps"])

    def _taken(self, step: int | None) -> int:
        """So many steps, or as many as it takes."""
        return min(self.step if step is None else step, self._depth())

    def _given(self, step: int) -> int:
        return sum(share for _, share, _ in self._run()["steps"][:step])

    def _verdict(self, answer: int) -> str:
        right = (answer >= THOUSAND / 2) == bool(self.vector.count(1) % 2)
        return "right" if right else "wrong"

    def data(self) -> list[dict]:
        """Records of every step of every vector under the rule in view."""
        return [
            {
                "rule": self.rule,
                "vector": " ".join(map(str, [*signs(text), *[0] * (self.bits - len(text))])),
                "step": step,
                "amount": _decimal(amount),
                "share": _decimal(share),
                "odd": f"{odd / THOUSAND:g}",
                "answer": f"{run['answer'] / THOUSAND:g}" if step == len(run["steps"]) else "",
            }
            for text, run in self.runs[self.rule].items()
            for step, (amount, share, odd) in enumerate(run["steps"], start=1)
        ]

    # What is drawn

    def picture(self) -> str:
        """The vector's shares under both rules, each a bar from the first step to the last."""
        shown = " ".join(_signed(place) for place in [*self.vector, *[0] * self._zeros()])
        stacks = []
        for rule, runs in self.runs.items():
            run = runs[text_of(self.vector)]
            steps = run["steps"]
            inks = [0.3 + 0.4 * (place % 2) for place in range(len(steps))]
            parts = [
                Part(f"step {place + 1}", share, _decimal(share), "recurrence", inks[place])
                for place, (_, share, _) in enumerate(steps)
            ]
            if (spent := sum(part.size for part in parts)) < HUNDRED:
                rest = HUNDRED - spent
                parts.append(Part("not reached", rest, _decimal(rest), "grid"))
            many = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
            answer = f"{many}: {_said(run['answer'])}"
            stacks.append(Stack(f"{rule}, {shown}", answer, parts))
        return stacked_bars(stacks, alt=self.alt or " ".join(self.findings()))

    def _zeros(self) -> int:
        return self.bits - len(self.vector)


# What was measured, as it travels


def signs(text: str) -> list[int]:
    """The ones and minus ones of a vector, without its zeros.

    >>> signs("+-0")
    [1, -1]
    """
    return [1 if sign == "+" else -1 for sign in text.rstrip("0")]


def text_of(vector: Sequence[int]) -> str:
    """The same as text.

    >>> text_of([1, -1])
    '+-'
    """
    return "".join("+" if place == 1 else "-" for place in vector)


def _runs(results: Results) -> tuple[dict[str, dict[str, Any]], int]:
    """Every vector's steps under both rules, and how many places a vector has."""
    missing = [name for name in COLUMNS if name not in results.columns]
    if missing:
        raise ValueError(
            f"results: got columns {[*results.columns]}; expected {', '.join(missing)} too"
        )
    if "steps" in results.columns and len(results):
        results = results.where(steps=max(results.columns["steps"]))
    found: dict[str, dict[str, list[Record]]] = {rule: {} for rule in RULES}
    for row in results.records():
        one_of("results: rule", row["rule"], found)
        found[row["rule"]].setdefault(row["vector"], []).append(row)
    [bits, *others] = sorted({len(text) for of in found.values() for text in of}) or [0]
    if others:
        raise ValueError(
            f"results: got vectors of {bits} to {others[-1]} places; expected one size"
        )
    wanted = 2 ** (bits + 1) - 2
    for rule, of in found.items():
        for text in of:
            if set(text.rstrip("0")) - {"+", "-"} or not text.rstrip("0"):
                raise ValueError(f"results: got the vector {text!r}; expected one like '+-0'")
        if len(of) != wanted or not bits:
            raise ValueError(
                f"results: {rule} has {len(of)} vectors; expected all {wanted} of {bits} places"
            )
    return {
        rule: {text.rstrip("0"): _run(rule, text, of[text]) for text in sorted(of, key=_order)}
        for rule, of in found.items()
    }, bits


def _order(text: str) -> tuple[int, str]:
    return len(text.rstrip("0")), text


def _run(rule: str, text: str, rows: list[Record]) -> dict[str, Any]:
    """The answer, and of each step up to the last: what it says, what it is given, and "odd"."""
    of = f"results: {rule}, {text!r}"
    steps, depth = [row["step"] for row in rows], rows[0]["depth"]
    if steps != [*range(1, len(steps) + 1)] or not 1 <= depth <= len(steps):
        raise ValueError(
            f"{of} has the steps {_listed(steps)} and the depth {depth}; expected 1, 2 and so on, "
            "to the depth at least"
        )
    rows, left = rows[:depth], 1.0
    for row in rows:
        amount, share, _ = (
            _expect_share(f"{of}, step {row['step']}, {name}", row[name])
            for name in ("amount", "share", "odd")
        )
        due = amount * left if rule == "PonderNet" else left if row is rows[-1] else amount
        if abs(share - due) > NEAR:
            raise ValueError(
                f"{of}, step {row['step']}, share={share:g}: expected {due:g}, by the rule"
            )
        left -= share
    answer = _expect_share(f"{of}, answer", rows[-1]["answer"])
    kept = _kept(rule, [row["amount" if rule == "ACT" else "share"] for row in rows], of=of)
    amounts = [round(HUNDRED * row["amount"]) for row in rows]
    given = kept
    if rule == "ACT":
        amounts, given = kept, [*kept[:-1], HUNDRED - sum(kept[:-1])]
    odds = [round(THOUSAND * row["odd"]) for row in rows]
    return {
        "steps": [[*step] for step in zip(amounts, given, odds, strict=True)],
        "answer": round(THOUSAND * answer),
    }


def _kept(rule: str, parts: list[float], *, of: str) -> list[int]:
    """The parts in hundredths, so that their sums are right, and enough at the last step alone."""
    enough, total, sums = ENOUGH[rule], 0.0, [0]
    for step, part in enumerate(parts, start=1):
        total += part
        reached = total > enough / HUNDRED - 1e-6
        if reached and step < len(parts):
            raise ValueError(
                f"{of} has {total:.4f} at step {step}, and goes on to step {len(parts)}; expected "
                f"it to halt at {enough / HUNDRED:g}"
            )
        here = round(HUNDRED * total)
        sums.append(max(here, enough) if reached else min(here, enough - 1))
    return [after - before for before, after in pairwise(sums)]


def _expect_share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r}: expected a share, 0 to 1")
    return value


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _is_odd(text: str) -> bool:
    return text.count("+") % 2 == 1


def _said(odd: int) -> str:
    """What thousandths of "odd" come to.

    >>> _said(937), _said(4)
    ('odd with 93.7\N{NO-BREAK SPACE}%', 'even with 99.6\N{NO-BREAK SPACE}%')
    """
    parity, sure = ("odd", odd) if odd >= THOUSAND / 2 else ("even", THOUSAND - odd)
    return f"{parity} with {percent(sure / THOUSAND)}"


def _decimal(hundredths: int) -> str:
    return f"{hundredths / HUNDRED:.2f}"


def _mean(depths: Sequence[int]) -> str:
    """To one decimal; one in the middle goes up, as in a browser.

    >>> _mean([2, 2, 2, 3])
    '2.3'
    """
    tenths = (20 * sum(depths) + len(depths)) // (2 * len(depths))
    return f"{tenths / 10:.1f}"


def _signed(place: int) -> str:
    return f"−{-place}" if place < 0 else str(place)


def _joined(text: str) -> str:
    """The text on one line."""
    return text.replace(" ", SPACE)
