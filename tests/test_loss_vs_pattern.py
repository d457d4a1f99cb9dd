"""The questions of sparse attention, on records made by hand and on models too small to matter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from payattention.cost import operations
from payattention.experiments import (
    loss_vs_pattern,
    recall_vs_pattern,
    time_vs_pattern,
    time_vs_written,
    window_vs_peers,
)
from payattention.patterns import CAUSAL
from payattention.records import Results
from payattention.tasks import Recall
from payattention.transformer import Decoder

# Text and images


def test_images_are_greys_in_rows():
    greys = loss_vs_pattern.pixels("test")
    assert greys.shape[1] == 14 * 14
    assert greys.min() == 0 and greys.max() == loss_vs_pattern.GREYS - 1
    # rows of a piece of clothing are alike: a pixel is near to the one above it
    images = greys.view(-1, 14, 14).float()
    above = (images[:, 1:] - images[:, :-1]).abs().mean()
    assert above < 0.6 * (images[:, 1:] - images.flip(0)[:, :-1]).abs().mean()


@pytest.mark.parametrize("kind", ["images", "text"])
def test_each_token_is_learned_from_those_before(kind):
    config = replace(loss_vs_pattern.FULL, tokens=30)
    draw = loss_vs_pattern.examples(config, kind, "train", 3)
    read, following = draw(torch.Generator().manual_seed(0))
    assert read.shape == following.shape == (3, loss_vs_pattern.tokens_of(config, kind))
    assert torch.equal(read[:, 1:], following[:, :-1])
    if kind == "images":
        assert (read[:, 0] == loss_vs_pattern.GREYS).all()


@pytest.mark.parametrize("kind", ["images", "text"])
def test_equal_operations_are_equal_and_the_steps_more(kind):
    config = loss_vs_pattern.FULL
    dense = config.steps * loss_vs_pattern.step_flops(config, kind, "dense")
    for way in ("window", "strided", "fixed"):
        point = {"kind": kind, "way": way, "equal": "operations", "seed": 0}
        long = loss_vs_pattern.steps(config, point)
        assert long > config.steps
        spent = long * loss_vs_pattern.step_flops(config, kind, way)
        assert spent == pytest.approx(dense, rel=1e-3)


def test_a_step_is_billed_as_counted():
    config = replace(loss_vs_pattern.FULL, tokens=24, batch_tokens=24)
    shape = loss_vs_pattern.shape(config, "text")
    model = Decoder(shape)
    for block in model.blocks:
        block.attention.fused = False
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 24, dtype=torch.long)).sum().backward()
    whole = sum(operations.training(shape, tokens=24).values())
    assert counter.get_total_flops() == whole
    square = sum(operations.training(shape, tokens=24)[part] for part in ("scores", "mixing"))
    needed = CAUSAL.pairs(24) / 24**2
    billed = loss_vs_pattern.step_flops(config, "text", "dense")
    assert billed == pytest.approx(whole - square * (1 - needed))


def test_more_bits_are_told_seed_by_seed():
    rows = [
        {"kind": "text", "way": way, "equal": equal, "seed": seed, "pairs": 3, "steps": steps}
        | {"flops": 1.0, "bits": 2.0 + seed + more + 0.001 * seed * (way == "window")}
        for way, equal, steps, more in (
            ("dense", "steps", 10, 0.0),
            ("window", "steps", 10, 0.3),
            ("window", "operations", 15, 0.1),
            ("strided", "a few steps", 1, 9.0),
        )
        for seed in range(3)
    ]
    made = Results.from_records("loss_vs_pattern", rows)
    assert loss_vs_pattern.over_dense(made, "text", "window", "steps").value == pytest.approx(0.301)
    found = loss_vs_pattern.findings(made)
    assert found["text_window_operations_more"].startswith("0.101")
    assert found["text_window_operations_steps"] == "15"
    assert found["text_dense_bits"] == "3.00"
    assert not any("strided" in name for name in found)


# Recall


@pytest.mark.parametrize("gap", [0, 3, 17])
def test_the_symbol_stands_so_far_before_the_question(gap):
    config = replace(recall_vs_pattern.FULL, tokens=20)
    ids, answers = recall_vs_pattern.texts(config, gap, 50, torch.Generator().manual_seed(0))
    task = Recall(gap)
    assert ids.shape == (50, 20)
    assert (ids[:, 0] == task.vocab).all() and (ids[:, -1] == task.vocab - 1).all()
    assert torch.equal(ids[:, -2 - gap], answers)
    assert ((ids < task.symbols).sum(dim=1) == 1).all()


def test_in_two_layers_a_window_reaches_twice_its_size():
    config = recall_vs_pattern.FULL
    reached = recall_vs_pattern.pattern(config, "window").reach(config.tokens, layers=2)
    furthest = config.tokens - 1 - int((reached > 0).int().argmax())
    assert furthest == 2 * (config.size - 1)
    for way in ("strided", "fixed", "global"):
        assert (recall_vs_pattern.pattern(config, way).reach(config.tokens, layers=2) > 0).all()


def test_what_is_out_of_reach_is_not_recalled():
    config = replace(
        recall_vs_pattern.FULL, tokens=40, size=4, d_model=16, steps=60, tests=400, batch=16
    )
    [found] = recall_vs_pattern.measure(config, {"gap": 20, "way": "window", "seed": 0})
    assert abs(found["recalled"] - 1 / 8) < 0.07
    assert found["steps"] == 60


def test_how_far_each_way_recalls():
    rows = [
        {"gap": gap, "way": way, "seed": seed, "recalled": share, "pairs": 5, "steps": 3}
        for way, shares in (("dense", (1.0, 1.0, 1.0)), ("window", (0.95, 0.5, 1.0)))
        for gap, share in zip((2, 4, 8), shares, strict=True)
        for seed in range(2)
    ]
    made = Results.from_records("recall_vs_pattern", rows)
    assert recall_vs_pattern.recalled_up_to(made, "dense") == 8
    assert recall_vs_pattern.recalled_up_to(made, "window") == 2
    found = recall_vs_pattern.findings(made)
    assert (found["dense_up_to"], found["window_4"]) == ("8", "50\N{NO-BREAK SPACE}%")


# Clocks


def test_savings_are_ratios_to_dense_of_the_same_round():
    rows = [
        {"tokens": 8, "task": "forward", "way": way, "scores": scores, "executed": scores}
        | {"repeat": repeat, "seconds": seconds * (1 + repeat)}
        for way, scores, seconds in (("dense", 36, 6.0), ("window", 12, 3.0))
        for repeat in range(3)
    ]
    made = Results.from_records("time_vs_pattern", rows)
    [(counted, clocked)] = time_vs_pattern.savings(made, "forward", "window").values()
    assert counted == 3 and clocked.value == clocked.low == 2
    assert time_vs_pattern.even_from(made, "forward", "window") == 8


def test_scores_are_counted_whatever_the_clock_says():
    config = replace(time_vs_pattern.FULL, tokens=(70,), size=8, globals_=2, repeats=1, threads=1)
    made = Results.from_records("time_vs_pattern", time_vs_pattern.run(config))
    for way, pattern in time_vs_pattern.patterns(config).items():
        mask = pattern.mask(70)
        assert set(made.where(way=way).column("scores")) == {int(mask.sum())}
        assert (made.where(way=way).column("executed") >= int(mask.sum())).all()
    assert set(made.where(way="dense").column("scores")) == {70 * 71 // 2}


def test_growth_is_of_the_last_stretch_over_the_second():
    rows = [
        {"stretches": 3, "repeat": repeat, "way": way, "written": 10 * n, "kept_bytes": n}
        | {"seconds": seconds}
        for repeat in range(3)
        for way, times in (("all", (9.0, 2.0, 6.0)), ("window", (9.0, 2.0, 2.0)))
        for n, seconds in enumerate(times, 1)
    ]
    made = Results.from_records("time_vs_written", rows)
    assert time_vs_written.growth(made, "all").value == 3
    assert time_vs_written.growth(made, "window").value == 1


def test_behind_a_window_what_is_kept_does_not_grow():
    config = replace(
        time_vs_written.FULL, layers=1, d_model=8, heads=2, window=4, stretch=100, stretches=4
    )
    made = Results.from_records("x", time_vs_written.measure(config, {"stretches": 4, "repeat": 0}))
    kept = {way: made.where(way=way).column("kept_bytes") for way in time_vs_written.WAYS}
    assert np.ptp(kept["window"]) == 0
    assert kept["all"][-1] > kept["all"][0]


@pytest.mark.parametrize("name", window_vs_peers.PACKAGES)
def test_peers_give_what_ours_gives(name):
    pytest.importorskip(name.replace("-", "_"))
    way = window_vs_peers._local(8)
    q, k, v = torch.randn(3, 1, 2, 50, 16)
    ours = window_vs_peers.ways(replace(window_vs_peers.FULL, window=8), 50, peers=False)
    torch.testing.assert_close(
        way(q, k, v), ours[window_vs_peers.OURS](q, k, v), atol=1e-5, rtol=1e-4
    )
