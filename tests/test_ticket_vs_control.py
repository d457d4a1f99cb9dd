"""A ticket and its controls are what Frankle and Carbin compare."""

from dataclasses import replace

import pytest
import torch

from payattention import pruning
from payattention.experiments import ticket_vs_control


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
    assert kinds == ["whole", "whole, all steps", *(["ticket", *ticket_vs_control.CONTROLS] * 2)]
    sparsities = [row["sparsity"] for row in records]
    assert sparsities == pytest.approx([0, 0] + [0.5] * 4 + [0.75] * 4)
    _, _, ticket, fresh, shuffled, then, *_, once = (masks for _, masks in seen)
    for name, mask in ticket.items():
        assert torch.equal(mask, fresh[name])
        assert int(mask.sum()) == int(shuffled[name].sum())
        assert not (then[name] & ~mask).any()  # a round leaves out more, and nothing comes back
        assert int(then[name].sum()) == int(once[name].sum())
        assert not torch.equal(then[name], once[name])
