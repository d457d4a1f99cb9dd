"""A bar shows where someone watches, and nowhere else."""

import sys
import types

import pytest

from payattention import progress


@pytest.fixture
def nobody(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: False))
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


def test_nobody_watches_a_log_file(nobody):
    assert not progress.watched()


def test_someone_watches_a_terminal(nobody, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert progress.watched()


def test_someone_watches_a_notebook_unless_it_builds_a_page(nobody, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert progress.watched()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert not progress.watched()
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert progress.watched()


def test_bar_obeys_what_it_is_told(capsys):
    with progress.bar(total=7, done=3, unit="step", shown=True) as bar:
        bar.update(2)
    assert "5/7" in capsys.readouterr().err
    with progress.bar(total=7, done=3, unit="step", shown=False) as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""
