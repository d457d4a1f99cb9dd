"""Designs with experts do the same work, and their load is what it is said to be."""

from dataclasses import replace

import pytest
import torch

from payattention import experts, measure
from payattention.cost import operations, parameters
from payattention.experiments import loss_vs_experts
from payattention.records import Results


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
