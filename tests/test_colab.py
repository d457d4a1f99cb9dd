"""The weekly check: what it calls a failure, and what it says of one."""

import importlib.util
import json
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PASSED = {
    **{"topic": "attention", "passed": True, "error": "", "seconds": 7},
    **{"added": {"payattention": "0.1.0"}, "changed": {}, "removed": {}},
    **{"date": "2026-11-24", "python": "3.13", "torch": "2.11.0"},
}
FAILED = PASSED | {"topic": "mixup", "passed": False, "error": "NameError: name 'x' ..."}
CHANGED = PASSED | {"topic": "cost", "passed": False, "changed": {"numpy": ["2.1.3", "2.4.6"]}}


@pytest.fixture
def colab():
    spec = importlib.util.spec_from_file_location("colab", ROOT / "tools" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder, *reports):
    for one in reports:
        (folder / f"{one['topic']}.json").write_text(json.dumps(one))
    return folder


def notebook(folder, *cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, folder / "topic.ipynb")
    return folder / "topic.ipynb"


def test_only_additions_are_allowed(colab, monkeypatch):
    before = {"numpy": "2.1.3", "torch": "2.11.0+cpu"}
    for after, passed in {
        "nothing": ({}, True),
        "added": ({"payattention": "0.1.0"}, True),
        "changed": ({"numpy": "2.4.6"}, False),
        "removed": ({"torch": None}, False),
    }.values():
        after = {name: version for name, version in (before | after).items() if version}
        answers = iter([before, after, after])
        monkeypatch.setattr(colab, "installed", lambda answers=answers: next(answers))
        monkeypatch.setattr(colab, "execute", lambda notebook: "")
        assert colab.report(Path("a.ipynb"))["passed"] is passed


@pytest.mark.slow
def test_a_notebook_runs_from_an_empty_folder(colab, tmp_path):
    cells = ["import os; assert os.listdir() == []", "open('made', 'w').close()"]
    target = tmp_path / "reports" / "topic.json"
    assert colab.main(["run", str(notebook(tmp_path, *cells)), str(target)]) == 0
    found = json.loads(target.read_text())
    assert found["topic"] == "topic" and found["error"] == "" and found["added"] == {}
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert found["torch"] == colab.version_of("torch") != ""
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_a_failing_cell_fails_the_run(colab, tmp_path, capsys):
    target = tmp_path / "topic.json"
    assert colab.main(["run", str(notebook(tmp_path, "missing_name")), str(target)]) == 1
    assert "NameError" in json.loads(target.read_text())["error"]
    assert "NameError" in capsys.readouterr().out


def test_the_badge_says_when_and_where(colab, tmp_path, capsys):
    assert colab.main(["badge", str(written(tmp_path, PASSED))]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["message"] == "2026-11-24, Python 3.13, torch 2.11.0"
    assert found["color"] == "brightgreen" and found["schemaVersion"] == 1
    assert found["torch"] == "2.11.0"


def test_one_failure_turns_the_badge_red(colab):
    found = colab.badge([PASSED, FAILED, CHANGED])
    assert found["color"] == "red" and found["message"] == "mixup, cost failed"


def test_the_issue_names_what_failed_and_only_that(colab, tmp_path, capsys):
    assert colab.main(["issue", str(written(tmp_path, PASSED, FAILED, CHANGED))]) == 0
    said = capsys.readouterr().out
    assert "## mixup" in said and "NameError" in said
    assert "## cost" in said and '"numpy": ["2.1.3", "2.4.6"]' in said
    assert "attention" not in said
    assert colab.issue([PASSED]) == ""


def test_a_run_without_reports_has_failed(colab, tmp_path):
    with pytest.raises(SystemExit, match="no notebook ran"):
        colab.main(["badge", str(tmp_path)])


def test_other_words_are_answered(colab, capsys):
    assert colab.main([]) == 2
    assert "colab.py run" in capsys.readouterr().out
