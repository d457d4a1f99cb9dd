"""What experts are said to know is what they were given to know."""

import math
from dataclasses import replace

import pytest
import torch

from payattention.experiments import expert_vs_token, loss_vs_experts


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
