"""The calculator adds, and the unit learns to call it where its own answer would cost more."""

import math

import pytest
import torch
from torch.nn import functional as F

from payattention.adaptive_compute.calculator import HandOver, calculate
from payattention.experiments import calls_vs_price
from payattention.tasks import Addition


def test_the_calculator_writes_what_the_task_asks_for():
    task = Addition(digits=8)
    problems, answers, _ = task.draw(500, torch.Generator().manual_seed(0))
    assert torch.equal(calculate(task, problems), answers)


def test_the_loss_is_how_far_off_the_logarithms_are():
    unit, x = HandOver(4), torch.randn(3, 5, 4)
    own = torch.tensor([1.0, 4.0, 0.0])
    told = F.linear(x.mean(1), *unit.unit.parameters())[:, 0]
    wanted = torch.tensor([0.0, math.log(4), math.log(1e-3)])
    torch.testing.assert_close(unit.loss(x, own), (told - wanted).square().mean())
    torch.testing.assert_close(unit(x), told.exp())


def test_no_gradient_goes_through_the_own_answer_or_into_the_model():
    unit, own = HandOver(4), torch.ones(3, requires_grad=True)
    x = torch.randn(3, 5, 4, requires_grad=True)
    unit.loss(x, own).backward()
    assert own.grad is None and x.grad is None and unit.unit.weight.grad.abs().sum() > 0


def test_it_learns_to_call_what_costs_more_than_the_price():
    """Half of the problems cost 3 nats, half 0.1."""
    torch.manual_seed(0)
    unit = HandOver(2)
    optimizer = torch.optim.Adam(unit.parameters(), lr=0.1)
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    for _ in range(300):
        optimizer.zero_grad()
        unit.loss(x, torch.tensor([3.0, 0.1])).backward()
        optimizer.step()
    torch.testing.assert_close(unit(x), torch.tensor([3.0, 0.1]), rtol=0.01, atol=0)
    assert unit.calls(x, price=1.0).tolist() == [True, False]
    assert unit.calls(x, price=0.01).tolist() == [True, True]


@pytest.mark.parametrize("price", [0, -1.0, float("inf"), float("nan")])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(ValueError, match=r"price=.*: expected a positive number of nats"):
        HandOver(2).calls(torch.zeros(1, 1, 2), price=price)


# The model that may call it


@pytest.mark.parametrize("answer", ["all", "none", "some"])
def test_what_is_called_for_is_not_computed(answer):
    """Operations are those of the first step for all, and of the rest for those not handed over."""
    torch.manual_seed(0)
    model = calls_vs_price.Reckoner(calls_vs_price.FULL, depth=3).eval()
    task = model.adder.task
    problems, answers, _ = task.draw(8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        foretold = model.hand_over(model.first(problems))
        price = {"all": foretold.min() / 2, "none": foretold.max() * 2, "some": foretold.median()}
        sums, called, flops = model.answer(problems, price=price[answer].item())
        whole, never, all_flops = model.answer(problems, price=None)
    many = int(called.sum())
    assert many == {"all": 8, "none": 0}.get(answer, many) and (answer != "some" or 0 < many < 8)
    assert torch.equal(sums[called], answers[called])
    assert torch.equal(sums[~called], whole[~called])
    assert not never.any()
    block = (all_flops // 8 - 2 * 9 * 64 * 13) / 3
    ask = 2 * 64
    assert flops == 8 * (block + ask) + (8 - many) * (2 * block + 2 * 9 * 64 * 13)
