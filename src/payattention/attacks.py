"""Images changed by a hair, so that a model names them wrongly.

Each pixel may change by at most ε, and stays between 0 and 1. The fast gradient sign method (FGSM)
takes one step of that size, in the direction in which the loss grows. Projected gradient descent
(PGD) takes many small ones and goes back into the box after each; of all that it passes, FGSM's
image among them, it keeps the one that the model gets wrong, or else the one of the largest loss.
So a model is never more often right under PGD than under FGSM at the same ε.

Both know the model's gradient. A model that withstands them may still fail to another attack.

Sources: Goodfellow et al. 2015 (arXiv:1412.6572) for FGSM; Madry et al. 2018 (arXiv:1706.06083)
for PGD.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Images = Float[Tensor, "batch ..."]
Classes = Int[Tensor, " batch"]
Model = Callable[[Tensor], Tensor]


def fgsm(model: Model, images: Images, classes: Classes, *, epsilon: float) -> Images:
    """Each image after one step of ε for each pixel, uphill in the loss of its class.

    >>> def model(x):  # sure of class 1 the more, the brighter the pixel
    ...     return torch.stack([-x, x], dim=1)
    >>> fgsm(model, torch.tensor([0.5, 0.95]), torch.tensor([1, 0]), epsilon=0.25)
    tensor([0.2500, 1.0000])

    Raises:
        ValueError: for an ε that is not from 0 to 1, pixels outside 0 to 1, and classes that are
            not as many as images.
    """
    _expect(images, classes, epsilon)
    gradient, _ = _uphill(model, images, classes)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


def pgd(
    model: Model,
    images: Images,
    classes: Classes,
    *,
    epsilon: float,
    steps: int = 20,
    step: float | None = None,
) -> Images:
    """The worst image for the model that `steps` steps find within ε of each image.

    `step` is how far a pixel goes in one of them; without it, 2.5 ε over the number of steps, as
    Madry et al. advise, so that any point of the box can be reached.

    Raises:
        ValueError: as `fgsm`; also for no steps, and a step that is not positive.
    """
    _expect(images, classes, epsilon)
    worst = images.clone()
    wrong, loss = _judged(model, worst, classes)
    tried = [fgsm(model, images, classes, epsilon=epsilon)]
    passed = iterates(model, images, classes, epsilon=epsilon, steps=steps, step=step)
    for x in (x for some in (tried, passed) for x in some):
        now_wrong, now_loss = _judged(model, x, classes)
        worse = (now_wrong & ~wrong) | ((now_wrong == wrong) & (now_loss > loss))
        worst[worse] = x[worse]
        wrong, loss = wrong | now_wrong, torch.where(worse, now_loss, loss)
    return worst


def iterates(
    model: Model,
    images: Images,
    classes: Classes,
    *,
    epsilon: float,
    steps: int,
    step: float | None = None,
) -> Iterator[Images]:
    """The images after each step of PGD from the images themselves.

    Raises:
        ValueError: as `pgd`.
    """
    _expect(images, classes, epsilon)
    if steps < 1:
        raise ValueError(f"steps: got {steps}; expected at least 1")
    far = 2.5 * epsilon / steps if step is None else step
    if step is not None and not step > 0:
        raise ValueError(f"step: got {step}; expected a positive number")
    x = images
    for _ in range(steps):
        gradient, _ = _uphill(model, x, classes)
        x = x + far * gradient.sign()
        x = x.clamp(images - epsilon, images + epsilon).clamp(0, 1)
        yield x


def _uphill(model: Model, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of each image's loss, and the losses."""
    x = images.detach().requires_grad_()
    with torch.enable_grad():
        losses = F.cross_entropy(model(x), classes.long(), reduction="none")
        [gradient] = torch.autograd.grad(losses.sum(), x)
    return gradient, losses.detach()


@torch.no_grad()
def _judged(
    model: Model, images: Tensor, classes: Tensor
) -> tuple[Bool[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Which images are named wrongly, and the loss of each."""
    logits = model(images)
    losses = F.cross_entropy(logits, classes.long(), reduction="none")
    return logits.argmax(dim=1) != classes, losses


def _expect(images: Tensor, classes: Tensor, epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: got {epsilon}; expected 0 to 1, as a share of full brightness")
    if len(classes) != len(images):
        raise ValueError(f"classes: got {len(classes)} for {len(images)} images; expected as many")
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        low, high = images.min().item(), images.max().item()
        raise ValueError(f"images: got pixels from {low:.3g} to {high:.3g}; expected 0 to 1")
