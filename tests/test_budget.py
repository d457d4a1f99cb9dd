"""The budget: one arithmetic in two languages, what a reader may ask of it, and what is drawn."""

import csv
import io
import json
import math
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.optimize import minimize_scalar

from payattention import scaling_laws
from payattention.cost import energy
from payattention.cost.hardware import ACCELERATORS
from payattention.explorables import Budget, bundle
from payattention.explorables.budget import RANGES, short
from payattention.explorables.budgeting import PUBLISHED, STOCKS, Plan, law_state
from payattention.records import Results
from payattention.scaling_laws import (
    KAPLAN_2020,
    MUENNIGHOFF_2023,
    OPERATIONS,
    AdditiveLaw,
    KaplanLaw,
    Meaning,
    RepeatedDataLaw,
)

FOLDER = Path(bundle.__file__).parent
SVG = "{http://www.w3.org/2000/svg}"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
FITTED = AdditiveLaw(
    E=1.6, A=60.0, B=300.0, alpha=0.48, beta=0.42, meaning=Meaning("this book", "here", loss="bits")
)


CONSTANTS = {name: getattr(FITTED, name) for name in ("E", "A", "B", "alpha", "beta")}


class OtherLaw(AdditiveLaw):
    """A law that might say anything."""


def made_up_runs() -> Results:
    """Three sizes at each of three budgets, a little off the law."""
    draw, records = random.Random(5), []
    for budget in (1.5e10, 1.5e11, 1.5e12):
        for times in (0.4, 1, 2.5):
            size = times * FITTED.optimum(budget).parameters
            tokens = round(budget / OPERATIONS / size / 1.2)
            bits = FITTED.loss(size, tokens) + draw.gauss(0, 0.01)
            run = {"budget": budget, "parameters": round(size), "tokens": tokens, "bits": bits}
            records.append(run | {"seed": 0})
    return Results.from_records("loss_vs_flops", records)


def our_own(**state) -> Budget:
    return Budget(runs=made_up_runs(), law=FITTED, **state)


def javascript(body, **values):
    """What the body returns; the figure's formulas and the values are names in it."""
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    script = f"""
      globalThis.window = globalThis; {bundle.classic_script("budget")}
      const formulas = window.payattentionExplorables.budget;
      {given}
      process.stdout.write(JSON.stringify((() => {{ {body} }})()));
    """
    run = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


STATE = our_own().static_state()
KAPLANS = KAPLAN_2020.meaning.most_flops
KNOWN = {name: STATE[name] for name in ("laws", "stocks", "machines", "ranges", "runs")}


# One arithmetic, two languages


def any_law(draw: random.Random) -> scaling_laws.AdditiveLaw | KaplanLaw:
    kind = draw.choice(("published", "additive", "repeated", "repeated", "kaplan"))
    if kind == "published":
        return draw.choice(list(PUBLISHED.values()))
    if kind == "kaplan":
        return KaplanLaw(
            alpha_N=draw.uniform(0.05, 0.1),
            alpha_D=draw.uniform(0.05, 0.15),
            N_c=10 ** draw.uniform(12, 15),
            D_c=10 ** draw.uniform(12, 15),
            N_e=10 ** draw.uniform(8, 10),
            parameters_exponent=draw.uniform(0.4, 0.8),
            loss_exponent=draw.uniform(0.03, 0.08),
        )
    constants = {
        "E": draw.uniform(0, 2),
        "A": 10 ** draw.uniform(1, 4),
        "B": 10 ** draw.uniform(1, 4),
        "alpha": draw.uniform(0.2, 0.6),
        "beta": draw.uniform(0.2, 0.6),
    }
    if kind == "additive":
        return AdditiveLaw(**constants)
    repeats = [draw.choice((draw.uniform(1, 40), draw.uniform(1, 40), math.inf)) for _ in "ND"]
    return RepeatedDataLaw(
        **constants, repeats_of_tokens=repeats[0], repeats_of_parameters=repeats[1]
    )


def any_question(draw: random.Random) -> dict:
    law = any_law(draw)
    unique = 10 ** draw.uniform(6, 15) if draw.random() < 0.7 else None
    repeated = isinstance(law, RepeatedDataLaw)
    return {
        "law": law,
        "flops": 10 ** draw.uniform(10, 27),
        "parameters": 10 ** draw.uniform(2, 14),
        "tokens": 10 ** draw.uniform(3, 16),
        "size": 10 ** draw.uniform(-2, 2),
        "unique": unique if repeated else None,
        "excess": draw.uniform(0.01, 3),
    }


@needs_node
def test_browser_and_library_foretell_the_same():
    """Over 1,000 laws, budgets and stocks of text, every formula to 1e-9."""
    draw = random.Random(6)
    questions = [any_question(draw) for _ in range(1000)]
    theirs = javascript(
        """return questions.map(({ law, flops, parameters, tokens, unique, loss }) => [
          formulas.lossOf(law, parameters, tokens, unique),
          ...Object.values(formulas.optimumOf(law, flops, unique)),
          formulas.tokensPerParameter(law, flops, unique),
          formulas.leastLoss(law, unique),
          formulas.flopsFor(law, loss, unique),
          formulas.flopsFactor(law, 0.3),
          ...(law.kind === "kaplan" ? Object.values(formulas.lowestOf(law, flops)) : []),
        ]);""",
        questions=[
            question | {"law": law_state(question["law"]), "loss": loss_to_reach(question)}
            for question in questions
        ],
    )
    texts = reached = 0
    for question, found in zip(questions, theirs, strict=True):
        law, flops = question["law"], question["flops"]
        repeated = isinstance(law, RepeatedDataLaw)
        text = (question["unique"],) if repeated else ()
        best = law.optimum(flops, *text)
        ours = [
            law.loss(question["parameters"], question["tokens"], *text),
            *best,
            best.tokens / best.parameters,
            least_loss(law, *text),
            flops_for(law, loss_to_reach(question), *text),
            law.flops_factor(0.3),
            *(law.lowest(flops) if isinstance(law, KaplanLaw) else ()),
        ]
        assert (found[6] is None) == (ours[6] is None), question
        kept = [[value for value in values if value is not None] for values in (found, ours)]
        assert kept[0] == pytest.approx(kept[1], rel=1e-9, abs=0), question
        texts += repeated and question["unique"] is not None and best.tokens > question["unique"]
        reached += ours[6] is not None
    assert texts > 100 and reached > 800


def least_loss(law, *text) -> float:
    if isinstance(law, KaplanLaw):
        return 0.0
    return law.least_loss(*text) if text else law.E


def loss_to_reach(question) -> float:
    text = (question["unique"],) if isinstance(question["law"], RepeatedDataLaw) else ()
    return least_loss(question["law"], *text) + question["excess"]


def flops_for(law, loss, *text) -> float | None:
    try:
        return law.flops_for(loss, *text)
    except ValueError:
        return None


def any_choice(draw: random.Random) -> dict:
    return {
        "law_name": draw.choice([*STATE["laws"]]),
        "flops": float(f"{10 ** draw.uniform(10, 27):.3g}"),
        "size": draw.choice((1.0, float(f"{10 ** draw.uniform(-2, 2):.2g}"))),
        "stock": draw.choice([*STOCKS]),
        "accelerator": draw.choice([*ACCELERATORS]),
        "accelerators": draw.choice((1, 3, 1024, 2**17)),
    }


@needs_node
def test_browser_and_library_answer_and_say_the_same():
    draw = random.Random(7)
    choices = [any_choice(draw) for _ in range(300)]
    theirs = javascript(
        """return choices.map((chosen) => {
          const question = formulas.asked(chosen, known);
          return [formulas.sentence(question), formulas.answer(question, 0.4)];
        });""",
        choices=choices,
        known=KNOWN,
    )
    for chosen, (sentence, found) in zip(choices, theirs, strict=True):
        plan = Plan(
            {"book": our_law(), **PUBLISHED}[chosen["law_name"]],
            chosen["flops"],
            chosen["size"],
            STOCKS[chosen["stock"]].tokens,
        )
        assert sentence == plan.sentence(), chosen
        assert list(found["bought"].values()) == pytest.approx(list(plan.bought()), rel=1e-9)
        on, many = ACCELERATORS[chosen["accelerator"]], chosen["accelerators"]
        spent = energy.bill(chosen["flops"], on=on, accelerators=many)
        assert found["seconds"] == pytest.approx(spent["seconds"])
        assert found["dollars"] == (pytest.approx(spent["dollars"]) if "dollars" in spent else None)
        for name in ("worth", "halving"):
            ours = getattr(plan, name)()
            # where the text is used up, the loss hardly depends on the budget any more
            flat = (
                plan.unique_tokens and plan.advice().loss - least_loss(plan.law, *plan._text) < 1e-6
            )
            if not flat:
                assert found[name] == (None if ours is None else pytest.approx(ours, rel=1e-6))


def our_law() -> AdditiveLaw:
    meaning = replace(FITTED.meaning, least_flops=1.5e10, most_flops=1.5e12)
    return replace(FITTED, meaning=meaning)


@needs_node
@pytest.mark.parametrize(
    "state",
    [
        {},
        {"flops": 3e12},
        {"flops": 1e20},
        {"law_name": "kaplan", "flops": 1e24, "size": 0.2},
        {"law_name": "muennighoff", "stock": "billions", "flops": 1e23},
    ],
)
def test_the_page_opens_with_what_python_wrote(state):
    figure = our_own(**state)
    table, fragment = javascript(
        """const table = formulas.csv(formulas.asked(state, known));
        return [table, formulas.toAddress(state, state)];""",
        state=figure.static_state(),
        known=KNOWN,
    )
    assert table == figure.table and fragment == ""


def test_modules_of_one_scope_have_no_name_in_common():
    """They become one script, where a second function of a name would replace the first."""
    declared = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.M)
    names = [
        name
        for module in ("figure", "quantities", "laws", "budget")
        for name in declared.findall((FOLDER / f"{module}.mjs").read_text(encoding="utf-8"))
    ]
    assert len(names) == len(set(names)) > 60


# The laws, turned round


@pytest.mark.parametrize("flops", [3e17, 1e21, 7e25])
def test_every_law_is_turned_round(flops):
    for law in PUBLISHED.values():
        assert law.flops_for(law.optimum(flops).loss) == pytest.approx(flops, rel=1e-9)
    found = MUENNIGHOFF_2023.optimum(flops, 3e11)
    assert MUENNIGHOFF_2023.flops_for(found.loss, 3e11) == pytest.approx(flops, rel=1e-4)


@pytest.mark.parametrize("unique_tokens", [3e10, 2e11, 1e12])
def test_the_size_for_repeated_text_is_the_lowest(unique_tokens):
    law, flops = MUENNIGHOFF_2023, 1e24

    def loss(log_size):
        size = math.exp(log_size)
        return law.loss(size, flops / OPERATIONS / size, unique_tokens)

    found = law.optimum(flops, unique_tokens)
    bounds = [math.log(found.parameters) + end for end in (-3, 3)]
    lowest = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    assert found.loss <= lowest.fun + 1e-12
    assert found.loss > law.least_loss(unique_tokens) > law.E


def test_loss_has_no_jump_where_text_begins_to_be_repeated():
    size, unique = 5e11, 1e11
    before, after = (MUENNIGHOFF_2023.loss(size, unique * (1 + d), unique) for d in (-1e-9, 1e-9))
    assert before == pytest.approx(after, rel=1e-8)
    assert MUENNIGHOFF_2023.loss(size, unique, 1e30) == MUENNIGHOFF_2023.loss(size, unique)


def test_published_losses_of_repeated_text():
    """Source: the README of Muennighoff et al.'s code."""
    assert MUENNIGHOFF_2023.loss(6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477)
    assert MUENNIGHOFF_2023.loss(8.67e9, 178e9, 25e9) == pytest.approx(2.2269634075087867)


def test_what_no_budget_buys_is_refused():
    with pytest.raises(ValueError, match=r"expected more than 2\.265, where the text ends"):
        MUENNIGHOFF_2023.flops_for(2.2, unique_tokens=1e10)
    with pytest.raises(ValueError, match=r"loss=0\.0: expected .* to"):
        KAPLAN_2020.flops_for(0.0)


def test_kaplans_curve_is_lowest_elsewhere():
    lowest, advised = KAPLAN_2020.lowest(1e24), KAPLAN_2020.optimum(1e24)
    for times in (0.99, 1.01):
        size = times * lowest.parameters
        assert KAPLAN_2020.loss(size, 1e24 / OPERATIONS / size) > lowest.loss
    assert lowest.loss < advised.loss


# What is said


def test_published_advice_for_gophers_budget():
    """Source: Hoffmann et al. 2022, table 3 and approach 3; 40 and 67 billion parameters."""
    hoffmann, besiroglu = (
        Budget(law_name=name, flops=5.76e23).plan().advice() for name in ("hoffmann", "besiroglu")
    )
    assert round(hoffmann.parameters / 1e9) == 40
    assert besiroglu.tokens / besiroglu.parameters == pytest.approx(18.4, abs=0.05)


def test_findings_tell_advice_price_and_the_others():
    figure = Budget(law_name="besiroglu", flops=1e21, accelerators=8, size=2.0)
    advice, spent, halving, size, others, letters = figure.findings()
    assert "2.78 billion parameters" in advice and "own runs" not in advice
    seconds = 1e21 / (989e12 * 0.4 * 8)
    assert f"{seconds / 86400:.3g} days: ${seconds * 8 / 3600 * 3.99:,.0f}." in spent
    assert "8 NVIDIA H100 SXM, at 40\N{NO-BREAK SPACE}% of the peak" in spent
    assert "half as far above its floor, 1.817 nats a token, takes 48.8 times" in halving
    assert "With 2 times the advised size, 5.56 billion parameters" in size and "is wasted" in size
    assert "Kaplan 2020 4.68 billion parameters and 7.6 tokens for each" in others
    assert "Besiroglu" not in others and "arXiv:2404.10102" in letters
    assert "no price is known" in Budget(accelerator="TPU v4").findings()[1]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"law_name": "hoffmann", "flops": 1.3e24}, "is 100 times the largest of the law’s own"),
        (
            {"law_name": "hoffmann", "flops": 1.4e15},
            "smallest of the law’s own runs took 1,000 times",
        ),
        ({"law_name": "kaplan", "flops": 1e26}, "of the law’s own runs."),
        ({"law_name": "muennighoff", "flops": 1e24, "stock": "billions"}, "is read 305 times"),
        ({"flops": 1e20}, "the largest of the law’s own runs."),
    ],
)
def test_what_lies_beyond_the_runs_is_said(state, said):
    assert said in our_own(**state).plan().sentence()


def test_within_the_runs_nothing_is_warned_of():
    for name in ("book", *PUBLISHED):
        assert "own runs" not in our_own(law_name=name).plan().sentence()


def test_a_stock_of_text_ends_the_fall():
    plan = Budget(law_name="muennighoff", flops=1e26, stock="trillion").plan()
    assert plan.halving() is None
    assert "No budget brings the loss half as far above its floor, 1.869" in plan.of_halving()
    assert "with this text it ends at 1.947" in plan.of_halving()
    with_more = replace(plan, unique_tokens=3e14)
    assert with_more.halving() > 1 and "times the budget" in with_more.of_halving()
    assert Budget(law_name="hoffmann", stock="trillion", flops=1e26).plan().halving() < 100


def test_another_size_wastes_a_share_of_the_budget():
    for name in ("hoffmann", "besiroglu", "muennighoff"):
        plans = [Budget(law_name=name, size=size).plan() for size in (0.1, 0.5, 1.0, 2.0, 10.0)]
        worths = [plan.worth() for plan in plans]
        assert worths[2] == pytest.approx(1)
        assert worths == sorted(worths[:3]) + sorted(worths[3:], reverse=True)
        assert 0 < worths[0] < 0.5
    kaplan = Budget(law_name="kaplan", flops=1e24, size=0.5)
    assert kaplan.plan().worth() > 1
    said = " ".join(kaplan.findings())
    assert "takes 1.94 times the budget to reach it" in said and "lowest at 0.457 times" in said


def test_a_loss_beyond_every_budget_is_no_share():
    flat = Plan(MUENNIGHOFF_2023, 1e27, size=1.0, unique_tokens=1e6)
    assert flat.worth() is None
    assert flat.of_size().endswith(f"the loss is {flat.bought().loss:.3f}.")


# What is drawn, and refused


def test_runs_are_drawn_where_the_budget_is_theirs():
    figure = our_own()
    assert figure.law_name == "book" and figure.flops == 1.5e12
    rows = list(csv.DictReader(io.StringIO(figure.table)))
    assert [row["what"] for row in rows].count("run") == 9
    assert {float(row["flops"]) for row in rows} == {1.5e10, 1.5e11, 1.5e12}
    dots = list(ET.fromstring(figure.picture()).iter(f"{SVG}circle"))
    assert len(dots) == 9 + 3
    for elsewhere in (our_own(flops=1e14), our_own(law_name="kaplan", flops=1e20)):
        assert elsewhere.shown_runs() == []
        named = ET.fromstring(elsewhere.picture()).itertext()
        assert {"a tenth", "10 times", "100 times", "chosen"} <= set(named)


def test_the_law_may_say_how_large_its_runs_were():
    own = replace(FITTED.meaning, most_flops=7e12)
    figure = Budget(runs=made_up_runs(), law=replace(FITTED, meaning=own))
    assert figure.flops == 7e12
    assert Budget(law=FITTED).flops == 1.3e22  # nobody says


def test_curves_are_the_law_and_lowest_where_it_advises():
    rows = list(csv.DictReader(io.StringIO(Budget(law_name="besiroglu").table)))
    for flops in {row["flops"] for row in rows}:
        curve = [row for row in rows if row["flops"] == flops and row["what"] == "curve"]
        (advised,) = (row for row in rows if row["flops"] == flops and row["what"] == "advised")
        lowest = min(curve, key=lambda row: float(row["loss"]))
        assert lowest["parameters"] == advised["parameters"] and len(curve) == 21
        for row in curve:
            product = OPERATIONS * float(row["parameters"]) * float(row["tokens"])
            assert product == pytest.approx(float(flops), rel=1e-4)


@pytest.mark.parametrize("name", ["book", *PUBLISHED])
def test_every_corner_has_a_picture(name):
    for flops in RANGES["flops"]:
        for stock in STOCKS if name == "muennighoff" else ("endless",):
            figure = our_own(law_name=name, flops=flops, stock=stock)
            assert not re.search("nan|inf", figure.picture().replace("info", ""))


def test_powers_of_ten_on_an_axis():
    assert [short(10.0**power) for power in (0, 2, 3, 5, 8, 12, 16)] == [
        "1", "100", "1k", "100k", "100M", "1T", "10,000T",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Budget(law_name="book"), ValueError, "law_name='book': expected one of kaplan"),
        (lambda: Budget(flops=1e9), ValueError, r"flops=.*: expected 1e\+10 to 1e\+27"),
        (lambda: Budget(flops=math.nan), ValueError, "flops=nan"),
        (lambda: Budget(size=0.001), ValueError, "size=0.001: expected 0.01 to 100"),
        (lambda: Budget(stock="all"), ValueError, "stock='all': expected one of endless, public"),
        (lambda: Budget(accelerator="abacus"), ValueError, "accelerator='abacus'"),
        (lambda: Budget(accelerators=0), ValueError, "accelerators=0: expected a whole number"),
        (lambda: Budget(utilisation=1.5), ValueError, "utilisation=1.5: expected a share"),
        (lambda: Budget(runs=made_up_runs()), ValueError, "law: got none; expected the law"),
        (
            lambda: Budget(runs=Results("q", {"budget": [1e10]}), law=FITTED),
            ValueError,
            r"runs: got columns \['budget'\]; expected parameters, tokens, bits too",
        ),
        (
            lambda: Budget(law=OtherLaw(**CONSTANTS)),
            TypeError,
            "law: got a OtherLaw; expected one of AdditiveLaw, RepeatedDataLaw, KaplanLaw",
        ),
    ],
)
def test_what_no_control_reaches_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


# What the page does with a choice


@needs_node
def test_a_law_of_other_runs_brings_its_own_budget():
    changes = [{"law_name": name} for name in ("kaplan", "hoffmann", "muennighoff")]
    found = javascript(
        """const away = changes.map((one) => formulas.changed(state, one, known).flops);
        const large = { ...state, law_name: "hoffmann", flops: 1e25 };
        return [away, changes.map((one) => formulas.changed(large, one, known).flops),
          formulas.changed(large, { law_name: "book" }, known).flops,
          formulas.changed(state, { law_name: "kaplan", flops: 1e13 }, known).flops];""",
        changes=changes,
        state=STATE,
        known=KNOWN,
    )
    most = [PUBLISHED[one["law_name"]].meaning.most_flops for one in changes]
    assert found == [most, [1e25] * 3, 1.5e12, 1e13]


@needs_node
@pytest.mark.parametrize(
    ("fragment", "changes"),
    [
        ("", {}),
        ("#bill?tokens=3", {}),
        ("#budget?", {}),
        ("#budget?flops=2e11&nonsense=1&__proto__=1", {"flops": 2e11}),
        ("#budget?flops=1e9&size=2", {"size": 2}),
        ("#budget?flops=&size=abc&accelerators=2.5", {}),
        ("#budget?law_name=toString&stock=public", {"stock": "public"}),
        ("#budget?law_name=kaplan", {"law_name": "kaplan", "flops": KAPLANS}),
        ("#budget?law_name=kaplan&flops=1e25", {"law_name": "kaplan", "flops": 1e25}),
        ("#budget?accelerator=TPU%20v4&size=3", {"accelerator": "TPU v4", "size": 3}),
        ("#budget?accelerators=1e9&%E0%A4%A", {}),
    ],
)  # fmt: skip
def test_an_address_is_read_as_far_as_it_makes_sense(fragment, changes):
    chosen = ("law_name", "flops", "size", "stock", "accelerator", "accelerators")
    opened = {name: STATE[name] for name in chosen}
    found, again = javascript(
        """const found = formulas.fromAddress(fragment, opened, known);
        return [found, formulas.fromAddress(formulas.toAddress(found, opened), opened, known)];""",
        fragment=fragment,
        opened=opened,
        known=KNOWN,
    )
    assert found == opened | changes
    assert again == found
