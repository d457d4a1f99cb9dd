"""Each experiment on a tiny configuration: its records, and what it says of them."""

import importlib
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from payattention import attention, data, measure, minilm, results, train, trained
from payattention.cost import operations, parameters, roofline
from payattention.experiments import (
    accuracy_vs_input,
    answer_vs_share,
    bits_vs_bill,
    bits_vs_sides,
    boundary_vs_alpha,
    calls_vs_price,
    depth_vs_character,
    depth_vs_digits,
    effect_vs_attention,
    error_vs_attack,
    error_vs_images,
    error_vs_length,
    error_vs_mixing,
    error_vs_operations,
    error_vs_remedy,
    expert_vs_token,
    genre_vs_mixing,
    gradient_vs_gap,
    heads_of_minilm,
    induction_vs_layers,
    interval_vs_truth,
    largest_foretold,
    largest_trained,
    loss_vs_design,
    loss_vs_epochs,
    loss_vs_exit,
    loss_vs_experts,
    loss_vs_flops,
    loss_vs_length,
    loss_vs_mask,
    loss_vs_pattern,
    loss_vs_rate,
    loss_vs_routing,
    loss_vs_sharing,
    loss_vs_sparsity,
    loss_vs_steps,
    measured_vs_predicted,
    memorised_vs_mixing,
    memory_vs_tokens,
    optimum_vs_recipe,
    parity_vs_penalty,
    parity_vs_places,
    pronunciation_vs_length,
    recall_vs_gap,
    recall_vs_pairs,
    recall_vs_pattern,
    right_vs_place,
    score_vs_size,
    shares_vs_step,
    softmax_vs_width,
    speed_vs_bytes,
    speed_vs_peers,
    ticket_vs_control,
    time_vs_capacity,
    time_vs_exit,
    time_vs_experts,
    time_vs_halting,
    time_vs_parameters,
    time_vs_pattern,
    time_vs_size,
    time_vs_sparsity,
    time_vs_threshold,
    time_vs_tokens,
    time_vs_width,
    time_vs_written,
    window_vs_peers,
)
from payattention.pronunciation import Speller, without_stress
from payattention.records import Results
from payattention.tasks import PairRecall, Product
from payattention.transformer import Block, Decoder

SMALL_RUNS = replace(
    loss_vs_flops.FULL,
    sizes=((1, 8), (1, 12), (1, 16)),
    budgets=(1e8,),
    batch=2,
    tokens=16,
    tests=3,
)
SMALL_RUNS = replace(SMALL_RUNS, least=0, most=1e9, seeds=2)
SMALL_EXPERTS = replace(
    loss_vs_experts.FULL,
    d_model=8,
    tokens=6,
    batch=3,
    steps=4,
    cheap_steps=1,
    looks=2,
    tests=5,
    seeds=2,
)
TINY = {
    interval_vs_truth: replace(interval_vs_truth.FULL, repeats=1, resamples=5),
    largest_foretold: replace(largest_foretold.FULL, resamples=10),
    largest_trained: replace(largest_trained.FULL, layers=1, d_model=8, cheap_steps=2, seeds=0),
    loss_vs_epochs: replace(
        loss_vs_epochs.FULL, unique=256, epochs=(1, 2), sizes=((1, 8),), runs=SMALL_RUNS, seeds=2
    ),
    loss_vs_flops: SMALL_RUNS,
    loss_vs_rate: replace(
        loss_vs_rate.FULL, widths=(8, 16), steps=(2, 3), runs=SMALL_RUNS, seeds=2
    ),
    loss_vs_steps: replace(
        loss_vs_steps.FULL,
        sizes=((1, 8), (1, 16)),
        budget=2e8,
        least_budget=1e8,
        runs=SMALL_RUNS,
        seeds=2,
    ),
    optimum_vs_recipe: replace(optimum_vs_recipe.FULL, warmup_steps=2, runs=SMALL_RUNS),
    accuracy_vs_input: replace(
        accuracy_vs_input.FULL, layers=1, d_model=8, heads=2, steps=2, batch=3, tests=5, seeds=2
    ),
    error_vs_images: replace(
        error_vs_images.FULL,
        images=(50, error_vs_images.ALL),
        steps=(2, 3),
        seeds=(2, 1),
        moved=50,
        layers=1,
        d_model=8,
        heads=2,
        widths=(2, 3),
        batch=3,
    ),
    bits_vs_sides: replace(
        bits_vs_sides.FULL,
        d_model=8,
        tokens=9,
        steps=4,
        cheap_steps=1,
        batch=3,
        records=2,
        tests=5,
        spans=(1, 3),
        span_tests=5,
        bucket=3,
        written=2,
        seeds=2,
    ),
    speed_vs_peers: replace(
        speed_vs_peers.LIVE, batch=2, tokens=8, prompt=3, new_tokens=4, repeats=2, threads=1
    ),
    gradient_vs_gap: replace(gradient_vs_gap.LIVE, d_hidden=3, gaps=(1, 16, 64), seeds=1),
    recall_vs_gap: replace(recall_vs_gap.FULL, gaps=(2, 3), steps=2, tests=5, seeds=2),
    recall_vs_pairs: replace(
        recall_vs_pairs.FULL,
        width=5,
        untrained_pairs=(3, 64),
        untrained_seeds=2,
        pairs=(2, 3),
        d_heads=(2,),
        steps=2,
        lstm_steps=2,
        lstm_pairs=(2,),
        tests=7,
        seeds=2,
    ),
    error_vs_length: replace(
        error_vs_length.LIVE, longest=5, words=7, joined_lengths=(6, 8), joined_words=5, seeds=2
    ),
    effect_vs_attention: replace(effect_vs_attention.LIVE, sentences=4),
    heads_of_minilm: heads_of_minilm.LIVE,
    induction_vs_layers: replace(
        induction_vs_layers.LIVE, d_model=8, steps=60, fixed_steps=3, every=20, tests=5
    ),
    loss_vs_design: replace(
        loss_vs_design.FULL,
        layers=(2,),
        started_layers=(2,),
        d_model=8,
        tokens=5,
        batch=3,
        steps=2,
        learning_rates=(1e-2,),
        tests=3,
        seeds=2,
    ),
    loss_vs_mask: replace(
        loss_vs_mask.FULL,
        d_model=8,
        tokens=6,
        steps=20,
        record_every=10,
        bucket=3,
        tests=3,
        seeds=2,
    ),
    loss_vs_length: replace(
        loss_vs_length.FULL,
        d_model=8,
        trained_tokens=4,
        tested_tokens=8,
        bucket=2,
        steps=2,
        tuning_steps=(1, 2),
        batch_tokens=8,
        tests=3,
        seeds=2,
    ),
    memory_vs_tokens: replace(
        memory_vs_tokens.FULL,
        d_head=8,
        forward=(1024, 1280, 1536),
        backward=(1024, 1280, 1536),
        timed_up_to=1536,
        resident=(),
        repeats=2,
    ),
    softmax_vs_width: replace(
        softmax_vs_width.FULL,
        d_heads=(1, 4),
        columns=7,
        queries=16,
        untrained_seeds=2,
        d_model=8,
        trained_d_heads=(4,),
        tokens=5,
        steps=2,
        tests=3,
        seeds=2,
    ),
    right_vs_place: replace(
        right_vs_place.LIVE, d_model=8, steps=3, cheap_steps=2, tested=(24, 40), tests=5
    ),
    score_vs_size: replace(
        score_vs_size.FULL, widths=(4, 8), digits=2, steps=3, batch=5, looks=2, tests=40, seeds=2
    ),
    pronunciation_vs_length: replace(
        pronunciation_vs_length.FULL,
        steps=2,
        few_steps=1,
        batch=3,
        shortest=5,
        longest=6,
        words=5,
        joined_lengths=(8,),
        joined_words=3,
        seeds=2,
    ),
    measured_vs_predicted: replace(
        measured_vs_predicted.FULL,
        shapes=(("narrow", 1, 64, 2), ("wide", 1, 128, 2)),
        vocab=11,
        tokens=5,
        repeats=2,
        threads=1,
    ),
    speed_vs_bytes: replace(
        speed_vs_bytes.FULL,
        sizes=((1, 64), (2, 64)),
        past=(3, 7),
        matrix=(64, 128),
        copies_bytes=2**16,
        prompt=2,
        repeats=2,
        threads=1,
    ),
    time_vs_parameters: replace(
        time_vs_parameters.FULL,
        sizes=(("tenth", 1, 8, 2), ("book", 2, 12, 3)),
        batch=2,
        repeats=2,
        threads=1,
    ),
    time_vs_size: replace(
        time_vs_size.FULL, sizes=((1, 8), (1, 16), (1, 32)), runs=SMALL_RUNS, repeats=2
    ),
    loss_vs_pattern: replace(
        loss_vs_pattern.FULL,
        tokens=20,
        size=4,
        layers=1,
        d_model=8,
        heads=2,
        steps=2,
        cheap_steps=1,
        batch_tokens=40,
        tests=3,
        seeds=2,
    ),
    recall_vs_pattern: replace(
        recall_vs_pattern.FULL,
        gaps=(2, 5),
        tokens=12,
        size=3,
        layers=1,
        d_model=8,
        steps=3,
        batch=2,
        tests=5,
        seeds=2,
    ),
    time_vs_pattern: replace(
        time_vs_pattern.FULL, tokens=(20, 40), size=4, summaries=1, globals_=1, repeats=2, threads=1
    ),
    time_vs_written: replace(
        time_vs_written.FULL, layers=1, d_model=8, heads=2, window=3, stretch=4, stretches=3
    ),
    window_vs_peers: replace(
        window_vs_peers.FULL, tokens=(20,), window=4, heads=1, d_head=4, repeats=2, threads=1
    ),
    time_vs_width: replace(time_vs_width.FULL, widths=(64, 128), tokens=(2, 4, 8), repeats=2),
    expert_vs_token: replace(expert_vs_token.FULL, tests=5, runs=SMALL_EXPERTS, seeds=2),
    loss_vs_experts: SMALL_EXPERTS,
    loss_vs_sharing: replace(
        loss_vs_sharing.FULL,
        layers=2,
        d_model=8,
        heads=2,
        tokens=6,
        batch=3,
        steps=3,
        cheap_steps=1,
        tests=5,
        repeats=2,
        seeds=2,
    ),
    loss_vs_sparsity: replace(
        loss_vs_sparsity.FULL,
        models=("GPT",),
        sparsities=(0.5,),
        retrained=(0.5,),
        steps=(1, 2),
        batches=(1, 2),
        stretches=1,
        images=20,
        heard=2,
        seeds=2,
    ),
    answer_vs_share: replace(
        answer_vs_share.FULL,
        labels=50,
        steps=3,
        cheap_steps=1,
        shares=3,
        pairs=4,
        shown=1,
        seeds=2,
    ),
    boundary_vs_alpha: replace(
        boundary_vs_alpha.FULL,
        alphas=(0.0, 1.0),
        points=(20, 30),
        judged=30,
        width=4,
        steps=2,
        batch=5,
        seeds=2,
    ),
    error_vs_attack: replace(
        error_vs_attack.FULL,
        alphas=(0.0, 1.0),
        labels=50,
        steps=3,
        epsilons=(0.0, 0.02),
        pgd_steps=2,
        attacked=5,
        shown=8,
        cheap_steps=1,
        seeds=2,
    ),
    error_vs_mixing: replace(
        error_vs_mixing.FULL,
        maps=(
            error_vs_mixing.Map("digits, CNN", (50, 200), (0.0, 0.4), (0.0, 1.0)),
            error_vs_mixing.Map("clothes, ViT", (50,), (0.0,), (0.0, 0.4)),
        ),
        most_steps=2,
        judged=30,
        batch=5,
        seeds=2,
    ),
    calls_vs_price: replace(
        calls_vs_price.FULL,
        prices=(0.1,),
        depths=(1, 2),
        sums=replace(depth_vs_digits.FULL, digits=2, judged=20, d_model=8, heads=2, batch=4),
        steps=2,
        cheap_steps=1,
        seeds=2,
    ),
    depth_vs_character: replace(
        depth_vs_character.FULL,
        kinds=("verse", "exchange"),
        thresholds=(0.2, 1.0),
        characters=64,
        steps=3,
        batch=1,
        cheap_steps=1,
        cheap_characters=20,
    ),
    depth_vs_digits: replace(
        depth_vs_digits.FULL,
        digits=2,
        fixed=(1,),
        taus=(0.1,),
        near_fixed=(2,),
        near_taus=(0.1,),
        max_steps=3,
        d_model=8,
        heads=2,
        batch=4,
        steps=2,
        cheap_steps=1,
        judged=20,
        seeds=2,
    ),
    loss_vs_exit: replace(
        loss_vs_exit.FULL,
        steps=12,
        batch=2,
        small_layers=3,
        small_d_model=8,
        small_steps=11,
        small_batch=2,
        texts=2,
        images=20,
        seeds=2,
    ),
    loss_vs_routing: replace(
        loss_vs_routing.FULL,
        layers=2,
        d_model=8,
        heads=2,
        tokens=12,
        batch=2,
        steps=21,
        tests=2,
        seeds=2,
    ),
    bits_vs_bill: replace(
        bits_vs_bill.FULL,
        d_model=8,
        d_lstm=8,
        heads=2,
        max_steps=3,
        tokens=20,
        batch=2,
        steps=6,
        tests=3,
        timed=2,
        repeats=2,
        seeds=2,
    ),
    parity_vs_places: replace(
        parity_vs_places.FULL,
        rules=(("fixed", 1), ("PonderNet", 0.5)),
        cells=replace(parity_vs_penalty.FULL, d_hidden=4, max_steps=3, batch=5),
        steps=21,
        judged=20,
        seeds=2,
    ),
    parity_vs_penalty: replace(
        parity_vs_penalty.FULL,
        taus=(0.1,),
        rates=(0.5,),
        fixed=(1,),
        bits=2,
        long_bits=(4,),
        d_hidden=4,
        max_steps=3,
        batch=5,
        steps=21,
        long_steps=22,
        judged=60,
        seeds=2,
    ),
    shares_vs_step: replace(
        shares_vs_step.FULL,
        bits=3,
        d_hidden=4,
        max_steps=4,
        batch=5,
        steps=21,
        cheap_vectors=2,
    ),
    time_vs_capacity: replace(
        time_vs_capacity.FULL,
        capacities=(0.25, 0.0),
        models=replace(loss_vs_routing.FULL, d_model=8, heads=2, tokens=8, batch=2),
        repeats=2,
    ),
    time_vs_exit: replace(
        time_vs_exit.FULL, widths=(8,), batches=(1, 2), characters=6, prompt=2, repeats=2
    ),
    time_vs_halting: replace(
        time_vs_halting.FULL, cells=(4,), blocks=((8, 3),), rows=6, max_steps=3, repeats=2
    ),
    memorised_vs_mixing: replace(
        memorised_vs_mixing.FULL,
        maps=(error_vs_mixing.Map("digits, CNN", (50,), (0.4,), (0.0, 1.0)),),
        runs=replace(error_vs_mixing.FULL, most_steps=2, judged=30, batch=5),
        seeds=2,
    ),
    error_vs_operations: replace(
        error_vs_operations.FULL,
        labels=50,
        steps=(2, 3),
        alphas=(0.0, 1.0),
        cheap_steps=1,
        judged=30,
        seeds=2,
    ),
    error_vs_remedy: replace(
        error_vs_remedy.FULL, labels=50, steps=3, cheap_steps=1, batch=5, judged=30, seeds=2
    ),
    genre_vs_mixing: replace(
        genre_vs_mixing.FULL,
        labels=(6, 9),
        words=8,
        vocab=50,
        judged=9,
        d_model=8,
        steps=2,
        batch=3,
        seeds=2,
    ),
    ticket_vs_control: replace(
        ticket_vs_control.FULL,
        tokens=6,
        batch=3,
        steps=3,
        cheap_steps=1,
        rounds=2,
        tests=5,
        seeds=2,
    ),
    time_vs_experts: replace(
        time_vs_experts.FULL, d_model=7, d_ff=11, tokens=(13, 29), repeats=2, threads=1
    ),
    time_vs_sparsity: replace(
        time_vs_sparsity.FULL,
        maps=((64, 32),),
        sparsities=(0.0, 0.5, 0.9),
        repeats=2,
        times=2,
        threads=(1, 2),
    ),
    time_vs_threshold: replace(
        time_vs_threshold.FULL,
        steps=2,
        cheap_steps=1,
        together=3,
        images=2,
        texts=2,
        prompt=2,
        characters=2,
        repeats=2,
        seeds=2,
    ),
    time_vs_tokens: replace(
        time_vs_tokens.FULL, d_model=3, reading=(256, 512, 1024), writing=(2, 5), repeats=3
    ),
}

# These need runs that end; what they find is tested on made ones, in test_loss_vs_flops.
FOUND_ELSEWHERE = {loss_vs_flops, loss_vs_steps, optimum_vs_recipe}

VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}


@pytest.mark.parametrize("experiment", TINY, ids=lambda module: module.__name__.rpartition(".")[2])
def test_runs_and_says_what_it_found(experiment):
    config = TINY[experiment]
    made = Results.from_records("tiny", experiment.run(config))
    points = experiment.points(config)
    for point in points:  # every point has its records, and they say which point they are of
        assert len(made.where(**point)) > 0
    assert set(experiment.TOLERANCE) <= set(made.columns)
    if experiment in FOUND_ELSEWHERE:
        return
    found = experiment.findings(made)
    assert found and all(isinstance(text, str) and text for text in found.values())


def test_every_question_is_tested():
    modules = {importlib.import_module(f"{results.EXPERIMENTS}.{q}") for q in results.questions()}
    assert modules == set(TINY)


def test_models_of_the_gap_have_equal_parameters():
    records = [
        recall_vs_gap.measure(
            TINY[recall_vs_gap], {"model": model, "gap": 2, "learning_rate": 1e-3, "seed": 0}
        )[0]
        for model in recall_vs_gap.WIDTHS
    ]
    sizes = [record["parameters"] for record in records]
    assert max(sizes) / min(sizes) < 1.02


def test_tuning_keeps_the_best_rate_of_each_model_and_gap():
    rows = [
        {"model": model, "gap": gap, "learning_rate": rate, "seed": seed, "recalled": recalled}
        for model, gap, rate, recalled in [
            ("a", 1, 0.1, 0.5),
            ("a", 1, 0.2, 0.7),
            ("a", 2, 0.1, 0.9),
            ("a", 2, 0.2, 0.3),
            ("b", 1, 0.1, 0.2),
        ]
        for seed in (0, 1)
    ]
    kept = recall_vs_gap.tuned(Results.from_records("recall_vs_gap", rows))
    assert {(r["model"], r["gap"]): r["learning_rate"] for r in kept.records()} == {
        ("a", 1): 0.2,
        ("a", 2): 0.1,
        ("b", 1): 0.1,
    }
    assert len(kept) == 6


def test_longest_recalled_stops_at_the_first_failure():
    rows = [
        {"model": "a", "gap": gap, "recalled": recalled}
        for gap, recalled in [(4, 1.0), (4, 0.96), (8, 1.0), (8, 0.5), (16, 1.0)]
    ]
    made = Results.from_records("recall_vs_gap", rows)
    assert recall_vs_gap.longest_recalled(made, "a") == 4
    assert recall_vs_gap.longest_recalled(made, "a", share=0.5) == 16
    assert recall_vs_gap.longest_recalled(made, "a", share=1.1) == 0


def test_training_for_a_panel_reports_and_stops():
    parameters = {"model": "attention", "gap": 2, "learning_rate": 3e-3, "steps": 40, "seed": 0}
    shares = []
    records = recall_vs_gap.train_live(
        parameters, on_step=lambda share, _: shares.append(share), stop=lambda: len(shares) >= 5
    )
    assert len(records) == 5 and shares[-1] == 5 / 40
    assert "recalled" in records[-1] and "recalled" not in records[0]


def test_attention_learns_the_gap_and_training_ends_early():
    point = {"model": "attention", "gap": 4, "learning_rate": 3e-3, "seed": 0}
    record = recall_vs_gap.measure(recall_vs_gap.FULL, point)[0]
    assert record["recalled"] > 0.95 and record["steps"] < recall_vs_gap.FULL.steps


def test_the_same_seed_measures_the_same():
    point = {"model": "gru_open", "gap": 3, "learning_rate": 3e-3, "seed": 1}
    config = replace(recall_vs_gap.FULL, steps=20)
    assert recall_vs_gap.measure(config, point) == recall_vs_gap.measure(config, point)


def test_lstm_reader_uses_every_pair():
    task = PairRecall(pairs=3)
    torch.manual_seed(0)
    reader = recall_vs_pairs.LSTMReader(task, 7, torch.Generator().manual_seed(0))
    keys, values, asked, _ = task.draw(2, torch.Generator().manual_seed(0))
    logits = reader(keys, values, asked)
    for pair in range(3):
        changed = values.clone()
        changed[:, pair] = (changed[:, pair] + 1) % task.value_symbols
        assert not torch.equal(reader(keys, changed, asked), logits)


@pytest.mark.parametrize("memory", ["state", "attention"])
def test_readers_learn_a_few_pairs(memory):
    config = replace(recall_vs_pairs.FULL, steps=300, tests=500)
    point = {"memory": memory, "trained": True, "size": 16, "pairs": 2, "seed": 0}
    assert recall_vs_pairs.measure(config, point)[0]["recalled"] > 0.9


def test_rates_are_among_the_best_where_all_were_tried():
    made = results.read("recall_vs_gap").where(gap=recall_vs_gap.FULL.tuned_up_to)
    for model in recall_vs_gap.TUNED:
        rate = recall_vs_gap.RATES[model]
        means = {
            row["learning_rate"]: row["mean"]
            for row in made.where(model=model).summary("recalled", by="learning_rate")
        }
        assert means[rate] >= max(means.values()) - 0.02, (model, means)


def test_open_gates_are_the_same_in_every_configuration():
    first, second = (
        gradient_vs_gap.build("gru_open", config, 0).weights.bias_ih
        for config in (gradient_vs_gap.LIVE, gradient_vs_gap.FULL)
    )
    assert torch.equal(first, second)


def test_joined_words_are_two_that_are_said_without_fault():
    speller = Speller(data.speller_weights())
    config = TINY[error_vs_length]
    words, spoken = error_vs_length.joined(config, {"length": 8, "seed": 0}, speller)
    known = error_vs_length.dictionary()
    for word, accepted in zip(words, spoken, strict=True):
        halves = word[:4], word[4:]
        for half, said in zip(halves, speller.pronounce(halves), strict=True):
            assert said in known[half]
        first, second = (without_stress(known[half][0]) for half in halves)
        assert (*first, *second) in accepted


def test_state_numbers():
    def point(memory):
        return {"memory": memory, "size": 7, "pairs": 5}

    numbers = [recall_vs_pairs.state_numbers(point(m)) for m in ("state", "lstm", "attention")]
    assert numbers == [49, 14, 70]


def test_bootstrap_bounds_hold_the_ratio():
    import numpy as np

    counts = np.array([[1, 10], [3, 10]] * 50)
    ratio, low, high = error_vs_length.ratio_with_bounds(counts, 500)
    assert ratio == pytest.approx(0.2)
    # each word's error is 0.1 or 0.3: the standard error of the mean of 100 is 0.01
    assert low == pytest.approx(0.18, abs=0.005) and high == pytest.approx(0.22, abs=0.005)


def test_slopes_and_medians_of_times():
    rows = [
        {"method": "square", "tokens": n, "repeat": repeat, "relative": n**2 * noise}
        for n in (64, 256, 1024, 4096)
        for repeat, noise in enumerate((0.5, 1.0, 9.0))
    ]
    made = Results.from_records("time_vs_tokens", rows)
    tokens, times = time_vs_tokens.medians(made, "square")
    assert tokens == [64, 256, 1024, 4096] and times == [n**2 for n in tokens]
    assert time_vs_tokens.slope(made, "square", least=256).value == pytest.approx(2.0)


class TestWidths:
    def test_both_ways_are_one_block_and_the_maps_do_what_no_pair_needs(self):
        """Behind a mask that lets everybody see only itself, a block is its maps."""
        torch.manual_seed(0)
        block = Block(time_vs_width.shape(64)).eval()
        x, alone = torch.randn(1, 7, 64), torch.eye(7, dtype=torch.bool)
        torch.testing.assert_close(time_vs_width.maps(block, x), block(x, mask=alone))
        calls = time_vs_width.calls({"width": 64, "tokens": 13})
        counts = {name: measure.flops(call) for name, call in calls.items()}
        bill = operations.forward(time_vs_width.shape(64), tokens=13)
        square = bill["scores"] + bill["mixing"]
        whole = sum(bill.values()) - bill["logits"]
        assert counts == {"stored scores": whole, "fused": whole, "maps": whole - square}

    def test_a_bend_is_found_between_the_lengths_around_it(self):
        rows = [
            {"width": 64, "tokens": n, "way": way, "repeat": r, "seconds": float(n * factor)}
            for n in (128, 256, 512, 1024)
            for way, factor in (
                ("maps", 1),
                ("stored scores", 1 + n / 384),
                ("fused", 1 + n / 1e6),
            )
            for r in range(3)
        ]
        made = Results.from_records("time_vs_width", rows)
        assert time_vs_width.crossover(made, "stored scores", 64) == pytest.approx(384, rel=0.05)
        assert time_vs_width.crossover(made, "fused", 64) is None
        foretold = time_vs_width.foretold(made, "stored scores")
        assert foretold.where(tokens=1024).column("relative")[0] == pytest.approx(
            8 * (1 + 1024 / 384)
        )
        unit = time_vs_width.relative(made).where(way="maps", tokens=256).column("relative")
        assert unit == pytest.approx(2)


class TestBytes:
    def test_a_step_reads_one_token_behind_the_same_past_each_time(self):
        torch.manual_seed(0)
        model = Decoder(speed_vs_bytes.shape(2, 64)).eval()
        with torch.no_grad():
            step = speed_vs_bytes.next_token(model, prompt=5)
            torch.testing.assert_close(step(), step())
            whole = model(torch.zeros(1, 6, dtype=torch.long))[:, -1]
            torch.testing.assert_close(step(), whole)

    def test_bytes_are_those_of_the_weights_and_of_what_is_kept(self):
        config = TINY[speed_vs_bytes]
        with torch.no_grad():
            point = {"layers": 2, "d_model": 64}
            _, needed = speed_vs_bytes.models(config, point)
            model = Decoder(speed_vs_bytes.shape(2, 64))
            table = model.embedding.learned.table
            read = sum(p.numel() for p in model.parameters()) - table.numel()
            assert needed == {"float32": 4 * read, "bfloat16": 2 * read}
            _, needed = speed_vs_bytes.layers(config, {"past": 7})
        weights = 2 * 1024**2
        assert needed["1 keys"] == 4 * (weights + 2 * 1024 * 64 + 2 * 64 * 8)
        assert needed["16 keys"] == 4 * (2 * weights + 2 * 1024 * 8)

    def test_bytes_of_a_format_are_those_that_it_is_packed_into(self):
        rows, columns = 64, 128
        _, needed = speed_vs_bytes.matrices(TINY[speed_vs_bytes], {"task": "matrix"})
        assert {"float32", "bfloat16"} <= set(needed) <= set(speed_vs_bytes.FORMATS)
        for name, bytes_needed in needed.items():
            pack, multiply, _ = speed_vs_bytes.FORMATS[name]
            packed = pack(rows, columns)
            pieces = packed if isinstance(packed, tuple) else (packed,)
            held = sum(piece.nbytes for piece in pieces)
            row_scales = 2 * rows if name == "int8" else 0
            assert held == bytes_needed + row_scales
            assert multiply(torch.randn(1, columns), packed).shape == (1, rows)

    def test_shares_are_of_the_rate_of_the_same_round(self):
        row = {"kind": "float32", "seconds": 2.0, "bytes": 6e6, "bytes_per_second": 4e6}
        made = speed_vs_bytes.shares(Results.from_records("speed_vs_bytes", [row]))
        assert made.records()[0] == row | {"megabytes": 6.0, "share": 0.75}


def test_ten_times_the_parameters_are_ten_times_as_many():
    config = time_vs_parameters.FULL
    counts = [
        sum(parameters.decoder(time_vs_parameters.shape(config, name)).values())
        for name, *_ in config.sizes
    ]
    assert time_vs_parameters.shape(config, "book") == trained.GPT_SHAPE
    for smaller, larger in itertools.pairwise(counts):
        assert larger / smaller == pytest.approx(10, rel=0.02)


def test_a_prediction_is_made_of_the_rates_of_its_round():
    config = TINY[measured_vs_predicted]
    for task in measured_vs_predicted.TASKS:
        records = measured_vs_predicted.measure(config, {"shape": "wide", "task": task})
        of, batch = measured_vs_predicted.shape(config, "wide")
        for row in records:
            if task == "training":
                work = roofline.training(of, tokens=5, batch=batch)
            else:
                work = roofline.decode(of, past=5)
            least = sum(
                max(piece.flops / row["flops_per_second"], piece.bytes / row["bytes_per_second"])
                for piece in work.values()
            )
            assert row["predicted"] == pytest.approx(least)


class TestMemory:
    config = TINY[memory_vs_tokens]

    @pytest.mark.parametrize("passes", memory_vs_tokens.SQUARES)
    def test_stored_scores_are_so_many_squares(self, passes):
        point, tokens = {"passes": passes, "tokens": 512}, 512
        held = measure.peak_bytes(memory_vs_tokens.call(self.config, point, "stored"))
        squares = memory_vs_tokens.SQUARES[passes]
        assert held == pytest.approx(squares * tokens**2 * 4, rel=0.05)

    def test_scores_are_stored_where_they_fit(self):
        config = memory_vs_tokens.FULL
        without = [
            point
            for point in memory_vs_tokens.points(config)
            if "stored" not in memory_vs_tokens.ways_at(point)
        ]
        assert without == [{"passes": "forward and backward", "tokens": 32768}]

    @pytest.mark.parametrize("passes", memory_vs_tokens.SQUARES)
    def test_all_ways_give_the_same(self, passes):
        point = {"passes": passes, "tokens": 61}
        stored, *others = (
            memory_vs_tokens.call(self.config, point, way)() for way in memory_vs_tokens.WAYS
        )
        for other in others:
            torch.testing.assert_close(other, stored, atol=1e-5, rtol=1e-5)

    @pytest.mark.slow
    @pytest.mark.skipif(not memory_vs_tokens.CLEAR.exists(), reason="only Linux tells")
    def test_the_process_grows_by_what_is_counted(self):
        point = {"passes": "forward", "tokens": 4096}
        counted = measure.peak_bytes(memory_vs_tokens.call(self.config, point, "stored"))
        grown = memory_vs_tokens.resident_bytes(self.config, point, "stored")
        assert grown == pytest.approx(counted, rel=0.1)

    def test_slopes_and_ratios_are_those_of_the_records(self):
        rows = []
        for tokens in (512, 1024, 2048, 4096):
            point = {"passes": "forward", "tokens": tokens, "way": "tiles"}
            rows.append(point | {"peak_bytes": 7 * tokens, "seconds": None, "relative": None})
            for repeat, noise in enumerate((0.5, 1.0, 9.0)):
                times = {"seconds": noise * tokens**2, "relative": tokens + repeat}
                rows.append(point | {"peak_bytes": None, **times})
        made = Results.from_records("memory_vs_tokens", rows)
        of = dict(passes="forward", way="tiles")
        assert memory_vs_tokens.slope(made, "peak_bytes", **of).value == pytest.approx(1.0)
        assert memory_vs_tokens.slope(made, "seconds", **of).value == pytest.approx(2.0)
        longest, ratio = memory_vs_tokens.relative(made, **of)
        assert longest == 4096 and ratio.value == pytest.approx(4097)


def test_typical_is_the_geometric_mean():
    rows = [{"layer": "rnn", "gap": 1, "norm": norm} for norm in (1e-2, 1e-4)]
    made = Results.from_records("gradient_vs_gap", rows)
    assert math.isclose(gradient_vs_gap.typical(made, "rnn", 1), 1e-3)


def stretches(*, batch, tokens):
    draw = data.language_batches("validation", batch=batch, context=tokens)
    return draw(torch.Generator().manual_seed(0))


def test_behind_a_causal_mask_writing_is_what_was_trained():
    model, text = loss_vs_mask.build(TINY[loss_vs_mask], 0), stretches(batch=3, tokens=7)
    with torch.no_grad():
        trained, written = (
            needed(model, *text, "causal")
            for needed in (loss_vs_mask.bits, loss_vs_mask.written_bits)
        )
    torch.testing.assert_close(written, trained, atol=1e-5, rtol=1e-5)


def test_without_a_mask_only_the_last_place_is_written_as_it_was_trained():
    model, text = loss_vs_mask.build(TINY[loss_vs_mask], 0), stretches(batch=3, tokens=7)
    with torch.no_grad():
        trained, written = (
            needed(model, *text, None) for needed in (loss_vs_mask.bits, loss_vs_mask.written_bits)
        )
    torch.testing.assert_close(written[:, -1], trained[:, -1], atol=1e-5, rtol=1e-5)
    assert ((written - trained)[:, :-1].abs() > 1e-3).any(dim=0).all()


@pytest.mark.slow
def test_the_cheat_is_found_and_does_not_write():
    config = replace(loss_vs_mask.LIVE, steps=80)
    records = loss_vs_mask.measure(config, {"mask": "no mask", "seed": 0})
    needed = {row["tested"]: row["bits"] for row in records if "tested" in row}
    assert needed["as trained"] < loss_vs_mask.FOUND_BITS
    assert needed["prefix alone"] > data.letter_bits("validation")


def test_the_step_of_the_cheat_is_the_first_below_the_limit():
    rows = [
        {"mask": "no mask", "seed": 0, "step": step, "bits": bits, "tested": None}
        for step, bits in ((10, 3.0), (20, 0.9), (30, 1.1))
    ]
    made = Results.from_records("loss_vs_mask", rows)
    assert loss_vs_mask.found_at(made, 0) == 20
    assert loss_vs_mask.found_at(made.where(step=10), 0) is None


class TestDesigns:
    @pytest.mark.parametrize("design", loss_vs_design.DESIGNS)
    def test_designs_have_equal_parameters(self, design):
        sizes = [
            sum(
                weight.numel()
                for weight in loss_vs_design.build(loss_vs_design.FULL, name, 12, 0).parameters()
            )
            for name in ("pre-norm", design)
        ]
        # RMSNorm has no shift, and no norm has nothing: at this width, 2 % of all
        assert sizes[1] == pytest.approx(sizes[0], rel=0.03)

    def test_blocks_without_a_stream_pass_on_what_their_parts_say(self):
        config = TINY[loss_vs_design]
        block = loss_vs_design.build(config, "no stream", 1, 0).blocks[0]
        x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for part in (block.attention.output, block.mlp.narrow):
                part.weight.zero_()
            block.mlp.narrow.bias.zero_()
            assert block(x, mask="causal").abs().max() == 0
            plain = loss_vs_design.build(config, "pre-norm", 1, 0).blocks[0]
            for part in (plain.attention.output, plain.mlp.narrow):
                part.weight.zero_()
            plain.mlp.narrow.bias.zero_()
            assert torch.equal(plain(x, mask="causal"), x)

    def test_a_model_without_norms_has_none(self):
        model = loss_vs_design.build(TINY[loss_vs_design], "no norm", 2, 0)
        assert not any(isinstance(part, torch.nn.LayerNorm) for part in model.modules())

    def test_larger_maps_are_those_of_glorot_and_bengio(self):
        config = replace(loss_vs_design.FULL, d_model=96)
        weight = loss_vs_design.build(config, "pre-norm, Xavier", 1, 0).blocks[0].mlp.narrow.weight
        assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / (5 * 96)), rel=1e-3)

    def test_likeness_is_the_mean_cosine_of_pairs(self):
        x = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
        pairs = [(a, b) for a in range(5) for b in range(5) if a != b]
        by_hand = [
            np.mean([torch.cosine_similarity(row[a], row[b], dim=0).item() for a, b in pairs])
            for row in x
        ]
        assert loss_vs_design.alike(x).tolist() == pytest.approx(by_hand, abs=1e-6)

    def test_without_a_stream_tokens_become_alike_before_any_training(self):
        last = {
            design: loss_vs_design.measure(
                loss_vs_design.FULL,
                {"trained": False, "design": design, "layers": 12, "seed": 0},
            )[-1]
            for design in ("pre-norm", "no stream")
        }
        assert last["no stream"]["alike"] > 0.99 > 0.5 > last["pre-norm"]["alike"]

    def test_rates_near_the_best_are_one_range(self):
        runs = {0.1: [2.0, 2.1], 0.2: [1.0, 1.1], 0.3: [0.9, 1.1], 0.4: [1.2, 1.3], 0.5: [1.0, 1.1]}
        assert loss_vs_design.best(runs) == 0.3
        assert loss_vs_design.near(runs) == (0.2, 0.3)
        assert loss_vs_design.near({0.1: [1.0]}) == (0.1, 0.1)

    def test_trainings_that_diverged_or_know_letters_alone_have_failed(self):
        letters = data.letter_bits("validation")
        rows = [
            {"trained": True, "design": "pre-norm", "layers": 3, "warmed": True, "seed": seed}
            | {"learning_rate": 0.1, "diverged": needed is None, "bits": needed}
            for seed, needed in enumerate((3.0, None, letters - 0.01, 1e9))
        ]
        made = Results.from_records("loss_vs_design", [*rows, {"trained": False}])
        runs = loss_vs_design.by_rate(made, "pre-norm", 3, warmed=True)
        assert runs == {0.1: [3.0, letters, letters - 0.01, letters]}
        assert loss_vs_design.failures(runs) == {0.1: 3}
        assert loss_vs_design.survived(runs | {0.2: [3.0]}) == [0.2]

    def test_of_a_design_that_never_learns_no_best_rate_is_told(self):
        found = loss_vs_design.findings(results.read("loss_vs_design"))
        for design, learns in (("pre_norm_12", True), ("no_stream_12", False)):
            assert f"{design}_best" in found
            for said in ("best_rate", "near_from", "survived_to"):
                assert (f"{design}_{said}" in found) is learns
        assert "no_stream_12_behind" not in found and "post_norm_12_behind" in found

    def test_a_training_that_diverges_is_recorded_as_such(self):
        config = replace(TINY[loss_vs_design], steps=9)
        point = {"trained": True, "design": "no norm", "layers": 12, "warmed": False, "seed": 0}
        records = loss_vs_design.measure(config, point | {"learning_rate": 1e9})
        assert records == [{"diverged": True, "bits": None}]


class TestSides:
    def models(self):
        config = TINY[bits_vs_sides]
        return config, *(bits_vs_sides.build(config, name, 0) for name in ("BERT", "GPT"))

    def test_gpt_sees_the_left_and_bert_what_is_not_hidden(self):
        _, bert, gpt = self.models()
        ids = stretches(batch=3, tokens=9)[0]
        blanked = ids.clone()
        blanked[:, 4] = data.MASK
        other = ids.clone()
        other[:, 8] = (other[:, 8] + 1) % data.MASK
        with torch.no_grad():
            # place 4 stands at 3, as the first is not named
            assert torch.equal(
                *(bits_vs_sides.bits(gpt, text, text)[:, 3] for text in (ids, other))
            )
            seen = [
                bits_vs_sides.bits(bert, text.where(blanked != data.MASK, data.MASK), ids)[:, 3]
                for text in (ids, other)
            ]
            assert (seen[0] != seen[1]).all()
            hidden = ids.clone()
            hidden[:, 4] = (hidden[:, 4] + 1) % data.MASK
            logits = bert.fill(hidden.where(blanked != data.MASK, data.MASK))
            assert torch.equal(logits, bert.fill(blanked))

    def test_a_span_of_one_is_one_hidden_character(self):
        config, bert, gpt = self.models()
        draw = data.language_batches("validation", batch=5, context=9)
        ids = draw(torch.Generator().manual_seed(20_000))[0]
        with torch.no_grad():
            for model in (bert, gpt):
                blanked = ids.clone()
                blanked[:, 4] = data.MASK
                expected = bits_vs_sides.bits(model, blanked, ids)[:, 3].mean().item()
                for row in bits_vs_sides.of_span(config, model, 1, 0):
                    assert row["bits"] == pytest.approx(expected, abs=1e-6)

    def test_a_span_in_turn_is_told_character_by_character(self):
        config, bert, _ = self.models()
        draw = data.language_batches("validation", batch=5, context=9)
        ids = draw(torch.Generator().manual_seed(20_000))[0]
        needed = []
        with torch.no_grad():
            for turn in range(3):
                blanked = ids.clone()
                blanked[:, 4 + turn : 7] = data.MASK
                needed.append(bits_vs_sides.bits(bert, blanked, ids)[:, 3 + turn].mean().item())
            in_turn = bits_vs_sides.of_span(config, bert, 3, 0)[1]
        assert in_turn["bits"] == pytest.approx(sum(needed) / 3, abs=1e-6)

    def test_writing_is_judged_with_nothing_on_the_right(self):
        config, bert, gpt = self.models()
        draw = data.language_batches("validation", batch=5, context=9)
        ids = draw(torch.Generator().manual_seed(30_000))[0]
        with torch.no_grad():
            for model in (bert, gpt):
                needed = []
                for n in range(1, 9):
                    if model is gpt:
                        logits = model.following(ids[:, :n])
                    else:
                        masked = torch.cat([ids[:, :n], torch.full((5, 1), data.MASK)], dim=1)
                        logits = model.fill(masked)[:, -1, : data.MASK]
                    loss = torch.nn.functional.cross_entropy(logits, ids[:, n])
                    needed.append(loss.item() / math.log(2))
                rows = bits_vs_sides.by_place(config, model, 0)
                assert [row["place"] for row in rows] == [2, 5, 8]
                by_hand = [np.mean(needed[:2]), np.mean(needed[2:5]), np.mean(needed[5:])]
                assert [row["bits"] for row in rows] == pytest.approx(by_hand, abs=1e-5)

    def test_both_write_from_the_prompt_and_the_seed(self):
        config, *models = self.models()
        with torch.no_grad():
            for model in models:
                first, again, other = (
                    bits_vs_sides.write(replace(config, written=30), model, seed)
                    for seed in (1, 1, 2)
                )
                assert first == again != other
                assert first.startswith(bits_vs_sides.PROMPT)
                assert len(first) == len(bits_vs_sides.PROMPT) + 30

    def test_every_character_of_a_megabyte_but_the_first_is_a_label(self):
        assert bits_vs_sides.free_labels(1_000_000) == 999_999
        assert bits_vs_sides.targets(bits_vs_sides.FULL, "GPT") == 63
        assert bits_vs_sides.targets(bits_vs_sides.FULL, "BERT") == 10

    def test_ahead_is_the_step_from_which_bert_stays_so(self):
        rows = [
            {
                "model": model,
                "steps": 4,
                "seed": seed,
                "tested": "hidden",
                "step": step,
                "bits": bits,
            }
            for model, course in (("BERT", (1, 4, 2, 1)), ("GPT", (3, 3, 3, 3)))
            for step, bits in enumerate(course, 1)
            for seed in (0, 1)
        ]
        assert bits_vs_sides.first_ahead(Results.from_records("bits_vs_sides", rows)) == 3


def test_learned_positions_are_tested_where_they_reach_and_their_refusal_is_kept():
    records = loss_vs_length.measure(TINY[loss_vs_length], {"trained": "learned", "seed": 0})
    assert [row.get("place") for row in records] == [1, 3, None]
    assert "ends at 4" in records[-1]["refused"] and "bits" not in records[-1]
    assert not any(row["beyond"] for row in records[:-1])


def test_bits_by_place_are_means_over_stretches_and_buckets():
    config = TINY[loss_vs_length]
    model = loss_vs_length.build(config, "none", 0)
    records = loss_vs_length.by_place(config, model, "none", 0)
    assert [row["place"] for row in records] == [1, 3, 5, 7]
    assert [row["beyond"] for row in records] == [False, False, True, True]
    draw = data.language_batches("validation", batch=config.tests, context=8)
    with torch.no_grad():
        needed = loss_vs_length.bits(model, *draw(torch.Generator().manual_seed(10_000)))
    assert records[1]["bits"] == pytest.approx(needed[:, 2:4].mean().item(), abs=1e-5)


def test_spans_are_means_of_each_run():
    rows = [
        {
            "model": "rotary, tuned",
            "tuning_steps": 5,
            "seed": seed,
            "place": place,
            "beyond": place > 2,
            "bits": float(place + seed),
            "refused": None,
        }
        for seed in (0, 1)
        for place in (1, 3, 5)
    ]
    assert loss_vs_length.spans(Results.from_records("loss_vs_length", rows)) == [
        ("rotary_tuned_5_within", [1.0, 2.0]),
        ("rotary_tuned_5_beyond", [4.0, 5.0]),
        ("rotary_tuned_5_farthest", [5.0, 6.0]),
    ]


def test_gradient_of_a_query_is_that_of_the_derivative():
    queries, keys = (torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (5, 7))
    weights = (0.7 * queries @ keys.T).softmax(dim=-1)
    norms = softmax_vs_width.query_gradient(weights, keys, scale=0.7)
    for query, norm in zip(queries, norms, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda query: (0.7 * query @ keys.T).softmax(dim=-1), query
        )
        assert norm.item() == pytest.approx(jacobian.norm().item(), rel=1e-5)


def test_evenness_is_the_entropy():
    weights = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).softmax(-1)
    theirs = torch.distributions.Categorical(weights).entropy() / math.log(2)
    torch.testing.assert_close(softmax_vs_width.entropy_bits(weights), theirs)


def test_undivided_scores_are_products_and_the_weights_the_same():
    config = replace(TINY[softmax_vs_width], d_model=24)
    point = {"d_head": 12, "scores": "undivided", "seed": 0}
    model = softmax_vs_width.build(config, point)
    twin = softmax_vs_width.build(config, point | {"scores": "divided"})
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    layer, x = model.blocks[0].attention, torch.randn(2, 5, 24)
    turn = twin.blocks[0].attention.rotate
    q, k = (
        turn(part(x).unflatten(-1, (2, 12)).transpose(1, 2)) for part in (layer.queries, layer.keys)
    )
    expected = (q @ k.mT).softmax(-1)
    torch.testing.assert_close(layer.weights(x), expected, atol=1e-6, rtol=1e-5)


def test_trained_scores_are_judged_at_their_best_rate():
    rows = [
        {"trained": True, "d_head": 4, "scores": "divided", "learning_rate": rate, "bits": bits}
        for rate, bits in ((0.1, 3.0), (0.1, 3.2), (0.2, 2.0), (0.2, 4.0))
    ]
    made = Results.from_records("softmax_vs_width", [*rows, {"trained": False}])
    assert softmax_vs_width.tuned(made).column("bits").tolist() == [2.0, 4.0]


class TestEffectOfAToken:
    @pytest.mark.parametrize("how", effect_vs_attention.EFFECTS)
    def test_batched_effects_are_those_of_one_token_at_a_time(self, how):
        """By our own attention: hidden is a mask, silenced is a value of zeros."""
        sentence = "To be, or not to be."
        _, model = minilm.load()
        ids = minilm.encode(sentence)
        batched = effect_vs_attention.effects(sentence, how)

        def embedding(token, without):
            x = model.embeddings(ids)
            seen = torch.arange(ids.shape[1]) != token
            for block in model.encoder.layer:
                own = block.attention.self
                values = own.value(x)
                if without and how == "silenced":
                    values[:, token] = 0
                mixed = attention.multi_head(
                    *(own.query(x), own.key(x), values),
                    heads=12,
                    kv_heads=12,
                    mask=seen.expand(len(seen), -1) if without and how == "hidden" else None,
                )
                x = block.attention.output(mixed, x)
                x = block.output(block.intermediate(x), x)
            return x[0, seen].mean(dim=0)

        with torch.no_grad():
            for token in (0, 2, ids.shape[1] - 1):
                pair = embedding(token, True), embedding(token, False)
                expected = 1 - torch.cosine_similarity(*pair, dim=0)
                assert batched[token].item() == pytest.approx(expected.item(), abs=2e-6)

    def test_norms_are_of_what_a_head_adds(self):
        """The heads' parts, weighted and added up, are the layer's output before its bias."""
        sentence = "To be, or not to be."
        _, model = minilm.load()
        norms = effect_vs_attention.value_norms(sentence)
        layer, block = minilm.layers(sentence)[2], model.encoder.layer[2]
        weight = block.attention.output.dense.weight.detach()
        values = attention.split_heads(layer.values, 12)[0]
        parts = torch.stack([values[h] @ weight[:, 32 * h : 32 * h + 32].T for h in range(12)])
        torch.testing.assert_close(parts.norm(dim=-1), norms[2], atol=1e-5, rtol=1e-5)
        output = (layer.weights[0] @ parts).sum(dim=0)
        torch.testing.assert_close(output, layer.mixed[0] @ weight.T, atol=1e-5, rtol=1e-5)

    def test_sentences_are_spoken_whole_and_of_the_length_asked_for(self):
        config = TINY[effect_vs_attention]
        chosen = effect_vs_attention.sentences(config)
        assert len(set(chosen)) == config.sentences
        text = " ".join(data.shakespeare("test").split())
        for sentence in chosen:
            assert sentence in text and sentence[-1] in ".?!" and "[" not in sentence
            assert config.shortest <= minilm.encode(sentence).shape[1] - 2 <= config.longest

    def test_ranks(self):
        ours = effect_vs_attention.rank_correlation
        a = np.array([0.1, 0.4, 0.2, 0.9, 0.3])
        assert ours(a, a**3) == 1 and ours(a, -a) == -1
        # by hand: places 0 3 1 4 2 and 1 3 0 4 2, so 1 - 6 * 2 / (5 * 24)
        assert ours(a, np.array([0.2, 0.4, 0.1, 0.9, 0.3])) == pytest.approx(0.9)

    def test_kinds(self):
        kinds = [effect_vs_attention.kind(t) for t in ("[CLS]", "[SEP]", "##s", "'", "4")]
        assert kinds == ["[CLS]", "[SEP]", "word", "punctuation", "word"]


def test_heads_that_turn_from_one_noun_to_the_other_are_counted():
    records = [
        {
            "sentence": number,
            "layer": layer,
            "head": head,
            "it_to_animal": animal,
            "it_to_street": 0.3,
        }
        | dict.fromkeys(("previous", "next", "itself", "cls", "sep"), 0.25 * head)
        for number, shares in enumerate([(0.4, 0.4, 0.1), (0.2, 0.5, 0.1)])
        for (layer, head), animal in zip(heads_of_minilm.FULL.told, shares, strict=True)
    ]
    found = heads_of_minilm.findings(Results.from_records("tiny", records))
    assert found["tired_animal_heads"] == "2" and found["wide_animal_heads"] == "1"
    assert found["turning_heads"] == "1"
    assert found["tired_animal_3_1"] == "40\xa0%" and found["wide_street_4_0"] == "30\xa0%"
    assert (found["previous_layer"], found["previous_head"]) == ("5", "11")


def test_a_cnn_and_a_vit_have_equal_parameters():
    counts = [
        sum(
            p.numel()
            for p in error_vs_images.build(error_vs_images.FULL, model, kind, 0).parameters()
        )
        for kind in error_vs_images.KINDS
        for model in error_vs_images.MODELS
    ]
    assert max(counts) / min(counts) < 1.03


def test_as_many_images_of_each_class_are_drawn_and_others_by_another_seed():
    for name, kind in error_vs_images.KINDS.items():
        _, classes = kind.images("train")
        assert len(classes) == kind.available
        one, other = (error_vs_images.drawn(classes, 50, seed) for seed in (0, 1))
        assert len(set(one.tolist())) == 50
        assert classes[one].bincount().tolist() == [5] * 10
        assert set(one.tolist()) != set(other.tolist())
        assert error_vs_images.drawn(classes, kind.available, 0).tolist() == list(
            range(kind.available)
        ), name
    with pytest.raises(ValueError, match="images=57: expected all, or equally many"):
        error_vs_images.drawn(classes, 57, 0)


def test_rates_are_chosen_by_validation_alone():
    rows = [
        {
            "images": images,
            "kind": "digits",
            "model": model,
            "moved": False,
            "learning_rate": rate,
            "validation_error": error,
            "error": 1 - error,
            "parameters": 1,
        }
        for images, model, rate, error in [
            (50, "ViT", 0.1, 0.5),
            (50, "ViT", 0.1, 0.7),
            (50, "ViT", 0.2, 0.4),
            (50, "ViT", 0.2, 0.9),
            (500, "ViT", 0.1, 0.3),
            (500, "ViT", 0.2, 0.2),
            (50, "CNN", 0.2, 0.1),
        ]
    ]
    kept = error_vs_images.tuned(Results.from_records("error_vs_images", rows))
    chosen = {(row["images"], row["model"]): row["learning_rate"] for row in kept.records()}
    assert chosen == {(50, "ViT"): 0.1, (500, "ViT"): 0.2, (50, "CNN"): 0.2}
    assert len(kept) == 4


def test_the_difference_of_vit_and_cnn_is_taken_seed_by_seed():
    rows = [
        {
            "images": 50,
            "kind": "digits",
            "model": model,
            "moved": False,
            "learning_rate": 0.1,
            "seed": seed,
            "validation_error": 0.5,
            "error": 0.1 * seed + more,
            "parameters": 1000,
        }
        for model, more in (("CNN", 0.0), ("ViT", 0.2))
        for seed in range(3)
    ]
    found = error_vs_images.findings(Results.from_records("error_vs_images", rows))
    assert found["digits_50_more"] == "20.0 (20.0 to 20.0)"
    assert found["digits_50_ViT"] == "30.0\N{NO-BREAK SPACE}%"


def test_kinds_of_input_are_as_long_and_wide_as_they_say():
    for kind in accuracy_vs_input.KINDS.values():
        x, classes = kind.source("train")(200, torch.Generator().manual_seed(0))
        assert x.shape == (200, kind.tokens, kind.d_input)
        assert set(classes.tolist()) == set(range(kind.classes))
        assert kind.tokens < accuracy_vs_input.CONTEXT


def test_letters_are_those_of_words_with_so_many_syllables():
    x, classes = accuracy_vs_input.letters("test")(50, torch.Generator().manual_seed(0))
    for word, count in zip(x, (classes + 1).tolist(), strict=True):
        length = int(word.sum())
        assert word.sum(1).tolist() == [1] * length + [0] * (len(word) - length)
        spelled = "".join(chr(97 + place) for place in word[:length].argmax(1).tolist())
        vowels = [p for p in data.pronunciations("test")[spelled][0] if p[:2] in VOWELS]
        assert len(vowels) == count


def test_blocks_are_the_same_for_every_kind_of_input():
    config = TINY[accuracy_vs_input]
    built = [accuracy_vs_input.build(config, "Transformer", k, 0) for k in accuracy_vs_input.KINDS]
    sizes = [[p.shape for p in model.blocks.parameters()] for model in built]
    assert sizes[0] == sizes[1] == sizes[2]
    assert len({model.input.in_features for model in built}) == 3


@pytest.mark.slow
def test_a_transformer_hears_what_a_linear_model_does_not():
    points = [{"kind": "sound", "model": model, "seed": 0} for model in accuracy_vs_input.RATES]
    linear, heard = (accuracy_vs_input.measure(accuracy_vs_input.FULL, p)[0] for p in points)
    assert linear["accuracy"] < 0.35 and heard["accuracy"] > 0.9


class TestScores:
    def results(self, by_size, *, places=2):
        """One seed of each width; each of two factors has a share for every place."""
        rows = []
        for width, (exact, factors) in by_size.items():
            about = {"d_model": width, "seed": 0}
            by_place = np.mean(factors, axis=0)
            rows.append(
                about
                | {"of": "whole", "named": by_place.mean(), "exact": exact, "written": 0.5}
                | {"wrong": 1.0, "bits": 1.0, "places": places, "parameters": 100 * width}
            )
            rows += [
                about | {"of": "training", "step": step, "named": share}
                for step, share in ((10, 0.1), (20, 0.2), (30, by_place.mean()))
            ]
            rows += [
                about | {"of": "place", "place": place, "named": share}
                for place, share in enumerate(by_place)
            ]
            rows += [
                about
                | {"of": "factor", "factor": factor, "problems": 10}
                | {"named": np.mean(shares), "exact": exact, "product": np.prod(shares)}
                for factor, shares in enumerate(factors)
            ]
        return Results.from_records("score_vs_size", rows)

    def test_three_ways_to_foretell_from_digits(self):
        made = self.results({8: (0.5, [(1.0, 1.0), (0.2, 0.6)])})
        (run,) = score_vs_size.foretold(made)
        assert run["digits"] == pytest.approx(0.7)
        assert run["p^k"] == pytest.approx(0.7**2)
        assert run["by place"] == pytest.approx(0.6 * 0.8)
        assert run["by factor"] == pytest.approx((1.0 + 0.12) / 2)
        drawn = score_vs_size.scores(made)
        assert drawn.column("metric").tolist() == ["digits", "answers", "p^k"]
        assert drawn.column("share") == pytest.approx([0.7, 0.5, 0.49])

    def four_sizes(self):
        return self.results(
            {
                4: (0.0, [(0.4, 0.4), (0.4, 0.4)]),
                8: (0.002, [(0.6, 0.6), (0.6, 0.6)]),
                16: (0.5, [(0.7, 0.7), (0.7, 0.7)]),
                32: (0.6, [(0.9, 0.9), (0.9, 0.9)]),
            }
        )

    def test_what_is_said_of_steps_halves_and_gaps(self):
        found = score_vs_size.findings(self.four_sizes())
        assert (found["digits_step"], found["answers_step"]) == ("20", "50")
        assert (found["answers_step_from"], found["answers_step_to"]) == ("800", "1,600")
        assert (found["digits_half_from"], found["answers_half_from"]) == ("800", "1,600")
        assert found["answers_step_share"] == "83\xa0%"
        assert found["unseen_to"] == "800"
        assert (found["unseen_digits_first"], found["unseen_digits_last"]) == ("40\xa0%", "60\xa0%")
        assert (found["p_k_gap"], found["p_k_gap_at"]) == ("36", "800")  # 0.36 foretold, 0.002 seen
        assert found["w32_rush"] == "70"
        assert (found["w32_rush_first"], found["w32_rush_last"]) == ("20", "30")

    def test_a_run_that_is_looked_at_once_says_nothing_of_rushes(self):
        once = replace(TINY[score_vs_size], looks=score_vs_size.LIVE.looks, seeds=1)
        made = Results.from_records("score_vs_size", score_vs_size.run(once))
        found = score_vs_size.findings(made)
        assert "answers_step" in found and not any("rush" in name for name in found)

    def test_a_size_that_falls_back_puts_the_half_behind_it(self):
        shares = [(0.5, 0.5), (0.5, 0.5)]
        made = self.results({4: (0.6, shares), 8: (0.3, shares), 16: (0.7, shares)})
        assert score_vs_size.first_from(made, "answers", 0.5) == 1600
        assert score_vs_size.first_from(made, "answers", 0.8) is None

    def test_an_answer_without_a_fault_is_named_as_it_is_written(self):
        config = TINY[score_vs_size]
        task = Product(2)
        model = score_vs_size.build(config, 16, 0)
        tests = task.draw(300, torch.Generator().manual_seed(1), held_out=True)
        train.train(
            model,
            lambda generator: task.draw(32, generator),
            lambda model, problems: score_vs_size.bits(
                score_vs_size.logits(model, problems), problems
            ),
            recipe=train.Recipe(steps=150, learning_rate=0.0125),
        )
        with torch.no_grad():
            named = score_vs_size.logits(model, tests).argmax(dim=-1) == tests[1]
            wrote = score_vs_size.written(model, tests) == tests[1]
        assert torch.equal(named.all(dim=1), wrote.all(dim=1))
        assert 0 < named.all(dim=1).float().mean() < 1 and not torch.equal(named, wrote)

    def test_parameters_are_those_of_the_blocks_and_the_output(self):
        config = TINY[score_vs_size]
        model = score_vs_size.build(config, 24, 0)
        matrices = [*model.blocks.parameters(), model.output.weight]
        counted = sum(weight.numel() for weight in matrices if weight.ndim == 2)
        assert counted == score_vs_size.parameters(config, 24)

    def test_the_digits_to_be_named_are_not_read(self):
        config = TINY[score_vs_size]
        model = score_vs_size.build(config, 8, 0)
        problem, answer = Product(2).draw(5, torch.Generator().manual_seed(0))
        other = answer.clone()
        other[:, 1] = (other[:, 1] + 1) % 10
        with torch.no_grad():
            first, second = (score_vs_size.logits(model, (problem, a)) for a in (answer, other))
        assert torch.equal(first[:, :2], second[:, :2])
        assert not torch.equal(first[:, 2], second[:, 2])


class TestBillsOfAdaptiveModels:
    """What these experiments say that a model executed is what a counter sees it execute."""

    @pytest.mark.parametrize("fixed", [1, 3, None])
    @pytest.mark.parametrize("sees", ["all", "its neighbour"])
    def test_an_adder(self, fixed, sees):
        adder = depth_vs_digits.Adder(TINY[depth_vs_digits], fixed=fixed, sees=sees).eval()
        problems, *_ = adder.task.draw(7, torch.Generator().manual_seed(0))
        thoughts = []
        with torch.no_grad():
            counted = measure.flops(lambda: thoughts.append(adder(problems)[1]))
        assert sum(adder.flops(thoughts[0], batch=7).values()) == counted

    @pytest.mark.parametrize(
        "design",
        ["4 layers", "LSTM", "8 experts", "one block, 4 times", "until enough"],
    )
    def test_a_model_of_the_closing_figure(self, design):
        config = TINY[bits_vs_bill]
        model = bits_vs_bill.build(config, design, 0).eval()
        ids = torch.randint(70, (3, 12), generator=torch.Generator().manual_seed(0))
        way = next(bits_vs_bill.ways(model, design))
        said = []
        with torch.no_grad():
            counted = measure.flops(lambda: said.append(way.read(ids)[1]))
        assert said[0] == counted

    @pytest.mark.parametrize("price", [None, 1e-9, 2.5])
    def test_sums_that_are_kept_or_handed_over(self, price):
        torch.manual_seed(0)
        model = calls_vs_price.Reckoner(TINY[calls_vs_price], depth=3).eval()
        problems, *_ = model.adder.task.draw(9, torch.Generator().manual_seed(0))
        said = []
        with torch.no_grad():
            counted = measure.flops(lambda: said.append(model.answer(problems, price=price)[2]))
        assert said[0] == counted


class TestTimeByThreshold:
    @pytest.mark.parametrize(("model", "rows"), [("ViT", "one"), ("ViT", "many"), ("GPT", "many")])
    def test_all_leave_by_the_door_that_is_fixed(self, model, rows):
        config = TINY[time_vs_threshold]
        exits = loss_vs_exit.doors(model, 0).eval()
        for layer in (3.0, 5.0):
            setting = time_vs_threshold.at(exits, "fixed", layer)
            bills = time_vs_threshold.working(config, *setting, rows)()
            assert {bill["depth"] for bill in bills} == {layer}

    def test_what_writing_is_billed_is_what_a_counter_sees(self):
        config = TINY[time_vs_threshold]
        exits = loss_vs_exit.doors("GPT", 0).eval()
        whole = time_vs_threshold.working(config, exits, 1.0, "one")
        counted = measure.flops(whole)
        assert counted == whole()[0]["flops"]


class TestTheParityMachine:
    """A cell that takes the same number of steps for all, as it is trained and as it is asked."""

    def test_answers_are_those_that_were_trained(self):
        cell = parity_vs_penalty.Thinker("fixed", bits=5, d_hidden=7, max_steps=3).eval()
        x, *_ = parity_vs_penalty.Parity(5).draw(11, torch.Generator().manual_seed(0))
        logits, depth, flops = cell.answer(x)
        thought = cell(x)
        torch.testing.assert_close(logits, cell.output(thought.mixed).detach())
        assert depth.tolist() == thought.depth.tolist() == [3] * 11
        assert sum(flops.values()) == sum(thought.flops.values()) - thought.flops["halting"]


class TestEqualSeconds:
    """The trainings of `loss_vs_routing` that take as many seconds as the plain one."""

    @pytest.mark.parametrize("capacity", sorted(loss_vs_routing.STEP_TIMES))
    def test_steps_are_as_long_as_they_were_timed(self, capacity):
        rows = results.read("time_vs_capacity").where(capacity=capacity)
        taken = loss_vs_routing.STEP_TIMES[capacity]
        assert rows.column("times").mean() == pytest.approx(taken, abs=0.03)

    @pytest.mark.parametrize("capacity", sorted(loss_vs_routing.STEP_TIMES))
    def test_steps_and_their_time_make_the_plain_training(self, capacity):
        config = loss_vs_routing.FULL
        steps = loss_vs_routing.longer(config, capacity, "time")
        assert steps * loss_vs_routing.STEP_TIMES[capacity] == pytest.approx(config.steps, rel=1e-3)
        spent = loss_vs_routing.longer(config, capacity, "flops") * loss_vs_routing.flops(
            config, capacity
        )
        assert spent == pytest.approx(config.steps * loss_vs_routing.flops(config, 1.0), rel=1e-3)
