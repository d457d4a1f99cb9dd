"""bertviz's views: its own scripts and parameters, and words where there are too many tokens."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zlib
from base64 import b64decode
from importlib import resources
from types import SimpleNamespace

import bertviz
import pytest
import torch
from bertviz import neuron_view

from payattention import attention, data
from payattention.attention_maps import AttentionMaps
from payattention.explorables import HeadView, ModelView, NeuronView, bundle
from payattention.explorables.bertviz import BertViz, _png

TOKENS = ("[CLS]", "a", "<b>", "c", "[SEP]")
VENDOR = resources.files("payattention") / "explorables" / "vendor"
SCRIPTS = [
    *(f"bertviz/{view}_view.js" for view in ("head", "model", "neuron")),
    *("d3/d3.min.js", "jquery/jquery.min.js"),
]
VIEWS = [HeadView, ModelView, NeuronView]


def reading(tokens=TOKENS, layers=2, heads=3, d_head=7):
    queries, keys = torch.randn(2, layers, heads, len(tokens), d_head)
    weights = attention.to_weights(attention.dot_product_scores(queries, keys))
    return AttentionMaps(" ".join(tokens), tokens, weights, queries, keys)


def rounded(x):
    return x.double().round(decimals=3)


def embedded(page, marker):
    """The parameters that bertviz has written into its page, without its element's own name."""
    found, _ = json.JSONDecoder().raw_decode(page.data.partition(marker)[2])
    del found["root_div_id"]
    return found


# The scripts


@pytest.mark.parametrize("name", ["head_view.js", "model_view.js", "neuron_view.js"])
def test_scripts_are_those_of_the_package(name):
    theirs = (resources.files("bertviz") / name).read_bytes()
    assert (VENDOR / "bertviz" / name).read_bytes() == theirs
    assert bundle.vendored(f"bertviz/{name}") in bundle.classic_script("bertviz")


@pytest.mark.parametrize("name", ["d3/d3.min.js", "jquery/jquery.min.js"])
def test_libraries_are_those_that_are_noticed(name):
    content = (VENDOR / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    notice = (VENDOR / "README.md").read_text(encoding="utf-8")
    assert f"sha256 of `{name.partition('/')[2]}`: `{digest}`" in notice
    assert bundle.classic_script("bertviz").count(content.decode()) == 1


def test_what_is_ours_makes_no_code_and_asks_nobody():
    script = bundle.classic_script("bertviz")
    for name in SCRIPTS:
        script = script.replace(bundle.vendored(name), "")
    assert len(script) < 30_000
    assert not re.search(r"^\s*(import|export)\b|vendored\(", script, flags=re.MULTILINE)
    address = r"https?://(?!www\.w3\.org/2000/svg)"
    assert not re.search(rf"\beval\b|new Function|Blob|createObjectURL|innerHTML|{address}", script)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_jupyter_gets_one_module_with_everything_in_it():
    module = bundle.esm("bertviz").replace("export default", "export const figure =")
    done = subprocess.run(
        ["node", "--input-type=module", "-"],
        input=module + "\nconsole.log(typeof figure.render);",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "function\n", done.stderr


@pytest.mark.parametrize("folder", ["bertviz", "d3", "jquery"])
def test_each_brings_its_licence(folder):
    licence = (VENDOR / folder / "LICENSE").read_text(encoding="utf-8")
    assert re.search("Apache License|Redistribution and use|Permission is hereby", licence)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_libraries_leave_no_name_behind():
    """Neither before nor after a drawing: JupyterLab and the theme have names of their own."""
    script = (
        "const before = Object.keys(globalThis).join(); globalThis.window = globalThis;"
        "globalThis.define = () => { throw Error('asked for a loader'); }; define.amd = {};"
        f"{bundle.classic_script('bertviz')}"
        "delete globalThis.window; delete globalThis.define;"
        "delete globalThis.payattentionExplorables;"
        "console.log(before === Object.keys(globalThis).join(), typeof d3, typeof jQuery);"
    )
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["true", "undefined", "undefined"], done.stderr


# The parameters

theirs_stay_open = pytest.mark.filterwarnings(
    # bertviz opens its scripts and leaves it to the garbage collector to close them
    "ignore:unclosed file:ResourceWarning",
    "ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning",
)


@theirs_stay_open
def test_head_view_is_given_what_bertviz_gives():
    maps = reading()
    theirs = bertviz.head_view(
        [rounded(layer)[None] for layer in maps.weights],
        list(TOKENS),
        layer=1,
        heads=[0, 2],
        html_action="return",
    )
    ours = HeadView(maps, layer=1, heads=[0, 2]).params
    assert ours == embedded(theirs, "const params = ")


@theirs_stay_open
@pytest.mark.parametrize(("layers", "heads"), [(None, None), ([1], [2, 0])])
def test_model_view_is_given_what_bertviz_gives(layers, heads):
    maps = reading()
    theirs = bertviz.model_view(
        [rounded(layer)[None] for layer in maps.weights],
        list(TOKENS),
        include_layers=layers,
        include_heads=heads,
        display_mode="light",
        html_action="return",
    )
    ours = ModelView(maps, layers=layers, heads=heads).params
    assert ours == embedded(theirs, "const params = ")


@theirs_stay_open
def test_neuron_view_is_given_what_bertviz_gives():
    maps = reading()
    seen = [
        {
            "attn": rounded(maps.weights[layer])[None],
            "queries": rounded(maps.queries[layer])[None],
            "keys": rounded(maps.keys[layer])[None],
        }
        for layer in range(2)
    ]
    tokenizer = SimpleNamespace(
        cls_token="[CLS]",
        sep_token="[SEP]",
        tokenize=lambda sentence: list(TOKENS[1:-1]),
        convert_tokens_to_ids=lambda tokens: list(range(len(tokens))),
    )

    class Model(torch.nn.Module):
        def forward(self, ids):
            return ids, seen

    theirs = neuron_view.show(
        Model(), "bert", tokenizer, "a b c", display_mode="light", layer=1, head=2,
        html_action="return",
    )  # fmt: skip
    ours = NeuronView(maps, layer=1, head=2).params
    assert ours == embedded(theirs, "window.bertviz_params = ")


def test_a_part_of_the_layers_keeps_its_numbers():
    maps = reading(layers=5)
    view = NeuronView(maps, layers=[1, 4], layer=4, head=1)
    assert view.numbers == [1, 4] and view.params["layer"] == 1
    assert view.params["attention"]["all"]["keys"][1] == rounded(maps.keys[4]).tolist()
    assert HeadView(maps, layers=[1, 4]).params["layer"] == 1
    assert {row["layer"] for row in HeadView(maps, layers=[1, 4]).data()} == {1, 4}


# What is refused


@pytest.mark.parametrize(("view", "most"), [(HeadView, 64), (ModelView, 40), (NeuronView, 64)])
def test_too_many_tokens_are_refused_in_words(view, most):
    view(reading(("a",) * most, layers=1, heads=1))
    with pytest.raises(ValueError, match=f"got {most + 1} tokens; a browser draws at most {most}"):
        view(reading(("a",) * (most + 1), layers=1, heads=1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda maps: HeadView(maps, layer=2), r"layer: got 2; expected one of \[0, 1\]"),
        (lambda maps: HeadView(maps, heads=[3]), r"heads: got \[3\]; expected .* from 0 to 2"),
        (lambda maps: HeadView(maps, layers=[0], layer=1), r"layer: got 1; expected one of \[0\]"),
        (lambda maps: ModelView(maps, layers=[1, 1]), r"layers: got \[1, 1\]; expected different"),
        (lambda maps: ModelView(maps, heads=[]), r"heads: got \[\]"),
        (lambda maps: NeuronView(maps, head=3), "head: got 3"),
        (
            lambda maps: NeuronView(AttentionMaps("", maps.tokens, maps.weights)),
            "maps: got none of queries and keys",
        ),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build(reading())


# Where no script runs


def test_findings_name_the_largest_share_and_the_special_tokens():
    weights = torch.full((1, 2, 5, 5), 0.1)
    weights[0, 1, 3] = torch.tensor([0.0, 0.7, 0.05, 0.05, 0.2])
    weights[..., 0] += 1 - weights.sum(dim=-1)
    maps = AttentionMaps("", TOKENS, weights)
    first, special = HeadView(maps).findings()
    assert first.startswith("In layer 0, head 1, “c” gives 70% of its attention to “a”")
    # nine rows of ten give 60% and 10%, one gives 0% and 20%
    assert special == "Of all attention, 54% to [CLS] and 11% to [SEP]."
    assert HeadView(maps, heads=[0]).findings()[0].startswith("In layer 0, head 0, “a” gives 10%")


def test_model_view_counts_heads_by_where_they_look():
    places = torch.arange(5)
    before, after, same = torch.zeros(3, 5, 5)
    before[places[1:], places[1:] - 1] = after[places[:-1], places[:-1] + 1] = 1
    same[places, places] = 1
    before[0, 0] = after[4, 4] = 1
    weights = torch.stack([before, before, after, same, same, same])[None]
    found = ModelView(AttentionMaps("", TOKENS, weights)).findings()[0]
    assert found.endswith("before: 2 of 6; to the token after: 1; to the token itself: 3.")
    one = AttentionMaps("", ("a",), torch.ones(1, 1, 1, 1))
    assert ModelView(one).findings()[0].endswith("after: 0; to the token itself: 1.")


def test_neuron_view_says_the_score_that_is_shown():
    maps = data.attention_maps()[-1]
    view = NeuronView(maps, layers=[3, 4], layer=3, head=1)
    asker, asked, score, share = re.search(
        r"query of “(\w+)” and the key of “(\w+)” score (.*?); softmax makes (\d+)%",
        view.findings()[0],
    ).groups()
    scores = attention.dot_product_scores(maps.queries, maps.keys)[3, 1]
    at = maps.place(asker), maps.place(asked)
    assert float(score) == pytest.approx(scores[at].item(), abs=0.051)
    assert int(share) / 100 == pytest.approx(scores.softmax(dim=-1)[at].item(), abs=0.0051)


def test_tokens_that_are_no_words_leave_nothing_to_find():
    maps = reading((".", "[X]"))
    assert HeadView(maps).findings() == [HeadView(maps).findings()[-1]]
    assert NeuronView(maps).findings()[0].startswith("Of all attention,")
    assert HeadView(reading((".", ","))).findings() == []


@pytest.mark.parametrize("view", VIEWS)
def test_picture_and_numbers_stand_in_the_page(view):
    shown = view(reading())
    page = ET.fromstring(shown.fallback())
    svg = page.find("div").find("{http://www.w3.org/2000/svg}svg")
    assert shown.findings()[0] in svg.attrib["aria-label"]
    texts = {node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert texts >= ({"0", "1", "2"} if view is ModelView else {"[CLS]", "<b>"})
    assert view(reading(), alt="own words").words_for("A picture.") == "own words"


def test_lines_are_as_strong_as_the_weights():
    maps = data.attention_maps()[0]
    lines = re.findall(
        r'y1="([\d.]+)".*?y2="([\d.]+)".*?opacity="([\d.]+)"',
        HeadView(maps, layer=3, heads=[1]).picture(),
    )
    middles = sorted({float(y1) for y1, _, _ in lines})
    strengths = {(middles.index(float(a)), middles.index(float(b))): float(c) for a, b, c in lines}
    assert strengths[maps.place("it"), maps.place("animal")] == pytest.approx(0.677, abs=1e-3)
    assert min(strengths.values()) >= 0.02


def test_image_holds_its_pixels():
    alpha = torch.arange(35, dtype=torch.uint8).view(5, 7)
    image = b64decode(_png(alpha, "#c4500a").partition("base64,")[2])
    assert image.startswith(b"\x89PNG\r\n\x1a\n") and image.endswith(b"IEND\xaeB`\x82")
    packed = image[image.index(b"IDAT") + 4 : image.index(b"IEND") - 8]
    rows = zlib.decompress(packed)
    assert len(rows) == 5 * (1 + 4 * 7)
    assert list(rows[29:38]) == [0, 0xC4, 0x50, 0x0A, 7, 0xC4, 0x50, 0x0A, 8]


@pytest.mark.parametrize(
    "view",
    [
        lambda: HeadView(data.attention_maps()[0], layer=3, heads=[1]),
        lambda: ModelView(data.attention_maps()[0]),
        lambda: NeuronView(data.attention_maps()[-1]),
    ],
)
def test_light_enough(view):
    # the script comes on top of it, once for all views of a page
    assert len(gzip.compress(view().fallback().encode())) < 150_000
    assert len(gzip.compress(bundle.classic_script("bertviz").encode())) < 150_000


def test_rows_hold_the_shares():
    rows = HeadView(reading()).data()
    assert len(rows) == 2 * 3 * 5
    assert list(rows[0]) == ["layer", "head", "token", *(f"{i} {t}" for i, t in enumerate(TOKENS))]
    assert all(abs(sum(list(row.values())[3:]) - 1) < 0.005 for row in rows)


def test_the_base_has_no_view_of_its_own():
    with pytest.raises(NotImplementedError):
        BertViz.__new__(BertViz).as_bertviz()
