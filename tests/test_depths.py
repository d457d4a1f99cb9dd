"""The figure of depths: two languages say the same, its address, and what it is made of."""

import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from made_up_depths import LAYERS, PASSAGES, THRESHOLDS, depths, measured, rows

from payattention import results
from payattention.experiments import depth_vs_character
from payattention.explorables import Depths, bundle
from payattention.explorables import depths as module
from payattention.explorables.depths import LETTERS, bits_at, packed, standing
from payattention.explorables.picture import tinted_text
from payattention.records import Results

FOLDER = Path(bundle.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
SPACE = "\N{NO-BREAK SPACE}"
ENOUGH = 60_000  # bytes of the state
CHOSEN = ("passage", "threshold", "place")
KNOWN = ("passages", "thresholds", "layers")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("depths")}
      const formulas = window.payattentionExplorables.depths;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def known(figure: Depths) -> dict:
    return {name: getattr(figure, name) for name in KNOWN}


def chosen(figure: Depths) -> dict:
    return {name: getattr(figure, name) for name in CHOSEN}


def states(figure: Depths) -> list[dict]:
    """Every passage and threshold, and every character at one of them."""
    found = []
    for passage, one in enumerate(figure.passages):
        for number, threshold in enumerate(figure.thresholds):
            places = range(len(one["text"])) if number == 1 else [number]
            found += [
                {"passage": passage, "threshold": threshold, "place": place} for place in places
            ]
    return found


def move(figure: Depths, state: dict) -> None:
    figure.place = 0
    for name in CHOSEN:
        setattr(figure, name, state[name])


# One set of readings, two languages


@needs_node
@pytest.mark.parametrize("which", ["made up", "stored"])
def test_browser_and_library_say_the_same(which):
    figure = depths() if which == "made up" else Depths(results.read("depth_vs_character"))
    every = states(figure)
    theirs = javascript(
        """return every.map((chosen) => ({
          said: [formulas.summary, formulas.byPlace, formulas.sentence, formulas.curve]
            .map((one) => one(chosen, known)),
          table: chosen.place === 2 ? formulas.csv(chosen, known) : "",
          counts: formulas.counts(chosen, known),
        }));""",
        every=every,
        known=known(figure),
    )
    for state, found in zip(every, theirs, strict=True):
        move(figure, state)
        assert found["said"] == figure.findings()
        read = figure._read()["depths"]
        assert found["counts"] == [read.count(str(n + 1)) for n in range(figure.layers)]
        if found["table"]:
            table = list(csv.DictReader(io.StringIO(found["table"])))
            assert table == [{k: str(v) for k, v in row.items()} for row in figure.data()]


def test_the_table_is_that_of_the_passage_and_threshold_in_view():
    figure = depths(passage=1, threshold=0.9)
    table = list(csv.DictReader(io.StringIO(figure.table)))
    [row] = [
        one
        for one in rows()
        if one["text"] == figure.passages[1]["text"] and one["threshold"] == 0.9
    ]
    assert "".join(one["layers"] for one in table) == row["depths"]
    assert [round(100 * float(one["bits"])) for one in table] == [
        int(one) for one in row["bits"].split()
    ]
    assert [one["character"] for one in table] == [module.named(one) for one in row["text"]]
    assert table[7]["character"] == "line end" and table[11]["character"] == "space"


def test_bits_travel_in_two_letters():
    for count in (0, 1, 63, 64, 4095):
        assert bits_at(packed(f"7 {count}"), 1) == count
    assert bits_at(packed("999999"), 0) == len(LETTERS) ** 2 - 1
    with pytest.raises(ValueError, match=r"bits: got '1.5'; expected hundredths"):
        packed("3 1.5")


def test_the_state_is_small():
    assert len(json.dumps(Depths(results.read("depth_vs_character")).static_state())) < ENOUGH


def test_modules_of_one_scope_have_no_name_in_common():
    """They become one script, where a second function of a name would replace the first."""
    declared = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.M)
    names = [
        name
        for one in ("figure", "depths")
        for name in declared.findall((FOLDER / f"{one}.mjs").read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) > 40


def test_letters_and_kinds_are_the_same_on_both_sides():
    text = (FOLDER / "depths.mjs").read_text(encoding="utf-8")
    assert f'"{LETTERS}"' in text
    assert json.dumps([*module.PLACES]) in text
    assert module.PLACES == depth_vs_character.PLACES
    assert set(module.KINDS) == set(depth_vs_character.KINDS)


# The address


@needs_node
def test_what_is_chosen_goes_through_the_address():
    figure = depths()
    every, opened = states(figure), chosen(figure)
    addresses, back = javascript(
        """const addresses = every.map((chosen) => formulas.toAddress(chosen, opened));
        return [addresses, addresses.map((one) => formulas.fromAddress(one, opened, known))];""",
        every=every,
        opened=opened,
        known=known(figure),
    )
    assert back == every
    assert len(set(addresses)) == len(every)
    assert javascript("return formulas.toAddress(opened, opened);", opened=opened) == ""
    other = {"passage": 2, "threshold": 0.5, "place": 12}
    assert addresses[every.index(other)] == "#depths?passage=2&threshold=0.5&place=12"


@needs_node
@pytest.mark.parametrize(
    ("fragment", "kept"),
    [
        ("#depths?passage=3&threshold=0.5", {"threshold": 0.5}),
        ("#depths?passage=-1&threshold=0.55&place=-1", {}),
        ("#depths?passage=1.5&place=4.5", {}),
        ("#depths?passage=&threshold=half&place=&colour=red", {}),
        ("#depths?place=9999&passage=2&threshold=NaN", {"passage": 2}),
        ("#depths?place=66&passage=0", {"place": 66}),
        ("#depths?place=66", {"place": 66}),
        ("#between?passage=2", {}),
        ("", {}),
    ],
)
def test_what_is_wrong_in_an_address_is_left_out(fragment, kept):
    figure = depths(place=5)
    found = javascript(
        "return formulas.fromAddress(fragment, opened, known);",
        fragment=fragment,
        opened=chosen(figure),
        known=known(figure),
    )
    assert found == chosen(figure) | kept


@needs_node
def test_what_cannot_be_is_named():
    figure = depths()
    found = javascript(
        "return changes.map((one) => formulas.faults({ ...opened, ...one }, known));",
        changes=[{}, {"passage": 3}, {"threshold": 0.7}, {"place": 500}, {"place": "1"}],
        opened=chosen(figure),
        known=known(figure),
    )
    assert found == [[], ["passage", "place"], ["threshold"], ["place"], ["place"]]


def test_a_shorter_passage_takes_its_last_character():
    figure = depths()
    lengths = [len(text) for text in PASSAGES.values()]
    assert lengths[0] > lengths[2]
    figure.place = lengths[0] - 1
    figure.passage = 2
    assert figure.place == lengths[2] - 1


# What is said


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("Go, I say", 0, "“G” of “Go”"),
        ("Go, I say", 2, "“,” behind “Go”"),
        ("Go, I say", 3, "The space behind “Go,”"),
        ("Go, I say", 8, "“y” of “say”"),
        ("whereso'er I", 7, "“'” of “whereso'er”"),
        ("'Some are", 0, "“'” in front of “Some”"),
        ("yes\n'Some", 4, "“'” in front of “Some”"),
        ("great,'--\n\nHa", 7, "“-” behind “great”"),
        ("great,'--\n\nHa", 9, "The line end behind “great,'--”"),
        ("great,'--\n\nHa", 10, "The empty line"),
        ("a  b", 2, "A space"),
        ("--", 1, "“-”"),
    ],
)
def test_a_character_is_told_with_its_word(text, place, said):
    assert standing(text, place) == said
    if shutil.which("node"):
        theirs = javascript("return formulas.standing(text, place);", text=text, place=place)
        assert theirs == said


def figure_of(**changes) -> Depths:
    """Two letters, a mark and a space, read by three layers: row by row, with changes."""
    text = {"kind": "verse", "play": "king-john", "text": "Go, ", "places": "1243"}
    read = {"depths": "3333", "bits": "400 100 0 300", "said": "Go, ", "flops": 30.0}
    return Depths(
        Results.from_records(
            "q",
            [
                text | read | {"threshold": None},
                text | read | {"threshold": 0.5, "depths": "3211", "flops": 24.0} | changes,
                text | read | {"threshold": 1.0, "flops": 33.0},
            ],
        ),
        threshold=changes.get("shown", 0.5),
        place=1,
    )


def test_findings_tell_layers_operations_and_bits():
    summary, by_place, character, curve = figure_of(said="Ga, ", bits="400 250 0 300").findings()
    assert summary == (
        f"Sure enough at 0.5: 1.8 of 3 layers on average. With doors, and keys and values owed, "
        f"that is 80{SPACE}% of the whole model’s operations, for 2.38 bits a character; the whole "
        "model needs 2.00."
    )
    assert by_place == (
        "Layers on average: first letters 3.0, further letters 2.0, spaces and line ends 1.0, "
        "other marks 1.0."
    )
    assert character == (
        "“o” of “Go”, after 2 of 3 layers: 2.50 bits, first choice “a”. "
        "The whole model: 1.00 bits, first choice “o”."
    )
    assert curve == (
        f"From a threshold of 0.5 to one of 1 the operations go from 80{SPACE}% to 110{SPACE}% of "
        "the whole model’s, and the bits a character from 2.38 to 2.00."
    )


def test_where_nobody_leaves_the_doors_come_on_top():
    assert figure_of(shown=1.0).findings()[0] == (
        f"Sure enough at 1: nobody leaves. The doors come on top: 110{SPACE}% of the whole model’s "
        "operations, for 2.00 bits a character; the whole model needs 2.00."
    )


def test_it_opens_in_the_middle_and_tells_of_one_that_leaves():
    figure = depths()
    assert figure.threshold == THRESHOLDS[2] and figure.passage == 0
    read = figure._read()["depths"]
    assert int(read[figure.place]) < LAYERS
    assert {*read[: figure.place]} <= {str(LAYERS)}
    assert depths(place=0).place == 0
    assert depths(threshold=1.0).place == 0  # nobody leaves


def test_the_cheap_point_is_not_shown():
    assert [one["text"] for one in depths().passages] == [*PASSAGES.values()]
    assert [one["name"] for one in depths().passages] == [
        "King John, verse",
        "Twelfth Night, prose",
        "Twelfth Night, an exchange",
    ]


# What is drawn


def test_the_picture_has_every_character_and_its_layers():
    figure = depths(passage=2, threshold=0.5, place=3)
    picture = ET.fromstring(figure.picture())
    read = figure._read()["depths"]
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    text = figure.passages[2]["text"]
    lines = [one for one in texts if "¶" in one or one == "OLIVIA:"]
    assert "".join(lines) == text.replace("\n", "¶")
    assert "Twelfth Night, an exchange, sure enough at 0.5" in texts
    for layer in range(1, LAYERS + 1):
        assert f"{layer} layer{'s' if layer > 1 else ''}: {read.count(str(layer))}" in texts
    grounds = [
        path for path in picture.iter(f"{SVG}path") if float(path.attrib.get("fill-opacity", 1)) < 1
    ]
    assert [path.attrib["d"].count("M") for path in grounds] == [
        read.count(layer) for layer in sorted({*read})
    ]
    inks = [float(path.attrib["fill-opacity"]) for path in grounds]
    assert inks == sorted(inks) and inks[-1] <= 0.5
    assert picture.attrib["aria-label"] == " ".join(figure.findings()[:3])
    assert ET.fromstring(depths(alt="own").picture()).attrib["aria-label"] == "own"


def test_the_second_picture_is_the_curve():
    figure = depths(threshold=0.5)
    label, chart = figure.examples().split("\n", 1)
    assert "Bits and operations" in label
    picture = ET.fromstring(chart)
    assert picture.attrib["aria-label"] == figure.findings()[3]
    [curve] = [
        path
        for path in picture.iter(f"{SVG}path")
        if path.attrib["stroke"] == bundle.colour("time")
    ]
    assert curve.attrib["d"].count("L") == len(THRESHOLDS) - 1
    assert {"at 0.5", "the whole model"} <= {one.text for one in picture.iter(f"{SVG}text")}


def test_a_long_line_of_a_tinted_text_is_broken_at_a_space():
    text = "word " * 30 + "¶" + "x" * 60
    drawn = tinted_text(
        text,
        [1] * len(text),
        levels=1,
        idea="time",
        names=["1"],
        title="",
        marked=0,
        alt="",
    )
    picture = ET.fromstring(drawn)
    found = [one for one in picture.iter(f"{SVG}text") if " " in one.attrib["x"]]
    assert "".join(one.text for one in found) == text
    assert all(len(one.text) == len(one.attrib["x"].split()) <= 53 for one in found)
    assert all(one.text.endswith(" ") for one in found[:2])


# What is refused


def without(name: str) -> Results:
    columns = {key: values for key, values in measured().columns.items() if key != name}
    return Results("depth_vs_character", columns)


def spoilt(row: int, **changes) -> Results:
    """Readings in which one is changed."""
    records = rows()
    records[row] |= changes
    return Results.from_records("depth_vs_character", records)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: depths(passage=3), "passage=3: expected a whole number from 0 to 2"),
        (lambda: depths(threshold=0.7), "threshold=0.7: expected one of 0, 0.5, 0.9, 1"),
        (lambda: depths(place=-1), "place=-1: expected a whole number from 0 to"),
        (lambda: depths(passage=2, place=67), "place=67: expected a whole number from 0 to 58"),
        *(
            (lambda name=name: Depths(without(name)), f"got columns .*; expected {name} too")
            for name in module.COLUMNS
        ),
        (
            lambda: Depths(measured(thresholds=())),
            "results: got no threshold; expected one or more",
        ),
        (lambda: Depths(Results.from_records("q", rows()[1:])), "has the thresholds .*None and"),
        (lambda: Depths(Results.from_records("q", rows()[:-1])), "has the thresholds"),
        (lambda: Depths(Results.from_records("q", rows() + rows()[-1:])), "has the thresholds"),
        (lambda: Depths(spoilt(0, depths="5" + "6" * 67)), "have the depths 5, 6; expected one"),
        (lambda: Depths(spoilt(1, depths="7" * 68)), "depths has '7'; expected 1 to 6"),
        (lambda: Depths(spoilt(2, depths="6")), "has 1 depths; expected 68"),
        (lambda: Depths(spoilt(2, bits="6 7")), "has 2 bits; expected 68"),
        (lambda: Depths(spoilt(2, bits="-1 " * 68)), "bits: got '-1'; expected hundredths"),
        (lambda: Depths(spoilt(3, places="5" * 68)), "places has '5'; expected 0 to 4"),
        (lambda: Depths(spoilt(3, flops=0.0)), "flops=0.0: expected a number above 0"),
    ],
)
def test_what_makes_no_figure_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
