"""What GitHub reads is refused when it is broken, in each of the ways that we know."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEST = ".github/workflows/test.yml"
VERBS = {"lint", "test", "book", "setup", "zip", "pdf", "dist", "release-check"}
VERBS |= {"test-site", "test-notebooks"}


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copied(tmp_path):
    """A copy of what GitHub reads, to break."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    return tmp_path


def broken(root, old, new, file=TEST):
    path = root / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    return "\n".join(load("workflows").faults(root, VERBS))


def test_the_house_s_own_pass():
    assert load("workflows").faults(ROOT, VERBS) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("runs-on:", "run-on:", "run-on"),
        ("    timeout-minutes: 45\n", "", "require-timeout"),
        ("permissions:\n  contents: read\n", "", "expected permissions"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("house.py lint", "house.py lynt", "no verb 'lynt'"),
        ("house.py lint", "house.py ${{ github.head_ref }}", "template-injection"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "expected a commit"),
        ("181273ba90b1 # v7.0.1", "181273ba90b2 # v7.0.1", "another version in another"),
    ],
)
def test_a_broken_workflow_is_refused(copied, old, new, said):
    assert said in broken(copied, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (".github/dependabot.yml", "interval: monthly", "interval: seldom"),
        (".github/ISSUE_TEMPLATE/wrong.yml", "type: textarea", "type: text"),
        (".github/actions/set-up/action.yml", "using: composite", "using: magic"),
        ("CITATION.cff", "cff-version: 1.2.0", "cff-version: 1"),
        ("CITATION.cff", "authors:", "writers:"),
    ],
)
def test_other_files_are_held_to_their_schema(copied, file, old, new):
    assert file.rpartition("/")[2] in broken(copied, old, new, file)


def test_continuous_integration_calls_verbs_of_the_house():
    house = load("house")
    verbs = set(house.VERBS)
    text = (ROOT / ".ci" / "run").read_text("utf-8")
    called = re.findall(r"^step (\S+)", text, re.MULTILINE)
    assert {"lint", "test", "book", "test-notebooks", "test-site"} <= set(called) <= verbs
