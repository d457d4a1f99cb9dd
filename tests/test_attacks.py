"""Attacks stay in their box, find what they should, and are those of a published library."""

import inspect
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from payattention import attacks
from payattention.attacks import fgsm, iterates, pgd


def scene(seed=0, batch=13, classes=5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(80, 17), nn.Tanh(), nn.Linear(17, classes))
        model = model.double()
        images = torch.rand(batch, 8, 10, dtype=torch.double)
        return model, images, torch.randint(classes, (batch,))


@pytest.fixture(scope="module")
def foolbox():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("foolbox")


def of_foolbox(foolbox, attack, scene, epsilon):
    model, images, classes = scene
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device="cpu")
        _, clipped, _ = attack(theirs, images, classes, epsilons=epsilon)
    return clipped


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.4])
def test_fgsm_is_that_of_foolbox(foolbox, epsilon):
    at = scene()
    theirs = of_foolbox(
        foolbox, foolbox.attacks.LinfFastGradientAttack(random_start=False), at, epsilon
    )
    torch.testing.assert_close(fgsm(*at, epsilon=epsilon), theirs)


@pytest.mark.parametrize("epsilon", [0.02, 0.1])
@pytest.mark.parametrize("steps", [1, 10])
def test_pgd_passes_where_foolbox_does(foolbox, epsilon, steps):
    at = scene()
    attack = foolbox.attacks.LinfPGD(abs_stepsize=epsilon / 4, steps=steps, random_start=False)
    *_, ours = iterates(*at, epsilon=epsilon, steps=steps, step=epsilon / 4)
    torch.testing.assert_close(ours, of_foolbox(foolbox, attack, at, epsilon))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 1), st.integers(1, 12))
def test_pgd_is_never_kinder_than_fgsm(seed, epsilon, steps):
    model, images, classes = scene(seed)
    left = {}
    for attack in (fgsm, pgd):
        how = dict(steps=steps) if attack is pgd else {}
        found = attack(model, images, classes, epsilon=epsilon, **how)
        assert (found - images).abs().max() <= epsilon + 1e-12
        assert found.min() >= 0 and found.max() <= 1
        left[attack] = model(found).argmax(dim=1) == classes
    whole = model(images).argmax(dim=1) == classes
    assert not (left[pgd] & ~left[fgsm]).any()  # image by image
    assert not (left[pgd] & ~whole).any()


def test_more_steps_find_more():
    model, images, _ = scene(batch=200)
    classes = model(images).argmax(dim=1)  # all right before anybody attacks
    how = dict(epsilon=0.03)
    found = [fgsm(model, images, classes, **how)]
    found += [pgd(model, images, classes, steps=steps, **how) for steps in (1, 20)]
    right = [(model(x).argmax(dim=1) == classes).double().mean() for x in found]
    assert right[2] <= right[1] <= right[0] < 1


def test_of_all_that_it_passes_the_worst_is_kept():
    """A loss with a dip behind its peak: the last step is not the best."""

    def model(x):
        peak = 1 - (x - 0.62).abs() * 10
        return torch.stack([torch.zeros_like(peak), peak], dim=1)

    x, classes = torch.tensor([0.5]), torch.tensor([0])
    passed = torch.stack(list(iterates(model, x, classes, epsilon=0.2, steps=5, step=0.07)))
    assert passed[-1] != pgd(model, x, classes, epsilon=0.2, steps=5, step=0.07)
    worst = pgd(model, x, classes, epsilon=0.2, steps=5, step=0.07)
    assert model(worst)[0, 1] == model(passed[:, 0]).max(dim=0).values[1]


def test_nothing_of_the_model_is_changed():
    model, images, classes = scene()
    before = images.clone()
    pgd(model, images, classes, epsilon=0.1, steps=2)
    assert all(weights.grad is None for weights in model.parameters())
    assert torch.equal(images, before) and not images.requires_grad
    with torch.no_grad():  # an evaluation runs without gradients, and the attack needs its own
        assert not torch.equal(fgsm(model, images, classes, epsilon=0.1), images)


@pytest.mark.parametrize(
    "change, told",
    [
        (dict(epsilon=-0.1), "epsilon: got -0.1"),
        (dict(epsilon=8.0), "epsilon: got 8.0; expected 0 to 1"),
        (dict(steps=0), "steps: got 0"),
        (dict(step=0.0), "step: got 0.0"),
        (dict(classes=torch.tensor([0])), "classes: got 1 for 13 images"),
        (dict(images=255 * torch.ones(13, 8, 10)), "images: got pixels from 255 to 255"),
    ],
)
def test_bad_input_is_named(change, told):
    model, images, classes = scene()
    given = dict(images=images, classes=classes, epsilon=0.1, steps=2) | change
    with pytest.raises(ValueError, match=told):
        inspect.unwrap(pgd)(model, **given)
    with pytest.raises(ValueError, match=told):
        list(inspect.unwrap(attacks.iterates)(model, **given))
