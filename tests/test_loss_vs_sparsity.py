"""As much is left out as was asked for, and what is free is what costs nothing."""

from dataclasses import replace

import pytest
import torch

from payattention.experiments import loss_vs_sparsity
from payattention.records import Results

SPARSITY = replace(
    loss_vs_sparsity.FULL, stretches=2, images=30, heard=2, batches=(1, 2), steps=(1, 2)
)


@pytest.mark.parametrize("model", SPARSITY.models)
@pytest.mark.parametrize("way", ["two of four, Wanda", loss_vs_sparsity.RETRAINED])
def test_as_many_weights_are_zero_as_the_point_says(model, way):
    point = {"model": model, "way": way, "share": 0.5, "seed": 1}
    (record,) = loss_vs_sparsity.measure(SPARSITY, point)
    assert record["sparsity"] == pytest.approx(0.5, abs=1e-6)
    assert record["unseen"] >= 0 and record["seen"] >= 0


def test_seeds_share_the_images_out():
    parts = [loss_vs_sparsity.task(SPARSITY, "ViT", seed).unseen[1] for seed in range(3)]
    assert [len(part) for part in parts] == [10, 10, 10]
    assert sorted(torch.cat(parts).tolist()) == sorted(list(range(10)) * 3)


def made_losses(losses, model="GPT"):
    rows = [
        {"model": model, "way": way, "share": share, "seed": seed, "seen": loss, "unseen": loss}
        for (way, share), by_seed in losses.items()
        for seed, loss in enumerate(by_seed)
    ]
    return Results.from_records("loss_vs_sparsity", rows)


def test_free_ends_at_the_first_share_that_costs():
    made = made_losses(
        {
            ("whole", 0.0): [1.0, 2.0],
            ("magnitude", 0.3): [1.0, 2.01],
            ("magnitude", 0.5): [1.04, 2.04],
            ("magnitude", 0.7): [1.2, 2.2],
            ("magnitude", 0.8): [1.0, 2.0],
            ("chance", 0.3): [3.0, 3.0],
        }
    )
    assert loss_vs_sparsity.lost(made, "GPT", "magnitude")[0.7] == pytest.approx([0.2, 0.2])
    assert loss_vs_sparsity.most_free(made, "GPT", "magnitude") == 0.5
    assert loss_vs_sparsity.most_free(made, "GPT", "chance") == 0.0


def test_the_curve_begins_with_the_whole_model_for_each_score():
    made = made_losses(
        {
            ("whole", 0.0): [1.0, 2.0],
            ("magnitude", 0.3): [1.5, 2.5],
            ("Wanda", 0.3): [1.4, 2.4],
            ("chance", 0.3): [3.0, 4.0],
            ("magnitude, each map", 0.3): [7.0, 7.0],
        }
    )
    curve = loss_vs_sparsity.curve(made)
    assert set(curve.column("score")) == {"magnitude", "wanda", "chance"}
    for score, bits in (("magnitude", [1.5, 2.5]), ("wanda", [1.4, 2.4]), ("chance", [3.0, 4.0])):
        assert curve.where(score=score, sparsity=0.0).column("bits").tolist() == [1.0, 2.0]
        assert curve.where(score=score, sparsity=0.3).column("bits").tolist() == bits
