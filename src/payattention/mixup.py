"""New training examples on the line between two old ones, and their labels with them.

Of a batch, each example is mixed with another, or with itself: a share λ of the one and 1 - λ of
the other, inputs and labels alike. λ is drawn from Beta(α, α): for a small α it is nearly always
near 0 or 1, for α = 1 all shares are equally likely, for a large α it is near a half. CutMix takes
the share as a piece of the image; manifold mixup mixes what a hidden layer has made; token vectors
are mixed likewise, since tokens themselves cannot be.

Each function draws from a generator, gives inputs, or what the model says to them, and soft labels,
and leaves the loss to the caller: `F.cross_entropy(model(inputs), labels)`.

Sources: Zhang et al. 2018, mixup (arXiv:1710.09412), equation of section 2 and the listing beside
it; Yun et al. 2019, CutMix (arXiv:1905.04899), equations 1 and 2; Verma et al. 2019, Manifold Mixup
(arXiv:1806.05236); Guo et al. 2019 (arXiv:1905.08941) for token vectors.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import default_collate, get_worker_info

Labels = Int[Tensor, " batch"] | Float[Tensor, "batch classes"]
Mixed = tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch classes"]]


@dataclass(frozen=True)
class Mixing:
    """Who is mixed with whom: of example i the share `shares[i]`, the rest of `order[i]`."""

    order: Int[Tensor, " batch"]
    shares: Float[Tensor, " batch"]

    def of(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Each example of x, mixed.

        >>> half = Mixing(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
        >>> half.of(torch.tensor([0.0, 8.0]))
        tensor([2., 4.])
        """
        shares = self.shares.to(x).view(-1, *[1] * (x.ndim - 1))
        return torch.lerp(x[self.order.to(x.device)], x, shares)


def drawn(
    batch: int, *, alpha: float, generator: torch.Generator, per_example: bool = False
) -> Mixing:
    """A permutation of the batch, and λ from Beta(α, α): one for all, or one `per_example`.

    All is drawn by NumPy, seeded by one number of the generator, as PyTorch's Beta takes none.

    Raises:
        ValueError: for an α that is not positive and finite, and a batch below 2.
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: got {alpha}; expected a positive, finite number")
    if batch < 2:
        raise ValueError(f"batch: got {batch}; expected at least 2 examples, to mix one another")
    numbers = _numbers(generator)
    shares = numbers.beta(alpha, alpha, size=batch if per_example else 1)
    order = torch.from_numpy(numbers.permutation(batch))
    return Mixing(order, torch.from_numpy(shares).expand(batch))


def _numbers(generator: torch.Generator) -> np.random.Generator:
    seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
    return np.random.default_rng(seed.item())


def mixup(
    inputs: Float[Tensor, "batch ..."],
    labels: Labels,
    *,
    alpha: float,
    generator: torch.Generator,
    classes: int | None = None,
    per_example: bool = False,
) -> Mixed:
    """Inputs and labels of new examples, each between two of the batch.

    `labels` are numbers from 0 below `classes`, or a probability for each class. Device and type of
    the inputs stay; labels that were numbers get the type of the inputs.

    >>> inputs, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    >>> chance = torch.Generator().manual_seed(3)
    >>> inputs, labels = mixup(inputs, labels, alpha=1.0, classes=2, generator=chance)
    >>> torch.equal(inputs[:, 0], labels[:, 1])
    True

    Raises:
        TypeError: for inputs that are not of a floating type, and labels of neither kind.
        ValueError: for an α that is not positive and finite, fewer than two examples, labels that
            are not as many, out of range or no probabilities, and numbers without `classes`.
    """
    labels = _expected(inputs, labels, classes)
    mixing = drawn(len(inputs), alpha=alpha, generator=generator, per_example=per_example)
    return mixing.of(inputs), mixing.of(labels)


def cutmix(
    images: Float[Tensor, "batch ... height width"],
    labels: Labels,
    *,
    alpha: float,
    generator: torch.Generator,
    classes: int | None = None,
    per_example: bool = False,
) -> Mixed:
    """Images into which a piece of another is pasted, at its place; labels by the share of pixels.

    The piece has the sides of the image times √(1 - λ) and its centre anywhere, and is cut off at
    the edges; the labels go by what is left of it. One λ and one place serve the whole batch,
    unless they are drawn `per_example`.

    Raises:
        TypeError, ValueError: as `mixup`; also for images without height and width.
    """
    labels = _expected(images, labels, classes)
    if images.ndim < 3:
        raise ValueError(f"images: got shape {tuple(images.shape)}; expected batch, height, width")
    mixing = drawn(len(images), alpha=alpha, generator=generator, per_example=per_example)
    batch, height, width = len(images), *images.shape[-2:]
    places = torch.from_numpy(_numbers(generator).random((2, batch if per_example else 1)))
    sides = (1 - mixing.shares).sqrt()
    down, across = (
        _within(size, centre.expand(batch), sides)
        for size, centre in zip((height, width), places, strict=True)
    )
    piece = (down[:, :, None] & across[:, None, :]).to(images.device)
    shares = 1 - piece.double().mean(dim=(1, 2))
    piece = piece.view(batch, *[1] * (images.ndim - 3), height, width)
    mixed = torch.where(piece, images[mixing.order.to(images.device)], images)
    return mixed, Mixing(mixing.order, shares).of(labels)


def _within(size: int, centres: Float[Tensor, " batch"], sides: Float[Tensor, " batch"]) -> Tensor:
    """Which of `size` pixels lie on the piece, of centre and side in shares of the image."""
    length, middle = (sides * size).round(), (centres * size).floor()
    start = (middle - (length / 2).floor())[:, None]
    at = torch.arange(size)
    return (at >= start) & (at < start + length[:, None])


def manifold_mixup(
    model: nn.Module,
    inputs: Tensor,
    labels: Labels,
    *,
    layers: Sequence[nn.Module | None],
    alpha: float,
    generator: torch.Generator,
    classes: int | None = None,
    per_example: bool = False,
) -> Mixed:
    """What the model says when what one of `layers` makes is mixed; and the labels.

    The layer is drawn with equal chance; None stands for the inputs themselves. Each layer must be
    part of the model, be called once, and give one tensor whose first axis is the batch.

    Raises:
        TypeError, ValueError: as `mixup`; also for no layers, and one that is not the model's or
            was not called once.
    """
    if not layers:
        raise ValueError("layers: got none; expected at least one")
    parts = set(model.modules())
    for number, layer in enumerate(layers):
        if layer is not None and layer not in parts:
            raise ValueError(f"layers: number {number} is no part of the model")
    if any(layer is None for layer in layers):
        _expect_floating(inputs)
    labels = _soft(labels, len(inputs), classes, like=_like(model, inputs))
    layer = layers[int(_numbers(generator).integers(len(layers)))]
    mixing = drawn(len(inputs), alpha=alpha, generator=generator, per_example=per_example)
    if layer is None:
        return model(mixing.of(inputs)), mixing.of(labels)
    with mixed_behind(layer, mixing):
        return model(inputs), mixing.of(labels)


def embedding_mixup(
    model: nn.Module,
    ids: Int[Tensor, "batch tokens"],
    labels: Labels,
    *,
    embedding: nn.Module,
    alpha: float,
    generator: torch.Generator,
    classes: int | None = None,
    per_example: bool = False,
) -> Mixed:
    """What the model says when the vectors of the tokens are mixed, place by place; and the labels.

    Raises:
        TypeError, ValueError: as `manifold_mixup`, whose one layer is the `embedding`.
    """
    return manifold_mixup(
        model,
        ids,
        labels,
        layers=[embedding],
        alpha=alpha,
        generator=generator,
        classes=classes,
        per_example=per_example,
    )


@contextmanager
def mixed_behind(layer: nn.Module, mixing: Mixing) -> Iterator[None]:
    """Within, what the layer makes is mixed before anybody reads it.

    Raises:
        ValueError: at the end, when the layer was not called exactly once.
    """
    calls = 0

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return mixing.of(output)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if calls != 1:
        raise ValueError(f"layer: was called {calls} times; expected once")


@dataclass
class Collate:
    """Makes mixed batches for a `DataLoader`, as its `collate_fn`.

    `mix` is `mixup`, `cutmix`, or a function of the same form. A worker of the loader draws from
    the seed that the loader has given it, so that no two workers and no two epochs draw alike.

    >>> examples = [(torch.tensor([0.0]), 0), (torch.tensor([1.0]), 1)]
    >>> inputs, labels = Collate(alpha=0.4, classes=2)(examples)
    >>> inputs.shape, labels.shape
    (torch.Size([2, 1]), torch.Size([2, 2]))
    """

    alpha: float
    classes: int | None = None
    per_example: bool = False
    seed: int = 0
    mix: Callable[..., Mixed] = mixup

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)
        self._worker_seed: int | None = None

    def __call__(self, examples: Sequence[tuple]) -> Mixed:
        """The examples as one batch, mixed."""
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker_seed:
            self._worker_seed = worker.seed
            self._generator.manual_seed(worker.seed + self.seed)
        inputs, labels = default_collate(examples)
        return self.mix(
            inputs,
            labels,
            alpha=self.alpha,
            generator=self._generator,
            classes=self.classes,
            per_example=self.per_example,
        )


def soft(labels: Int[Tensor, " batch"], classes: int) -> Float[Tensor, "batch classes"]:
    """The labels as probabilities: 1 for the class, 0 for the others, in float32.

    Raises:
        ValueError: for a label that is not from 0 below `classes`; it names the example.
    """
    return _soft(labels, len(labels), classes, like=torch.empty(0, device=labels.device))


def _expect_floating(inputs: Tensor) -> None:
    if not inputs.is_floating_point():
        raise TypeError(
            f"inputs: got {inputs.dtype}; expected a floating type, as whole numbers cannot be "
            "mixed: divide pixels by 255, and mix the vectors of tokens (embedding_mixup)"
        )


def _expected(inputs: Tensor, labels: Tensor, classes: int | None) -> Tensor:
    """The labels as probabilities, of inputs that can be mixed."""
    _expect_floating(inputs)
    return _soft(labels, len(inputs), classes, like=inputs)


def _soft(labels: Tensor, batch: int, classes: int | None, *, like: Tensor) -> Tensor:
    if len(labels) != batch:
        raise ValueError(f"labels: got {len(labels)} for {batch} inputs; expected as many")
    if labels.is_floating_point():
        _expect_probabilities(labels, classes)
        return labels
    if labels.dtype == torch.bool or labels.is_complex() or labels.ndim != 1:
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise TypeError(f"labels: got {got}; expected whole numbers, or probabilities of classes")
    if classes is None:
        raise ValueError(
            "classes: got None; labels that are numbers need how many classes there are"
        )
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(wrong.int().argmax())
        raise ValueError(
            f"labels: example {first} has {int(labels[first])}; expected 0 to {classes - 1}"
        )
    return nn.functional.one_hot(labels.long(), classes).to(like)


def _expect_probabilities(labels: Tensor, classes: int | None) -> None:
    if labels.ndim != 2 or (classes is not None and labels.shape[1] != classes):
        expected = "batch, classes" if classes is None else f"(batch, {classes})"
        raise ValueError(f"labels: got shape {tuple(labels.shape)}; expected {expected}")
    sums = labels.double().sum(dim=1)
    wrong = ((sums - 1).abs() > 8 * torch.finfo(labels.dtype).eps * labels.shape[1]) | (
        labels < 0
    ).any(dim=1)
    wrong |= ~sums.isfinite()
    if wrong.any():
        first = int(wrong.int().argmax())
        raise ValueError(
            f"labels: those of example {first} are no probabilities: they sum to "
            f"{sums[first]:.6g}, the least is {labels[first].min():.6g}"
        )


def _like(model: nn.Module, inputs: Tensor) -> Tensor:
    """A tensor of the type that the model computes in."""
    return inputs if inputs.is_floating_point() else next(model.parameters())
