"""The switches that a reader sets in the environment."""

import os
from types import SimpleNamespace

import pytest

from extensions import execution


@pytest.mark.parametrize(("value", "on"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_a_full_run_has_no_time_limit(monkeypatch, value, on):
    monkeypatch.delenv("PAYATTENTION_FULL", raising=False)
    if value is not None:
        monkeypatch.setenv("PAYATTENTION_FULL", value)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    config = SimpleNamespace(nb_execution_timeout=300, nb_execution_mode="cache")
    execution.configure(None, config)
    assert os.environ["TQDM_DISABLE"] == "1"
    assert config.nb_execution_timeout == (execution.NO_LIMIT if on else 300)


@pytest.mark.parametrize(("mode", "draft"), [("off", True), ("cache", False), ("force", False)])
def test_a_draft_runs_no_cells(mode, draft):
    assert execution.is_draft(SimpleNamespace(nb_execution_mode=mode)) == draft
