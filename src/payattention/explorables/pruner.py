"""The book's GPT with weights left out: what it still writes, what it needs, what a disk holds.

The reader's browser prunes the weights that `writer` loads, by masks that are those of `pruning`,
and writes. What the page cannot know comes along: the norms of each map's inputs, in 16 bits,
measured on training text. Bits a character are measured elsewhere, and only drawn here.

Draws are those of one small generator in both languages, so that the same weights and the same
seed write the same text in Python and in a page. Source of the generator: T. Ettinger, mulberry32.
"""

import base64
import copy
import html
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Float, Int
from torch import Tensor

from payattention import data, generation, pruning, weights
from payattention.explorables import writer
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Axis, Bar, Dot, Line, bars, line_chart
from payattention.explorables.quantities import percent, quantity
from payattention.generation import Sampler
from payattention.records import Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

PROMPT = "HAMLET:\nTo be, or not to "  # from a play that is kept for testing
AMONG = {"magnitude": "all", "wanda": "row", "chance": "all"}
"""The scores by which weights are left out, and among which weights each compares."""
SHORT = {"magnitude": "magnitude", "wanda": "Wanda", "chance": "chance"}
NAMES = {how: f"by {name}" for how, name in SHORT.items()}
SAMPLED = (0.0, 0.5, 0.8, 0.95)
"""Shares left out of which a text is stored."""
CHARACTERS = 160  # that are written
MOST = 0.99  # that can be left out
HOTTEST = 2.0
SEEDS = 99
STRETCHES = 64  # of training text, on which the norms of inputs are measured
CHANCE_SEED = 0
NUMBER_BYTES, COLUMN_BYTES, ROW_BYTES = 2, 2, 4
CEILING = 10.0  # bits; what lies above leaves the chart
CHEAP_BITS = 0.1
COLUMNS = ("score", "sparsity", "bits")


# Draws


def draws(seed: int, many: int, *, start: int = 0) -> Float[np.ndarray, " many"]:
    """Uniform numbers in (0, 1), from the draw `start` on: what `uniforms` draws in a page.

    >>> draws(7, 3)[1:].tolist() == draws(7, 2, start=1).tolist()
    True
    """
    with np.errstate(over="ignore"):
        places = np.arange(start + 1, start + many + 1, dtype=np.uint32)
        state = np.uint32(seed) + places * np.uint32(0x6D2B79F5)
        t = (state ^ state >> 15) * (state | 1)
        t ^= t + (t ^ t >> 7) * (t | 61)
    return ((t ^ t >> 14) + 0.5) / 2**32


@dataclass(frozen=True)
class Picker(Sampler):
    """A sampler that draws as the page does: from the uniform numbers that it is given."""

    uniform: Iterator[float] = field(default_factory=lambda: iter(()))

    def draw(
        self, logits: Float[Tensor, "1 vocab"], generator: torch.Generator | None = None
    ) -> Int[Tensor, "1"]:
        """The first token at which the chances together are more than the drawn number."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        shares = self.probabilities(logits.double())[0]
        place = int((shares.cumsum(0) <= next(self.uniform)).sum())
        return torch.tensor([min(place, int(shares.nonzero().max()))])


def write(model: Decoder, prompt: str, *, characters: int, temperature: float, seed: int) -> str:
    """The prompt and so many more characters, as the page writes them."""
    uniform = iter(draws(seed, characters).tolist())
    new = generation.stream(
        model, data.encode(prompt)[None], sampler=Picker(temperature, uniform=uniform)
    )
    ids = torch.cat(list(islice(new, characters)))
    return prompt + data.decode(ids)


# Which weights go


def calibration(characters: int = data.CONTEXT) -> Int[Tensor, "batch tokens"]:
    """Stretches of the training plays, evenly spaced: what the norms are measured on."""
    ids = data.encode(data.shakespeare("train"))
    starts = torch.arange(STRETCHES) * ((len(ids) - characters) // STRETCHES)
    return ids[starts[:, None] + torch.arange(characters)]


def pack_norms(norms: dict[str, Float[Tensor, " _"]], shape: TransformerShape) -> str:
    """The norms in 16 bits in base 64, each as a share of its map's largest.

    Queries, keys and values read the same, so that their norms are kept once.
    """
    kept = []
    for layer in range(shape.layers):
        for part in ("attention.queries", "attention.output", "mlp.widen", "mlp.narrow"):
            one = norms[f"blocks.{layer}.{part}.weight"]
            kept.append((one / one.max()).half().cpu())
    return base64.b64encode(torch.cat(kept).numpy().astype("<f2").tobytes()).decode("ascii")


def unpack_norms(text: str, model: Decoder) -> dict[str, Float[Tensor, " _"]]:
    """The norms of such a text, by the name of each weight."""
    raw = np.frombuffer(base64.b64decode(text), dtype="<f2").astype(np.float32)
    numbers, norms, at = torch.from_numpy(raw), {}, 0
    for name, linear in pruning.prunable(model).items():
        if name.endswith(("keys.weight", "values.weight")):
            at -= linear.in_features  # what the queries read, they read too
        norms[name] = numbers[at : at + linear.in_features]
        at += linear.in_features
    return norms


def scores(model: Decoder, how: str, norms: dict[str, Float[Tensor, " _"]]) -> pruning.Scores:
    """How much each weight matters, as the page has it.

    By chance, the draws go through the maps in their order.
    """
    maps = pruning.prunable(model)
    if how == "wanda":
        return {name: linear.weight.detach().abs() * norms[name] for name, linear in maps.items()}
    if how == "magnitude":
        return pruning.magnitudes(model)
    sizes = [linear.weight.numel() for linear in maps.values()]
    drawn = torch.from_numpy(draws(CHANCE_SEED, sum(sizes))).split(sizes)
    return {
        name: one.view_as(linear.weight)
        for (name, linear), one in zip(maps.items(), drawn, strict=True)
    }


@dataclass(frozen=True)
class Left:
    """Weights of the blocks, how many of them stay, and bytes on a disk in three forms.

    `dense` keeps every weight in 16 bits; `bitmap` those that stay, and a bit for each place;
    `columns` those that stay, each with the number of its column in 16 bits, and in 32 where each
    row begins (CSR). Embeddings and norms, which are not pruned, are not counted, nor is a head.
    """

    many: int
    kept: int
    dense: int
    bitmap: int
    columns: int


def left(model: Decoder, how: str, sparsity: float) -> Left:
    """What stays when the share `sparsity` is left out by the score `how`."""
    sizes = [tuple(linear.weight.shape) for linear in pruning.prunable(model).values()]
    many = sum(rows * columns for rows, columns in sizes)
    if AMONG[how] == "all":
        kept = many - round(sparsity * many)
    else:
        kept = sum(rows * (columns - round(sparsity * columns)) for rows, columns in sizes)
    rows = sum(rows for rows, _ in sizes)
    return Left(
        many,
        kept,
        dense=NUMBER_BYTES * many,
        bitmap=NUMBER_BYTES * kept + math.ceil(many / 8),
        columns=(NUMBER_BYTES + COLUMN_BYTES) * kept + ROW_BYTES * rows,
    )


# The figure


class Pruner(Explorable):
    """Leave weights of the book's GPT out, and read what it then writes.

    `curve` holds measured bits a character: Results with the columns score ("magnitude", "wanda"
    or "chance"), sparsity (the share left out) and bits; runs of the same score and sparsity are
    averaged. Without it nothing of the kind is drawn. `model` is the book's GPT if none is given;
    another one can be loaded in a notebook, while a page shows what is stored of it. The figure
    opens with the share `sparsity` left out by `score`, and a text that begins with `prompt` and is
    drawn at `temperature` with `seed`. `texts` replaces sentences of the figure.

    Raises:
        ValueError: for a value that no control reaches, a prompt that is empty, too long or has a
            character that the model does not know, a model that the page cannot compute, and a
            curve without one of its columns or with another score.
    """

    name = "pruner"
    score = traitlets.Unicode("magnitude").tag(sync=True)
    sparsity = traitlets.Float(0.5).tag(sync=True)
    temperature = traitlets.Float(0.8).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    prompt = traitlets.Unicode(PROMPT).tag(sync=True)
    characters = traitlets.Int(CHARACTERS).tag(sync=True)
    vocabulary = traitlets.Unicode(data.VOCABULARY).tag(sync=True)
    sizes = traitlets.Dict().tag(sync=True)
    weights = traitlets.Dict().tag(sync=True)
    norms = traitlets.Unicode("").tag(sync=True)
    curve = traitlets.List(traitlets.Dict()).tag(sync=True)
    stored = traitlets.Dict().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, curve: Results | None = None, model: Decoder | None = None, **state: Any):
        self._content, asked = writer.packed(model)
        self._model = weights.unpack(self._content)  # with the page's own, rounded weights
        shape = self._model.shape
        ids = calibration(min(shape.context, data.CONTEXT))
        norms = pruning.input_norms(self._model, lambda model: model(ids))
        state.setdefault("title", "Prune the model, and read what it writes")
        super().__init__(
            sizes={name: getattr(shape, name) for name in ("layers", "d_model", "d_ff", "context")}
            | {"parameters": sum(p.numel() for p in self._model.parameters())},
            weights=asked,
            norms=pack_norms(norms, shape),
            curve=[] if curve is None else _records(curve),
            **state,
        )
        self.stored = self._asked() | {
            "samples": [[level, self.written(level)] for level in sorted({*SAMPLED, self.sparsity})]
        }
        self.on_msg(self._answer)

    @traitlets.validate("score", "sparsity", "temperature", "seed", "prompt")
    def _in_range(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "prompt":
            right, expected = 1 <= len(value) <= data.CONTEXT, f"1 to {data.CONTEXT} characters"
            data.encode(value)  # which names a character that the model does not know
        elif name == "score":
            right, expected = value in AMONG, f"one of {', '.join(AMONG)}"
        else:
            most = {"sparsity": MOST, "temperature": HOTTEST, "seed": SEEDS}[name]
            right, expected = 0 <= value <= most, f"0 to {most}"
        if not right:
            raise ValueError(f"{name}: got {value!r}; expected {expected}")
        return value

    def _answer(self, _, content: dict, buffers) -> None:
        """Send the weights, part by part, to a page that asks for them."""
        if content.get("kind") == "weights":
            writer.send_parts(self, self._content)

    def masks(self, sparsity: float, how: str | None = None) -> pruning.Masks:
        """The masks of the page, True where a weight stays."""
        how = how or self.score
        norms = unpack_norms(self.norms, self._model)
        return pruning.keep_largest(scores(self._model, how, norms), sparsity, among=AMONG[how])

    def written(self, sparsity: float) -> str:
        """What the model writes with that share left out."""
        model = copy.deepcopy(self._model)
        pruning.prune(model, self.masks(sparsity))
        return write(
            model,
            self.prompt,
            characters=self.characters,
            temperature=self.temperature,
            seed=self.seed,
        )

    def _asked(self) -> dict[str, Any]:
        """What a text depends on, but for the share left out."""
        return {name: getattr(self, name) for name in ("score", "prompt", "temperature", "seed")}

    def samples(self) -> dict[float, str]:
        """The stored texts, by the share left out."""
        return dict(self.stored["samples"])

    def measured(self, how: str) -> dict[float, float]:
        """Measured bits a character by the share left out."""
        return {row["sparsity"]: row["bits"] for row in self.curve if row["score"] == how}

    # What is said

    def sentence(self) -> str:
        """How many weights stay, and the bits that were measured there."""
        one = left(self._model, self.score, self.sparsity)
        if self.sparsity == 0:
            said = [f"Nothing is left out: all {one.many:,} weights of the blocks are there."]
        else:
            said = [
                f"With {percent(self.sparsity)} of the {one.many:,} weights of the blocks left out "
                f"{NAMES[self.score]}, {one.kept:,} stay."
            ]
        return " ".join([*said, *self._of_bits()])

    def _of_bits(self) -> list[str]:
        bits = self.measured(self.score)
        if not bits:
            return []
        near = min(bits, key=lambda level: (round(abs(level - self.sparsity), 6), level))
        where = "" if abs(near - self.sparsity) < 1e-6 else f"{percent(near)} left out, "
        beside = f", and {bits[0]:.2f} with all its weights" if near and 0 in bits else ""
        if where:
            return [
                f"At {where}the nearest level measured, the model needs {bits[near]:.2f} bits for "
                f"a character of validation text{beside}."
            ]
        return [
            f"The model needs {bits[near]:.2f} bits for a character of validation text{beside}."
        ]

    def findings(self) -> list[str]:
        """What stays and what it needs, where the texts part, and what a disk must hold."""
        samples, one = self.samples(), left(self._model, self.score, self.sparsity)
        said = [self.sentence()]
        stored = {name: self.stored[name] for name in self._asked()} == self._asked()
        if stored and self.sparsity and self.sparsity in samples:
            said.append(parting(self.prompt, samples[0], samples[self.sparsity]))
        said.append(
            f"On a disk {one.many:,} weights of 16 bits take {quantity(one.dense, 'bytes')}; those "
            f"that stay, with a bit for each place, {quantity(one.bitmap, 'bytes')}; those that "
            f"stay, each with the number of its column, {quantity(one.columns, 'bytes')}."
        )
        for how in AMONG:
            bits = self.measured(how)
            if not bits.keys() - {0}:
                continue
            least = bits[min(bits)]
            cheap = max(level for level in bits if bits[level] <= least + CHEAP_BITS)
            said.append(
                f"Left out {NAMES[how]}, "
                + (
                    f"{percent(cheap)} is the highest level measured that costs no more than "
                    f"{CHEAP_BITS:g} bits a character."
                    if cheap
                    else f"every level measured costs more than {CHEAP_BITS:g} bits a character."
                )
            )
        if self.curve:
            over = any(row["bits"] > CEILING for row in self.curve)
            said.append(
                f"Guessing, which gives all {len(data.VOCABULARY)} characters the same chance, "
                f"takes {math.log2(len(data.VOCABULARY)):.2f} bits a character."
                + f" What needs more than {CEILING:g} leaves the chart."
                * over
            )
        else:
            said.append("No measured bits a character are stored in this figure.")
        return said

    def data(self) -> list[dict]:
        """Records of each level: bits where they were measured, weights that stay, and bytes."""
        rows = []
        for how in AMONG:
            bits = self.measured(how)
            for level in sorted(bits or SAMPLED):
                one = left(self._model, how, level)
                rows.append(
                    {
                        "score": how,
                        "sparsity": f"{level:g}",
                        "bits": f"{bits[level]:.4f}" if level in bits else "",
                        "weights": one.kept,
                        "dense_bytes": one.dense,
                        "bitmap_bytes": one.bitmap,
                        "columns_bytes": one.columns,
                    }
                )
        return rows

    def picture(self) -> str:
        """Bits against the share left out, the chosen one marked; without a curve, bytes."""
        alt = self.alt or self.sentence()
        if not self.curve:
            return bars(self._bars(), alt=alt)
        lines = []
        for how in sorted(AMONG, key=lambda how: how == self.score):
            points = clipped(sorted(self.measured(how).items()))
            if points:
                # named where it has risen by a bit and a half, where no other is
                named = next((p for p in points if p[1] > points[0][1] + 1.5), points[-1])
                idea = "memory" if how == self.score else "muted"
                lower = how == "wanda"
                lines.append(Line(points, idea, SHORT[how], named, dashed=lower, before=not lower))
        dots = [
            Dot((level, bits), "memory")
            for level, bits in self.measured(self.score).items()
            if abs(level - self.sparsity) < 1e-6 and bits <= CEILING
        ]
        bits = [row["bits"] for row in self.curve]
        guessing = math.log2(len(data.VOCABULARY))
        ends = [(0, guessing), (1, guessing)]
        lines.insert(0, Line(ends, "muted", "guessing", (0, guessing + 0.5)))
        top, floor = math.ceil(min(CEILING, max(*bits, guessing) + 0.01)), math.floor(min(bits))
        return line_chart(
            lines,
            x=Axis("weights left out", (0, 1), (0, 0.25, 0.5, 0.75, 1), lambda t: f"{100 * t:g} %"),
            y=Axis("bits a character", (floor, top), range(floor + floor % 2, top + 1, 2)),
            dots=dots,
            alt=alt,
        )

    def _bars(self) -> list[Bar]:
        one = left(self._model, self.score, self.sparsity)
        forms = {
            "every weight, 16 bits": one.dense,
            "those that stay, and a bit a place": one.bitmap,
            "those that stay, and their columns": one.columns,
        }
        return [Bar(name, size, quantity(size, "bytes"), "memory") for name, size in forms.items()]

    def examples(self) -> str:
        """The stored texts as HTML."""
        how = NAMES[self.stored["score"]]
        return "\n".join(
            f'<p class="explorable-label">With {percent(level)} left out {how}:</p>\n'
            f'<pre class="explorable-sample">{html.escape(text)}</pre>'
            for level, text in self.samples().items()
        )


def parting(prompt: str, whole: str, pruned: str) -> str:
    """How far a text goes with that of the whole model.

    >>> parting("To ", "To be", "To bx")
    'It writes what the whole model writes for 1 character, and then something else.'
    """
    same = agreeing(whole, pruned) - len(prompt)
    if len(whole) == len(pruned) == same + len(prompt):
        return f"It writes what the whole model writes, all {same} characters."
    if not same:
        return "From the first character on, it writes something else than the whole model."
    return (
        f"It writes what the whole model writes for {same} character{'s' * (same > 1)}, and then "
        "something else."
    )


def agreeing(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def clipped(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points up to where they leave the chart, and there the place where they do."""
    kept = []
    for x, y in points:
        if y > CEILING:
            if kept:
                before, height = kept[-1]
                x = before + (x - before) * (CEILING - height) / (y - height)
                kept.append((x, CEILING))
            break
        kept.append((x, y))
    return kept


def _records(curve: Results) -> list[dict]:
    missing = [name for name in COLUMNS if name not in curve.columns]
    if missing:
        raise ValueError(
            f"curve: got columns {[*curve.columns]}; expected {', '.join(missing)} too"
        )
    rows = curve.summary("bits", by=("score", "sparsity"))
    for row in rows:
        if row["score"] not in AMONG:
            raise ValueError(
                f"curve: got the score {row['score']!r}; expected {', '.join(AMONG)} alone"
            )
    return [
        {"score": row["score"], "sparsity": row["sparsity"], "bits": round(row["mean"], 4)}
        for row in rows
    ]
