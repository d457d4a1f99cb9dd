"""The pattern: one set of rules in two languages, what is drawn by hand, and what is said of it."""

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

from payattention import patterns
from payattention.explorables import Pattern, bundle
from payattention.explorables.pattern import RANGES
from payattention.explorables.patterning import RULES, heard_by, packed, rule_of, unpacked
from payattention.records import Results
from payattention.sparse_plan import plan

FOLDER = Path(bundle.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
TIMES = Results(
    "time_vs_pattern",
    {
        "way": ["dense", "dense", "window", "fixed", "window", "dense"],
        "tokens": [4096, 4096, 4096, 4096, 1024, 1024],
        "size": [None, None, 64, 64, 64, None],
        "seconds": [0.9, 1.1, 0.25, 0.5, 0.2, 0.1],
    },
)


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("pattern")}
      const formulas = window.payattentionExplorables.pattern;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def drawn_by_chance(draw: random.Random, tokens: int) -> torch.Tensor:
    share = draw.choice((0.02, 0.1, 0.5))
    return torch.tensor([[draw.random() < share for _ in range(tokens)] for _ in range(tokens)])


def any_state(draw: random.Random) -> dict:
    tokens = draw.choice((24, 27, 31, 32))
    return {
        "tokens": tokens,
        "preset": draw.choice([*RULES, "own"]),
        "size": draw.randint(1, 16),
        "count": draw.randint(1, 8),
        "back": draw.random() < 0.5,
        "seed": draw.randint(0, 9999),
        "own": packed(drawn_by_chance(draw, tokens)),
        "token": draw.randint(1, tokens),
        "layers": draw.randint(1, 6),
        "long_tokens": draw.choice((1024, 2048)),
        "long_size": draw.choice((16, 50, 64, 1024)),
    }


# One set of rules, two languages


@needs_node
def test_browser_and_library_allow_the_same_and_say_the_same():
    """Masks, reach, sentences, pairs over a long text and tables, over 300 settings."""
    draw = random.Random(3)
    figures = [Pattern(times=TIMES, **any_state(draw)) for _ in range(300)]
    theirs = javascript(
        """return states.map((chosen) => {
          const mask = formulas.maskOf(chosen, chosen.tokens);
          return {
            mask: formulas.packed(mask),
            heard: formulas.heardBy(mask, chosen.token - 1, chosen.layers),
            said: formulas.sentence(mask, chosen),
            table: formulas.csv(mask, chosen),
            long: chosen.preset === "own" ? null : formulas.atLength(chosen, chosen.times),
          };
        });""",
        states=[figure.static_state() for figure in figures],
    )
    for figure, found in zip(figures, theirs, strict=True):
        mask = figure.mask()
        assert found["mask"] == packed(mask), figure.static_state()
        assert found["heard"] == heard_by(mask, figure.token - 1, layers=figure.layers)
        assert found["table"] == figure.table
        said = " ".join(figure.findings())
        assert said.startswith(found["said"])
        if found["long"]:
            long = "{title}: {result}. {clock}".format(**found["long"]).strip()
            assert said.endswith(long), (said, long)


@needs_node
def test_pairs_of_long_texts_are_those_of_the_library():
    """Counted row by row in the browser, over 240 settings, and as many as are planned."""
    draw = random.Random(4)
    settings = [
        {
            "preset": draw.choice([*RULES]),
            "size": draw.choice((1, 2, 7, 16, 50, 64, 333, 1024)),
            "count": draw.randint(1, 8),
            "back": draw.random() < 0.5,
            "seed": draw.randint(0, 9999),
            "own": "",
        }
        for _ in range(240)
    ]
    lengths = [draw.choice((1, 5, 100, 1024, 1531)) for _ in settings]
    theirs = javascript(
        "return settings.map((one, i) => formulas.pairsOf(one, lengths[i]));",
        settings=settings,
        lengths=lengths,
    )
    for number, (setting, tokens, found) in enumerate(zip(settings, lengths, theirs, strict=True)):
        preset, rest = setting["preset"], {k: setting[k] for k in ("size", "count", "back", "seed")}
        rule = rule_of(preset, tokens, **rest)
        assert found == rule.pairs(tokens), (setting, tokens)
        if number % 20 == 0:
            assert found == plan(rule, tokens).pairs


@needs_node
def test_the_longest_text_is_counted_at_once():
    settings = [
        {"preset": preset, "size": 64, "count": 2, "back": True, "seed": 1, "own": ""}
        for preset in RULES
    ]
    pairs, milliseconds = javascript(
        """const start = performance.now();
        const pairs = settings.map((one) => formulas.pairsOf(one, 32768));
        return [pairs, performance.now() - start];""",
        settings=settings,
    )
    for setting, found in zip(settings, pairs, strict=True):
        if setting["preset"] != "dense":  # whose square takes the library seconds
            rule = rule_of(setting["preset"], 32_768, size=64, count=2, seed=1)
            assert found == rule.pairs(32_768)
    assert pairs[0] == 32_768 * 32_769 // 2
    assert milliseconds < 2000


def test_the_rules_are_those_of_the_papers():
    for size, count in ((3, 1), (5, 2)):
        assert mask_of("strided", size).equal(patterns.strided(size).mask(24))
        assert mask_of("fixed", size, count).equal(patterns.fixed(size, count=count).mask(24))
        assert mask_of("window", size).equal(patterns.causal_window(size).mask(24))
    assert mask_of("fixed", 2, 7).equal(patterns.CAUSAL.mask(24))  # a block has no more than it has


def mask_of(preset, size, count=1):
    return Pattern(preset=preset, size=size, count=count).mask()


def test_news_reaches_the_last_token_as_the_library_says():
    for pattern in (patterns.causal_window(3), patterns.strided(4), patterns.fixed(5)):
        found = heard_by(pattern.mask(23), 22, layers=3)
        assert found == pattern.reach(23, layers=3).tolist()


def test_another_token_hears_what_a_shorter_text_would_give():
    mask = patterns.causal_window(3).mask(24)
    shorter = patterns.causal_window(3).reach(11, layers=3).tolist()
    assert heard_by(mask, 10, layers=3) == shorter + [0] * 13


@pytest.mark.parametrize("tokens", [24, 27])
def test_a_drawing_is_kept_whole(tokens):
    mask = drawn_by_chance(random.Random(5), tokens)
    assert unpacked(packed(mask), tokens).equal(mask)
    assert Pattern(tokens=tokens, preset="own", back=False, own=packed(mask)).mask().equal(mask)
    cut = Pattern(tokens=tokens, preset="own", own=packed(mask)).mask()
    assert cut.equal(mask & patterns.CAUSAL.mask(tokens))


# The address


STATE = Pattern().static_state()
KNOWN = {name: STATE[name] for name in ("ranges", "times", "tokens")}


@needs_node
def test_what_is_chosen_goes_through_the_address():
    draw = random.Random(6)
    states = [any_state(draw) | {"tokens": 24, "token": 7} for _ in range(50)]
    for state in states:
        state["own"] = packed(drawn_by_chance(draw, 24))
    opened = {name: STATE[name] for name in states[0]}
    there_and_back = javascript(
        """return states.map((chosen) =>
          formulas.fromAddress(formulas.toAddress(chosen, opened), opened, known));""",
        states=states,
        opened=opened,
        known=KNOWN,
    )
    assert there_and_back == states
    assert javascript("return formulas.toAddress(opened, opened);", opened=opened) == ""


@needs_node
def test_what_is_wrong_in_an_address_is_left_out():
    wrong = "#pattern?preset=toString&size=99&own=xyz&layers=2.5&back=no&colour=red&token=&count=3"
    opened = {name: STATE[name] for name in any_state(random.Random(1))}
    found = javascript(
        "return formulas.fromAddress(wrong, opened, known);",
        wrong=wrong,
        opened=opened,
        known=KNOWN,
    )
    assert found == opened | {"count": 3, "back": False}


def test_modules_of_one_scope_have_no_name_in_common():
    """They become one script, where a second function of a name would replace the first."""
    declared = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.M)
    names = [
        name
        for module in ("figure", "rules", "pattern")
        for name in declared.findall((FOLDER / f"{module}.mjs").read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) > 40


# What is said


def test_findings_tell_news_pairs_and_the_clock():
    news, square, long, clock = Pattern(times=TIMES).findings()
    assert news == (
        "In 2 layers token 24 hears from 7 of the 24 tokens. For all of them it takes 8 layers."
    )
    pairs = 1 + 2 + 3 + 21 * 4
    assert f"{pairs} of 300 pairs, 30\N{NO-BREAK SPACE}%" in square
    assert f"{64 * 65 // 2 + (4096 - 64) * 64:,} pairs" in long and "a window of 64" in long
    assert clock == "On the clock dense takes 4 times as long."  # the mean of two runs


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"long_tokens": 1024}, "On the clock it takes 2 times as long as dense."),
        ({"long_tokens": 2048}, "This one was not timed."),
        ({"long_size": 128}, "This one was not timed."),
        ({"back": False}, "This one was not timed."),
        ({"preset": "strided"}, "This one was not timed."),
        ({"preset": "fixed"}, "On the clock dense takes 2 times as long."),
        ({"preset": "own"}, "What is drawn has no rule by which a longer text would go on."),
    ],
)
def test_what_was_not_timed_is_said(state, said):
    assert Pattern(times=TIMES, **state).findings()[-1] == said


def test_times_without_a_size_hold_for_the_size_that_was_measured():
    columns = {name: values for name, values in TIMES.columns.items() if name != "size"}
    figure = Pattern(times=Results("time_vs_pattern", columns), long_size=128)
    assert figure.findings()[-1] == "On the clock dense takes 4 times as long."


def test_dense_is_what_the_others_are_held_against():
    last = Pattern(preset="dense", times=TIMES, long_tokens=32_768).findings()[-1]
    assert "536,887,296 pairs, 100\N{NO-BREAK SPACE}% of dense." in last


def drawing(*pairs, tokens=24):
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for row, column in pairs:
        mask[row - 1, column - 1] = True
    return packed(mask)


def test_who_looks_at_nothing_is_told():
    diagonal = [(i, i) for i in range(1, 25) if i != 9]
    one = Pattern(preset="own", own=drawing(*diagonal)).findings()[1]
    assert one == "Token 9 looks at nothing: attention has no answer there."
    many = Pattern(preset="own", own=drawing((1, 1), (24, 1))).findings()[1]
    assert many == "22 tokens, token 2 first, look at nothing: attention has no answer there."


@pytest.mark.parametrize(
    ("own", "layers", "said"),
    [
        (
            [],
            2,
            "In 2 layers token 24 hears from nobody. More layers bring no more.",
        ),
        (
            [(24, 5), (5, 2), (2, 1)],
            2,
            "from 2 of the 24 tokens. More layers bring no more than 3",
        ),
        ([(24, 5), (5, 2), (2, 1)], 1, "In 1 layer token 24 hears from 1 of the 24 tokens."),
    ],
)
def test_how_far_news_gets_in_a_drawing(own, layers, said):
    figure = Pattern(preset="own", own=drawing(*own), layers=layers)
    assert said in figure.findings()[0]


def test_a_token_in_the_middle_hears_up_to_itself():
    said = Pattern(preset="dense", token=9, layers=1).findings()[0]
    assert said == "In 1 layer token 9 hears from all 9 tokens up to itself."
    assert "all 24 tokens." in Pattern(preset="dense", token=9, back=False).findings()[0]
    assert "token 1 hears from itself." in Pattern(token=1).findings()[0]


# What is drawn


def test_the_picture_has_a_square_for_each_pair():
    figure = Pattern(preset="fixed", size=5, count=2)
    picture = ET.fromstring(figure.picture())
    inked, empty = (
        next(
            path.attrib["d"].count("z")
            for path in picture.iter(f"{SVG}path")
            if path.attrib["fill"] == bundle.colour(idea)
        )
        for idea in ("attention", "grid")
    )
    assert inked == figure.mask().sum() and inked + empty == 24**2
    below = [text.text for text in picture.iter(f"{SVG}text") if text.text in ("1", "2")][2:]
    heard = heard_by(figure.mask(), 23, layers=2)
    assert below == [str(layer) for layer in heard if layer]  # after the 1 of each axis
    assert picture.attrib["aria-label"] == " ".join(figure.findings())


def test_the_table_holds_whom_each_token_looks_at():
    figure = Pattern(preset="strided", size=5, layers=1)
    rows = list(csv.DictReader(io.StringIO(figure.table)))
    assert len(rows) == 24
    assert rows[-1]["looks_at"] == "4 9 14 19 20 21 22 23 24"
    heard = [row["token"] for row in rows if row["heard_in_layers"]]
    assert " ".join(heard) == rows[-1]["looks_at"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Pattern(preset="spiral"), "preset='spiral': expected one of"),
        (lambda: Pattern(size=0), "size=0: expected a whole number from 1 to 16"),
        (lambda: Pattern(tokens=33), "tokens=33: expected a whole number from 24 to 32"),
        (lambda: Pattern(token=25), "token=25: expected a whole number from 1 to 24"),
        (lambda: Pattern(layers=7), "layers=7: expected a whole number from 1 to 6"),
        (lambda: Pattern(long_tokens=512), "long_tokens=512: expected .* from 1024 to 32,768"),
        (lambda: Pattern(own="12"), "own: got '12'…; expected 144 digits"),
        (lambda: Pattern(own="G" * 144), "own: got 'GGG.*'…; expected 144 digits"),
        (lambda: rule_of("own", 24, size=3), "preset='own': expected one of"),
        (
            lambda: Pattern(times=Results("q", {"way": ["dense"], "seconds": [1.0]})),
            r"times: got columns \['way', 'seconds'\]; expected tokens too",
        ),
    ],
)
def test_what_no_control_reaches_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_every_number_has_both_ends():
    for name, bounds in RANGES.items():
        for value in bounds:
            given = {"token": 1} if name == "tokens" else {}
            assert getattr(Pattern(**{name: value}, **given), name) == value
