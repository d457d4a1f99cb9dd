"""The map of mixup: one sentence in two languages, its address, and what it is made of."""

import csv
import io
import json
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from mixing_cells import made_up

from payattention.experiments import error_vs_mixing
from payattention.explorables import MixingMap, bundle, mixing
from payattention.explorables.mixing_map import IDEAS
from payattention.records import Results

FOLDER = Path(bundle.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
CHOSEN = ("kind", "metric", "alpha", "labels", "wrong")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
NO_BREAK = "\N{NO-BREAK SPACE}"
ONE = {"kind": "digits, CNN", "labels": 200, "wrong": 0.4, "alpha": 1.0, "metric": "error"}
ONE |= {"plain": 0.379, "mixed": 0.333, "more": -0.046, "low": -0.053, "high": -0.039, "seen": True}


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("mixing_map")}
      const formulas = window.payattentionExplorables.mixing_map;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def chosen(figure: MixingMap) -> dict:
    return {name: getattr(figure, name) for name in CHOSEN}


def any_cell(draw: random.Random) -> dict:
    """One of any size; some lie in the middle between two numbers that can be said."""
    plain, more = draw.choice((0.0, draw.random(), 3 * draw.random())), draw.gauss(0, 0.05)
    more = draw.choice((more, round(800 * more) / 800, more / 1000, 0.0))
    half = draw.choice((0.0, abs(draw.gauss(0, 0.02)), 1 / 800))
    return {
        "kind": draw.choice(("digits, CNN", "clothes, ViT", "toString", "letters, MLP")),
        "labels": draw.choice((7, 50, 1000, 54_321)),
        "wrong": draw.choice((0.0, 0.05, 0.2, 0.333, 0.4, 1.0)),
        "alpha": draw.choice((0.1, 0.25, 1.0, 2.0, 16.0)),
        "metric": draw.choice([*mixing.METRICS]),
        "plain": plain,
        "mixed": max(plain + more, 0.0),
        "more": more,
        "low": more - half,
        "high": more + half,
        "seen": draw.random() < 0.5,
    }


# One sentence, two languages


@needs_node
def test_browser_and_library_say_the_same():
    """Sentences, squares and verdicts of a thousand comparisons of any size."""
    draw = random.Random(3)
    cells = [any_cell(draw) for _ in range(1000)]
    theirs = javascript(
        """return cells.map((cell) => [
          formulas.sentence(cell), formulas.inShort(cell), formulas.signed(cell),
          formulas.verdictOf(cell),
        ]);""",
        cells=cells,
    )
    say = (mixing.sentence, mixing.in_short, mixing.signed, mixing.verdict)
    for cell, found in zip(cells, theirs, strict=True):
        assert found == [one(cell) for one in say], cell
    # in the middle between two numbers that can be said, where languages differ
    assert any(400 * cell["more"] % 2 == 1 for cell in cells if cell["metric"] == "error")


@needs_node
def test_every_state_of_the_map_is_told_alike():
    figure = MixingMap(made_up())
    theirs = javascript(
        """return cells.map((cell) => [formulas.sentence(cell), formulas.count(cell, cells)]);""",
        cells=figure.cells,
    )
    for cell, found in zip(figure.cells, theirs, strict=True):
        for name in CHOSEN:
            setattr(figure, name, cell[name])
        assert chosen(figure) == {name: cell[name] for name in CHOSEN}
        assert found == figure.findings()[:2]


@needs_node
def test_another_kind_takes_the_nearest_of_what_it_has():
    figure = MixingMap(made_up())
    states = [{name: cell[name] for name in CHOSEN} for cell in figure.cells]
    before = [state | {"kind": kind} for state in states for kind in error_vs_mixing.KINDS]
    theirs = javascript(
        "return before.map((one) => formulas.settled(one, cells));",
        before=before,
        cells=figure.cells,
    )
    for place, (now, found) in enumerate(zip(before, theirs, strict=True)):
        for name, value in states[place // 3].items():
            setattr(figure, name, value)
        figure.kind = now["kind"]
        assert chosen(figure) == found
    moved = MixingMap(made_up(), kind="digits, CNN", labels=50, wrong=0.2, alpha=2.0)
    moved.kind = "clothes, ViT"
    assert (moved.labels, moved.wrong, moved.alpha) == (200, 0.0, 1.0)


def test_modules_of_one_scope_have_no_name_in_common():
    """They become one script, where a second function of a name would replace the first."""
    declared = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.M)
    names = [
        name
        for module in ("figure", "mixing_map")
        for name in declared.findall((FOLDER / f"{module}.mjs").read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) > 40


# The address


@needs_node
def test_what_is_chosen_goes_through_the_address():
    figure = MixingMap(made_up())
    states = [{name: cell[name] for name in CHOSEN} for cell in figure.cells]
    fragments, back = javascript(
        """const fragments = states.map((one) => formulas.toAddress(one, opened));
        return [fragments, fragments.map((one) => formulas.fromAddress(one, opened, cells))];""",
        states=states,
        opened=chosen(figure),
        cells=figure.cells,
    )
    assert back == states
    assert len(set(fragments)) == len(states)
    assert fragments[states.index(chosen(figure))] == ""


@needs_node
@pytest.mark.parametrize(
    ("fragment", "changes"),
    [
        ("#mixing_map?kind=toString&metric=constructor&alpha=0.3&labels=51&wrong=", {}),
        ("#mixing_map?alpha=&colour=red&labels=0x32&wrong=-0.4", {"labels": 50}),
        ("#mixing_map?metric=ece&alpha=nan&labels=200.5&wrong=20%25", {"metric": "ece"}),
        ("#mixing_map?labels=1000&wrong=0.20&alpha=2", {"labels": 1000, "wrong": 0.2, "alpha": 2}),
        # what the other kind has not: the nearest to how the figure opened
        ("#mixing_map?labels=50&wrong=0.2&alpha=0.1&kind=clothes%2C+ViT", {"kind": "clothes, ViT"}),
        ("#mixing_map?kind=letters&labels=50", {"labels": 50}),
        ("#mixing_map?kind=clothes, CNN&labels=5000", {"kind": "clothes, CNN", "labels": 5000}),
        ("#pattern?labels=1000", {}),
        ("", {}),
    ],
)
def test_what_is_wrong_in_an_address_is_left_out(fragment, changes):
    figure = MixingMap(made_up(), labels=200, wrong=0.4, alpha=1.0)
    found = javascript(
        "return formulas.fromAddress(fragment, opened, cells);",
        fragment=fragment,
        opened=chosen(figure),
        cells=figure.cells,
    )
    assert found == chosen(figure) | changes


@needs_node
def test_what_cannot_be_is_named():
    figure = MixingMap(made_up())
    found = javascript(
        "return changes.map((one) => formulas.faults({ ...opened, ...one }, cells));",
        changes=[{}, {"kind": "x"}, {"metric": "x", "labels": 5}, {"wrong": 1}, {"alpha": "1"}],
        opened=chosen(figure),
        cells=figure.cells,
    )
    assert found == [[], ["kind"], ["metric", "labels"], ["wrong"], ["alpha"]]


# What is said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {},
            "Digits, a CNN, 200 labels, 40 % of them wrong, α = 1: the error falls by "
            "4.6 points (3.9 to 5.3), from 37.9 % to 33.3 %.",
        ),
        (
            {"more": 0.002, "low": -0.003, "high": 0.007, "mixed": 0.381, "seen": False},
            "Digits, a CNN, 200 labels, 40 % of them wrong, α = 1: no effect on the error seen: "
            "0.2 points more (−0.3 to 0.7), from 37.9 % to 38.1 %.",
        ),
        (
            {"seen": False, "wrong": 0.0, "kind": "letters"},
            "letters, 200 labels, all of them right, α = 1: no effect on the error seen: "
            "4.6 points less (3.9 to 5.3), from 37.9 % to 33.3 %.",
        ),
        (
            {"metric": "nll", "more": 0.125, "low": 0.1, "high": 0.15, "plain": 1, "mixed": 1.125},
            "Digits, a CNN, 200 labels, 40 % of them wrong, α = 1: the negative log-likelihood "
            "rises by 0.13 nats (0.10 to 0.15), from 1.00 to 1.13.",
        ),
        (
            {"metric": "ece", "labels": 5000, "alpha": 0.1, "kind": "clothes, ViT"},
            "Clothes, a ViT, 5,000 labels, 40 % of them wrong, α = 0.1: the calibration error "
            "falls by 4.6 points (3.9 to 5.3), from 37.9 % to 33.3 %.",
        ),
    ],
)
def test_a_comparison_in_words(change, said):
    sentence = mixing.sentence(ONE | change)
    assert sentence.replace(NO_BREAK, " ") == said
    assert f"α{NO_BREAK}={NO_BREAK}" in sentence
    assert MixingMap([ONE | change]).findings()[0] == sentence


@pytest.mark.parametrize(
    ("more", "number"),
    [(-0.046, "−4.6"), (0.002, "+0.2"), (0.0, "0.0"), (4e-4, "0.0"), (-4e-4, "0.0")],
)
def test_a_number_has_its_sign(more, number):
    assert mixing.signed({"metric": "error", "more": more}) == number


def test_the_map_is_counted():
    helps, hurts = {}, {"more": 0.046, "low": 0.039, "high": 0.053}
    nothing = {"seen": False}

    def counted(*changes):
        cells = [ONE | {"alpha": alpha} | one for alpha, one in enumerate(changes, start=1)]
        return MixingMap(cells).findings()[1]

    assert counted(helps, helps, hurts, nothing) == (
        "Digits, a CNN: mixup lowers the error in 2 of 4 comparisons and raises it in 1; "
        "in 1 no effect is seen."
    )
    assert counted(hurts).endswith("lowers the error in none of 1 comparisons and raises it in 1.")
    assert counted(nothing, nothing).endswith(
        "in none of 2 comparisons and raises it in none; in 2 no effect is seen."
    )


def test_every_kind_and_metric_is_counted_once():
    figure = MixingMap(made_up(), kind="clothes, CNN", metric="nll")
    _, *counts, last = figure.findings()
    assert len(set(counts)) == len(counts) == 9
    assert counts[0].startswith("Clothes, a CNN: mixup lowers the negative log-likelihood")
    numbers = [int(re.search(r"of (\d+) comparisons", said)[1]) for said in counts]
    assert sum(numbers) == len(figure.cells) and f"all {sum(numbers)} comparisons" in last


def test_it_opens_at_the_largest_effect_of_what_is_asked():
    figure = MixingMap(made_up())
    assert (figure.kind, figure.metric, figure.alpha) == ("digits, CNN", "error", 1.0)
    sizes = [
        abs(cell["more"])
        for cell in figure.cells
        if cell["seen"]
        and (cell["kind"], cell["metric"], cell["alpha"]) == ("digits, CNN", "error", 1.0)
    ]
    assert abs(figure.cell()["more"]) == max(sizes)
    given = MixingMap(made_up(), kind="clothes, ViT", wrong=0.0, alpha=0.2, metric="ece")
    assert (given.kind, given.wrong, given.alpha, given.metric) == ("clothes, ViT", 0, 0.2, "ece")
    few = [ONE | {"alpha": alpha, "labels": n} for alpha in (0.2, 0.4) for n in (5, 7)]
    assert MixingMap(few, labels=7).alpha == 0.4


# What is drawn


def test_the_picture_has_a_square_for_each_cell():
    figure = MixingMap(made_up(), kind="digits, CNN", metric="nll", alpha=0.4)
    picture = ET.fromstring(figure.picture())
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts[:2] == [
        f"Digits, a CNN, {mixing.alpha_is(0.4)}",
        "Change of the negative log-likelihood in nats",
    ]
    shown = [figure.cell(labels=n, wrong=w) for w in (0.0, 0.2, 0.4) for n in (50, 200, 1000)]
    fills = [
        rect.attrib["fill"] for rect in picture.iter(f"{SVG}rect") if rect.attrib["fill"] != "none"
    ]
    assert fills == [bundle.colour(IDEAS[mixing.verdict(cell)]) for cell in shown]
    words = [word for word in texts if word in mixing.VERDICTS.values()]
    assert words == [mixing.VERDICTS[mixing.verdict(cell)] for cell in shown]
    assert [text for text in texts if re.fullmatch(r"[+−]?\d+\.\d\d", text)] == [
        mixing.signed(cell) for cell in shown
    ]
    for cell in shown:
        assert mixing.in_short(cell) in picture.attrib["aria-label"]


def test_the_table_holds_the_whole_map():
    figure = MixingMap(made_up(), kind="clothes, ViT", metric="ece")
    rows = list(csv.DictReader(io.StringIO(figure.table)))
    assert len(rows) == len(figure.cells) == 243
    for row, cell in zip(rows, figure.cells, strict=True):
        assert row["verdict"] == mixing.verdict(cell)
        assert all(row[name] == str(cell[name]) for name in mixing.COLUMNS)
    assert made_up()[0]["more"] == pytest.approx(figure.cells[0]["more"], rel=1e-5)


# What it is made of


@pytest.fixture(scope="module")
def results():
    """Made-up trainings of a small map: mixup helps where labels are wrong."""
    draw = random.Random(7)
    part = error_vs_mixing.Map("digits, CNN", (50, 200), (0.0, 0.4), (0.0, 1.0))
    config = replace(error_vs_mixing.FULL, maps=(part,), seeds=5)
    records = []
    for point in error_vs_mixing.points(config):
        gain = 0.1 * point["wrong"] * point["alpha"]
        score = {"error": 0.4, "nll": 1.2, "ece": 0.1}
        found = {name: level - gain + draw.gauss(0, 0.003) for name, level in score.items()}
        records.append(point | found)
    return Results.from_records("error_vs_mixing", records)


def test_the_experiment_gives_the_cells_of_the_map(results):
    cells = error_vs_mixing.cells(results)
    effects = error_vs_mixing.effects(results)
    assert len(cells) == len(effects) == 2 * 2 * 3
    for cell in cells:
        assert tuple(cell) == tuple(ONE)
        place = tuple(cell[name] for name in ("kind", "labels", "wrong", "alpha", "metric"))
        effect = effects[place]
        assert mixing.verdict(cell) == effect.verdict
        assert (cell["more"], cell["seen"]) == (effect.more, effect.seen)
        assert cell["mixed"] - cell["plain"] == pytest.approx(effect.more, abs=1e-12)
        runs = results.where(kind=place[0], labels=place[1], wrong=place[2], alpha=0.0)
        assert cell["plain"] == pytest.approx(runs.column(place[4]).mean())
    figure = MixingMap(cells)
    assert figure.findings()[1] == (
        "Digits, a CNN: mixup lowers the error in 2 of 4 comparisons and raises it in none; "
        "in 2 no effect is seen."
    )
    assert (figure.kind, figure.wrong) == ("digits, CNN", 0.4)


def test_metrics_and_kinds_are_those_of_the_experiment():
    assert tuple(mixing.METRICS) == error_vs_mixing.METRICS
    for name, (times, unit, digits) in error_vs_mixing.UNITS.items():
        metric = mixing.METRICS[name]
        assert (metric.times, metric.unit, metric.digits) == (times, unit, digits)
    assert set(mixing.NAMES) == set(error_vs_mixing.KINDS)


def without(name):
    return {key: value for key, value in ONE.items() if key != name}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MixingMap([]), "cells: got none; expected a record of each comparison"),
        (lambda: MixingMap([without("plain")]), "cells: got one of kind, .*; expected plain too"),
        (lambda: MixingMap([without("seen")]), "expected seen too"),
        (lambda: MixingMap([ONE | {"metric": "loss"}]), "cells: metric='loss': expected one of er"),
        (lambda: MixingMap([ONE | {"labels": 0}]), "cells: labels=0: expected a whole number"),
        (lambda: MixingMap([ONE | {"alpha": 0.0}]), "cells: alpha=0.0: expected a number above 0"),
        (lambda: MixingMap([ONE | {"wrong": 40}]), "cells: wrong=40: expected a share, at most 1"),
        (lambda: MixingMap([ONE | {"more": float("nan")}]), "cells: more=nan: expected a finite"),
        (lambda: MixingMap([ONE | {"plain": None}]), "cells: plain=None: expected a finite number"),
        (
            lambda: MixingMap([ONE | {"low": -0.03}]),
            "cells: low=-0.03, more=-0.046, high=-0.039: expected them in this order",
        ),
        (lambda: MixingMap([ONE, ONE]), "cells: got two of kind='digits, CNN', metric='error', la"),
        (
            lambda: MixingMap([ONE, ONE | {"labels": 50, "wrong": 0.0}]),
            "cells: got none of kind='digits, CNN', metric='error', labels=50, wrong=0.4, alpha=1",
        ),
        (
            lambda: MixingMap([ONE, ONE | {"kind": "clothes, CNN", "metric": "nll"}]),
            "cells: got none of kind='digits, CNN', metric='nll'",
        ),
        (lambda: MixingMap([ONE], kind="letters"), "kind='letters': expected one of digits, CNN"),
        (lambda: MixingMap([ONE], metric="nll"), "metric='nll': expected one of error"),
        (
            lambda: MixingMap([ONE], alpha=0.3),
            "alpha=0.3: expected one of 1, as 'digits, CNN' has them",
        ),
        (lambda: MixingMap([ONE], labels=0), "labels=0: expected one of 200"),
        (lambda: MixingMap([ONE], wrong=0.0), "wrong=0.0: expected one of 0.4"),
    ],
)
def test_what_no_control_reaches_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(("name", "value"), [("labels", "200"), ("alpha", True)])
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(TypeError, match=f"cells: {name}"):
        MixingMap([ONE | {name: value}])


def test_a_value_that_is_set_later_is_checked_too():
    figure = MixingMap(made_up())
    for name, value in {
        "kind": "x",
        "metric": "x",
        "labels": 51,
        "wrong": 0.3,
        "alpha": 3.0,
    }.items():
        with pytest.raises(ValueError, match=f"{name}={value!r}: expected one of"):
            setattr(figure, name, value)
