"""Trained weights in one file, with the shape that they fit and a word about how they came about.

A file holds tensors in safetensors' format, in 16 or 32 bits, and in its head the model's kind,
its shape and what `about` says. Tied weights are written once. The same model gives the same
bytes. What no shape says is not kept, and a model that has it is refused: a squeeze or another base
of rotary positions, another epsilon of a norm.
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
from payattention.positions import Rotary
from payattention.shape import TransformerShape
from payattention.transformer import Classifier, Decoder, Encoder

FORMAT = "payattention weights 1"
KINDS = {"decoder": Decoder, "encoder": Encoder, "classifier": Classifier}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class WeightsError(RuntimeError):
    """Weights that are torn, foreign, or do not fit."""


def pack(
    model: nn.Module, *, about: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> bytes:
    """The bytes of a file with the model's weights; `about` is anything that JSON can hold.

    Raises:
        ValueError: for a model that is not a decoder, an encoder or a classifier, or that its shape
            does not describe, and for numbers of another `dtype` than 16 or 32 bits.
    """
    kinds = [kind for kind, made in KINDS.items() if type(model) is made]
    if not kinds:
        raise ValueError(f"model: got {type(model).__name__}; expected one of {', '.join(KINDS)}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype: got {dtype}; expected one of {', '.join(map(str, DTYPES))}")
    _expect_as_built(model)
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
    return _in_order(safetensors.torch.save(tensors, metadata))


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
        OSError: for a file that is not there or cannot be read.
        WeightsError: for a file that is torn, foreign, or whose weights do not fit its shape.
    """
    return unpack(Path(path).read_bytes(), name=str(path))


def unpack(content: bytes, *, name: str = "weights") -> nn.Module:
    """The model of a file's bytes, in evaluation mode, float32; `name` is for the errors."""
    tensors, head = _read(content, name)
    try:
        with torch.random.fork_rng(devices=()):  # the numbers that it starts from are thrown away
            model = KINDS[head["kind"]](TransformerShape(**head["shape"]), **head["sizes"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{name} describes no model: {error!r}") from error
    fit(model, tensors, name=name)
    return model.eval()


def about(content: bytes, *, name: str = "weights") -> dict[str, Any]:
    """What the file says of itself."""
    return _read(content, name)[1]["about"]


def fit(model: nn.Module, tensors: dict[str, Tensor], *, name: str = "weights") -> None:
    """Put the tensors into the model, each in the model's own type.

    Raises:
        WeightsError: for the first that is missing, of another shape, no floating-point numbers, or
            too many; the model is then as it was.
    """
    wanted = _distinct(model)
    for key, tensor in wanted.items():
        expected = tuple(tensor.shape)
        if key not in tensors:
            raise WeightsError(f"{name}: {key} is missing; expected shape {expected}")
        if tensors[key].shape != tensor.shape:
            shape = tuple(tensors[key].shape)
            raise WeightsError(f"{name}: {key} has shape {shape}; expected {expected}")
        if not tensors[key].is_floating_point():
            dtype = tensors[key].dtype
            raise WeightsError(f"{name}: {key} is of {dtype}; expected floating-point numbers")
    for key in tensors:
        if key not in wanted:
            raise WeightsError(f"{name}: {key} is not a part of this model")
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(tensors[key])


def _distinct(model: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, tied and shared ones once."""
    return dict(model.named_parameters())


def _expect_as_built(model: nn.Module) -> None:
    """Refuse what a model that is built from the shape alone would not have."""
    for name, module in model.named_modules():
        rotate, eps = getattr(module, "rotate", None), getattr(module, "eps", 1e-5)
        if rotate not in (None, Rotary()):
            raise ValueError(f"model: {name} turns by {rotate}; a file has no place for it")
        if eps != 1e-5:
            raise ValueError(f"model: {name} has eps={eps}; a file has no place for it")


def _in_order(content: bytes) -> bytes:
    """The same file with its metadata sorted, which safetensors writes in any order."""
    end, head = _head(content)
    head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers stay aligned
    return len(text).to_bytes(8, "little") + text + content[end:]


def _head(content: bytes) -> tuple[int, dict[str, Any]]:
    """The head of a file in safetensors' format, and where it ends: eight bytes say how long."""
    end = 8 + int.from_bytes(content[:8], "little")
    return end, json.loads(content[8:end])


def _read(content: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and the kind, shape, sizes and `about` of the head."""
    try:
        tensors = safetensors.torch.load(content)
        metadata = _head(content)[1].get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{name} is torn or no file of weights: {error}") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{name} is no file of this library: its format is {metadata.get('format')!r}; "
            f"expected {FORMAT!r}"
        )
    try:
        said = {key: json.loads(metadata[key]) for key in ("shape", "sizes", "about")}
        return tensors, said | {"kind": metadata["kind"]}
    except (ValueError, KeyError) as error:
        raise WeightsError(f"{name} has a torn head: {error!r}") from error
