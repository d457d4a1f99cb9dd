"""The models that come with the book: what they are, what they can do, how they came about."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from payattention import data, generation, trained, transformer, weights
from payattention.cost import parameters
from payattention.shape import TransformerShape


def assert_trained_as(training, asset):
    """What the file says of its training is the library's; a part that came later is as it was."""
    said = weights.about(data.content(asset))["training"]
    shape = said.pop("shape")
    assert asdict(training.shape).keys() - shape.keys() == {"experts", "chosen"}
    assert TransformerShape(**shape) == training.shape
    expected = json.loads(json.dumps(asdict(training)))
    assert said == {name: value for name, value in expected.items() if name != "shape"}


def test_the_gpt_is_the_one_that_its_shape_says():
    model = trained.gpt()
    assert model.shape == trained.GPT_SHAPE
    assert not model.training
    count = sum(p.numel() for p in model.parameters())
    assert count == sum(parameters.decoder(trained.GPT_SHAPE).values()) == 1_192_960


def test_the_gpt_was_trained_as_the_library_says():
    assert_trained_as(trained.GPT, data.GPT)


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


def test_the_vit_is_the_one_that_its_shape_says():
    model = trained.vit()
    assert model.shape == trained.VIT_SHAPE
    assert not model.training
    count = sum(p.numel() for p in model.parameters())
    bill = parameters.classifier(trained.VIT_SHAPE, d_input=trained.VIT_PATCH**2)
    assert count == sum(bill.values()) == 1_199_882
    assert len(data.content(data.VIT)) < 4_000_000


def test_the_vit_was_trained_as_the_library_says():
    assert_trained_as(trained.VIT, data.VIT)


def test_the_vit_names_as_many_images_as_its_curve_ends_with():
    """Rounded to 16 bits; and of the test images, which nothing was chosen by, about as many."""
    model, curve = trained.vit(), trained.vit_curve()
    steps = [record["step"] for record in curve]
    assert steps == list(range(250, trained.VIT.recipe.steps + 1, 250))
    assert trained.accuracy(model, "validation") == pytest.approx(
        curve[-1]["validation_accuracy"], abs=0.002
    )
    assert 0.85 < trained.accuracy(model, "test") < 0.88
    assert curve[0]["validation_accuracy"] < 0.8 < curve[-1]["validation_accuracy"]


def test_the_vit_sees_patches_and_knows_a_bag_from_trousers():
    images, classes = data.fashion("test")
    model = trained.vit()
    logits = trained.see(model, images[:600])
    alone = model(transformer.patches(images[7:8], size=trained.VIT_PATCH))
    torch.testing.assert_close(logits[7:8], alone, atol=1e-5, rtol=1e-5)
    for name in ("bag", "trousers"):
        shown = data.FASHION_CLASSES.index(name)
        named = logits[classes[:600] == shown].argmax(dim=1)
        assert (named == shown).float().mean() > 0.9


def test_training_a_vit_again_gives_the_same():
    tiny = replace(
        trained.SMALL_VIT,
        shape=replace(trained.VIT_SHAPE, layers=1, d_model=8, heads=2, kv_heads=2, d_ff=5),
        recipe=replace(trained.SMALL_VIT.recipe, steps=3, warmup_steps=1, record_every=2),
        batch=2,
        pixels=1,
    )
    before = torch.random.get_rng_state()
    models, records = zip(*(trained.train_vit(tiny) for _ in range(2)), strict=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert records[0] == records[1]
    assert [record["step"] for record in records[0]] == [2, 3]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_small_vit_learns_while_one_waits():
    _, records = trained.train_vit(trained.SMALL_VIT)
    assert records[-1]["validation_accuracy"] > 0.75
