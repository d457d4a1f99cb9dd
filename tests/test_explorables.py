"""Explorables: one formula in two languages, one figure in three places."""

import csv
import gzip
import io
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
import torch
from anywidget import AnyWidget
from made_up_answers import between
from made_up_depths import depths
from made_up_steps import machine
from mixing_cells import made_up
from small_gpt import random_gpt
from torch.distributions import Categorical

from payattention import associative_memory, attention, data
from payattention.attention_maps import AttentionMaps
from payattention.explorables import (
    AttentionMap,
    Between,
    Bill,
    Budget,
    Crowding,
    Depths,
    Explorable,
    Fading,
    Fleet,
    HaltingMachine,
    MixingMap,
    Pattern,
    Pruner,
    Softmax,
    Writer,
    attention_map,
    bundle,
    softmax,
)
from payattention.explorables.crowding import (
    attention_numbers,
    capacity,
    expected_recall,
    state_numbers,
)
from payattention.explorables.explorable import csv_text, data_url
from payattention.explorables.fading import half_life, remaining
from payattention.explorables.picture import Axis, Line, heat_map, line_chart

CURVES = {
    Fading: [{"name": "LSTM", "gaps": [1, 4, 16, 64], "norms": [0.9, 0.5, 0.07, 1e-7]}],
    Crowding: [{"d_model": 64, "pairs": [64, 128, 256], "recalled": [1.0, 0.98, 0.76]}],
}
KINDS = [
    Fading,
    Crowding,
    Softmax,
    AttentionMap,
    Writer,
    Pruner,
    Bill,
    Fleet,
    Budget,
    Pattern,
    Between,
    MixingMap,
    Depths,
    HaltingMachine,
]
OURS = [kind.name for kind in KINDS]  # drawn here, not by a vendored library
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def example(kind, **state):
    if kind is Writer:
        return Writer(random_gpt(), **state)
    if kind is Pruner:
        return Pruner(model=random_gpt(), characters=20, **state)
    if kind is Between:
        return between(**state)
    if kind is HaltingMachine:
        return machine(**state)
    if kind is MixingMap:
        return MixingMap(made_up(), **state)
    if kind is Depths:
        return depths(**state)
    return kind(curves=CURVES[kind], **state) if kind in CURVES else kind(**state)


TOKENS = ("[CLS]", "a", '"', "a", ",", "it", "[SEP]")


def reading(tokens=TOKENS, layers=2, heads=3):
    """Random weights, but in the last head of the last layer each token looks at the one before."""
    generator = torch.Generator().manual_seed(len(tokens))
    many = len(tokens)
    weights = torch.rand(layers, heads, many, many, generator=generator).square()
    before = torch.arange(many).sub(1).clamp(min=0)
    weights[-1, -1] = 0.01 / many + 0.99 * torch.nn.functional.one_hot(before, many)
    return AttentionMaps("A planted head.", tokens, weights / weights.sum(dim=-1, keepdim=True))


def javascript(name, expression):
    """The value of an expression in which the explorable's formulas are names."""
    script = (
        f"globalThis.window = globalThis; {bundle.classic_script(name)}"
        f"with_(window.payattentionExplorables.{name});"
        f"function with_(formulas) {{ console.log(JSON.stringify({expression})); }}"
    )
    return json.loads(_node(script))


def _node(script):
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


# One formula, two languages


@needs_node
def test_fading_formulas_agree():
    cases = [(0.5, 1), (0.9, 13), (0.95, 64), (0.9995, 512), (1, 512)]
    ours = [[remaining(gate, gap), half_life(gate)] for gate, gap in cases]
    theirs = javascript(
        "fading",
        f"{json.dumps(cases)}.map(([gate, gap]) => "
        "[formulas.remaining(gate, gap), formulas.halfLife(gate)])",
    )
    theirs[-1][1] = math.inf  # JSON writes infinity as null
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-12)


@needs_node
def test_fading_sliders_reach_both_ends():
    ends = javascript(
        "fading", "[0, 33, 99, 100].map(formulas.gateAt).concat([0, 90].map(formulas.gapAt))"
    )
    assert ends == [0.5, 0.95, 0.9995, 1, 1, 512]


@needs_node
def test_crowding_formulas_agree():
    cases = [(16, 1), (16, 7), (32, 61), (64, 512), (128, 131)]
    ours = [[state_numbers(d), attention_numbers(d, n), expected_recall(d, n)] for d, n in cases]
    theirs = javascript(
        "crowding",
        f"{json.dumps(cases)}.map(([d, n]) => [formulas.stateNumbers(d), "
        "formulas.attentionNumbers(d, n), formulas.expectedRecall(d, n)])",
    )
    for one, other in zip(ours, theirs, strict=True):
        # the browser's normal distribution is a series that is right to 1e-7, raised to n - 1
        assert one == pytest.approx(other, abs=1e-4)
    limits = [capacity(d, 0.9) for d in (16, 32, 64)]
    assert javascript("crowding", "[16, 32, 64].map((d) => formulas.capacity(d, 0.9))") == limits


@needs_node
@pytest.mark.parametrize(("d", "pairs"), [(7, 5), (7, 19), (13, 61)])
def test_browser_and_library_recall_the_same(d, pairs):
    drawn = javascript(
        "crowding",
        f"(() => {{ const random = formulas.uniforms(3);"
        f"const keys = formulas.unitVectors({pairs}, {d}, random);"
        f"const values = formulas.unitVectors({pairs}, {d}, random);"
        f"return [[...keys], [...values], formulas.simulate({d}, {pairs}, 3)]; }})()",
    )
    keys, values = (torch.tensor(numbers).reshape(pairs, d) for numbers in drawn[:2])
    assert keys.norm(dim=1).tolist() == pytest.approx([1.0] * pairs)
    in_browser = {how: sum(right) / pairs for how, right in drawn[2].items()}
    assert in_browser["state"] == pytest.approx(associative_memory.recalled_by_state(keys, values))
    assert in_browser["attention"] == pytest.approx(
        associative_memory.recalled_by_attention(keys, values)
    )
    if pairs > 2 * d:
        assert in_browser["state"] < in_browser["attention"]


@needs_node
def test_the_same_seed_draws_the_same_pairs():
    same, other, again = javascript(
        "crowding",
        "[11, 12, 11].map((seed) => [...formulas.unitVectors(3, 5, formulas.uniforms(seed))])",
    )
    assert same == again != other


def mulberry32(seed):
    """Uniform numbers in (0, 1): Tommy Ettinger's 32-bit generator, in Python's whole numbers."""
    while True:
        seed = (seed + 0x6D2B79F5) % 2**32
        t = (seed ^ seed >> 15) * (seed | 1) % 2**32
        t ^= (t + (t ^ t >> 7) * (t | 61)) % 2**32
        yield ((t ^ t >> 14) + 0.5) / 2**32


@needs_node
def test_generator_is_the_published_one():
    drawn = javascript(
        "crowding",
        "(() => { const random = formulas.uniforms(7); "
        "return Array.from({ length: 999 }, random); })()",
    )
    assert drawn == list(itertools.islice(mulberry32(7), 999))
    assert sum(drawn) / 999 == pytest.approx(0.5, abs=0.03)


def test_estimate_lies_near_what_is_counted():
    # five draws each, keys and values of width 64; the estimate is known to be a little low
    for pairs, tolerance in ((64, 0.01), (128, 0.03), (256, 0.08), (512, 0.05)):
        generator = torch.Generator().manual_seed(5)
        counted = [
            associative_memory.recalled_by_state(
                associative_memory.unit_vectors(pairs, 64, generator),
                associative_memory.unit_vectors(pairs, 64, generator),
            )
            for _ in range(5)
        ]
        assert expected_recall(64, pairs) == pytest.approx(sum(counted) / 5, abs=tolerance)


def test_estimate_falls_with_pairs_and_rises_with_width():
    by_pairs = [expected_recall(32, 2**power) for power in range(10)]
    assert by_pairs == sorted(by_pairs, reverse=True) and by_pairs[0] == 1
    by_width = [expected_recall(d, 97) for d in (8, 16, 32, 64)]
    assert by_width == sorted(by_width)


@pytest.mark.parametrize("gate", [0.5, 0.9, 0.999])
def test_half_is_left_after_the_half_life(gate):
    assert remaining(gate, half_life(gate)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: remaining(0.0, 3), "gate: expected a number above 0"),
        (lambda: half_life(1.5), "gate: expected .* got 1.5"),
        (lambda: expected_recall(0, 3), "d_model=0"),
        (lambda: capacity(16, 0.0), "share: expected"),
        (lambda: softmax.averages(0, divided=True), "at least 1 as d_head .* got d_head=0"),
        (lambda: softmax.averages(8, divided=True, temperature=0.0), "temperature=0.0"),
    ],
)
def test_formulas_refuse_what_makes_no_sense(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@needs_node
@pytest.mark.parametrize("divided", [False, True])
@pytest.mark.parametrize("d", [1, 8, 512])
def test_browser_and_library_weigh_the_same(d, divided):
    drawn = javascript(
        "softmax",
        f"""(() => {{
          const {{ query, keys }} = formulas.vectors(5);
          const scale = formulas.scaleOf({d}, {json.dumps(divided)}, 1);
          const scores = formulas.dotProducts({{ query, keys }}, {d}).map((s) => s / scale);
          const first = (row) => [...row].slice(0, {d});
          const found = [formulas.softmax(scores), formulas.measured(scores)];
          return [first(query), keys.map(first), ...found];
        }})()""",
    )
    query, keys = (torch.tensor(part, dtype=torch.float64) for part in drawn[:2])
    assert keys.shape == (softmax.KEYS, d)
    scores = attention.dot_product_scores(query[None], keys)
    weights = attention.to_weights(scores if divided else scores * math.sqrt(d))[0]
    assert drawn[2] == pytest.approx(weights.tolist(), rel=1e-9, abs=1e-12)
    ours = [measure(weights).item() for measure in softmax.MEASURES.values()]
    assert list(drawn[3].values()) == pytest.approx(ours, rel=1e-9, abs=1e-12)


def test_measures_are_what_they_are_called():
    scores = torch.randn(3, softmax.KEYS, dtype=torch.float64)
    weights = scores.softmax(dim=-1)
    nats = Categorical(probs=weights).entropy()
    assert torch.allclose(softmax.entropy_bits(weights), nats / math.log(2))
    for row, found in zip(scores, softmax.slope(weights), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: x.softmax(dim=-1), row)
        assert found.item() == pytest.approx(jacobian.trace().item())
    equal = torch.full((8,), 1 / 8)
    one = torch.eye(8)[2]
    ends = [[measure(w).item() for measure in softmax.MEASURES.values()] for w in (equal, one)]
    assert ends == [pytest.approx([1 / 8, 3, 7 / 8]), pytest.approx([1, 0, 0])]


@needs_node
def test_averages_agree_between_two_ways_to_draw():
    """Here vectors are drawn; in the browser the query's length and 8 normal numbers."""
    theirs = javascript(
        "softmax",
        "(() => { const draws = formulas.lengthsAndNormals(4000, 3); "
        "return [false, true].map((divided) => formulas.averages(draws, divided, 2)); })()",
    )
    for divided in (False, True):
        for place in (0, 3, 7):
            ours = softmax.averages(2**place, divided=divided, temperature=2.0, draws=4000)
            # three standard deviations of two means over 4,000 draws, of entropy at most 0.9 bits
            assert list(theirs[divided][place].values()) == pytest.approx(
                list(ours.values()), abs=3 * 0.9 * math.sqrt(2 / 4000)
            )


def test_a_temperature_does_what_the_division_does():
    by_temperature = softmax.averages(64, divided=False, temperature=8.0)
    assert by_temperature == pytest.approx(softmax.averages(64, divided=True), rel=1e-5)


def test_width_sharpens_undivided_scores_alone():
    undivided, divided = (
        [softmax.averages(d, divided=divided) for d in softmax.WIDTHS] for divided in (False, True)
    )
    largest = [one["largest_weight"] for one in undivided]
    assert largest == sorted(largest) and largest[-1] > 0.95
    for name in softmax.MEASURES:
        wide = [one[name] for one in divided[4:]]
        assert max(wide) - min(wide) < 0.05


@needs_node
def test_softmax_sliders_and_extreme_scores():
    ends = javascript("softmax", "[0, 8, 26, 28].map(formulas.temperatureAt)")
    assert ends == [0.25, 1, pytest.approx(math.sqrt(512)), 32]
    assert javascript("softmax", "formulas.softmax([1e4, 0, -1e4])") == [1, 0, 0]


def test_a_weight_travels_in_a_byte():
    for one in (reading(), data.attention_maps()[3]):
        again = attention_map.unpacked(attention_map.packed(one))
        assert (again - one.weights).abs().max() <= 0.5 / 255 + 1e-6


@needs_node
def test_browser_and_library_read_the_same_map():
    figure = AttentionMap([reading(), reading(TOKENS[:5])], sentence=1, layer=1, head=1)
    weights = attention_map.unpacked(figure.maps[1])
    found = javascript(
        "attention_map",
        f"""(() => {{
          const reading = {json.dumps(figure.maps[1])};
          const all = formulas.steps(reading);
          const weights = formulas.weightsOf(reading, all, 1, 1);
          return [
            weights, formulas.onTheOneBefore(weights), formulas.lookingBack(reading, all),
            formulas.csv(reading, weights, 1, 1), formulas.strongest(weights[2], 5),
            reading.tokens.map((_, i) => formulas.quoted(reading.tokens, i)),
          ];
        }})()""",
    )
    assert torch.allclose(torch.tensor(found[0]), weights[1, 1])
    before = attention_map.on_the_one_before(weights)
    assert found[1] == pytest.approx(before[1, 1].item(), rel=1e-6)
    share = pytest.approx(before[1, 2].item(), rel=1e-6)
    assert found[2] == {"layer": 1, "head": 2, "share": share}
    assert found[3] == figure.table
    assert found[4] == weights[1, 1, 2].argsort(descending=True).tolist()
    assert found[5] == [attention_map.quoted(TOKENS[:5], place) for place in range(5)]
    assert found[5][1:3] == ["“a” (1 of 2)", '“"”']


def test_the_planted_head_is_found():
    before = attention_map.on_the_one_before(reading().weights)
    assert before.argmax().item() == 5 and before[1, 2] > 0.99
    findings = AttentionMap([reading()]).findings()
    assert findings[1].startswith("In layer 1, head 2, tokens give 99\u00a0% of their")
    assert "no other of the 6 heads" in findings[1]
    ends = reading().weights[..., [0, 6]].sum(dim=-1).mean().item()
    assert f"[CLS] and [SEP] take {100 * ends:.0f}\u00a0%" in findings[2]


def test_a_map_opens_where_there_is_something_to_see():
    stored = AttentionMap()
    assert (stored.layer, stored.head, stored.maps[0]["tokens"][stored.word]) == (3, 1, "it")
    # what was found straight from the model, on another machine
    assert "“it” gives 68\u00a0% of its attention to “animal”" in stored.findings()[0]
    small = AttentionMap([reading(layers=1, heads=1, tokens=("a", "b"))])
    assert (small.layer, small.head, small.word) == (0, 0, 0)
    assert AttentionMap([reading()], layer=0).word == TOKENS.index("it")


# Three places: the widget, the static page, the page without JavaScript


@pytest.mark.parametrize("kind", KINDS)
def test_bundle_shows_a_widget_or_html(kind):
    data, _ = example(kind)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert f'data-explorable="{kind.name}"' in data["text/html"]


def test_colab_gets_the_widget_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr(AnyWidget, "_repr_mimebundle_", lambda self, **kwargs: ({"widget": 1}, {}))
    assert Fading()._repr_mimebundle_() == ({"widget": 1}, {})


@pytest.mark.parametrize("kind", KINDS)
def test_static_page_has_state_picture_findings_and_data(kind):
    figure = example(kind, texts={"guess": "</script><b>"})
    fallback = figure.fallback()
    assert fallback.count("</script>") == 1  # a text cannot close the element that holds it
    assert not re.search(r'\son\w+="|\sstyle="', fallback)
    page = ET.fromstring(fallback)
    state = json.loads(page.find("script").text)
    assert state.get("curves") == CURVES.get(kind) and state["texts"] == {"guess": "</script><b>"}
    assert not any(key.startswith("_") or key in ("layout", "tooltip") for key in state)
    below = page.find("div")
    assert below.find("{http://www.w3.org/2000/svg}svg").attrib["aria-label"]
    assert [item.text for item in below.iter("li")] == figure.findings()
    (link,) = below.iter("a")
    assert link.attrib["href"] == data_url(figure.table)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_in_the_palette_alone(kind):
    colours = re.findall(r'(?:fill|stroke)="([^"]+)"', example(kind).picture())
    allowed = {bundle.colour(idea) for idea in bundle.palette()} | {"none"}
    assert colours and set(colours) <= allowed


@pytest.mark.parametrize("kind", KINDS)
def test_light_enough(kind):
    code = bundle.classic_script(kind.name) + bundle.stylesheet() + bundle.static_model()
    weight = len(gzip.compress((code + example(kind).fallback()).encode()))
    assert weight < 100_000


def test_table_holds_what_was_measured():
    rows = list(csv.DictReader(io.StringIO(Fading(curves=CURVES[Fading]).table)))
    measured = [(int(row["gap"]), float(row["left"])) for row in rows if row["series"] == "LSTM"]
    assert measured == [(1, 0.9), (4, 0.5), (16, 0.07), (64, 1e-7)]
    rows = list(csv.DictReader(io.StringIO(Crowding(curves=CURVES[Crowding]).table)))
    by_point = {(row["d_model"], row["pairs"]): row for row in rows}
    assert by_point["64", "256"]["measured_recall"] == "0.76"
    assert by_point["16", "256"]["measured_recall"] == ""


def test_findings_say_what_was_measured():
    assert any(
        "LSTM" in finding and "gap 64" in finding for finding in Fading(CURVES[Fading]).findings()
    )
    findings = " ".join(Crowding(curves=CURVES[Crowding]).findings())
    assert "76% of 256 pairs" in findings and "65,536" in findings and "4,096" in findings
    assert "30% of 512 pairs" in " ".join(Crowding().findings())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Fading(curves=[{"name": "x"}]), "expected name, gaps and norms"),
        (
            lambda: Fading(curves=[{"name": "x", "gaps": [1, 2], "norms": [1]}]),
            "x has 2 gaps and 1 norms",
        ),
        (lambda: Fading(gate=0.2), "gate: expected 0.5 to 1, got 0.2"),
        (lambda: Fading(gap=513), "gap: expected 1 to 512"),
        (lambda: Crowding(curves=[{"pairs": [1]}]), "expected d_model, pairs and recalled"),
        (
            lambda: Crowding(curves=[{"d_model": 16, "pairs": [], "recalled": []}]),
            "at least one",
        ),
        (lambda: Crowding(d_model=48), "d_model: expected one of"),
        (lambda: Crowding(pairs=0), "pairs: expected 1 to 512"),
        (lambda: Softmax(d_head=48), r"d_head: expected one of \(1, 2, .*, got 48"),
        (lambda: Softmax(temperature=33.0), "temperature: expected 0.25 to 32.0, got 33.0"),
        (lambda: Softmax(guess=12), "guess: expected 13 to 100 per cent, or 0 for none, got 12"),
        (lambda: AttentionMap([]), "maps: expected one reading or more, .*, got none"),
        (
            lambda: AttentionMap([reading(), reading(heads=2)]),
            r"maps: .* of as many layers and heads, got \[\(2, 2\), \(2, 3\)\]",
        ),
        (
            lambda: AttentionMap([reading(tokens=("a",) * 41)]),
            "maps: 'A planted head.' has 41 tokens; expected 2 to 40",
        ),
        (
            lambda: AttentionMap([AttentionMaps("a b", ("a", "b"), torch.full((1, 1, 2, 2), 0.4))]),
            "maps: 'a b' has weights from 0.4 on, and a row that sums to 0.8",
        ),
        (lambda: AttentionMap(layer=6), "layer: expected 0 to 5, got 6"),
        (lambda: AttentionMap(head=12), "head: expected 0 to 11, got 12"),
        (lambda: AttentionMap(word=16), "word: expected 0 to 15, got 16"),
        (lambda: AttentionMap(sentence=8), "sentence: expected 0 to 7, got 8"),
        (lambda: AttentionMap([reading()], word=-1), "word: expected 0 to 6, got -1"),
    ],
)
def test_bad_state_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_figure_must_say_what_it_shows():
    figure = Explorable.__new__(Explorable)
    for part in (figure.picture, figure.findings, figure.data):
        with pytest.raises(NotImplementedError):
            part()


def test_state_can_be_set():
    fading, crowding = Fading(gate=0.9, gap=13), Crowding(d_model=32, pairs=7)
    assert (fading.gate, fading.gap) == (0.9, 13)
    assert (crowding.d_model, crowding.pairs) == (32, 7)
    softened = Softmax(d_head=64, temperature=8.0, guess=60)
    assert (softened.d_head, softened.temperature, softened.guess) == (64, 8.0, 60)
    small = AttentionMap([reading(), reading(TOKENS[:5])], sentence=1, layer=1, head=2, word=4)
    assert (small.sentence, small.layer, small.head, small.word) == (1, 1, 2, 4)
    with pytest.raises(ValueError, match="word: expected 0 to 4, got 5"):
        small.word = 5


def test_a_curve_below_the_chart_has_no_line():
    gone = [{"name": "gone", "gaps": [0, 8], "norms": [1.0, 1e-9]}]
    assert "gone" not in Fading(curves=gone, alt="none").picture()


# The bundle


def test_names_are_the_modules():
    names = bundle.names()
    assert names == sorted(names) and set(OURS) <= set(names)
    assert not set(bundle.SHARED) & set(names)


def test_classic_script_is_no_module_and_makes_no_code():
    for name in OURS:
        script = bundle.classic_script(name)
        assert not re.search(r"^\s*(import|export)\b", script, flags=re.MULTILINE)
        assert not re.search(
            r"\beval\b|new Function|Blob|createObjectURL|innerHTML|https?://(?!www\.w3\.org/2000/svg)",
            script,
        )


@needs_node
def test_both_forms_offer_render():
    for name in OURS:
        assert javascript(name, "typeof formulas.render") == "function"
        module = bundle.esm(name).replace("export default", "export const figure =")
        assert "import " not in re.sub(r"//.*", "", module)
        run = subprocess.run(
            ["node", "--input-type=module", "-"],
            input=module + "\nconsole.log(typeof figure.render);",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.stdout == "function\n", run.stderr


def test_unknown_names_and_forms_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="'figure' is no explorable; there are attention_map, "):
        bundle.classic_script("figure")
    monkeypatch.setattr(bundle, "_source", lambda name: 'import x from "elsewhere";\n')
    with pytest.raises(ValueError, match="elsewhere"):
        bundle.classic_script("fading")
    monkeypatch.setattr(bundle, "_source", lambda name: "const render = 1;\n")
    with pytest.raises(ValueError, match="the default export"):
        bundle.classic_script("fading")


def test_stylesheet_names_every_idea():
    sheet = bundle.stylesheet()
    for idea, shades in bundle.palette().items():
        name = idea.replace("_", "-")
        assert f"--explorable-{name}: var(--pa-{name}, {shades['light']});" in sheet
    used = set(re.findall(r"var\(--explorable-([\w-]+)\)", sheet))
    assert used <= {idea.replace("_", "-") for idea in bundle.palette()}


@needs_node
def test_static_model_is_a_model():
    script = (
        bundle.static_model()
        + """
      const start = { gap: 1 };
      const model = new StaticModel(start);
      const heard = [];
      const listener = (event, value) => heard.push([event.name, value]);
      model.on("change:gap change", listener);
      model.set("gap", 2);
      model.set("gap", 2);
      model.save_changes();
      model.off("change:gap", listener);
      model.set("gap", 3);
      console.log(JSON.stringify([model.get("gap"), start.gap, heard]));
    """
    )
    heard = [["change:gap", 2], ["change", 2], ["change", 3]]
    assert json.loads(_node(script)) == [3, 1, heard]


# The still picture


def test_chart_keeps_names_apart_and_text_as_text():
    axis = Axis("a < b", (0, 1), (0, 1))
    lines = [
        Line([(0, 0), (1, 0.5)], "memory", name, name_at=(1, 0.5), before=before)
        for name, before in (("one", False), ("two", False), ("three", True))
    ]
    chart = ET.fromstring(line_chart(lines, x=axis, y=axis, alt='say "<b>"'))
    assert chart.attrib["aria-label"] == 'say "<b>"'
    texts = {node.text: node for node in chart.iter("{http://www.w3.org/2000/svg}text")}
    assert "a < b" in texts
    heights = [float(texts[name].attrib["y"]) for name in ("one", "two", "three")]
    assert heights[0] - heights[1] >= 15 and heights[2] == heights[0]


def test_heat_map_has_a_square_for_each_weight_and_a_frame():
    weights = [[1.0, 0.0], [0.25, 0.75]]
    drawn = heat_map(["<s>", "it"], weights, rows="looks", columns="seen", alt="two", marked=1)
    chart = ET.fromstring(drawn)
    *squares, frame = chart.iter("{http://www.w3.org/2000/svg}rect")
    opacities = [float(square.attrib["fill-opacity"]) for square in squares]
    assert opacities == pytest.approx([1, 0, 0.25**0.7, 0.75**0.7], abs=1e-3)
    rows = [float(square.attrib["y"]) for square in squares]
    assert rows[0] == rows[1] < rows[2] == rows[3]
    assert frame.attrib["fill"] == "none" and float(frame.attrib["y"]) == rows[2] - 0.5
    texts = [node.text for node in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(texts) == sorted(["looks", "seen", *["<s>", "it"] * 2])
    bare = heat_map(["a"], [[1.0]], rows="", columns="", alt="")
    assert len(list(ET.fromstring(bare).iter("{http://www.w3.org/2000/svg}rect"))) == 1


def test_log_axis_places_by_factor_and_keeps_inside():
    axis = Axis("steps", (1, 100), (), log=True)
    assert [axis.place(v, 0.0, 10.0) for v in (0.1, 1, 10, 1000)] == pytest.approx([0, 0, 5, 10])


def test_csv_of_nothing_is_nothing():
    assert csv_text([]) == ""
    assert data_url("a,b\n1,2 %\n") == "data:text/csv;charset=utf-8,a,b%0A1,2%20%25%0A"
