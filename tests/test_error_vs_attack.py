"""What is done to images is what its name says, and leaves the rest alone."""

from dataclasses import replace

import pytest
import torch

from payattention import data
from payattention.experiments import error_vs_attack
from payattention.experiments.error_vs_attack import FULL, changes, findings, hidden, nonsense
from payattention.records import Results

IMAGES = data.fashion("test")[0][:40]


@pytest.mark.parametrize("size", [6, 14])
def test_a_patch_hides_a_square_of_its_size(size):
    found = hidden(IMAGES + 2, size, torch.Generator().manual_seed(0))
    grey = found == 0.5
    assert (grey.sum(dim=(1, 2)) == size**2).all()
    for image in grey:
        rows, columns = image.any(dim=1), image.any(dim=0)
        assert torch.equal(image, rows[:, None] & columns) and rows.sum() == size
    assert torch.equal(found[~grey], (IMAGES + 2)[~grey])
    assert len({tuple(image.nonzero()[0].tolist()) for image in grey}) > 20  # all over the image


def test_every_change_changes_and_the_larger_the_more():
    made = changes(FULL, 0)
    for name in {name for name, _ in made}:
        sizes = sorted(size for kind, size in made if kind == name)
        if name == "contrast":
            sizes = sizes[::-1]  # the less is left, the larger the change
        moved = [(made[name, size](IMAGES) - IMAGES).abs().mean().item() for size in sizes]
        assert moved[0] > 0 and moved == sorted(moved), name
        assert all(made[name, size](IMAGES).shape == IMAGES.shape for size in sizes)


def test_all_models_of_a_seed_see_the_same_changes():
    for key, change in changes(FULL, 3).items():
        assert torch.equal(change(IMAGES), changes(FULL, 3)[key](IMAGES))


def test_nonsense_has_no_class_and_the_right_size():
    found = nonsense(IMAGES, 0)
    assert all(x.shape == IMAGES.shape for x in found.values())
    for one, other in zip(found["pixels shuffled"], IMAGES, strict=True):
        assert torch.equal(one.flatten().sort().values, other.flatten().sort().values)
        assert not torch.equal(one, other)


def test_findings_compare_seed_by_seed():
    rows = [
        {"alpha": alpha, "steps": 500, "seed": seed, "change": change, "size": size}
        | {"error": None if size is None else 0.3 + seed / 10 - alpha * (8 + seed) / 90}
        | {"sure": 0.5}
        for alpha in (0.0, 1.0)
        for seed in range(3)
        for change, size in (("PGD", 0.02), ("noise alone", None))
    ]
    rows.append(rows[0] | {"steps": 20, "error": 0.9})
    found = findings(Results.from_records("error_vs_attack", rows))
    assert found["pgd_0.02_0_error"] == "40.0\N{NO-BREAK SPACE}%"  # not of the few steps
    assert found["pgd_0.02_1_error_said"] == "10.0 (7.2 to 12.8) points lower"
    assert found["noise_alone_1_sure_said"] == "no effect seen"
    assert "noise_alone_1_error" not in found and found["comparisons"] == "3"


def test_the_adversary_is_worse_than_chance():
    """A model that has learned something withstands noise better than an adversary."""
    config = replace(
        FULL,
        labels=500,
        cheap_steps=60,
        epsilons=(0.08,),
        pgd_steps=10,
        attacked=60,
        noises=(0.08,),
        shown=60,
    )
    rows = error_vs_attack.measure(config, {"alpha": 0.0, "steps": 60, "seed": 0})
    error = {row["change"]: row["error"] for row in rows}
    assert error["PGD"] >= error["FGSM"] > error["noise"]
