"""The plane is shown the right way up, and an α that mixes leaves more of it undecided."""

from dataclasses import replace

import pytest
import torch

from payattention.experiments import answer_vs_share, boundary_vs_alpha
from payattention.experiments.boundary_vs_alpha import FULL, SQUARES, grid, judged, learned
from payattention.records import Results
from payattention.tasks import Moons


def test_the_grid_goes_row_by_row_from_the_top_left():
    points = grid("moons", side=3)
    (left, right), (low, high) = SQUARES["moons"]
    corners = [points[place].tolist() for place in (0, 2, 6, 8)]
    expected = [[left, high], [right, high], [left, low], [right, low]]
    assert torch.allclose(torch.tensor(corners), torch.tensor(expected))


@pytest.mark.parametrize("kind", FULL.kinds)
def test_the_square_holds_the_points(kind):
    (left, right), (low, high) = SQUARES[kind]
    for points, classes in (learned(FULL, kind, 0), judged(FULL, kind)):
        assert ((points[:, 0] > left) & (points[:, 0] < right)).float().mean() > 0.99
        assert ((points[:, 1] > low) & (points[:, 1] < high)).float().mean() > 0.99
        assert classes.unique().numel() == boundary_vs_alpha.CLASSES[kind]


def test_components_are_those_of_the_training_digits():
    places, _ = boundary_vs_alpha._flat("train")
    spread = (places - places.mean(dim=0)).T @ places / len(places)
    assert spread[0, 0] > spread[1, 1] and abs(spread[0, 1]) < 1e-4


def test_moons_lie_on_two_half_circles():
    points, classes = Moons(noise=0.0).draw(500, torch.Generator().manual_seed(0))
    upper, lower = points[classes == 0], points[classes == 1]
    assert torch.allclose(upper.norm(dim=1), torch.ones(len(upper)))
    assert (upper[:, 1] >= 0).all() and (lower[:, 1] <= 0.5).all()
    assert torch.allclose((lower - torch.tensor([1, 0.5])).norm(dim=1), torch.ones(len(lower)))
    assert abs(len(upper) - 250) < 50
    with pytest.raises(ValueError, match="noise=-1"):
        Moons(noise=-1)


def test_mixing_leaves_more_undecided():
    config = replace(FULL, steps=200)
    undecided = [
        boundary_vs_alpha.measure(config, {"kind": "moons", "alpha": alpha, "seed": 0})[0]
        for alpha in (0.0, 1.0)
    ]
    assert undecided[1]["undecided"] > undecided[0]["undecided"] + 0.1


def test_lines_join_unlike_images():
    classes = torch.arange(10).repeat(20)
    pairs = answer_vs_share.ends(classes, 50)
    assert pairs.shape == (50, 2)
    assert (classes[pairs[:, 0]] != classes[pairs[:, 1]]).all()
    assert [tuple(classes[list(pair)].tolist()) for pair in answer_vs_share.shown(classes)] == [
        *answer_vs_share.SHOWN
    ]
    one, other = torch.ones(2, 2), torch.zeros(2, 2)
    assert (answer_vs_share.between(one, other, 0.75) == 0.75).all()


def test_means_leave_single_pairs_and_few_steps_out():
    row = {"alpha": 0.0, "steps": 9, "seed": 0, "share": 0.5, "sure": 0.5}
    rows = [row, row | {"steps": 1}, row | {"pair": 0, "named": 3, "probability": 0.1}]
    kept = answer_vs_share.means(Results.from_records("answer_vs_share", rows))
    assert [record["sure"] for record in kept.records()] == [0.5]
