"""The arithmetic of the bill: one question, every line of its answer.

Puts the formulas of `payattention.cost` together; `cost.mjs` has the same for the page. Nothing is
measured here.
"""

from dataclasses import dataclass, replace

from payattention.cost import energy, memory, operations, parameters, roofline
from payattention.cost.arguments import one_of, share, whole
from payattention.cost.assumptions import UTILISATION
from payattention.cost.hardware import Accelerator
from payattention.cost.roofline import Work
from payattention.shape import TransformerShape

SIZES = ("layers", "d_model", "heads", "kv_heads", "d_ff", "vocab")
MOST = {
    "layers": 1000,
    "d_model": 100_000,
    "heads": 1000,
    "kv_heads": 1000,
    "d_ff": 1_000_000,
    "vocab": 10_000_000,
    "tokens": 2**20,
    "batch": 100_000,
    "trained_tokens": 10**15,
}
"""Largest values that a reader can ask for, so that every number stays readable."""
TRAINED_TOKENS = 300_000_000_000
"""Of GPT-3. Source: Brown et al. 2020, table 2.1 (arXiv:2005.14165)."""
WORKS = {"use": "read, and write", "train": "train"}


@dataclass(frozen=True)
class Model:
    """A model by name: what it does ("writes", "reads" a text, "sees" an image), and its shape.

    One that sees reads patches of `d_input` numbers.
    """

    name: str
    does: str
    shape: TransformerShape
    d_input: int | None = None


@dataclass(frozen=True)
class Question:
    """What is billed: a model, what is done with it, and on what.

    `work` is "use" (read `batch` texts of so many `tokens`, then write a token behind each) or
    "train" (one step on such a batch, and `trained_tokens` in all). `utilisation` is the share of
    the accelerator's limit that a program reaches. In training, `stored_scores` and
    `checkpointing` say what is kept for the backward pass, see `memory.activations`.

    Raises:
        TypeError, ValueError: for a value that is out of bounds, and for a bill that the library
            does not have: training a model that does not write, or in whole numbers, and a dtype
            in which the accelerator has no rate.
    """

    model: Model
    tokens: int
    accelerator: Accelerator
    batch: int = 1
    dtype: str = "bfloat16"
    work: str = "use"
    utilisation: float = UTILISATION.value
    trained_tokens: int = TRAINED_TOKENS
    stored_scores: bool = False
    checkpointing: bool = False

    def __post_init__(self) -> None:
        sees = self.model.does == "sees"
        for name in ("tokens", "batch", "trained_tokens"):
            whole(name, getattr(self, name), least=2 if sees and name == "tokens" else 1)
            _at_most(name, getattr(self, name))
        for name in SIZES:
            _at_most(name, getattr(self.model.shape, name))
        one_of("work", self.work, WORKS)
        one_of("dtype", self.dtype, memory.BITS)
        share("utilisation", self.utilisation)
        if self.work == "train" and self.model.does != "writes":
            raise ValueError("work='train': expected 'use' for a model that does not write")
        if self.work == "train" and self.dtype.startswith("int"):
            raise ValueError(f"dtype={self.dtype!r}: expected a float to train in")
        self.accelerator.peak(self.dtype)


def _at_most(name: str, value: int) -> None:
    if value > MOST[name]:
        raise ValueError(f"{name}={value:,}: expected at most {MOST[name]:,}")


def bill(question: Question) -> dict[str, dict[str, float]]:
    """Every line of the bill: sections named with their unit, each by part.

    >>> from payattention.cost.hardware import H100
    >>> from payattention.shape import GPT2_SMALL
    >>> question = Question(Model("GPT-2 small", "writes", GPT2_SMALL), 1024, H100)
    >>> sum(bill(question)["reading_executed_flops"].values())
    291648307200
    """
    lines = {"parameters": _parameters(question), "crossover_tokens": _crossover(question)}
    return lines | (_use(question) if question.work == "use" else _train(question))


def _use(question: Question) -> dict[str, dict[str, float]]:
    model, tokens, batch, dtype = _asked(question)
    shape, on = model.shape, question.accelerator
    executed = _reading(model, tokens, needed=False)
    needed = _reading(model, tokens, needed=True)
    held = {"weights": memory.bytes_of(sum(_parameters(question).values()), dtype)}
    reading = _reading_work(question)
    many = 1e6 / (batch if model.does == "sees" else batch * tokens)  # images, or tokens
    lines = {
        "reading_executed_flops": _times(batch, executed),
        "reading_needed_flops": _times(batch, needed),
        "held_bytes": held,
        **_times_of("reading", reading, on=on, dtype=dtype),
        "million_read_spent": _spent(_least(reading, on, dtype) / question.utilisation * many, on),
    }
    if model.does != "writes":
        return lines
    held["cache"] = memory.kv_cache_bytes(shape, tokens=tokens, batch=batch, dtype=dtype)
    writing = roofline.decode(shape, past=tokens, batch=batch, dtype=dtype)
    million = _least(writing, on, dtype) / question.utilisation * (1e6 / batch)
    return lines | {
        "writing_flops": _times(batch, operations.decode(shape, past=tokens)),
        **_times_of("writing", writing, on=on, dtype=dtype),
        "million_written_spent": _spent(million, on),
    }


def _train(question: Question) -> dict[str, dict[str, float]]:
    model, tokens, batch, dtype = _asked(question)
    shape, on, again = model.shape, question.accelerator, question.checkpointing
    pairs = operations.needed_pairs(tokens)
    executed = operations.training(shape, tokens=tokens, checkpointing=again)
    needed = operations.training(shape, tokens=tokens, pairs=pairs, checkpointing=again)
    kept = memory.activations(
        shape,
        tokens=tokens,
        batch=batch,
        stored_scores=question.stored_scores,
        checkpointing=again,
        dtype=dtype,
    )
    scores = kept.pop("scores")
    work = roofline.training(shape, tokens=tokens, batch=batch, dtype=dtype)
    once = operations.training(shape, tokens=tokens, pairs=pairs)
    work["blocks once more"] = Work(batch * (sum(needed.values()) - sum(once.values())), 0)
    a_token = sum(needed.values()) / tokens
    rate = on.peak(dtype) * question.utilisation
    return {
        "step_executed_flops": _times(batch, executed),
        "step_needed_flops": _times(batch, needed),
        "held_bytes": memory.training(sum(_parameters(question).values()), dtype=dtype)
        | {"activations": sum(kept.values()), "scores": scores},
        **_times_of("step", work, on=on, dtype=dtype),
        "training_spent": _spent(a_token * question.trained_tokens / rate, on),
    }


def _asked(question: Question) -> tuple[Model, int, int, str]:
    return question.model, question.tokens, question.batch, question.dtype


def _sized(question: Question) -> TransformerShape:
    """The shape; a larger image has more places, and a text that is too long has none."""
    shape = question.model.shape
    return replace(shape, context=question.tokens) if question.model.does == "sees" else shape


def _parameters(question: Question) -> dict[str, int]:
    model = question.model
    if model.does == "sees":
        return parameters.classifier(_sized(question), d_input=model.d_input)
    return {"writes": parameters.decoder, "reads": parameters.encoder}[model.does](model.shape)


def _crossover(question: Question) -> dict[str, float]:
    masks = ("full", "causal") if question.model.does == "writes" else ("full",)
    shape = question.model.shape
    return {mask: operations.crossover_tokens(shape, mask=mask) for mask in masks}


def _reading(model: Model, tokens: int, *, needed: bool) -> dict[str, int]:
    """Operations to read one text or image; who looks both ways needs what is executed."""
    if model.does == "reads":
        return operations.encode(model.shape, tokens=tokens)
    if model.does == "sees":
        return operations.classify(replace(model.shape, context=tokens), d_input=model.d_input)
    pairs = operations.needed_pairs(tokens) if needed else None
    return operations.forward(model.shape, tokens=tokens, pairs=pairs)


ENDS = ("logits", "pooler", "input", "classes", "embedding map")
"""Maps in front of the blocks and behind them."""


def grouped(flops: dict[str, float]) -> dict[str, float]:
    """Operations by the parts that are drawn; the arrows are scores and mixing, the square.

    >>> from payattention.shape import GPT2_SMALL
    >>> grouped(operations.decode(GPT2_SMALL, past=0))["arrows"]
    36864
    """
    groups = {
        "feed-forward": ("mlp",),
        "projections": ("queries", "keys and values", "output"),
        "input and output": ENDS,
        "arrows": ("scores", "mixing"),
    }
    return {name: sum(flops.get(p, 0) for p in parts) for name, parts in groups.items()}


def _reading_work(question: Question) -> dict[str, Work]:
    """Work to read: every weight is fetched once, keys and values are written once."""
    model, tokens, batch, dtype = _asked(question)
    flops = grouped(_reading(model, tokens, needed=True))
    counts, block = _parameters(question), parameters.block(model.shape)
    ends = {
        "writes": model.shape.vocab * model.shape.d_model,
        "reads": counts.get("pooler", 0),
        "sees": counts.get("input", 0) + counts.get("output", 0),
    }
    fetched = {
        "feed-forward": model.shape.layers * block["feed-forward"],
        "projections": model.shape.layers * block["attention"],
        "input and output": ends[model.does],
    }
    moved = {part: memory.bytes_of(count, dtype) for part, count in fetched.items()}
    kept = model.does == "writes"
    moved["arrows"] = (
        memory.kv_cache_bytes(model.shape, tokens=tokens, batch=batch, dtype=dtype) if kept else 0
    )
    return {part: Work(batch * flops[part], moved[part]) for part in moved}


def _times(batch: int, flops: dict[str, int]) -> dict[str, int]:
    return {part: batch * count for part, count in flops.items()}


def _times_of(what: str, work: dict[str, Work], *, on: Accelerator, dtype: str) -> dict[str, dict]:
    computing = {part: piece.flops / on.peak(dtype) for part, piece in work.items()}
    fetching = {part: piece.bytes / on.bytes_per_second for part, piece in work.items()}
    return {f"{what}_computing_seconds": computing, f"{what}_fetching_seconds": fetching}


def _least(work: dict[str, Work], on: Accelerator, dtype: str) -> float:
    return sum(roofline.seconds(work, on=on, dtype=dtype).values())


def _spent(seconds: float, on: Accelerator) -> dict[str, float]:
    """What so long a time takes: electricity, carbon dioxide, water, and rent where it is known."""
    joules = energy.joules(seconds, watts=on.watts)
    spent = {
        "seconds": seconds,
        "joules": joules,
        "co2e_kilograms": energy.co2e_kilograms(joules),
        "water_litres": sum(energy.water_litres(joules).values()),
    }
    if on.dollars_per_hour is not None:
        spent["dollars"] = energy.rent_dollars(seconds, dollars_per_hour=on.dollars_per_hour)
    return spent


def ruled(lines: dict[str, dict[str, float]], what: str) -> tuple[float, float]:
    """Least seconds of all parts, and of those that fetch longer than they compute."""
    computing, fetching = lines[f"{what}_computing_seconds"], lines[f"{what}_fetching_seconds"]
    longer = {part: max(computing[part], fetching[part]) for part in computing}
    fetched = sum(longer[part] for part in longer if fetching[part] > computing[part])
    return sum(longer.values()), fetched


def total(parts: dict[str, float]) -> float:
    """The sum of all parts."""
    return sum(parts.values())
