"""Checks of exercises: right answers pass, and each wrong one is told what is wrong with it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from payattention import associative_memory, attention, checks, fits, generation, positions
from payattention.checks.check import Check, Mistake, difference
from payattention.cost import hardware, parameters, roofline
from payattention.shape import GPT2_SMALL, gpt

sigmoid, tanh = torch.sigmoid, torch.tanh
ALL = ["gru_step", "half_life", "receptive_field", "combine", "recall_from_state", "kv_cache_bytes"]
ALL += ["soft_lookup", "causal_attention", "pairs", "score_spread", "attention_parameters"]
ALL += ["where_to_look", "rotate_pair", "interpolated"]
ALL += ["pre_norm_block", "count_parameters", "continued_attention", "kv_cache_step", "top_p"]
ALL += ["masked_loss"]
ALL += ["best_size", "foretold", "valley_bottom"]
ALL += ["near_in_a_picture", "rolling_step", "window_pairs"]
ALL += ["gates", "wanda_keeps", "csr_bytes"]
ALL += ["mix", "calibration_error", "cut_share"]
ALL += ["act", "pondered", "door_flops"]
ALL += ["online_softmax", "training_flops", "kv_cache_tokens", "seconds_at_least"]


@pytest.fixture(autouse=True)
def first_hints():
    for name in ALL:
        getattr(checks, name).start_again()


# Right answers, written out as a reader would


def act_by_sums(amounts, epsilon, *, last=None, forced=True, early=0):
    """The shares by the running sum; `last` says what the last step is given."""
    total, steps = 0.0, 0
    while total < 1 - epsilon and steps < len(amounts) + (not forced):
        total += [*amounts, 1.0][steps]
        steps += 1
    steps += early
    before = [*amounts, 1.0][: steps - 1]
    rest = 1 - sum(before) if last is None else last([*amounts, 1.0][steps - 1])
    return torch.tensor([*before, rest])


def act_one_step_late(amounts, epsilon):
    """A step that fills the sum is not taken for the last one."""
    shares = []
    for step, amount in enumerate(amounts):
        left = 1 - sum(shares)
        if left <= epsilon or step == len(amounts) - 1:
            return [*shares, left]
        shares.append(min(amount, left))
    return shares


def pondered_by_products(chances, *, rest=True, late=False):
    """Shares as products of who is left, and who goes."""
    going = torch.tensor([0.0, *chances[:-1]])
    left = (1 - going).cumprod(0)
    shares = left * torch.tensor(chances)
    if late:
        shares = shares * (1 - torch.tensor(chances))
    if rest:
        shares[-1] = left[-1]
    return shares


def door_by_door(layers, behind, d, vocab, *, doors=None, owed=2, per=2):
    """Layer by layer: what is computed, what is asked, what is owed."""
    flops = 0
    for layer in range(1, layers + 1):
        flops += 24 * d * d if layer <= behind else owed * per * d * d
        asked = layer <= behind if doors is None else layer in doors
        flops += per * d * vocab * asked
    return flops


def near_one_by_one(rows, columns, side, near, *, itself=True, ahead=False, most=None, wrap=False):
    most = near if most is None else most
    found = torch.zeros(len(rows), columns.shape[1], dtype=torch.bool)
    for i in range(len(rows)):
        for j in range(columns.shape[1]):
            (y, x), (v, u) = divmod(i, side), divmod(j, side)
            down, across = abs(y - v), abs(x - u)
            if wrap:
                down, across = divmod(abs(i - j), side)
            past = j < i or (itself and j == i) or (ahead and j > i)
            found[i, j] = past and down <= most and across <= most
    return found


def mixed_one_by_one(images, labels, order, shares, *, of=None, of_labels=None):
    """Each example by itself; `of` says what share of itself an example keeps."""
    of = of or (lambda i: float(shares[i]))
    of_labels = of_labels or of
    x, y = [], []
    for i, j in enumerate(order.tolist()):
        x.append(of(i) * images[i] + (1 - of(i)) * images[j])
        y.append(of_labels(i) * labels[i] + (1 - of_labels(i)) * labels[j])
    return torch.stack(x), torch.stack(y)


def broadcast(x, order, shares):
    return torch.einsum("...w,w->...w", x, shares) + torch.einsum(
        "...w,w->...w", x[order], 1 - shares
    )


def gaps_of_bins(sure, right, bins):
    """The number of examples in each bin that has any, and how much too sure it is."""
    sure, right = sure.tolist(), right.tolist()
    found = []
    for k in range(bins):
        inside = [i for i, s in enumerate(sure) if k / bins < s <= (k + 1) / bins]
        if inside:
            mean = [sum(x[i] for i in inside) / len(inside) for x in (sure, right)]
            found.append((len(inside), mean[0] - mean[1]))
    return found


def calibrated_bin_by_bin(sure, right, bins):
    return sum(n * abs(gap) for n, gap in gaps_of_bins(sure, right, bins)) / len(sure)


def cut_pixel_by_pixel(height, width, middle, side, *, before=True, behind=True):
    covered = 0
    for row in range(middle[0] - side // 2, middle[0] + side // 2):
        for column in range(middle[1] - side // 2, middle[1] + side // 2):
            inside = (min(row, column) >= 0) or not before
            inside &= (row < height and column < width) or not behind
            covered += inside
    return 1 - covered / height / width


def rolled_in_a_list(kept, new, size):
    rows = [*kept, new]
    while len(rows) > size:
        rows.pop(0)
    return torch.stack(rows)


def gates_row_by_row(logits, chosen, *, scaled=True, lowest=False):
    rows = []
    for row in logits:
        best = sorted(range(len(row)), key=lambda expert: row[expert], reverse=not lowest)[:chosen]
        sizes = torch.tensor([float(n in best) for n in range(len(row))]) * row.exp()
        rows.append(sizes / (sizes.sum() if scaled else row.exp().sum()))
    return torch.stack(rows)


def wanda_row_by_row(weights, inputs, *, norms=lambda inputs: (inputs**2).sum(dim=0).sqrt()):
    kept = []
    for row in weights:
        scores = (row.abs() * norms(inputs)).tolist()
        best = sorted(range(len(scores)), key=lambda n: scores[n])[(len(scores) + 1) // 2 :]
        kept.append([n in best for n in range(len(scores))])
    return torch.tensor(kept)


def half_of_rows(scores):
    kept = torch.zeros_like(scores, dtype=torch.bool)
    return kept.scatter(1, scores.topk(scores.shape[1] // 2, dim=1).indices, True)


def half_of_all(scores):
    return half_of_rows(scores.reshape(1, -1)).view_as(scores)


def by_parts(rows, columns, zeros, *, starts=1, index=4):
    kept = rows * columns - zeros
    values, columns_of, rows_of = 4 * kept, index * kept, index * (rows + starts)
    return values + columns_of + rows_of


def gru(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    x_r, x_z, x_n = (x @ weight_ih.T + bias_ih).chunk(3, dim=-1)
    h_r, h_z, h_n = (h @ weight_hh.T + bias_hh).chunk(3, dim=-1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return z * h + (1 - z) * tanh(x_n + r * h_n)


def gru_by_torch(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    cell = torch.nn.GRUCell(x.shape[1], h.shape[1])
    for name, value in zip(
        ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
        (weight_ih, weight_hh, bias_ih, bias_hh),
        strict=True,
    ):
        getattr(cell, name).data = value
    return cell(x, h)


def reach_by_counting(kernel, dilations):
    seen = {0}
    for dilation in dilations:
        seen = {token + dilation * tap for token in seen for tap in range(kernel)}
    return max(seen) + 1


def recall_by_loop(keys, values, queries):
    state = sum(torch.outer(k, v) for k, v in zip(keys, values, strict=True))
    return [min(range(len(values)), key=lambda i: (values[i] - q @ state).norm()) for q in queries]


def lookup_by_loop(query, keys, values):
    fits = [math.exp(sum(query * key) / len(query) ** 0.5) for key in keys]
    return sum(fit / sum(fits) * value for fit, value in zip(fits, values, strict=True))


def causal_by_loop(queries, keys, values):
    rows = zip(queries, range(1, len(queries) + 1), strict=True)
    return torch.stack([lookup_by_loop(query, keys[:n], values[:n]) for query, n in rows])


def causal_by_renormalising(queries, keys, values):
    weights = (queries @ keys.T / math.sqrt(queries.shape[1])).softmax(1).tril()
    return weights / weights.sum(dim=1, keepdim=True) @ values


def causal_by_adding(queries, keys, values):
    future = torch.full((len(queries), len(keys)), -math.inf).triu(1)
    return (queries @ keys.T / math.sqrt(queries.shape[1]) + future).softmax(1) @ values


def pairs_by_counting(tokens, prefix):
    places = range(tokens)
    return sum(key <= query or key < prefix for query in places for key in places)


def look_by_going_back(tokens):
    for place in reversed(range(len(tokens) - 1)):
        if tokens[place] == tokens[-1]:
            return place + 1


def turned_by_matrix(x, y, position, frequency):
    cos, sin = np.cos(position * frequency), np.sin(position * frequency)
    return tuple(np.array([[cos, -sin], [sin, cos]]) @ [x, y])


def pre_norm_written_out(block, x):
    def normed(norm, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.var(-1, keepdim=True, correction=0) + 1e-5) ** 0.5 * norm.weight

    x = x + block.attention(normed(block.norm, x) + block.norm.bias, mask="causal")
    return x + block.mlp(normed(block.mlp_norm, x) + block.mlp_norm.bias)


def parameters_by_map(config):
    d, wide = config["d_model"], config["d_ff"]
    maps = [(d, d)] * 4 + [(d, wide), (wide, d)]
    block = sum(read * given + given for read, given in maps) + 2 * (d + d)
    return config["vocab"] * d + config["context"] * d + config["layers"] * block + d + d


def continued_row_by_row(queries, keys, values):
    kept = len(keys) - len(queries)
    sees = enumerate(queries, start=kept + 1)
    return torch.stack([lookup_by_loop(query, keys[:n], values[:n]) for n, query in sees])


def queries_keys_values(layer, x):
    maps = layer.queries, layer.keys, layer.values
    return [attention.split_heads(one(x), layer.heads) for one in maps]


def behind(layer, mixed):
    return layer.output(attention.join_heads(mixed))


def step_by_fused_kernel(layer, x, kept):
    q, k, v = queries_keys_values(layer, x)
    if kept:
        k, v = torch.cat([kept["k"], k], dim=2), torch.cat([kept["v"], v], dim=2)
    return behind(layer, scaled_dot_product_attention(q, k, v)), {"k": k, "v": v}


def step_by_list(layer, x, kept):
    q, k, v = queries_keys_values(layer, x)
    kept = [*(kept or []), (k, v)]
    keys, values = (torch.cat(one, dim=2) for one in zip(*kept, strict=True))
    return behind(layer, attention.attend(q, keys, values)), kept


def step_by_library(layer, x, kept):
    kept = kept or attention.KeysAndValues()
    return layer(x, mask="causal", kept=kept), kept


def step_by_weights(layer, x, kept):
    maps = layer.queries, layer.keys, layer.values
    q, k, v = (attention.split_heads(x @ one.weight.T + one.bias, layer.heads) for one in maps)
    kept = [*(kept or []), (k, v)]
    keys, values = (torch.cat(one, dim=2) for one in zip(*kept, strict=True))
    return behind(layer, attention.attend(q, keys, values)), kept


def top_p_by_loop(probabilities, share):
    left, total = [0.0] * len(probabilities), 0.0
    for token in sorted(range(len(left)), key=lambda token: -probabilities[token]):
        if total >= share:
            break
        left[token] = float(probabilities[token])
        total += left[token]
    return [one / total for one in left]


def masked_loss_by_loop(logits, ids, hidden):
    losses = [
        -math.log(logits[row, place].softmax(-1)[ids[row, place]])
        for row, place in hidden.nonzero().tolist()
    ]
    return sum(losses) / len(losses)


def merged_by_logarithms(first, then):
    (a, total, mixed), (b, total_then, mixed_then) = first, then
    largest = max(a, b)
    whole = torch.logaddexp(a + total.log(), b + total_then.log()) - largest
    return largest, whole.exp(), mixed * math.exp(a - largest) + mixed_then * math.exp(b - largest)


def merged_by_case(first, then):
    if first[0] < then[0]:
        first, then = then, first
    shrink = math.exp(then[0] - first[0])
    return [first[0], first[1] + shrink * then[1], first[2] + shrink * then[2]]


def training_product_by_product(config, tokens):
    d, wide, head = config["d_model"], config["d_ff"], config["d_model"] // config["heads"]
    products = [(tokens, d, d)] * 4 + [(tokens, d, wide), (tokens, wide, d)]
    products += [(tokens, head, tokens), (tokens, tokens, head)] * config["heads"]
    products = products * config["layers"] + [(tokens, d, config["vocab"])]
    return sum(3 * 2 * math.prod(sizes) for sizes in products)


def fitting_one_after_the_other(config, memory_bytes):
    c = config
    layer = 2 * c["kv_heads"] * c["d_head"] * c["bytes_per_number"]
    left = memory_bytes - c["parameters"] * c["bytes_per_number"]
    tokens = 0
    while left >= (tokens + 1) * c["layers"] * layer:
        tokens += 1
    return tokens


def roof_by_loop(flops, bytes, flops_per_second, bytes_per_second):
    total = 0.0
    for count, size in zip(flops, bytes, strict=True):
        computing, fetching = count / flops_per_second, size / bytes_per_second
        total += computing if computing > fetching else fetching
    return total


def vars_of(law):
    return law.E, law.A, law.B, law.alpha, law.beta


def best_size_by_search(A, B, alpha, beta, flops):
    from scipy.optimize import minimize_scalar

    def log_slope(x):  # zero at the best size; x is the logarithm of the size
        n, d = math.exp(x), flops / 6 / math.exp(x)
        return (alpha * A / n**alpha - beta * B / d**beta) ** 2 / (A / n**alpha) ** 2

    middle = math.log(flops / 6) / 2
    grid = min(np.linspace(middle - 8, middle + 8, 2001), key=log_slope)
    found = minimize_scalar(log_slope, bounds=(grid - 0.01, grid + 0.01), options={"xatol": 1e-12})
    return math.exp(found.x), flops / 6 / math.exp(found.x)


def shared(A, B, alpha, beta, flops, *, ratio=None, root=None, exponent=None):
    ratio = alpha * A / beta / B if ratio is None else ratio
    root = 1 / (alpha + beta) if root is None else root
    exponent = beta / (alpha + beta) if exponent is None else exponent
    size = ratio**root * (flops / 6) ** exponent
    return size, flops / 6 / size


def through(x, y):
    x = np.asarray(x, float)
    (a, b, _), *_ = np.linalg.lstsq(np.stack([x**2, x, x**0], 1), np.asarray(y, float), rcond=None)
    return -b / 2 / a


def bottom_by_derivative(parameters, losses):
    curve = np.polynomial.Polynomial.fit(np.log(parameters), losses, 2)
    return float(np.exp(curve.deriv().roots()[0]))


def fitted_by_least_squares(parameters, tokens, losses):
    from scipy.optimize import least_squares

    def off(theta):
        e, a, b, alpha, beta = theta
        told = np.exp(e) + np.exp(a) / parameters**alpha + np.exp(b) / tokens**beta
        return np.log(told / losses)

    e, a, b, alpha, beta = least_squares(off, [0.5, 3.5, 4.5, 0.45, 0.4], xtol=1e-15, ftol=1e-15).x
    return math.exp(e), math.exp(a), math.exp(b), alpha, beta


def one_term(x, losses, *, text=False):
    law = fits.power_law(x, losses, starts=9)
    A = law.scale**law.exponent
    return (law.floor, 0, A, 1, law.exponent) if text else (law.floor, A, 0, law.exponent, 1)


RIGHT = [
    ("gru_step", gru),
    ("gru_step", gru_by_torch),
    ("half_life", lambda gate: math.log2(0.5) / math.log2(gate)),
    ("half_life", lambda gate: torch.log(torch.tensor(0.5)) / np.log(gate)),
    ("receptive_field", lambda kernel, dilations: sum((kernel - 1) * d for d in dilations) + 1),
    ("receptive_field", reach_by_counting),
    ("combine", lambda one, two: (one[0] * two[0], two[0] * one[1] + two[1])),
    ("combine", lambda one, two: [two[0] * one[0], two[1] + two[0] * one[1]]),
    ("recall_from_state", recall_by_loop),
    ("recall_from_state", lambda k, v, q: ((q @ (k.T @ v)) @ v.T).argmax(dim=1).numpy()),
    ("kv_cache_bytes", lambda layers, heads, d, n, size: layers * heads * n * size * (d + d)),
    ("soft_lookup", lookup_by_loop),
    ("soft_lookup", lambda q, k, v: scaled_dot_product_attention(q[None], k, v).squeeze(0)),
    ("soft_lookup", lambda q, k, v: (q / len(q) ** 0.5 @ k.T).double().softmax(-1) @ v.double()),
    ("causal_attention", causal_by_loop),
    ("causal_attention", causal_by_renormalising),
    ("causal_attention", causal_by_adding),
    ("causal_attention", lambda *qkv: scaled_dot_product_attention(*qkv, is_causal=True)),
    ("pairs", pairs_by_counting),
    ("pairs", lambda n, p: (n * n + n + p * p - p) / 2),
    ("score_spread", lambda d: d**0.5),
    ("score_spread", lambda d: torch.tensor(d).sqrt()),
    ("attention_parameters", lambda d, heads, kv_heads: 2 * d * d * (1 + kv_heads / heads)),
    ("attention_parameters", lambda d, heads, kv: 2 * d * (d // heads) * (heads + kv)),
    ("where_to_look", look_by_going_back),
    ("rotate_pair", turned_by_matrix),
    ("interpolated", lambda position, trained, wanted: position / (wanted / trained)),
    ("pre_norm_block", pre_norm_written_out),
    ("count_parameters", parameters_by_map),
    ("continued_attention", continued_row_by_row),
    (
        "continued_attention",
        lambda q, k, v: hidden(q, k, torch.ones(len(q), len(k)).tril(len(k) - len(q)) > 0) @ v,
    ),
    ("kv_cache_step", step_by_fused_kernel),
    ("kv_cache_step", step_by_list),
    ("kv_cache_step", step_by_library),
    ("kv_cache_step", step_by_weights),
    ("top_p", top_p_by_loop),
    ("masked_loss", masked_loss_by_loop),
    ("masked_loss", lambda logits, ids, hidden: cross_entropy(logits[hidden], ids[hidden])),
    (
        "masked_loss",
        lambda logits, ids, hidden: cross_entropy(logits.mT, ids.where(hidden, -100)),
    ),
    ("online_softmax", merged_by_logarithms),
    ("online_softmax", merged_by_case),
    ("training_flops", training_product_by_product),
    ("kv_cache_tokens", fitting_one_after_the_other),
    ("best_size", best_size_by_search),
    ("valley_bottom", bottom_by_derivative),
    ("near_in_a_picture", near_one_by_one),
    ("window_pairs", lambda n, w: n * min(n, w) - min(n, w) * (min(n, w) - 1) // 2),
    ("rolling_step", rolled_in_a_list),
    ("gates", gates_row_by_row),
    ("wanda_keeps", wanda_row_by_row),
    ("csr_bytes", by_parts),
    ("act", act_by_sums),
    ("pondered", pondered_by_products),
    ("door_flops", door_by_door),
    ("mix", mixed_one_by_one),
    ("calibration_error", calibrated_bin_by_bin),
    ("cut_share", cut_pixel_by_pixel),
    ("foretold", lambda *runs: vars_of(fits.additive(*runs, starts=3))),
    ("foretold", fitted_by_least_squares),
    ("seconds_at_least", roof_by_loop),
    (
        "seconds_at_least",
        lambda f, b, F, B: np.maximum(np.array(f) / F, np.array(b) / B).sum(),
    ),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_answers_pass(name, answer):
    verdict = getattr(checks, name)(answer)
    assert verdict, verdict
    assert verdict.text.startswith("Right")


def test_solutions_give_published_numbers():
    # the half-life of a gate of 0.9, log(1/2)/log(0.9); WaveNet's ten layers of kernel 2;
    # Llama 3 8B (32 layers, 8 heads of keys and values, width 128) at 8,192 tokens: 1 GiB
    assert checks.half_life.solution(0.9) == pytest.approx(6.578813)
    assert checks.receptive_field.solution(2, [2**power for power in range(10)]) == 1024
    assert checks.kv_cache_bytes.solution(32, 8, 128, 8192, 2) == 2**30
    assert checks.combine.solution((2.0, 1.0), (3.0, 5.0)) == (6.0, 8.0)


def test_state_solution_agrees_with_the_library():
    shares = []
    for keys, values, _ in checks.recall_from_state.cases[:2]:
        found = checks.recall_from_state.solution(keys, values, keys)
        shares.append((found == torch.arange(len(keys))).float().mean().item())
        assert shares[-1] == associative_memory.recalled_by_state(keys, values)
    assert shares[0] == 1 and shares[1] < 1  # the second case holds more than fits


def test_pairs_are_those_of_the_mask():
    for tokens, prefix in checks.pairs.cases:
        allowed = attention.prefix_mask(tokens, prefix=prefix).sum()
        assert checks.pairs.solution(tokens, prefix) == allowed


def test_scores_spread_as_the_solution_says():
    for (d_head,) in checks.score_spread.cases:
        queries, keys = torch.randn(2, 20_000, d_head)
        measured = (queries * keys).sum(dim=1).std()
        assert measured == pytest.approx(checks.score_spread.solution(d_head), rel=0.03)


def test_attention_parameters_are_those_of_the_layer():
    for d_model, heads, kv_heads in checks.attention_parameters.cases:
        layer = attention.MultiHeadAttention(d_model, heads=heads, kv_heads=kv_heads)
        count = sum(weights.numel() for weights in layer.parameters())
        assert checks.attention_parameters.solution(d_model, heads, kv_heads) == count
        assert isinstance(checks.attention_parameters.solution(d_model, heads, kv_heads), int)


def test_turned_pairs_are_those_of_rotary():
    width, place = 6, 11
    vector = torch.arange(1.0, 7.0)
    turned = positions.Rotary()(vector[None], start=place)[0]
    for pair, frequency in enumerate(positions.frequencies(width).tolist()):
        x, y = vector[2 * pair : 2 * pair + 2].tolist()
        expected = checks.rotate_pair.solution(x, y, place, frequency)
        assert turned[2 * pair : 2 * pair + 2].tolist() == pytest.approx(expected, abs=1e-5)


def test_interpolated_positions_are_those_of_a_squeezed_rotary():
    trained, wanted, vector = 5, 20, torch.randn(1, 6)
    squeezed = positions.Rotary(squeeze=wanted / trained)(vector.expand(wanted, 6))
    place = checks.interpolated.solution(16, trained, wanted)
    assert place == 4
    torch.testing.assert_close(squeezed[16:17], positions.Rotary()(vector, start=int(place)))


def test_the_counted_parameters_are_published_ones():
    """GPT-2: 124,439,808, in a checkpoint; and those of a shape, which test_shape.py builds."""
    for (config,) in checks.count_parameters.cases:
        names = ("layers", "d_model", "d_ff", "vocab", "context")
        assert tuple(config) == names
        shape = replace(gpt(1, config["d_model"], 1, context=config["context"]), **config)
        counted = checks.count_parameters.solution(config)
        assert counted == sum(parameters.decoder(shape).values())
    small = {name: getattr(GPT2_SMALL, name) for name in names}
    assert checks.count_parameters.solution(small) == 124_439_808
    without = checks.count_parameters.mistakes["no_biases_at_all"]
    assert without.answer(small) == 124_337_664 and "124,337,664" in without.says


def test_a_cached_step_gives_what_the_layer_gives():
    for layer, text in checks.kv_cache_step.cases:
        for fused in (True, False):
            layer.fused, kept, outputs = fused, None, []
            for x in text.split(1, dim=1):
                output, kept = checks.kv_cache_step.solution(layer, x, kept)
                outputs.append(output)
            torch.testing.assert_close(
                torch.cat(outputs, dim=1), layer(text, mask="causal"), atol=1e-5, rtol=1e-5
            )
        layer.fused = True


def test_work_that_is_done_again_is_told():
    """Right outputs are not enough; work in vain that does not grow is no fault of the cache."""
    check = checks.kv_cache_step
    outputs, said = check._use(step_by_list, *check.cases[1])
    assert outputs.shape == (2, 13, 15) and said == "each token mapped once"
    text = check(step_of_keys_again).text
    assert "layer, a MultiHeadAttention, text of shape (2, 7, 10)" in text
    assert (
        "Value 2 of 2: Expected 'each token mapped once', got 'earlier tokens mapped again'" in text
    )

    def twice(layer, x, kept):
        step_by_list(layer, x, kept)
        return step_by_list(layer, x, kept)

    assert check(twice)


def test_a_step_without_a_pair_is_told_so():
    check = checks.kv_cache_step
    assert "does it end with a return?" in check(lambda layer, x, kept: None).text
    assert "Expected 2 values, got a tensor of shape" in check(lambda layer, x, kept: x).text
    broken = check(lambda layer, x, kept: (layer.keys(x).nothing, kept)).text
    assert "raised AttributeError" in broken and "layer.keys(x).nothing" in broken


def test_weights_and_configs_may_not_be_changed():
    def zeroing(block, x):
        y = pre_norm_written_out(block, x)
        block.mlp.widen.weight.zero_()
        return y

    assert "changed its argument block in place" in checks.pre_norm_block(zeroing).text

    def popping(config):
        return parameters_by_map(config) + 0 * config.pop("layers")

    assert "changed its argument config in place" in checks.count_parameters(popping).text
    assert difference({"a": 1}, {"a": 2}) and difference({"a": 1}, {"b": 1})
    assert difference({"a": 1}, {"a": 1}) is None and difference({"a": 1}, 1)


def test_gaps_are_unlike_from_text_to_text():
    for _, ids, hidden in checks.masked_loss.cases:
        counts = hidden.sum(dim=1)
        assert counts.min() >= 1 and len(set(counts.tolist())) > 1
        assert ids.shape == hidden.shape


def test_top_p_is_what_the_sampler_does():
    for probabilities, share in checks.top_p.cases:
        row = generation.Sampler(top_p=share).probabilities(probabilities.log()[None])
        torch.testing.assert_close(
            torch.tensor(top_p_by_loop(probabilities, share))[None], row, atol=1e-6, rtol=1e-5
        )


def test_merged_parts_are_the_softmax_of_the_row():
    scores, values = torch.tensor([3.0, -1.0, 1e3]).double(), torch.randn(3, 2).double()
    first, then = (
        (s.max(), (s - s.max()).exp().sum(), (s - s.max()).exp() @ v)
        for s, v in ((scores[:2], values[:2]), (scores[2:], values[2:]))
    )
    _, total, mixture = checks.online_softmax.solution(first, then)
    torch.testing.assert_close(mixture / total, scores.softmax(0) @ values)


def test_solutions_of_the_bill_are_those_of_the_cost_model():
    config = dict(layers=12, d_model=768, heads=12, d_ff=3072, vocab=50257)
    # GPT-2 small at 1,024 tokens: three times 291,648,307,200
    assert checks.training_flops.solution(config, 1024) == 3 * 291_648_307_200
    (config, left), answer = checks.kv_cache_tokens.cases[0], checks.kv_cache_tokens.solution
    # Llama 3 8B at 16 bits: 24 GB less 16.06 GB, at 131,072 bytes a token
    assert answer(config, left) == (24_000_000_000 - 16_060_522_496) // 131_072
    on = hardware.Accelerator("by hand", {"float32": 2.0}, 4.0, 1.0, 1.0, source="nowhere")
    work = dict(computes=roofline.Work(6, 4), fetches=roofline.Work(2, 20))
    assert checks.seconds_at_least.solution([6, 2], [4, 20], 2, 4) == 3 + 5
    assert sum(roofline.seconds(work, on=on).values()) == 3 + 5


# Wrong answers, as readers write them


def scores(q, k):
    return q @ k.T / math.sqrt(q.shape[-1])


def shown(q, k):
    """True where a token may look."""
    return torch.arange(len(q))[:, None] >= torch.arange(len(k))


def hidden(q, k, see, axis=-1):
    return torch.where(see, scores(q, k), torch.tensor(-torch.inf)).softmax(axis)


def last_place(tokens, *, before=()):
    places = [place for place in range(len(tokens) - 1) if tokens[place] == tokens[-1]]
    return (*before, *places)[-1] if places or before else None


def moved(by):
    def answer(tokens):
        place = last_place(tokens)
        return place if place is None else by(tokens, place)

    return answer


def turn(angle, pair):
    def answer(x, y, position, frequency):
        by = angle(position, frequency)
        return pair(x, y, math.cos(by), math.sin(by))

    return answer


def product(position, frequency):
    return position * frequency


def rightly(x, y, c, s):
    return x * c - y * s, x * s + y * c


def overwritten(x, y, position, frequency):
    cos, sin = math.cos(position * frequency), math.sin(position * frequency)
    x = x * cos - y * sin
    y = x * sin + y * cos
    return x, y


def gru_no_transpose(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    return gru(x, h, weight_ih.T, weight_hh.T, bias_ih, bias_hh)


def gru_reset_before(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    (w_r, w_z, w_n), (u_r, u_z, u_n) = weight_ih.chunk(3), weight_hh.chunk(3)
    (b_r, b_z, b_n), (c_r, c_z, c_n) = bias_ih.chunk(3), bias_hh.chunk(3)
    r = sigmoid(x @ w_r.T + b_r + h @ u_r.T + c_r)
    z = sigmoid(x @ w_z.T + b_z + h @ u_z.T + c_z)
    return z * h + (1 - z) * tanh(x @ w_n.T + b_n + (r * h) @ u_n.T + c_n)


def gru_variant(combine):
    def answer(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        from_x, from_h = x @ weight_ih.T + bias_ih, h @ weight_hh.T + bias_hh
        parts = from_x.chunk(3, dim=-1), from_h.chunk(3, dim=-1)
        return combine(*parts, h, bias_hh.chunk(3)[2])

    return answer


def swapped_update(x, s, h, _):
    z = sigmoid(x[1] + s[1])
    return (1 - z) * h + z * tanh(x[2] + sigmoid(x[0] + s[0]) * s[2])


def swapped_gates(x, s, h, _):
    z = sigmoid(x[0] + s[0])
    return z * h + (1 - z) * tanh(x[2] + sigmoid(x[1] + s[1]) * s[2])


def bias_outside(x, s, h, bias):
    z = sigmoid(x[1] + s[1])
    return z * h + (1 - z) * tanh(x[2] + bias + sigmoid(x[0] + s[0]) * (s[2] - bias))


def without_reset(x, s, h, _):
    z = sigmoid(x[1] + s[1])
    return z * h + (1 - z) * tanh(x[2] + s[2])


def sigmoid_candidate(x, s, h, _):
    z = sigmoid(x[1] + s[1])
    return z * h + (1 - z) * sigmoid(x[2] + sigmoid(x[0] + s[0]) * s[2])


def block_by(attend, feed):
    return lambda block, x: feed(block, attend(block, x))


def add_attention(block, x):
    return x + block.attention(block.norm(x), mask="causal")


def add_mlp(block, x):
    return x + block.mlp(block.mlp_norm(x))


def add_attention_to_normalised(block, x):
    return block.norm(x) + block.attention(block.norm(x), mask="causal")


def add_mlp_to_normalised(block, x):
    return block.mlp_norm(x) + block.mlp(block.mlp_norm(x))


def sizes(config):
    return [config[name] for name in ("layers", "d_model", "d_ff", "vocab", "context")]


def less(missing):
    """The right number of parameters, and less by what is missing."""
    return lambda config: parameters_by_map(config) - missing(*sizes(config))


def seen(see):
    """Attention of rows to columns where `see` of both, and of what was kept, is true."""

    def answer(q, k, v):
        rows, columns = torch.arange(len(q))[:, None], torch.arange(len(k))
        return hidden(q, k, see(rows, columns, len(k) - len(q)) & (rows + columns >= 0)) @ v

    return answer


def step_by(mix, *, keep=lambda old, new: [*old, new], see=lambda kept, new: [*kept, new]):
    """A step that keeps a list with the key and value of each token."""

    def step(layer, x, kept):
        q, k, v = queries_keys_values(layer, x)
        looks = see(kept or [], (k, v))
        keys, values = (torch.cat(one, dim=2) for one in zip(*looks, strict=True))
        return behind(layer, mix(q, keys, values)), keep(kept or [], (k, v))

    return step


def step_without_new(layer, x, kept):
    output, longer = step_by_list(layer, x, kept)
    return output, kept or longer


def step_of_one_head(layer, x, kept):
    kept = [*(kept or []), (layer.keys(x), layer.values(x))]
    keys, values = (torch.cat(one, dim=1) for one in zip(*kept, strict=True))
    return layer.output(attention.attend(layer.queries(x), keys, values)), kept


def step_without_output(layer, x, kept):
    q, k, v = queries_keys_values(layer, x)
    kept = [*(kept or []), (k, v)]
    keys, values = (torch.cat(one, dim=2) for one in zip(*kept, strict=True))
    return attention.join_heads(attention.attend(q, keys, values)), kept


def step_of_all_again(layer, x, kept):
    text = torch.cat([*(kept or []), x], dim=1)
    q, k, v = queries_keys_values(layer, text)
    mixed = behind(layer, attention.attend(q, k, v, "causal"))
    return mixed[:, -1:], list(text.split(1, dim=1))


def step_of_keys_again(layer, x, kept):
    text = torch.cat([*(kept or []), x], dim=1)
    q = queries_keys_values(layer, x)[0]
    k, v = (attention.split_heads(one(text), layer.heads) for one in (layer.keys, layer.values))
    return behind(layer, attention.attend(q, k, v)), list(text.split(1, dim=1))


def by_rank(probabilities, stays):
    """Each token's probability where `stays`, of what the likelier have and of its own."""
    left = torch.zeros_like(probabilities)
    total = 0.0
    for token in sorted(range(len(left)), key=lambda token: -probabilities[token]):
        own = float(probabilities[token])
        left[token] = own if stays(total, own) else 0.0
        total += own
    return left


def share_out(left):
    return left / left.sum()


def nucleus(probabilities, share):
    return by_rank(probabilities, lambda before, own: before < share)


def losses(logits, ids):
    return -logits.log_softmax(dim=-1).gather(-1, ids[..., None])[..., 0]


def merged_with(combine, *, common=max):
    """A merge whose totals and mixtures are combined from either and its exponential."""

    def answer(first, then):
        largest = common(first[0], then[0])
        a, b = torch.exp(first[0] - largest), torch.exp(then[0] - largest)
        return largest, *(combine(i, first[i], then[i], a, b) for i in (1, 2))

    return answer


def merged_and_divided(first, then):
    largest, total, mixture = merged_by_case(first, then)
    return largest, total, mixture / total


def merged_from_zero(first, then):
    a, b = torch.exp(first[0]), torch.exp(then[0])
    return max(first[0], then[0]), a * first[1] + b * then[1], a * first[2] + b * then[2]


def step_less(missing):
    """The right operations of a step, and less by what is missing, in multiplications a token."""

    def answer(config, tokens):
        d, wide = config["d_model"], config["d_ff"]
        right = training_product_by_product(config, tokens)
        return right - 6 * tokens * missing(config, tokens, config["layers"], d, wide)

    return answer


def step_times(factor):
    return lambda config, tokens: training_product_by_product(config, tokens) * factor


def left_over(config, memory_bytes):
    return memory_bytes - config["parameters"] * config["bytes_per_number"]


def token_of(config, heads="kv_heads"):
    sizes = (config[name] for name in ("layers", heads, "d_head", "bytes_per_number"))
    return 2 * math.prod(sizes)


def fit(left, token):
    return left // token if left > 0 else 0


def times_of(flops, bytes, F, B):
    return [f / F for f in flops], [b / B for b in bytes]


WRONG = [
    ("gru_step", "no_transpose", gru_no_transpose),
    ("gru_step", "reset_before", gru_reset_before),
    ("gru_step", "update_swapped", gru_variant(swapped_update)),
    ("gru_step", "gates_swapped", gru_variant(swapped_gates)),
    ("gru_step", "bias_outside_reset", gru_variant(bias_outside)),
    ("gru_step", "no_reset", gru_variant(without_reset)),
    ("gru_step", "candidate_sigmoid", gru_variant(sigmoid_candidate)),
    ("half_life", "upside_down", lambda g: math.log2(g) / math.log2(0.5)),
    ("half_life", "e_folding", lambda g: 1 / -math.log(g)),
    ("half_life", "only_the_logarithm", math.log),
    ("half_life", "one_over_one_minus", lambda g: 1 / (1 - g)),
    ("half_life", "linear", lambda g: 1 / (2 - 2 * g)),
    ("half_life", "negative", lambda g: math.log(2) / math.log(g)),
    ("half_life", "rounded", lambda g: next(n for n in range(9999) if g**n <= 0.5 + 1e-9)),
    ("receptive_field", "kernel_in_full", lambda k, d: sum(k * one for one in d)),
    ("receptive_field", "kernel_in_full_and_one", lambda k, d: k * sum(d) + 1),
    ("receptive_field", "own_token_forgotten", lambda k, d: sum(d) * (k - 1)),
    ("receptive_field", "dilation_ignored", lambda k, d: len(d) * (k - 1) + 1),
    ("receptive_field", "last_layer_only", lambda k, d: (k - 1) * sorted(d)[-1] + 1),
    ("receptive_field", "exponential", lambda k, d: math.prod(k for _ in d)),
    ("combine", "order_swapped", lambda s, t: (s[0] * t[0], s[0] * t[1] + s[1])),
    ("combine", "first_b_not_scaled", lambda s, t: (s[0] * t[0], s[1] + t[1])),
    ("combine", "factors_added", lambda s, t: (s[0] + t[0], t[0] * s[1] + t[1])),
    ("combine", "both_scaled", lambda s, t: (s[0] * t[0], t[0] * s[1] + t[0] * t[1])),
    ("recall_from_state", "state_transposed", lambda k, v, q: (q @ (v.T @ k) @ v.T).argmax(1)),
    ("recall_from_state", "nearest_key", lambda k, v, q: (q @ (k.T @ v) @ k.T).argmax(1)),
    ("recall_from_state", "farthest", lambda k, v, q: (q @ (k.T @ v) @ v.T).argmin(1)),
    (
        "recall_from_state",
        "farthest",
        lambda k, v, q: torch.cdist(q @ (k.T @ v), v).argmax(1),
    ),
    ("recall_from_state", "looked_up_the_keys", lambda k, v, q: (k @ q.T).argmax(0)),
    ("recall_from_state", "values_not_indices", lambda k, v, q: q @ (k.T @ v)),
    ("kv_cache_bytes", "keys_only", lambda a, b, c, d, e: a * b * c * d * e),
    ("kv_cache_bytes", "tokens_squared", lambda a, b, c, d, e: 2 * a * b * c * d * d * e),
    ("kv_cache_bytes", "one_layer", lambda a, b, c, d, e: 2 * b * c * d * e),
    ("kv_cache_bytes", "one_head", lambda a, b, c, d, e: 2 * a * c * d * e),
    ("kv_cache_bytes", "numbers_not_bytes", lambda a, b, c, d, e: 2 * a * b * c * d),
    ("kv_cache_bytes", "bits", lambda a, b, c, d, e: 8 * 2 * a * b * c * d * e),
    ("soft_lookup", "no_root", lambda q, k, v: (q @ k.T).softmax(-1) @ v),
    ("soft_lookup", "width_not_root", lambda q, k, v: (q @ k.T / k.shape[-1]).softmax(-1) @ v),
    ("soft_lookup", "root_of_keys", lambda q, k, v: (q @ k.T / len(k) ** 0.5).softmax(-1) @ v),
    ("soft_lookup", "multiplied", lambda q, k, v: (q @ k.T * len(q) ** 0.5).softmax(-1) @ v),
    ("soft_lookup", "scaled_weights", lambda q, k, v: (q @ k.T).softmax(0) @ v / len(q) ** 0.5),
    ("soft_lookup", "wrong_axis", lambda q, k, v: scores(q[None], k).softmax(0)[0] @ v),
    ("soft_lookup", "not_normalised", lambda q, k, v: torch.exp(scores(q, k)) @ v),
    ("soft_lookup", "divided_by_sum", lambda q, k, v: scores(q, k) / sum(scores(q, k)) @ v),
    ("soft_lookup", "hard_lookup", lambda q, k, v: v[torch.argmax(q @ k.T)]),
    ("soft_lookup", "weights_only", lambda q, k, v: scores(q, k).softmax(-1)),
    ("soft_lookup", "one_row", lambda q, k, v: scores(q[None], k).softmax(-1) @ v),
    (
        "causal_attention",
        "masked_after",
        lambda q, k, v: scores(q, k).softmax(-1) * shown(q, k) @ v,
    ),
    (
        "causal_attention",
        "renormalised_columns",
        lambda q, k, v: (
            torch.nn.functional.normalize(scores(q, k).softmax(1).tril(), p=1, dim=0) @ v
        ),
    ),
    ("causal_attention", "masked_with_zero", lambda q, k, v: scores(q, k).tril().softmax(-1) @ v),
    ("causal_attention", "mask_added", lambda q, k, v: (scores(q, k) + shown(q, k)).softmax(1) @ v),
    ("causal_attention", "upside_down", lambda q, k, v: hidden(q, k, shown(q, k).T) @ v),
    ("causal_attention", "inverted", lambda q, k, v: hidden(q, k, ~shown(q, k)) @ v),
    ("causal_attention", "diagonal_hidden", lambda q, k, v: hidden(q, k, ~shown(q, k).T) @ v),
    ("causal_attention", "softmax_over_queries", lambda q, k, v: hidden(q, k, shown(q, k), 0) @ v),
    ("causal_attention", "no_mask", lambda q, k, v: scores(q, k).softmax(dim=-1) @ v),
    ("pairs", "full_square", lambda n, p: n * n),
    ("pairs", "causal_only", lambda n, p: sum(range(n + 1))),
    ("pairs", "prefix_twice", lambda n, p: sum(range(n + 1)) + p * p),
    ("pairs", "diagonal_twice", lambda n, p: sum(range(n + 1)) + sum(range(p + 1))),
    ("pairs", "columns_on_top", lambda n, p: n * (n + 1) / 2 + n * p),
    ("pairs", "blocks_apart", lambda n, p: p * p + sum(range(n - p + 1))),
    ("pairs", "without_self", lambda n, p: sum(range(n)) + sum(range(p))),
    ("score_spread", "variance", lambda d: float(d)),
    ("score_spread", "one", lambda d: 1),
    ("score_spread", "inverse", lambda d: d**-0.5),
    ("score_spread", "two_each", lambda d: (d + d) ** 0.5),
    ("score_spread", "mean_of_size", lambda d: d**0.5 * math.sqrt(2 / math.pi)),
    ("score_spread", "root_of_root", lambda d: math.sqrt(math.sqrt(d))),
    ("attention_parameters", "all_whole", lambda d, h, kv: 4 * d * d),
    (
        "attention_parameters",
        "heads_of_full_width",
        lambda d, h, kv: 2 * d * d * h + 2 * d * d * kv,
    ),
    ("attention_parameters", "kv_heads_of_full_width", lambda d, h, kv: 2 * d * d + 2 * d * d * kv),
    ("attention_parameters", "output_forgotten", lambda d, h, kv: d * d + 2 * d * d * kv / h),
    ("attention_parameters", "values_forgotten", lambda d, h, kv: 2 * d * d + d * d * kv / h),
    ("attention_parameters", "swapped", lambda d, h, kv: 2 * d * d + 2 * d * d * h // kv),
    ("attention_parameters", "one_kv_head", lambda d, h, kv: 2 * d * d + 2 * d * (d // h)),
    ("attention_parameters", "from_a_piece", lambda d, h, kv: 2 * d * d + 2 * kv * (d / h) ** 2),
    (
        "attention_parameters",
        "with_biases",
        lambda d, h, kv: 2 * d * d + 2 * d * d * kv // h + 2 * d + 2 * d * kv // h,
    ),
    ("where_to_look", "the_occurrence_itself", last_place),
    ("where_to_look", "one_before", moved(lambda tokens, place: place - 1)),
    ("where_to_look", "earliest", moved(lambda tokens, place: tokens.index(tokens[-1]) + 1)),
    ("where_to_look", "finds_itself", lambda tokens: len(tokens) - tokens[::-1].index(tokens[-1])),
    ("where_to_look", "index_of_list", lambda tokens: 1 + tokens.index(tokens[-1])),
    ("where_to_look", "the_token", moved(lambda tokens, place: tokens[place + 1])),
    ("where_to_look", "counted_from_the_end", moved(lambda tokens, place: len(tokens) - place - 2)),
    ("where_to_look", "never_none", lambda tokens: last_place(tokens, before=[-1]) + 1),
    ("where_to_look", "minus_one", lambda tokens: last_place(tokens, before=[-2]) + 1),
    ("rotate_pair", "other_way", turn(lambda p, f: -p * f, rightly)),
    ("rotate_pair", "no_position", turn(lambda p, f: f, rightly)),
    ("rotate_pair", "no_frequency", turn(lambda p, f: p, rightly)),
    ("rotate_pair", "divided", turn(lambda p, f: p / f, rightly)),
    ("rotate_pair", "degrees", turn(lambda p, f: p * f * math.pi / 180, rightly)),
    ("rotate_pair", "both_plus", turn(product, lambda x, y, c, s: (x * c + y * s, y * c + x * s))),
    (
        "rotate_pair",
        "minus_in_the_wrong_row",
        turn(product, lambda x, y, c, s: (y * s + x * c, -y * c + x * s)),
    ),
    (
        "rotate_pair",
        "sine_and_cosine_swapped",
        turn(product, lambda x, y, c, s: rightly(x, y, s, c)),
    ),
    ("rotate_pair", "overwritten", overwritten),
    ("interpolated", "clipped", lambda p, n, m: p if p < n else n - 1),
    ("interpolated", "clipped_at_trained", lambda p, n, m: sorted([p, n])[0]),
    ("interpolated", "wrapped", lambda p, n, m: p - n * (p // n)),
    ("interpolated", "upside_down", lambda p, n, m: p / n * m),
    ("interpolated", "rounded", lambda p, n, m: int(p * n / m)),
    ("interpolated", "only_beyond", lambda p, n, m: p * n / m if p >= n else p),
    ("interpolated", "shifted", lambda p, n, m: p + n - m),
    ("interpolated", "unchanged", lambda p, n, m: p),
    (
        "pre_norm_block",
        "adds_to_normalised",
        block_by(add_attention_to_normalised, add_mlp_to_normalised),
    ),
    (
        "pre_norm_block",
        "first_adds_to_normalised",
        block_by(add_attention_to_normalised, add_mlp),
    ),
    (
        "pre_norm_block",
        "second_adds_to_normalised",
        block_by(add_attention, add_mlp_to_normalised),
    ),
    (
        "pre_norm_block",
        "post_norm",
        block_by(
            lambda b, x: b.norm(b.attention(x, mask="causal") + x),
            lambda b, x: b.mlp_norm(b.mlp(x) + x),
        ),
    ),
    ("pre_norm_block", "side_by_side", lambda b, x: add_attention(b, x) + add_mlp(b, x) - x),
    (
        "pre_norm_block",
        "nothing_added",
        lambda b, x: b.mlp(b.mlp_norm(b.attention(b.norm(x), mask="causal"))),
    ),
    (
        "pre_norm_block",
        "no_norm",
        block_by(lambda b, x: b.attention(x, mask="causal") + x, lambda b, x: b.mlp(x) + x),
    ),
    (
        "pre_norm_block",
        "norms_swapped",
        block_by(
            lambda b, x: b.attention(b.mlp_norm(x), mask="causal") + x,
            lambda b, x: b.mlp(b.norm(x)) + x,
        ),
    ),
    (
        "pre_norm_block",
        "same_norm_twice",
        block_by(add_attention, lambda b, x: b.mlp(b.norm(x)) + x),
    ),
    (
        "pre_norm_block",
        "no_mask",
        block_by(lambda b, x: b.attention(b.norm(x)) + x, add_mlp),
    ),
    ("count_parameters", "no_biases", less(lambda n, d, wide, v, c: n * (5 * d + wide))),
    (
        "count_parameters",
        "no_biases_at_all",
        less(lambda n, d, wide, v, c: n * (7 * d + wide) + d),
    ),
    ("count_parameters", "norms_without_biases", less(lambda n, d, wide, v, c: (2 * n + 1) * d)),
    ("count_parameters", "no_norms", less(lambda n, d, wide, v, c: 2 * (2 * n + 1) * d)),
    ("count_parameters", "one_norm", less(lambda n, d, wide, v, c: 2 * n * d)),
    ("count_parameters", "no_final_norm", less(lambda n, d, wide, v, c: 2 * d)),
    ("count_parameters", "output_twice", less(lambda n, d, wide, v, c: -v * d)),
    ("count_parameters", "no_positions", less(lambda n, d, wide, v, c: c * d)),
    ("count_parameters", "no_output_map", less(lambda n, d, wide, v, c: n * (d * d + d))),
    (
        "count_parameters",
        "four_times_as_wide",
        lambda config: parameters_by_map(config | {"d_ff": 4 * config["d_model"]}),
    ),
    ("count_parameters", "one_block", lambda config: parameters_by_map(config | {"layers": 1})),
    ("count_parameters", "rule_of_thumb", lambda c: 12 * c["d_model"] ** 2 * c["layers"]),
    ("continued_attention", "first_columns", seen(lambda row, column, kept: column <= row)),
    ("continued_attention", "no_mask", lambda q, k, v: scores(q, k).softmax(-1) @ v),
    ("continued_attention", "not_itself", seen(lambda row, column, kept: column < row + kept)),
    (
        "continued_attention",
        "sees_the_next",
        seen(lambda row, column, kept: column <= row + kept + 1),
    ),
    ("continued_attention", "other_way", seen(lambda row, column, kept: column <= row - kept)),
    (
        "continued_attention",
        "only_new",
        lambda q, k, v: causal_by_loop(q, k[-len(q) :], v[-len(q) :]),
    ),
    ("continued_attention", "only_kept", seen(lambda row, column, kept: column < kept)),
    (
        "continued_attention",
        "masked_after",
        lambda q, k, v: scores(q, k).softmax(1).tril(len(k) - len(q)) @ v,
    ),
    (
        "continued_attention",
        "no_root",
        lambda q, k, v: continued_row_by_row(q * q.shape[1] ** 0.5, k, v),
    ),
    ("kv_cache_step", "mapped_again", step_of_all_again),
    ("kv_cache_step", "mapped_again", step_of_keys_again),
    ("kv_cache_step", "nothing_kept", step_by(attention.attend, keep=lambda old, new: [])),
    (
        "kv_cache_step",
        "only_the_last_kept",
        step_by(attention.attend, keep=lambda old, new: [new]),
    ),
    (
        "kv_cache_step",
        "not_itself",
        step_by(attention.attend, see=lambda kept, new: kept or [new]),
    ),
    ("kv_cache_step", "no_new_kept", step_without_new),
    ("kv_cache_step", "whole_width", step_of_one_head),
    ("kv_cache_step", "no_output", step_without_output),
    (
        "kv_cache_step",
        "no_root",
        step_by(lambda q, k, v: scaled_dot_product_attention(q, k, v, scale=1.0)),
    ),
    ("top_p", "not_renormalised", nucleus),
    (
        "top_p",
        "stops_short",
        lambda p, share: share_out(by_rank(p, lambda before, own: before + own <= share)),
    ),
    (
        "top_p",
        "one_too_many",
        lambda p, share: share_out(by_rank(p, lambda before, own: before <= share)),
    ),
    (
        "top_p",
        "left_in_order",
        lambda p, share: share_out(nucleus(p, share)).sort(descending=True).values,
    ),
    (
        "top_p",
        "unsorted",
        lambda p, share: share_out(torch.where(p.cumsum(0) - p < share, p, torch.zeros(()))),
    ),
    (
        "top_p",
        "least_likely",
        lambda p, share: share_out(
            torch.stack([one if p[p < one].sum() < share else 0 * one for one in p])
        ),
    ),
    ("top_p", "own_share", lambda p, share: share_out(torch.where(p < 1 - share, 0.0, p))),
    ("top_p", "softmax_again", lambda p, share: nucleus(p, share).softmax(-1)),
    ("top_p", "mask_only", lambda p, share: nucleus(p, share) > 0),
    ("masked_loss", "every_place", lambda x, ids, gaps: losses(x, ids).mean()),
    ("masked_loss", "visible_places", lambda x, ids, gaps: losses(x, ids)[gaps == 0].mean()),
    ("masked_loss", "summed", lambda x, ids, gaps: sum(losses(x, ids)[gaps])),
    (
        "masked_loss",
        "over_all_places",
        lambda x, ids, gaps: losses(x, ids)[gaps].sum() / ids.numel(),
    ),
    (
        "masked_loss",
        "row_by_row",
        lambda x, ids, gaps: ((losses(x, ids) * gaps).sum(1) / gaps.sum(1)).mean(),
    ),
    (
        "masked_loss",
        "next_token",
        lambda x, ids, gaps: losses(x[:, :-1], ids[:, 1:])[gaps[:, 1:]].mean(),
    ),
    (
        "masked_loss",
        "softmax_twice",
        lambda x, ids, gaps: cross_entropy(x[gaps].softmax(-1), ids[gaps]),
    ),
    ("masked_loss", "no_minus", lambda x, ids, gaps: -losses(x, ids)[gaps].mean()),
    ("masked_loss", "bits", lambda x, ids, gaps: losses(x, ids)[gaps].mean() / math.log(2)),
    ("online_softmax", "not_shrunk", merged_with(lambda i, one, two, a, b: one + two)),
    (
        "online_softmax",
        "total_not_shrunk",
        merged_with(lambda i, one, two, a, b: one + two if i == 1 else a * one + b * two),
    ),
    (
        "online_softmax",
        "mixture_not_shrunk",
        merged_with(lambda i, one, two, a, b: one + two if i == 2 else a * one + b * two),
    ),
    ("online_softmax", "only_first_shrunk", merged_with(lambda i, one, two, a, b: a * one + two)),
    ("online_softmax", "shrinks_swapped", merged_with(lambda i, one, two, a, b: b * one + a * two)),
    ("online_softmax", "upside_down", merged_with(lambda i, one, two, a, b: one / a + two / b)),
    (
        "online_softmax",
        "smaller",
        merged_with(lambda i, one, two, a, b: a * one + b * two, common=min),
    ),
    ("online_softmax", "from_zero", merged_from_zero),
    ("online_softmax", "normalised", merged_and_divided),
    ("training_flops", "forward_only", step_times(1 / 3)),
    ("training_flops", "backward_once", step_times(2 / 3)),
    ("training_flops", "multiply_adds", step_times(1 / 2)),
    ("training_flops", "no_square", step_less(lambda c, n, layers, d, wide: layers * 2 * n * d)),
    (
        "training_flops",
        "scores_without_mixing",
        step_less(lambda c, n, layers, d, wide: layers * n * d),
    ),
    (
        "training_flops",
        "causal",
        step_less(lambda c, n, layers, d, wide: layers * 2 * d * (n - (n + 1) / 2)),
    ),
    (
        "training_flops",
        "heads_of_full_width",
        step_less(lambda c, n, layers, d, wide: (1 - c["heads"]) * layers * 2 * n * d),
    ),
    (
        "training_flops",
        "square_once",
        step_less(lambda c, n, layers, d, wide: layers * 2 * (n - 1) * d),
    ),
    ("training_flops", "no_logits", step_less(lambda c, n, layers, d, wide: d * c["vocab"])),
    (
        "training_flops",
        "embedding_multiplied",
        step_less(lambda c, n, layers, d, wide: -d * c["vocab"]),
    ),
    ("training_flops", "no_output_map", step_less(lambda c, n, layers, d, wide: layers * d * d)),
    (
        "training_flops",
        "four_times_as_wide",
        step_less(lambda c, n, layers, d, wide: layers * 2 * d * (wide - 4 * d)),
    ),
    (
        "training_flops",
        "one_block",
        lambda config, n: training_product_by_product(config | {"layers": 1}, n),
    ),
    ("training_flops", "one_token", lambda c, n: training_product_by_product(c, n) / n),
    ("training_flops", "rule_of_thumb", lambda c, n: 72 * c["layers"] * c["d_model"] ** 2 * n),
    ("kv_cache_tokens", "no_weights", lambda c, m: m // token_of(c)),
    ("kv_cache_tokens", "weights_in_numbers", lambda c, m: fit(m - c["parameters"], token_of(c))),
    ("kv_cache_tokens", "keys_only", lambda c, m: fit(left_over(c, m), token_of(c) // 2)),
    (
        "kv_cache_tokens",
        "numbers_not_bytes",
        lambda c, m: fit(left_over(c, m), token_of(c) // c["bytes_per_number"]),
    ),
    ("kv_cache_tokens", "all_heads", lambda c, m: fit(left_over(c, m), token_of(c, "heads"))),
    (
        "kv_cache_tokens",
        "one_layer",
        lambda c, m: fit(left_over(c, m), token_of(c) // c["layers"]),
    ),
    ("kv_cache_tokens", "below_zero", lambda c, m: math.floor(left_over(c, m) / token_of(c))),
    (
        "kv_cache_tokens",
        "rounded_up",
        lambda c, m: math.ceil(max(0, left_over(c, m)) / token_of(c)),
    ),
    ("kv_cache_tokens", "not_rounded", lambda c, m: max(0, left_over(c, m)) / token_of(c)),
    ("kv_cache_tokens", "bytes_left", lambda c, m: max(0, left_over(c, m))),
    (
        "seconds_at_least",
        "max_of_sums",
        lambda *given: max(map(sum, times_of(*given))),
    ),
    ("seconds_at_least", "sum_of_both", lambda *given: sum(map(sum, times_of(*given)))),
    ("seconds_at_least", "smaller", lambda *given: sum(map(min, *times_of(*given)))),
    ("seconds_at_least", "only_computing", lambda *given: sum(times_of(*given)[0])),
    ("seconds_at_least", "only_fetching", lambda *given: sum(times_of(*given)[1])),
    ("seconds_at_least", "longest_part", lambda *given: max(map(max, *times_of(*given)))),
    ("seconds_at_least", "not_added", lambda *given: list(map(max, *times_of(*given)))),
    ("seconds_at_least", "rates_swapped", lambda f, b, F, B: roof_by_loop(f, b, B, F)),
    (
        "seconds_at_least",
        "larger_count",
        lambda f, b, F, B: sum([f, b][b > f] / [F, B][b > f] for f, b in zip(f, b, strict=True)),
    ),
    (
        "seconds_at_least",
        "upside_down",
        lambda f, b, F, B: sum(max(F / f, B / b) for f, b in zip(f, b, strict=True)),
    ),
]

WRONG += [
    ("best_size", "without_the_six", lambda A, B, a, b, C: best_size_by_search(A, B, a, b, 6 * C)),
    ("best_size", "exponents_swapped", lambda *g: shared(*g, exponent=g[2] / (g[2] + g[3]))),
    ("best_size", "exponents_left_out", lambda *g: shared(*g, ratio=g[0] / g[1])),
    ("best_size", "ratio_upside_down", lambda *g: shared(*g, ratio=g[3] * g[1] / (g[2] * g[0]))),
    ("best_size", "no_root", lambda *g: shared(*g, root=1.0)),
    ("best_size", "half_and_half", lambda A, B, a, b, C: ((C / 6) ** 0.5, (C / 6) ** 0.5)),
    ("valley_bottom", "in_the_size_itself", lambda n, y: through(n, y)),
    ("valley_bottom", "left_as_a_logarithm", lambda n, y: through(np.log(n), y)),
    ("valley_bottom", "other_base", lambda n, y: math.exp(through(np.log10(n), y))),
    ("valley_bottom", "lowest_run", lambda n, y: n[list(y).index(min(y))]),
    ("valley_bottom", "wrong_sign", lambda n, y: math.exp(-through(np.log(n), y))),
    ("near_in_a_picture", "ahead", lambda *given: near_one_by_one(*given, ahead=True)),
    ("near_in_a_picture", "not_itself", lambda *given: near_one_by_one(*given, itself=False)),
    ("near_in_a_picture", "along_the_text", lambda r, c, s, n: (r >= c) & (c >= r - n)),
    ("near_in_a_picture", "round_the_edge", lambda *given: near_one_by_one(*given, wrap=True)),
    ("near_in_a_picture", "less_than", lambda *g: near_one_by_one(*g, most=g[3] - 1)),
    (
        "near_in_a_picture",
        "either",
        lambda r, c, s, n: ((r // s - c // s <= n) | ((r % s - c % s).abs() <= n)) & (c <= r),
    ),
    (
        "near_in_a_picture",
        "one_sided",
        lambda r, c, s, n: (r // s - c // s <= n) & (r % s - c % s <= n) & (c <= r),
    ),
    ("window_pairs", "full_from_the_start", lambda n, w: w * n),
    ("window_pairs", "longer_than_the_text", lambda n, w: n * w - sum(range(w))),
    ("window_pairs", "without_itself", lambda n, w: sum(min(i, w - 1) for i in range(n))),
    ("window_pairs", "one_too_wide", lambda n, w: sum(min(i, w) + 1 for i in range(n))),
    ("window_pairs", "all_of_the_past", lambda n, w: sum(range(n + 1))),
    ("gates", "not_scaled", lambda *given: gates_row_by_row(*given, scaled=False)),
    (
        "gates",
        "zeros_before_the_softmax",
        lambda logits, n: torch.where(gates_row_by_row(logits, n) > 0, logits, 0.0).softmax(dim=1),
    ),
    ("gates", "even", lambda logits, n: (gates_row_by_row(logits, n) > 0) / n),
    ("gates", "the_worst", lambda *given: gates_row_by_row(*given, lowest=True)),
    (
        "gates",
        "experts_choose",
        lambda logits, n: (
            torch.softmax(logits, 1) * (gates_row_by_row(logits.T, min(n, len(logits))).T > 0)
        ),
    ),
    ("gates", "not_emptied", lambda logits, n: logits.exp() / logits.exp().sum(1, keepdim=True)),
    ("wanda_keeps", "mean", lambda *g: wanda_row_by_row(*g, norms=lambda x: x.mean(0).abs())),
    ("wanda_keeps", "signs_kept", lambda w, x: half_of_rows(w * x.norm(dim=0))),
    ("wanda_keeps", "magnitude", lambda *g: wanda_row_by_row(*g, norms=lambda x: 1)),
    ("wanda_keeps", "over_the_map", lambda w, x: half_of_all(w.abs() * x.norm(dim=0))),
    ("wanda_keeps", "the_lower_half", lambda *given: ~wanda_row_by_row(*given)),
    ("wanda_keeps", "last_token", lambda *g: wanda_row_by_row(*g, norms=lambda x: x[-1].abs())),
    ("csr_bytes", "values_alone", lambda rows, columns, zeros: (rows * columns - zeros) * 4),
    ("csr_bytes", "no_starts", lambda rows, columns, zeros: (rows * columns - zeros) * 8),
    ("csr_bytes", "one_start_too_few", lambda *given: by_parts(*given, starts=0)),
    ("csr_bytes", "rows_and_columns", lambda rows, columns, zeros: (rows * columns - zeros) * 12),
    ("csr_bytes", "zeros_kept", lambda r, c, zeros: by_parts(r, c, r * c - zeros)),
    ("csr_bytes", "eight_byte_indices", lambda *given: by_parts(*given, index=8)),
    ("act", "amounts_as_they_are", lambda *g: act_by_sums(*g, last=lambda amount: amount)),
    ("act", "never_forced", lambda *g: act_by_sums(*g, forced=False)),
    ("act", "no_epsilon", lambda amounts, epsilon: act_by_sums(amounts, 0.0)),
    ("act", "amounts_of_what_is_left", lambda amounts, epsilon: pondered_by_products(amounts)),
    ("act", "one_step_late", act_one_step_late),
    ("pondered", "chances_as_shares", lambda chances: chances),
    ("pondered", "chances_normalised", lambda c: torch.tensor(c) / torch.tensor(c).sum()),
    ("pondered", "rest_lost", lambda chances: pondered_by_products(chances, rest=False)),
    ("pondered", "one_step_too_far", lambda chances: pondered_by_products(chances, late=True)),
    ("door_flops", "nothing_owed", lambda *g: door_by_door(*g, owed=0)),
    ("door_flops", "one_map_owed", lambda *g: door_by_door(*g, owed=1)),
    ("door_flops", "one_door", lambda *g: door_by_door(*g, doors={g[1]})),
    ("door_flops", "no_doors", lambda *g: door_by_door(*g, doors=set())),
    ("door_flops", "multiplications_alone", lambda *g: door_by_door(*g, per=1)),
    ("mix", "labels_left", lambda x, y, *g: (mixed_one_by_one(x, y, *g)[0], y)),
    ("mix", "labels_by_half", lambda *g: mixed_one_by_one(*g, of_labels=lambda i: 0.5)),
    (
        "mix",
        "labels_of_the_larger",
        lambda *g: mixed_one_by_one(*g, of_labels=lambda i: float(g[3][i] >= 0.5)),
    ),
    (
        "mix",
        "shares_along_the_width",
        lambda x, y, o, s: (broadcast(x, o, s), mixed_one_by_one(x, y, o, s)[1]),
    ),
    (
        "mix",
        "all_shares_along_the_width",
        lambda x, y, o, s: (broadcast(x, o, s), broadcast(y, o, s)),
    ),
    ("mix", "first_share_for_all", lambda *g: mixed_one_by_one(*g, of=lambda i: float(g[3][0]))),
    ("mix", "turned_round", lambda *g: mixed_one_by_one(*g, of=lambda i: 1 - float(g[3][i]))),
    (
        "mix",
        "labels_turned_round",
        lambda *g: mixed_one_by_one(*g, of_labels=lambda i: 1 - float(g[3][i])),
    ),
    ("mix", "mixed_with_themselves", lambda x, y, order, shares: (x, y)),
    (
        "calibration_error",
        "bins_alike",
        lambda *g: np.mean([abs(gap) for _, gap in gaps_of_bins(*g)]),
    ),
    (
        "calibration_error",
        "signs_kept",
        lambda sure, *g: sum(n * gap for n, gap in gaps_of_bins(sure, *g)) / len(sure),
    ),
    ("calibration_error", "example_by_example", lambda s, r, bins: float((s - r).abs().mean())),
    (
        "calibration_error",
        "squared",
        lambda sure, *g: sum(n * gap**2 for n, gap in gaps_of_bins(sure, *g)) / len(sure),
    ),
    ("calibration_error", "largest", lambda *g: max(abs(gap) for _, gap in gaps_of_bins(*g))),
    ("cut_share", "not_cut_off", lambda *g: cut_pixel_by_pixel(*g, before=False, behind=False)),
    ("cut_share", "pasted_share", lambda *g: 1 - cut_pixel_by_pixel(*g)),
    ("cut_share", "by_sides", lambda h, w, middle, side: 1 - side / max(h, w)),
    ("cut_share", "at_least_nothing", lambda h, w, m, side: 1 - min(1, side**2 / h / w)),
    ("cut_share", "cut_off_in_front_only", lambda *g: cut_pixel_by_pixel(*g, behind=False)),
    ("rolling_step", "never_forgets", lambda kept, new, size: torch.stack([*kept, new])),
    ("rolling_step", "forgets_the_new", lambda k, new, size: torch.stack([*k, new][:size])),
    ("rolling_step", "new_one_in_front", lambda k, new, size: torch.stack([new, *k][:size])),
    ("rolling_step", "forgets_too_early", lambda k, new, size: torch.stack([*k[1:], new])),
    (
        "rolling_step",
        "one_too_few",
        lambda k, new, size: torch.stack([*k, new])[max(0, len(k) + 2 - size) :],
    ),
    ("foretold", "no_floor", lambda *runs: vars_of(fits.additive(*runs, floor=False, starts=9))),
    ("foretold", "only_size", lambda n, d, y: one_term(n, y)),
    ("foretold", "only_text", lambda n, d, y: one_term(d, y, text=True)),
    ("foretold", "floor_left_off", lambda *runs: (0, *vars_of(fits.additive(*runs, starts=9))[1:])),
]


@pytest.mark.parametrize(("name", "mistake", "answer"), WRONG)
def test_wrong_answers_are_named(name, mistake, answer):
    check = getattr(checks, name)
    verdict = check(answer)
    assert not verdict
    assert verdict.mistake == mistake, verdict
    assert f"Likely mistake: {check.mistakes[mistake].says}" in verdict.text


@pytest.mark.parametrize("name", ALL)
def test_no_two_mistakes_are_the_same(name):
    check = getattr(checks, name)
    for mistake, wrong in check.mistakes.items():
        verdict = check(wrong.answer)
        assert not verdict and verdict.mistake == mistake


def test_every_named_mistake_has_a_wrong_answer_here():
    here = {(name, mistake) for name, mistake, _ in WRONG}
    there = {(name, mistake) for name in ALL for mistake in getattr(checks, name).mistakes}
    assert here == there
    assert all(len(getattr(checks, name).mistakes) >= 3 for name in ALL)


@pytest.mark.parametrize("name", ALL)
def test_checks_leave_their_cases_alone(name):
    check = getattr(checks, name)
    before = [check._run(check.solution, case).value for case in check.cases]
    check(lambda *arguments: [argument.zero_() for argument in arguments])
    after = [check._run(check.solution, case).value for case in check.cases]
    assert all(difference(one, other) is None for one, other in zip(before, after, strict=True))


# What is said


def test_says_case_expected_and_got():
    verdict = checks.half_life(lambda gate: 1.0)  # right for a gate of 0.5 alone
    assert verdict.text.split("\n")[:2] == [
        "Not yet, with gate = 0.9.",
        "Expected 6.57881, got 1.",
    ]
    assert verdict.mistake is None and "Likely mistake" not in verdict.text


def test_says_where_a_tensor_is_wrong():
    def answer(*arguments):
        state = gru(*arguments)
        state[0, 1] += 1.0
        return state

    text = checks.gru_step(answer).text
    assert "x of shape (1, 3), h of shape (1, 2), weight_ih of shape (6, 3)" in text
    assert "at index (0, 1), got" in text and "1 of 2 numbers are wrong" in text


def test_gives_one_hint_after_the_other():
    check = checks.receptive_field
    for number, hint in ((1, 0), (2, 1), (3, 2), (3, 2)):
        assert f"Hint {number} of 3: {check.hints[hint]}" in check(lambda k, d: 0).text
    assert check(reach_by_counting)
    assert "Hint 1 of 3" in check(lambda k, d: 0).text


def test_reports_what_the_answer_raises():
    def answer(gate):
        return gate / [0][int(gate)]

    verdict = checks.half_life(answer)
    assert "Your function raised ZeroDivisionError: float division by zero" in verdict.text
    assert "return gate / [0][int(gate)]" in verdict.text  # the reader's own line


def test_reports_a_wrong_number_of_parameters():
    assert "raised TypeError" in checks.combine(lambda one: one).text


def test_reports_a_missing_return():
    assert "does it end with a return?" in checks.half_life(lambda gate: None).text
    expected = checks.masked_loss.solution(*checks.masked_loss.cases[0]).item()
    said = checks.masked_loss(lambda logits, ids, hidden: None).text
    assert f"Expected {expected:.6g}, but your function returned nothing (None)" in said


def test_none_is_right_where_none_is_expected():
    only_found = checks.where_to_look(lambda tokens: None)
    assert "Expected 1, but your function returned nothing (None)" in only_found.text
    always = checks.where_to_look(lambda tokens: look_by_going_back(tokens) or 0)
    assert "Expected None, got 0." in always.text
    assert "tokens = ['to', 'be', 'or', 'not']" in always.text


def test_a_list_of_words_may_not_be_changed():
    def popping(tokens):
        last = tokens.pop()
        return look_by_going_back([*tokens, last])

    assert "changed its argument tokens in place" in checks.where_to_look(popping).text


def test_detects_a_change_of_the_arguments():
    def answer(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
        state = gru(x, h, weight_ih, weight_hh, bias_ih, bias_hh)
        h.mul_(2)
        return state

    assert "changed its argument h in place" in checks.gru_step(answer).text

    def popping(kernel, dilations):
        total = 1
        while dilations:
            total += (kernel - 1) * dilations.pop()
        return total

    assert "changed its argument dilations in place" in checks.receptive_field(popping).text


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda *_: torch.zeros(5, 7), "Expected shape (1, 2), got shape (5, 7)."),
        (lambda *_: 3.0, "Expected shape (1, 2), got a single number."),
        (lambda *_: "h", "Expected a tensor of shape (1, 2), got 'h'."),
        (lambda *_: {"h": 1}, "got {'h': 1}."),
        (lambda *_: torch.full((1, 2), math.nan), "got nan; 2 of 2 numbers are wrong."),
    ],
)
def test_says_what_kind_of_thing_came(answer, fault):
    assert fault in checks.gru_step(answer).text


def test_says_which_of_several_values_is_wrong():
    text = checks.combine(lambda s, t: (s[0] * t[0], 0.0)).text
    assert "first = (2, 1), then = (3, 5)" in text
    assert "Value 2 of 2: Expected 8, got 0." in text
    assert "Expected 2 values, got 7." in checks.combine(lambda s, t: 7).text


@pytest.mark.parametrize("name", ALL)
def test_an_answer_that_is_no_function_is_refused(name):
    with pytest.raises(
        TypeError, match=r"expected a function of \(.*\), got 13; give the function"
    ):
        getattr(checks, name)(13)


def test_verdict_reads_as_text_and_as_html():
    verdict = checks.half_life(lambda gate: "<b>")
    assert repr(verdict) == verdict.text
    page = verdict._repr_html_()
    assert page.startswith('<div class="verdict verdict-wrong">') and "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "verdict-right" in checks.half_life(RIGHT[2][1])._repr_html_()


def test_a_check_says_what_it_wants():
    assert repr(checks.half_life) == "check of a function (gate)"
    assert "half is left" in checks.half_life.__doc__


def test_cases_are_unequal():
    # a swapped axis cannot pass by luck: no case with all sizes alike, and no two cases alike
    shapes = [case[1].shape + case[2].shape for case in checks.gru_step.cases]
    assert len(set(shapes)) == len(shapes)


# The mechanism, on a small exercise of its own


def doubled(numbers):
    return 2 * numbers


def small_check(**changes):
    parts = {
        "cases": [(torch.tensor([1.0, 2.0, 3.0]),), (torch.tensor([0.0]),)],
        "mistakes": {"added": Mistake(lambda numbers: numbers + 2, "you added.")},
        "hints": ["one"],
    }
    return Check(doubled, **(parts | changes))


def test_a_mistake_must_agree_on_every_case():
    assert small_check()(lambda numbers: numbers + 2).mistake == "added"
    partly = small_check()(lambda numbers: numbers + 2 if len(numbers) > 1 else numbers + 3)
    assert partly.mistake is None


def test_rounding_is_no_mistake():
    assert small_check()(lambda numbers: numbers + numbers + 1e-7)
    assert not small_check()(lambda numbers: 2.001 * numbers)
    assert not small_check()(lambda numbers: numbers + numbers + 1e-4)


def test_gradients_are_let_go():
    assert small_check()(lambda numbers: numbers.requires_grad_() * 2)


def test_long_values_are_cut():
    fault = difference(torch.zeros(3), "x" * 200)
    assert fault.endswith("x....") and len(fault) < 140


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        (None, None, True),
        (None, 0, False),
        (None, "None", False),
        (0, None, False),
        ("a", "a", True),
        ("a", "b", False),
        ("a", None, False),
        ("1", 1, False),
        (1, "1", False),
        (["a", "b"], ("a", "b"), True),
        (["a", "b"], ["a", "c"], False),
        ((1, None), (1, None), True),
        ((1, None), (1, 0), False),
    ],
)
def test_text_and_none_equal_themselves_alone(expected, got, same):
    assert (difference(expected, got) is None) == same
