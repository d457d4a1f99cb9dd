"""Weights in a file: what is read is what was written, and whatever is not that is refused."""

import errno
import hashlib
import json
import math
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from payattention import weights
from payattention.cost import parameters
from payattention.positions import Rotary
from payattention.shape import TransformerShape
from payattention.transformer import Classifier, Decoder, Encoder, EncoderDecoder
from payattention.weights import WeightsError

SHAPE = TransformerShape(
    layers=2, d_model=12, heads=3, kv_heads=1, d_ff=7, vocab=11, context=13, positions="learned"
)
BERT = replace(SHAPE, kv_heads=3, order="post", biases="all", tied=True, segments=2, pooler=True)
MODELS = {
    "decoder": lambda: Decoder(SHAPE),
    "tied": lambda: Decoder(replace(SHAPE, tied=True, biases="none")),
    "shared": lambda: Decoder(replace(SHAPE, layers=5, shared=True)),
    "rotary": lambda: Decoder(replace(SHAPE, positions="rotary", norm="rms", activation="swiglu")),
    "encoder": lambda: Encoder(BERT),
    "narrow": lambda: Encoder(replace(BERT, d_embedding=5, tied=False, shared=True)),
    "classifier": lambda: Classifier(replace(SHAPE, vocab=5), d_input=17),
}
every_model = pytest.mark.parametrize("name", MODELS)


def numbers(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def answer(model: nn.Module) -> Tensor:
    torch.manual_seed(7)
    if isinstance(model, Classifier):
        return model(torch.randn(2, 7, 17))
    return model(torch.randint(11, (2, 7)))


def packed(**changes) -> bytes:
    torch.manual_seed(3)
    return weights.pack(Decoder(replace(SHAPE, **changes)), about={"trained": "in a test"})


def head_of(content: bytes) -> tuple[dict, bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def with_metadata(content: bytes, **changes: str | None) -> bytes:
    """The file with another head; None takes an entry out."""
    head, data = head_of(content)
    metadata = head["__metadata__"] | changes
    head["__metadata__"] = {key: said for key, said in metadata.items() if said is not None}
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data


def with_tensors(content: bytes, **changes: Tensor | None) -> bytes:
    """The file with other tensors, named with __ for a dot; None takes one out."""
    tensors = safetensors.torch.load(content)
    tensors |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return safetensors.torch.save(kept, head_of(content)[0]["__metadata__"])


# Written and read


@every_model
def test_what_is_read_is_what_was_written(name):
    model = MODELS[name]()
    content = weights.pack(model)
    read = weights.unpack(content)
    assert type(read) is type(model) and read.shape == model.shape and not read.training
    assert equal(numbers(read), numbers(model))
    assert all(tensor.dtype == torch.float32 for tensor in read.parameters())
    assert torch.equal(answer(read), answer(model.eval()))
    # each number once, and a head
    head = 8 + int.from_bytes(content[:8], "little")
    assert len(content) - head == 4 * sum(tensor.numel() for tensor in model.parameters())


@every_model
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_take_half_the_room(name, dtype):
    model = MODELS[name]()
    content = weights.pack(model, dtype=dtype)
    rounded = {key: tensor.to(dtype).float() for key, tensor in numbers(model).items()}
    assert equal(numbers(weights.unpack(content)), rounded)
    head = 8 + int.from_bytes(content[:8], "little")
    assert len(content) - head == 2 * sum(tensor.numel() for tensor in model.parameters())


def test_the_bill_is_what_the_file_holds():
    shape = replace(SHAPE, tied=True)
    content = weights.pack(Decoder(shape))
    held = sum(tensor.numel() for tensor in safetensors.torch.load(content).values())
    assert held == sum(parameters.decoder(shape).values())


def test_tied_and_shared_weights_are_one_again():
    tied = weights.unpack(weights.pack(MODELS["tied"]()))
    assert tied.output.weight is tied.embedding.table.weight
    shared = weights.unpack(weights.pack(MODELS["shared"]()))
    assert len(shared.blocks) == 5 and len({id(block) for block in shared.blocks}) == 1


def test_what_is_read_can_be_trained():
    read = weights.unpack(packed()).train()
    answer(read).square().mean().backward()
    assert all(tensor.grad is not None for tensor in read.parameters())


def test_nothing_else_changes():
    """Reading draws no random number, and writing changes no model."""
    model = MODELS["decoder"]().half().train()
    before, state = numbers(model), torch.get_rng_state()
    weights.unpack(weights.pack(model))
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(numbers(model), before) and model.training
    assert all(tensor.dtype == torch.float16 for tensor in model.parameters())


def test_the_same_model_gives_the_same_bytes():
    """Within a process and in another: an asset can be built again, to the same checksum."""
    found = {hashlib.sha256(packed()).hexdigest() for _ in range(5)}
    code = (
        "import hashlib, torch; from payattention import weights; "
        "from payattention.shape import TransformerShape; "
        "from payattention.transformer import Decoder; torch.manual_seed(3); "
        f"model = Decoder({SHAPE!r}); "
        "print(hashlib.sha256(weights.pack(model, about={'trained': 'in a test'})).hexdigest())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found == {ran.stdout.strip()}


def test_numbers_are_aligned():
    """A script that lays an array of 32-bit numbers over them needs a multiple of 4; we give 8."""
    for said in ("", "x", "xy", "xyz", "four", "äöü"):
        content = weights.pack(MODELS["decoder"](), about={"said": said})
        assert int.from_bytes(content[:8], "little") % 8 == 0


@given(
    st.dictionaries(
        st.text(max_size=7),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=3,
    )
)
def test_anything_can_be_said_about_it(about):
    content = weights.pack(Encoder(replace(BERT, layers=1)), about=about)
    assert weights.about(content) == about


def test_nothing_need_be_said():
    assert weights.about(weights.pack(MODELS["decoder"]())) == {}


# On disk


def test_saved_and_loaded(tmp_path):
    model, path = MODELS["encoder"](), tmp_path / "new" / "folder" / "model.safetensors"
    weights.save(path, model, about={"steps": 3}, dtype=torch.float16)
    assert path.read_bytes() == weights.pack(model, about={"steps": 3}, dtype=torch.float16)
    assert equal(numbers(weights.load(path)), numbers(weights.unpack(path.read_bytes())))


def test_others_can_read_the_file(tmp_path):
    model, path = MODELS["tied"](), tmp_path / "model.safetensors"
    weights.save(path, model)
    assert equal(safetensors.torch.load_file(path), numbers(model))


def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    weights.save(path, MODELS["decoder"]())
    old = path.read_bytes()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"could not write: No space left.*model\.safetensors"):
        weights.save(path, MODELS["decoder"]())
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        weights.load(tmp_path / "none.safetensors")


def test_a_torn_file_is_named(tmp_path):
    path = tmp_path / "torn.safetensors"
    path.write_bytes(packed()[:-1])
    with pytest.raises(WeightsError, match=r"torn\.safetensors is torn or no file of weights"):
        weights.load(path)


# Torn, foreign


WHOLE = packed()
HEAD = 8 + int.from_bytes(WHOLE[:8], "little")


@given(st.integers(0, len(WHOLE) - 1) | st.integers(0, HEAD + 8))
def test_a_file_that_is_cut_anywhere_is_refused(end):
    for read in (weights.unpack, weights.about):
        with pytest.raises(WeightsError, match="model is torn or no file of weights"):
            read(WHOLE[:end], name="model")


def test_a_file_that_is_too_long_is_refused():
    with pytest.raises(WeightsError, match="is torn or no file"):
        weights.unpack(WHOLE + b"\0")


@given(st.integers(0, HEAD - 1), st.integers(1, 255))
def test_a_changed_byte_of_the_head_is_refused_or_changes_no_number(place, by):
    content = bytearray(WHOLE)
    content[place] ^= by
    try:
        read = weights.unpack(bytes(content))
    except WeightsError:
        return
    assert equal(numbers(read), numbers(weights.unpack(WHOLE)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"To be, or not to be: that is the question",
        pickle.dumps({"embedding.table.weight": [1.0, 2.0]}),
        bytes(100),
        b"\x02\0\0\0\0\0\0\0[]",
        b"\xff" * 64,
    ],
    ids=["empty", "text", "pickle", "zeros", "list", "ones"],
)
def test_what_holds_no_weights_is_refused(content):
    for read in (weights.unpack, weights.about):
        with pytest.raises(WeightsError, match="model"):
            read(content, name="model")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_weights_of_another_library_are_refused(metadata):
    said = "None" if metadata is None else "'pt'"
    content = safetensors.torch.save({"embedding.table.weight": torch.zeros(11, 12)}, metadata)
    with pytest.raises(
        WeightsError,
        match=f"model is no file of this library: its format is {said}; "
        "expected 'payattention weights 1'",
    ):
        weights.unpack(content, name="model")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(kind="rnn"), r"model describes no model: KeyError\('rnn'\)"),
        (dict(kind=None), r"model has a torn head: KeyError\('kind'\)"),
        (dict(shape=None), r"model has a torn head: KeyError\('shape'\)"),
        (dict(shape="{"), "model has a torn head: JSONDecodeError"),
        (dict(shape="[2, 12]"), "model describes no model: TypeError"),
        (dict(shape="{}"), "model describes no model: TypeError.*missing"),
        (dict(about="yes"), "model has a torn head: JSONDecodeError"),
        (dict(sizes='{"d_input": 3}'), "model describes no model: TypeError.*d_input"),
    ],
)
def test_a_head_that_describes_no_model_is_refused(changes, says):
    with pytest.raises(WeightsError, match=says):
        weights.unpack(with_metadata(WHOLE, **changes), name="model")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("routers", 8, "TypeError.*routers"),
        ("experts", 8, "ValueError.*experts=8, chosen=None"),
        ("positions", "relative", "ValueError.*expected one of none, sinusoidal"),
        ("heads", 5, "ValueError.*expected a divisor of d_model=12"),
        ("layers", 0, "ValueError.*layers=0"),
        ("layers", "2", "model describes no model"),
        ("d_ff", 7.0, "model describes no model"),
        ("d_ff", 10**30, "model describes no model"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(field, value, says):
    shape = json.loads(head_of(WHOLE)[0]["__metadata__"]["shape"]) | {field: value}
    with pytest.raises(WeightsError, match=says):
        weights.unpack(with_metadata(WHOLE, shape=json.dumps(shape)), name="model")


# What does not fit


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (dict(norm__weight=None), r"norm.weight is missing; expected shape \(12,\)"),
        (
            dict(norm__weight=torch.zeros(13), output__bias=None),
            r"norm.weight has shape \(13,\); expected \(12,\)",  # the first of the two
        ),
        (dict(norm__weight=torch.zeros(1, 12)), r"norm.weight has shape \(1, 12\)"),
        (
            dict(norm__weight=torch.zeros(12, dtype=torch.int32)),
            r"norm.weight is of torch.int32; expected floating-point numbers",
        ),
        (dict(gate__weight=torch.zeros(2)), "gate.weight is not a part of this model"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(changes, says):
    with pytest.raises(WeightsError, match=f"model: {says}"):
        weights.unpack(with_tensors(WHOLE, **changes), name="model")


@pytest.mark.parametrize("wrong", ["missing", "shape", "dtype", "extra"])
def test_a_model_that_does_not_fit_is_left_as_it_was(wrong):
    model, tensors = MODELS["decoder"](), safetensors.torch.load(WHOLE)
    before = numbers(model)
    assert not equal(before, tensors)
    last = list(before)[-1]
    if wrong == "missing":
        del tensors[last]
    elif wrong == "shape":
        tensors[last] = tensors[last][1:]
    elif wrong == "dtype":
        tensors[last] = tensors[last].int()
    else:
        tensors["more"] = torch.zeros(1)
    with pytest.raises(WeightsError, match="more" if wrong == "extra" else last):
        weights.fit(model, tensors)
    assert equal(numbers(model), before)


def test_tensors_are_put_in_in_the_models_own_type():
    model = MODELS["decoder"]().half()
    weights.fit(model, safetensors.torch.load(WHOLE))
    assert all(tensor.dtype == torch.float16 for tensor in model.parameters())
    assert equal(numbers(model.float()), numbers(weights.unpack(WHOLE).half().float()))


# What is not written


class Own(Decoder):
    pass


@pytest.mark.parametrize(
    "model",
    [lambda: nn.Linear(2, 3), lambda: EncoderDecoder(SHAPE, vocab_read=5), lambda: Own(SHAPE)],
)
def test_other_models_are_refused(model):
    with pytest.raises(ValueError, match=r"model: got .*; expected one of decoder, encoder, class"):
        weights.pack(model())


@pytest.mark.parametrize("dtype", [torch.int8, torch.float64])
def test_other_numbers_are_refused(dtype):
    with pytest.raises(ValueError, match=rf"dtype: got {dtype}; expected one of torch\.float32"):
        weights.pack(MODELS["decoder"](), dtype=dtype)


def test_what_no_shape_says_is_not_lost_in_silence():
    squeezed = MODELS["rotary"]()
    squeezed.squeeze(4.0)
    with pytest.raises(ValueError, match=r"blocks\.0\.attention turns by .*squeeze=4\.0"):
        weights.pack(squeezed)
    squeezed.squeeze(1.0)
    assert weights.unpack(weights.pack(squeezed)).blocks[0].attention.rotate == Rotary()
    other = MODELS["encoder"]()
    other.blocks[1].norm.eps = 1e-12
    with pytest.raises(ValueError, match=r"blocks\.1\.norm has eps=1e-12"):
        weights.pack(other)


def test_about_must_be_plain():
    with pytest.raises(TypeError, match="not JSON serializable"):
        weights.pack(MODELS["decoder"](), about={"seconds": {1, 2}})
    assert math.isnan(weights.about(weights.pack(MODELS["decoder"](), about={"x": math.nan}))["x"])
