"""Checks of the exercises on mixup: a batch mixed, a calibration error, a label after CutMix."""

from collections.abc import Callable

import torch
from torch import Tensor

from payattention.checks.check import Check, Mistake

# A batch, mixed


def _shares_for(shares: Tensor, x: Tensor) -> Tensor:
    """The shares with as many axes as x has."""
    return shares.view(-1, *[1] * (x.ndim - 1))


def _between(x: Tensor, other: Tensor, shares: Tensor) -> Tensor:
    shares = _shares_for(shares, x)
    return shares * x + (1 - shares) * other


def _mix(images, labels, order, shares):
    """Images and labels of which each is mixed with the one that `order` names.

    `images` are (batch, height, width), `labels` (batch, classes), `order` and `shares` (batch,):
    of example i there is the share `shares[i]`, the rest is of example `order[i]`.
    """
    return (
        _between(images, images[order], shares),
        _between(labels, labels[order], shares),
    )


def _along_the_width(x: Tensor, order: Tensor, shares: Tensor) -> Tensor:
    """What comes of shares without axes for height and width: they run along the last axis."""
    return shares * x + (1 - shares) * x[order]


def _batch(batch: int, side: int, classes: int, *, order: list[int]) -> tuple[Tensor, ...]:
    """Images that all differ, one class each, and unequal shares."""
    images = torch.arange(batch * side * side).mul(0.37).sin().view(batch, side, side).add(1) / 2
    labels = torch.eye(classes)[torch.arange(batch) % classes]
    shares = torch.linspace(0.25, 0.95, batch).roll(1)
    return images, labels, torch.tensor(order), shares


mix = Check(
    _mix,
    cases=[
        _batch(4, 4, 4, order=[1, 2, 3, 0]),
        _batch(5, 5, 5, order=[3, 1, 4, 0, 2]),
        _batch(7, 7, 7, order=[6, 0, 1, 2, 3, 4, 5]),
    ],
    mistakes={
        "labels_left": Mistake(
            lambda images, labels, order, shares: (
                _between(images, images[order], shares),
                labels,
            ),
            "the images are mixed and the labels are not: the model is told that half a shoe and "
            "half a shirt is a shoe.",
        ),
        "labels_by_half": Mistake(
            lambda images, labels, order, shares: (
                _between(images, images[order], shares),
                (labels + labels[order]) / 2,
            ),
            "the labels are mixed half and half, whatever the share of the images.",
        ),
        "labels_of_the_larger": Mistake(
            lambda images, labels, order, shares: (
                _between(images, images[order], shares),
                torch.where(shares[:, None] >= 0.5, labels, labels[order]),
            ),
            "each label is that of the larger share, whole; it should be mixed as the image is.",
        ),
        "shares_along_the_width": Mistake(
            lambda images, labels, order, shares: (
                _along_the_width(images, order, shares),
                _between(labels, labels[order], shares),
            ),
            "the shares run along the last axis of the images, so that each column of pixels has a "
            "share of its own. It raised no error because the images are as wide as the batch is "
            "large. Give the shares two more axes: shares[:, None, None].",
        ),
        "all_shares_along_the_width": Mistake(
            lambda images, labels, order, shares: (
                _along_the_width(images, order, shares),
                _along_the_width(labels, order, shares),
            ),
            "the shares run along the last axis, of images and labels alike: over columns of "
            "pixels and over classes, and not over examples. Give them more axes: "
            "shares[:, None, None] and shares[:, None].",
        ),
        "first_share_for_all": Mistake(
            lambda images, labels, order, shares: _mix(
                images, labels, order, shares[:1].expand(len(shares))
            ),
            "all examples are mixed with the first share; each has its own here.",
        ),
        "turned_round": Mistake(
            lambda images, labels, order, shares: _mix(images, labels, order, 1 - shares),
            "the shares are turned round: example i should keep shares[i] of itself.",
        ),
        "labels_turned_round": Mistake(
            lambda images, labels, order, shares: (
                _between(images, images[order], shares),
                _between(labels, labels[order], 1 - shares),
            ),
            "the labels have the other example's share, and the images their own.",
        ),
        "mixed_with_themselves": Mistake(
            lambda images, labels, order, shares: (
                _between(images, images, shares),
                _between(labels, labels, shares),
            ),
            "each example is mixed with itself; take the other one from images[order].",
        ),
    },
    hints=[
        "Example i becomes shares[i] of itself and 1 - shares[i] of example order[i].",
        "images[order] are the others. What shape must the shares have to multiply an image each?",
        "s = shares[:, None, None]; s * images + (1 - s) * images[order]; likewise the labels.",
    ],
)

# A calibration error


def _calibration_error(sure, right, bins):
    """The mean, over examples, of how far sureness and success lie apart in an example's bin.

    `sure` are the largest probabilities, above 0 and at most 1, `right` is 1 where the model was
    right and 0 where not. Bins are equally wide; bin k goes from above k / bins to (k + 1) / bins.
    """
    return _over_bins(sure, right, bins)


def _over_bins(
    sure: Tensor,
    right: Tensor,
    bins: int,
    *,
    gap: Callable[[Tensor], Tensor] = torch.abs,
    weigh: bool = True,
) -> Tensor:
    place = (sure * bins).ceil().long() - 1
    gaps, counts = [], []
    for k in range(bins):
        inside = place == k
        if inside.any():
            gaps.append(gap(sure[inside].mean() - right[inside].mean()))
            counts.append(inside.sum())
    weights = torch.stack(counts).float() if weigh else torch.ones(len(gaps))
    return (torch.stack(gaps) * weights).sum() / weights.sum()


def _answers(count: int, seed: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    sure = 0.31 + 0.68 * torch.rand(count, generator=chance).sqrt()
    return sure, (torch.rand(count, generator=chance) < sure**2).float()


calibration_error = Check(
    _calibration_error,
    cases=[
        (torch.tensor([0.93, 0.91, 0.94, 0.62]), torch.tensor([1.0, 1.0, 0.0, 1.0]), 10),
        (*_answers(37, 1), 5),
        (*_answers(101, 2), 15),
    ],
    mistakes={
        "bins_alike": Mistake(
            lambda sure, right, bins: _over_bins(sure, right, bins, weigh=False),
            "all bins count alike, one with a single example as much as one with a hundred; weigh "
            "each by how many examples it holds.",
        ),
        "signs_kept": Mistake(
            lambda sure, right, bins: _over_bins(sure, right, bins, gap=lambda x: x),
            "a bin that is too sure and one that is not sure enough cancel, and what is left is a "
            "difference of two means over all; take the absolute value in each bin.",
        ),
        "example_by_example": Mistake(
            lambda sure, right, bins: (sure - right).abs().mean(),
            "you compared example by example: one that was 0.8 sure and right would be wrong by "
            "0.2. Take means within each bin first.",
        ),
        "squared": Mistake(
            lambda sure, right, bins: _over_bins(sure, right, bins, gap=torch.square),
            "the differences are squared; the expected calibration error takes their size.",
        ),
        "largest": Mistake(
            lambda sure, right, bins: max(
                (sure[inside].mean() - right[inside].mean()).abs()
                for k in range(bins)
                if (inside := ((sure * bins).ceil().long() - 1) == k).any()
            ),
            "that is the worst bin, which is called the maximum calibration error.",
        ),
    },
    hints=[
        "First put the examples into bins: (sure * bins).ceil() - 1 is the number of the bin.",
        "In each bin that holds any: the mean of sure, the mean of right, and how far apart.",
        "Weigh each bin's difference by the share of the examples that it holds, and add.",
    ],
)

# A label after CutMix


def _cut_share(height, width, middle, side):
    """The share of its own label that an image keeps after CutMix.

    A square of so many pixels to a `side`, which is even, is pasted with its centre at `middle`,
    a row and a column: it covers the rows from row - side / 2 up to, and without, row + side / 2,
    and columns likewise. What would lie outside of the image is cut off.
    """
    covered = 1
    for size, centre in zip((height, width), middle, strict=True):
        covered *= max(0, min(size, centre + side // 2) - max(0, centre - side // 2))
    return 1 - covered / (height * width)


cut_share = Check(
    _cut_share,
    cases=[
        (10, 10, (5, 5), 4),
        (8, 12, (1, 11), 6),
        (28, 28, (26, 3), 14),
        (6, 5, (3, 2), 20),
    ],
    mistakes={
        "not_cut_off": Mistake(
            lambda height, width, middle, side: 1 - side * side / (height * width),
            "that is right where the square lies inside; at an edge a part of it is cut off, and "
            "the image keeps more of itself.",
        ),
        "pasted_share": Mistake(
            lambda *given: 1 - _cut_share(*given),
            "that is the share of what is pasted; asked for is what the image keeps.",
        ),
        "by_sides": Mistake(
            lambda height, width, middle, side: 1 - side / max(height, width),
            "labels go by area, not by the length of a side.",
        ),
        "at_least_nothing": Mistake(
            lambda height, width, middle, side: max(0.0, 1 - side * side / (height * width)),
            "the square is cut off before its area is taken, not afterwards.",
        ),
        "cut_off_in_front_only": Mistake(
            lambda height, width, middle, side: (
                1
                - (middle[0] + side // 2 - max(0, middle[0] - side // 2))
                * (middle[1] + side // 2 - max(0, middle[1] - side // 2))
                / (height * width)
            ),
            "above and on the left it is cut off, below and on the right it is not.",
        ),
    },
    hints=[
        "Take the rows alone first: which rows does the square cover, and which of them exist?",
        "From max(0, row - side // 2) to min(height, row + side // 2); likewise the columns.",
        "1 - rows * columns / (height * width).",
    ],
)
