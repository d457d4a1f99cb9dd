"""Sharing takes parameters off and nothing else."""

from dataclasses import replace

import pytest

from payattention.cost import parameters
from payattention.experiments import loss_vs_sharing


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
