"""The writer: one model in two languages, what travels to the page, what is seen without it."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_gpt import SMALL, random_gpt

from payattention import data, generation, trained, weights
from payattention.cost import parameters
from payattention.explorables import Writer, bundle, writer
from payattention.generation import GREEDY, Sampler

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
# 6 numbers a head, and no size a multiple of 4
TINY = replace(SMALL, layers=3, d_model=30, heads=5, kv_heads=5, d_ff=7, vocab=11, context=13)
SVG = "{http://www.w3.org/2000/svg}"


def javascript(body, model=None, dtype=torch.float32):
    """What the body returns; the formulas and, where one is given, the model are names in it."""
    packed = "" if model is None else base64.b64encode(weights.pack(model, dtype=dtype)).decode()
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("writer")}
      const formulas = window.payattentionExplorables.writer;
      const {{ Reading, decoder, unpack, unbase64 }} = formulas;
      const packed = "{packed}";
      const file = packed && unpack(unbase64(packed));
      const model = file && decoder(file);
      console.log(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# One model, two languages


@needs_node
@pytest.mark.parametrize("shape", [TINY, SMALL], ids=["tiny", "small"])
def test_browser_and_library_compute_the_same(shape):
    model = random_gpt(shape)
    ids = torch.randint(shape.vocab, (1, shape.context))
    logits, rows = javascript(
        f"""
        const reading = new Reading(model).follow({ids[0].tolist()});
        const rows = [];
        for (let layer = 0; layer < model.shape.layers; layer++)
          for (let head = 0; head < model.shape.heads; head++)
            for (let place = 0; place < model.shape.context; place++)
              rows.push([...reading.row(layer, head, place)]);
        return [[...reading.logits], rows];
        """,
        model,
    )
    with torch.no_grad():
        expected = model.following(ids)[0]
        shares = model.attention_weights(ids)[:, 0]
    assert expected.std() > 0.5 and shares[..., -1, :].max() > 0.3  # something to get wrong
    assert logits == pytest.approx(expected.tolist(), abs=1e-5)
    for one, other in zip(rows, shares.flatten(0, 2).tolist(), strict=True):
        assert one == pytest.approx(other[: len(one)], abs=1e-5)
        assert sum(other[len(one) :]) == 0  # what comes later is not looked at


@needs_node
def test_half_the_bits_change_little():
    model = random_gpt(SMALL)
    ids = torch.randint(SMALL.vocab, (1, 23))
    logits = javascript(
        f"return [...new Reading(model).follow({ids[0].tolist()}).logits];", model, torch.float16
    )
    with torch.no_grad():
        expected = model.following(ids)[0]
    assert logits == pytest.approx(expected.tolist(), abs=1e-2)
    assert logits != pytest.approx(expected.tolist(), abs=1e-6)  # it was the rounded model


@needs_node
def test_every_number_of_16_bits_is_read():
    found = javascript("return Array.from(formulas.halves(), (x) => isFinite(x) ? x : String(x));")
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    for one, other in zip(found, halves.tolist(), strict=True):
        # JSON writes -0 as 0
        assert float(one) == other or (np.isnan(other) and one == "NaN")


@needs_node
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_tensor_is_unpacked(dtype):
    model = random_gpt(TINY)
    found = javascript(
        "return Object.fromEntries(Object.entries(file.tensors).map(([n, t]) => [n, [...t]]));",
        model,
        dtype,
    )
    expected = {n: p.to(dtype).flatten().tolist() for n, p in model.named_parameters()}
    assert found == expected


@needs_node
def test_a_torn_file_says_what_is_missing():
    found = javascript(
        """
        const tries = [];
        const attempt = (work) => { try { work(); } catch (error) { tries.push(error.message); } };
        const { "blocks.1.mlp.widen.weight": _, ...others } = file.tensors;
        attempt(() => decoder({ ...file, tensors: others }));
        const head = '{"__metadata__":{"shape":"{}"},' +
          '"x":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}';
        const bytes = new Uint8Array(8 + head.length + 1);
        bytes[0] = head.length;
        bytes.set(new TextEncoder().encode(head), 8);
        attempt(() => unpack(bytes));
        return tries;
        """,
        random_gpt(TINY),
    )
    assert found == [
        "blocks.1.mlp.widen.weight is missing",
        "x is of type I8; expected F16 or F32",
    ]


@needs_node
def test_parts_agree_with_torch():
    torch.manual_seed(1)
    x = 3 * torch.randn(11)
    weight, bias, matrix = torch.randn(11), torch.randn(11), torch.randn(7, 11)
    turned = torch.randn(2, 6)
    found = javascript(
        f"""
        const array = (numbers) => Float32Array.from(numbers);
        const x = array({x.tolist()});
        const norm = {{ weight: array({weight.tolist()}), bias: array({bias.tolist()}) }};
        return [
          formulas.layerNorm(x, norm), formulas.gelu(x),
          formulas.product(array({matrix.flatten().tolist()}), x),
          formulas.turn(array({turned.flatten().tolist()}), 5, 6),
        ].map((one) => [...one]);
        """
    )
    rotated = random_gpt(TINY).blocks[0].attention.rotate(turned[:, None], start=5)
    expected = [
        torch.nn.functional.layer_norm(x, (11,), weight, bias, eps=1e-5),
        torch.nn.functional.gelu(x),
        matrix @ x,
        rotated.flatten(),
    ]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other.tolist(), abs=3e-6)


# What the model sees


@needs_node
def test_what_was_read_is_not_read_again_and_it_makes_no_difference():
    """Cached against uncached, while a text is typed, mended in the middle, cut and continued."""
    texts = [[5], [5, 1], [5, 1, 4, 4, 9], [5, 1, 3, 4, 9], [5, 1, 3], [5, 1, 0], [2, 1, 0, 7]]
    found = javascript(
        f"""
        const reading = new Reading(model);
        return {texts}.map((ids) => [reading.follow(ids), new Reading(model).follow(ids)].map(
          (one) => [one.start, [...one.logits], [...one.row(2, 4, ids.length - 1)]]));
        """,
        random_gpt(TINY),
    )
    assert len({tuple(cached[1]) for cached, _ in found}) == len(texts)
    for cached, uncached in found:
        assert cached == uncached


@needs_node
@pytest.mark.parametrize("typed", [3, 13, 40], ids=["short", "full", "long"])
def test_at_a_full_context_it_forgets_as_generation_does(typed):
    model = random_gpt(TINY)
    prompt = torch.randint(TINY.vocab, (1, typed))
    written = javascript(
        f"""
        const [reading, ids] = [new Reading(model), {prompt[0].tolist()}];
        const starts = [];
        for (let i = 0; i < 30; i++) {{
          reading.follow(ids);
          starts.push(reading.start);
          ids.push(formulas.strongest(reading.logits, 1)[0]);
        }}
        return [ids, starts];
        """,
        model,
    )
    expected = generation.generate(
        model, prompt, tokens=30, sampler=GREEDY, when_full="slide", cached=False
    )
    assert written[0] == expected[0].tolist()
    first = max(0, typed - TINY.context)
    assert written[1][0] == first
    steps = sorted({start - first for start in written[1]})
    assert steps == list(range(0, steps[-1] + 1, TINY.context - TINY.context // 2))
    assert len(steps) > 2


@needs_node
def test_what_is_cut_to_nothing_or_forgotten_is_read_anew():
    long = [i % 11 for i in range(20)]
    found = javascript(
        f"""
        const reading = new Reading(model);
        reading.follow({long[:13]});
        reading.follow({long});
        const slid = reading.start;
        const kept = [reading.follow({long[:16]}).start, [...reading.logits]];
        const mended = [3, ...{long[1:16]}];
        const anew = [reading.follow(mended).start, [...reading.logits]];
        const other = [...new Reading(model).follow(mended).logits];
        const empty = [reading.follow([]).logits, reading.start];
        return [slid, kept, anew, other, empty];
        """,
        random_gpt(TINY),
    )
    slid, kept, anew, other, empty = found
    assert slid == kept[0] == 7
    assert anew[0] == 3 and anew[1] == other
    assert empty == [None, 0]


@needs_node
@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 3, 11])
def test_chances_are_those_of_the_sampler(temperature, top_k):
    logits = 3 * torch.randn(1, 11, dtype=torch.float64)
    found = javascript(
        f"return [...formulas.probabilities({logits[0].tolist()}, {temperature}, {top_k or 0})];"
    )
    expected = Sampler(temperature, top_k=top_k).probabilities(logits)[0]
    assert found == pytest.approx(expected.tolist(), abs=1e-12)


@needs_node
def test_a_pick_has_its_chance():
    found = javascript(
        """
        const [shares, random] = [[0.1, 0, 0.6, 0.3, 0], formulas.uniforms(3)];
        const counts = [0, 0, 0, 0, 0];
        for (let i = 0; i < 4000; i++) counts[formulas.pick(shares, random())]++;
        return [counts, formulas.pick([0.5, 0.4999, 0], 0.99999)];
        """
    )
    # three standard deviations of a share of one half
    assert [count / 4000 for count in found[0]] == pytest.approx(
        [0.1, 0, 0.6, 0.3, 0], abs=3 * 0.5 / 4000**0.5
    )
    assert found[0][1] == found[0][4] == 0 and found[1] == 1


# What travels


def test_parts_are_the_bytes():
    content = bytes(range(256)) * 3000
    scripts = bundle.part_scripts(content, name="gpt")
    assert len(scripts) == len(bundle.parts(content)) == 4
    assert [path.rpartition("/")[2] for path in scripts] == ["0.js", "1.js", "2.js", "3.js"]
    assert all(path.startswith(bundle.part_name(content, name="gpt") + "/") for path in scripts)
    read = {}
    for script in scripts.values():
        path, text = re.fullmatch(
            r'\(window\.payattentionParts \?\?= \{\}\)\["(.+)"\] = "([\w+/=]+)";\n', script
        ).groups()
        read[path] = base64.b64decode(text)
    assert b"".join(read[path] for path in scripts) == content
    other = bundle.part_name(content + b"\0", name="gpt")
    assert other != bundle.part_name(content, name="gpt")  # a browser keeps no old ones


def test_the_page_loads_the_shipped_weights(monkeypatch):
    content = weights.pack(random_gpt(), dtype=torch.float16)
    monkeypatch.setattr(writer, "shipped", lambda: content)
    figure = Writer()
    assert figure.weights == {
        "name": bundle.part_name(content, name="gpt"),
        "parts": len(writer.scripts()),
        "bytes": len(content),
        "on_pages": True,
    }
    assert set(writer.scripts()) == {
        f"{figure.weights['name']}/{place}.js" for place in range(figure.weights["parts"])
    }


def test_the_books_gpt_is_what_opens():
    figure = Writer()
    assert figure.weights["bytes"] == len(writer.shipped()) < 2.5e6
    with torch.no_grad():
        logits = trained.gpt().following(data.encode(writer.PROMPT)[None])[0]
    assert figure.stored["logits"] == pytest.approx(logits.tolist(), abs=6e-5)
    assert figure.sizes["parameters"] == sum(parameters.decoder(trained.GPT_SHAPE).values())


def test_a_kernel_sends_the_weights_when_asked_and_keeps_none_in_its_state(monkeypatch):
    monkeypatch.setattr(bundle, "PART_BYTES", 10_000)
    model = random_gpt()
    figure = Writer(model)
    assert len(figure._model.state_dict()) > 0 and not figure.weights["on_pages"]
    sent = []
    monkeypatch.setattr(figure, "send", lambda content, buffers: sent.append((content, buffers)))
    figure._handle_custom_msg({"kind": "hello"}, [])
    assert sent == []
    figure._handle_custom_msg({"kind": "weights"}, [])
    assert [content for content, _ in sent] == [
        {"kind": "part", "place": place} for place in range(figure.weights["parts"])
    ]
    content = b"".join(buffer for _, (buffer,) in sent)
    assert content == weights.pack(model, dtype=torch.float16)
    assert len(content) == figure.weights["bytes"] and len(sent) > 3
    assert len(json.dumps(figure.static_state())) < 0.5 * len(content)


# What is seen where no script runs


def test_stored_numbers_are_the_models():
    model = random_gpt()
    figure = Writer(model, prompt="To be")
    ids = data.encode("To be")[None]
    rounded = weights.unpack(weights.pack(model, dtype=torch.float16))
    with torch.no_grad():
        logits = rounded.following(ids)[0]
        shares = rounded.attention_weights(ids)[:, 0]
    assert figure.stored["logits"] == pytest.approx(logits.tolist(), abs=6e-5)
    stored = writer.from_bytes(figure.stored["weights"], figure.sizes, 5)
    assert (stored - shares).abs().max() <= 0.5 / 255 + 1e-6
    assert figure.sizes == {
        "layers": 2,
        "heads": 3,
        "context": 31,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def test_it_opens_at_the_head_that_looks_far():
    shares = torch.full((2, 3, 7, 7), 0.1)
    shares[1, 0, 6, 0] = shares[0, 1, 6, 3] = shares[1, 1, 5, 2] = 0.9  # first, near, another's
    shares[1, 2, 6, 2] = 0.4
    assert writer.far_looking(shares) == (1, 2)
    assert writer.far_looking(torch.ones(2, 3, 5, 5)[:, :, :4, :4]) == (0, 0)
    model = random_gpt()
    figure = Writer(model)
    with torch.no_grad():
        shares = model.attention_weights(data.encode(writer.PROMPT)[None])[:, 0]
    assert (figure.layer, figure.head) == writer.far_looking(shares)
    assert (Writer(model, layer=0).layer, Writer(model, head=2).head) == (0, 2)


def test_findings_say_what_the_model_computes():
    model = random_gpt()
    figure = Writer(model, prompt="a\nof", layer=1, head=2, place=2, temperature=1.0)
    with torch.no_grad():
        shares = model.following(data.encode("a\nof")[None])[0].softmax(dim=-1)
        row = model.attention_weights(data.encode("a\nof")[None])[1, 0, 2, 2, :3]
    likely, looks = figure.findings()
    assert likely.startswith("After “a⏎of” the likeliest next characters are ")
    for share, i in zip(*shares.topk(3), strict=True):
        one = writer.quoted(data.VOCABULARY[int(i)])
        (said,) = re.findall(rf"{re.escape(one)} \((\d+)\u00a0%\)", likely)
        assert int(said) / 100 == pytest.approx(share.item(), abs=0.006)  # of rounded weights
    names = ["“a”, 2 before it", "the new line, 1 before it", "itself"]
    first = int(row.argmax())
    said = re.match(r"In layer 1, head 2, “o” gives (\d+)\u00a0% of its attention to (.*)", looks)
    assert int(said[1]) / 100 == pytest.approx(row[first].item(), abs=0.008)
    assert said[2].startswith(names[first])


def test_table_holds_every_chance():
    figure = Writer(random_gpt(), temperature=0.5, top_k=10)
    rows = list(csv.DictReader(io.StringIO(figure.table)))
    assert [row["character"] for row in rows] == [writer.named(c) for c in data.VOCABULARY]
    logits = torch.tensor([[float(row["logit"]) for row in rows]])
    expected = Sampler(0.5, top_k=10).probabilities(logits)[0]
    shares = [float(row["probability"]) for row in rows]
    assert shares == pytest.approx(expected.tolist(), abs=1e-6)
    assert sum(share > 0 for share in shares) == 10


def test_picture_shows_bars_and_ink():
    figure = Writer(random_gpt(), prompt="be &", layer=0, head=0, place=1, temperature=1.0)
    chart = ET.fromstring(figure.picture())
    assert chart.attrib["aria-label"] == " ".join(figure.findings())
    boxes = list(chart.iter(f"{SVG}rect"))
    bars = [float(box.attrib["width"]) for box in boxes if "fill-opacity" not in box.attrib]
    *bars, _ = bars  # the frame of the one that looks
    assert len(bars) == writer.LIKELIEST and bars == sorted(bars, reverse=True)
    shares = sorted((float(row["probability"]) for row in figure.data()), reverse=True)
    assert bars[0] / bars[3] == pytest.approx(shares[0] / shares[3], rel=0.02)
    inks = [float(box.attrib["fill-opacity"]) for box in boxes if "fill-opacity" in box.attrib]
    row = writer.from_bytes(figure.stored["weights"], figure.sizes, 4)[0, 0, 1]
    assert inks == pytest.approx((0.5 * row**0.7).tolist(), abs=1e-3) and inks[2:] == [0, 0]
    texts = [node.text for node in chart.iter(f"{SVG}text")]
    assert texts[-4:] == ["b", "e", "·", "&"]
    assert Writer(random_gpt(), alt="own words").picture().count("own words") == 1


def test_samples_are_written_by_the_model_and_stand_in_the_page():
    model = random_gpt()
    figure = Writer(model, seed=3)
    texts = dict(figure.samples())
    assert list(texts) == list(writer.SAMPLED)
    rounded = weights.unpack(weights.pack(model, dtype=torch.float16))
    for temperature, text in texts.items():
        again = generation.write(
            rounded,
            writer.PROMPT,
            characters=writer.SAMPLE_CHARACTERS,
            sampler=Sampler(temperature),
            seed=3,
        )
        assert text == again
    page = ET.fromstring(figure.fallback())
    assert [pre.text for pre in page.iter("pre")] == list(texts.values())


@needs_node
def test_page_and_library_read_what_is_stored_alike():
    figure = Writer(random_gpt(), temperature=0.7, top_k=3)
    found = javascript(
        f"""
        const [stored, sizes] = [{json.dumps(figure.stored)}, {json.dumps(figure.sizes)}];
        const vocabulary = {json.dumps(data.VOCABULARY)};
        const {{ ids, unknown }} = formulas.encode({json.dumps(figure.prompt)}, vocabulary);
        const reading = formulas.storedReading(stored, sizes, ids);
        const shares = formulas.probabilities(reading.logits, 0.7, 3);
        return [
          ids, unknown, reading.row(1, 2, 5), formulas.csv(vocabulary, reading.logits, shares),
          formulas.encode("“é”, so é", vocabulary),
        ];
        """
    )
    assert found[:2] == [data.encode(figure.prompt).tolist(), []]
    rows = writer.from_bytes(figure.stored["weights"], figure.sizes, len(figure.prompt))
    assert found[2] == pytest.approx(rows[1, 2, 5, :6].tolist())
    assert found[3] == figure.table
    assert found[4] == {"ids": data.encode(", so ").tolist(), "unknown": ["“", "é", "”"]}


# What is refused


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Writer(random_gpt(), prompt=""), "prompt: got 0 characters; expected 1 to 40"),
        (lambda: Writer(random_gpt(), prompt="a" * 41), "prompt: got 41 characters"),
        (lambda: Writer(random_gpt(), prompt="né"), "text: character 1 is 'é'"),
        (lambda: Writer(random_gpt(), temperature=2.1), "temperature: got 2.1; expected 0 to 2.0"),
        (lambda: Writer(random_gpt(), top_k=4), r"top_k: got 4; expected one of \(0, 10, 3\)"),
        (lambda: Writer(random_gpt(), layer=2), "layer: got 2; expected 0 to 1"),
        (lambda: Writer(random_gpt(), head=3), "head: got 3; expected 0 to 2"),
        (lambda: Writer(random_gpt(), prompt="abc", place=3), "place: got 3; expected -1 to 2"),
        (
            lambda: Writer(random_gpt(TINY)),
            f"model: its vocab is 11; the page computes {len(data.VOCABULARY)} alone",
        ),
        (
            lambda: Writer(random_gpt(replace(SMALL, norm="rms"))),
            "model: its norm is 'rms'; the page computes 'layer' alone",
        ),
        (
            lambda: Writer(random_gpt(replace(SMALL, kv_heads=1))),
            "model: its kv_heads is 1; the page computes 3 alone",
        ),
        (
            lambda: Writer(random_gpt(replace(SMALL, context=None))),
            "model: its context is None; the page needs a number",
        ),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
