"""What has been learned by heart is what a network says of the images it was trained on."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from payattention.experiments import error_vs_mixing, memorised_vs_mixing
from payattention.experiments.error_vs_mixing import Map

CONFIG = replace(
    memorised_vs_mixing.FULL,
    maps=(Map("digits, CNN", (50,), (0.4,), (0.0,)),),
    runs=replace(error_vs_mixing.FULL, judged=100),
    seeds=1,
)


class Knows(nn.Module):
    """Says of every image that it knows the label it was given, and 0 of every other."""

    def __init__(self, images, classes):
        super().__init__()
        self.images, self.classes = images, classes

    def forward(self, x):
        same = (x.flatten(1)[:, None] == self.images.flatten(1)).all(dim=-1)
        found = nn.functional.one_hot(self.classes, 10).float()
        return same.float() @ found


@pytest.mark.parametrize(("given", "wrong", "right"), [(True, 1.0, 1.0), (False, 0.0, 1.0)])
def test_who_knows_the_given_labels_has_learned_them_and_who_knows_the_true_ones_has_not(
    monkeypatch, given, wrong, right
):
    point = memorised_vs_mixing.points(CONFIG)[0]
    of = point["kind"], point["labels"]
    labels = error_vs_mixing.labelled(*of, point["wrong"] if given else 0.0, point["seed"])
    monkeypatch.setattr(error_vs_mixing, "learn", lambda *_, **__: Knows(*labels))
    [record] = memorised_vs_mixing.measure(CONFIG, point)
    assert (record["wrong_learned"], record["right_learned"]) == (wrong, right)


def test_a_training_of_many_passes_learns_wrong_labels_by_heart():
    config = replace(CONFIG, runs=replace(CONFIG.runs, most_steps=150))
    torch.manual_seed(0)
    [record] = memorised_vs_mixing.measure(config, memorised_vs_mixing.points(config)[0])
    assert record["wrong_learned"] > 0.8 and record["right_learned"] > 0.8
    assert record["error"] > 0.2
