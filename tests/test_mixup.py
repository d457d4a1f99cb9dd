"""New examples lie between two of the batch, inputs and labels at the same share."""

import inspect
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from payattention import mixup as mixing
from payattention.mixup import Collate, Mixing, cutmix, embedding_mixup, manifold_mixup, mixup
from payattention.vision import ConvolutionalClassifier

FORMS = {"mixup": mixup, "cutmix": cutmix}
BATCH, CLASSES, HEIGHT, WIDTH = 11, 5, 7, 13
ALPHAS = st.floats(1e-3, 1e3)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def a_batch(dtype=torch.float32, batch=BATCH):
    """Images whose pixels all have the value of their class, and the classes."""
    labels = torch.arange(batch) % CLASSES
    return labels.to(dtype).view(-1, 1, 1).expand(-1, HEIGHT, WIDTH), labels


@settings(deadline=None)
@given(ALPHAS, st.integers(0, 2**60), st.booleans(), st.sampled_from(list(FORMS)))
def test_labels_sum_to_one_and_say_what_is_in_the_image(alpha, seed, per_example, form):
    images, labels = a_batch(torch.float64)
    images, labels = FORMS[form](
        images,
        labels,
        alpha=alpha,
        classes=CLASSES,
        generator=chance(seed),
        per_example=per_example,
    )
    assert images.shape == (BATCH, HEIGHT, WIDTH) and labels.shape == (BATCH, CLASSES)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(BATCH, dtype=torch.float64))
    assert (labels >= 0).all()
    # a pixel is worth its class, so that the mean of an image is the mean of its label
    expected = labels @ torch.arange(CLASSES, dtype=torch.float64)
    torch.testing.assert_close(images.mean(dim=(1, 2)), expected)


@given(ALPHAS, st.integers(0, 2**60), st.booleans())
def test_all_are_mixed_with_one_of_the_batch(alpha, seed, per_example):
    made = mixing.drawn(BATCH, alpha=alpha, generator=chance(seed), per_example=per_example)
    assert sorted(made.order.tolist()) == list(range(BATCH))
    assert ((made.shares >= 0) & (made.shares <= 1)).all()
    assert per_example or len(made.shares.unique()) == 1


@pytest.mark.parametrize("alpha", [0.1, 1.0, 7.0])
def test_shares_are_from_beta(alpha):
    numbers = chance()
    drawn = [mixing.drawn(2, alpha=alpha, generator=numbers).shares[0] for _ in range(1000)]
    each = mixing.drawn(1000, alpha=alpha, generator=numbers, per_example=True).shares
    for shares in (np.array(drawn), each.numpy()):
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01
        assert abs(shares.mean() - 0.5) < 4 / math.sqrt(4 * (2 * alpha + 1) * 1000)


def test_with_all_of_one_and_nothing_of_the_other_nothing_changes():
    x = torch.randn(3, 4, generator=chance())
    x[0, 0] = 1e30
    order = torch.tensor([1, 2, 0])
    assert torch.equal(Mixing(order, torch.ones(3)).of(x), x)
    assert torch.equal(Mixing(order, torch.zeros(3)).of(x), x[order])


def test_a_vanishing_alpha_leaves_each_image_whole():
    images, labels = a_batch()
    mixed, soft = mixup(images, labels, alpha=1e-5, classes=CLASSES, generator=chance(1))
    assert torch.equal(mixed[:, 0, 0], mixed.mean(dim=(1, 2)))
    assert set(soft.flatten().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_and_device_stay_and_the_batch_too(form, dtype):
    images, labels = a_batch(dtype)
    images, labels = images.clone(), labels.clone()
    before = images.clone(), labels.clone()
    mixed, soft = FORMS[form](images, labels, alpha=1.0, classes=CLASSES, generator=chance())
    assert mixed.dtype == soft.dtype == dtype
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])


@pytest.mark.parametrize("form", FORMS)
def test_the_generator_decides_all(form):
    images, labels = torch.rand(BATCH, HEIGHT, WIDTH, generator=chance(3)), torch.arange(BATCH) % 5
    how = dict(alpha=0.7, classes=CLASSES)
    torch.manual_seed(1)
    first = FORMS[form](images, labels, generator=chance(4), **how)
    torch.manual_seed(2)
    again = FORMS[form](images, labels, generator=chance(4), **how)
    other = FORMS[form](images, labels, generator=chance(5), **how)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_soft_labels_may_come_in():
    images, labels = a_batch()
    soft = mixing.soft(labels, CLASSES)
    hard = mixup(images, labels, alpha=0.5, classes=CLASSES, generator=chance())
    given = mixup(images, soft, alpha=0.5, generator=chance())
    assert all(torch.equal(a, b) for a, b in zip(hard, given, strict=True))


def test_cutmix_pastes_one_rectangle():
    ones, zeros = torch.ones(1, 2, HEIGHT, WIDTH), torch.zeros(1, 2, HEIGHT, WIDTH)
    seen = set()
    for seed in range(40):
        images, labels = cutmix(
            torch.cat([ones, zeros]),
            torch.tensor([1, 0]),
            alpha=1.0,
            classes=2,
            generator=chance(seed),
        )
        for before, image, label in zip((1, 0), images, labels, strict=True):
            assert torch.equal(image[0], image[1])  # all channels alike
            piece = image[0] != before
            rows, columns = piece.any(dim=1), piece.any(dim=0)
            assert torch.equal(piece, rows[:, None] & columns)
            torch.testing.assert_close(label[1], image.mean())
        seen.add(int(piece.sum()))
    assert len(seen) > 10


def test_a_piece_has_the_area_that_is_missing_where_it_fits():
    for share in (0.0, 0.3, 0.75, 1.0):
        inside = mixing._within(100, torch.tensor([0.5]), torch.tensor([1 - share]).sqrt())
        assert abs(inside.float().mean().item() - math.sqrt(1 - share)) <= 0.01


class Listening(nn.Module):
    """Two maps, and a record of what the second is given."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, CLASSES)

    def forward(self, x):
        self.heard = self.first(x)
        return self.second(self.heard)


def test_a_hidden_layer_is_mixed_and_gradients_pass():
    torch.manual_seed(0)
    model, x = Listening(), torch.randn(BATCH, 3)
    labels = torch.arange(BATCH) % CLASSES
    outputs, soft = manifold_mixup(
        model, x, labels, layers=[model.first], alpha=1.0, classes=CLASSES, generator=chance()
    )
    assert not torch.equal(model.heard, model.first(x))
    # the labels say who was mixed with whom: the same shares mix what the layer makes
    generator = chance()
    mixing._numbers(generator)
    made = mixing.drawn(BATCH, alpha=1.0, generator=generator)
    torch.testing.assert_close(model.heard, made.of(model.first(x)))
    torch.testing.assert_close(soft, made.of(mixing.soft(labels, CLASSES)))
    nn.functional.cross_entropy(outputs, soft).backward()
    assert model.first.weight.grad.abs().sum() > 0
    assert torch.equal(model(x), model.second(model.first(x)))  # nothing is left behind


def test_each_layer_has_its_turn_and_none_means_the_inputs():
    torch.manual_seed(0)
    model, x = Listening(), torch.randn(BATCH, 3)
    labels = mixing.soft(torch.arange(BATCH) % CLASSES, CLASSES)
    generator, turns = chance(), []
    for _ in range(60):
        manifold_mixup(model, x, labels, layers=[None, model.first], alpha=5.0, generator=generator)
        turns.append(torch.equal(model.heard, model.first(x)))
    assert not any(turns)
    ways = set()
    for seed in range(20):
        manifold_mixup(
            model, x, labels, layers=[None, model.second], alpha=5.0, generator=chance(seed)
        )
        ways.add(torch.equal(model.heard, model.first(x)))
    assert ways == {True, False}


def test_token_vectors_are_mixed():
    torch.manual_seed(0)
    table = nn.Embedding(17, CLASSES)
    model = nn.Sequential(table, nn.Flatten(1), nn.Linear(3 * CLASSES, 2))
    ids, labels = torch.randint(17, (BATCH, 3)), torch.arange(BATCH) % 2
    outputs, soft = embedding_mixup(
        model, ids, labels, embedding=table, alpha=1.0, classes=2, generator=chance()
    )
    generator = chance()
    mixing._numbers(generator)
    made = mixing.drawn(BATCH, alpha=1.0, generator=generator)
    torch.testing.assert_close(outputs, model[2](made.of(table(ids)).flatten(1)))
    assert soft.dtype == torch.float32


def test_a_data_loader_can_mix():
    images, labels = a_batch(batch=10)
    data = TensorDataset(images, labels)
    loader = DataLoader(data, batch_size=5, collate_fn=Collate(alpha=1.0, classes=CLASSES))
    batches = list(loader)
    assert [tuple(x.shape) for x in batches[0]] == [(5, HEIGHT, WIDTH), (5, CLASSES)]
    expected = batches[0][1] @ torch.arange(CLASSES).float()
    torch.testing.assert_close(batches[0][0].mean(dim=(1, 2)), expected)
    assert not torch.equal(batches[0][1], next(iter(loader))[1])  # another epoch, another draw


def test_no_two_workers_and_no_two_epochs_draw_alike():
    data = TensorDataset(torch.rand(32, 2, 2), torch.arange(4).repeat(8))
    loader = DataLoader(
        data,
        batch_size=4,
        num_workers=2,
        multiprocessing_context="fork",
        generator=chance(1),
        collate_fn=Collate(alpha=1.0, classes=4),
    )

    def shares():
        return [float(soft[(soft > 0) & (soft < 1)].min()) for _, soft in loader]

    first, second = shares(), shares()
    assert len({round(share, 6) for share in first + second}) == 16
    loader.generator = chance(1)
    assert shares() == first


def test_a_collate_can_be_sent_to_a_process():
    examples = [(torch.tensor([float(n)]), n % 2) for n in range(8)]
    collate = Collate(alpha=0.5, classes=2, seed=4)
    sent = pickle.loads(pickle.dumps(collate))
    assert torch.equal(sent(examples)[0], collate(examples)[0])


IMAGES, LABELS = a_batch()
WRONG = {
    "alpha_0": (dict(alpha=0.0), ValueError, "alpha: got 0.0"),
    "alpha_below_0": (dict(alpha=-1.0), ValueError, "alpha: got -1.0"),
    "alpha_infinite": (dict(alpha=math.inf), ValueError, "alpha: got inf"),
    "alpha_none": (dict(alpha=math.nan), ValueError, "alpha: got nan"),
    "alone": (dict(inputs=IMAGES[:1], labels=LABELS[:1]), ValueError, "batch: got 1"),
    "whole_numbers": (dict(inputs=IMAGES.byte()), TypeError, "inputs: got torch.uint8"),
    "too_few": (dict(labels=LABELS[1:]), ValueError, "labels: got 10 for 11 inputs"),
    "too_high": (dict(labels=LABELS + 1), ValueError, "labels: example 4 has 5; expected 0 to 4"),
    "below_0": (dict(labels=LABELS - 1), ValueError, "labels: example 0 has -1"),
    "no_classes": (dict(classes=None), ValueError, "classes: got None"),
    "yes_or_no": (dict(labels=LABELS > 2), TypeError, "labels: got torch.bool"),
    "no_probabilities": (
        dict(labels=torch.full((BATCH, CLASSES), 0.3)),
        ValueError,
        "labels: those of example 0 are no probabilities: they sum to 1.5",
    ),
    "negative": (
        dict(labels=torch.tensor([[1.5, -0.5, 0, 0, 0]]).repeat(BATCH, 1)),
        ValueError,
        "the least is -0.5",
    ),
    "not_finite": (dict(labels=torch.full((BATCH, CLASSES), math.nan)), ValueError, "example 0"),
    "other_classes": (dict(labels=torch.ones(BATCH, 1)), ValueError, r"expected \(batch, 5\)"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(form, name):
    change, error, told = WRONG[name]
    given = dict(inputs=IMAGES, labels=LABELS, alpha=1.0, classes=CLASSES) | change
    inputs, labels = given.pop("inputs"), given.pop("labels")
    with pytest.raises(error, match=told):
        inspect.unwrap(FORMS[form])(inputs, labels, generator=chance(), **given)


def test_an_image_has_two_sides():
    with pytest.raises(ValueError, match=r"images: got shape \(11, 7\)"):
        inspect.unwrap(cutmix)(
            torch.rand(BATCH, HEIGHT), LABELS, alpha=1.0, classes=CLASSES, generator=chance()
        )


def test_layers_that_cannot_be_mixed_are_named():
    model = ConvolutionalClassifier((2, 3), classes=CLASSES)
    how = dict(alpha=1.0, classes=CLASSES, generator=chance())
    images = torch.rand(BATCH, 8, 8)
    for layers, told in (
        ([], "layers: got none"),
        ([model.layers[0], nn.Linear(2, 3)], "layers: number 1 is no part"),
    ):
        with pytest.raises(ValueError, match=told):
            manifold_mixup(model, images, LABELS, layers=layers, **how)
    made = mixing.drawn(BATCH, alpha=1.0, generator=chance())
    with (
        pytest.raises(ValueError, match="layer: was called 0 times"),
        mixing.mixed_behind(model.output, made),
    ):
        model.layers[0](images[:, None])


def test_a_mean_over_many_draws_is_half_of_each():
    """Either image of a pair has the same share on average."""
    x = torch.tensor([[0.0], [1.0]])
    generator = chance()
    means = [
        mixup(x, torch.tensor([0, 1]), alpha=0.3, classes=2, generator=generator)[0].mean().item()
        for _ in range(400)
    ]
    assert abs(sum(means) / len(means) - 0.5) < 0.05
