"""One file that holds all of a half-finished training: so that it can end as if never broken off.

A safetensors file with the model's state, the optimiser's, and, as metadata, the
step, the records so far and what the training was. It is replaced as a whole.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from payattention import files

FORMAT = "payattention checkpoint 1"


class CheckpointError(RuntimeError):
    """A file that cannot be resumed from: torn, foreign, or of another training."""


@dataclass(frozen=True)
class Checkpoint:
    """Where to keep a training, and after how many steps again."""

    path: Path
    every: int = 100

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: got {self.every}; expected at least 1")


def save(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    *,
    about: dict[str, Any],
    step: int,
    records: list[dict[str, Any]],
) -> None:
    """Write the whole state after ``step`` steps; ``about`` says which training it is."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in state.items()}
    # safetensors refuses tensors that share memory, as tied weights do
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    metadata = {
        "format": FORMAT,
        "about": json.dumps(about),
        "step": str(step),
        "records": json.dumps(records),
    }
    files.replace(path, safetensors.torch.save(tensors, metadata))


def load(
    path: Path, model: nn.Module, optimizer: Optimizer, *, about: dict[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """Steps done and records so far; model and optimiser are put into the state of that time.

    Raises ``CheckpointError``, naming the file, when it is torn, no checkpoint, or of
    a training with other settings or another model than ``about`` says.
    """
    tensors, metadata = _read(path)
    kept = json.loads(metadata["about"])
    expected = json.loads(json.dumps(about))
    if kept != expected:
        other = sorted(name for name in kept | expected if kept.get(name) != expected.get(name))
        difference = "; ".join(
            f"{name}: {kept.get(name)} there, {expected.get(name)} now" for name in other
        )
        raise CheckpointError(
            f"{path} is of another training ({difference}): delete it, or name another file"
        )
    states: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "model":
            weights[rest] = tensor
        else:
            index, _, part = rest.partition("/")
            states.setdefault(int(index), {})[part] = tensor
    model.load_state_dict(weights)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
    return int(metadata["step"]), json.loads(metadata["records"])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is torn or no checkpoint: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is no checkpoint of this library: its format is {metadata.get('format')!r}; "
            f"expected {FORMAT!r}"
        )
    return tensors, metadata
