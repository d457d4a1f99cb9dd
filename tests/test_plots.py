"""Plots: names do not overlap, colours are the palette's, bands hold the means."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from payattention import plots
from payattention.attention_maps import AttentionMaps
from payattention.experiments import (
    bits_vs_sides,
    gradient_vs_gap,
    loss_vs_design,
    recall_vs_gap,
    time_vs_tokens,
)
from payattention.records import Results


@given(st.lists(st.floats(0, 300), min_size=1, max_size=9), st.floats(1, 20))
def test_apart_keeps_the_order_and_the_gap(heights, gap):
    placed = plots.apart(heights, gap=gap)
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    steps = np.diff([placed[i] for i in order])
    assert (steps >= gap - 1e-6).all()
    assert sum(placed) == pytest.approx(sum(heights), abs=1e-6)


def test_curves_draw_means_and_bands():
    records = [
        {"model": model, "gap": gap, "recalled": 0.1 * seed + (model == "gru"), "seed": seed}
        for model in ("rnn", "gru")
        for gap in (8, 4)
        for seed in range(3)
    ]
    results = Results.from_records("recall", records)
    _, axis = plots.axes()
    assert plots.curves(axis, results, x="gap", y="recalled", by="model") is axis
    rnn, gru = axis.get_lines()
    assert rnn.get_xdata().tolist() == [4, 8] and rnn.get_color() == plots.colour("recurrence")
    np.testing.assert_allclose(rnn.get_ydata(), 0.1)
    np.testing.assert_allclose(gru.get_ydata(), 1.1)
    assert [text.get_text() for text in axis.texts] == ["RNN", "GRU"]
    lows = axis.collections[0].get_paths()[0].vertices[:, 1]
    # t quantile 4.303, standard deviation 0.1, three runs
    assert lows.min() == pytest.approx(0.1 - 4.303 * 0.1 / np.sqrt(3), abs=1e-3)
    plt.close("all")


def test_curves_by_two_columns_draw_every_run():
    records = [
        {"memory": memory, "size": size, "pairs": pairs, "recalled": 0.1 * seed}
        for memory, size in (("state", 4), ("state", 8), ("attention", 4))
        for pairs in (4, 8)
        for seed in range(3)
    ]
    results = Results.from_records("recall", records)
    lines = {("state", d): plots.Line(f"{d}", "recurrence") for d in (4, 8)}
    lines["attention", 4] = plots.LINES["attention"]
    _, axis = plots.axes()
    plots.curves(
        axis,
        results,
        x="pairs",
        y="recalled",
        by=("memory", "size"),
        lines=lines,
        middle="median",
        spread="runs",
    )
    assert [text.get_text() for text in axis.texts] == ["4", "8", "attention"]
    means, runs = axis.get_lines()[:2]
    np.testing.assert_allclose(means.get_ydata(), 0.1)
    assert len(runs.get_ydata()) == 6 and not axis.collections
    plots.dots(axis, results, x="pairs", y="recalled", by=("memory", "size"), lines=lines)
    assert len(axis.get_lines()) == 9
    plt.close("all")


def test_geometric_means_of_one_run_and_of_many():
    records = [{"layer": "rnn", "gap": 1, "norm": 1e-3}]
    records += [{"layer": "rnn", "gap": 2, "norm": norm} for norm in (1e-2, 1e-4)]
    _, axis = plots.axes()
    made = Results.from_records("norms", records)
    plots.curves(axis, made, x="gap", y="norm", by="layer", middle="geometric")
    np.testing.assert_allclose(axis.get_lines()[0].get_ydata(), [1e-3, 1e-3])
    plt.close("all")


def test_measured_draws_the_bounds_it_was_given():
    records = [{"length": n, "error": 0.1 * n, "low": 0.0, "high": 1.0} for n in (3, 2)]
    _, axis = plots.axes()
    made = Results.from_records("errors", records)
    plots.measured(axis, made, x="length", y="error", line=plots.LINES["dictionary"])
    np.testing.assert_allclose(axis.get_lines()[0].get_xdata(), [2, 3])
    assert axis.collections[0].get_paths()[0].vertices[:, 1].max() == 1.0
    plt.close("all")


def test_lines_that_are_not_named_wait_for_a_legend():
    made = Results.from_records("", [{"x": 1, "y": 2, "low": 1, "high": 3}])
    for named in (True, False):
        _, axis = plots.axes()
        plots.measured(axis, made, x="x", y="y", line=plots.LINES["lstm"], named=named)
        waiting = axis.get_legend_handles_labels()[1]
        written = [text.get_text() for text in axis.texts]
        assert (waiting, written) == (([], ["LSTM"]) if named else (["LSTM"], []))


def test_log_axis_is_marked_where_it_was_measured():
    _, axis = plots.axes()
    plots.log_axis(axis, [64, 128, 64, 4096], every=2)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["64", "4k"]
    plt.close("all")


def test_unknown_idea():
    with pytest.raises(ValueError, match="idea='magic': expected one of"):
        plots.colour("magic")


def test_style_uses_the_palette_alone():
    light = {shades["light"] for shades in plots.PALETTE.values()}
    used = {value for value in plots.STYLE.values() if str(value).startswith("#")}
    assert used <= light
    plots.use_style()
    assert plt.rcParams["svg.fonttype"] == "none"


def test_every_line_has_a_colour_of_its_idea():
    assert {line.idea for line in plots.LINES.values()} <= set(plots.PALETTE)


@pytest.mark.parametrize(
    "figure",
    [
        gradient_vs_gap.LAYERS,
        tuple(recall_vs_gap.WIDTHS),
        time_vs_tokens.READERS,
        time_vs_tokens.WRITERS,
        ("dictionary", "joined"),
        tuple(loss_vs_design.DESIGNS),
        bits_vs_sides.MODELS,
    ],
)
def test_lines_of_one_figure_can_be_told_apart(figure):
    lines = [plots.LINES[name] for name in figure]
    assert len({(line.idea, line.dashes, line.marker) for line in lines}) == len(lines)


def test_a_heat_map_has_a_square_for_each_share_that_can_be_seen():
    _, axis = plots.axes()
    shares = [[1.0, 0.0, 0.0], [0.25, 0.75, 0.001]]
    drawn = plots.heat_map(axis, shares, across=["a", "b", "c"], down=["x", "y"], numbers=True)
    assert drawn is axis
    (squares,) = axis.collections
    assert squares.get_facecolors()[:, 3].tolist() == [1.0, 0.25, 0.75]
    corners = [path.vertices.min(axis=0).tolist() for path in squares.get_paths()]
    np.testing.assert_allclose(corners, [[-0.47, -0.47], [-0.47, 0.53], [0.53, 0.53]])
    assert [text.get_text() for text in axis.get_xticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in axis.texts] == ["100", "0", "0", "25", "75", "0"]
    assert axis.get_ylim() == (1.5, -0.5)  # the first row is on top
    plt.close("all")


def test_borders_part_what_is_named_differently():
    _, axis = plots.axes()
    side = 21
    across = np.tile(np.linspace(0, 1, side), side)
    chances = np.stack([1 - across, across], axis=1)
    drawn = plots.borders(axis, chances, ((0.0, 4.0), (0.0, 2.0)))
    filled, first, second = drawn.collections
    for line in (first, second):
        [path] = [path for path in line.get_paths() if len(path.vertices)]
        np.testing.assert_allclose(path.vertices[:, 0], 2.0, atol=1e-6)  # half-way across
    places = np.concatenate([path.vertices for path in filled.get_paths()])
    assert ((places[:, 0] <= 0.4 + 1e-6) | (places[:, 0] >= 3.6 - 1e-6)).all()


def test_borders_need_a_square():
    _, axis = plots.axes()
    with pytest.raises(ValueError, match=r"probabilities: got shape \(6, 2\)"):
        plots.borders(axis, np.full((6, 2), 0.5), ((0, 1), (0, 1)))


def test_an_effect_map_colours_what_was_seen_and_signs_all():
    _, axis = plots.axes()
    effects, seen = [[-4.62, 0.31], [1.5, -0.02]], [[True, False], [True, False]]
    drawn = plots.effect_map(axis, effects, seen, across=["a", "b"], down=["x", "y"])
    squares = [to_rgba(patch.get_facecolor()) for patch in drawn.patches]
    lower, higher = (to_rgba(plots.colour(idea)) for idea in (plots.LOWER, plots.HIGHER))
    assert squares[0] == lower and squares[2] == higher
    assert squares[1][3] == squares[3][3] == 0
    assert [text.get_text() for text in drawn.texts] == ["−4.6", "+0.3", "+1.5", "0.0"]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["x", "y"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (dict(effects=[1.0, 2.0]), r"effects: got shape \(2,\); expected a matrix"),
        (dict(seen=[[True]]), r"seen: got shape \(1, 1\); expected \(1, 2\)"),
        (dict(across=["a"]), "across: got 1 names; expected 2"),
        (dict(down=["x", "y"]), "down: got 2 names; expected 1"),
    ],
)
def test_an_effect_map_refuses_what_it_cannot_draw(change, told):
    given = dict(effects=[[1.0, 2.0]], seen=[[True, False]], across=["a", "b"], down=["x"])
    _, axis = plots.axes()
    with pytest.raises(ValueError, match=told):
        plots.effect_map(axis, **(given | change))


def test_a_heat_map_needs_no_names():
    _, axis = plots.axes()
    plots.heat_map(axis, np.eye(3, dtype=bool))
    assert len(axis.get_xticks()) == len(axis.get_yticks()) == 0
    plt.close("all")


@pytest.mark.parametrize(
    ("shares", "names", "complaint"),
    [
        ([0.5, 0.5], None, r"shape \(2,\); expected a matrix"),
        ([[0.5, 1.5]], None, "expected a matrix of numbers from 0 to 1"),
        ([[0.5, 0.5]], ["a"], "across: got 1 names; expected 2"),
    ],
)
def test_a_heat_map_refuses_what_it_cannot_draw(shares, names, complaint):
    _, axis = plots.axes()
    with pytest.raises(ValueError, match=complaint):
        plots.heat_map(axis, shares, across=names)
    plt.close("all")


def test_a_grid_holds_the_weights_of_each_head_where_its_name_says():
    weights = np.random.default_rng(0).random((3, 5, 7, 7), dtype=np.float32)
    maps = AttentionMaps("", tuple("abcdefg"), torch.from_numpy(weights))
    _, axis = plots.axes()
    assert plots.attention_grid(axis, maps, layers=[2, 0], heads=[4, 1, 3]) is axis
    alpha = axis.images[0].get_array()[..., 3]
    assert alpha.shape == (2 * 7 + 1, 3 * 7 + 2)
    for down, layer in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True):
        for across, head in zip(axis.get_xticks(), axis.get_xticklabels(), strict=True):
            square = alpha[int(down) - 3 : int(down) + 4, int(across) - 3 : int(across) + 4]
            expected = weights[int(layer.get_text()), int(head.get_text())]
            np.testing.assert_allclose(square, expected)
    assert not alpha[7].any() and not alpha[:, 7].any()
    plt.close("all")


def test_a_grid_refuses_heads_that_are_not_there():
    maps = AttentionMaps("", ("a",), torch.ones(2, 3, 1, 1))
    _, axis = plots.axes()
    for chosen, complaint in (
        ({"layers": [2]}, r"layers: got \[2\]; expected numbers from 0 to 1"),
        ({"heads": []}, r"heads: got \[\]; expected numbers from 0 to 2"),
    ):
        with pytest.raises(ValueError, match=complaint):
            plots.attention_grid(axis, maps, **chosen)
    plots.attention_grid(axis, maps)
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "1", "2"]
    plt.close("all")


class TestImages:
    def drawn(self, *sizes, **settings):
        pictures = np.random.default_rng(0).random(sizes)
        _, axis = plots.axes()
        assert plots.images(axis, pictures, **settings) is axis
        plt.close("all")
        return pictures, axis

    def test_pictures_stand_in_rows_as_they_are(self):
        pictures, axis = self.drawn(5, 7, 11, across=3)
        sheet = axis.images[0].get_array()
        paper, ink = (np.array(to_rgba(plots.colour(name))) for name in ("paper", "ink"))
        bright = (sheet - paper)[..., 0] / (ink - paper)[0]
        alpha = sheet[..., 3]
        assert alpha.shape == (2 * 7 + 1, 3 * 11 + 2)
        np.testing.assert_allclose(bright[:7, :11], pictures[0])
        np.testing.assert_allclose(bright[:7, 24:], pictures[2])
        np.testing.assert_allclose(bright[8:, 12:23], pictures[4])
        assert (alpha[:7, :11] == 1).all()  # as bright on a dark page as on a light one
        assert not alpha[7].any() and not alpha[:, 11].any() and not alpha[8:, 24:].any()

    def test_each_name_stands_below_its_picture(self):
        _, axis = self.drawn(3, 8, 8, across=2, names=("bag", "coat", "shirt"))
        places = {text.get_text(): text.get_position() for text in axis.texts}
        assert places == {"bag": (3.5, 8), "coat": (12.5, 8), "shirt": (3.5, 18)}

    def test_a_single_picture_has_room_for_its_name(self):
        _, axis = self.drawn(1, 8, 8, names=("bag",))
        assert axis.get_ylim()[0] >= 9

    def test_patches_are_cut_and_shaded_by_their_shares(self):
        shares = np.array([[0.1, 0.4, 0.2, 0.0, 0.2, 0.1], [0.0, 0.0, 0.0, 0.0, 0.0, 0.3]])
        _, axis = self.drawn(2, 4, 6, size=2, shares=shares)
        cuts, shades = axis.collections
        assert len(cuts.get_paths()) == len(shades.get_paths()) == 12
        expected = 0.75 * shares / shares.max(axis=1, keepdims=True)
        np.testing.assert_allclose(shades.get_facecolors()[:, 3], expected.ravel())
        corners = [tuple(path.vertices[0]) for path in shades.get_paths()]
        assert corners[:4] == [(-0.5, -0.5), (1.5, -0.5), (3.5, -0.5), (-0.5, 1.5)]
        assert corners[6] == (6.5, -0.5)

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"pictures": np.ones((4, 6))}, r"pictures: got shape \(4, 6\)"),
            ({"names": ("a",)}, "names: got 1; expected 2"),
            ({"across": 0}, "across=0: expected at least 1"),
            ({"size": 4}, "size=4: expected a divisor of the pictures' 4 x 6"),
            ({"shares": np.ones((2, 6))}, "size=None: expected the size"),
            (
                {"shares": np.ones((2, 5)), "size": 2},
                r"shares: got shape \(2, 5\); expected \(2, 6",
            ),
        ],
    )
    def test_bad_input_is_named(self, settings, complaint):
        _, axis = plots.axes()
        settings = {"pictures": np.ones((2, 4, 6))} | settings
        with pytest.raises(ValueError, match=complaint):
            plots.images(axis, settings.pop("pictures"), **settings)
        plt.close("all")
