"""Rows halt when they have had enough: the packed form computes what is needed, and no more."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from payattention import measure
from payattention.adaptive_compute.halting import ACT, PonderNet, Run, geometric
from payattention.adaptive_compute.repeated import RepeatedBlock, RepeatedCell
from payattention.cost import operations
from payattention.positions import Rotary
from payattention.shape import RecurrentShape, TransformerShape
from payattention.transformer import Block

SHAPE = TransformerShape(layers=1, d_model=18, heads=3, kv_heads=3, d_ff=7, vocab=11, biases="none")
ROWS, TOKENS, STEPS = 5, 7, 6
KINDS = ["rnn", "gru", "lstm", "sequence", "token", "token, causal", "token, square"]


def thinking(kind, rule, *, seed=0, bias=-1.0, **options):
    """A step, an input for it, and a rule whose amounts differ from row to row."""
    torch.manual_seed(seed)
    if kind in ("rnn", "gru", "lstm"):
        step = RepeatedCell(RecurrentShape(kind, d_input=3, d_hidden=11))
        x = 3 * torch.randn(ROWS, 3)
    else:
        step = RepeatedBlock(SHAPE, halts=kind.split(",")[0])
        x = torch.randn(ROWS, TOKENS, SHAPE.d_model)
    halting = rule(step.state_size, max_steps=STEPS, bias=bias, **options)
    spread = 12.0 if x.ndim == 2 else 4.0
    nn.init.normal_(halting.unit.weight, std=spread / math.sqrt(step.state_size))
    square = torch.rand(TOKENS, TOKENS) < 0.5
    square.fill_diagonal_(True)
    mask = {"causal": {"mask": "causal"}, "square": {"mask": square}}.get(kind[7:], {})
    return step.double(), halting.double(), x.double(), mask


def both(step, halting, x, mask):
    return [halting(step.begin(x, **mask), compact=compact) for compact in (True, False)]


@pytest.mark.parametrize("rule", [ACT, PonderNet])
@pytest.mark.parametrize("kind", KINDS)
def test_what_has_halted_need_not_be_computed(kind, rule):
    """Outputs, depths, shares, cost and all gradients are those of the form that computes all."""
    step, halting, x, mask = thinking(kind, rule)
    found = []
    for thought in both(step, halting, x, mask):
        loss = thought.mixed.square().sum() + 0.3 * thought.ponder.sum()
        parameters = [*step.parameters(), *halting.parameters()]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        found.append((thought, gradients))
    (fast, fast_gradients), (plain, plain_gradients) = found
    assert len(set(fast.depth.tolist())) > 1  # or there is nothing to test
    assert torch.equal(fast.depth, plain.depth)
    torch.testing.assert_close(fast.halt, plain.halt)
    torch.testing.assert_close(fast.mixed, plain.mixed)
    torch.testing.assert_close(fast.ponder, plain.ponder)
    for one, two in zip(fast_gradients, plain_gradients, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two)
    assert sum(fast.flops.values()) < sum(plain.flops.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_bill_is_what_a_counter_counts(kind):
    step, halting, x, mask = thinking(kind, ACT)
    if isinstance(step, RepeatedBlock):
        step.block.attention.fused = False  # a counter does not see into the kernel
    for compact in (True, False):
        thought = []
        counted = measure.flops(
            lambda: thought.append(halting(step.begin(x, **mask), compact=compact))  # noqa: B023
        )
        assert counted == sum(thought[0].flops.values())


@pytest.mark.parametrize("kind", ["gru", "sequence"])
def test_the_packed_form_computes_what_each_row_needs(kind):
    step, halting, x, mask = thinking(kind, ACT)
    thought = halting(step.begin(x, **mask))
    steps = thought.depth.sum().item()
    if kind == "gru":
        once = operations.recurrent(step.layer.shape, tokens=1)
    else:
        once = operations.block(SHAPE, tokens=TOKENS)
    needed = {part: steps * flops for part, flops in once.items()}
    needed["halting"] = steps * operations.matmul(1, step.state_size, 1)
    assert thought.flops == needed


def test_a_token_needs_its_depth_and_its_keys_once_more():
    """Who has halted is looked at, by keys made of what it ended as, while others go on."""
    step, halting, x, mask = thinking("token", ACT, bias=0.5)
    thought = halting(step.begin(x, **mask))
    depth = thought.depth.view(ROWS, TOKENS)
    longest = depth.amax(dim=1, keepdim=True)
    assert (longest < STEPS).any()  # a sequence that is over makes no keys
    made = (depth + (depth < longest)).sum().item()
    once = operations.block(SHAPE, tokens=1, queries=1, pairs=TOKENS)
    steps = depth.sum().item()
    needed = {part: steps * flops for part, flops in once.items()}
    needed["keys and values"] = made * once["keys and values"]
    needed["halting"] = steps * operations.matmul(1, SHAPE.d_model, 1)
    assert thought.flops == needed


def test_tokens_that_all_halt_together_are_a_sequence():
    """One amount for all: halting by tokens is then halting by sequences."""
    step, halting, x, mask = thinking("token", ACT)
    nn.init.zeros_(halting.unit.weight)
    by_tokens = halting(step.begin(x, **mask))
    step.halts = "sequence"
    by_sequences = halting(step.begin(x, **mask))
    torch.testing.assert_close(by_tokens.mixed.view_as(x), by_sequences.mixed)
    assert by_tokens.flops == by_sequences.flops | {"halting": by_tokens.flops["halting"]}


def test_a_token_that_has_halted_stays_as_it_is_for_the_others():
    """By hand, on two tokens: the second one looks at what the first one ended as."""
    step, _, x, _ = thinking("token", ACT)
    x = x[:1, :2]

    class Twice(ACT):
        def amounts(self, state):
            counts.append(len(state))
            first_step = len(counts) == 1
            return torch.tensor([1.0, 0.2], dtype=state.dtype) if first_step else state[:, 0] * 0

    counts = []
    rule = Twice(SHAPE.d_model, max_steps=3).double()
    thought = rule(step.begin(x))
    assert thought.depth.tolist() == [1, 3] and counts == [2, 1, 1]
    once = step.block(x)
    again = step.block(once)
    kept = torch.cat([once[:, :1], again[:, 1:]], dim=1)
    torch.testing.assert_close(thought.stages[1].state[0], again[0, 1])
    torch.testing.assert_close(thought.stages[2].state[0], step.block(kept)[0, 1])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([ACT, PonderNet]), st.floats(0.001, 0.3))
def test_shares_sum_to_one(seed, rule, epsilon):
    step, halting, x, mask = thinking("gru", rule, seed=seed, epsilon=epsilon)
    thought = halting.float()(step.float().begin(x.float(), **mask))
    sums = thought.halt.sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(ROWS), atol=1e-6, rtol=0)
    assert (thought.halt >= 0).all()
    assert thought.depth.min() >= 1 and thought.depth.max() <= STEPS
    assert (thought.halt > 0).sum(dim=1).equal(thought.depth)


def test_act_by_hand():
    """Amounts 0.3, 0.5 and 0.4: two are taken whole, the third is given what is left, 0.2."""
    amounts = iter([0.3, 0.5, 0.4, 0.9])

    class Given(ACT):
        def amounts(self, state):
            return torch.full((len(state),), next(amounts))

    states = iter([1.0, 10.0, 100.0])
    run = Run(torch.zeros(1, 1), lambda state, rows: torch.full_like(state, next(states)))
    thought = Given(1, max_steps=4)(run)
    torch.testing.assert_close(thought.halt, torch.tensor([[0.3, 0.5, 0.2]]))
    assert thought.depth.tolist() == [3]
    assert thought.ponder.item() == pytest.approx(3.2)
    assert thought.mixed.item() == pytest.approx(0.3 + 5 + 20)


def test_pondernet_by_hand():
    """Chances 0.5, 0.5 and whatever: 1/2, 1/4, and the last one has the rest."""

    class Given(PonderNet):
        def amounts(self, state):
            return torch.full((len(state),), 0.5)

    run = Run(torch.zeros(1, 1), lambda state, rows: state + 1)
    thought = Given(1, max_steps=3)(run)
    torch.testing.assert_close(thought.halt, torch.tensor([[0.5, 0.25, 0.25]]))
    expected = thought.expected(lambda state, rows: state[:, 0])
    assert expected.item() == pytest.approx(0.5 + 0.5 + 0.75)
    assert thought.divergence(thought.halt[0].detach()).item() == pytest.approx(0, abs=1e-6)
    even = torch.full((3,), 1 / 3)
    by_torch = F.kl_div(even.log(), thought.halt[0], reduction="sum")
    assert thought.divergence(even).item() == pytest.approx(by_torch.item())


@pytest.mark.parametrize("rule", [ACT, PonderNet])
def test_the_cost_has_the_gradient_that_differences_give(rule):
    step, halting, x, mask = thinking("gru", rule, seed=3)
    prior = geometric(0.4, STEPS).double()

    def cost():
        thought = halting(step.begin(x, **mask))
        return thought.ponder.sum() if rule is ACT else thought.divergence(prior)

    gradient = torch.autograd.grad(cost(), halting.unit.weight)[0].flatten()
    small, numeric = 1e-6, []
    with torch.no_grad():
        for place in range(gradient.numel()):
            sides = []
            for sign in (1, -1):
                halting.unit.weight[0, place] += sign * small
                sides.append(cost())
                halting.unit.weight[0, place] -= sign * small
            numeric.append((sides[0] - sides[1]) / (2 * small))
    torch.testing.assert_close(gradient, torch.stack(numeric), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drawn", [True, False])
def test_pondernet_computes_up_to_the_step_that_is_drawn(kind, drawn):
    step, halting, x, mask = thinking(kind, PonderNet)
    rows = len(step.begin(x, **mask).state)
    chances = torch.rand(rows, STEPS, generator=torch.Generator().manual_seed(1))
    chances = {"chances": chances.double()} if drawn else {}
    fast, plain = (
        halting.draw(step.begin(x, **mask), compact=compact, **chances) for compact in (True, False)
    )
    torch.testing.assert_close(fast[0], plain[0])
    assert torch.equal(fast[1], plain[1]) and len(set(fast[1].tolist())) > 1
    assert sum(fast[2].values()) < sum(plain[2].values())


def test_steps_are_drawn_as_often_as_their_shares_say():
    step, halting, x, mask = thinking("gru", PonderNet, epsilon=1e-6)
    many = x[:1].expand(20_000, -1)
    shares = halting(step.begin(x[:1], **mask)).halt[0]
    chances = torch.rand(20_000, STEPS, generator=torch.Generator().manual_seed(0)).double()
    _, depth, _ = halting.draw(step.begin(many, **mask), chances=chances)
    often = torch.bincount(depth - 1, minlength=len(shares))[: len(shares)] / 20_000
    torch.testing.assert_close(often.double(), shares, atol=0.015, rtol=0)


def test_the_median_is_where_half_of_the_shares_are_spent():
    step, halting, x, mask = thinking("gru", PonderNet, epsilon=1e-9)
    spent = halting(step.begin(x, **mask)).halt.cumsum(dim=1)
    _, depth, flops = halting.draw(step.begin(x, **mask))
    assert torch.equal(depth, (spent < 0.5).sum(dim=1) + 1)
    assert flops["halting"] == int(depth.sum()) * operations.matmul(1, step.state_size, 1)


def test_the_flag_marks_the_first_step_and_no_other():
    """By PyTorch's own kernel, over the input with its flag, then without."""
    step, halting, x, mask = thinking("gru", ACT)
    thought = halting(step.begin(x, **mask), until=torch.full((ROWS,), STEPS))
    inputs = F.pad(x[:, None].expand(-1, STEPS, -1), (0, 1))
    inputs[:, 0, -1] = 1.0
    states, _ = step.layer.kernel(inputs)
    for place, stage in enumerate(thought.stages):
        torch.testing.assert_close(stage.state, states[:, place])


def test_a_run_may_begin_anywhere():
    step, halting, x, _ = thinking("gru", ACT)
    state = torch.randn(ROWS, step.state_size).double()
    once = torch.ones(ROWS, dtype=torch.long)
    begun = halting(step.begin(x, state), until=once).mixed
    torch.testing.assert_close(
        begun, step.layer.kernel(F.pad(x, (0, 1), value=1.0)[:, None], state[None])[0][:, 0]
    )


@pytest.mark.parametrize("kind", ["gru", "sequence", "token"])
def test_depths_may_be_given(kind):
    step, halting, x, mask = thinking(kind, ACT)
    rows = len(step.begin(x, **mask).state)
    until = torch.arange(rows) % (STEPS + 3) + 1
    states = halting(step.begin(x, **mask), until=torch.full((rows,), STEPS), compact=False)
    thought = halting(step.begin(x, **mask), until=until)
    assert torch.equal(thought.depth, until.clamp(max=STEPS))
    torch.testing.assert_close(thought.halt.sum(dim=1), torch.ones(rows).double())
    if kind != "token":  # whose rows look at one another
        for row, depth in enumerate(thought.depth.tolist()):
            torch.testing.assert_close(thought.mixed[row], states.stages[depth - 1].state[row])


def test_expectation_and_divergence_are_means_over_rows():
    step, halting, x, mask = thinking("gru", PonderNet)
    thought = halting(step.begin(x, **mask))
    assert thought.expected(lambda state, rows: rows.double()).item() == pytest.approx(2.0)
    prior = geometric(0.3, STEPS).double()
    shares = F.pad(thought.halt, (0, STEPS - thought.halt.shape[1]))
    theirs = F.kl_div(prior.log().expand_as(shares), shares, reduction="batchmean")
    torch.testing.assert_close(thought.divergence(prior), theirs)


def test_a_sequence_halts_by_the_mean_of_its_tokens():
    _, halting, _, _ = thinking("sequence", ACT)
    state = torch.randn(3, TOKENS, SHAPE.d_model).double()
    amounts = halting.amounts(state)
    torch.testing.assert_close(amounts, halting.amounts(state.flip(1)))
    torch.testing.assert_close(amounts, halting.amounts(state.mean(dim=1)))


def test_a_repeated_block_turns_by_place_where_its_shape_says_so():
    turned = RepeatedBlock(SHAPE).double()
    x = torch.randn(2, TOKENS, SHAPE.d_model).double()
    own = Block(SHAPE, rotate=Rotary()).double()
    own.load_state_dict(turned.block.state_dict())
    torch.testing.assert_close(turned.block(x), own(x))
    plain = RepeatedBlock(replace(SHAPE, positions="none")).double()
    torch.testing.assert_close(plain.block(x.flip(1)), plain.block(x).flip(1))
    assert not torch.allclose(turned.block(x.flip(1)), turned.block(x).flip(1))


def test_the_border_itself_is_enough():
    """Graves's equation 7: halt at the first step at which the sum is at least 1 - epsilon."""
    step, _, x, mask = thinking("gru", ACT)
    halting = ACT(step.state_size, max_steps=STEPS, epsilon=0.5, bias=0.0).double()
    nn.init.zeros_(halting.unit.weight)
    assert (halting(step.begin(x, **mask)).depth == 1).all()


def test_geometric_is_cut_off_and_sums_to_one():
    prior = geometric(0.2, 20)
    assert prior.sum().item() == pytest.approx(1)
    torch.testing.assert_close(prior[1:] / prior[:-1], torch.full((19,), 0.8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ACT(3, max_steps=0), r"max_steps=0: expected a whole number of at least 1"),
        (lambda: ACT(3, max_steps=True), r"max_steps=True"),
        (lambda: PonderNet(3, max_steps=2, epsilon=1.0), r"epsilon=1.0: expected more than 0"),
        (lambda: ACT(3, max_steps=2, epsilon=0.0), r"epsilon=0.0"),
        (lambda: geometric(0.0, 3), r"rate=0.0: expected more than 0 and less than 1"),
        (lambda: geometric(1.5, 3), r"rate=1.5"),
        (lambda: geometric(0.5, 0), r"^steps=0: expected a whole number of at least 1"),
        (
            lambda: RepeatedBlock(replace(SHAPE, positions="learned", context=9)),
            r"positions='learned': expected 'rotary' or 'none'",
        ),
        (lambda: RepeatedBlock(replace(SHAPE, positions="alibi")), r"positions='alibi'"),
        (lambda: RepeatedBlock(SHAPE, halts="layer"), r"halts='layer': expected 'sequence'"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (torch.tensor([0.5, 0.4]), r"prior: got a sum of 0.9"),
        (torch.tensor([1.5, -0.5]), r"prior: .* from 0 up"),
        (torch.tensor([1.0]), r"prior: got 1 steps; expected"),
        (torch.tensor([float("nan"), 1.0]), r"prior: got a sum of nan"),
    ],
)
def test_a_prior_is_a_distribution_over_the_steps(prior, message):
    step, halting, x, mask = thinking("gru", PonderNet, epsilon=1e-9)
    thought = halting(step.begin(x, **mask))
    with pytest.raises(ValueError, match=message):
        thought.divergence(prior)


@pytest.mark.parametrize("until", [torch.ones(ROWS + 1), torch.zeros(ROWS)])
def test_given_depths_are_one_number_a_row(until):
    step, halting, x, mask = thinking("gru", ACT)
    with pytest.raises(ValueError, match=r"until: got shape .*; expected 5 numbers of at least 1"):
        halting(step.begin(x, **mask), until=until.long())


def test_a_run_is_used_once():
    step, halting, x, mask = thinking("gru", PonderNet)
    for use in (halting, halting.draw):
        run = step.begin(x, **mask)
        use(run)
        with pytest.raises(ValueError, match="run: got one that has been used"):
            use(run)
