"""The tool that runs notebooks as a reader would: what it chooses, and what it leaves out."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS, BYTES = 90, 2 * 1024**3


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "tools/run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_environment_misses_what_the_set_up_must_bring(tool):
    brought = tool.with_dependencies(tool.BROUGHT)
    assert {"torch", "numpy", "ipykernel", "contourpy"} <= brought
    assert not {"payattention", "jaxtyping", "anywidget", "sphinx", "pytest"} & brought


def test_the_cheapest_come_first(tool, tmp_path, monkeypatch):
    for topic in ("a", "b", "c"):
        (tmp_path / f"{topic}.ipynb").touch()
    monkeypatch.setattr(tool, "stored", lambda: {"a": {"seconds": 9}, "c": {"seconds": 3}})
    assert tool.names(tmp_path) == ["c", "a", "b"]


def test_a_topic_without_a_notebook_is_named(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(["nothing"])
    assert "no notebook of nothing; there are" in capsys.readouterr().err


def test_a_measurement_joins_the_others(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "STORE", tmp_path / "running.json")
    runs = [{"seconds": s, "peak_bytes": 10 * s} for s in (3.0, 1.0, 2.0)]
    tool.store("b", runs)
    tool.store("a", runs)
    found = json.loads((tmp_path / "running.json").read_text())["chapters"]
    assert list(found) == ["a", "b"]
    assert found["a"]["seconds"] == 2.0 and found["a"]["peak_bytes"] == 30
    assert found["a"]["environment"]["cores"] >= 1


def test_every_chapter_keeps_its_budget(tool):
    """If an entry is missing: make test-notebooks ARGS=--store."""
    stored = tool.stored()
    assert sorted(stored) == sorted(tool.names())
    for entry in stored.values():
        assert len(entry["each"]) >= 3
        assert entry["seconds"] <= SECONDS and entry["peak_bytes"] <= BYTES
