"""Images for a Transformer and for its rival: a small CNN, and shifts and flips that teach more.

A Vision Transformer is a `transformer.Classifier` that reads `transformer.patches`. Nothing in it
says that neighbours belong together, or that a shoe a pixel to the left is the same shoe: it has
to learn both. A convolution takes both for granted, since every filter sees one small square and
is the same everywhere.

Source of the plan of the CNN: LeCun et al. 1998, as LeNet-5, with ReLU and a mean over the places
instead of its wide layers at the end.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 3


class ConvolutionalClassifier(nn.Module):
    """A CNN that says what an image shows: filters of 3 x 3 pixels, a layer for each of `widths`.

    After each layer but the last, the largest of every 2 x 2 places is kept. What the last layer
    finds is averaged over the image.

    >>> model = ConvolutionalClassifier((4, 8), classes=10)
    >>> model(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 10])

    Raises:
        ValueError: for no layer, a width or a number of classes below 1, and an image from which
            the halving leaves nothing.
    """

    def __init__(self, widths: Sequence[int], *, classes: int) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"widths={widths!r}: expected one or more numbers from 1 up")
        if classes < 1:
            raise ValueError(f"classes={classes}: expected at least 1")
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, KERNEL, padding="same")
            for before, after in zip((1, *widths), widths, strict=False)
        )
        self.output = nn.Linear(widths[-1], classes)

    def forward(
        self, images: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of the classes."""
        least = 2 ** (len(self.layers) - 1)
        if min(images.shape[1:]) < least:
            raise ValueError(
                f"images: got {images.shape[1]} x {images.shape[2]} pixels; "
                f"expected at least {least} x {least}"
            )
        x = F.relu(self.layers[0](images[:, None]))
        for layer in self.layers[1:]:
            x = F.relu(layer(F.max_pool2d(x, 2)))
        return self.output(x.mean(dim=(2, 3)))


def shifted(
    images: Float[Tensor, "batch height width"], generator: torch.Generator, *, pixels: int
) -> Float[Tensor, "batch height width"]:
    """Each image moved by up to so many pixels, across and down; 0 comes in at the edges.

    Raises:
        ValueError: for a negative number of pixels.
    """
    if pixels < 0:
        raise ValueError(f"pixels={pixels}: expected at least 0")
    batch, height, width = images.shape
    framed = F.pad(images, (pixels,) * 4)
    down, across = torch.randint(2 * pixels + 1, (2, batch, 1), generator=generator)
    rows, columns = down + torch.arange(height), across + torch.arange(width)
    return framed[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]


def mirrored(
    images: Float[Tensor, "batch height width"], generator: torch.Generator
) -> Float[Tensor, "batch height width"]:
    """Each image as it is or seen in a mirror, with equal chance."""
    mirror = torch.randint(2, (len(images), 1, 1), generator=generator).bool()
    return torch.where(mirror, images.flip(2), images)
