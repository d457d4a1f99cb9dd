"""Plots: names do not overlap, colours are the palette's, bands hold the means."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payattention import plots
from payattention.records import Results


@given(st.lists(st.floats(0, 300), min_size=1, max_size=9), st.floats(1, 20))
def test_spread_keeps_the_order_and_the_gap(heights, gap):
    placed = plots.spread(heights, gap=gap)
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
    styles = [(line.idea, line.dashes, line.marker) for line in plots.LINES.values()]
    assert {idea for idea, _, _ in styles} <= set(plots.PALETTE)
