"""Still pictures of the explorables, in the book's colours: charts, heat maps, inked text."""

import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from payattention.explorables.bundle import colour

WIDTH, HEIGHT = 480, 290
LEFT, RIGHT, TOP, BOTTOM = 70, WIDTH - 66, 32, HEIGHT - 46  # names may stand in the margin
LETTER, ROW = 7.2, 15  # about what a letter and a row of text take
CELL = 22  # side of a heat map's square
SMALL_CELL = 14  # of a mask's
SQUARE_HEIGHT, GAP = 62, 4  # of squares with numbers
NARROW, ROW_OF_BARS = 360, 20
LETTER_CELL, LETTER_ROW = 20, 28  # width and height of a letter of an inked text
PHOTOGRAPH, PANEL, GREYS = 98, 120, 31  # sides of an image and a panel, steps of ink
SIGN_CELL, SIGN_ROW, SIGN_BAR = 9, 26, 6  # a sign of a tinted text, and the bar on which it stands


@dataclass(frozen=True)
class Axis:
    """One axis: what it measures, from where to where, which ticks with which text."""

    label: str
    domain: tuple[float, float]
    ticks: Sequence[float]
    text: Callable[[float], str] = str
    log: bool = False

    def place(self, value: float, start: float, end: float) -> float:
        """Where `value` stands between the pixels `start` and `end`, kept inside."""
        low, high = self.domain
        bent = math.log if self.log else float
        share = (bent(max(value, low)) - bent(low)) / (bent(high) - bent(low))
        return start + min(share, 1.0) * (end - start)


@dataclass(frozen=True)
class Line:
    """One line: its points, its idea's colour, and its name with the point that carries it.

    The name begins right of that point, or ends left of it with `before`.
    """

    points: Sequence[tuple[float, float]]
    idea: str
    name: str
    name_at: tuple[float, float]
    dashed: bool = False
    before: bool = False


@dataclass(frozen=True)
class Dot:
    """A dot: where it is, and its idea's colour."""

    at: tuple[float, float]
    idea: str


def line_chart(
    lines: Sequence[Line], *, x: Axis, y: Axis, alt: str, dots: Sequence[Dot] = ()
) -> str:
    """An SVG line chart whose lines carry their own names; `alt` says what it shows."""
    parts = [*_axes(x, y)]
    for line in lines:
        parts.append(_path(line, x, y))
    for dot in dots:
        along, height = x.place(dot.at[0], LEFT, RIGHT), y.place(dot.at[1], BOTTOM, TOP)
        parts.append(
            f'<circle cx="{along:.1f}" cy="{height:.1f}" r="3.5" fill="{colour(dot.idea)}" '
            f'stroke="{colour("paper")}"/>'
        )
    parts += _names(lines, x, y)  # last, above all lines
    return _svg(parts, WIDTH, HEIGHT, alt)


def heat_map(
    names: Sequence[str],
    weights: Sequence[Sequence[float]],
    *,
    rows: str,
    columns: str,
    alt: str,
    marked: int | None = None,
) -> str:
    """An SVG of weights between 0 and 1: row `names[i]`, column `names[j]`, `weights[i][j]`.

    A square's ink is bent a little, so that small weights are seen. `rows` and `columns` say what
    the two are, and the row `marked` is framed.
    """
    edge = 16 + LETTER * max(map(len, names))
    top = edge + 22
    side = CELL * len(names)
    parts = [
        _text(columns, edge + side, 13, anchor="end"),
        _text(rows, edge - 8, top - 8, anchor="end"),
    ]
    for i, name in enumerate(names):
        middle = CELL * (i + 0.5) + 4.5
        parts.append(_text(name, edge - 8, top + middle, idea="ink", anchor="end"))
        up = f' transform="rotate(-90 {edge + middle:.1f} {top - 8:.1f})"'
        parts.append(_text(name, edge + middle, top - 8, idea="ink", look=up))
        for j, weight in enumerate(weights[i]):
            x, y = edge + CELL * j, top + CELL * i
            parts.append(_square(x, y, weight**0.7))
    if marked is not None:
        y = top + CELL * marked
        parts.append(
            f'<rect x="{edge:.1f}" y="{y:.1f}" width="{side}" height="{CELL}" fill="none" '
            f'stroke="{colour("ink")}" stroke-width="1.5"/>'
        )
    return _svg(parts, math.ceil(edge + side + 2), math.ceil(top + side + 2), alt)


def mask_and_strip(
    mask: Sequence[Sequence[bool]],
    below: Sequence[str],
    *,
    marked: int,
    titles: tuple[str, str],
    alt: str,
) -> str:
    """An SVG of a square with ink where mask[i][j] is true, and one cell of text below each column.

    The row `marked` is framed; `titles` stand above the square and below the cells, and a cell with
    a text has ink.
    """
    many, left, top = len(mask), 26, 44
    side = SMALL_CELL * many
    foot = top + side + 8
    parts = [_text(titles[0], left, 13)]
    for place in (1, *range(8, many + 1, 8)):
        middle = SMALL_CELL * (place - 0.5)
        parts.append(_text(str(place), left - 6, top + middle + 4.5, anchor="end"))
        parts.append(_text(str(place), left + middle, top - 7, anchor="middle"))
    for idea, wanted in (("grid", False), ("attention", True)):
        squares = "".join(
            f"M{left + SMALL_CELL * j + 0.5},{top + SMALL_CELL * i + 0.5}h13v13h-13z"
            for i, row in enumerate(mask)
            for j, bit in enumerate(row)
            if bit == wanted
        )
        ink = 1 if wanted else 0.4
        parts.append(f'<path d="{squares}" fill="{colour(idea)}" fill-opacity="{ink}"/>')
    for j, text in enumerate(below):
        x = left + SMALL_CELL * j
        paint = f'fill="{colour("attention" if text else "grid")}" fill-opacity="0.4"'
        parts.append(f'<rect x="{x + 0.5}" y="{foot}" width="13" height="18" {paint}/>')
        parts.append(_text(text, x + SMALL_CELL / 2, foot + 13.5, idea="ink", anchor="middle"))
    frame = f'fill="none" stroke="{colour("ink")}" stroke-width="1.5"'
    size = f'width="{side}" height="{SMALL_CELL}"'
    parts.append(f'<rect x="{left}" y="{top + SMALL_CELL * marked}" {size} {frame}/>')
    parts.append(_text(titles[1], left, foot + 36))
    return _svg(parts, left + side + 4, foot + 42, alt)


def bars_and_letters(
    bars: Sequence[tuple[str, float]],
    letters: Sequence[tuple[str, float]],
    *,
    marked: int,
    above: tuple[str, str],
    alt: str,
) -> str:
    """An SVG of bars, each (name, share), over a text, each (letter, ink between 0 and 1).

    `above` are the words above the two; the letter `marked` is framed.
    """
    edge = 12 + LETTER * max(len(name) for name, _ in bars)
    room = NARROW - edge - 60  # for a bar of 1, and a share beside it
    parts = [_text(above[0], 0, 13)]
    for row, (name, share) in enumerate(bars):
        middle = 32 + ROW_OF_BARS * row
        length = max(room * share, 1)
        parts.append(_text(name, edge - 8, middle + 4.5, idea="ink", anchor="end"))
        parts.append(
            f'<rect x="{edge:.1f}" y="{middle - 6}" width="{length:.1f}" height="12" '
            f'fill="{colour("muted")}"/>'
        )
        parts.append(_text(f"{100 * share:.0f} %", edge + length + 6, middle + 4.5))
    top = 32 + ROW_OF_BARS * len(bars) + 14
    parts.append(_text(above[1], 0, top))
    in_a_row = NARROW // LETTER_CELL
    for i, (letter, ink) in enumerate(letters):
        x, y = LETTER_CELL * (i % in_a_row), top + 10 + LETTER_ROW * (i // in_a_row)
        size = f'x="{x + 1}" y="{y + 1}" width="{LETTER_CELL - 2}" height="{LETTER_ROW - 4}"'
        parts.append(
            # half the ink at most, so that the letter stays readable
            f'<rect {size} fill="{colour("attention")}" fill-opacity="{0.5 * ink**0.7:.3f}"/>'
        )
        if i == marked:
            frame = f'stroke="{colour("ink")}" stroke-width="2"'
            parts.append(f'<rect {size} fill="none" {frame}/>')
        middle = x + LETTER_CELL / 2
        parts.append(_text(letter, middle, y + LETTER_ROW / 2 + 3, idea="ink", anchor="middle"))
    rows = math.ceil(len(letters) / in_a_row)
    return _svg(parts, NARROW, top + 10 + LETTER_ROW * rows, alt)


def tinted_text(
    text: str,
    values: Sequence[int],
    *,
    levels: int,
    idea: str,
    names: Sequence[str],
    title: str,
    marked: int,
    alt: str,
) -> str:
    """An SVG of a text, each sign on a ground and a bar that grow with its value, 1 to `levels`.

    A line ends after a "¶", or before the word that would not fit. `names` are those of the values,
    for the legend; the sign `marked` is framed.
    """
    rows = _lines_of(text, WIDTH // SIGN_CELL)
    parts, grounds, bars, start, top = [_text(title, 0, 13)], {}, [], 0, 24
    for row in rows:
        for j, value in enumerate(values[start : start + len(row)]):
            x, bar = SIGN_CELL * j, SIGN_BAR * value / levels
            grounds.setdefault(value, []).append(f"M{x},{top}h{SIGN_CELL}v{SIGN_ROW - 3}h-9z")
            foot = top + SIGN_ROW - 3
            bars.append(f"M{x},{foot}h{SIGN_CELL - 1}v-{bar:g}h-{SIGN_CELL - 1}z")
            if start + j == marked:
                frame = f'fill="none" stroke="{colour("ink")}" stroke-width="2"'
                size = f'width="{SIGN_CELL}" height="{SIGN_ROW - 3}"'
                parts.append(f'<rect x="{x}" y="{top}" {size} {frame}/>')
        places = " ".join(f"{SIGN_CELL * (j + 0.5):g}" for j in range(len(row)))
        parts.append(
            f'<text x="{places}" y="{top + 13}" fill="{colour("ink")}" text-anchor="middle" '
            f'font-family="ui-monospace, monospace">{html.escape(row)}</text>'
        )
        start, top = start + len(row), top + SIGN_ROW
    tints = [
        f'<path d="{"".join(grounds[value])}" fill="{colour(idea)}" '
        f'fill-opacity="{_tint(value, levels):.2f}"/>'
        for value in sorted(grounds)
    ]
    x, top = 0.0, top + 16
    for value, name in enumerate(names, start=1):
        room = 16 + LETTER * len(name) + 14
        if x and x + room > WIDTH + 14:
            x, top = 0.0, top + 22
        tints.append(
            f'<rect x="{x:.1f}" y="{top - 13}" width="11" height="17" fill="{colour(idea)}" '
            f'fill-opacity="{_tint(value, levels):.2f}"/>'
        )
        bar = SIGN_BAR * value / levels
        bars.append(f"M{x:.1f},{top + 4}h11v-{bar:g}h-11z")
        parts.append(_text(name, x + 16, top))
        x += room
    tints.append(f'<path d="{"".join(bars)}" fill="{colour(idea)}"/>')
    return _svg([*tints, *parts], WIDTH, top + 8, alt)


def _tint(value: int, levels: int) -> float:
    """How much of its colour a ground has: half at most, so that a sign on it stays readable."""
    return 0.06 + 0.42 * (value - 1) / max(levels - 1, 1)


def _lines_of(text: str, longest: int) -> list[str]:
    """The text in lines, which together are the text."""
    lines = []
    for line in re.findall("[^¶]*¶+|[^¶]+$", text):
        while len(line) > longest:
            cut = line.rfind(" ", 0, longest) + 1 or longest
            lines.append(line[:cut])
            line = line[cut:]
        lines.append(line)
    return lines


@dataclass(frozen=True)
class Square:
    """A square of a map: its number, a word for it, its idea."""

    number: str
    word: str
    idea: str


def squares(
    drawn: Sequence[Sequence[Square]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    titles: tuple[str, str],
    marked: tuple[int, int],
    alt: str,
) -> str:
    """An SVG of a map: `drawn[i][j]` in the row `rows[i]` and the column `columns[j]`.

    `titles` stand above each other, and the square at row and column `marked` is framed.
    """
    edge, top = 16 + LETTER * max(map(len, rows)), 66
    width = (NARROW - 2 - edge + GAP) / len(columns)
    parts = [_text(titles[0], 0, 13, idea="ink"), _text(titles[1], 0, 31)]
    for j, name in enumerate(columns):
        parts.append(_text(name, edge + width * (j + 0.5) - GAP / 2, top - 8, anchor="middle"))
    for i, row in enumerate(drawn):
        y = top + (SQUARE_HEIGHT + GAP) * i
        parts.append(_text(rows[i], edge - 8, y + SQUARE_HEIGHT / 2 + 4.5, anchor="end"))
        for j, square in enumerate(row):
            at = edge + width * j, y, width - GAP
            parts.append(_frame(*at, f'fill="{colour(square.idea)}"'))
            middle, ink = at[0] + at[2] / 2, "ink" if square.idea == "grid" else "paper"
            look = ' font-size="17" font-weight="600"'
            parts.append(_text(square.number, middle, y + 29, idea=ink, anchor="middle", look=look))
            parts.append(_text(square.word, middle, y + 48, idea=ink, anchor="middle"))
            if (i, j) == marked:
                for inset, idea, stroke in ((1.5, "ink", 3), (4, "paper", 2)):
                    look = f'fill="none" stroke="{colour(idea)}" stroke-width="{stroke}"'
                    parts.append(_frame(*at, look, inset=inset))
    height = top + (SQUARE_HEIGHT + GAP) * len(rows)
    return _svg(parts, NARROW, height, alt)


def _frame(x: float, y: float, width: float, look: str, *, inset: float = 0) -> str:
    return (
        f'<rect x="{x + inset:.1f}" y="{y + inset:.1f}" width="{width - 2 * inset:.1f}" '
        f'height="{SQUARE_HEIGHT - 2 * inset:.1f}" rx="3" {look}/>'
    )


@dataclass(frozen=True)
class Part:
    """A piece of a stacked bar: its name, its size and number, its idea and ink (at most 1)."""

    name: str
    size: float
    text: str
    idea: str
    ink: float = 1


@dataclass(frozen=True)
class Stack:
    """A stacked bar: what it is, what its parts are together, and its parts."""

    title: str
    total: str
    parts: Sequence[Part]


def stacked_bars(stacks: Sequence[Stack], *, alt: str) -> str:
    """An SVG of bars, each as wide as the picture, with the names of their parts below."""
    drawn, top = [], 0
    for stack in stacks:
        drawn.append(_text(stack.title, 0, top + 14))
        drawn.append(_text(stack.total, NARROW, top + 14, idea="ink", anchor="end"))
        drawn += _stack(stack.parts, top + 22)
        x, top = 0.0, top + 56
        for part in stack.parts:
            label = f"{part.name} {part.text}"
            room = 16 + LETTER * len(label) + 14
            if x and x + room > NARROW + 14:
                x, top = 0.0, top + 18
            drawn.append(_block(part, x, top - 9, 10, 10))
            drawn.append(_text(label, x + 15, top))
            x += room
        top += 22
    return _svg(drawn, NARROW, top - 12, alt)


@dataclass(frozen=True)
class Bar:
    """A bar: its name, its size and number, its idea."""

    name: str
    size: float
    text: str
    idea: str


def bars(drawn: Sequence[Bar], *, alt: str) -> str:
    """An SVG of bars, each under its name, all on one scale that begins at 0."""
    longest = max(bar.size for bar in drawn)
    parts = []
    for row, bar in enumerate(drawn):
        top = 40 * row
        width = max(NARROW * bar.size / longest, 1)
        parts.append(_text(bar.name, 0, top + 14))
        parts.append(_text(bar.text, NARROW, top + 14, idea="ink", anchor="end"))
        parts.append(
            f'<rect x="0" y="{top + 20}" width="{width:.1f}" height="12" '
            f'fill="{colour(bar.idea)}"/>'
        )
    return _svg(parts, NARROW, 40 * len(drawn) - 8, alt)


@dataclass(frozen=True)
class Photograph:
    """An image in ink, each pixel between 0 and 1, over two lines of words."""

    pixels: Float[Tensor, "height width"]
    below: tuple[str, str]


@dataclass(frozen=True)
class Trace:
    """A line of a panel: its points, its idea's colour, its name for the legend, its dashes."""

    points: Sequence[tuple[float, float]]
    idea: str
    name: str
    dashes: str = ""
    width: float = 2


@dataclass(frozen=True)
class Panel:
    """A small chart of shares along a share: what it shows, and its lines."""

    title: str
    traces: Sequence[Trace]


def images_over_panels(
    images: Sequence[Photograph], panels: Sequence[Panel], *, at: float, below: str, alt: str
) -> str:
    """An SVG of images in a row, over charts from 0 to 1 both ways with an upright line at `at`.

    `below` says what the charts have along; the names of the first one's lines stand at the end.
    """
    parts, left, right = [], 40, NARROW - 8
    gap = (NARROW - len(images) * PHOTOGRAPH) / (len(images) - 1)
    for place, image in enumerate(images):
        parts += _photograph(image, place * (PHOTOGRAPH + gap))
    top = PHOTOGRAPH + 46
    for panel in panels:
        upper, lower = top + 26, top + 26 + PANEL
        parts.append(_text(panel.title, 0, top + 13))
        for tick in (0, 0.5, 1):
            height = lower - PANEL * tick
            parts.append(_rule((left, height), (right, height), "grid"))
            parts.append(_text(f"{tick:g}", left - 8, height + 4, anchor="end"))
            along = left + (right - left) * tick
            parts.append(_text(f"{tick:g}", along, lower + 17, anchor="middle"))
        for trace in panel.traces:
            places = [(left + (right - left) * x, lower - PANEL * y) for x, y in trace.points]
            parts.append(_trace(trace, places))
        here = left + (right - left) * at
        parts.append(_rule((here, upper), (here, lower), "ink"))
        top = lower + 26
    parts.append(_text(below, right, top + 8, anchor="end"))
    x, top = 0.0, top + 32
    for trace in reversed(panels[0].traces):  # what is drawn last is named first
        if not trace.name:
            continue
        room = 34 + LETTER * len(trace.name) + 14
        if x and x + room > NARROW + 14:
            x, top = 0.0, top + 18
        parts.append(_trace(trace, [(x, top - 4.5), (x + 28, top - 4.5)]))
        parts.append(_text(trace.name, x + 34, top))
        x += room
    return _svg(parts, NARROW, top + 6, alt)


def _photograph(image: Photograph, x: float) -> list[str]:
    """Ink for each step of grey in one path, whose squares are joined along a row."""
    height, width = image.pixels.shape
    cell = PHOTOGRAPH / width
    rows: dict[int, list[str]] = {}
    for i, row in enumerate((GREYS * image.pixels).round().int().tolist()):
        for j, run in _runs(row):
            rows.setdefault(row[j], []).append(f"M{j},{i}h{run}v1h-{run}z")
    parts = [
        f'<path d="{"".join(squares)}" transform="translate({x:.1f} 0) scale({cell:g})" '
        f'shape-rendering="crispEdges" fill="{colour("ink")}" fill-opacity="{grey / GREYS:.3f}"/>'
        for grey, squares in sorted(rows.items())
        if grey
    ]
    parts.append(
        f'<rect x="{x + 0.5:.1f}" y="0.5" width="{PHOTOGRAPH - 1}" height="{cell * height - 1:g}" '
        f'fill="none" stroke="{colour("grid")}"/>'
    )
    for line, words in enumerate(image.below):
        middle, idea = x + PHOTOGRAPH / 2, "muted" if line else "ink"
        height_of = PHOTOGRAPH + 17 + 17 * line
        parts.append(_text(words, middle, height_of, idea=idea, anchor="middle"))
    return parts


def _runs(row: Sequence[int]) -> list[tuple[int, int]]:
    """Where a stretch of equal numbers begins, and how long it is."""
    starts = [j for j, one in enumerate(row) if j == 0 or one != row[j - 1]]
    return [
        (start, end - start) for start, end in zip(starts, [*starts[1:], len(row)], strict=True)
    ]


def _trace(trace: Trace, places: Sequence[tuple[float, float]]) -> str:
    d = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dashes = f' stroke-dasharray="{trace.dashes}"' if trace.dashes else ""
    return (
        f'<path d="{d}" fill="none" stroke="{colour(trace.idea)}" '
        f'stroke-width="{trace.width:g}"{dashes}/>'
    )


def _stack(parts: Sequence[Part], top: float) -> list[str]:
    whole = sum(part.size for part in parts)
    x, blocks = 0.0, []
    for part in parts:
        width = NARROW * part.size / whole
        blocks.append(_block(part, x, top, max(width - 1, 0.5), 18))
        x += width
    return blocks


def _block(part: Part, x: float, y: float, width: float, height: float) -> str:
    # what has less than full ink keeps a rim that stands out from the paper
    paint = colour(part.idea)
    look = f' fill-opacity="{part.ink}" stroke="{paint}"' if part.ink < 1 else ""
    inset = 0.5 if part.ink < 1 else 0
    return (
        f'<rect x="{x + inset:.1f}" y="{y + inset:.1f}" width="{max(width - 2 * inset, 0.5):.1f}" '
        f'height="{height - 2 * inset:.1f}" fill="{paint}"{look}/>'
    )


def _svg(parts: Sequence[str], width: int, height: int, alt: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{html.escape(alt)}" '
        f'font-family="inherit" font-size="13">{"".join(parts)}</svg>'
    )


def _square(x: float, y: float, ink: float) -> str:
    return (
        f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{CELL - 1}" height="{CELL - 1}" '
        f'fill="{colour("attention")}" fill-opacity="{ink:.3f}"/>'
    )


def _names(lines: Sequence[Line], x: Axis, y: Axis) -> list[str]:
    """Names of the lines, each moved up until it stands clear of those before it."""
    parts, taken = [], []
    for line in lines:
        width = LETTER * len(line.name)
        start = x.place(line.name_at[0], LEFT, RIGHT) + (-6 - width if line.before else 6)
        height = min(y.place(line.name_at[1], BOTTOM, TOP) + 4, BOTTOM - 6)
        while any(
            abs(height - other) < ROW and start < end and begin < start + width
            for begin, end, other in taken
        ):
            height -= ROW
        taken.append((start, start + width, height))
        at, anchor = (start + width, "end") if line.before else (start, "start")
        parts.append(_text(line.name, at, height, idea=line.idea, anchor=anchor, rim=True))
    return parts


def _axes(x: Axis, y: Axis) -> list[str]:
    parts = []
    for tick in y.ticks:
        height = y.place(tick, BOTTOM, TOP)
        parts.append(_rule((LEFT, height), (RIGHT, height), "grid"))
        parts.append(_text(y.text(tick), LEFT - 8, height + 4, anchor="end"))
    for tick in x.ticks:
        along = x.place(tick, LEFT, RIGHT)
        parts.append(_rule((along, BOTTOM), (along, BOTTOM + 5), "muted"))
        parts.append(_text(x.text(tick), along, BOTTOM + 19, anchor="middle"))
    parts.append(_rule((LEFT, BOTTOM), (RIGHT, BOTTOM), "muted"))
    parts.append(_text(y.label, 0, 14))
    parts.append(_text(x.label, RIGHT, BOTTOM + 39, anchor="end"))
    return parts


def _rule(start: tuple[float, float], end: tuple[float, float], idea: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour(idea)}"/>'
    )


def _path(line: Line, x: Axis, y: Axis) -> str:
    places = [(x.place(a, LEFT, RIGHT), y.place(b, BOTTOM, TOP)) for a, b in line.points]
    d = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    return f'<path d="{d}" fill="none" stroke="{colour(line.idea)}" stroke-width="2"{dashes}/>'


def _text(text, x, y, *, idea="muted", anchor="start", rim=False, look="") -> str:
    # a rim of paper keeps a name readable where it crosses a line
    edge = f' stroke="{colour("paper")}" stroke-width="4" paint-order="stroke"' if rim else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour(idea)}" text-anchor="{anchor}"{edge}{look}>'
        f"{html.escape(text)}</text>"
    )
