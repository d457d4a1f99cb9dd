"""Draws what was measured: one colour for each idea, names beside the lines, intervals as bands.

Every function takes records and an axis and returns the axis. Colours come from `palette.json`,
which the site and the explorables read too. Import this module where there is matplotlib.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from payattention import measure
from payattention.attention_maps import AttentionMaps
from payattention.records import Results

PALETTE: dict[str, dict[str, str]] = json.loads(
    resources.files("payattention").joinpath("palette.json").read_text("utf-8")
)


def colour(idea: str) -> str:
    """The idea's colour in the light palette; the site swaps it for the dark one in dark mode.

    >>> colour("attention")
    '#c4500a'

    Raises:
        ValueError: for an idea that has no colour.
    """
    if idea not in PALETTE:
        raise ValueError(f"idea={idea!r}: expected one of {sorted(PALETTE)}")
    return PALETTE[idea]["light"]


STYLE = {
    "axes.edgecolor": colour("muted"),
    "axes.grid": True,
    "mathtext.fontset": "dejavusans",
    "axes.labelcolor": colour("ink"),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.titlecolor": colour("ink"),
    "figure.facecolor": colour("paper"),
    "axes.facecolor": colour("paper"),
    "font.size": 10,
    "grid.color": colour("grid"),
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "text.color": colour("ink"),
    "xtick.color": colour("muted"),
    "ytick.color": colour("muted"),
    "xtick.labelcolor": colour("ink"),
    "ytick.labelcolor": colour("ink"),
    "svg.fonttype": "none",
    "svg.hashsalt": "payattention",
}


@dataclass(frozen=True)
class Line:
    """How one kind of model is drawn: its name, the idea that colours it, dashes and marker."""

    name: str
    idea: str
    dashes: str = "-"
    marker: str = "o"


LINES = {
    "rnn": Line("RNN", "recurrence", ":", "o"),
    "rnn_orthogonal": Line("RNN, orthogonal", "recurrence", ":", "s"),
    "lstm": Line("LSTM", "recurrence", "-", "o"),
    "lstm_open": Line("LSTM, gate open", "recurrence", "-", "D"),
    "gru": Line("GRU", "recurrence", "--", "o"),
    "gru_open": Line("GRU, gate open", "recurrence", "--", "D"),
    "convolution": Line("convolution", "convolution", "-", "s"),
    "attention": Line("attention", "attention", "-", "^"),
    "state": Line("fixed state", "recurrence", "-", "o"),
    "lstm loop": Line("LSTM, our loop", "recurrence", "-", "o"),
    "lstm kernel": Line("LSTM, compiled", "recurrence", "-", "D"),
    "lstm step": Line("LSTM", "recurrence", "-", "o"),
    "one matmul": Line("same work, one matmul", "time", "-", "s"),
    "linear loop": Line("linear, loop", "recurrence", "--", "o"),
    "linear scan": Line("linear, scan", "recurrence", "--", "D"),
    "attention step": Line("attention", "attention", "-", "^"),
    "dictionary": Line("dictionary words", "recurrence", "-", "o"),
    "joined": Line("two known words, joined", "recurrence", "--", "D"),
    "vector": Line("one vector", "recurrence", "-", "o"),
    "additive": Line("GRU with attention", "attention", "-", "^"),
    "transformer": Line("Transformer", "attention", "--", "s"),
    "CNN": Line("CNN", "convolution", "-", "s"),
    "ViT": Line("ViT", "attention", "-", "^"),
    "linear": Line("linear model", "muted", ":", "o"),
    "Transformer": Line("Transformer", "attention", "-", "^"),
    "two layers": Line("two layers", "attention", "-", "^"),
    "one layer": Line("one layer", "attention", ":", "v"),
    "one layer, fixed": Line("one, fixed distance", "attention", "--", "s"),
    "divided": Line("divided", "attention", "-", "^"),
    "undivided": Line("not divided", "attention", ":", "v"),
    "causal mask": Line("causal mask", "attention", "-", "^"),
    "no mask": Line("no mask", "attention", ":", "v"),
    "none": Line("no positions", "attention", ":", "o"),
    "sinusoidal": Line("sinusoidal", "attention", "--", "s"),
    "learned": Line("learned, to 64", "attention", "-.", "v"),
    "alibi": Line("ALiBi", "attention", "--", "D"),
    "rotary": Line("rotary", "attention", "-", "^"),
    "rotary, squeezed": Line("squeezed", "attention", ":", "v"),
    "rotary, squeezed and tuned": Line("squeezed, tuned", "attention", "--", "s"),
    "rotary, tuned": Line("tuned", "attention", "-.", "D"),
    "rotary, trained long": Line("trained long", "attention", "-", "o"),
    "pre-norm": Line("pre-norm", "attention", "-", "^"),
    "post-norm": Line("post-norm", "attention", ":", "v"),
    "RMSNorm": Line("RMSNorm", "attention", "--", "s"),
    "SwiGLU": Line("SwiGLU", "feed_forward", "--", "D"),
    "no norm": Line("no norm", "memory", "-.", "o"),
    "no stream": Line("no stream", "recurrence", ":", "o"),
    "pre-norm, Xavier": Line("pre-norm, Xavier", "attention", "-", "D"),
    "post-norm, Xavier": Line("post-norm, Xavier", "attention", ":", "s"),
    "BERT": Line("BERT", "memory", "--", "s"),
    "GPT": Line("GPT", "attention", "-", "^"),
    "stored": Line("stored scores", "attention", ":", "v"),
    "tiles": Line("tiles", "attention", "-", "^"),
    "fused": Line("fused", "attention", "--", "s"),
    "float32": Line("32 bits", "memory", "-", "o"),
    "bfloat16": Line("16 bits", "memory", "--", "s"),
    "GPT, told as little": Line("told as little", "attention", ":", "v"),
    "digits": Line("digits", "attention", "-", "^"),
    "answers": Line("whole answers", "memory", "-", "o"),
    "p^k": Line("$p^k$, foretold", "muted", ":", "s"),
    "one": Line("one part", "feed_forward", "-", "o"),
    "one as large as 8": Line("as large as 8", "feed_forward", "--", "s"),
    "4 experts": Line("4 experts", "experts", ":", "v"),
    "8 experts": Line("8 experts", "experts", "-", "^"),
    "8 experts, no balance": Line("8, no balance", "experts", "-.", "D"),
    "8 half experts, two chosen": Line("8 half, two chosen", "experts", "--", "s"),
    "grouped": Line("sorted by expert", "experts", "-", "^"),
    "everywhere": Line("all on all", "experts", ":", "v"),
    "chance": Line("by chance", "muted", ":", "v"),
    "magnitude": Line("magnitude", "memory", "-", "o"),
    "magnitude, each map": Line("in maps", "memory", "--", "s"),
    "Wanda": Line("Wanda", "memory", "-.", "D"),
    "magnitude, each map, retrained": Line("retrained", "memory", "-", "^"),
    "ticket": Line("ticket", "memory", "-", "o"),
    "one shot": Line("in one go", "memory", "-.", "D"),
    "fresh values": Line("fresh values", "memory", "--", "s"),
    "shuffled places": Line("other places", "muted", ":", "v"),
    "dense": Line("all of the past", "attention", "-", "o"),
    "window": Line("window", "attention", "--", "^"),
    "strided": Line("strided", "attention", "-.", "s"),
    "fixed": Line("fixed", "attention", ":", "D"),
    "both ways": Line("window, both ways", "convolution", "--", "v"),
    "global": Line("with a global token", "convolution", "-", "P"),
    "no softmax": Line("no softmax", "recurrence", "-", "s"),
    "without mixup": Line("without mixup", "muted", ":", "v"),
    "a little mixup": Line("α = 0.2", "memory", "--", "s"),
    "mixup": Line("α = 1", "memory", "-", "o"),
}


FAINT = {"color": colour("muted"), "linewidth": 0.8}
"""How a line is drawn that only helps to read the others."""


def use_style() -> None:
    """Set matplotlib to the book's style, and notebooks to pictures that stay sharp."""
    plt.rcParams.update(STYLE)
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")
    except (ImportError, AttributeError):  # a plain script has no notebook to tell
        pass


def axes(columns: int = 1, *, height: float = 3.6, **settings) -> tuple[Figure, Axes | np.ndarray]:
    """A figure as wide as the text, and its axis, or its axes where `columns` is more than 1."""
    return plt.subplots(1, columns, figsize=(7.2, height), layout="constrained", **settings)


def log_axis(axis: Axes, values: Iterable[float], *, every: int = 1) -> Axes:
    """The axis with a logarithmic x, marked at the measured values or at every nth of them."""
    ticks = sorted(set(values))[::every]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [_short(tick) for tick in ticks])
    axis.minorticks_off()
    return axis


def _short(number: float) -> str:
    """A count as a label: 4096 as 4k, in binary thousands.

    >>> _short(512), _short(65536)
    ('512', '64k')
    """
    return f"{number:g}" if number < 1024 else f"{number / 1024:g}k"


def curves(
    axis: Axes,
    results: Results,
    *,
    x: str,
    y: str,
    by: str | tuple[str, ...],
    lines: Mapping[Any, Line] = LINES,
    middle: str = "mean",
    spread: str = "band",
) -> Axes:
    """One named line for each value of the column `by`, or for each combination of several columns.

    `middle` says what stands for several runs: their "mean", with its 95 % interval; their
    "geometric" mean, likewise; or their "median", with their range. `spread` shows it as a "band",
    or draws all "runs" as dots instead, which says more where outcomes are all or nothing.
    """
    ends = []
    for key, chosen in _split(results, by):
        line, shade = lines[key], colour(lines[key].idea)
        xs, middles, lows, highs = _summary(chosen, x, y, middle)
        axis.plot(xs, middles, color=shade, linestyle=line.dashes, marker=line.marker)
        if spread == "band":
            axis.fill_between(xs, lows, highs, color=shade, alpha=0.15, linewidth=0)
        else:
            axis.plot(chosen.column(x), chosen.column(y), ".", color=shade, alpha=0.5)
        ends.append((line.name, shade, xs[-1], middles[-1]))
    return name_lines(axis, ends)


def _split(results: Results, by: str | tuple[str, ...]) -> Iterator[tuple[Any, Results]]:
    """The values of the column, or combinations of columns, and their records, in order."""
    columns = (by,) if isinstance(by, str) else by
    keys = zip(*(results.column(name).tolist() for name in columns), strict=True)
    for key in dict.fromkeys(keys):
        chosen = results.where(**dict(zip(columns, key, strict=True)))
        yield (key[0] if isinstance(by, str) else key), chosen


def dots(
    axis: Axes,
    results: Results,
    *,
    x: str,
    y: str,
    by: str | tuple[str, ...],
    lines: Mapping[Any, Line] = LINES,
    middle: str = "mean",
) -> Axes:
    """A cross at each middle, coloured as in `curves`: a live run upon a stored one."""
    for key, chosen in _split(results, by):
        xs, middles, _, _ = _summary(chosen, x, y, middle)
        axis.plot(xs, middles, "x", color=colour(lines[key].idea), markersize=8, zorder=3)
    return axis


def measured(
    axis: Axes, results: Results, *, x: str, y: str, line: Line, named: bool = True
) -> Axes:
    """One named line through single measurements that bring their bounds as `low` and `high`.

    With `named=False` the name waits for a legend, as where lines end in the same place.
    """
    rows = sorted(results.records(), key=lambda row: row[x])
    xs, middles, lows, highs = ([row[name] for row in rows] for name in (x, y, "low", "high"))
    shade = colour(line.idea)
    label = None if named else line.name
    axis.plot(xs, middles, color=shade, linestyle=line.dashes, marker=line.marker, label=label)
    axis.fill_between(xs, lows, highs, color=shade, alpha=0.15, linewidth=0)
    return name_lines(axis, [(line.name, shade, xs[-1], middles[-1])]) if named else axis


def heat_map(
    axis: Axes,
    shares: Sequence | np.ndarray,
    *,
    across: Sequence[str] | None = None,
    down: Sequence[str] | None = None,
    idea: str = "attention",
    numbers: bool = False,
) -> Axes:
    """A matrix of shares as a field of squares, the fuller the larger; `across` names its columns.

    Each square is the idea's colour, more or less opaque, so that it follows the page into the
    dark. With `numbers` each share is written in its square, as a percentage.

    Raises:
        ValueError: for shares that are no matrix of numbers from 0 to 1, or names that do not fit.
    """
    shares = np.asarray(shares, dtype=float)
    if shares.ndim != 2 or shares.min() < -1e-6 or shares.max() > 1 + 1e-6:
        raise ValueError(
            f"shares: got shape {shares.shape}; expected a matrix of numbers from 0 to 1"
        )
    rows, columns = shares.shape
    for name, labels, size in (("across", across, columns), ("down", down, rows)):
        if labels is not None and len(labels) != size:
            raise ValueError(f"{name}: got {len(labels)} names; expected {size}")
    seen = [
        (row, column) for row, column in np.ndindex(rows, columns) if shares[row, column] > 0.004
    ]
    squares = [Rectangle((column - 0.47, row - 0.47), 0.94, 0.94) for row, column in seen]
    shades = [to_rgba(colour(idea), min(1.0, shares[place])) for place in seen]
    axis.add_collection(PatchCollection(squares, facecolors=shades, edgecolors="none"))
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
    axis.grid(False)
    axis.set_xticks(range(columns) if across is not None else [], across)
    axis.set_yticks(range(rows) if down is not None else [], down)
    axis.tick_params(axis="x", labelrotation=90)
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    if numbers:
        for row, column in np.ndindex(rows, columns):
            share = shares[row, column]
            shade = colour("paper" if share > 0.6 else "ink")
            axis.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=shade)
    return axis


def borders(
    axis: Axes,
    probabilities: Sequence | np.ndarray,
    square: tuple[tuple[float, float], tuple[float, float]],
    *,
    sure: float = 0.9,
) -> Axes:
    """The borders between classes in a square of the plane, and where a model is sure of one.

    `probabilities` has a row for each point of a square grid, row by row from the top left, and a
    column for each class. Where the largest is at least `sure`, the plane is shaded; lines part
    what is named differently. The `square` goes from where to where across, and up.

    Raises:
        ValueError: for rows that are no square grid.
    """
    chances = np.asarray(probabilities, dtype=float)
    side = math.isqrt(len(chances))
    if chances.ndim != 2 or side**2 != len(chances) or side < 2:
        raise ValueError(f"probabilities: got shape {chances.shape}; expected a row for each point")
    (left, right), (low, high) = square
    x, y = np.linspace(left, right, side), np.linspace(high, low, side)
    fields = chances.T.reshape(-1, side, side)
    top = fields.max(axis=0)
    axis.contourf(x, y, top, levels=[sure, 1.01], colors=[colour("memory")], alpha=0.25)
    for number in range(len(fields)):
        others = np.delete(fields, number, axis=0).max(axis=0)
        ahead = fields[number] - others
        if ahead.min() < 0 < ahead.max():
            axis.contour(x, y, ahead, levels=[0], colors=[colour("ink")], linewidths=0.9)
    axis.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    axis.grid(False)
    axis.set_xticks([])
    axis.set_yticks([])
    return axis


LOWER, HIGHER = "recurrence", "attention"
"""The ideas whose colours say that something is lower or higher, and that it was seen to be."""


def effect_map(
    axis: Axes,
    effects: Sequence | np.ndarray,
    seen: Sequence | np.ndarray,
    *,
    across: Sequence[str],
    down: Sequence[str],
    digits: int = 1,
) -> Axes:
    """A field of differences, each a number with its sign; coloured where an effect was `seen`.

    One colour is for lower and one for higher; where none was seen the square is empty and its
    number faint.

    Raises:
        ValueError: for what is no matrix, and `seen` or names that do not fit.
    """
    effects, seen = np.asarray(effects, dtype=float), np.asarray(seen, dtype=bool)
    if effects.ndim != 2:
        raise ValueError(f"effects: got shape {effects.shape}; expected a matrix")
    if seen.shape != effects.shape:
        raise ValueError(f"seen: got shape {seen.shape}; expected {effects.shape}, as of effects")
    for name, labels, size in (("across", across, 1), ("down", down, 0)):
        if len(labels) != effects.shape[size]:
            got, expected = len(labels), effects.shape[size]
            raise ValueError(f"{name}: got {got} names; expected {expected}")
    for row, column in np.ndindex(*effects.shape):
        here, clear = effects[row, column], seen[row, column]
        idea = (LOWER if here < 0 else HIGHER) if clear else "grid"
        place = (column - 0.47, row - 0.47)
        look = {"facecolor": colour(idea) if clear else "none", "edgecolor": colour(idea)}
        axis.add_patch(Rectangle(place, 0.94, 0.94, linewidth=0.8, **look))
        here = round(here, digits)
        said = f"{here:+.{digits}f}" if here else f"{0:.{digits}f}"  # and not -0.0
        said = said.replace("-", "\N{MINUS SIGN}")
        shade = colour("paper" if clear else "muted")
        axis.text(column, row, said, ha="center", va="center", fontsize=7.5, color=shade)
    rows, columns = effects.shape
    axis.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axis.grid(False)
    axis.set_xticks(range(columns), across)
    axis.set_yticks(range(rows), down)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    return axis


def attention_grid(
    axis: Axes,
    maps: AttentionMaps,
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    idea: str = "attention",
) -> Axes:
    """A small map of weights for each head (to the right) of each layer (downwards).

    One image of the idea's colour, more or less opaque. A single head has room for its tokens'
    names: `heat_map(axis, maps.weights[layer, head], across=maps.tokens, down=maps.tokens)`.

    Raises:
        ValueError: for a layer or a head that the maps do not have, and for none of them.
    """
    chosen = []
    for name, numbers, many in zip(
        ("layers", "heads"), (layers, heads), maps.weights.shape[:2], strict=True
    ):
        numbers = list(range(many) if numbers is None else numbers)
        if not numbers or not set(numbers) <= set(range(many)):
            raise ValueError(f"{name}: got {numbers}; expected numbers from 0 to {many - 1}")
        chosen.append(numbers)
    rows, columns = chosen
    tokens = maps.weights.shape[-1]
    gap = max(1, tokens // 8)
    step = tokens + gap
    image = np.empty((step * len(rows) - gap, step * len(columns) - gap, 4))
    image[:] = to_rgba(colour(idea), 0.0)
    for (row, layer), (column, head) in product(enumerate(rows), enumerate(columns)):
        square = image[row * step :, column * step :][:tokens, :tokens]
        square[..., 3] = np.clip(maps.weights[layer, head].numpy(), 0, 1)
    axis.imshow(image, interpolation="nearest")
    for row, column in product(range(len(rows)), range(len(columns))):
        corner = (column * step - 0.5, row * step - 0.5)
        frame = Rectangle(corner, tokens, tokens, fill=False, edgecolor=colour("grid"))
        axis.add_patch(frame)
    middles = step * np.arange(max(len(rows), len(columns))) + (tokens - 1) / 2
    axis.set_xticks(middles[: len(columns)], columns)
    axis.set_yticks(middles[: len(rows)], rows)
    axis.set(xlabel="head", ylabel="layer")
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.tick_params(length=0)
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return axis


def images(
    axis: Axes,
    pictures: Sequence | np.ndarray,
    *,
    across: int = 5,
    names: Sequence[str] | None = None,
    size: int | None = None,
    shares: Sequence | np.ndarray | None = None,
    idea: str = "attention",
) -> Axes:
    """Pictures in rows of `across`, in ink on white paper, with a name below each.

    Brightness from 0 to 1 is how much ink there is. Pixels keep their colour where a page is dark,
    so the paper is drawn as well. With `size`, the cuts into patches of
    size x size pixels are drawn; `shares` then colours each patch, the fuller the larger its share,
    and the largest of a picture the fullest.

    Raises:
        ValueError: for what is no stack of pictures, names or shares that do not fit, a size that
            does not divide the pictures, and shares without a size.
    """
    pictures = np.asarray(pictures, dtype=float)
    if pictures.ndim != 3 or not pictures.size:
        raise ValueError(
            f"pictures: got shape {pictures.shape}; expected (pictures, rows, columns)"
        )
    many, height, width = pictures.shape
    if across < 1:
        raise ValueError(f"across={across}: expected at least 1")
    if names is not None and len(names) != many:
        raise ValueError(f"names: got {len(names)}; expected {many}, one for each picture")
    if size is not None and (size < 1 or height % size or width % size):
        raise ValueError(f"size={size}: expected a divisor of the pictures' {height} x {width}")
    across, gap = min(across, many), max(1, width // 14)
    below = gap if names is None else max(gap, height // 4)
    corners = [divmod(place, across) for place in range(many)]
    corners = [(row * (height + below), column * (width + gap)) for row, column in corners]
    sheet = np.zeros((corners[-1][0] + height, across * (width + gap) - gap, 4))
    paper, ink = np.array(to_rgba(colour("paper"))), np.array(to_rgba(colour("ink")))
    for picture, (top, left) in zip(pictures, corners, strict=True):
        bright = np.clip(picture, 0, 1)[..., None]
        sheet[top : top + height, left : left + width] = (1 - bright) * paper + bright * ink
    axis.imshow(sheet, interpolation="nearest")
    if size is not None:
        _cut(axis, corners, (height, width), size)
    if shares is not None:
        _shade(axis, corners, np.asarray(shares, dtype=float), (height, width), size, idea)
    for name, (top, left) in zip(names or (), corners, strict=False):
        axis.text(left + width / 2 - 0.5, top + height, name, ha="center", va="top", fontsize=8)
    axis.set(xlim=(-1, sheet.shape[1]), ylim=(sheet.shape[0] + below - 0.5, -1))
    axis.axis("off")
    return axis


def _cut(axis: Axes, corners: list[tuple[int, int]], sides: tuple[int, int], size: int) -> None:
    """The squares of each picture."""
    squares = [
        Rectangle((left + x - 0.5, top + y - 0.5), size, size)
        for top, left in corners
        for y, x in product(range(0, sides[0], size), range(0, sides[1], size))
    ]
    shade = colour("muted")
    axis.add_collection(
        PatchCollection(squares, facecolors="none", edgecolors=shade, linewidths=0.5)
    )


def _shade(
    axis: Axes,
    corners: list[tuple[int, int]],
    shares: np.ndarray,
    sides: tuple[int, int],
    size: int | None,
    idea: str,
) -> None:
    """The idea's colour over each patch, the fuller the larger its share of the picture's most."""
    if size is None:
        raise ValueError("size=None: expected the size of the patches that have the shares")
    down, right = sides[0] // size, sides[1] // size
    if shares.shape != (len(corners), down * right) or shares.min() < 0:
        raise ValueError(
            f"shares: got shape {shares.shape}; expected ({len(corners)}, {down * right}), "
            "no share below 0"
        )
    squares, shades = [], []
    for (top, left), row in zip(corners, shares, strict=True):
        most = row.max() or 1.0
        for patch, share in enumerate(row):
            y, x = divmod(patch, right)
            squares.append(Rectangle((left + x * size - 0.5, top + y * size - 0.5), size, size))
            shades.append(to_rgba(colour(idea), 0.75 * share / most))
    axis.add_collection(PatchCollection(squares, facecolors=shades, edgecolors="none"))


def _summary(results: Results, x: str, y: str, middle: str) -> list[np.ndarray]:
    """Columns x, middle, low and high, one entry for each x, in order."""
    xs, values = results.column(x), results.column(y)
    columns = []
    for place in sorted(set(xs.tolist())):
        runs = values[xs == place]
        if middle == "median":
            columns.append((place, np.median(runs), runs.min(), runs.max()))
            continue
        scaled = np.log(runs) if middle == "geometric" else runs
        bounds = (
            measure.interval(scaled)
            if len(runs) > 1
            else measure.Interval(float(scaled[0]), float(scaled[0]), float(scaled[0]))
        )
        values_of = np.array([bounds.value, bounds.low, bounds.high])
        columns.append((place, *(np.exp(values_of) if middle == "geometric" else values_of)))
    return list(np.array(columns, dtype=float).T)


def name_lines(axis: Axes, ends: list[tuple[str, str, float, float]]) -> Axes:
    """Write each line's name behind its last point, pushed apart where two would overlap.

    `ends` holds (name, colour, x, y) in data coordinates.
    """
    axis.figure.canvas.draw()  # settles the limits, from which distances on the page follow
    heights = [axis.transData.transform((x, y))[1] for _, _, x, y in ends]
    gap = 1.15 * plt.rcParams["font.size"] * axis.figure.dpi / 72
    places = apart(heights, gap=gap)
    right = max(axis.transData.transform((x, y))[0] for _, _, x, y in ends)
    for (name, shade, _, _), place in zip(ends, places, strict=True):
        across, up = axis.transAxes.inverted().transform((right, place))
        axis.text(across + 0.02, up, name, color=shade, transform=axis.transAxes, va="center")
    return axis


def apart(heights: list[float], *, gap: float) -> list[float]:
    """The heights, moved as little as their order allows so that neighbours stand `gap` apart.

    >>> apart([10.0, 10.0, 50.0], gap=4)
    [8.0, 12.0, 50.0]
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[int]] = []
    for i in order:
        groups.append([i])
        while (
            len(groups) > 1
            and _middle(groups[-1], heights) - _middle(groups[-2], heights)
            < gap * (len(groups[-1]) + len(groups[-2])) / 2
        ):
            last = groups.pop()
            groups[-1] += last
    placed = list(heights)
    for group in groups:
        for rank, i in enumerate(group):
            placed[i] = _middle(group, heights) + gap * (rank - (len(group) - 1) / 2)
    return placed


def _middle(group: list[int], heights: list[float]) -> float:
    return sum(heights[i] for i in group) / len(group)
