"""Remedies do what they are called, and the better strength is chosen by validation alone."""

import torch
from torch import nn

from payattention.experiments import error_vs_mixing, error_vs_operations, error_vs_remedy
from payattention.experiments.error_vs_remedy import REMEDIES, Remedy, chosen, findings
from payattention.records import Results


def rows(errors):
    """Three seeds of each remedy, strength and validation error."""
    return [
        {"remedy": remedy, "strength": strength, "wrong": 0.0, "seed": seed, "steps": 500}
        | {"validation_error": validation, "error": test + seed * test / 30, "nll": 1.0, "ece": 0.1}
        for remedy, strength, validation, test in errors
        for seed in range(3)
    ]


def test_the_test_images_choose_nothing():
    made = rows([("none", 0, 0.3, 0.3), ("mixup", 0, 0.25, 0.4), ("mixup", 1, 0.35, 0.1)])
    made.append(made[0] | {"steps": 20, "validation_error": 0.9, "error": 0.9})
    kept = chosen(Results.from_records("error_vs_remedy", made))
    assert len(kept) == 6
    assert set(kept.where(remedy="mixup").column("strength").tolist()) == {0}
    found = findings(Results.from_records("error_vs_remedy", made))
    assert found["mixup_0_error_over_none"] == "10.3 (9.5 to 11.2) points higher"
    assert found["mixup_0_nll_over_none"] == "no effect seen" and found["comparisons"] == "3"
    assert found["none_0_error"] == "31.0\N{NO-BREAK SPACE}%"


def test_every_remedy_but_none_has_two_strengths_of_one_thing():
    for name, tries in REMEDIES.items():
        assert len(tries) == (1 if name == "none" else 2)
        plain = Remedy()
        changed = [
            {field for field in Remedy._fields if getattr(one, field) != getattr(plain, field)}
            for one in tries
        ]
        assert all(fields == changed[0] for fields in changed)
        assert len(changed[0]) == (0 if name == "none" else 1 + name.startswith("shifts, "))
        assert len(set(tries)) == len(tries)


def drawn(remedy):
    images, classes = error_vs_mixing.labelled("clothes, CNN", 50, 0.0, 0)
    draw = error_vs_remedy._drawing(images, classes, 20, remedy)
    return draw(torch.Generator().manual_seed(0))[:2], (images, classes)


def test_what_mixes_gives_soft_labels_and_what_shifts_does_not():
    for remedy in (Remedy(mixup=1.0), Remedy(cutmix=1.0), Remedy(shift=1, mixup=1.0)):
        (_, labels), _ = drawn(remedy)
        torch.testing.assert_close(labels.sum(dim=1), torch.ones(20))
    (images, labels), (all_images, _) = drawn(Remedy(shift=3))
    assert labels.dtype == torch.long
    whole = {tuple(x.flatten().tolist()) for x in all_images}
    assert sum(tuple(x.flatten().tolist()) in whole for x in images) < 5
    (images, _), _ = drawn(Remedy())
    assert all(tuple(x.flatten().tolist()) in whole for x in images)


def test_smoothing_and_hidden_layers_change_the_loss():
    torch.manual_seed(0)
    model = error_vs_mixing.build("clothes, CNN", 0)
    images, classes = error_vs_mixing.labelled("clothes, CNN", 50, 0.0, 0)
    losses = {
        remedy: error_vs_remedy._loss(remedy)(
            model, (images, classes, torch.Generator().manual_seed(0))
        )
        for remedy in (Remedy(), Remedy(smoothing=0.2), Remedy(manifold=1.0))
    }
    plain = nn.functional.cross_entropy(model(images), classes)
    assert torch.equal(losses[Remedy()], plain)
    smooth = 0.8 * plain - 0.2 * model(images).log_softmax(dim=1).mean()
    torch.testing.assert_close(losses[Remedy(smoothing=0.2)], smooth)
    assert not torch.equal(losses[Remedy(manifold=1.0)], plain)


def test_a_step_is_billed_as_it_is_counted_by_hand():
    """Three passes' worth of each layer's products, but for the first, whose input needs no
    gradient."""
    widths, places = (1, 16, 32, 64, 112), (28**2, 14**2, 7**2, 3**2)
    layers = [
        2 * 9 * before * after * count
        for before, after, count in zip(widths, widths[1:], places, strict=False)
    ]
    by_hand = 64 * (3 * (sum(layers) + 2 * 112 * 10) - layers[0])
    assert error_vs_operations.step_flops() == by_hand
