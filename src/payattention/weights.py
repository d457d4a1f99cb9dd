"""Trained weights in one file, with the shape that they fit and a word about how they came about.

A file holds tensors in safetensors' format, in 16 or 32 bits, and in its head the model's kind,
its shape and what `about` says. Tied weights are written once.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from payattention import files
from payattention.shape import TransformerShape
from payattention.transformer import Classifier, Decoder, Encoder

FORMAT = "payattention weights 1"
KINDS = {"decoder": Decoder, "encoder": Encoder, "classifier": Classifier}


class WeightsError(RuntimeError):
    """Weights that are torn, foreign, or do not fit."""


def pack(
    model: nn.Module, *, about: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> bytes:
    """The bytes of a file with the model's weights; `about` is anything that JSON can hold.

    Raises:
        ValueError: for a model that is not a decoder, an encoder or a classifier.
    """
    kinds = [kind for kind, made in KINDS.items() if type(model) is made]
    if not kinds:
        raise ValueError(f"model: got {type(model).__name__}; expected one of {', '.join(KINDS)}")
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in _distinct(model).items()
    }
    sizes = {"d_input": model.input.in_features} if isinstance(model, Classifier) else {}
    metadata = {
        "format": FORMAT,
        "kind": kinds[0],
        "shape": json.dumps(asdict(model.shape)),
        "sizes": json.dumps(sizes),
        "about": json.dumps(about or {}),
    }
    return safetensors.torch.save(tensors, metadata)


def save(
    path: Path,
    model: nn.Module,
    *,
    about: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write `pack`'s bytes to the path, whole or not at all."""
    files.replace(path, pack(model, about=about, dtype=dtype))


def load(path: Path) -> nn.Module:
    """The model of the file, in evaluation mode, float32.

    Raises:
        WeightsError: for a file that is torn, foreign, or whose weights do not fit its shape.
    """
    return unpack(Path(path).read_bytes(), name=str(path))


def unpack(content: bytes, *, name: str = "weights") -> nn.Module:
    """The model of a file's bytes, in evaluation mode, float32; `name` is for the errors."""
    tensors, metadata = _read(content, name)
    with torch.random.fork_rng(devices=()):  # the numbers that it starts from are thrown away
        shape = TransformerShape(**json.loads(metadata["shape"]))
        model = KINDS[metadata["kind"]](shape, **json.loads(metadata["sizes"]))
    fit(model, tensors, name=name)
    return model.eval()


def about(content: bytes, *, name: str = "weights") -> dict[str, Any]:
    """What the file says of itself."""
    return json.loads(_read(content, name)[1]["about"])


def fit(model: nn.Module, tensors: dict[str, Tensor], *, name: str = "weights") -> None:
    """Put the tensors into the model, each in the model's own type.

    Raises:
        WeightsError: for the first that is missing, too many, or of another shape; the model is
            then as it was.
    """
    wanted = _distinct(model)
    for key, tensor in wanted.items():
        if key not in tensors:
            raise WeightsError(f"{name}: {key} is missing; expected shape {tuple(tensor.shape)}")
        if tensors[key].shape != tensor.shape:
            raise WeightsError(
                f"{name}: {key} has shape {tuple(tensors[key].shape)}; "
                f"expected {tuple(tensor.shape)}"
            )
    for key in tensors:
        if key not in wanted:
            raise WeightsError(f"{name}: {key} is not a part of this model")
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(tensors[key])


def _distinct(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, tied and shared ones once."""
    return dict(model.named_parameters())


def _read(content: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors = safetensors.torch.load(content)
        # the head: eight bytes of its length, and then JSON
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (safetensors.SafetensorError, ValueError) as error:
        raise WeightsError(f"{name} is torn or no file of weights: {error}") from error
    metadata = head.get("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{name} is no file of this library: its format is {metadata.get('format')!r}; "
            f"expected {FORMAT!r}"
        )
    return tensors, metadata
