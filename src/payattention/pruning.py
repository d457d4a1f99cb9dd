"""Weights that are not all there: which to leave out, and how to keep them out.

A score says how much each weight matters, and a mask keeps those that matter most: by magnitude, by
magnitude times what the weight is multiplied with (Wanda), or by chance, which is what the others
have to beat. Masks are of torch.bool, True where a weight stays, and named as the parameters are.
A model whose weights are masked is as large and as slow as before; what its zeros are worth is
another question.

Sources: Han et al. 2015 (arXiv:1506.02626) for magnitude and retraining; Frankle and Carbin 2019
(arXiv:1803.03635) for tickets; Sun et al. 2024, Wanda (arXiv:2306.11695), equation 1; Mishra et
al. 2021 (arXiv:2104.08378) for two of four.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Masks = dict[str, Bool[Tensor, "rows columns"]]
"""The mask of each weight, by the parameter's name."""

Scores = Mapping[str, Float[Tensor, "rows columns"]]
"""How much each weight matters, by the parameter's name."""


def prunable(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear maps inside the blocks, by the names of their weights.

    Embeddings and the output stay whole: they are looked up, or tied to what is looked up.
    """
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "blocks." in name
    }


# How much a weight matters


def magnitudes(model: nn.Module) -> Scores:
    """The absolute value of each weight."""
    return {name: linear.weight.detach().abs() for name, linear in prunable(model).items()}


def by_chance(model: nn.Module, *, generator: torch.Generator) -> Scores:
    """A number drawn for each weight."""
    return {
        name: torch.rand(linear.weight.shape, generator=generator)
        for name, linear in prunable(model).items()
    }


def input_norms(
    model: nn.Module, run: Callable[[nn.Module], object]
) -> dict[str, Float[Tensor, " columns"]]:
    """The norm of each input of each map, over all that `run(model)` passes through the model.

    Raises:
        ValueError: for a map that `run` never used.
    """
    squares: dict[str, Tensor] = {}

    def listen(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen = inputs[0].detach().flatten(0, -2).square().sum(dim=0)
            squares[name] = squares.get(name, 0) + seen

        return hook

    maps = prunable(model)
    hooks = [linear.register_forward_hook(listen(name)) for name, linear in maps.items()]
    try:
        with torch.no_grad():
            run(model)
    finally:
        for hook in hooks:
            hook.remove()
    if missing := set(maps) - set(squares):
        raise ValueError(f"run: never used {sorted(missing)[0]}; expected all maps of the blocks")
    return {name: squares[name].sqrt() for name in maps}


def wanda(model: nn.Module, run: Callable[[nn.Module], object]) -> Scores:
    """Each weight's absolute value times the norm of the inputs that it was multiplied with.

    The inputs are those of `run(model)`, which passes some text, or images, through the model.

    Raises:
        ValueError: for a map that `run` never used.
    """
    norms = input_norms(model, run)
    return {
        name: linear.weight.detach().abs() * norms[name] for name, linear in prunable(model).items()
    }


# Which stay


def keep_largest(
    scores: Scores, sparsity: float, *, among: str = "all", within: Masks | None = None
) -> Masks:
    """Masks that drop the share `sparsity` of all weights, those of the lowest scores.

    They are compared `among` "all" maps, within each "map", or within each "row", the weights of
    one output, as Wanda does. What `within` has dropped before stays dropped, and counts.

    >>> keep_largest({"w": torch.tensor([[1.0, 4.0], [2.0, 3.0]])}, 0.5)["w"].int().tolist()
    [[0, 1], [0, 1]]

    Raises:
        ValueError: for a sparsity that is not from 0 to 1, or another way to compare.
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity: got {sparsity}; expected 0 to 1")
    if within is not None:
        scores = {name: s.masked_fill(~within[name], -1) for name, s in scores.items()}
    if among == "all":
        flat = torch.cat([s.flatten() for s in scores.values()])
        kept = _largest(flat[None], sparsity)[0].split([s.numel() for s in scores.values()])
        return {name: m.view_as(s) for (name, s), m in zip(scores.items(), kept, strict=True)}
    if among == "map":
        return {n: _largest(s.flatten()[None], sparsity).view_as(s) for n, s in scores.items()}
    if among == "row":
        return {name: _largest(s, sparsity) for name, s in scores.items()}
    raise ValueError(f"among: got {among!r}; expected 'all', 'map' or 'row'")


def _largest(scores: Float[Tensor, "groups size"], sparsity: float) -> Bool[Tensor, "groups size"]:
    dropped = round(sparsity * scores.shape[1])
    order = scores.argsort(dim=1, stable=True)
    return torch.ones_like(scores, dtype=torch.bool).scatter_(1, order[:, :dropped], False)


def two_of_four(scores: Scores) -> Masks:
    """Masks that keep the two largest of each four neighbours in a row: what GPUs can make use of.

    >>> two_of_four({"w": torch.tensor([[4.0, 1.0, 2.0, 3.0]])})["w"].int().tolist()
    [[1, 0, 0, 1]]

    Raises:
        ValueError: for a map whose inputs are not a multiple of four.
    """
    for name, s in scores.items():
        if s.shape[1] % 4:
            raise ValueError(f"{name}: got {s.shape[1]} inputs; expected a multiple of 4")
    return {name: _largest(s.reshape(-1, 4), 0.5).view_as(s) for name, s in scores.items()}


def shuffled(masks: Masks, *, generator: torch.Generator) -> Masks:
    """Masks with as many weights in each map, elsewhere: as dense, and without the choice."""
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)
        for name, mask in masks.items()
    }


def sparsity(masks: Masks) -> float:
    """The share of weights that are left out.

    >>> sparsity({"w": torch.tensor([[True, False], [True, True]])})
    0.25
    """
    return 1 - sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())


# How they stay out


@torch.no_grad()
def prune(model: nn.Module, masks: Masks) -> None:
    """Set the weights that the masks leave out to 0, in place.

    Raises:
        ValueError: for a mask of a weight that is not there, or of another shape.
    """
    maps = prunable(model)
    for name, mask in masks.items():
        if name not in maps or maps[name].weight.shape != mask.shape:
            there = tuple(maps[name].weight.shape) if name in maps else "no such weight"
            raise ValueError(f"masks: got {name} of {tuple(mask.shape)}; the model has {there}")
        maps[name].weight.mul_(mask.to(maps[name].weight.device))


@contextmanager
def pruned(model: nn.Module, masks: Masks) -> Iterator[nn.Module]:
    """The model with these weights left out, and kept out while it is trained.

    Their gradients are set to 0 as they come, and the weights again at the end, where a decay or a
    moving average could have touched them.
    """
    prune(model, masks)
    maps = prunable(model)
    hooks = [
        maps[name].weight.register_hook(lambda gradient, mask=mask: gradient * mask)
        for name, mask in masks.items()
    ]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()
        prune(model, masks)
