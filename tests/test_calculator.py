"""The calculator adds, and the unit learns to call it where its own answer would cost more."""

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


def test_the_loss_is_the_mean_of_what_is_paid():
    unit = HandOver(4, price=2.0)
    chance, own = torch.tensor([0.0, 0.25, 1.0]), torch.tensor([1.0, 4.0, 9.0])
    assert unit.loss(chance, own).item() == pytest.approx((1 + 0.75 * 4 + 0.25 * 2 + 2) / 3)


def test_no_gradient_goes_through_the_own_answer():
    unit, own = HandOver(4, price=2.0), torch.ones(3, requires_grad=True)
    unit.loss(unit(torch.randn(3, 5, 4)), own).backward()
    assert own.grad is None and unit.unit.weight.grad.abs().sum() > 0


def test_the_unit_reads_the_mean_of_the_tokens():
    unit, x = HandOver(4, price=2.0), torch.randn(3, 5, 4)
    assert torch.allclose(
        unit(x), torch.sigmoid(F.linear(x.mean(1), *unit.unit.parameters())[:, 0])
    )


def test_it_learns_to_call_what_costs_more_than_the_price():
    """Half of the problems cost 3 nats, half 0.1; a call costs 1."""
    torch.manual_seed(0)
    unit = HandOver(2, price=1.0)
    optimizer = torch.optim.Adam(unit.parameters(), lr=0.1)
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    own = torch.tensor([3.0, 0.1])
    for _ in range(200):
        optimizer.zero_grad()
        unit.loss(unit(x), own).backward()
        optimizer.step()
    hard, easy = unit(x).tolist()
    assert hard > 0.95 and easy < 0.05


@pytest.mark.parametrize("price", [0, -1.0, float("inf"), float("nan")])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(ValueError, match=r"price=.*: expected a positive number of nats"):
        HandOver(2, price=price)


# The model that may call it


@pytest.mark.parametrize("answer", ["all", "none", "some"])
def test_what_is_called_for_is_not_computed(answer):
    """Operations are those of the first step for all, and of the rest for those not handed over."""
    torch.manual_seed(0)
    model = calls_vs_price.Reckoner(calls_vs_price.FULL, depth=3, price=0.1).eval()
    task = model.adder.task
    problems, answers, _ = task.draw(8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = model.first(problems).mean(dim=1)
        unit = model.hand_over.unit
        said = first @ unit.weight[0]
        level = {"all": said.min() - 1, "none": said.max() + 1, "some": said.median()}[answer]
        unit.bias.fill_(-level.item())
        sums, called, flops = model.answer(problems)
        plain = calls_vs_price.Reckoner(calls_vs_price.FULL, depth=3, price=None).eval()
        plain.adder.load_state_dict(model.adder.state_dict())
        whole, never, all_flops = plain.answer(problems)
    many = int(called.sum())
    assert many == {"all": 8, "none": 0}.get(answer, many) and (answer != "some" or 0 < many < 8)
    assert torch.equal(sums[called], answers[called])
    assert torch.equal(sums[~called], whole[~called])
    assert not never.any()
    block = (all_flops // 8 - 2 * 9 * 64 * 13) / 3
    ask = 2 * 64
    assert flops == 8 * (block + ask) + (8 - many) * (2 * block + 2 * 9 * 64 * 13)
