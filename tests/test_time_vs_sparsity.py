"""Formats hold what they are given, in as many bytes as are counted."""

import pytest
import torch

from payattention.experiments import time_vs_sparsity
from payattention.records import Results


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_bytes_are_those_of_the_tensors(sparsity):
    torch.manual_seed(0)
    rows, columns = 96, 64
    mask = time_vs_sparsity.scattered(rows, columns, sparsity)
    matrix = torch.rand(rows, columns).add(1) * mask
    packed = time_vs_sparsity.csr(matrix)
    parts = (packed.values(), packed.col_indices(), packed.crow_indices())
    held = sum(part.numel() * part.element_size() for part in parts)
    assert held == time_vs_sparsity.stored_bytes("CSR", rows, columns, sparsity)
    mask = time_vs_sparsity.in_blocks(rows, columns, sparsity, size=16)
    packed = time_vs_sparsity.bsr(torch.rand(rows, columns).add(1) * mask, size=16)
    parts = (packed.values(), packed.col_indices(), packed.crow_indices())
    held = sum(part.numel() * part.element_size() for part in parts)
    assert held == time_vs_sparsity.stored_bytes("BSR 16", rows, columns, sparsity)


def test_every_format_multiplies_right():
    config = time_vs_sparsity.FULL
    for vectors in (1, 5):
        point = {"rows": 96, "columns": 64, "vectors": vectors, "sparsity": 0.5}
        torch.manual_seed(0)
        calls = time_vs_sparsity.products(config, point)
        for name, call in calls.items():
            matrix, x = call.args
            whole = matrix.to_dense() if "SR" in name else matrix
            torch.testing.assert_close(call(), whole @ x, atol=1e-4, rtol=1e-4)
            kept = 1.0 if name == "full" else 0.5
            assert (whole != 0).float().mean().item() == pytest.approx(kept)
        assert torch.equal(calls["CSR"].args[0].to_dense(), calls["stored"].args[0])
        fours = calls["two of four"].args[0].reshape(-1, 4)
        assert ((fours != 0).sum(dim=1) == 2).all()


def test_a_format_is_smaller_from_where_its_formula_says():
    # of CSR: 8 (1 - s) < 4, and of a mask of bits: 4 (1 - s) + 1/8 < 4
    assert time_vs_sparsity.smaller_from("CSR") == pytest.approx(1 / 2, abs=2e-3)
    assert time_vs_sparsity.smaller_from("CSR", value_bytes=2) == pytest.approx(2 / 3, abs=2e-3)
    assert time_vs_sparsity.smaller_from("bits") == pytest.approx(1 / 32, abs=2e-3)
    assert time_vs_sparsity.smaller_from("bits", value_bytes=2) == pytest.approx(1 / 16, abs=2e-3)
    with pytest.raises(ValueError, match="kind: got 'zip'"):
        time_vs_sparsity.stored_bytes("zip", 8, 8, 0.5)


def test_a_crossover_is_found_between_the_shares_around_it():
    product = {"rows": 64, "columns": 64, "vectors": 1}
    rows = [
        {**product, "format": kind, "sparsity": s, "repeat": repeat, "ratio": f(1 - s)}
        for kind, f in {
            "CSR": lambda left: 5 * left,
            "BSR 16": lambda left: 2 + left,
            "BSR 32": lambda left: left / 2,
        }.items()
        for s in (0.0, 0.5, 0.7, 0.9, 0.99)
        for repeat in range(3)
    ]
    made = Results.from_records("time_vs_sparsity", rows)
    assert time_vs_sparsity.crossover(made, "CSR", **product) == pytest.approx(0.8)
    assert time_vs_sparsity.crossover(made, "BSR 16", **product) is None
    assert time_vs_sparsity.crossover(made, "BSR 32", **product) == 0.0
