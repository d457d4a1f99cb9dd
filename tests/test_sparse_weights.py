"""The experiments on experts, pruning and sharing: what they count, compare and conclude."""

import math
from dataclasses import replace

import pytest
import torch

from payattention import experts, measure, pruning
from payattention.cost import operations, parameters
from payattention.experiments import (
    expert_vs_token,
    loss_vs_experts,
    loss_vs_sharing,
    loss_vs_sparsity,
    ticket_vs_control,
    time_vs_experts,
    time_vs_sparsity,
)
from payattention.experts import Experts
from payattention.records import Results
from payattention.transformer import FeedForward

# Experts


def test_all_designs_but_the_large_execute_the_same_and_the_large_has_the_parameters_of_eight():
    config = loss_vs_experts.FULL
    one, large = "one", "one as large as 8"
    shapes = {name: loss_vs_experts.shape(config, name) for name in loss_vs_experts.DESIGNS}
    flops = {name: loss_vs_experts.step_flops(config, name) for name in shapes}
    for name, shape in shapes.items():
        # 3 passes; the router is all that experts add
        routers = (
            3
            * config.layers
            * operations.matmul(config.batch * config.tokens, config.d_model, shape.experts or 0)
        )
        if name != large:
            assert flops[name] == flops[one] + routers
    sizes = {name: sum(parameters.decoder(shape).values()) for name, shape in shapes.items()}
    routers = config.layers * 8 * config.d_model
    assert sizes["8 experts"] == sizes[large] + routers
    assert sum(parameters.active(shapes["8 experts"]).values()) == sizes[one] + routers


@pytest.mark.parametrize("design", ["one", "8 experts", "8 half experts, two chosen"])
def test_operations_of_a_step_are_what_a_step_executes(design):
    config = replace(loss_vs_experts.FULL, d_model=12, heads=2, tokens=13, batch=1)
    model = loss_vs_experts.build(config, design, 0)
    ids = torch.randint(11, (1, 13))
    # the counter bills the full square: as much more as the mask hides
    hidden = operations.executed_pairs(13) - operations.needed_pairs(13)
    square = config.layers * 2 * hidden * operations.matmul(1, 12, 1)
    counted = measure.flops(lambda: model(ids))
    assert 3 * (counted - square) == loss_vs_experts.step_flops(config, design)


def test_a_load_that_collapsed_is_seen():
    config = replace(loss_vs_experts.FULL, d_model=8, heads=2)
    model = loss_vs_experts.build(config, "4 experts", 0)
    with torch.no_grad():
        for layer in experts.experts_of(model):
            layer.router.weight.zero_()
        model(torch.randint(70, (2, 50)))
    # equal probabilities: one expert, whichever it is, takes all
    assert loss_vs_experts.loads(model) == {"largest": 1.0, "dead": 0.75}
    assert loss_vs_experts.loads(loss_vs_experts.build(config, "one", 0)) == {}


def test_only_balanced_designs_learn_from_their_balance():
    config = replace(
        loss_vs_experts.FULL, d_model=8, heads=2, tokens=9, batch=2, tests=2, balance=10.0
    )

    def router(design, weight):
        model, _ = loss_vs_experts.trained(
            replace(config, balance=weight), design, steps=3, seed=0, looks=1
        )
        return next(experts.experts_of(model)).router.weight

    for design, changes in (("8 experts", True), ("8 experts, no balance", False)):
        assert torch.equal(router(design, 0.0), router(design, 10.0)) != changes


def test_sooner_is_read_off_where_the_loss_of_one_is_reached():
    rows = [
        {"design": design, "seed": 0, "steps": 100, "step": step, "bits": bits}
        for design, curve in {
            "one": [4.0, 3.0],
            "8 experts": [3.5, 2.5],
            "4 experts": [4.0, 3.1],
        }.items()
        for step, bits in zip((50, 100), curve, strict=True)
    ]
    made = Results.from_records("loss_vs_experts", rows)
    assert loss_vs_experts.sooner(made, "8 experts", 0) == pytest.approx(100 / 75)
    assert loss_vs_experts.sooner(made, "4 experts", 0) is None


def test_experts_everywhere_are_the_same_experts():
    torch.manual_seed(0)
    for chosen, capacity in ((1, None), (2, None), (2, 0.5)):
        parts = (FeedForward(7, 11) for _ in range(5))
        layer = Experts(parts, d_model=7, chosen=chosen, capacity=capacity).double()
        x = torch.randn(3, 13, 7, dtype=torch.double)
        torch.testing.assert_close(layer(x), layer.everywhere(x))


def test_ways_of_the_clock_do_one_and_eight_times_the_work():
    config = replace(time_vs_experts.FULL, d_model=6, d_ff=10)
    for passes, times in (("forward", 1), ("forward and backward", 3)):
        point = {"tokens": 64, "passes": passes}
        counts = {
            way: measure.flops(call) for way, call in time_vs_experts.calls(config, point).items()
        }
        router = times * operations.matmul(64, 6, 8)
        assert counts["grouped"] == counts["one"] + router
        assert counts["everywhere"] == 8 * counts["one"] + router


# What experts know


def test_information_is_that_of_the_source():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(8, (50_000,), generator=generator)
    second = torch.randint(64, (50_000,), generator=generator)
    assert expert_vs_token.information(first, second) == pytest.approx(0, abs=1e-3)
    both = first * 2 + second % 2
    assert expert_vs_token.information(first, both) == pytest.approx(3, abs=0.01)
    # a channel that flips a bit in a tenth of the cases has 1 - H(0.1) bits
    bit = first % 2
    noisy = bit ^ (torch.rand(50_000, generator=generator) < 0.1).long()
    expected = 1 + 0.1 * math.log2(0.1) + 0.9 * math.log2(0.9)
    assert expert_vs_token.information(bit, noisy) == pytest.approx(expected, abs=0.02)


def test_every_character_has_a_kind():
    text = "O, for a Muse of fire!\n2"
    kinds = [expert_vs_token.kind(character) for character in text]
    assert set(kinds) == set(expert_vs_token.KINDS)
    assert kinds[0] == kinds[9] == "capital" and kinds[-1] == kinds[1] == "punctuation"


def test_a_router_that_reads_the_character_is_found_out():
    config = replace(loss_vs_experts.FULL, layers=1, d_model=8, heads=2, tokens=64, tests=64)
    model = loss_vs_experts.build(config, expert_vs_token.DESIGN, 0)
    text = torch.randint(0, 78, (2, 64, 64))
    rows = expert_vs_token.looked_at(model, (text[0], text[1]), "untrained")
    told = {row["about"]: row["bits"] for row in rows if "about" in row}
    # the first layer's stream is the character, nearly: attention has mixed in a little
    assert told["read"] > 0.5 * told["of itself"]
    assert abs(told["next"]) < 0.1 and abs(told["place"]) < 0.2
    shares = [row for row in rows if "kind" in row]
    assert sum(row["load"] for row in shares) / len(expert_vs_token.KINDS) == pytest.approx(1)
    for expert in {row["expert"] for row in shares if row["load"] > 0}:
        total = sum(row["share"] for row in shares if row["expert"] == expert)
        assert total == pytest.approx(1)


# Pruning

SPARSITY = replace(loss_vs_sparsity.FULL, stretches=2, images=30, heard=2, batches=(1, 2), steps=2)


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


def test_a_ticket_keeps_its_places_and_first_values(monkeypatch):
    seen = []

    def learned(config, model, masks, *, steps, seed):
        seen.append((model, {name: mask.clone() for name, mask in masks.items()}))
        with torch.no_grad():  # stands for a training that changes all weights
            for linear in pruning.prunable(model).values():
                linear.weight.add_(torch.randn(linear.weight.shape))
        return 1.0

    monkeypatch.setattr(ticket_vs_control, "learned", learned)
    torch.manual_seed(0)
    config = replace(ticket_vs_control.FULL, steps=2)
    records = ticket_vs_control.measure(config, {"steps": 2, "rounds": 2, "seed": 0})
    kinds = [row["kind"] for row in records]
    assert kinds == ["whole", *(["ticket", *ticket_vs_control.CONTROLS] * 2)]
    sparsities = [row["sparsity"] for row in records]
    assert sparsities == pytest.approx([0] + [0.5] * 4 + [0.75] * 4)
    _, ticket, fresh, shuffled, then, *_, once = (masks for _, masks in seen)
    for name, mask in ticket.items():
        assert torch.equal(mask, fresh[name])
        assert int(mask.sum()) == int(shuffled[name].sum())
        assert not (then[name] & ~mask).any()  # a round leaves out more, and nothing comes back
        assert int(then[name].sum()) == int(once[name].sum())
        assert not torch.equal(then[name], once[name])


# Time and bytes


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_bytes_are_those_of_the_tensors(sparsity):
    torch.manual_seed(0)
    rows, columns = 96, 64
    mask = time_vs_sparsity.scattered(rows, columns, sparsity)
    matrix = torch.rand(rows, columns).add(1) * mask
    packed = time_vs_sparsity.csr(matrix)
    parts = (packed.values(), packed.col_indices(), packed.crow_indices())
    held = sum(part.numel() * part.element_size() for part in parts)
    assert held == time_vs_sparsity.stored_bytes("CSR", rows, columns, sparsity)
    mask = time_vs_sparsity.in_blocks(rows, columns, sparsity, size=16)
    packed = time_vs_sparsity.bsr(torch.rand(rows, columns).add(1) * mask, size=16)
    parts = (packed.values(), packed.col_indices(), packed.crow_indices())
    held = sum(part.numel() * part.element_size() for part in parts)
    assert held == time_vs_sparsity.stored_bytes("BSR 16", rows, columns, sparsity)


def test_every_format_multiplies_right():
    config = replace(time_vs_sparsity.FULL, threads=1)
    for vectors in (1, 5):
        point = {"rows": 96, "columns": 64, "vectors": vectors, "sparsity": 0.5}
        torch.manual_seed(0)
        calls = time_vs_sparsity.products(config, point)
        for name, call in calls.items():
            matrix, x = call.args
            whole = matrix.to_dense() if "SR" in name else matrix
            torch.testing.assert_close(call(), whole @ x, atol=1e-4, rtol=1e-4)
            kept = 1.0 if name == "full" else 0.5
            assert (whole != 0).float().mean().item() == pytest.approx(kept)
        assert torch.equal(calls["CSR"].args[0].to_dense(), calls["stored"].args[0])
        fours = calls["two of four"].args[0].reshape(-1, 4)
        assert ((fours != 0).sum(dim=1) == 2).all()


def test_a_format_is_smaller_from_where_its_formula_says():
    # of CSR: 8 (1 - s) < 4, and of a mask of bits: 4 (1 - s) + 1/8 < 4
    assert time_vs_sparsity.smaller_from("CSR") == pytest.approx(1 / 2, abs=2e-3)
    assert time_vs_sparsity.smaller_from("CSR", value_bytes=2) == pytest.approx(2 / 3, abs=2e-3)
    assert time_vs_sparsity.smaller_from("bits") == pytest.approx(1 / 32, abs=2e-3)
    assert time_vs_sparsity.smaller_from("bits", value_bytes=2) == pytest.approx(1 / 16, abs=2e-3)
    with pytest.raises(ValueError, match="kind: got 'zip'"):
        time_vs_sparsity.stored_bytes("zip", 8, 8, 0.5)


def test_a_crossover_is_found_between_the_shares_around_it():
    product = {"rows": 64, "columns": 64, "vectors": 1}
    rows = [
        {**product, "format": kind, "sparsity": s, "repeat": repeat, "ratio": f(1 - s)}
        for kind, f in {
            "CSR": lambda left: 5 * left,
            "BSR 16": lambda left: 2 + left,
            "BSR 32": lambda left: left / 2,
        }.items()
        for s in (0.0, 0.5, 0.7, 0.9, 0.99)
        for repeat in range(3)
    ]
    made = Results.from_records("time_vs_sparsity", rows)
    assert time_vs_sparsity.crossover(made, "CSR", **product) == pytest.approx(0.8)
    assert time_vs_sparsity.crossover(made, "BSR 16", **product) is None
    assert time_vs_sparsity.crossover(made, "BSR 32", **product) == 0.0


# Sharing


def test_sharing_takes_parameters_off_and_no_operation():
    config = loss_vs_sharing.FULL
    shapes = {name: loss_vs_sharing.shape(config, name) for name in loss_vs_sharing.DESIGNS}
    blocks = {
        name: sum(parameters.decoder(shape).values()) - sum(
            count for part, count in parameters.decoder(shape).items()
            if part in ("tokens", "output", "final norm")
        )
        for name, shape in shapes.items()
    }  # fmt: skip
    assert blocks["unshared"] == 4 * blocks["shared"] and blocks["one layer"] == blocks["shared"]
    assert blocks["shared and wide"] == pytest.approx(blocks["unshared"], rel=0.01)
    flops = {name: loss_vs_sharing.step_flops(config, name) for name in shapes}
    assert flops["unshared"] == flops["shared"] == flops["unshared, tied"]
    assert flops["one layer"] < flops["unshared"] / 3
    assert 3.5 < flops["shared and wide"] / flops["unshared"] < 4


def test_a_shared_model_is_as_large_as_its_bill():
    config = replace(loss_vs_sharing.FULL, d_model=8, heads=2)
    for design in loss_vs_sharing.DESIGNS:
        model = loss_vs_sharing.build(config, design, 0)
        counted = sum(weight.numel() for weight in model.parameters())
        bill = parameters.decoder(loss_vs_sharing.shape(config, design))
        assert counted == sum(bill.values())


@pytest.mark.parametrize(
    "experiment", [loss_vs_experts, loss_vs_sharing, ticket_vs_control, expert_vs_token]
)
def test_the_first_point_is_cheap(experiment):
    first, *others = experiment.points(experiment.FULL)
    if experiment is expert_vs_token:
        assert not first["trained"]
    else:
        assert first["steps"] <= 30 < max(point.get("steps", 0) for point in others)
