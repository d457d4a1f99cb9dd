"""One training loop, for every model of the book.

``train`` takes a model, a function that draws a batch, and a function that gives its
loss. It returns records, and neither prints, plots nor, unless asked to, writes.

Step k always sees the same batch and the same dropout: both are drawn from the seed
and k, not from what went before. So a run that is broken off and resumed from its
checkpoint ends bit for bit like one that was not, on the same machine with the same
number of threads.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from payattention import checkpoint as checkpoints
from payattention import progress
from payattention.checkpoint import Checkpoint
from payattention.records import Record, plain


class DivergedError(RuntimeError):
    """The loss was not finite."""


@dataclass(frozen=True)
class Recipe:
    """How to train: AdamW, with a warm-up and a decay of the learning rate.

    The rate rises linearly over ``warmup_steps``, then falls to zero along half a
    cosine, or stays. Weights with two axes or more decay, biases and gains do not.
    Gradients are scaled down to ``clip_norm`` when they are larger; None leaves them.
    A record is made every ``record_every`` steps, and after the last.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup_steps: int = 0
    decay: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    seed: int = 0
    record_every: int = 100

    def __post_init__(self) -> None:
        limits = {
            "steps": (self.steps >= 1, "at least 1"),
            "learning_rate": (0 < self.learning_rate < math.inf, "a positive number"),
            "warmup_steps": (0 <= self.warmup_steps <= self.steps, f"0 to steps, {self.steps}"),
            "decay": (self.decay in ("cosine", "constant"), "'cosine' or 'constant'"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "clip_norm": (
                self.clip_norm is None or self.clip_norm > 0,
                "a positive number or None",
            ),
            "record_every": (self.record_every >= 1, "at least 1"),
        }
        for name, (right, expected) in limits.items():
            if not right:
                raise ValueError(f"{name}: got {getattr(self, name)!r}; expected {expected}")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of the step, which counts from 0.

        >>> recipe = Recipe(steps=8, learning_rate=1.0, warmup_steps=4)
        >>> [round(recipe.learning_rate_at(step), 3) for step in range(8)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.854, 0.5, 0.146]
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.decay == "constant":
            return self.learning_rate
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


def train(
    model: nn.Module,
    draw: Callable[[torch.Generator], Any],
    loss: Callable[[nn.Module, Any], Tensor],
    *,
    recipe: Recipe,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    on_step: Callable[[float, list[Record]], None] | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Record]:
    """Records of the training, one every ``recipe.record_every`` steps; the model changes in place.

    A record holds ``step`` (updates done), ``loss`` (of that step's batch, before
    its update), and what ``evaluate(model)`` gives, which runs in evaluation mode
    and without gradients. There is no clock in it: the same seed gives the same records.

    ``draw(generator)`` gives a batch: a tensor, or tuples, lists and dicts of them,
    moved to the model's device. ``loss(model, batch)`` gives a scalar. After each step
    ``on_step(share done, records so far)`` is called; before each, ``stop()``, and the
    training ends when it says so. With a ``checkpoint``, the training goes on from
    its file when there is one; the file knows recipe and model, not data or loss.

    Randomness comes from the recipe's seed alone; the caller's global generators, of
    the CPU and of CUDA, stay as they were. A progress bar shows when someone watches.

    Raises
    ------
    DivergedError
        When the loss is not finite; it names the step.
    CheckpointError
        When the checkpoint's file is torn, foreign, or of another training.
    """
    device = _device(model)
    optimizer = _optimizer(model, recipe)
    about = asdict(recipe) | {"model": _fingerprint(model)}
    done, records = 0, []
    if checkpoint is not None and checkpoint.path.exists():
        done, records = checkpoints.load(checkpoint.path, model, optimizer, about=about)

    def keep() -> None:
        if checkpoint is not None:
            checkpoints.save(
                checkpoint.path, model, optimizer, about=about, step=done, records=records
            )

    bar = progress.bar(total=recipe.steps, done=done, unit="step")
    with bar, _mode_of(model), _own_randomness(device):
        while done < recipe.steps and not (stop is not None and stop()):
            _seed(device, _number(recipe.seed, done, "step"))
            batch = _moved(draw(_generator(recipe.seed, done)), device)
            model.train()
            value = _update(model, loss(model, batch), recipe, done, optimizer)
            done += 1
            if done % recipe.record_every == 0 or done == recipe.steps:
                _seed(device, _number(recipe.seed, done, "evaluate"))
                found = {} if evaluate is None else _evaluated(model, evaluate)
                records.append(plain({"step": done, "loss": value} | found))
            if checkpoint is not None and done % checkpoint.every == 0:
                keep()
            bar.update()
            if on_step is not None:
                on_step(done / recipe.steps, list(records))
        keep()
    return records


def _update(
    model: nn.Module, value: Tensor, recipe: Recipe, step: int, optimizer: torch.optim.Optimizer
) -> float:
    """The loss as a number; the model has gone one step against its gradient."""
    if value.numel() != 1:
        raise ValueError(f"loss: got a tensor of shape {tuple(value.shape)}; expected a scalar")
    if not value.isfinite():
        raise DivergedError(
            f"the loss of step {step} is {value.item()}; a lower learning_rate than "
            f"{recipe.learning_rate}, or a clip_norm, may help"
        )
    optimizer.zero_grad()
    value.backward()
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate_at(step)
    optimizer.step()
    return value.item()


def _evaluated(
    model: nn.Module, evaluate: Callable[[nn.Module], dict[str, float]]
) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        return evaluate(model)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in trained if weight.ndim >= 2]},
        {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def _device(model: nn.Module) -> torch.device:
    for weight in model.parameters():
        if weight.requires_grad:
            return weight.device
    raise ValueError("model: got one without parameters to train; expected at least one")


def _fingerprint(model: nn.Module) -> str:
    """Stands for the names, shapes and types of all that the model keeps."""
    parts = [f"{name} {tuple(t.shape)} {t.dtype}" for name, t in model.state_dict().items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _number(seed: int, step: int, purpose: str) -> int:
    """A seed for one purpose in one step, unlike all others and known without them."""
    digest = hashlib.sha256(f"{seed} {step} {purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(_number(seed, step, "batch"))


def _seed(device: torch.device, number: int) -> None:
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


def _moved(batch: Any, device: torch.device) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.to(device), batch)


def _own_randomness(device: torch.device) -> AbstractContextManager:
    """The global generators come out as they went in."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


@contextmanager
def _mode_of(model: nn.Module) -> Iterator[None]:
    """The model comes out in the mode, training or evaluation, in which it went in."""
    before = model.training
    try:
        yield
    finally:
        model.train(before)
