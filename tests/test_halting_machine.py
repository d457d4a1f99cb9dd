"""The parity machine: sums and halts as the rules say; two languages say the same."""

import csv
import io
import json
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from made_up_steps import machine, measured, one_vector, vectors

from payattention.experiments import shares_vs_step
from payattention.explorables import HaltingMachine, bundle
from payattention.explorables.halting_machine import signs, text_of
from payattention.records import Results

FOLDER = Path(bundle.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
ENOUGH = 60_000  # bytes of the state; the stored one comes to about half
SPACE = "\N{NO-BREAK SPACE}"
KNOWN = ("runs", "bits", "most")


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("halting_machine")}
      const formulas = window.payattentionExplorables.halting_machine;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def known(figure: HaltingMachine) -> dict:
    return {name: getattr(figure, name) for name in KNOWN}


def states(figure: HaltingMachine) -> list[dict]:
    """Every vector by every rule after every step, and one step more than it takes."""
    return [
        {"rule": rule, "vector": signs(text), "step": step}
        for rule, runs in figure.runs.items()
        for text, run in runs.items()
        for step in range(1, min(len(run["steps"]) + 1, figure.most) + 1)
    ]


# One set of numbers, two languages


@needs_node
@pytest.mark.parametrize(("bits", "seed"), [(1, 1), (3, 2), (5, 3)])
def test_browser_and_library_say_the_same(bits, seed):
    figure = HaltingMachine(measured(bits=bits, seed=seed, wrong=0.3))
    all_of_them = states(figure)
    theirs = javascript(
        """return states.map((chosen) => ["sentence", "reckoning", "tally"].map(
          (name) => formulas[name](chosen, known)));""",
        states=all_of_them,
        known=known(figure),
    )
    for state, found in zip(all_of_them, theirs, strict=True):
        for name, value in state.items():
            setattr(figure, name, value)
        assert found == [figure.sentence(), figure.reckoning(), figure.tally(figure.rule)]
    for rule in figure.runs:
        figure.rule = rule
        table = javascript("return formulas.csv({ rule }, known);", rule=rule, known=known(figure))
        rows = list(csv.DictReader(io.StringIO(table)))
        assert rows == [{name: str(value) for name, value in row.items()} for row in figure.data()]


def test_the_table_holds_what_was_measured():
    figure = machine()
    rows = {
        (row["vector"], int(row["step"])): row for row in csv.DictReader(io.StringIO(figure.table))
    }
    kept = [row for row in measured().where(rule="ACT").records() if row["step"] <= row["depth"]]
    assert len(rows) == len(kept)
    for row in kept:
        places = [*signs(row["vector"]), *[0] * row["vector"].count("0")]
        found = rows[" ".join(map(str, places)), row["step"]]
        for name, near in (("amount", 0.0151), ("share", 0.0151), ("odd", 0.00051)):
            assert float(found[name]) == pytest.approx(row[name], abs=near)
        assert (found["answer"] == "") == (row["step"] < row["depth"])


@pytest.mark.parametrize("seed", range(20))
def test_hundredths_sum_and_halt_as_the_rules_say(seed):
    """Rounded, they are still right: shares make a whole, and are enough at the last step alone."""
    results = measured(bits=5, seed=seed)
    figure = HaltingMachine(results)
    exact = {}
    for row in results.records():
        exact.setdefault((row["rule"], row["vector"].rstrip("0")), []).append(row)
    for rule, enough in (("ACT", 99), ("PonderNet", 50)):
        for text, run in figure.runs[rule].items():
            rows = exact[rule, text][: len(run["steps"])]
            part = 0 if rule == "ACT" else 1
            sums = [*accumulate(step[part] for step in run["steps"])]
            assert all(one < enough for one in sums[:-1])
            assert sums[-1] >= enough or len(rows) == figure.most
            truth = accumulate(row["amount" if rule == "ACT" else "share"] for row in rows)
            assert [one / 100 for one in sums] == pytest.approx([*truth], abs=0.0101)
            if rule == "ACT":
                assert sum(share for _, share, _ in run["steps"]) == 100
                assert [a for a, _, _ in run["steps"][:-1]] == [b for _, b, _ in run["steps"][:-1]]


def test_what_is_near_enough_stays_on_its_side():
    """A sum of 0.989 or 0.491 would be rounded to what is enough; it is not, and goes on."""
    act = HaltingMachine(one_vector("ACT", [(0.9899, 0.9899, 0.1), (0.5, 0.0101, 0.9)], 0.2))
    assert act.runs["ACT"]["+"]["steps"] == [[98, 98, 100], [51, 2, 900]]
    assert act.runs["ACT"]["+"]["answer"] == 200
    ponder = one_vector("PonderNet", [(0.498, 0.498, 0.1), (0.0041, 0.0020582, 0.9)], 0.9)
    assert HaltingMachine(ponder).runs["PonderNet"]["+"]["steps"] == [[50, 49, 100], [0, 1, 900]]


def test_the_machine_is_that_of_the_experiment():
    """An untrained cell, asked by the experiment: its steps make a figure."""
    config = replace(shares_vs_step.FULL, bits=3, d_hidden=4, steps=1, cheap_steps=0)
    figure = HaltingMachine(Results.from_records("q", shares_vs_step.run(config)))
    assert [signs(text) for text in figure.runs["ACT"]] == [
        [int(place) for place in vector if place] for vector in shares_vs_step.vectors(3).tolist()
    ]
    assert [shares_vs_step.written(one) for one in shares_vs_step.vectors(4)] == vectors(4)
    assert text_of(signs("+-+00")) == "+-+"


def test_the_experiment_keeps_what_the_rules_give():
    """Shares of all steps sum to 1; the answer is that of the state, or of their mixture."""
    torch.manual_seed(2)
    x = shares_vs_step.vectors(4)
    for rule in ("ACT", "PonderNet"):
        model = shares_vs_step.Thinker(rule, bits=4, d_hidden=5, max_steps=7)
        with torch.no_grad():
            thought, (logits, depth, _) = model(x), model.answer(x)
        rows = shares_vs_step.steps_of(model, x)
        for place, vector in enumerate(x):
            of = [row for row in rows if row["vector"] == shares_vs_step.written(vector)]
            shares = torch.tensor([row["share"] for row in of])
            torch.testing.assert_close(shares, thought.halt[place, : len(of)])
            assert shares.sum().item() == pytest.approx(1, abs=1e-5)
            [(step, answer)] = [(r["step"], r["answer"]) for r in of if r["answer"] is not None]
            assert step == depth[place] == of[0]["depth"]
            assert answer == pytest.approx(logits[place].softmax(0)[1].item(), abs=1e-6)
            if rule == "PonderNet":
                assert answer == pytest.approx(of[step - 1]["odd"], abs=1e-5)


def test_a_short_training_is_left_out():
    """The stored results have one, which is cheap to repeat."""
    rows = measured().records()
    short = [row | {"steps": 2, "amount": 0.5} for row in rows if row["vector"] == "+000"]
    both = HaltingMachine(Results.from_records("shares_vs_step", [*short, *rows]))
    assert both.static_state() == machine().static_state()


def test_the_state_is_small():
    rows = measured(bits=6, seed=4)
    assert len(json.dumps(HaltingMachine(rows).static_state())) < ENOUGH


# The address


STATE = machine().static_state()
OPENED = {name: STATE[name] for name in ("rule", "vector", "step")}


@needs_node
def test_what_is_chosen_goes_through_the_address():
    figure = machine()
    some = random.Random(5).sample(states(figure), 60)
    addresses, there_and_back = javascript(
        """const addresses = states.map((chosen) => formulas.toAddress(chosen, opened));
        return [addresses, addresses.map((one) => formulas.fromAddress(one, opened, known))];""",
        states=[*some, OPENED, {"rule": "PonderNet", "vector": [1, -1, 1], "step": 3}],
        opened=OPENED,
        known=known(figure),
    )
    assert there_and_back[:-2] == some
    assert addresses[-2:] == ["", "#halting_machine?rule=PonderNet&vector=1,-1,1&step=3"]


@needs_node
@pytest.mark.parametrize(
    ("wrong", "kept"),
    [
        ("#halting_machine?rule=toString&step=2", {"step": 2}),
        ("#halting_machine?rule=PonderNet&vector=1,0,1&step=0", {"rule": "PonderNet"}),
        ("#halting_machine?vector=1,1,1,1,1&step=99", {}),
        ("#halting_machine?vector=&step=1.5&colour=red", {}),
        ("#halting_machine?vector=1,,1&step=", {}),
        ("#halting_machine?vector=-1%2C1", {"vector": [-1, 1]}),
        ("#between?step=2", {}),
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
        for module in ("figure", "halting_machine")
        for name in declared.findall((FOLDER / f"{module}.mjs").read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) > 40


# What is said

SUMMED = [(0.62, 0.62, 0.03), (0.55, 0.38, 0.97)]
CHANCES = [(0.4, 0.4, 0.03), (0.5, 0.3, 0.97)]


def plain(sentence: str) -> str:
    return sentence.replace(SPACE, " ")


def test_act_is_reckoned_in_the_open():
    figure = HaltingMachine(one_vector("ACT", SUMMED, 0.98), vector=[1])
    assert plain(figure.sentence(1)) == (
        "Ones: 1 of 1, so the right answer is odd. After step 1, the cell has given 0.62 of its "
        "answer; this state says even with 97 %."
    )
    assert plain(figure.reckoning(1)) == "0.62, less than 1 − ε = 0.99: it goes on."
    assert [plain(one) for one in figure.findings()[:2]] == [
        "Ones: 1 of 1, so the right answer is odd. ACT halts at step 2. This state says odd with "
        "97 %; the answer, a mixture of all states, says odd with 98 %, which is right. It costs "
        "N + R = 2 + 0.38 = 2.38.",
        "0.62 + 0.55 = 1.17, at least 1 − ε = 0.99: it halts. The last step is given what is "
        "left, R = 1 − 0.62 = 0.38.",
    ]
    assert figure.tally("ACT") == (
        "ACT answers 2 of 2 vectors rightly, in 1 to 2 steps, 1.5 on average; with 1 place that "
        "is not zero, 1.5."
    )


def test_pondernet_is_reckoned_in_the_open():
    figure = HaltingMachine(one_vector("PonderNet", CHANCES, 0.97), vector=[1], rule="PonderNet")
    assert plain(figure.sentence(1)) == (
        "Ones: 1 of 1, so the right answer is odd. After step 1, 0.40 of its shares are spent; "
        "this state says even with 97 %."
    )
    assert [plain(one) for one in figure.findings()[:2]] == [
        "Ones: 1 of 1, so the right answer is odd. PonderNet halts at step 2. This state is the "
        "answer: odd with 97 %, which is right.",
        "Its chance to halt now is 0.50, if it has not before: 0.50 × 0.60 ≈ 0.30. Spent are "
        "0.40 + 0.30 = 0.70, half or more: it halts.",
    ]
    assert figure.reckoning(1).endswith("0.00 + 0.40 = 0.40, less than half: it goes on.")


def test_a_wrong_answer_is_told():
    figure = HaltingMachine(one_vector("ACT", SUMMED, 0.4), vector=[1])
    assert f"says even with 60{SPACE}%, which is wrong" in figure.findings()[0]
    assert "ACT answers 1 of 2 vectors rightly" in figure.findings()[2]


def test_the_last_step_that_is_allowed_is_told_and_a_long_sum_is_short():
    steps = [(0.1, 0.1, 0.5)] * 7 + [(0.2, 0.3, 0.5)]
    figure = HaltingMachine(one_vector("ACT", steps, 0.6), vector=[1])
    assert plain(figure.findings()[1]) == (
        "0.10 + 0.10 + … + 0.20 = 0.90, less than 1 − ε = 0.99, but no further step is allowed. "
        "This one is given what is left, R = 1 − 0.70 = 0.30."
    )


def test_it_opens_where_act_takes_longest():
    figure = machine()
    depths = {text: len(run["steps"]) for text, run in figure.runs["ACT"].items()}
    assert (figure.rule, figure.step) == ("ACT", 1)
    assert depths[text_of(figure.vector)] == max(depths.values()) > 1
    assert figure.most == max(
        len(run["steps"]) for runs in figure.runs.values() for run in runs.values()
    )
    figure.step = figure.most  # more than it takes changes nothing
    figure.vector, longer = [1], figure.sentence(figure.most)
    assert figure.sentence() == figure.sentence(99) != longer


# What is drawn


def test_the_picture_has_a_bar_for_each_rule():
    figure = machine(vector=[1, -1], rule="PonderNet", step=2)
    picture = ET.fromstring(figure.picture())
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    for rule, runs in figure.runs.items():
        run = runs["+-"]
        assert f"{rule}, 1 −1 0 0" in texts
        for number, (_, share, _) in enumerate(run["steps"], start=1):
            assert f"step {number} {share / 100:.2f}" in texts
        assert any(re.fullmatch(rf"{len(run['steps'])} steps?: .* with .*%", one) for one in texts)
    rest = 100 - sum(share for _, share, _ in figure.runs["PonderNet"]["+-"]["steps"])
    assert (f"not reached {rest / 100:.2f}" in texts) == (rest > 0)
    assert picture.attrib["aria-label"] == " ".join(figure.findings())
    assert ET.fromstring(machine(alt="own words").picture()).attrib["aria-label"] == "own words"


# What is refused


def changed(name: str, value, place: int = 0) -> Results:
    """Numbers of which one is changed."""
    columns = {key: [*values] for key, values in measured().columns.items()}
    columns[name][place] = value
    return Results("shares_vs_step", columns)


def without(name: str) -> Results:
    columns = {key: values for key, values in measured().columns.items() if key != name}
    return Results("shares_vs_step", columns)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: machine(rule="LSTM"), "rule='LSTM': expected one of ACT, PonderNet"),
        (lambda: machine(vector=[]), r"vector=\[\]: expected 1 to 4 places of 1 or -1"),
        (lambda: machine(vector=[1, 0]), r"vector=\[1, 0\]: expected 1 to 4 places of 1 or -1"),
        (lambda: machine(vector=[1] * 5), "expected 1 to 4 places"),
        (lambda: machine(step=0), "step=0: expected a whole number from 1 to"),
        (lambda: machine(step=99), "step=99: expected a whole number from 1 to"),
        *(
            (
                lambda name=name: HaltingMachine(without(name)),
                rf"results: got columns .*; expected {name} too",
            )
            for name in ("rule", "vector", "step", "amount", "share", "odd", "answer", "depth")
        ),
        (lambda: HaltingMachine(changed("rule", "fixed")), "results: rule='fixed': expected one"),
        (lambda: HaltingMachine(changed("vector", "+00")), "got vectors of 3 to 4 places"),
        (
            lambda: HaltingMachine(changed("vector", "0000")),
            "got the vector '0000'; expected one l",
        ),
        (
            lambda: HaltingMachine(changed("vector", "+0-0")),
            "got the vector '[+]0-0'; expected one",
        ),
        (
            lambda: HaltingMachine(measured().where(rule="ACT")),
            "results: PonderNet has 0 vectors; expected all 30 of 4 places",
        ),
        (
            lambda: HaltingMachine(measured().where(vector="+000")),
            "results: ACT has 1 vectors; expected all 30 of 4 places",
        ),
        (lambda: HaltingMachine(Results("q", measured().where(rule="x").columns)), "0 places"),
        (lambda: HaltingMachine(changed("step", 2)), "ACT, '[+]000' has the steps 2,"),
        (lambda: HaltingMachine(changed("depth", 9)), "and the depth 9; expected 1, 2 and so on"),
        (lambda: HaltingMachine(changed("amount", 1.5)), "step 1, amount=1.5: expected a share"),
        (
            lambda: HaltingMachine(changed("odd", None)),
            "step 1, odd=None: expected a share, 0 to 1",
        ),
        (
            lambda: HaltingMachine(changed("share", 0.0)),
            "step 1, share=0: expected .*, by the rule",
        ),
        (
            lambda: HaltingMachine(one_vector("ACT", SUMMED, 1.5)),
            "results: ACT, '[+]', answer=1.5: expected a share, 0 to 1",
        ),
        (
            lambda: HaltingMachine(
                one_vector("ACT", [(0.995, 0.995, 0.5), (0.5, 0.005, 0.5)], 0.5)
            ),
            "ACT, '[+]' has 0.9950 at step 1, and goes on to step 2; expected it to halt at 0.99",
        ),
        (
            lambda: HaltingMachine(
                one_vector("PonderNet", [(0.6, 0.6, 0.5), (0.5, 0.2, 0.5)], 0.5)
            ),
            "PonderNet, '[+]' has 0.6000 at step 1, and goes on to step 2; expected .* at 0.5",
        ),
    ],
)
def test_what_makes_no_figure_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_step_is_a_whole_number():
    with pytest.raises(TypeError, match="step=True"):
        machine(step=True)
