"""How an answer is checked: cases, named mistakes, hints, and a verdict that says all of it.

An answer is run beside the solution on fresh copies of the same arguments, and never compared
with itself. A likely mistake is found by running known wrong answers as well: the one that does
on every case what the reader's function does, down to the error that it raises, names it.
"""

import copy
import html
import inspect
import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

RELATIVE, ABSOLUTE = 1e-5, 1e-6  # float32 added up in another order may differ by so much


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that readers give, and what to say to one who gave it."""

    answer: Callable
    says: str


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and in words why not; true when it is right."""

    right: bool
    text: str
    mistake: str | None = None

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        first, *rest = map(html.escape, self.text.split("\n"))
        kind = "right" if self.right else "wrong"
        paragraphs = "".join(f"<p>{line}</p>" for line in rest)
        return (
            f'<div class="verdict verdict-{kind}"><p><strong>{first}</strong></p>{paragraphs}</div>'
        )


@dataclass(frozen=True)
class Outcome:
    """What a function did with one case: a value, or an error, or a change of its arguments."""

    value: Any = None
    error: Exception | None = None
    changed: str | None = None

    def same(self, other: "Outcome") -> bool:
        """Whether both did the same, down to the words of an error."""
        if self.error is not None or other.error is not None:
            return repr(self.error) == repr(other.error)
        return self.changed == other.changed and difference(self.value, other.value) is None


class Check:
    """A check of one exercise: call it with the reader's function, and it returns a verdict.

    ``solution`` is right by definition, and its parameters name the arguments. ``cases`` are tuples
    of arguments. ``mistakes`` are known wrong answers by name. ``hints`` are given one after the
    other while the answer stays wrong. Where an answer is not just called, ``use(answer, *case)``
    puts it to use, and what that gives is compared.
    """

    def __init__(
        self,
        solution: Callable,
        *,
        cases: Sequence[tuple],
        mistakes: dict[str, Mistake],
        hints: Sequence[str],
        use: Callable | None = None,
    ) -> None:
        self.solution, self.cases = solution, list(cases)
        self.mistakes, self.hints = dict(mistakes), list(hints)
        self.parameters = list(inspect.signature(solution).parameters)
        self._use = use
        self._given = list(inspect.signature(use).parameters)[1:] if use else self.parameters
        self._wrong_before = 0
        self.__doc__ = solution.__doc__

    def __repr__(self) -> str:
        return f"check of a function ({', '.join(self.parameters)})"

    def __call__(self, answer: Any) -> Verdict:
        if not callable(answer):
            raise TypeError(
                f"expected a function of ({', '.join(self.parameters)}), got {answer!r}; "
                "give the function itself, without calling it"
            )
        solved = (self._put_to_use(self.solution, copy.deepcopy(case)) for case in self.cases)
        expected = [Outcome(value) for value in solved]
        got = [self._run(answer, case) for case in self.cases]
        faults = (
            (case, fault)
            for case, wanted, came in zip(self.cases, expected, got, strict=True)
            if (fault := _fault(wanted, came)) is not None
        )
        first = next(faults, None)
        if first is None:
            self._wrong_before = 0
            return Verdict(True, f"Right, on all {len(self.cases)} cases.")
        return self._wrong(*first, mistake=self._recognise(got))

    def start_again(self) -> None:
        """Forget the wrong answers so far: the next one gets the first hint."""
        self._wrong_before = 0

    def _wrong(self, case: tuple, fault: str, *, mistake: str | None) -> Verdict:
        lines = [f"Not yet, with {self._describe(case)}.", fault]
        if mistake is not None:
            lines.append(f"Likely mistake: {self.mistakes[mistake].says}")
        hint = min(self._wrong_before, len(self.hints) - 1)
        lines.append(f"Hint {hint + 1} of {len(self.hints)}: {self.hints[hint]}")
        self._wrong_before += 1
        return Verdict(False, "\n".join(lines), mistake)

    def _recognise(self, got: list[Outcome]) -> str | None:
        for name, mistake in self.mistakes.items():
            runs = (self._run(mistake.answer, case) for case in self.cases)
            if all(run.same(outcome) for run, outcome in zip(runs, got, strict=True)):
                return name
        return None

    def _put_to_use(self, function: Callable, arguments: tuple) -> Any:
        return self._use(function, *arguments) if self._use else function(*arguments)

    def _run(self, function: Callable, case: tuple) -> Outcome:
        arguments = copy.deepcopy(case)
        try:
            value = self._put_to_use(function, arguments)
        except Exception as error:  # whatever the reader's code raises is reported
            return Outcome(error=error)
        changed = (
            name
            for name, before, after in zip(self._given, case, arguments, strict=True)
            if difference(before, after) is not None
        )
        return Outcome(value=value, changed=next(changed, None))

    def _describe(self, case: tuple) -> str:
        named = zip(self._given, case, strict=True)
        return ", ".join(f"{name}{_short(value)}" for name, value in named)


def difference(expected: Any, got: Any) -> str | None:
    """How ``got`` differs from ``expected``, in words; None when they agree.

    Tensors, arrays and numbers agree within rounding, whatever their type; tuples, lists and dicts
    agree item by item, modules weight by weight; text and None agree with nothing but themselves.
    """
    if expected is None or isinstance(expected, str):
        same = isinstance(got, type(expected)) and got == expected
        return None if same else f"Expected {_show(expected)}, got {_show(got)}."
    if isinstance(expected, (tuple, list)) and not _numbers(expected):
        return _difference_of_items(expected, got)
    if isinstance(expected, nn.Module) and isinstance(got, nn.Module):
        return difference(expected.state_dict(), got.state_dict())
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return f"Expected {_show(expected)}, got {_show(got)}."
        return _difference_of_items(list(expected.values()), [got[key] for key in expected])
    try:
        came = torch.as_tensor(np.array(got) if isinstance(got, (tuple, list)) else got)
        came = came.detach().to(torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return f"Expected {_show(expected)}, got {_show(got)}."
    wanted = torch.as_tensor(expected).detach().to(torch.float64)
    if came.shape != wanted.shape:
        return f"Expected {_shape(wanted)}, got {_shape(came)}."
    wrong = ~torch.isclose(came, wanted, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    if not wrong.any():
        return None
    if not wanted.ndim:
        return f"Expected {_show(wanted.item())}, got {_show(came.item())}."
    at = tuple(wrong.nonzero()[0].tolist())
    place = f"index {at[0]}" if len(at) == 1 else f"index {at}"
    return (
        f"Expected {_show(wanted[at].item())} at {place}, got {_show(came[at].item())}; "
        f"{int(wrong.sum())} of {wrong.numel()} numbers are wrong."
    )


def _difference_of_items(expected: Sequence, got: Any) -> str | None:
    if not isinstance(got, (tuple, list)) or len(got) != len(expected):
        return f"Expected {len(expected)} values, got {_show(got)}."
    for position, (one, other) in enumerate(zip(expected, got, strict=True), start=1):
        fault = difference(one, other)
        if fault is not None:
            return f"Value {position} of {len(expected)}: {fault}"
    return None


def _fault(wanted: Outcome, came: Outcome) -> str | None:
    if came.error is not None:
        return f"Your function raised {_where(came.error)}"
    if came.changed is not None:
        return (
            f"Your function changed its argument {came.changed} in place: "
            "whoever called it would find other numbers there. Compute a new one."
        )
    if came.value is None and wanted.value is not None:
        return (
            f"Expected {_show(wanted.value)}, but your function returned nothing (None); "
            "does it end with a return?"
        )
    return difference(wanted.value, came.value)


def _where(error: Exception) -> str:
    """The error, and the line of the reader's own code that led to it."""
    told = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [Path(frame.filename).parent == Path(__file__).parent for frame in frames]
    frames = frames[len(ours) - ours[::-1].index(True) :]  # behind the last one of a check
    line = f" (line {frames[0].lineno}: {frames[0].line})" if frames and frames[0].line else ""
    return told + line


def _numbers(items: Sequence) -> bool:
    return bool(items) and all(isinstance(item, int) for item in items)


def _short(value: Any) -> str:
    if isinstance(value, nn.Module):
        return f", a {type(value).__name__}"
    return f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f" = {_show(value)}"


def _shape(value: Tensor) -> str:
    return f"shape {tuple(value.shape)}" if value.ndim else "a single number"


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and math.isfinite(value) else f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}" if value.ndim else _show(value.item())
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_show, value)) + ")"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
