"""The models that come with the book: what they are, what they can do, how they came about."""

import json
from dataclasses import replace

import pytest
import torch

from payattention import data, generation, trained, weights
from payattention.cost import parameters


def test_the_gpt_is_the_one_that_its_shape_says():
    model = trained.gpt()
    assert model.shape == trained.GPT_SHAPE
    assert not model.training
    count = sum(p.numel() for p in model.parameters())
    assert count == sum(parameters.decoder(trained.GPT_SHAPE).values()) == 1_192_960


def test_the_gpt_was_trained_as_the_library_says():
    said = weights.about(data.content(data.GPT))
    assert said["training"] == json.loads(json.dumps(trained.GPT.about()))


@pytest.mark.slow
def test_the_gpt_needs_as_few_bits_as_its_curve_ends_with():
    """Rounded to 16 bits, on the same characters of plays that it has not read."""
    curve = trained.gpt_curve()
    bits = data.bits_per_character(
        trained.gpt(), characters=trained.GPT.validation_characters, stride=data.CONTEXT // 2
    )
    assert bits == pytest.approx(curve[-1]["validation_bits"], abs=0.005)
    assert bits < data.pair_bits("validation") - 1


def test_the_curve_falls():
    curve = trained.gpt_curve()
    steps = [record["step"] for record in curve]
    assert steps == list(range(250, trained.GPT.recipe.steps + 1, 250))
    needed = [record["validation_bits"] for record in curve]
    assert needed[0] > needed[4] > needed[-1]


def test_the_gpt_knows_names():
    """A line that holds a speaker's first letters is filled up as in the plays."""
    model = trained.gpt()
    assert (
        generation.write(model, "\n\nROME", characters=3, sampler=generation.GREEDY)[6:] == "O:\n"
    )


def test_training_again_gives_the_same():
    tiny = replace(
        trained.SMALL_GPT,
        shape=replace(trained.GPT_SHAPE, layers=1, d_model=8, heads=2, kv_heads=2, d_ff=5),
        recipe=replace(trained.SMALL_GPT.recipe, steps=3, warmup_steps=1, record_every=2),
        batch=2,
        validation_characters=150,
    )
    before = torch.random.get_rng_state()
    models, records = zip(*(trained.train_gpt(tiny) for _ in range(2)), strict=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert records[0] == records[1]
    assert [record["step"] for record in records[0]] == [2, 3]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_panel_trains_what_it_is_asked_for():
    seen = []
    parameters = {"layers": 1, "d_model": 32, "steps": 2, "seed": 3}
    records = trained.train_live(
        parameters, on_step=lambda share, records: seen.append(share), stop=lambda: False
    )
    assert seen == [0.5, 1.0]
    assert [record["step"] for record in records] == [2]
    assert 4 < records[0]["validation_bits"] < 10
    stopped = trained.train_live(parameters, on_step=lambda *_: None, stop=lambda: True)
    assert stopped == []
