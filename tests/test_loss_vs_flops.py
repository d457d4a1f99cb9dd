"""The sweep, and the questions that lean on it, on records made from a law: is it found again?"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from payattention import data, isoflop, wording
from payattention.cost import operations
from payattention.experiments import (
    interval_vs_truth,
    largest_foretold,
    largest_trained,
    loss_vs_epochs,
    loss_vs_flops,
    loss_vs_rate,
    loss_vs_steps,
    optimum_vs_recipe,
    time_vs_size,
)
from payattention.experiments.loss_vs_flops import FULL, Size, spent, step_flops
from payattention.measure import flops
from payattention.records import Results
from payattention.scaling_laws import MUENNIGHOFF_2023, AdditiveLaw
from payattention.transformer import Decoder

LAW = AdditiveLaw(E=2.0, A=160.0, B=300.0, alpha=0.5, beta=0.45)


def runs_of(law, config=FULL, noise=0.003):
    """The sweep's records, as they would be if the law were all there is."""
    generator = np.random.default_rng(0)
    rows = []
    for point in loss_vs_flops.points(config):
        size = Size(point["layers"], point["d_model"])
        made_of = spent(config, size, round(point["budget"] / step_flops(config, size)))
        bits = law.loss(float(made_of["parameters"]), float(made_of["tokens"]))
        bits *= math.exp(noise * generator.standard_normal())
        rows.append(point | made_of | {"bits": bits})
    return Results.from_records("loss_vs_flops", rows)


@pytest.fixture(scope="module")
def runs():
    return runs_of(LAW)


@pytest.mark.parametrize("size", [Size(2, 8), Size(2, 12), Size(3, 40)])
def test_parameters_and_operations_are_those_of_the_model(size):
    model = Decoder(loss_vs_flops.shape(size))
    matrices = sum(w.numel() for w in model.blocks.parameters() if w.ndim == 2)
    assert matrices == loss_vs_flops.blocks(size)
    assert matrices + model.output.weight.numel() == loss_vs_flops.parameters(size)
    with torch.device("meta"):
        model = Decoder(loss_vs_flops.shape(size))
        ids = torch.zeros(FULL.batch, FULL.tokens, dtype=torch.long)
        counted = flops(lambda: model(ids))
    full = operations.training(loss_vs_flops.shape(size), tokens=FULL.tokens)
    assert 3 * counted == FULL.batch * sum(full.values())
    # and the sweep bills the half of the square that the mask allows
    square = FULL.batch * (full["scores"] + full["mixing"])
    needed = operations.needed_pairs(FULL.tokens, mask="causal") / FULL.tokens**2
    assert step_flops(FULL, size) == pytest.approx(3 * counted - square * (1 - needed))


def test_every_run_spends_its_budget(runs):
    off = runs.column("flops") / runs.column("budget") - 1
    assert np.abs(off).max() < 0.01
    six = 6 * runs.column("parameters") * runs.column("tokens")
    assert (np.abs(runs.column("flops") / six - 1) < 0.5).all()  # the square is the rest


def test_rates_fall_with_width_and_length():
    rate = loss_vs_flops.rate
    assert rate(FULL, Size(2, 8), 100) == FULL.most_rate
    assert rate(FULL, Size(2, 64), 1000) == 2 * rate(FULL, Size(2, 128), 1000)
    assert rate(FULL, Size(2, 64), 32_000) == pytest.approx(rate(FULL, Size(2, 64), 1000) / 2)


def test_the_law_is_found_again(runs):
    law = loss_vs_flops.law(runs, starts=5)
    for name in ("E", "alpha", "beta", "parameters_exponent"):
        assert getattr(law, name) == pytest.approx(getattr(LAW, name), rel=0.12), name
    again = loss_vs_flops.resampled(runs, law, repeats=60)
    for name in loss_vs_flops.CONSTANTS:
        found = again.interval(name)
        assert found.low < getattr(law, name) < found.high
    assert again.interval("alpha").low < LAW.alpha < again.interval("alpha").high


def test_valleys_have_their_bottoms_where_the_law_has(runs):
    texts = loss_vs_flops.best_tokens(runs)
    for budget, valley in loss_vs_flops.best_sizes(runs).items():
        assert valley.inside
        best = LAW.optimum(budget)
        assert valley.parameters == pytest.approx(best.parameters, rel=0.35)
        assert texts[budget] * valley.parameters * 6 == pytest.approx(budget, rel=0.35)
    moves = loss_vs_flops.resampled(runs, loss_vs_flops.law(runs, starts=5), repeats=40)
    valleys, by_law = (moves.value[name] for name in ("valleys", "parameters_exponent"))
    assert valleys == pytest.approx(LAW.parameters_exponent, abs=0.06)
    assert by_law == pytest.approx(LAW.parameters_exponent, abs=0.03)
    apart = moves.interval("difference")
    assert apart.value == valleys - by_law
    alone = loss_vs_flops.resampled_valleys(runs, repeats=40)
    assert (alone.again["valleys"] == moves.again["valleys"]).all()
    assert apart.low < 0 < apart.high


def test_leaving_the_output_out_makes_the_exponent_larger():
    budgets = list(FULL.budgets)
    of_all = loss_vs_flops.counted_exponent(LAW, budgets, blocks=False)
    assert of_all == pytest.approx(LAW.parameters_exponent, abs=2e-3)
    assert loss_vs_flops.counted_exponent(LAW, budgets, blocks=True) > of_all + 0.01
    # where the output is nothing beside the blocks, it does not matter
    huge = [budget * 1e8 for budget in budgets]
    tiny_output = loss_vs_flops.counted_exponent(replace(LAW, A=1e4), huge[:3], blocks=True)
    assert tiny_output == pytest.approx(LAW.parameters_exponent, abs=0.03)


def test_resamples_have_as_many_runs_of_each_budget(runs, monkeypatch):
    seen = []

    def valleys(budgets, parameters, bits):
        seen.append(sorted(budgets))
        return dict.fromkeys((1.0, 10.0), isoflop.Valley(5.0, 2.0, 1.0, True))

    monkeypatch.setattr(isoflop, "valleys", valleys)
    loss_vs_flops.resampled_valleys(runs, repeats=3)
    assert seen == [sorted(runs.column("budget"))] * 4


def test_costlier_is_told_where_it_costs_most(runs):
    rows = [
        row | {"recipe": "r", "bits": row["bits"] + 0.3 * (row["parameters"] == 7392)}
        for row in runs_of(LAW, optimum_vs_recipe.SMALL_BUDGETS).records()
    ]
    made = Results.from_records("optimum_vs_recipe", rows)
    tuned = Results.from_records(
        "loss_vs_flops", runs_of(LAW, optimum_vs_recipe.SMALL_BUDGETS).records()
    )
    assert optimum_vs_recipe.dearer(made, tuned, "r") == pytest.approx(0.3)


def test_misses_are_those_of_the_law():
    runs = runs_of(LAW, noise=0.0)
    for of_budget in loss_vs_flops.misses(runs, LAW).values():
        assert list(of_budget) == sorted(of_budget)
        assert np.allclose(list(of_budget.values()), 0, atol=1e-9)
    higher = loss_vs_flops.misses(runs, replace(LAW, E=LAW.E / 2))
    assert all(off > 0 for of_budget in higher.values() for off in of_budget.values())


def test_findings_of_the_sweep(runs):
    found = loss_vs_flops.findings(runs)
    assert found["runs"] == str(len(runs)) and found["seeds"] == "3" and found["budgets"] == "5"
    assert float(found["alpha"].split()[0]) == pytest.approx(LAW.alpha, abs=0.06)
    assert float(found["halving"]) == pytest.approx(LAW.flops_factor(), rel=0.2)
    assert all(f"best_{place}" in found for place in range(5))


def test_best_rate_is_the_bottom_of_the_losses():
    rows = [
        {"width": width, "steps": steps, "learning_rate": rate, "seed": seed}
        | {"bits": 3 + 0.1 * math.log(rate / (0.25 / width)) ** 2 + 0.01 * seed}
        for width in (8, 64)
        for steps in (10, 20)
        for rate in loss_vs_rate.FULL.learning_rates
        for seed in range(2)
    ]
    made = Results.from_records("loss_vs_rate", rows)
    assert loss_vs_rate.best_rate(made, width=64, steps=10) == pytest.approx(0.25 / 64)
    by = loss_vs_rate.lost(made, width=64, steps=10, learning_rate=0.064)
    grid = min(0.1 * math.log(r / (0.25 / 64)) ** 2 for r in loss_vs_rate.FULL.learning_rates)
    assert by.value == pytest.approx(0.1 * math.log(0.064 / (0.25 / 64)) ** 2 - grid)
    found = loss_vs_rate.findings(made)
    assert float(found["long_times"]) == pytest.approx(8, rel=0.05)


def test_recipes_are_compared_at_their_own_budgets(runs):
    config = optimum_vs_recipe.SMALL_BUDGETS
    other = replace(LAW, A=100.0)
    rows = [
        row | {"recipe": name}
        for name, law in (("rate of the widest", LAW), ("long warm-up", other))
        for row in runs_of(law, config).records()
    ]
    made = Results.from_records("optimum_vs_recipe", rows)
    found = optimum_vs_recipe.exponents(made, runs, repeats=10)
    assert set(found) == {"tuned", "rate of the widest", "long warm-up"}
    same = (found[name].value["valleys"] for name in ("tuned", "rate of the widest"))
    same = tuple(same)
    assert same[0] == pytest.approx(same[1], abs=1e-9)
    said = optimum_vs_recipe.findings(made, runs)
    assert float(said["long_warm_up_dearer"]) < 0  # its law needs less everywhere
    first = made.where(recipe="long warm-up").records()[0]
    share = optimum_vs_recipe.FULL.warmup_steps / first["steps"]
    assert said[f"warmup_share_0_{first['parameters']}"] == wording.percent(share)
    smaller, tuned = (
        float(said[f"{n}_best_1"].replace(",", "")) for n in ("long_warm_up", "tuned")
    )
    assert smaller < 0.8 * tuned  # a model that holds more in less


def test_what_each_recipe_changes(monkeypatch):
    seen = {}
    monkeypatch.setattr(
        optimum_vs_recipe,
        "trained",
        lambda config, size, how: (None, [{"bits": 1.0}]) if seen.update(how=how) is None else None,
    )
    config = optimum_vs_recipe.FULL
    point = {"budget": 1.5e10, "layers": 2, "d_model": 16, "seed": 1}
    own = loss_vs_flops.recipe(config.runs, Size(2, 16), 515, 1)
    rates = {"rate of the widest": 64, "rate of the narrowest": 16}
    for name, width in rates.items():
        optimum_vs_recipe.measure(config, point | {"recipe": name})
        rate = loss_vs_flops.rate(config.runs, Size(2, width), seen["how"].steps)
        assert seen["how"] == replace(
            own,
            steps=seen["how"].steps,
            learning_rate=rate,
            warmup_steps=seen["how"].warmup_steps,
            record_every=seen["how"].steps,
        )
    optimum_vs_recipe.measure(config, point | {"recipe": "long warm-up"})
    assert seen["how"].warmup_steps == min(500, seen["how"].steps)
    assert seen["how"].learning_rate == pytest.approx(own.learning_rate, rel=1e-2)


def test_curves_give_the_laws_exponent():
    rows = []
    for point in loss_vs_steps.points(loss_vs_steps.FULL):
        size = Size(point["layers"], point["d_model"])
        each = step_flops(FULL, size)
        for share in np.geomspace(0.05, 1.0, 30):
            steps = round(share * loss_vs_steps.FULL.budget / each)
            made_of = spent(FULL, size, steps)
            bits = LAW.loss(float(made_of["parameters"]), float(made_of["tokens"])) + 0.1
            rows.append(point | made_of | {"bits": bits})
    made = Results.from_records("loss_vs_steps", rows)
    valleys = loss_vs_steps.best_sizes(made, FULL.budgets[:3])
    for budget, valley in valleys.items():
        assert valley.parameters == pytest.approx(LAW.optimum(budget).parameters, rel=0.4)
    found = loss_vs_steps.findings(made, runs_of(LAW))
    assert float(found["exponent"]) == pytest.approx(LAW.parameters_exponent, abs=0.08)
    assert [float(found[f"decay_{place}"]) for place in range(3)] == pytest.approx(
        [0.1] * 3, abs=0.03
    )
    reached = LAW.optimum(8e10).loss + 0.1
    needed = loss_vs_steps.steps_to(made, reached)
    assert min(needed) < max(needed)
    for size, steps in needed.items():
        text = steps * FULL.batch * FULL.tokens
        assert LAW.loss(size, text) + 0.1 == pytest.approx(reached, abs=0.02)


def epochs_made(law, *, sizes=((2, 32), (3, 48)), seeds=2):
    unique, rows = loss_vs_epochs.FULL.unique, []
    for layers, d_model in sizes:
        n = 1e12  # so many that only the text counts
        for epochs in loss_vs_epochs.FULL.epochs:
            for text in loss_vs_epochs.TEXTS:
                worth = law.effective_tokens(epochs * 1.0, 1.0) if text == "repeated" else epochs
                for seed in range(seeds):
                    rows.append(
                        {"epochs": epochs, "text": text, "layers": layers, "d_model": d_model}
                        | {"seed": seed, "parameters": 1000 * d_model, "training_bits": 1.0}
                        | {"bits": 2 + LAW.A / n**LAW.alpha + (worth * unique / 1e5) ** -0.4}
                    )
    return Results.from_records("loss_vs_epochs", rows)


@pytest.mark.parametrize("repeats", [3.0, 15.387756])
def test_worth_of_repetition_is_found_again(repeats):
    law = replace(MUENNIGHOFF_2023, repeats_of_tokens=repeats)
    made = epochs_made(law)
    table = loss_vs_epochs.worth(made, layers=2, d_model=32)
    for row in table.records():
        told = law.effective_tokens(float(row["epochs"]), 1.0)
        assert row["worth"] == pytest.approx(told, rel=0.03)
    assert loss_vs_epochs.repeats_fitted(table) == pytest.approx(repeats, rel=0.1)
    found = loss_vs_epochs.findings(made)
    assert found["told_4"] == "3.7" and found["small_best_epochs"] == "64"


def test_repeated_text_is_drawn_from_all_plays_and_fresh_text_is_all(monkeypatch):
    asked = []
    real = data.language_passes

    def passes(*arguments, **how):
        asked.append(how["starts"])
        return real(*arguments, **how)

    monkeypatch.setattr(data, "language_passes", passes)
    config = replace(
        loss_vs_epochs.LIVE, unique=1024, epochs=(1,), sizes=((2, 8),), runs=replace(FULL, tests=2)
    )
    for point in loss_vs_epochs.points(config):
        record = loss_vs_epochs.measure(config, point)[0]
        assert record["tokens"] == 1024
    own, fresh = asked
    assert fresh is None
    assert len(set(own.tolist())) == 16 and (own % 64 == 0).all()
    assert own.max() > 2e6 > own.min()
    assert not torch.equal(loss_vs_epochs.stretches(config, 1), own)


def test_what_is_foretold_is_what_the_law_says(runs):
    bits, low, high = largest_foretold.foretell(runs, parameters=4.5e5, tokens=4.4e6, resamples=80)
    truth = LAW.loss(4.5e5, 4.4e6)
    assert low < bits < high
    assert low < truth < high
    assert high / low - 1 < 0.1


def test_largest_is_judged_by_what_was_foretold():
    told = Results.from_records("largest_foretold", [{"bits": 2.0, "low": 1.9, "high": 2.1}])
    rows = [{"whole": False, "seed": 0, "bits": 9.0}]
    rows += [{"whole": True, "seed": s, "bits": b} for s, b in enumerate((2.05, 2.08, 2.11))]
    made = Results.from_records("largest_trained", rows)
    found = largest_trained.findings(made, told)
    assert found["inside"] == "2" and found["seeds"] == "3"
    assert found["off"] == "0.08" and found["direction"] == "higher"
    assert found["off_share"] == "4.0\N{NO-BREAK SPACE}%"


def test_largest_model_is_larger_than_any_of_the_sweep():
    size = Size(largest_foretold.FULL.layers, largest_foretold.FULL.d_model)
    largest = max(loss_vs_flops.parameters(Size(*s)) for s in FULL.sizes)
    assert loss_vs_flops.parameters(size) > 2 * largest
    made_of = spent(FULL, size, largest_foretold.steps(largest_foretold.FULL))
    assert made_of["flops"] > 7 * max(FULL.budgets)
    assert 0.999 < made_of["passes"] <= 1


def test_coverage_counts_the_intervals_that_hold_the_truth():
    truth = interval_vs_truth.REGIONS["the book's"].law
    rows = [
        {"region": "the book's", "seed": seed}
        | {f"{n}{end}": getattr(truth, n) * f for n in ("alpha", "beta") for end, f in ends.items()}
        for seed, ends in enumerate(
            [
                {"": 1.01, "_low": 0.9, "_high": 1.1},
                {"": 1.02, "_low": 0.8, "_high": 1.2},
                {"": 1.03, "_low": 1.01, "_high": 1.2},
                {"": 0.99, "_low": 0.9, "_high": 0.999},
            ]
        )
    ]
    made = Results.from_records("interval_vs_truth", rows)
    assert interval_vs_truth.coverage(made, "the book's", "alpha") == 0.5
    assert interval_vs_truth.off(made, "the book's", "beta") == pytest.approx(0.015)
    assert interval_vs_truth.findings(made)["book_alpha_coverage"] == "50\N{NO-BREAK SPACE}%"


def test_costs_grow_with_the_powers_of_size_and_text(runs):
    rows = [
        {"parameters": n, "step_flops": 6e3 * n, "repeat": repeat, "seconds": n**0.7 / (1 + repeat)}
        for n in (2e3, 1e4, 5e4, 2e5)
        for repeat in range(3)
    ]
    made = Results.from_records("time_vs_size", rows)
    found = time_vs_size.slopes(made, runs)
    text = (1 - LAW.parameters_exponent) / LAW.parameters_exponent
    assert time_vs_size.best_text(runs)[1] == pytest.approx(text, abs=0.15)
    assert found["fixed_step_flops"].value == pytest.approx(1)
    assert found["fixed_seconds"].value == pytest.approx(0.7)
    power = time_vs_size.best_text(runs)[1]
    assert found["best_seconds"].value == pytest.approx(0.7 + power)
    assert time_vs_size.findings(made, runs)["fixed_step_flops"] == "1.00"
