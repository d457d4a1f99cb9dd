"""Where to run: the fastest device that computes correctly.

An accelerator can be present and still be wrong: a driver, a kernel or a build
that silently returns other numbers. So before a device is trusted, a canary runs
one small training step on it and on the CPU, and compares every result.

What the canary does not see: errors that show only at large sizes, in half
precision, or in operations that it does not use.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

# Relative to the largest number of each result. Float32 differs by 1e-6 between
# devices; a GPU that its owner lets multiply in TF32 differs by 1e-3, and that is
# a choice, not a lie. A wrong kernel is off by the size of the numbers themselves.
TOLERANCE = 5e-3


class DeviceError(RuntimeError):
    """A device that was asked for is absent, or computes wrongly."""


def available() -> list[str]:
    """Kinds of device that are present here, fastest first; the last is always "cpu"."""
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def small_step(device: torch.device) -> dict[str, Tensor]:
    """Results of one small training step on the device, brought to the CPU, by name.

    The step uses what the models of this library use: gather, matmul, softmax,
    fused attention, layer norm, cumulative sum, cross-entropy, their gradients,
    and an in-place update through a transposed view.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device).requires_grad_()

    batch, tokens, d_model, vocab = 3, 7, 12, 11  # unlike sizes, so that no axis can be mistaken
    ids = torch.randint(vocab, (batch, tokens), generator=generator).to(device)
    embedding, projection = draw(vocab, d_model), draw(3 * d_model, d_model)
    future = torch.ones(tokens, tokens, dtype=torch.bool, device=device).triu(1)

    x = functional.layer_norm(embedding[ids], (d_model,))
    queries, keys, values = (x @ projection.T).chunk(3, dim=-1)
    scores = (queries @ keys.mT / d_model**0.5).masked_fill(future, -torch.inf)
    by_hand = scores.softmax(-1) @ values
    fused = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    logits = (x + by_hand + fused.cumsum(1)) @ embedding.T
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()

    updated = projection.detach().clone()
    updated.T.addcdiv_(projection.grad.T, projection.grad.T.abs() + 1.0, value=-0.1)
    results = {
        "attention by hand": by_hand,
        "fused attention": fused,
        "logits": logits,
        "loss": loss,
        "gradient of the embedding": embedding.grad,
        "gradient of the projection": projection.grad,
        "update in place": updated,
    }
    return {name: tensor.detach().cpu() for name, tensor in results.items()}


def canary(
    device: torch.device, *, compute: Callable[[torch.device], dict[str, Tensor]] = small_step
) -> dict[str, float]:
    """Largest difference of each result of a small step from the CPU's, relative to its size.

    A result that is not finite differs by infinity. A device is honest when no
    difference exceeds ``TOLERANCE``.
    """
    truth = compute(torch.device("cpu"))
    answer = compute(device)
    differences = {}
    for name, expected in truth.items():
        difference = ((answer[name] - expected).abs().max() / expected.abs().max()).item()
        # A NaN compares as smaller than every tolerance: call it what it is.
        differences[name] = difference if difference == difference else float("inf")
    return differences


def distrust(
    device: torch.device, *, compute: Callable[[torch.device], dict[str, Tensor]] = small_step
) -> str | None:
    """Why the device should not be trusted, in words, or None for a device that computes well."""
    if device.type == "cpu":  # it is the reference
        return None
    try:
        differences = canary(device, compute=compute)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().split("\n")[0]
        return f"it fails at a small training step: {type(error).__name__}: {reason}"
    worst = max(differences, key=differences.__getitem__)
    if differences[worst] <= TOLERANCE:
        return None
    return (
        f"it computes wrongly: its {worst} differs from the CPU's by "
        f"{differences[worst]:.2g} of its size, and {TOLERANCE:.2g} is allowed"
    )


def pick(
    name: str | None = None,
    *,
    available: Callable[[], Sequence[str]] = available,
    compute: Callable[[torch.device], dict[str, Tensor]] = small_step,
) -> torch.device:
    """The device to run on: the one named, or the fastest that computes correctly.

    Without a name the first of cuda, mps, cpu that is here is tried; when it
    computes wrongly, the answer is the CPU, with a warning that says so.

    Raises
    ------
    ValueError
        When the name is not that of a device.
    DeviceError
        When the device that was asked for is not here, or computes wrongly.

    >>> pick("cpu")
    device(type='cpu')
    """
    kinds = available()
    if name is None:
        device = torch.device(kinds[0])
        reason = distrust(device, compute=compute)
        if reason is None:
            return device
        warnings.warn(
            f"{device} is not used, because {reason}. Running on the CPU instead.", stacklevel=2
        )
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"name: {name!r} is not a device; expected one of {kinds}") from None
    if device.type not in kinds:
        raise DeviceError(f"name: there is no {name!r} here; expected one of {kinds}")
    reason = distrust(device, compute=compute)
    if reason is not None:
        raise DeviceError(f"name: {name!r} was asked for, and {reason}")
    return device
