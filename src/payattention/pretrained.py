"""Published weights in the book's models, which then give what the published code gives.

Each function takes a model of `transformers` or of torch, builds ours of the same shape and fills
it with the same weights. Names differ, and the order of numbers: GPT-2 stores its matrices
transposed, and the maps to queries, keys and values as one; Llama turns the two halves of a head
where `positions.Rotary` turns neighbours. The new model is in evaluation mode and of the given
one's type; it has no dropout. The epsilon of its norms and the base of its rotary positions are
the given ones too; no `TransformerShape` holds them, so that a file of `weights` would lose them.

`transformers` is not imported here: a model is known by the name of its class.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import weights
from payattention.minilm import load
from payattention.positions import Rotary
from payattention.shape import TransformerShape
from payattention.transformer import Block, Decoder, Encoder

Model = TypeVar("Model", bound=nn.Module)

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
"""What `transformers` calls the activations, and what `shape.CHOICES` does."""

BERT = {
    "embeddings.word_embeddings": "embedding.table",
    "embeddings.position_embeddings.weight": "embedding.learned.table",
    "embeddings.token_type_embeddings": "embedding.segments",
    "embeddings.LayerNorm": "embedding.norm",
    "encoder.layer": "blocks",
    "attention.self.query": "attention.queries",
    "attention.self.key": "attention.keys",
    "attention.self.value": "attention.values",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "norm",
    "intermediate.dense": "mlp.widen",
    "output.dense": "mlp.narrow",
    "output.LayerNorm": "mlp_norm",
    "pooler.dense": "pooler",
}
GPT2 = {
    "transformer.wte": "embedding.table",
    "transformer.wpe.weight": "embedding.learned.table",
    "transformer.h": "blocks",
    "transformer.ln_f": "norm",
    "ln_1": "norm",
    "ln_2": "mlp_norm",
    "attn.c_attn": "attention.packed",
    "attn.c_proj": "attention.output",
    "mlp.c_fc": "mlp.widen",
    "mlp.c_proj": "mlp.narrow",
}
LLAMA = {
    "model.embed_tokens": "embedding.table",
    "model.layers": "blocks",
    "model.norm": "norm",
    "lm_head": "output",
    "input_layernorm": "norm",
    "post_attention_layernorm": "mlp_norm",
    "self_attn.q_proj": "attention.queries",
    "self_attn.k_proj": "attention.keys",
    "self_attn.v_proj": "attention.values",
    "self_attn.o_proj": "attention.output",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.widen",
    "mlp.down_proj": "mlp.narrow",
}
ENCODER_LAYER = {
    "self_attn.in_proj_": "attention.packed.",
    "self_attn.out_proj": "attention.output",
    "linear1": "mlp.widen",
    "linear2": "mlp.narrow",
    "norm1": "norm",
    "norm2": "mlp_norm",
}
DECODER_LAYER = ENCODER_LAYER | {
    "multihead_attn.in_proj_": "cross.packed.",
    "multihead_attn.out_proj": "cross.output",
    "norm2": "cross_norm",
    "norm3": "mlp_norm",
}
"""Parts of their names, and of ours; replaced in this order."""


def from_bert(model: nn.Module) -> Encoder:
    """Our encoder with the weights of a `BertModel` of `transformers`.

    Raises:
        ValueError: for another class, a BERT that writes, or an activation that we do not have.
        WeightsError: for weights that do not fit the model's own configuration; the first is named.
    """
    config = _config(model, "BertModel", is_decoder=False)
    shape = TransformerShape(
        layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_attention_heads,
        d_ff=config.intermediate_size,
        vocab=config.vocab_size,
        context=config.max_position_embeddings,
        positions="learned",
        order="post",
        activation=_activation("hidden_act", config.hidden_act),
        biases="all",
        tied=True,
        segments=config.type_vocab_size,
        pooler=model.pooler is not None,
    )
    return _filled(Encoder, shape, model, _renamed(model, BERT), eps=config.layer_norm_eps)


def minilm() -> Encoder:
    """Our encoder with the weights of MiniLM, six layers of an English reader.

    Raises:
        MiniLMError: where its weights or `transformers` are missing; it says what to install.
    """
    _, model = load()
    return from_bert(model)


def from_gpt2(model: nn.Module) -> Decoder:
    """Our decoder with the weights of a `GPT2LMHeadModel` of `transformers`.

    Raises:
        ValueError: for another class, scores that are scaled in another way, an output that is not
            tied, or an activation that we do not have.
        WeightsError: as `from_bert` does.
    """
    config = _config(
        model,
        "GPT2LMHeadModel",
        scale_attn_weights=True,
        scale_attn_by_inverse_layer_idx=False,
        tie_word_embeddings=True,
    )
    shape = TransformerShape(
        layers=config.n_layer,
        d_model=config.n_embd,
        heads=config.n_head,
        kv_heads=config.n_head,
        d_ff=4 * config.n_embd if config.n_inner is None else config.n_inner,
        vocab=config.vocab_size,
        context=config.n_positions,
        positions="learned",
        activation=_activation("activation_function", config.activation_function),
        biases="all",
        tied=True,
    )
    tensors = {
        name: tensor.T if name.startswith("blocks") and tensor.ndim == 2 else tensor
        for name, tensor in _renamed(model, GPT2).items()
    }
    return _filled(Decoder, shape, model, _unpacked(tensors), eps=config.layer_norm_epsilon)


def from_llama(model: nn.Module) -> Decoder:
    """Our decoder with the weights of a `LlamaForCausalLM` of `transformers`.

    RMSNorm, SwiGLU, rotary positions, keys and values that heads share, no biases.

    Raises:
        ValueError: for another class or activation, or rotary positions that are stretched.
        WeightsError: as `from_bert` does.
    """
    config = _config(model, "LlamaForCausalLM", hidden_act="silu")
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "default":
        raise ValueError(f"model: got rope_type={rope.get('rope_type')!r}; expected 'default'")
    width = config.num_attention_heads * config.head_dim
    shape = TransformerShape(
        layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        d_ff=config.intermediate_size,
        vocab=config.vocab_size,
        context=config.max_position_embeddings,
        norm="rms",
        activation="swiglu",
        biases="none",
        tied=config.tie_word_embeddings,
        d_attention=None if width == config.hidden_size else width,
    )
    ours = _filled(Decoder, shape, model, _renamed(model, LLAMA), eps=config.rms_norm_eps)
    rotate = Rotary(base=rope["rope_theta"])
    with torch.no_grad():
        ours.embedding.table.weight /= ours.embedding.scale
        for block in ours.blocks:
            block.attention.rotate = rotate
            for part in (block.attention.queries, block.attention.keys):
                part.weight.copy_(_neighbours(part.weight, d_head=shape.d_head))
    return ours


def from_encoder_layer(layer: nn.TransformerEncoderLayer) -> Block:
    """Our block with the weights of a `torch.nn.TransformerEncoderLayer`.

    Raises:
        ValueError: for an activation that we do not have.
        WeightsError: as `from_bert` does; a layer without biases misses those of its norms.
    """
    tensors = _unpacked(_renamed(layer, ENCODER_LAYER))
    return _filled(Block, _shape_of(layer), layer, tensors, eps=layer.norm1.eps)


def from_decoder_layer(layer: nn.TransformerDecoderLayer) -> Block:
    """Our block that reads a context, with the weights of a `torch.nn.TransformerDecoderLayer`.

    Raises:
        ValueError and WeightsError: as `from_encoder_layer` does.
    """
    build = partial(Block, reads_context=True)
    tensors = _unpacked(_renamed(layer, DECODER_LAYER))
    return _filled(build, _shape_of(layer), layer, tensors, eps=layer.norm1.eps)


# What the functions share


def _config(model: nn.Module, wanted: str, **settings: Any) -> Any:
    """The configuration of a model of that class; its settings must be these."""
    if wanted not in (kind.__name__ for kind in type(model).__mro__):
        raise ValueError(f"model: got {type(model).__name__}; expected a {wanted} of transformers")
    for name, expected in settings.items():
        value = getattr(model.config, name)
        if value != expected:
            raise ValueError(f"model: got {name}={value!r}; expected {expected!r}")
    return model.config


def _shape_of(layer: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) -> TransformerShape:
    attention = layer.self_attn
    return TransformerShape(
        layers=1,
        d_model=attention.embed_dim,
        heads=attention.num_heads,
        kv_heads=attention.num_heads,
        d_ff=layer.linear1.out_features,
        vocab=1,  # which a block alone does not have
        positions="none",
        order="pre" if layer.norm_first else "post",
        activation=_activation_of(layer.activation),
        biases="all",
    )


def _activation(name: str, value: Any) -> str:
    if value not in ACTIVATIONS:
        raise ValueError(
            f"model: got {name}={value!r}; expected one of {', '.join(map(repr, ACTIVATIONS))}"
        )
    return ACTIVATIONS[value]


def _activation_of(function: Callable[[Tensor], Tensor]) -> str:
    """Our name of a function or module that torch's layer applies."""
    if function is F.relu or isinstance(function, nn.ReLU):
        return "relu"
    if function is F.gelu:
        return "gelu"
    if isinstance(function, nn.GELU):
        return "gelu_tanh" if function.approximate == "tanh" else "gelu"
    raise ValueError(f"layer: got activation={function!r}; expected relu or gelu")


def _renamed(model: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """The model's parameters under our names; what we have no name for keeps its own."""
    tensors = {}
    for name, tensor in model.named_parameters():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        tensors[name] = tensor.detach()
    return tensors


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values, each under its name where they came as one."""
    separate = {}
    for name, tensor in tensors.items():
        if "packed" in name:
            parts = zip(("queries", "keys", "values"), tensor.chunk(3), strict=False)
            separate |= {name.replace("packed", part): piece for part, piece in parts}
        else:
            separate[name] = tensor
    return separate


def _neighbours(rows: Tensor, *, d_head: int) -> Tensor:
    """Rows of each head in another order: first of half one, first of half two, second, second."""
    return rows.unflatten(0, (-1, 2, d_head // 2)).transpose(1, 2).flatten(0, 2)


def _filled(
    kind: Callable[[TransformerShape], Model],
    shape: TransformerShape,
    model: nn.Module,
    tensors: dict[str, Tensor],
    *,
    eps: float,
) -> Model:
    """A model of ours, of the given one's type, with these tensors and this epsilon."""
    with torch.random.fork_rng(devices=()):  # the numbers that it starts from are thrown away
        ours = kind(shape).to(next(model.parameters()))
    weights.fit(ours, tensors, name=type(model).__name__)
    for part in ours.modules():
        if isinstance(part, (nn.LayerNorm, nn.RMSNorm)):
            part.eps = eps
    return ours.eval()
