"""The bill of a model, by part: parameters, operations, memory, least time, energy, money."""

from dataclasses import asdict, fields, replace
from typing import Any

import traitlets

from payattention import trained
from payattention.cost import energy, memory
from payattention.cost.arguments import one_of
from payattention.cost.assumptions import UTILISATION
from payattention.cost.hardware import ACCELERATORS, Accelerator
from payattention.explorables.billing import (
    MOST,
    SIZES,
    TRAINED_TOKENS,
    Model,
    Question,
    bill,
    grouped,
    ruled,
    total,
)
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Part, Stack, stacked_bars
from payattention.explorables.quantities import (
    amount,
    counted,
    dollars_text,
    exact,
    percent,
    quantity,
)
from payattention.shape import BERT_BASE, GPT2_SMALL, GPT3, LLAMA_7B, VIT_BASE

MODELS = {
    "gpt2": Model("GPT-2 small", "writes", GPT2_SMALL),
    "gpt3": Model("GPT-3", "writes", GPT3),
    "llama": Model("Llama, 7B", "writes", LLAMA_7B),
    "bert": Model("BERT base", "reads", BERT_BASE),
    "vit": Model("ViT-B/16", "sees", VIT_BASE, d_input=3 * 16**2),
    "our_gpt": Model("the book’s GPT", "writes", trained.GPT_SHAPE),
    "our_vit": Model("the book’s ViT", "sees", trained.VIT_SHAPE, d_input=trained.VIT_PATCH**2),
}

SMALL = ("our_gpt", "gpt2", "llama", "gpt3")
"""Models of the small form, by size."""
DRAWN = {
    "feed-forward": ("feed_forward", 1),
    "projections": ("attention", 0.3),
    "input and output": ("muted", 1),
    "arrows": ("attention", 1),
    "weights": ("memory", 1),
    "cache": ("attention", 1),
    "gradients": ("memory", 0.6),
    "optimiser": ("memory", 0.35),
    "activations": ("memory", 0.12),
    "scores": ("attention", 1),
    "computing": ("time", 1),
    "fetching": ("memory", 1),
}
"""Idea and ink of every part."""
ENDS_NAMES = {"writes": "vocabulary", "reads": "pooler", "sees": "patches and classes"}


class Bill(Explorable):
    """Choose a model or a shape, a length and a machine, and read the bill.

    `model` is a name in `MODELS`; the sizes are its own where none are given, `tokens` its own
    longest text. `accelerator` is a name in `ACCELERATORS`; the others are those of `Question`.
    On a page the address holds what was chosen. `small` shows two sliders and one bar, of the
    models in `SMALL` alone. `texts` replaces sentences of the figure.

    Raises:
        ValueError: for a value that is out of bounds, sizes that do not divide each other, and for
            what `Question` refuses.
    """

    name = "bill"
    small = traitlets.Bool(False).tag(sync=True)
    model = traitlets.Unicode("gpt2").tag(sync=True)
    layers = traitlets.Int().tag(sync=True)
    d_model = traitlets.Int().tag(sync=True)
    heads = traitlets.Int().tag(sync=True)
    kv_heads = traitlets.Int().tag(sync=True)
    d_ff = traitlets.Int().tag(sync=True)
    vocab = traitlets.Int().tag(sync=True)
    tokens = traitlets.Int().tag(sync=True)
    batch = traitlets.Int(1).tag(sync=True)
    dtype = traitlets.Unicode("bfloat16").tag(sync=True)
    accelerator = traitlets.Unicode("H100").tag(sync=True)
    work = traitlets.Unicode("use").tag(sync=True)
    utilisation = traitlets.Float(UTILISATION.value).tag(sync=True)
    trained_tokens = traitlets.Int(TRAINED_TOKENS).tag(sync=True)
    stored_scores = traitlets.Bool(False).tag(sync=True)
    checkpointing = traitlets.Bool(False).tag(sync=True)
    models = traitlets.Dict().tag(sync=True)
    accelerators = traitlets.Dict().tag(sync=True)
    bits = traitlets.Dict().tag(sync=True)
    most = traitlets.Dict().tag(sync=True)
    place = traitlets.Dict().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, model: str = "gpt2", **state: Any):
        shape = one_of("model", model, MODELS).shape
        if state.get("small") and model not in SMALL:
            raise ValueError(f"model={model!r}: expected one of {', '.join(SMALL)} when small")
        for name in SIZES:
            state.setdefault(name, getattr(shape, name))
        state.setdefault("tokens", shape.context)
        small = state.get("small")
        state.setdefault("title", "What does it cost to read?" if small else "The bill")
        super().__init__(
            model=model,
            models={name: asdict(MODELS[name]) for name in (SMALL if small else MODELS)},
            accelerators={name: _as_state(one) for name, one in ACCELERATORS.items()},
            bits=memory.BITS,
            most=MOST,
            place=asdict(energy.DataCentre()),
            **state,
        )

    @traitlets.validate(
        *SIZES, "model", "tokens", "batch", "dtype", "accelerator", "work", "utilisation",
        "trained_tokens",
    )  # fmt: skip
    def _can_be_billed(self, proposal):
        self.question(**{proposal["trait"].name: proposal["value"]})
        return proposal["value"]

    def question(self, **changed: Any) -> Question:
        """What is billed, with some values changed."""
        names = ("tokens", "batch", "dtype", "work", "utilisation", "trained_tokens")
        names += ("stored_scores", "checkpointing", "model", "accelerator", *SIZES)
        now = {name: getattr(self, name) for name in names} | changed
        model = one_of("model", now.pop("model"), MODELS)
        on = one_of("accelerator", now.pop("accelerator"), ACCELERATORS)
        shape = replace(model.shape, **{name: now.pop(name) for name in SIZES})
        return Question(model=replace(model, shape=shape), accelerator=on, **now)

    def bill(self) -> dict[str, dict[str, float]]:
        """Every line of the bill, see `bill`."""
        return bill(self.question())

    def data(self) -> list[dict]:
        """Records of line, part and value of the whole bill."""
        return [
            {"line": line, "part": part, "value": exact(value)}
            for line, parts in self.bill().items()
            for part, value in parts.items()
        ]

    def findings(self) -> list[str]:
        """What is paid, line by line, in words."""
        lines = self.bill()
        if self.small:
            return [self._of_reading(lines), self._from_where(lines)]
        said = [
            f"{self.models[self.model]['name']} has {amount(total(lines['parameters']))} "
            f"parameters. {self._of_reading(lines)}",
            self._from_where(lines),
        ]
        held = ", ".join(
            f"{part} {quantity(size, 'bytes')}" for part, size in lines["held_bytes"].items()
        )
        return [*said, f"It holds in {self.dtype}: {held}.", *self._of_time(lines)]

    def _of_reading(self, lines: dict) -> str:
        training = self.work == "train"
        what = "step_executed_flops" if training else "reading_executed_flops"
        flops = grouped(lines[what])
        arrows = percent(flops["arrows"] / total(flops))
        texts = counted(self.batch, "image" if MODELS[self.model].does == "sees" else "text")
        doing = "A training step on" if training else "Reading"
        return (
            f"{doing} {texts} of {counted(self.tokens, 'token')} takes {amount(total(flops))} "
            f"operations, {arrows} of them for the arrows."
        )

    def _from_where(self, lines: dict) -> str:
        return (
            f"From {counted(round(lines['crossover_tokens']['full']), 'token')} on, the arrows "
            "take more than all maps of a block."
        )

    def _of_time(self, lines: dict) -> list[str]:
        on = self.question().accelerator
        said = []
        for what, name in STEPS.items():
            if f"{what}_computing_seconds" in lines:
                least, fetching = ruled(lines, what)
                share = {0: "none", 1: "all"}.get(fetching / least, percent(fetching / least))
                said.append(
                    f"On {on.name} {name} takes {quantity(least, 'seconds')} at least, "
                    f"{share} of it for fetching."
                )
        for what, name in SPENT.items():
            if what in lines:
                spent = lines[what]
                money = f" and ${dollars_text(spent['dollars'])}" if "dollars" in spent else ""
                kilowatt_hours = energy.kilowatt_hours(spent["joules"])
                things = "images" if MODELS[self.model].does == "sees" else "tokens"
                named = name.format(things=things)
                limit = "its peak" if what == "training_spent" else "that speed"
                said.append(
                    f"At {percent(self.utilisation)} of {limit}, {named} takes "
                    f"{quantity(spent['seconds'], 'seconds')} of one such accelerator, "
                    f"{quantity(kilowatt_hours, 'kilowatt_hours')}{money}."
                )
        return said

    def picture(self) -> str:
        """Stacked bars: operations, memory, least time, by part."""
        lines = self.bill()
        stacks = [
            _of_flops(title, lines[line], MODELS[self.model].does)
            for line, title in FLOPS.items()
            if line in lines and not (self.small and line != "reading_executed_flops")
        ]
        if not self.small:
            stacks.append(_of_memory(lines["held_bytes"]))
            stacks += [
                _of_seconds(name, lines, what)
                for what, name in STEPS.items()
                if f"{what}_computing_seconds" in lines
            ]
        return stacked_bars(stacks, alt=self.alt or " ".join(self.findings()))


FLOPS = {
    "reading_executed_flops": "reading, executed",
    "reading_needed_flops": "reading, needed",
    "writing_flops": "writing one token",
    "step_executed_flops": "training step, executed",
    "step_needed_flops": "training step, needed",
}
STEPS = {
    "reading": "reading",
    "writing": "writing a token behind each",
    "step": "a training step",
}
SPENT = {
    "million_read_spent": "reading a million {things}",
    "million_written_spent": "writing a million tokens",
    "training_spent": "the whole training",
}


def _of_flops(title: str, flops: dict[str, float], does: str) -> Stack:
    parts = [
        Part(
            ENDS_NAMES[does] if name == "input and output" else name,
            value,
            percent(value / total(flops)),
            *DRAWN[name],
        )
        for name, value in grouped(flops).items()
        if value
    ]
    return Stack(title, f"{amount(total(flops))} operations", parts)


def _of_memory(held: dict[str, int]) -> Stack:
    parts = [Part(name, size, quantity(size, "bytes"), *DRAWN[name]) for name, size in held.items()]
    return Stack("memory", quantity(total(held), "bytes"), parts)


def _of_seconds(name: str, lines: dict, what: str) -> Stack:
    least, fetching = ruled(lines, what)
    by_rule = {"computing": least - fetching, "fetching": fetching}
    parts = [
        Part(rule, size, quantity(size, "seconds"), *DRAWN[rule])
        for rule, size in by_rule.items()
        if size
    ]
    return Stack(f"{name}, least time", quantity(least, "seconds"), parts)


def _as_state(on: Accelerator) -> dict:
    state = {field.name: getattr(on, field.name) for field in fields(on)}
    return state | {"flops_per_second": dict(on.flops_per_second)}
