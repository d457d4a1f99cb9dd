"""The pruner: one mask in two languages, one text in two languages, what is seen without either."""

import base64
import copy
import csv
import io
import itertools
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from small_gpt import SMALL, random_gpt

from payattention import data, generation, pruning, trained, weights
from payattention.explorables import Pruner, Writer, bundle, pruner, writer
from payattention.generation import GREEDY, Sampler
from payattention.records import Results
from payattention.transformer import Decoder

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
SVG = "{http://www.w3.org/2000/svg}"
LEVELS = (0.0, 0.01, 0.25, 0.5, 0.8, 0.95, 0.99)
BITS = {
    "magnitude": {0: 1.85, 0.3: 1.87, 0.5: 2.34, 0.7: 8.29},
    "wanda": {0: 1.85, 0.3: 1.86, 0.5: 2.07, 0.7: 4.43},
    "chance": {0: 1.85, 0.3: 5.81, 0.5: 7.71, 0.7: 21.0},
}


def measured(bits=BITS) -> Results:
    """Three runs a little off each other."""
    records = [
        {"score": how, "sparsity": level, "bits": value + off, "seed": seed}
        for how, row in bits.items()
        for level, value in row.items()
        for seed, off in enumerate((-0.01, 0.0, 0.01))
    ]
    return Results.from_records("bits_vs_sparsity", records)


@pytest.fixture(scope="module")
def small() -> Pruner:
    return Pruner(measured(), random_gpt(), prompt="To be", characters=40)


@pytest.fixture(scope="module")
def shipped() -> Pruner:
    return Pruner(prompt="KING JOHN:\nWhat ", temperature=0.0, characters=40)


def javascript(body, figure: Pruner, **known):
    """What the body returns; the formulas, the model's file and the norms are names in it."""
    known = {"packed": base64.b64encode(figure._content).decode(), **known}
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("pruner")}
      const formulas = window.payattentionExplorables.pruner;
      const known = {json.dumps(known)};
      const file = formulas.unpack(formulas.unbase64(known.packed));
      const maps = formulas.prunable(file.shape);
      const norms = formulas.unpackNorms({json.dumps(figure.norms)}, file.shape);
      console.log(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def masks_of_page(figure: Pruner, how: str, levels=LEVELS):
    """Masks at each level as the page makes them, by name."""
    found = javascript(
        """
        const scores = formulas.scoresOf(file, known.how, norms);
        const packed = (mask) => { // eight in a byte
          const bytes = new Uint8Array(Math.ceil(mask.length / 8));
          mask.forEach((one, i) => (bytes[i >> 3] |= one << (7 - (i & 7))));
          return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        };
        return known.levels.map((share) =>
          formulas.keepLargest(scores, maps, share, known.among).map(packed));
        """,
        figure,
        how=how,
        among=pruner.AMONG[how],
        levels=levels,
    )
    names = [*pruning.prunable(figure._model)]
    for masks in found:
        bits = [np.unpackbits(np.frombuffer(base64.b64decode(one), np.uint8)) for one in masks]
        yield dict(zip(names, map(torch.from_numpy, bits), strict=True))


def same_masks(page, library):
    assert page.keys() == library.keys()
    for name, mask in library.items():
        many = mask.numel()
        assert torch.equal(page[name][:many].bool(), mask.flatten()), name


# One mask, two languages


@needs_node
@pytest.mark.parametrize("how", pruner.AMONG)
@pytest.mark.parametrize("which", ["small", "shipped"])
def test_masks_of_the_page_are_those_of_the_library(how, which, request):
    figure = request.getfixturevalue(which)
    model = weights.unpack(figure._content)
    norms = pruner.unpack_norms(figure.norms, model)
    scores = pruner.scores(model, how, norms)
    for level, page in zip(LEVELS, masks_of_page(figure, how), strict=True):
        library = pruning.keep_largest(scores, level, among=pruner.AMONG[how])
        same_masks(page, library)
        kept = sum(int(mask.sum()) for mask in library.values())
        assert kept == pruner.left(model, how, level).kept


@needs_node
def test_equal_scores_go_in_the_same_order():
    """Sixteen bits are few: many weights are as large as another."""
    model = random_gpt()
    with torch.no_grad():
        for linear in pruning.prunable(model).values():
            linear.weight.copy_((20 * linear.weight).round() / 20)
    figure = Pruner(model=model, prompt="To be", characters=1)
    for how in pruner.AMONG:
        for level, page in zip(LEVELS, masks_of_page(figure, how), strict=True):
            same_masks(page, figure.masks(level, how))


def test_magnitude_is_that_of_the_library(small):
    expected = pruning.keep_largest(pruning.magnitudes(small._model), 0.7)
    assert all(torch.equal(mask, expected[n]) for n, mask in small.masks(0.7, "magnitude").items())


def test_norms_in_16_bits_leave_out_what_wanda_leaves_out(shipped):
    """All but a few in a thousand of the weights that stand just at the edge."""
    ids = pruner.calibration()
    scores = pruning.wanda(shipped._model, lambda model: model(ids))
    for level in (0.3, 0.5, 0.8):
        expected = pruning.keep_largest(scores, level, among="row")
        found = shipped.masks(level, "wanda")
        apart = sum(int((found[name] != mask).sum()) for name, mask in expected.items())
        assert apart < 1e-3 * sum(mask.numel() for mask in expected.values())


def test_queries_keys_and_values_read_the_same(small):
    ids = pruner.calibration(SMALL.context)
    norms = pruning.input_norms(small._model, lambda model: model(ids))
    again = pruner.unpack_norms(small.norms, small._model)
    assert again.keys() == norms.keys()
    for name, one in norms.items():
        assert again[name].shape == one.shape == (pruning.prunable(small._model)[name].in_features,)
        torch.testing.assert_close(again[name], one / one.max(), rtol=1e-3, atol=1e-6)


# One generator, two languages


def mulberry32(seed):
    """Tommy Ettinger's 32-bit generator, in Python's whole numbers."""
    while True:
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        yield ((t ^ t >> 14) + 0.5) / 2**32


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_draws_are_those_of_the_published_generator(seed):
    expected = list(itertools.islice(mulberry32(seed), 2000))
    assert pruner.draws(seed, 2000).tolist() == expected
    assert pruner.draws(seed, 100, start=1900).tolist() == expected[1900:]


@needs_node
def test_draws_are_those_of_the_page(small):
    found = javascript(
        """
        return [0, 5].map((seed) => {
          const random = formulas.uniforms(seed);
          return Array.from({ length: 1000 }, random);
        });
        """,
        small,
    )
    assert found == [pruner.draws(seed, 1000).tolist() for seed in (0, 5)]


def test_a_picker_picks_with_the_samplers_chances():
    logits = 2 * torch.randn(1, 5)
    many = 4000
    picker = pruner.Picker(0.7, uniform=iter(pruner.draws(3, many).tolist()))
    counts = torch.bincount(torch.cat([picker.draw(logits) for _ in range(many)]), minlength=5)
    expected = Sampler(0.7).probabilities(logits)[0]
    # three standard deviations of a share of one half
    assert (counts / many - expected).abs().max() < 3 * 0.5 / many**0.5
    last = pruner.Picker(1.0, uniform=iter([1 - 1e-12]))
    assert last.draw(torch.tensor([[0.0, 0.0, -100.0]])).item() in (1, 2)
    assert pruner.Picker(0.0).draw(logits).item() == int(logits.argmax())


# One text, two languages


@needs_node
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_page_writes_what_the_library_writes(shipped, temperature):
    many, seed = 25, 3
    cases = [("magnitude", 0.0), *((how, level) for how in pruner.AMONG for level in (0.3, 0.8))]
    ids = data.encode(shipped.prompt)
    found = javascript(
        """
        return known.cases.map(([score, sparsity]) => {
          const pruned = formulas.without(file, { score, sparsity }, norms);
          const write = formulas.pen(pruned, known.ids, known.temperature, known.seed);
          return Array.from({ length: known.many }, write);
        });
        """,
        shipped,
        cases=cases,
        ids=ids.tolist(),
        temperature=temperature,
        seed=seed,
        many=many,
    )
    for (how, level), new in zip(cases, found, strict=True):
        model = weights.unpack(shipped._content)
        pruning.prune(model, shipped.masks(level, how))
        text = pruner.write(
            model, shipped.prompt, characters=many, temperature=temperature, seed=seed
        )
        assert data.decode(torch.tensor(new)) == text.removeprefix(shipped.prompt), (how, level)
        if not temperature:
            greedy = generation.generate(
                model, ids[None], tokens=many, sampler=GREEDY, when_full="slide"
            )
            assert text == data.decode(greedy[0])


@needs_node
def test_of_an_empty_text_nothing_follows_and_the_whole_file_stays_as_it_is(small):
    found = javascript(
        """
        const before = Array.from(file.tensors[maps[0].name]);
        const pruned = formulas.without(file, { score: "magnitude", sparsity: 0.9 }, norms);
        const after = Array.from(file.tensors[maps[0].name]);
        const zeros = pruned.tensors[maps[0].name].filter((weight) => weight === 0).length;
        return [
          formulas.pen(file, [], 1, 0)(), before.every((one, i) => one === after[i]), zeros > 0,
          formulas.without(file, { score: "wanda", sparsity: 0 }, norms) === file,
        ];
        """,
        small,
    )
    assert found == [None, True, True, True]


def test_stored_texts_are_written_by_the_pruned_model(small):
    samples = small.samples()
    assert [*samples] == list(pruner.SAMPLED)
    for level, text in samples.items():
        model = copy.deepcopy(small._model)
        scores = pruning.magnitudes(model)
        pruning.prune(model, pruning.keep_largest(scores, level))
        again = pruner.write(model, "To be", characters=40, temperature=0.8, seed=0)
        assert text == again and text.startswith("To be") and len(text) == 45
    assert len(set(samples.values())) >= 3
    opened = Pruner(model=random_gpt(), prompt="To be", characters=3, sparsity=0.3, score="wanda")
    assert [*opened.samples()] == [0, 0.3, 0.5, 0.8, 0.95]


# What is counted


@needs_node
@pytest.mark.parametrize("how", pruner.AMONG)
def test_page_and_library_count_alike(small, shipped, how):
    for figure in (small, shipped):
        found = javascript(
            "return known.levels.map((share) => formulas.leftOf(maps, share, known.among));",
            figure,
            levels=LEVELS,
            among=pruner.AMONG[how],
        )
        assert found == [asdict(pruner.left(figure._model, how, level)) for level in LEVELS]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_bytes_are_those_of_the_tensors(shipped):
    model = weights.unpack(shipped._content)
    for how, level in (("magnitude", 0.6), ("wanda", 0.6)):
        masks = shipped.masks(level, how)
        pruned = copy.deepcopy(model)
        pruning.prune(pruned, masks)
        found = {"dense": 0, "columns": 0, "many": 0, "kept": 0}
        for linear in pruning.prunable(pruned).values():
            half = linear.weight.detach().half()
            sparse = half.to_sparse_csr()
            found["many"] += half.numel()
            found["dense"] += half.numel() * half.element_size()
            found["kept"] += sparse.values().numel()
            found["columns"] += 2 * sparse.values().numel() + 2 * sparse.col_indices().numel()
            found["columns"] += 4 * (sparse.crow_indices().numel() - 1)
        counted = pruner.left(model, how, level)
        assert found == {name: getattr(counted, name) for name in found}
        assert counted.bitmap == 2 * found["kept"] + found["many"] / 8


def test_a_bitmap_pays_from_a_sixteenth_on_and_columns_from_a_half(shipped):
    model = shipped._model
    sizes = {level / 100: pruner.left(model, "magnitude", level / 100) for level in range(100)}
    assert min(level for level, one in sizes.items() if one.bitmap < one.dense) == 0.07
    assert min(level for level, one in sizes.items() if one.columns < one.dense) == 0.51


# What is said and seen


@needs_node
def test_page_and_library_say_the_same(small):
    bare = Pruner(model=random_gpt(), prompt="To be", characters=3)
    cases = [
        (how, level) for how in pruner.AMONG for level in (0.0, 0.07, 0.3, 0.4, 0.5, 0.6, 0.99)
    ]
    for figure in (small, bare):
        found = javascript(
            "return known.cases.map(([score, sparsity]) => "
            "formulas.sentence({ score, sparsity }, known));",
            figure,
            cases=cases,
            sizes=figure.sizes,
            curve=figure.curve,
        )
        for (how, level), said in zip(cases, found, strict=True):
            figure.score, figure.sparsity = how, level
            assert said == figure.sentence()
            assert "{" not in said and "undefined" not in said
    small.score, small.sparsity = "magnitude", 0.5


def test_the_nearest_level_is_named(small):
    for level, says in (
        (0.5, "stay. The model needs 2.34 bits for a character of validation text, and 1.85 with"),
        (
            0.45,
            "At 50\N{NO-BREAK SPACE}% left out, the nearest level measured, the model needs 2.34",
        ),
        (0.4, "At 30\N{NO-BREAK SPACE}% left out, the nearest"),  # as near as 50 %: the lower
        (0.0, "are there. The model needs 1.85 bits for a character of validation text."),
    ):
        small.sparsity = level
        assert says in small.sentence()
    small.sparsity = 0.5


@needs_node
def test_page_and_library_see_where_texts_part(small):
    cases = [("abc", "abc"), ("abc", "abd"), ("abc", "axx"), ("abc", "xbc"), ("ab", "abc")]
    found = javascript(
        "return known.cases.map(([whole, pruned]) => formulas.parting(whole, pruned));",
        small,
        cases=cases,
    )
    assert found == [pruner.parting("To ", "To " + one, "To " + other) for one, other in cases]
    assert found[0] == "It writes what the whole model writes, all 3 characters."
    assert "for 2 characters" in found[1] and "for 1 character," in found[2]
    assert found[3].startswith("From the first character on")


def test_findings_say_what_was_measured(small):
    said = " ".join(small.findings())
    percent = "\N{NO-BREAK SPACE}%"
    assert f"Left out by magnitude, 30{percent} is the highest level measured" in said
    assert f"Left out by Wanda, 30{percent} is the highest level measured" in said
    assert "Left out by chance, every level measured costs more than 0.1 bits" in said
    assert "takes 6.29 bits a character. What needs more than 10 leaves the chart." in said
    assert "No measured bits" not in said
    bare = Pruner(model=random_gpt(), prompt="To be", characters=3).findings()
    assert bare[-1] == "No measured bits a character are stored in this figure."
    assert not any("highest level" in one for one in bare)
    assert len(Pruner(model=random_gpt(), prompt="T", characters=3, sparsity=0.0).findings()) == 3


def test_a_figure_that_was_moved_says_nothing_of_texts_that_are_not_stored(small):
    whole = small.fallback()
    assert "It writes what" in whole or "From the first character" in whole
    for name, value in (("sparsity", 0.63), ("score", "wanda"), ("seed", 5)):
        before = getattr(small, name)
        setattr(small, name, value)
        moved = small.fallback()
        assert "It writes what" not in moved and "From the first character" not in moved
        assert "left out by magnitude:" in moved  # the stored texts are what they were
        setattr(small, name, before)
    assert small.fallback() == whole


def test_table_holds_every_level(small):
    rows = list(csv.DictReader(io.StringIO(small.table)))
    assert len(rows) == sum(map(len, BITS.values()))
    for row in rows:
        level = float(row["sparsity"])
        assert float(row["bits"]) == BITS[row["score"]][level]
        one = pruner.left(small._model, row["score"], level)
        assert [int(row[f"{form}_bytes"]) for form in ("dense", "bitmap", "columns")] == [
            one.dense, one.bitmap, one.columns,
        ]  # fmt: skip
        assert int(row["weights"]) == one.kept
    bare = Pruner(model=random_gpt(), prompt="To be", characters=3)
    rows = list(csv.DictReader(io.StringIO(bare.table)))
    assert {row["bits"] for row in rows} == {""} and len(rows) == 3 * len(pruner.SAMPLED)


def test_picture_shows_the_curve_and_the_level(small):
    chart = ET.fromstring(small.picture())
    assert chart.attrib["aria-label"] == small.sentence()
    texts = [node.text for node in chart.iter(f"{SVG}text")]
    assert {"magnitude", "Wanda", "chance", "guessing"} <= set(texts)
    lines = [path for path in chart.iter(f"{SVG}path") if "#5b4da0" in path.attrib["stroke"]]
    assert len(lines) == 1 and len(list(chart.iter(f"{SVG}circle"))) == 1
    heights = re.findall(r",([\d.]+)", " ".join(p.attrib["d"] for p in chart.iter(f"{SVG}path")))
    assert min(map(float, heights)) >= 32  # what needs more than the chart has room for is cut
    bare = Pruner(model=random_gpt(), prompt="To be", characters=3, alt="own words")
    assert len(list(ET.fromstring(bare.picture()).iter(f"{SVG}rect"))) == 3
    assert bare.picture().count("own words") == 1


def test_lines_end_where_they_leave_the_chart():
    assert pruner.clipped([(0, 2.0), (0.5, 8.0), (1, 12.0)]) == [(0, 2), (0.5, 8), (0.75, 10)]
    assert pruner.clipped([(0, 12.0)]) == []


def test_the_page_without_scripts_has_texts_picture_findings_and_data(small):
    page = ET.fromstring(small.fallback())
    assert [pre.text for pre in page.iter("pre")] == list(small.samples().values())
    labels = [p.text for p in page.iter("p") if p.attrib["class"] == "explorable-label"]
    assert labels[1] == "With 50\N{NO-BREAK SPACE}% left out by magnitude:"
    assert len(list(page.iter("li"))) == len(small.findings()) >= 4


# What travels


def test_the_page_loads_the_weights_that_the_writer_loads(monkeypatch):
    content = weights.pack(random_gpt(), dtype=torch.float16)
    monkeypatch.setattr(writer, "shipped", lambda: content)
    assert Pruner(characters=3).weights == Writer().weights


def test_little_travels_with_the_page(shipped):
    state = shipped.static_state()
    assert len(json.dumps(state)) < 25_000
    assert len(state["norms"]) < 15_000
    assert state["sizes"]["layers"] == trained.GPT_SHAPE.layers


def test_a_kernel_sends_the_weights_when_asked(small, monkeypatch):
    monkeypatch.setattr(bundle, "PART_BYTES", 10_000)
    sent = []
    monkeypatch.setattr(small, "send", lambda content, buffers: sent.append((content, buffers)))
    small._handle_custom_msg({"kind": "hello"}, [])
    assert sent == []
    small._handle_custom_msg({"kind": "weights"}, [])
    assert b"".join(buffer for _, (buffer,) in sent) == small._content and len(sent) > 3


def test_the_same_figure_is_made_twice():
    one, other = (Pruner(measured(), random_gpt(), characters=9).fallback() for _ in range(2))
    assert one == other


# The address


@needs_node
def test_the_address_holds_what_was_chosen_and_nothing_wrong(small):
    opened = {"score": "magnitude", "sparsity": 0.5, "temperature": 0.8, "seed": 0, "prompt": "To"}
    chosen = opened | {"score": "wanda", "sparsity": 0.07, "prompt": "A & b=1 +\n#é%"}
    found = javascript(
        """
        const { toAddress, fromAddress } = formulas;
        const { opened, chosen } = known;
        const address = toAddress(chosen, opened);
        const open = (fragment) => fromAddress(fragment, opened);
        return [
          toAddress(opened, opened), address, open(address), open("#budget?score=wanda"),
          open("#pruner?score=other&sparsity=1.2&temperature=hot&seed=1.5&colour=red"),
          open("#pruner?sparsity=&seed=-1&score=constructor&prompt=" + "a".repeat(1001)),
          open("#pruner?sparsity=0.994&seed=99&temperature=2").sparsity,
        ];
        """,
        small,
        opened=opened,
        chosen=chosen,
    )
    assert found[0] == "" and found[1].startswith("#pruner?score=wanda&sparsity=0.07&prompt=A%20")
    assert found[2] == chosen
    assert found[3] == found[4] == found[5] == opened
    assert found[6] == 0.99


# What is refused


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Pruner(model=random_gpt(), prompt=""), "prompt: got ''; expected 1 to 128"),
        (lambda: Pruner(model=random_gpt(), prompt="né"), "text: character 1 is 'é'"),
        (
            lambda: Pruner(model=random_gpt(), score="size"),
            "score: got 'size'; expected one of mag",
        ),
        (lambda: Pruner(model=random_gpt(), sparsity=1.0), "sparsity: got 1.0; expected 0 to 0.99"),
        (lambda: Pruner(model=random_gpt(), temperature=2.1), "temperature: got 2.1; expected 0"),
        (lambda: Pruner(model=random_gpt(), seed=100), "seed: got 100; expected 0 to 99"),
        (
            lambda: Pruner(Results("q", {"score": [], "bits": []}), random_gpt()),
            r"curve: got columns \['score', 'bits'\]; expected sparsity too",
        ),
        (
            lambda: Pruner(measured({"taylor": {0.5: 2.0}}), random_gpt()),
            "curve: got the score 'taylor'; expected magnitude, wanda, chance alone",
        ),
        (
            lambda: Pruner(model=random_gpt(replace(SMALL, norm="rms"))),
            "model: its norm is 'rms'; the page computes 'layer' alone",
        ),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_whole_model_is_left_alone():
    model: Decoder = random_gpt()
    before = copy.deepcopy(model.state_dict())
    Pruner(model=model, prompt="To be", characters=3).written(0.9)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
