"""How many pairs of keys and values fit into a state of fixed size, and what the rest costs."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import traitlets

from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Axis, Line, line_chart

MOST = 512
SIZES = (16, 32, 64, 128)
SQRT2 = math.sqrt(2)


def state_numbers(d_model: int) -> int:
    """Numbers that a state of d_model x d_model keeps, however many pairs it has seen.

    >>> state_numbers(64)
    4096
    """
    return d_model * d_model


def attention_numbers(d_model: int, pairs: int) -> int:
    """Numbers that attention keeps: a key and a value for each pair.

    >>> attention_numbers(64, 512)
    65536
    """
    return 2 * d_model * pairs


def expected_recall(d_model: int, pairs: int) -> float:
    """Estimated share of values that a state of d_model x d_model recalls, between 0 and 1.

    Keys and values are random unit vectors; all scores are taken as independent and normal. The
    right value scores 1 + noise of variance (pairs - 1) / d_model^2, every other one noise of
    variance 2 / d_model + (pairs - 2) / d_model^2, and the largest wins. The estimate is a
    little low: by up to 0.13 at widths from 16 on, 0.08 from 64 on.
    """
    if d_model < 1 or pairs < 1:
        raise ValueError(
            f"expected at least 1 as d_model and as pairs, got d_model={d_model}, pairs={pairs}"
        )
    if pairs == 1:
        return 1.0
    right = math.sqrt(pairs - 1) / d_model
    wrong = math.sqrt(2 / d_model + (pairs - 2) / d_model**2)
    steps = [step / 4 for step in range(-24, 25)]
    densities = [math.exp(-z * z / 2) for z in steps]
    wins = (
        density * (0.5 * math.erfc(-(1 + right * z) / wrong / SQRT2)) ** (pairs - 1)
        for z, density in zip(steps, densities, strict=True)
    )
    return sum(wins) / sum(densities)


def capacity(d_model: int, share: float) -> int:
    """Largest number of pairs of which the estimate still gets `share` right."""
    if not 0 < share <= 1:
        raise ValueError(f"share: expected a number above 0 and at most 1, got {share!r}")
    below = 2
    while expected_recall(d_model, below) >= share:
        below *= 2
    # the estimate falls with every pair, so the last one above `share` can be bisected for
    return bisect_left(range(1, below), True, key=lambda n: expected_recall(d_model, n) < share)


class Crowding(Explorable):
    """Store more and more pairs in a fixed state, and see what comes back, beside attention.

    The reader's browser draws keys and values (from `seed` on) and counts. `curves` are measured
    ones, each a mapping {"d_model", "pairs", "recalled"} for the fixed state. `guess` is the
    reader's own capacity, 0 for none; `revealed` shows the curve. `texts` replaces sentences.
    """

    name = "crowding"
    d_model = traitlets.Int(64).tag(sync=True)
    pairs = traitlets.Int(64).tag(sync=True)
    guess = traitlets.Int(0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    seed = traitlets.Int(1).tag(sync=True)
    curves = traitlets.List(traitlets.Dict()).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, curves: Sequence[Mapping] = (), **state):
        state.setdefault("title", "A fixed state fills up; attention keeps everything and pays")
        super().__init__(curves=[_checked(curve) for curve in curves], **state)

    @traitlets.validate("d_model")
    def _known_size(self, proposal):
        if proposal["value"] not in SIZES:
            raise ValueError(f"d_model: expected one of {SIZES}, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("pairs")
    def _pairs_in_range(self, proposal):
        if not 1 <= proposal["value"] <= MOST:
            raise ValueError(f"pairs: expected 1 to {MOST}, got {proposal['value']!r}")
        return proposal["value"]

    def findings(self) -> list[str]:
        """Where the state starts to fail, how it ends, and what attention keeps instead."""
        limits = ", ".join(f"{capacity(d, 0.9)} pairs at {d} × {d}" for d in SIZES)
        seen = self._measured() or [
            f"At 64 × 64 about {expected_recall(64, MOST):.0%} of {MOST} pairs come back."
        ]
        return [
            f"By estimate, one answer in ten is wrong after {limits}.",
            *seen,
            f"For {MOST} pairs of width 64 attention keeps "
            f"{attention_numbers(64, MOST):,} numbers, the state {state_numbers(64):,}.",
        ]

    def _measured(self) -> list[str]:
        return [
            f"Measured at {curve['d_model']} × {curve['d_model']}: {curve['recalled'][-1]:.0%} of "
            f"{curve['pairs'][-1]} pairs come back."
            for curve in self.curves
        ]

    def data(self) -> list[dict]:
        """Records of d_model, pairs, estimated and measured recall, and numbers kept."""
        measured = {
            (curve["d_model"], pairs): recalled
            for curve in self.curves
            for pairs, recalled in zip(curve["pairs"], curve["recalled"], strict=True)
        }
        points = {(d, 2**power) for d in SIZES for power in range(10)} | set(measured)
        return [
            {
                "d_model": d,
                "pairs": pairs,
                "estimated_recall": round(expected_recall(d, pairs), 4),
                "measured_recall": measured.get((d, pairs), ""),
                "state_numbers": state_numbers(d),
                "attention_numbers": attention_numbers(d, pairs),
            }
            for d, pairs in sorted(points)
        ]

    def picture(self) -> str:
        """Estimated recall against pairs stored, one line for each size of state."""
        x = Axis("pairs stored", (1, MOST), (1, 4, 16, 64, 256), log=True)
        y = Axis(
            "answered right",
            (0, 1.1),
            (0, 0.5, 1),
            lambda share: f"{100 * share:.0f}\N{NO-BREAK SPACE}%",
        )
        lines = [_state_line(d) for d in SIZES]
        for curve in self.curves:
            points = list(zip(curve["pairs"], curve["recalled"], strict=True))
            lines.append(Line(points, "recurrence", "", points[-1]))
        all_right = [(1, 1.0), (MOST, 1.0)]
        lines.append(Line(all_right, "attention", "attention", (MOST, 1.06), before=True))
        alt = self.alt or "Answers go wrong once a state is full: " + " ".join(self.findings())
        return line_chart(lines, x=x, y=y, alt=alt)


def _state_line(d: int) -> Line:
    pairs = sorted({round(2 ** (step / 6)) for step in range(55)})
    points = [(many, expected_recall(d, many)) for many in pairs]
    half = capacity(d, 0.5)
    inside = half < MOST
    name_at = (half, 0.5) if inside else points[-1]
    return Line(points, "recurrence", f"{d} × {d}", name_at, dashed=True, before=inside)


def _checked(curve: Mapping) -> dict:
    missing = {"d_model", "pairs", "recalled"} - set(curve)
    if missing:
        raise ValueError(f"curves: expected d_model, pairs and recalled, got {sorted(curve)}")
    pairs, recalled = list(curve["pairs"]), [float(share) for share in curve["recalled"]]
    if len(pairs) != len(recalled) or not pairs:
        raise ValueError(
            f"curves: {len(pairs)} pairs and {len(recalled)} recalled at d_model "
            f"{curve['d_model']}; expected as many, and at least one"
        )
    return {"d_model": int(curve["d_model"]), "pairs": pairs, "recalled": recalled}
