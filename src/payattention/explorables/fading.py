"""What is left of a token after it was seen, when a gate multiplies the memory at each step."""

import math
from collections.abc import Mapping, Sequence

import traitlets

from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Axis, Line, line_chart

FARTHEST = 512
FLOOR = 1e-6  # the charts end at a millionth
GATES = (0.5, 0.9, 0.99, 0.999)

PASSAGE = (
    "To be, or not to be, that is the question: Whether ’tis nobler in the mind to suffer "
    "The slings and arrows of outrageous fortune, Or to take arms against a sea of troubles, "
    "And by opposing end them. To die—to sleep, No more; and by a sleep to say we end "
    "The heart-ache and the thousand natural shocks That flesh is heir to: ’tis a consummation "
    "Devoutly to be wish’d."
)


def remaining(gate: float, gap: float) -> float:
    """Share of a token that is left `gap` steps later: gate ** gap.

    >>> remaining(0.5, 3)
    0.125
    """
    _check_gate(gate)
    return gate**gap


def half_life(gate: float) -> float:
    """Steps until half of a token is left; infinity when the gate forgets nothing.

    >>> half_life(0.5)
    1.0
    """
    _check_gate(gate)
    return math.inf if gate == 1 else math.log(0.5) / math.log(gate)


def _check_gate(gate: float) -> None:
    if not 0 < gate <= 1:
        raise ValueError(f"gate: expected a number above 0 and at most 1, got {gate!r}")


class Fading(Explorable):
    """Drag the gap and the gate, and watch a token fade from a recurrent memory.

    `curves` are measured ones, each a mapping {"name", "gaps", "norms"}: the norm of the
    gradient at each gap, as a share of its norm at gap 0. `guess` is the reader's own
    half-life, 0 for none; `revealed` shows the curve. `texts` replaces sentences of the figure.
    """

    name = "fading"
    gate = traitlets.Float(0.95).tag(sync=True)
    gap = traitlets.Int(64).tag(sync=True)
    guess = traitlets.Int(0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    curves = traitlets.List(traitlets.Dict()).tag(sync=True)
    passage = traitlets.Unicode(PASSAGE).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, curves: Sequence[Mapping] = (), **state):
        state.setdefault("title", "A gate below one forgets: how fast, and what is left")
        super().__init__(curves=[_checked(curve) for curve in curves], **state)

    @traitlets.validate("gate")
    def _gate_in_range(self, proposal):
        if not 0.5 <= proposal["value"] <= 1:
            raise ValueError(f"gate: expected 0.5 to 1, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("gap")
    def _gap_in_range(self, proposal):
        if not 1 <= proposal["value"] <= FARTHEST:
            raise ValueError(f"gap: expected 1 to {FARTHEST} steps, got {proposal['value']!r}")
        return proposal["value"]

    def findings(self) -> list[str]:
        """Half-lives, what is left at the farthest gap, and where measured curves end."""
        halves = ", ".join(f"{half_life(gate):,.0f} at {gate:g}" for gate in GATES)
        far = ", ".join(f"{_percent(remaining(gate, FARTHEST))} at {gate:g}" for gate in GATES[2:])
        measured = [
            f"Measured, {curve['name']}: {_percent(curve['norms'][-1])} of the gradient is left "
            f"at gap {curve['gaps'][-1]}."
            for curve in self.curves
        ]
        return [
            f"Steps until half is lost, by gate: {halves}.",
            f"What is left after {FARTHEST} steps: {far}.",
            *measured,
        ]

    def data(self) -> list[dict]:
        """Records of series, gap and share left: by formula for some gates, then as measured."""
        gaps = [2**power for power in range(10)]
        formula = [
            {"series": f"gate {gate:g}", "gap": gap, "left": remaining(gate, gap)}
            for gate in GATES
            for gap in gaps
        ]
        measured = [
            {"series": curve["name"], "gap": gap, "left": norm}
            for curve in self.curves
            for gap, norm in zip(curve["gaps"], curve["norms"], strict=True)
        ]
        return formula + measured

    def picture(self) -> str:
        """What is left against the gap, both on log scales, one line for each gate."""
        x = Axis("steps ago", (1, FARTHEST), (1, 4, 16, 64, 256), log=True)
        y = Axis("left of it", (FLOOR, 1), (1, 1e-2, 1e-4, 1e-6), _percent, log=True)
        alt = self.alt or "What is left of a token falls ever faster: " + " ".join(self.findings())
        return line_chart([*map(_gate_line, GATES), *self._measured_lines()], x=x, y=y, alt=alt)

    def _measured_lines(self) -> list[Line]:
        lines = []
        for curve in self.curves:
            points = [
                (gap, norm)
                for gap, norm in zip(curve["gaps"], curve["norms"], strict=True)
                if gap >= 1 and norm >= FLOOR
            ]
            if points:
                lines.append(Line(points, "muted", curve["name"], points[-1], dashed=True))
        return lines


def _gate_line(gate: float) -> Line:
    last = min(FARTHEST, math.log(FLOOR) / math.log(gate))
    gaps = [last ** (step / 60) for step in range(61)]
    points = [(gap, remaining(gate, gap)) for gap in gaps]
    # named where the line has come down to a fiftieth, or at its end
    at = min(FARTHEST, math.log(0.02) / math.log(gate))
    name_at = (at, remaining(gate, at))
    return Line(points, "recurrence", f"{gate:g}", name_at)


def _checked(curve: Mapping) -> dict:
    missing = {"name", "gaps", "norms"} - set(curve)
    if missing:
        raise ValueError(f"curves: expected name, gaps and norms, got {sorted(curve)}")
    gaps, norms = list(curve["gaps"]), list(curve["norms"])
    if len(gaps) != len(norms) or not gaps:
        raise ValueError(
            f"curves: {curve['name']} has {len(gaps)} gaps and {len(norms)} norms; "
            "expected as many, and at least one"
        )
    return {"name": str(curve["name"]), "gaps": gaps, "norms": [float(norm) for norm in norms]}


def _percent(share: float) -> str:
    number = f"{100 * share:.2g}" if share < 0.995 else "100"
    return f"{number}\N{NO-BREAK SPACE}%"
