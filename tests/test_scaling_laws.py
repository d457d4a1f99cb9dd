"""The published laws: what their authors print, and what must hold of any law."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from payattention.scaling_laws import (
    BESIROGLU_2024,
    HOFFMANN_2022,
    HOFFMANN_2022_ROUNDED,
    KAPLAN_2020,
    LAWS,
    MUENNIGHOFF_2023,
    OPERATIONS,
    AdditiveLaw,
)

GOPHER_FLOPS = 5.76e23
ADDITIVE = [law for law in LAWS if law is not KAPLAN_2020]
names = [law.meaning.name for law in LAWS]
additive_names = [law.meaning.name for law in ADDITIVE]


@pytest.mark.parametrize(
    ("law", "billions", "ratio"),
    [
        (HOFFMANN_2022_ROUNDED, 32.2, 92.6),
        (HOFFMANN_2022, 40.4, 58.9),
        (BESIROGLU_2024, 72.3, 18.4),
        (MUENNIGHOFF_2023, 70.0, 19.6),
    ],
)
def test_best_size_at_gophers_budget(law, billions, ratio):
    assert law.optimum(GOPHER_FLOPS).parameters / 1e9 == pytest.approx(billions, abs=0.06)
    assert law.tokens_per_parameter(GOPHER_FLOPS) == pytest.approx(ratio, abs=0.06)


def test_muennighoffs_check_values():
    loss = MUENNIGHOFF_2023.loss
    assert loss(6.34e9, 242e9, unique_tokens=25e9) == pytest.approx(2.2256440889984477, abs=1e-9)
    assert loss(8.67e9, 178e9, unique_tokens=25e9) == pytest.approx(2.2269634075087867, abs=1e-9)


@pytest.mark.parametrize(
    ("epochs", "worth"), [(1, 1), (2, 1.968), (4, 3.726), (8, 6.624), (16, 10.582), (40, 15.167)]
)
def test_worth_of_repetition(epochs, worth):
    found = MUENNIGHOFF_2023.effective_tokens(epochs * 1e9, unique_tokens=1e9) / 1e9
    assert found == pytest.approx(worth, abs=6e-4)


def test_repetition_is_never_worth_more_than_its_ceiling():
    most = MUENNIGHOFF_2023.effective_tokens(1e6, unique_tokens=1)
    assert most == pytest.approx(1 + MUENNIGHOFF_2023.repeats_of_tokens)
    endless = replace(MUENNIGHOFF_2023, repeats_of_tokens=math.inf, repeats_of_parameters=math.inf)
    assert endless.effective_tokens(1e6, unique_tokens=1) == pytest.approx(1e6)
    assert endless.loss(1e9, 1e12, 1e9) == pytest.approx(endless.loss(1e9, 1e12))


def test_text_that_runs_out_makes_the_best_model_smaller_and_no_better():
    fresh = MUENNIGHOFF_2023.optimum(GOPHER_FLOPS)
    short = MUENNIGHOFF_2023.optimum(GOPHER_FLOPS, unique_tokens=1e11)
    assert short.loss > fresh.loss
    assert short.parameters < fresh.parameters
    assert short.parameters * short.tokens * OPERATIONS == pytest.approx(GOPHER_FLOPS)
    for factor in (0.9, 1.1):
        size = factor * short.parameters
        text = GOPHER_FLOPS / OPERATIONS / size
        assert MUENNIGHOFF_2023.loss(size, text, unique_tokens=1e11) > short.loss
    plenty = MUENNIGHOFF_2023.optimum(GOPHER_FLOPS, unique_tokens=1e15)
    assert plenty == fresh


def test_kaplans_printed_numbers():
    law = KAPLAN_2020
    # Table 5 and section 6 of the paper: a billion parameters and endless text
    endless = law.loss(1e9, 1e30)
    assert endless == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-6)
    assert law.loss(1e10, 1e30) / endless == pytest.approx(0.8395, abs=1e-4)
    # ten times the budget: 5.37 times the model, 1.86 times the text
    ten = law.optimum(1e22).parameters / law.optimum(1e21).parameters
    assert ten == pytest.approx(5.37, abs=0.005)
    assert law.optimum(1e22).tokens / law.optimum(1e21).tokens == pytest.approx(1.86, abs=0.005)
    # and the model that Hoffmann et al. trained by it
    assert law.optimum(1e21).parameters == pytest.approx(4.68e9, rel=1e-3)


@pytest.mark.parametrize("law", ADDITIVE, ids=additive_names)
@pytest.mark.parametrize("flops", [1e18, 1e21, GOPHER_FLOPS, 1e26])
def test_closed_form_optimum_is_where_a_search_finds_it(law, flops):
    def loss(log_size):
        return law.loss(math.exp(log_size), flops / OPERATIONS / math.exp(log_size))

    best = law.optimum(flops)
    around = math.log(best.parameters)
    found = minimize_scalar(loss, bounds=(around - 5, around + 5), options={"xatol": 1e-9})
    assert math.exp(found.x) == pytest.approx(best.parameters, rel=1e-4)
    assert found.fun == pytest.approx(best.loss, abs=1e-10)
    assert best.parameters * best.tokens * OPERATIONS == pytest.approx(flops)


@pytest.mark.parametrize("law", ADDITIVE, ids=additive_names)
def test_exponents_say_how_the_optimum_moves(law):
    first, second = law.optimum(1e20), law.optimum(1e22)
    moved = math.log(second.parameters / first.parameters) / math.log(100)
    assert moved == pytest.approx(law.parameters_exponent)
    fell = -math.log((second.loss - law.E) / (first.loss - law.E)) / math.log(100)
    assert fell == pytest.approx(law.loss_exponent)
    again = law.optimum(1e20 * law.flops_factor(0.5)).loss - law.E
    assert again == pytest.approx((first.loss - law.E) / 2)


def test_published_exponents():
    assert HOFFMANN_2022.parameters_exponent == pytest.approx(0.46, abs=0.005)
    assert BESIROGLU_2024.parameters_exponent == pytest.approx(0.513, abs=0.001)
    assert KAPLAN_2020.flops_factor() == pytest.approx(2**20)


@pytest.mark.parametrize("law", ADDITIVE, ids=additive_names)
def test_loss_has_its_price(law):
    best = law.optimum(GOPHER_FLOPS)
    assert law.flops_for(best.loss) == pytest.approx(GOPHER_FLOPS, rel=1e-6)
    cheapest = law.cheapest(best.loss)
    assert cheapest.parameters == pytest.approx(best.parameters, rel=1e-3)
    assert cheapest.tokens == pytest.approx(best.tokens, rel=1e-3)


@pytest.mark.parametrize("law", ADDITIVE, ids=additive_names)
def test_use_makes_the_best_model_smaller_and_its_training_longer(law):
    loss = law.optimum(1e22).loss
    trained, served = law.cheapest(loss), law.cheapest(loss, served_tokens=1e13)
    assert served.parameters < trained.parameters
    assert served.tokens > trained.tokens
    assert law.loss(served.parameters, served.tokens) == pytest.approx(loss)

    def bill(found):
        return found.parameters * (OPERATIONS * found.tokens + 2 * 1e13)

    assert bill(served) < bill(trained)
    for size in (0.97 * served.parameters, 1.03 * served.parameters):
        text = (law.B / (loss - law.E - law.A / size**law.alpha)) ** (1 / law.beta)
        assert size * (OPERATIONS * text + 2 * 1e13) > bill(served)


@given(n=st.floats(1e5, 1e12), d=st.floats(1e6, 1e14), law=st.sampled_from(LAWS))
def test_more_parameters_and_more_text_never_hurt(n, d, law):
    assert law.loss(1.1 * n, d) <= law.loss(n, d)
    assert law.loss(n, 1.1 * d) < law.loss(n, d)


def test_each_law_says_what_its_letters_mean():
    assert len(set(names)) == len(LAWS)
    for law in LAWS:
        assert "arXiv:" in law.meaning.source
        said = vars(law.meaning).items()
        assert all(text for name, text in said if not name.endswith("_flops"))
        assert (law.meaning.least_flops or 0) < law.meaning.most_flops
    assert "without embeddings" in KAPLAN_2020.meaning.parameters


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (lambda law: law.loss(0, 1e9), "parameters=0"),
        (lambda law: law.loss(1e9, -1.0), "tokens=-1.0"),
        (lambda law: law.optimum(math.inf), "flops=inf"),
        (lambda law: law.flops_factor(1.5), "of_excess=1.5"),
        (lambda law: law.flops_for(1.0), "loss=1.0: expected more than the floor"),
        (lambda law: law.cheapest(math.nan), "loss=nan"),
        (lambda law: law.cheapest(3.0, served_tokens=-1), "served_tokens=-1"),
        (lambda law: replace(law, alpha=0), "alpha=0"),
        (lambda law: replace(law, E=-0.1), "E=-0.1"),
        (lambda law: MUENNIGHOFF_2023.effective_tokens(1e9, 0), "unique_tokens=0"),
    ],
)
def test_bad_input_is_named(asked, complaint):
    with pytest.raises(ValueError, match=complaint):
        asked(HOFFMANN_2022)


def test_floor_may_be_nothing():
    assert AdditiveLaw(E=0.0, A=1.0, B=1.0, alpha=1.0, beta=1.0).loss(2, 4) == 0.75
