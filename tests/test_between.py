"""The figure between two images: what was measured travels whole; two languages say the same."""

import csv
import io
import json
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from made_up_answers import PLACES, between, measured

from payattention import data
from payattention.experiments import answer_vs_share
from payattention.explorables import Between, bundle
from payattention.explorables.between import first_choice, packed, thousandths, unpacked
from payattention.records import Results

FOLDER = Path(bundle.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
ENOUGH = 60_000  # bytes of the state; the stored answers come to less than half
SPACE = "\N{NO-BREAK SPACE}"


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("between")}
      const formulas = window.payattentionExplorables.between;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def by_chance(draw: random.Random, *, shares: int = 21, alpha: float = 1.0) -> Between:
    """A figure whose probabilities are drawn: first choices change often, and some are ties."""
    rows = []
    for a in (0.0, alpha):
        for pair in range(len(PLACES)):
            for place in range(shares):
                sharp = draw.choice((1, 1, 8))
                said = [draw.random() ** sharp for _ in data.FASHION_CLASSES]
                said = [1.0, 1.0, *[0.0] * 8] if draw.random() < 0.05 else said
                rows += [
                    {
                        "alpha": a,
                        "share": place / (shares - 1),
                        "pair": pair,
                        "named": named,
                        "probability": one / sum(said),
                    }
                    for named, one in enumerate(said)
                ]
    return Between(Results.from_records("answer_vs_share", rows), PLACES)


KNOWN = ("lines", "shares", "alphas", "classes")


def known(figure: Between) -> dict:
    return {name: getattr(figure, name) for name in KNOWN}


# One set of answers, two languages


@needs_node
@pytest.mark.parametrize("shares", [2, 8, 21])
def test_browser_and_library_say_the_same(shares):
    """All sentences and tables, for every pair and share of some figures."""
    draw = random.Random(shares)
    figures = [by_chance(draw, shares=shares, alpha=draw.choice((0.2, 1.0))), between()]
    for figure in figures:
        states = [
            {"pair": pair, "share": share} for pair in range(len(PLACES)) for share in figure.shares
        ]
        theirs = javascript(
            """return states.map((chosen) => ({
              said: [
                formulas.sentence(chosen, known),
                ...known.alphas.map((_, model) => formulas.along(chosen, known, model)),
              ].join(" "),
              table: formulas.csv(chosen, known),
              bars: known.alphas.map((_, model) => formulas.barsOf(chosen, known, model)),
            }));""",
            states=states,
            known=known(figure),
        )
        for state, found in zip(states, theirs, strict=True):
            figure.pair, figure.share = state["pair"], state["share"]
            assert found["said"] == " ".join(figure.findings())
            rows = list(csv.DictReader(io.StringIO(found["table"])))
            assert rows == [{k: str(v) for k, v in row.items()} for row in figure.data()]
            for model, bars in enumerate(found["bars"]):
                check_bars(figure, model, bars)


def check_bars(figure, model, bars):
    """The pair's two classes, the two largest of the others, and what is left."""
    line = figure.lines[figure.pair]
    said = line["answers"][model][figure.shares.index(figure.share)]
    sizes = dict(zip(figure.classes, said, strict=True))
    ends = [figure.classes[line[end]] for end in ("one", "other")]
    assert [bar["name"] for bar in bars[:2]] == ends
    assert [bar.get("wanted") for bar in bars] == [
        figure.share,
        pytest.approx(1 - figure.share),
        *[None] * 3,
    ]
    assert all(sizes[bar["name"]] == bar["size"] for bar in bars[:4])
    others = sorted((sizes[name] for name in {*sizes} - {*ends}), reverse=True)
    assert [bar["size"] for bar in bars[2:]] == [*others[:2], sum(others[2:])]
    assert bars[-1]["name"] == "all others"


def test_the_table_is_that_of_the_pair_in_view():
    figure = between(pair=3, share=0.2)
    rows = list(csv.DictReader(io.StringIO(figure.table)))
    assert len(rows) == 2 * 21
    assert {(row["one"], row["other"]) for row in rows} == {("pullover", "sneaker")}
    for row in rows:
        assert sum(float(row[name]) for name in data.FASHION_CLASSES) == pytest.approx(1)
    for row in measured().where(pair=3, share=0.2).records():
        [kept] = [
            one
            for one in rows
            if float(one["alpha"]) == row["alpha"] and float(one["share"]) == row["share"]
        ]
        name = data.FASHION_CLASSES[row["named"]]
        assert float(kept[name]) == pytest.approx(row["probability"], abs=1e-3)


def test_thousandths_are_a_whole():
    draw = random.Random(7)
    for _ in range(200):
        said = [draw.random() ** draw.choice((1, 9)) for _ in range(10)]
        shares = [one / sum(said) for one in said]
        parts = thousandths(shares)
        assert sum(parts) == 1000
        assert all(abs(one / 1000 - share) < 1e-3 for one, share in zip(parts, shares, strict=True))
    assert thousandths([0.0, 1.0]) == [0, 1000]
    assert first_choice([0, 4, 2, 4]) == 1


def test_an_image_travels_in_letters():
    images, _ = data.fashion("test")
    for image in images[:20]:
        assert unpacked(packed(image)).equal(image)
    assert len(packed(images[0])) == 28**2


def test_the_state_is_small():
    for figure in (between(), by_chance(random.Random(1))):
        assert len(json.dumps(figure.static_state())) < ENOUGH


def test_places_are_those_of_the_experiment():
    _, classes = data.fashion("test")
    shown = answer_vs_share.shown(classes)
    figure = Between(measured(), shown)
    ends = [(line["one"], line["other"]) for line in figure.lines]
    assert ends == list(answer_vs_share.SHOWN)


# The address


STATE = between().static_state()
OPENED = {"pair": 0, "share": 0.5}


@needs_node
def test_what_is_chosen_goes_through_the_address():
    states = [{"pair": pair, "share": share} for pair in range(6) for share in STATE["shares"]]
    addresses, there_and_back = javascript(
        """const addresses = states.map((chosen) => formulas.toAddress(chosen, opened));
        return [addresses, addresses.map((one) => formulas.fromAddress(one, opened, known))];""",
        states=states,
        opened=OPENED,
        known={name: STATE[name] for name in KNOWN},
    )
    assert there_and_back == states
    assert addresses[states.index(OPENED)] == ""
    assert addresses[states.index({"pair": 2, "share": 0.35})] == "#between?pair=2&share=0.35"


@needs_node
@pytest.mark.parametrize(
    ("wrong", "kept"),
    [
        ("#between?pair=6&share=0.35", {"share": 0.35}),
        ("#between?pair=-1&share=1.05", {}),
        ("#between?pair=1.5&share=0.33", {}),
        ("#between?pair=&share=half&colour=red", {}),
        ("#between?pair=2&share=NaN", {"pair": 2}),
        ("#pattern?pair=2", {}),
    ],
)
def test_what_is_wrong_in_an_address_is_left_out(wrong, kept):
    found = javascript(
        "return formulas.fromAddress(wrong, opened, known);",
        wrong=wrong,
        opened=OPENED,
        known={name: STATE[name] for name in KNOWN},
    )
    assert found == OPENED | kept


def test_modules_of_one_scope_have_no_name_in_common():
    """They become one script, where a second function of a name would replace the first."""
    declared = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.M)
    names = [
        name
        for module in ("figure", "between")
        for name in declared.findall((FOLDER / f"{module}.mjs").read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) > 40


# What is said


def said_by(answers, *, shares=5, **state) -> list[str]:
    """Findings where `answers(share)` are both models' probabilities, by the number of a class."""
    rows = [
        {"alpha": alpha, "share": place / (shares - 1), "pair": 0, "named": named}
        | {"probability": answers(place / (shares - 1)).get(named, 0.0)}
        for alpha in (0.0, 0.4)
        for place in range(shares)
        for named in range(10)
    ]
    return Between(Results.from_records("q", rows), [(9, 0)], **state).findings()


def test_findings_tell_what_is_asked_for_and_what_is_said():
    label, without, mixed, along, _ = said_by(lambda share: {9: share, 0: 1 - share}, share=0.25)
    assert (
        label
        == f"At λ{SPACE}={SPACE}0.25 mixup asks for 25{SPACE}% ankle boot and 75{SPACE}% T-shirt."
    )
    assert without == (
        f"Without mixup the model says T-shirt with 75{SPACE}%; ankle boot gets 25{SPACE}%, "
        f"all others 0{SPACE}%."
    )
    assert mixed == without.replace("Without mixup", f"With mixup (α{SPACE}={SPACE}0.4)")
    assert along == (
        f"Without mixup the first choice is T-shirt up to λ{SPACE}={SPACE}0.5, "
        "ankle boot from 0.75 on."
    )


@pytest.mark.parametrize(("share", "name"), [(0.0, "T-shirt"), (1.0, "ankle boot")])
def test_at_the_ends_nothing_is_mixed(share, name):
    label = said_by(lambda share: {9: 1.0}, share=share)[0]
    assert label == f"At λ{SPACE}={SPACE}{share:g} nothing is mixed: the label says {name}."


def test_a_third_class_is_told():
    said = said_by(lambda share: {8: 0.5, 9: 0.125, 0: 0.375})
    assert said[1] == (
        f"Without mixup the model says bag, neither of the two, with 50{SPACE}%; "
        f"ankle boot gets 12.5{SPACE}%, T-shirt 37.5{SPACE}%."
    )
    assert said[3] == "Without mixup the first choice is bag all along the line."


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ([0, 8, 8, 8, 9], "T-shirt up to λ = 0, bag from 0.25 to 0.75, ankle boot from 1 on."),
        ([0, 0, 8, 9, 9], "T-shirt up to λ = 0.25, bag at 0.5, ankle boot from 0.75 on."),
        ([0, 9, 0, 9, 0], "T-shirt up to λ = 0, ankle boot at 0.25, T-shirt at 0.5, .*"),
    ],
)
def test_where_the_first_choice_changes(choices, said):
    found = said_by(lambda share: {choices[round(4 * share)]: 1.0})[4].replace(SPACE, " ")
    assert re.fullmatch(f"With mixup \\(α = 0.4\\) the first choice is {said}", found)


def test_it_opens_in_the_middle():
    assert between().share == 0.5 and between().pair == 0
    assert Between(measured(shares=11), PLACES).share == 0.5
    assert between(share=0.35).share == 0.35


# What is drawn


def test_the_picture_has_both_models_and_the_chosen_share():
    figure = between(pair=2, share=0.25)
    picture = ET.fromstring(figure.picture())
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    for wanted in (
        *("bag", "sandal", "the mixture", "λ = 0.25", "1 − λ = 0.75", "λ, the share of bag"),
        *("probability, without mixup", "probability, with mixup, α = 1"),
        *("what mixup asks for", "all others"),
    ):
        assert wanted in texts
    ink, convolution = bundle.colour("ink"), bundle.colour("convolution")
    upright = [line for line in picture.iter(f"{SVG}line") if line.attrib["stroke"] == ink]
    assert len(upright) == 2
    for line in upright:
        assert float(line.attrib["x1"]) == float(line.attrib["x2"]) == 40 + 0.25 * (352 - 40)
    curves = [
        path
        for path in picture.iter(f"{SVG}path")
        if path.attrib.get("stroke") == convolution and path.attrib["d"].count("L") == 20
    ]
    assert len(curves) == 4  # the one and the other, of two models; the other one dashed
    assert ["stroke-dasharray" in path.attrib for path in curves] == [True, False] * 2
    assert picture.attrib["aria-label"] == " ".join(figure.findings())
    assert ET.fromstring(between(alt="own words").picture()).attrib["aria-label"] == "own words"


def test_the_picture_shows_the_mixture():
    """Ink by area: each square's grey times how often it is drawn."""
    figure = between(pair=1, share=0.35)
    picture = ET.fromstring(figure.picture())
    found: dict[float, float] = {}
    for path in picture.iter(f"{SVG}path"):
        if "transform" not in path.attrib:
            continue
        x = float(re.search(r"translate\(([\d.]+)", path.attrib["transform"])[1])
        pixels = sum(map(int, re.findall(r"h(\d+)v1", path.attrib["d"])))
        found[x] = found.get(x, 0) + pixels * float(path.attrib["fill-opacity"])
    images, _ = data.fashion("test")
    one, other = (images[place] for place in PLACES[1])
    expected = [image.sum().item() for image in (other, 0.35 * one + 0.65 * other, one)]
    assert [found[x] for x in sorted(found)] == pytest.approx(expected, rel=0.01)


# What is refused


def spoilt(**changes) -> Results:
    """Answers in which a row is changed."""
    results = measured()
    columns = {name: [*values] for name, values in results.columns.items()}
    for name, value in changes.items():
        columns[name][50] = value
    return Results("answer_vs_share", columns)


def without(name: str) -> Results:
    columns = {key: values for key, values in measured().columns.items() if key != name}
    return Results("answer_vs_share", columns)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: between(pair=6), "pair=6: expected a whole number from 0 to 5"),
        (lambda: between(pair=-1), "pair=-1: expected a whole number from 0 to 5"),
        (lambda: between(share=1.05), r"share=1.05: expected one of 0, 0.05, .*, 0.95, 1"),
        (lambda: between(share=-0.05), "share=-0.05: expected one of"),
        (lambda: between(share=0.33), "share=0.33: expected one of"),
        *(
            (
                lambda name=name: Between(without(name), PLACES),
                rf"results: got columns .*; expected {name} too",
            )
            for name in ("alpha", "share", "pair", "named", "probability")
        ),
        (
            lambda: Between(measured(alphas=(0.0,)), PLACES),
            "results: got the α 0; expected 0 and one more",
        ),
        (
            lambda: Between(measured(alphas=(0.2, 1.0)), PLACES),
            "results: got the α 0.2, 1; expected 0 and one more",
        ),
        (
            lambda: Between(measured().where(pair=None), PLACES),
            "results: got the α none; expected 0 and one more",
        ),
        (
            lambda: Between(spoilt(pair=None), PLACES),
            "results: α = 0, pair 0, share 0.2 has the classes 0, .*, 8; expected 0 to 9",
        ),
        (
            lambda: Between(spoilt(alpha=1.0), PLACES),
            "results: α = 1, pair 0, share 0.2 has the class 9 twice; expected it once",
        ),
        (
            lambda: Between(spoilt(share=1.2), PLACES),
            "results: got the share 1.2; expected 0 to 1",
        ),
        (
            lambda: Between(spoilt(probability=-0.5), PLACES),
            "results: α = 0, pair 0, share 0.2 has probabilities from -0.5 on that sum to",
        ),
        (
            lambda: Between(spoilt(probability=0.9), PLACES),
            "pair 0, share 0.2 has probabilities .* that sum to 1.*; expected 0 or more, and 1",
        ),
        (
            lambda: Between(measured(), PLACES[:5]),
            "places: got 5 of them; expected those of the pairs 0, 1, 2, 3, 4, 5",
        ),
        (
            lambda: Between(measured(), [*PLACES[:5], (0, 2000)]),
            r"places\[5\]=2000: expected a whole number from 0 to 1,999",
        ),
        (
            lambda: Between(measured(), [*PLACES[:5], (0, 10)]),
            r"places\[5\]=\(0, 10\): expected images of two classes",
        ),
    ],
)
def test_what_makes_no_figure_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_every_pair_and_every_share_can_be_set():
    figure = between()
    for pair in range(len(PLACES)):
        for share in figure.shares:
            figure.pair, figure.share = pair, share
            assert (figure.pair, figure.share) == (pair, share)
    assert figure.shares == [place / 20 for place in range(21)]


def test_the_mixture_is_that_of_the_experiment():
    images, _ = data.fashion("test")
    one, other = images[9], images[0]
    mixed = answer_vs_share.between(one, other, 0.35)
    assert torch.allclose(mixed, 0.35 * unpacked(packed(one)) + 0.65 * unpacked(packed(other)))
